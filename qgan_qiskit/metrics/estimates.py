"""Each metric as a function of a real and a generated set: an estimate, its resamplings and its range.

The same functions, given two sets of real images, return the floor.

Shape letters: N real images · M generated images · H W C image · R resamplings.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from qgan_qiskit.metrics import memorization as memorization
from qgan_qiskit.metrics.features import FeatureSet
from qgan_qiskit.metrics.fid import frechet_distance, resampled_frechet_distances
from qgan_qiskit.metrics.inception_score import inception_score, resampled_inception_scores
from qgan_qiskit.metrics.kid import kernel_distance, resampled_kernel_distances
from qgan_qiskit.metrics.memorization import nearest_by_pixels
from qgan_qiskit.metrics.precision_recall import (
    DENSITY_NEIGHBOURS,
    PRECISION_NEIGHBOURS,
    precision_recall_density_coverage,
)
from qgan_qiskit.metrics.results import Better
from qgan_qiskit.metrics.ssim import ms_ssim, scales, ssim
from qgan_qiskit.stats import Bootstrap, normal_interval, shuffle_indices, wilson_interval

# Pixels a side in the search for the nearest real image by pixels; and pairs whose similarity is averaged, at most.
_SEARCH_SIDE, _PAIRS = 64, 1000


@dataclass(frozen=True, eq=False)
class Estimate:
    """A figure before it is labeled.

    Attributes:
        name: what it is called.
        value: the figure.
        better: which direction is better.
        resampled_R: the figure of each resampling; None without any.
        lowest: least possible value.
        highest: largest possible value.
        share_of: where the value is a share of images: how many; None where it is not.
        floor: what new real images reach, where that does not come from two halves of the real images.
    """

    name: str
    value: float
    better: Better
    resampled_R: np.ndarray | None = None
    lowest: float = -math.inf
    highest: float = math.inf
    share_of: int | None = None
    floor: float | None = None

    def interval(self) -> tuple[float, float] | tuple[None, None]:
        """Return the 95 % interval, or None twice."""
        if self.resampled_R is None:
            return None, None
        low, high = normal_interval(self.value, self.resampled_R, self.lowest, self.highest)
        if self.share_of is None:
            return low, high
        least, most = wilson_interval(self.value, self.share_of)
        return min(low, least), max(high, most)


def fid(real: FeatureSet, fake: FeatureSet, bootstrap: Bootstrap) -> list[Estimate]:
    """Return the Fréchet Inception distance; both sets are resampled."""
    first, second = real.tap_NF, fake.tap_NF
    counts = bootstrap.draw_counts("fid", len(first), len(second))
    resampled = None if counts is None else resampled_frechet_distances(first, second, *counts)
    return [Estimate(f"FID, {first.shape[1]}-d", frechet_distance(first, second), "lower", resampled, lowest=0)]


def kid(real: FeatureSet, fake: FeatureSet, bootstrap: Bootstrap) -> list[Estimate]:
    """Return the kernel Inception distance; both sets are resampled."""
    first, second = real.tap_NF, fake.tap_NF
    counts = bootstrap.draw_counts("kid", len(first), len(second))
    resampled = None if counts is None else resampled_kernel_distances(first, second, *counts)
    return [Estimate(f"KID, {first.shape[1]}-d", kernel_distance(first, second, bootstrap.seed), "lower", resampled)]


def inception(_: FeatureSet, fake: FeatureSet, bootstrap: Bootstrap) -> list[Estimate]:
    """Return the inception score, which real images have no part in."""
    logits = fake.logits_NK
    counts = bootstrap.draw_counts("is", len(logits))
    resampled = None if counts is None else resampled_inception_scores(logits, *counts)
    return [Estimate("IS", inception_score(logits), "higher", resampled, lowest=1, highest=logits.shape[1])]


def ssim_to_nearest(real: FeatureSet, fake: FeatureSet, bootstrap: Bootstrap) -> list[Estimate]:
    """Return the mean structural similarity of generated images to the real ones that are nearest to them by pixels."""
    rows, _ = nearest_by_pixels(fake.images_NHWC, real.images_NHWC, _SEARCH_SIDE)
    values = ssim(fake.images_NHWC, real.images_NHWC[rows])
    return [_mean("SSIM to nearest real", values, "near the floor", bootstrap, "ssim", -1, 1)]


def ms_ssim_of_pairs(_: FeatureSet, fake: FeatureSet, bootstrap: Bootstrap) -> list[Estimate]:
    """Return the mean similarity of random pairs of generated images, no image in two pairs; real pairs give the floor."""
    pairs = min(len(fake) // 2, _PAIRS)
    first, second = shuffle_indices(len(fake), bootstrap.seed, "pairs")[: 2 * pairs].reshape(2, pairs)
    values = ms_ssim(fake.images_NHWC[first], fake.images_NHWC[second])
    name = f"MS-SSIM of pairs, {scales(fake.images_NHWC.shape[1])} scales"
    return [_mean(name, values, "near the floor", bootstrap, "ms-ssim", 0, 1)]


def neighbors(real: FeatureSet, fake: FeatureSet, bootstrap: Bootstrap) -> list[Estimate]:
    """Return precision, recall, density and coverage; intervals for given balls, as resampled sets have no others."""
    estimates = []
    for name, values in precision_recall_density_coverage(real.tap_NF, fake.tap_NF).items():
        k = PRECISION_NEIGHBOURS if name in ("precision", "recall") else DENSITY_NEIGHBOURS
        estimate = _mean(f"{name}, k = {k}", values, "higher", bootstrap, name, 0, math.inf)
        estimates.append(estimate if name == "density" else replace(estimate, highest=1, share_of=len(values)))
    return estimates


def copying(sample_M: np.ndarray, held_out_H: np.ndarray | None, bootstrap: Bootstrap) -> list[Estimate]:
    """Return how near samples come to training images, compared with held-out images where there are any.

    Args:
        sample_M: distance of each sample to its nearest training image.
        held_out_H: the same of held-out images, or None.
        bootstrap: resamples both.
    """
    counts = bootstrap.draw_counts("distances", len(sample_M))
    resampled = None
    if counts is not None:
        resampled = np.array([np.median(np.repeat(sample_M, row.astype(int))) for row in counts[0]])
    name, value = "distance to training", float(np.median(sample_M))
    if held_out_H is None:
        return [Estimate(name, value, "near the floor", resampled, lowest=0)]
    share, expected = memorization.memorization_rate(sample_M, held_out_H)
    draws = bootstrap.draw_counts("copied share", len(sample_M), len(held_out_H))
    shares = None if draws is None else memorization.resampled_memorization_rates(sample_M, held_out_H, *draws)
    p_value = memorization.memorization_p_value(sample_M, held_out_H)
    return [
        Estimate(name, value, "near the floor", resampled, lowest=0, floor=float(np.median(held_out_H))),
        Estimate("copied share", share, "lower", shares, 0, 1, share_of=len(sample_M), floor=expected),
        Estimate("copying p", p_value, "higher"),
    ]


def _mean(
    name: str, values_N: np.ndarray, better: Better, bootstrap: Bootstrap, purpose: str, lowest: float, highest: float
) -> Estimate:
    counts = bootstrap.draw_counts(purpose, len(values_N))
    resampled = None if counts is None else counts[0] @ values_N / len(values_N)
    return Estimate(name, float(values_N.mean()), better, resampled, lowest, highest)
