"""Confidence intervals and hypothesis tests: Student's t, Wilson, jackknife, bootstrap, sign flips, Holm.

All intervals are at 95 %. Randomness comes from explicit seeds only, so every function returns the same numbers each time.

Shape letters: N observations (often images) · R resamples · L lesions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from qgan_qiskit.rng import philox_generator

# Up to this many pairs, all 2^pairs sign patterns are enumerated; beyond it, a random subset is drawn.
MAX_EXACT_PAIRS = 20
_RANDOM_FLIPS, _FLIP_SEED = 100_000, 0
_JACKKNIFE_GROUPS = 20
# Below this sample size, a bootstrap interval would reflect chance more than the metric.
MIN_BOOTSTRAP_SIZE = 10

# The keys ``mean``, ``low`` and ``high``, ready for JSON.
Interval = dict[str, float]


def t_interval(values_N: Sequence[float] | np.ndarray) -> Interval:
    """Return the mean and its interval by Student's t distribution.

    Raises:
        ValueError: fewer than two values.
    """
    if len(values_N) < 2:
        raise ValueError(f"an interval needs at least two values, not {len(values_N)}")
    values_N = np.asarray(values_N, np.float64)
    half_width = stats.t.ppf(0.975, len(values_N) - 1) * np.std(values_N, ddof=1) / np.sqrt(len(values_N))
    return _make_interval(float(np.mean(values_N)), float(half_width))


def geometric_mean_interval(values_N: np.ndarray) -> Interval | None:
    """Return the geometric mean and its interval, for values that differ by factors.

    Only finite values above 0 count; None if fewer than two remain. The interval is Student's, on the logarithms.
    """
    logarithms = np.log(values_N[np.isfinite(values_N) & (values_N > 0)])
    if len(logarithms) < 2:
        return None
    return {key: float(np.exp(value)) for key, value in t_interval(logarithms).items()}


def jackknife_interval(rows_N: np.ndarray, statistic: Callable[[np.ndarray], float]) -> Interval:
    """Return a statistic of all rows and its interval by the delete-a-group jackknife (Wolter 2007, chapter 4).

    For smooth statistics of at least two independent rows that are not means, such as the rank of the matrix. A bootstrap
    would repeat rows, and repeated rows lower a rank by themselves.
    """
    return jackknife_from_replicates(statistic(rows_N), [statistic(rows) for rows in leave_out_groups(rows_N)])


def leave_out_groups(rows_N: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the rows without each of 20 groups in turn; for fewer than 20 rows, without each row."""
    groups = min(_JACKKNIFE_GROUPS, len(rows_N))
    for group in range(groups):
        yield np.delete(rows_N, slice(group, None, groups), axis=0)


def jackknife_from_replicates(value: float, replicates: Sequence[float]) -> Interval:
    """Return a statistic's value and its interval from its values without each of g groups, at least two.

    The variance is (g - 1) / g * sum (replicate - mean)^2; the interval is Student's with g - 1 degrees of freedom.
    """
    groups, values = len(replicates), np.array(replicates)
    standard_error = np.sqrt((groups - 1) / groups * ((values - values.mean()) ** 2).sum())
    return _make_interval(float(value), float(stats.t.ppf(0.975, groups - 1) * standard_error))


def _make_interval(mean: float, half_width: float) -> Interval:
    return {"mean": mean, "low": mean - half_width, "high": mean + half_width}


def wilson_interval(fraction: float, number: int) -> tuple[float, float]:
    """Return Wilson's interval (1927) of a fraction of ``number`` images.

    It has a width even where no image counts, or every one does; there a bootstrap has none.
    """
    z_squared = 1.96**2 / number
    center = (fraction + z_squared / 2) / (1 + z_squared)
    margin = math.sqrt(z_squared * fraction * (1 - fraction) + z_squared**2 / 4) / (1 + z_squared)
    return max(center - margin, 0.0), min(center + margin, 1.0)


@dataclass(frozen=True)
class PairedTest:
    """Whether two models differ, judged by their differences in the same cells. Both p-values are two-sided."""

    pairs: int
    mean: float  # mean difference, first minus second
    t_p: float | None  # of the paired t-test; None if all differences are equal, where it is undefined
    flip_p: float  # of the sign-flip permutation test of the mean
    flips: int  # number of sign patterns behind flip_p
    exact: bool  # whether these are all possible patterns


def paired_test(first: Sequence[float], second: Sequence[float]) -> PairedTest | None:
    """Compare two models by their values in the same cells, in the same order; None for fewer than two pairs.

    The sign-flip test is Fisher's randomization test: how often would the mean difference be at least as far from 0 if
    the sign of each difference were random? Its smallest p-value is 2 / 2^pairs.
    """
    if len(first) < 2:
        return None
    differences = np.asarray(first, float) - np.asarray(second, float)
    varies = np.ptp(differences) > 1e-12 * max(float(np.abs(differences).max()), 1e-300)
    t_p = float(stats.ttest_rel(first, second).pvalue) if varies else None
    exact = len(differences) <= MAX_EXACT_PAIRS
    sums = _enumerate_flips(differences) if exact else _draw_flips(differences)
    # The tolerance: equal sums may differ in their last digits, depending on the order of addition.
    extreme = int((np.abs(sums) >= abs(differences.sum()) - 1e-9 * np.abs(differences).sum()).sum())
    # Random patterns leave out the observed one, which belongs to the distribution.
    flip_p = extreme / len(sums) if exact else (extreme + 1) / (len(sums) + 1)
    return PairedTest(len(differences), float(differences.mean()), t_p, flip_p, len(sums), exact)


def _enumerate_flips(differences: np.ndarray) -> np.ndarray:
    """Return the sums of the differences under all 2^pairs sign patterns."""
    sums = np.zeros(1)
    for difference in differences:
        sums = np.concatenate([sums + difference, sums - difference])
    return sums


def _draw_flips(differences: np.ndarray) -> np.ndarray:
    signs = np.random.default_rng(_FLIP_SEED).choice((-1.0, 1.0), (_RANDOM_FLIPS, len(differences)))
    sums: np.ndarray = signs @ differences
    return sums


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return p-values corrected for multiple testing (Holm 1979); None stays None and does not count."""
    ascending = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, index) in enumerate(ascending):
        highest = max(highest, min(1.0, (len(ascending) - rank) * p))
        corrected[index] = highest
    return corrected


def shuffle_indices(number: int, seed: int, purpose: str) -> np.ndarray:
    """Return the integers from 0 to ``number`` - 1 in random order, int64 (N,)."""
    # Sorted raw words stay the same in all NumPy versions, unlike Generator.permutation.
    return np.argsort(philox_generator(seed, purpose).bit_generator.random_raw(number), kind="stable")


@dataclass(frozen=True)
class Bootstrap:
    """Seeded resampling of sets of images; 0 resamples turn it off."""

    resamples: int
    seed: int

    def draw_counts(self, purpose: str, *sizes: int) -> list[np.ndarray] | None:
        """Return how often each image appears in each resample with replacement: float64 (R, N) per set.

        Each purpose gets its own random numbers. None without resamples, or if a set has fewer than ten images.
        """
        if not self.resamples or min(sizes) < MIN_BOOTSTRAP_SIZE:
            return None
        rng = philox_generator(self.seed, purpose)
        return [_draw_multinomial(rng, size, self.resamples).astype(np.float64) for size in sizes]

    def resample(self, purpose: str, statistic: Callable[..., np.ndarray], *arrays_N: np.ndarray) -> np.ndarray | None:
        """Return ``statistic(*arrays, *counts)``, a value per resample (R,), or None where :meth:`draw_counts` does."""
        counts = self.draw_counts(purpose, *map(len, arrays_N))
        return None if counts is None else statistic(*arrays_N, *counts)


def normal_interval(
    value: float, resampled_R: np.ndarray, lowest: float = -math.inf, highest: float = math.inf
) -> tuple[float, float]:
    """Return the value ± 1.96 standard deviations of its resamples, clipped to the metric's range.

    Not the percentiles of the resamples: a resample repeats images and so is less diverse than the original set. Its
    distances to other sets are larger, and a percentile interval would often exclude the value itself.
    """
    margin = 1.96 * float(np.std(resampled_R, ddof=1))
    return max(value - margin, lowest), min(value + margin, highest)


def percentile_interval(values_R: np.ndarray) -> tuple[float, float]:
    """Return the 2.5th and 97.5th percentiles of resampled values."""
    low, high = np.percentile(values_R, [2.5, 97.5])
    return float(low), float(high)


def draw_lesion_counts(labels_N: np.ndarray, lesions: Sequence[str], resamples: int, seed: int = 0) -> np.ndarray:
    """Return how often each image counts when whole lesions are resampled with replacement within each class.

    Images of one lesion resemble each other, so resampling single images would give too narrow an interval. Resampling
    within classes keeps every class in every resample; a lesion belongs to the class of its first image.

    Returns:
        float64 of shape (R, N).
    """
    _, first_L, lesion_N = np.unique(np.array(lesions), return_index=True, return_inverse=True)
    class_L = labels_N[first_L]
    counts_RL = np.zeros((resamples, len(first_L)))
    for label in np.unique(class_L):
        members = np.flatnonzero(class_L == label)
        rng = philox_generator(seed, int(label))
        counts_RL[:, members] = _draw_multinomial(rng, len(members), resamples)
    return counts_RL[:, lesion_N]


def _draw_multinomial(rng: np.random.Generator, size: int, resamples: int) -> np.ndarray:
    """Return how often each of ``size`` items is drawn in ``size`` draws with replacement, (R, size)."""
    return rng.multinomial(size, np.full(size, 1 / size), size=resamples)
