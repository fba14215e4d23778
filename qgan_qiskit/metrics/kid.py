"""KID: the kernel distance between two sets of Inception features (Bińkowski et al. 2018).

Shape letters: N, M images · F features · R resamples.
"""

from __future__ import annotations

import numpy as np
import torch

from qgan_qiskit.metrics.features import FeatureSet
from qgan_qiskit.metrics.results import Estimate, explain_missing_extra
from qgan_qiskit.stats import Bootstrap

SUBSETS, SUBSET_SIZE = 100, 1000
_BLOCK = 1000


def estimate_kid(real: FeatureSet, fake: FeatureSet, bootstrap: Bootstrap) -> list[Estimate]:
    """Return the kernel Inception distance; both sets are resampled."""
    real_NF, fake_MF = real.features_NF, fake.features_NF
    resampled = bootstrap.resample("kid", bootstrap_kernel_distances, real_NF, fake_MF)
    distance = kernel_distance(real_NF, fake_MF, bootstrap.seed)
    return [Estimate(f"KID, {real_NF.shape[1]}-d", distance, "lower", resampled)]


def kernel_distance(first_NF: np.ndarray, second_MF: np.ndarray, seed: int) -> float:
    """Return the unbiased estimate of the squared maximum mean discrepancy under the kernel (x·y / F + 1)^3.

    As is usual, it is the mean over 100 random subsets of 1,000 images, which the seed decides. Sets of at most 1,000
    images are compared whole, once. Being unbiased, it may be slightly negative.

    Raises:
        ValueError: fewer than two rows.
        UsageError: torch-fidelity is not installed.
    """
    with explain_missing_extra():
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


def bootstrap_kernel_distances(
    first_NF: np.ndarray, second_MF: np.ndarray, first_RN: np.ndarray, second_RM: np.ndarray
) -> np.ndarray:
    """Return the distances between sets resampled by the counts of their rows, each compared whole, (R,).

    A repeated image is not compared with its own copies, which would raise the distance of every resample.
    """

    def mean_within(features: np.ndarray, counts: np.ndarray) -> np.ndarray:
        diagonal = (np.einsum("nf,nf->n", features, features) / features.shape[1] + 1) ** 3
        squares = counts**2
        return (_weighted_kernel_sums(features, features, counts, counts) - squares @ diagonal) / (
            counts.sum(axis=1) ** 2 - squares.sum(axis=1)
        )

    first, second = first_NF.astype(np.float64), second_MF.astype(np.float64)
    sums = _weighted_kernel_sums(first, second, first_RN, second_RM)
    mean_across = sums / (first_RN.sum(axis=1) * second_RM.sum(axis=1))
    return mean_within(first, first_RN) + mean_within(second, second_RM) - 2 * mean_across


def _weighted_kernel_sums(
    first_NF: np.ndarray, second_MF: np.ndarray, first_RN: np.ndarray, second_RM: np.ndarray
) -> np.ndarray:
    """Return counts x kernel x counts for each resample, (R,); each block of the kernel is computed once for all."""
    sums_R = np.zeros(len(first_RN))
    for start in range(0, len(first_NF), _BLOCK):
        kernel_BM = (first_NF[start : start + _BLOCK] @ second_MF.T / first_NF.shape[1] + 1) ** 3
        sums_R += np.einsum("rm,rm->r", first_RN[:, start : start + _BLOCK] @ kernel_BM, second_RM)
    return sums_R
