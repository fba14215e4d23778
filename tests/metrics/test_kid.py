"""KID against torch-fidelity, torchmetrics and plain sums; its resamples."""

import numpy as np
import pytest
import torch
from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric
from torchmetrics.image.kid import poly_mmd

from qgan_qiskit.metrics import kid
from qgan_qiskit.metrics.kid import bootstrap_kernel_distances, kernel_distance
from qgan_qiskit.stats import Bootstrap


def sum_kernel_distance(first, second):
    """Bińkowski et al. 2018, equation 4, term by term."""

    def k(x, y):
        return (x @ y / len(x) + 1) ** 3

    m, n = len(first), len(second)
    within = [sum(k(x, y) for i, x in enumerate(s) for j, y in enumerate(s) if i != j) for s in (first, second)]
    across = sum(k(x, y) for x in first for y in second)
    return within[0] / (m * (m - 1)) + within[1] / (n * (n - 1)) - 2 * across / (m * n)


@pytest.mark.parametrize("seed", range(4))
def test_equals_the_sum_torch_fidelity_and_torchmetrics(seed):
    rng = np.random.default_rng(seed)
    number, size = int(rng.integers(2, 20)), int(rng.integers(1, 30))
    first, second = rng.gamma(0.5, size=(number, size)), rng.gamma(0.6, size=(number, size))
    tensors = torch.from_numpy(first), torch.from_numpy(second)
    theirs = kid_features_to_metric(*tensors, kid_subset_size=number, kid_subsets=3, rng_seed=7, verbose=False)
    for expected in (sum_kernel_distance(first, second), float(poly_mmd(*tensors)), theirs[KEY_METRIC_KID_MEAN]):
        assert kernel_distance(first, second, seed=0) == pytest.approx(expected, rel=1e-6)


def test_large_sets_are_compared_by_seeded_subsets(monkeypatch):
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(60, 4)), rng.normal(0.5, 1, size=(50, 4))
    whole = sum_kernel_distance(first, second)
    monkeypatch.setattr(kid, "SUBSET_SIZE", 25)
    found = [kernel_distance(first, second, seed) for seed in (0, 0, 1)]
    assert found[0] == found[1] != found[2]
    assert found == pytest.approx([whole] * 3, abs=0.3 * abs(whole))


def test_sets_of_unequal_size_and_too_few_rows():
    rng = np.random.default_rng(0)
    assert np.isfinite(kernel_distance(rng.normal(size=(2, 3)), rng.normal(size=(30, 3)), 0))
    for few in (0, 1):
        with pytest.raises(ValueError, match="two rows"):
            kernel_distance(np.zeros((few, 3)), np.zeros((5, 3)), 0)


def test_global_random_states_are_left_alone():
    before = np.random.get_state()[1].copy(), torch.get_rng_state()
    kernel_distance(np.ones((4, 2)), np.zeros((9, 2)), 3)
    assert np.array_equal(before[0], np.random.get_state()[1])
    assert torch.equal(before[1], torch.get_rng_state())


def test_resamples_compare_no_image_with_itself(monkeypatch):
    monkeypatch.setattr(kid, "_BLOCK", 7)
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(15, 3)), rng.normal(0.5, 1, size=(12, 3))
    ones = np.ones((1, 15)), np.ones((1, 12))
    assert bootstrap_kernel_distances(first, second, *ones) == pytest.approx(sum_kernel_distance(first, second))
    counts = Bootstrap(4, 0).draw_counts("test", 15, 12)
    for value, a, b in zip(bootstrap_kernel_distances(first, second, *counts), *counts, strict=True):
        k_aa, k_bb, k_ab = ((x @ y.T / 3 + 1) ** 3 for x, y in ((first, first), (second, second), (first, second)))
        expected = -2 * (a @ k_ab @ b) / (a.sum() * b.sum())
        for weights, k in ((a, k_aa), (b, k_bb)):
            pairs = np.outer(weights, weights) * (1 - np.eye(len(weights)))
            expected += (pairs * k).sum() / pairs.sum()
        assert value == pytest.approx(expected, rel=1e-9)
