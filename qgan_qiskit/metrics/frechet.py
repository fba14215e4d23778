"""The Fréchet distance between two sets of feature vectors.

Shape letters: N, M samples · F features.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg


def frechet_distance(first_NF: np.ndarray, second_MF: np.ndarray) -> float:
    """Return the squared Fréchet distance between Gaussians fitted to two sets (Heusel et al. 2017, equation 6).

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
    first, second = first_NF.astype(np.float64), second_MF.astype(np.float64)
    difference = first.mean(axis=0) - second.mean(axis=0)
    covariances = np.atleast_2d(np.cov(first, rowvar=False)), np.atleast_2d(np.cov(second, rowvar=False))
    # The eigenvalues of the product of two covariances are real and not negative; rounding may make them otherwise.
    eigenvalues = scipy.linalg.eigvals(covariances[0] @ covariances[1])
    root_trace = np.sqrt(np.clip(eigenvalues.real, 0, None)).sum()
    return float(difference @ difference + np.trace(covariances[0]) + np.trace(covariances[1]) - 2 * root_trace)
