"""KID and the inception score against torch-fidelity, torchmetrics and plain sums; their resamplings."""

import numpy as np
import pytest
import torch
from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, isc_features_to_metric
from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric
from torchmetrics.image.inception import InceptionScore
from torchmetrics.image.kid import poly_mmd

from qgan_qiskit.metrics import kid as kernel
from qgan_qiskit.metrics.inception_score import bootstrap_inception_scores, inception_score
from qgan_qiskit.metrics.kid import bootstrap_kernel_distances, kernel_distance
from qgan_qiskit.stats import Bootstrap


def plain_kernel_distance(first, second):
    """Bińkowski et al. 2018, equation 4, term by term."""

    def k(x, y):
        return (x @ y / len(x) + 1) ** 3

    m, n = len(first), len(second)
    within = [sum(k(x, y) for i, x in enumerate(s) for j, y in enumerate(s) if i != j) for s in (first, second)]
    across = sum(k(x, y) for x in first for y in second)
    return within[0] / (m * (m - 1)) + within[1] / (n * (n - 1)) - 2 * across / (m * n)


@pytest.mark.parametrize("seed", range(6))
def test_kid_equals_the_plain_sum_torch_fidelity_and_torchmetrics(seed):
    rng = np.random.default_rng(seed)
    number, size = int(rng.integers(2, 20)), int(rng.integers(1, 30))
    first, second = rng.gamma(0.5, size=(number, size)), rng.gamma(0.6, size=(number, size))
    found = kernel_distance(first, second, seed=0)
    tensors = torch.from_numpy(first), torch.from_numpy(second)
    assert found == pytest.approx(plain_kernel_distance(first, second), rel=1e-6)
    assert found == pytest.approx(float(poly_mmd(*tensors)), rel=1e-6)
    theirs = kid_features_to_metric(*tensors, kid_subset_size=number, kid_subsets=3, rng_seed=7, verbose=False)
    assert found == pytest.approx(theirs[KEY_METRIC_KID_MEAN], rel=1e-6)


def test_kid_of_larger_sets_is_the_mean_over_subsets(monkeypatch):
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(60, 4)), rng.normal(0.5, 1, size=(50, 4))
    whole = plain_kernel_distance(first, second)
    monkeypatch.setattr(kernel, "SUBSET_SIZE", 25)
    found = [kernel_distance(first, second, seed) for seed in (0, 0, 1)]
    assert found[0] == found[1] != found[2], "seeded"
    for value in found:
        assert value == pytest.approx(whole, abs=0.3 * abs(whole))


def test_kid_takes_sets_smaller_than_the_usual_subset_and_of_unequal_size():
    rng = np.random.default_rng(0)
    assert np.isfinite(kernel_distance(rng.normal(size=(2, 3)), rng.normal(size=(30, 3)), 0))
    for few in (0, 1):
        with pytest.raises(ValueError, match="two rows"):
            kernel_distance(np.zeros((few, 3)), np.zeros((5, 3)), 0)


def test_kid_needs_no_global_seed():
    before = np.random.get_state()[1].copy(), torch.get_rng_state()
    kernel_distance(np.ones((4, 2)), np.zeros((9, 2)), 3)
    assert np.array_equal(before[0], np.random.get_state()[1])
    assert torch.equal(before[1], torch.get_rng_state())


def test_resampled_kid_compares_no_image_with_itself(monkeypatch):
    monkeypatch.setattr(kernel, "_BLOCK", 7)
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(15, 3)), rng.normal(0.5, 1, size=(12, 3))
    ones = np.ones((1, 15)), np.ones((1, 12))
    assert bootstrap_kernel_distances(first, second, *ones) == pytest.approx(plain_kernel_distance(first, second))
    counts = Bootstrap(4, 0).draw_counts("test", 15, 12)
    for value, a, b in zip(bootstrap_kernel_distances(first, second, *counts), *counts, strict=True):
        k_aa, k_bb, k_ab = ((x @ y.T / 3 + 1) ** 3 for x, y in ((first, first), (second, second), (first, second)))
        expected = -2 * (a @ k_ab @ b) / (a.sum() * b.sum())
        for weights, k in ((a, k_aa), (b, k_bb)):
            pairs = np.outer(weights, weights) * (1 - np.eye(len(weights)))
            expected += (pairs * k).sum() / pairs.sum()
        assert value == pytest.approx(expected, rel=1e-9)


@pytest.mark.filterwarnings("ignore:.*InceptionScore|.*degrees of freedom")
@pytest.mark.parametrize("seed", range(5))
def test_inception_score_equals_torch_fidelity_torchmetrics_and_the_definition(seed):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, size=(int(rng.integers(1, 40)), int(rng.integers(2, 30))))
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = np.exp(np.mean(np.sum(p * np.log(p / p.mean(axis=0)), axis=1)))
    found = inception_score(logits)
    assert found == pytest.approx(expected, rel=1e-6)
    theirs = isc_features_to_metric(torch.from_numpy(logits), splits=1, shuffle=True)[KEY_METRIC_ISC_MEAN]
    assert found == pytest.approx(theirs, rel=1e-6)
    metric = InceptionScore(feature=torch.nn.Identity(), splits=1).set_dtype(torch.float64)
    metric.features = [torch.from_numpy(logits)]
    metric._update_count = 1
    assert found == pytest.approx(float(metric.compute()[0]), rel=1e-6)


def test_known_inception_scores():
    assert inception_score(np.zeros((7, 11))) == pytest.approx(1)
    assert inception_score(np.random.default_rng(0).normal(size=(1, 11))) == pytest.approx(1)
    # Each image is surely of another class.
    assert inception_score(200 * np.eye(11)) == pytest.approx(11)
    with pytest.raises(ValueError, match="one row"):
        inception_score(np.zeros((0, 11)))


def test_a_resampled_score_is_that_of_the_repeated_rows():
    # Logits of 900: probabilities that are 0 in floating point.
    for scale in (2, 900):
        logits = scale * np.random.default_rng(2).normal(size=(20, 6))
        (counts,) = Bootstrap(5, 0).draw_counts("test", 20)
        for value, row in zip(bootstrap_inception_scores(logits, counts), counts, strict=True):
            assert value == pytest.approx(inception_score(np.repeat(logits, row.astype(int), axis=0)), rel=1e-9)
