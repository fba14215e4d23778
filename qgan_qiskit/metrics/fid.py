"""FID: the Fréchet distance between two sets of Inception features.

Shape letters: N, M images · F features · R resamples.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg

from qgan_qiskit.metrics.features import FeatureSet
from qgan_qiskit.metrics.results import Estimate
from qgan_qiskit.stats import Bootstrap


def estimate_fid(real: FeatureSet, fake: FeatureSet, bootstrap: Bootstrap) -> list[Estimate]:
    """Return the Fréchet Inception distance; both sets are resampled."""
    real_NF, fake_MF = real.features_NF, fake.features_NF
    resampled = bootstrap.resample("fid", bootstrap_frechet_distances, real_NF, fake_MF)
    return [Estimate(f"FID, {real_NF.shape[1]}-d", frechet_distance(real_NF, fake_MF), "lower", resampled, lowest=0)]


def frechet_distance(first_NF: np.ndarray, second_MF: np.ndarray) -> float:
    """Return the squared Fréchet distance between Gaussians fitted to two sets (Heusel et al. 2017, equation 6).

    torch-fidelity and torchmetrics take eigenvalues of the product of the covariances, which is slow and, with fewer images
    than features, sums the roots of rounding errors. The sum of those roots equals the sum of the singular values of the
    product of the centered feature matrices, which is exact to the last digits and used here.

    Raises:
        ValueError: fewer than two rows, unequal numbers of features, or values that are not finite.
    """
    for features in (first_NF, second_MF):
        if len(features) < 2 or not np.isfinite(features).all():
            raise ValueError("a Fréchet distance needs at least two rows of finite features")
    if first_NF.shape[1] != second_MF.shape[1]:
        raise ValueError(f"sets have {first_NF.shape[1]} and {second_MF.shape[1]} features")
    return _weighted_distance(first_NF, second_MF, np.ones(len(first_NF)), np.ones(len(second_MF)))


def bootstrap_frechet_distances(
    first_NF: np.ndarray, second_MF: np.ndarray, first_RN: np.ndarray, second_RM: np.ndarray
) -> np.ndarray:
    """Return the distances between sets resampled by the counts of their rows, (R,)."""
    pairs = zip(first_RN, second_RM, strict=True)
    return np.array([_weighted_distance(first_NF, second_MF, first, second) for first, second in pairs])


def _weighted_distance(first_NF: np.ndarray, second_MF: np.ndarray, first_N: np.ndarray, second_M: np.ndarray) -> float:
    """Return the distance between sets whose rows count as often as their weights say."""
    first_mean, first_root = _compute_moments(first_NF, first_N)
    second_mean, second_root = _compute_moments(second_MF, second_M)
    difference = first_mean - second_mean
    traces = np.sum(first_root**2) + np.sum(second_root**2)
    distance = difference @ difference + traces - 2 * scipy.linalg.svdvals(first_root @ second_root.T).sum()
    # For equal sets, rounding may give a value just below 0.
    return max(float(distance), 0.0)


def _compute_moments(features_NF: np.ndarray, weights_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the weighted mean (F,) and a root of the covariance: a matrix X (at most F rows, F) with X^T X = covariance."""
    drawn = weights_N > 0
    features, weights = features_NF[drawn].astype(np.float64), weights_N[drawn]
    mean = weights @ features / weights.sum()
    root = np.sqrt(weights / (weights.sum() - 1))[:, None] * (features - mean)
    if len(root) > root.shape[1]:
        root = scipy.linalg.qr(root, mode="r", check_finite=False)[0][: root.shape[1]]
    return mean, root
