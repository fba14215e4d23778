"""Structural similarity: of each generated image to its nearest real one, and within pairs of one set.

Shape letters: N images · H W C image.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

from qgan_qiskit.metrics.features import FeatureSet
from qgan_qiskit.metrics.memorization import find_nearest_by_pixels
from qgan_qiskit.metrics.results import Estimate, estimate_mean, explain_missing_extra
from qgan_qiskit.stats import Bootstrap, shuffle_indices

# Wang et al. 2003, table in section 3: the exponents of five scales.
_BETAS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
MIN_SIDE = _WINDOW = 11
_BLOCK = 16
# Side in pixels at which the nearest real image is searched; maximum number of pairs.
_SEARCH_SIDE, _MAX_PAIRS = 64, 1000


def estimate_ssim(real: FeatureSet, fake: FeatureSet, bootstrap: Bootstrap) -> list[Estimate]:
    """Return the mean SSIM of generated images to the real ones nearest to them by pixels."""
    rows, _ = find_nearest_by_pixels(fake.images_NHWC, real.images_NHWC, _SEARCH_SIDE)
    values = ssim(fake.images_NHWC, real.images_NHWC[rows])
    name = "SSIM to nearest real"
    return [estimate_mean(name, values, "near the baseline", bootstrap, "ssim", lowest=-1, highest=1)]


def estimate_ms_ssim(_: FeatureSet, fake: FeatureSet, bootstrap: Bootstrap) -> list[Estimate]:
    """Return the mean MS-SSIM of random, disjoint pairs of generated images; pairs of real images give the baseline."""
    pairs = min(len(fake) // 2, _MAX_PAIRS)
    first, second = shuffle_indices(len(fake), bootstrap.seed, "pairs")[: 2 * pairs].reshape(2, pairs)
    values = ms_ssim(fake.images_NHWC[first], fake.images_NHWC[second])
    name = f"MS-SSIM of pairs, {count_scales(fake.images_NHWC.shape[1])} scales"
    return [estimate_mean(name, values, "near the baseline", bootstrap, "ms-ssim", lowest=0, highest=1)]


def count_scales(side: int) -> int:
    """Return how many of the five scales fit an image of this side in pixels: 2 at 28, 3 at 64, 5 at 256, 0 at 8."""
    # torchmetrics' own condition, and that half a window can be mirrored at the edges of the smallest scale.
    fitting = [
        count
        for count in range(1, len(_BETAS) + 1)
        if side // max(1, count - 1) ** 2 >= _WINDOW and side >> (count - 1) > _WINDOW // 2
    ]
    return max(fitting, default=0)


def ssim(first_NHWC: np.ndarray, second_NHWC: np.ndarray) -> np.ndarray:
    """Return the structural similarity of each pair of uint8 images (Wang et al. 2004), float64 (N,), from -1 to 1.

    Raises:
        UsageError: torchmetrics is not installed.
    """
    with explain_missing_extra():
        from torchmetrics.functional.image import structural_similarity_index_measure
    return _compare_pairs(structural_similarity_index_measure, first_NHWC, second_NHWC)


def ms_ssim(first_NHWC: np.ndarray, second_NHWC: np.ndarray) -> np.ndarray:
    """Return the multi-scale structural similarity of each pair of uint8 images (Wang et al. 2003), float64 (N,), from 0 to 1.

    Images too small for five scales are compared at fewer, with the exponents scaled to the same sum.

    Raises:
        ValueError: images smaller than 11 pixels.
        UsageError: torchmetrics is not installed.
    """
    with explain_missing_extra():
        from torchmetrics.functional.image import multiscale_structural_similarity_index_measure
    count = count_scales(first_NHWC.shape[1])
    if not count:
        raise ValueError(f"MS-SSIM needs images of at least {MIN_SIDE} pixels")
    betas = tuple(beta * sum(_BETAS) / sum(_BETAS[:count]) for beta in _BETAS[:count])
    similarity = partial(multiscale_structural_similarity_index_measure, betas=betas)
    return _compare_pairs(similarity, first_NHWC, second_NHWC)


def _compare_pairs(similarity: Callable[..., Any], first_NHWC: np.ndarray, second_NHWC: np.ndarray) -> np.ndarray:
    values = [np.zeros(0)]
    for start in range(0, len(first_NHWC), _BLOCK):
        blocks = [images[start : start + _BLOCK] for images in (first_NHWC, second_NHWC)]
        first, second = (torch.from_numpy(block.transpose(0, 3, 1, 2) / np.float32(255)) for block in blocks)
        found = similarity(first, second, reduction="none", data_range=1.0)
        # torchmetrics drops the dimension of a single pair.
        values.append(found.double().reshape(-1).numpy())
    return np.concatenate(values)
