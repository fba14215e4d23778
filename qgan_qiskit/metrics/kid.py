"""The kernel distance (KID, Bińkowski et al. 2018) between two sets of features.

Shape letters: N, M images · F features · R resamplings · B images of a block.
"""

from __future__ import annotations

import numpy as np
import torch

SUBSETS, SUBSET_SIZE = 100, 1000
_BLOCK = 1000


def kernel_distance(first_NF: np.ndarray, second_MF: np.ndarray, seed: int) -> float:
    """Return the squared maximum mean discrepancy under the kernel (x·y / F + 1)^3, by its unbiased estimate.

    As is usual, it is the mean over 100 random subsets of 1,000 images. Sets of at most 1,000 images are taken whole, once.
    Being unbiased it may be a little below 0.

    Args:
        first_NF: features, at least two rows.
        second_MF: features, at least two rows.
        seed: of the subsets.

    Raises:
        ValueError: fewer than two rows.
    """
    # Two seconds of imports that a run which measures nothing does not wait for.
    from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric

    size = min(SUBSET_SIZE, len(first_NF), len(second_MF))
    if size < 2:
        raise ValueError("a kernel distance needs at least two rows")
    whole = size == len(first_NF) == len(second_MF)
    result = kid_features_to_metric(
        torch.from_numpy(first_NF.astype(np.float64)),
        torch.from_numpy(second_MF.astype(np.float64)),
        kid_subsets=1 if whole else SUBSETS,
        kid_subset_size=size,
        rng_seed=int(np.random.SeedSequence(seed).generate_state(1)[0]),
        verbose=False,
    )
    return float(result[KEY_METRIC_KID_MEAN])


def resampled_kernel_distances(
    first_NF: np.ndarray, second_MF: np.ndarray, first_RN: np.ndarray, second_RM: np.ndarray
) -> np.ndarray:
    """Return the distances between resampled sets, each taken whole, (R,).

    The kernel is computed once for all resamplings. An image drawn twice is not compared with itself: that would raise the
    distance of every resampling.

    Args:
        first_NF: features.
        second_MF: features.
        first_RN: how often each row of the first set is drawn.
        second_RM: the same for the second set.
    """

    def within(features: np.ndarray, counts: np.ndarray) -> np.ndarray:
        diagonal = (np.einsum("nf,nf->n", features, features) / features.shape[1] + 1) ** 3
        squares = counts**2
        return (_form(features, features, counts, counts) - squares @ diagonal) / (
            counts.sum(axis=1) ** 2 - squares.sum(axis=1)
        )

    first, second = first_NF.astype(np.float64), second_MF.astype(np.float64)
    across = _form(first, second, first_RN, second_RM) / (first_RN.sum(axis=1) * second_RM.sum(axis=1))
    return within(first, first_RN) + within(second, second_RM) - 2 * across


def _form(first_NF: np.ndarray, second_MF: np.ndarray, first_RN: np.ndarray, second_RM: np.ndarray) -> np.ndarray:
    """Return counts times kernel times counts for each resampling, (R,), a block of images at a time."""
    total_R = np.zeros(len(first_RN))
    for start in range(0, len(first_NF), _BLOCK):
        kernel_BM = (first_NF[start : start + _BLOCK] @ second_MF.T / first_NF.shape[1] + 1) ** 3
        total_R += np.einsum("rm,rm->r", first_RN[:, start : start + _BLOCK] @ kernel_BM, second_RM)
    return total_R
