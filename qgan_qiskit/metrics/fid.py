"""The Fréchet distance between two sets of feature vectors: FID, once the features are Inception's.

Shape letters: N, M images · F features · R resamplings.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg


def frechet_distance(first_NF: np.ndarray, second_MF: np.ndarray) -> float:
    """Return the squared Fréchet distance between Gaussians fitted to two sets (Heusel et al. 2017, equation 6).

    Not the functions of torch-fidelity and torchmetrics: they take eigenvalues of the product of the covariances. With
    fewer images than features most of these are rounding noise, whose roots add up, and they take longer than the bootstrap
    can wait. The sum of their roots is the sum of the singular values of the product of the centered sets themselves. That
    is exact to the last digits, and no larger than the sets.

    Args:
        first_NF: feature matrix with at least two rows; computed in float64.
        second_MF: another one, with as many features.

    Raises:
        ValueError: fewer than two rows, unequal numbers of features, or values that are not finite.
    """
    for features in (first_NF, second_MF):
        if len(features) < 2 or not np.isfinite(features).all():
            raise ValueError("a Fréchet distance needs at least two rows of finite features")
    if first_NF.shape[1] != second_MF.shape[1]:
        raise ValueError(f"sets have {first_NF.shape[1]} and {second_MF.shape[1]} features")
    return _weighted_distance(first_NF, second_MF, np.ones(len(first_NF)), np.ones(len(second_MF)))


def resampled_frechet_distances(
    first_NF: np.ndarray, second_MF: np.ndarray, first_RN: np.ndarray, second_RM: np.ndarray
) -> np.ndarray:
    """Return the distances between resampled sets, (R,).

    Args:
        first_NF: features.
        second_MF: features.
        first_RN: how often each row of the first set is drawn.
        second_RM: the same for the second set.
    """
    pairs = zip(first_RN, second_RM, strict=True)
    return np.array([_weighted_distance(first_NF, second_MF, first, second) for first, second in pairs])


def _weighted_distance(first_NF: np.ndarray, second_MF: np.ndarray, first_N: np.ndarray, second_M: np.ndarray) -> float:
    """Return the distance where each row counts as often as its weight says."""
    first_mean, first_root = _moments(first_NF, first_N)
    second_mean, second_root = _moments(second_MF, second_M)
    difference = first_mean - second_mean
    traces = np.sum(first_root**2) + np.sum(second_root**2)
    distance = difference @ difference + traces - 2 * scipy.linalg.svdvals(first_root @ second_root.T).sum()
    # Equal sets may come out below 0 by a rounding error.
    return max(float(distance), 0.0)


def _moments(features_NF: np.ndarray, weights_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean (F,), and a matrix (at most F rows, F) whose product with its transpose is the covariance."""
    drawn = weights_N > 0
    features, weights = features_NF[drawn].astype(np.float64), weights_N[drawn]
    mean = weights @ features / weights.sum()
    root = np.sqrt(weights / (weights.sum() - 1))[:, None] * (features - mean)
    if len(root) > root.shape[1]:
        root = scipy.linalg.qr(root, mode="r", check_finite=False)[0][: root.shape[1]]
    return mean, root
