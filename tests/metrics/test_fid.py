"""The Fréchet distance against closed forms, torch-fidelity, torchmetrics and the matrix square root; its resamples."""

import numpy as np
import pytest
import scipy.linalg
import torch
from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_features_to_statistics, fid_statistics_to_metric
from torchmetrics.image.fid import _compute_fid

from qgan_qiskit.metrics import frechet_distance
from qgan_qiskit.metrics.fid import bootstrap_frechet_distances
from qgan_qiskit.stats import Bootstrap


def sets(seed):
    """Two sets with correlated, skewed features, as Inception's are; more rows than features."""
    rng = np.random.default_rng(seed)
    size = int(rng.integers(1, 40))
    mixing = rng.normal(size=(size, size))
    first = np.maximum(rng.normal(size=(int(rng.integers(80, 150)), size)) @ mixing, 0)
    second = np.maximum(rng.normal(0.3, 1.2, size=(int(rng.integers(80, 150)), size)) @ mixing, 0)
    return first, second


@pytest.mark.parametrize("seed", range(5))
def test_equals_torch_fidelity_torchmetrics_and_the_matrix_root(seed):
    first, second = sets(seed)
    moments = [(np.mean(x, axis=0), np.atleast_2d(np.cov(x, rowvar=False))) for x in (first, second)]
    (mean_a, cov_a), (mean_b, cov_b) = moments
    expected = {
        "root": np.sum((mean_a - mean_b) ** 2) + np.trace(cov_a + cov_b - 2 * scipy.linalg.sqrtm(cov_a @ cov_b).real),
        "torchmetrics": float(_compute_fid(*[torch.from_numpy(part) for pair in moments for part in pair])),
    }
    if first.shape[1] > 1:
        statistics = [fid_features_to_statistics(torch.from_numpy(x)) for x in (first, second)]
        expected["torch-fidelity"] = fid_statistics_to_metric(*statistics, verbose=False)[KEY_METRIC_FID]
    for name, value in expected.items():
        assert frechet_distance(first, second) == pytest.approx(value, rel=1e-6), name
    assert frechet_distance(first, second) == pytest.approx(frechet_distance(second, first), rel=1e-9)


def test_known_values():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(100, 5))
    assert frechet_distance(a, a + 3) == pytest.approx(5 * 9, rel=1e-8)
    # Scaling by 2: trace of (2 S^(1/2) - S^(1/2))**2 = trace of S, with the mean moved by itself.
    centered = a - a.mean(0)
    assert frechet_distance(centered, 2 * centered) == pytest.approx(np.trace(np.cov(a, rowvar=False)), rel=1e-8)


@pytest.mark.parametrize(("rows", "size"), [(2, 1), (2, 50), (50, 50), (60, 700), (900, 64)])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_a_set_has_distance_0_from_itself(rows, size, scale):
    """Also with fewer images than features, where the eigenvalues of the covariances are rounding noise."""
    a = scale * np.random.default_rng(rows).gamma(0.5, size=(rows, size))
    assert 0 <= frechet_distance(a, a) < 1e-6
    shuffled = a[np.random.default_rng(1).permutation(rows)]
    assert 0 <= frechet_distance(a, shuffled) < 1e-6


def test_rotated_features_keep_the_distance():
    """Also with fewer rows than features: 20 rows embedded in 60 features are as far apart as in their own 8."""
    rng = np.random.default_rng(1)
    flat, other = rng.normal(size=(20, 8)), rng.normal(1, 2, size=(25, 8))
    rotation = scipy.linalg.qr(rng.normal(size=(60, 8)), mode="economic")[0]
    assert frechet_distance(flat @ rotation.T, other @ rotation.T) == pytest.approx(
        frechet_distance(flat, other), rel=1e-9
    )


def test_constant_sets_have_a_distance():
    constant = np.ones((5, 3))
    assert frechet_distance(constant, constant) == 0
    assert frechet_distance(constant, 3 * constant) == pytest.approx(12)


def test_invalid_input_is_refused():
    for bad in (np.zeros((0, 3)), np.zeros((1, 3)), np.full((4, 3), np.nan), np.full((4, 3), np.inf)):
        with pytest.raises(ValueError, match="two rows"):
            frechet_distance(bad, np.zeros((4, 3)))
        with pytest.raises(ValueError, match="two rows"):
            frechet_distance(np.zeros((4, 3)), bad)
    with pytest.raises(ValueError, match="features"):
        frechet_distance(np.zeros((4, 3)), np.zeros((4, 2)))


@pytest.mark.parametrize(("rows", "size"), [(30, 5), (12, 40)])
def test_resamples_equal_repeated_rows(rows, size):
    rng = np.random.default_rng(3)
    first, second = rng.normal(size=(rows, size)), rng.normal(size=(rows + 5, size))
    counts = Bootstrap(6, 0).draw_counts("test", len(first), len(second))
    found = bootstrap_frechet_distances(first, second, *counts)
    for value, a, b in zip(found, *counts, strict=True):
        repeated = np.repeat(first, a.astype(int), axis=0), np.repeat(second, b.astype(int), axis=0)
        assert value == pytest.approx(frechet_distance(*repeated), rel=1e-9)
