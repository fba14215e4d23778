"""Means, intervals and paired tests over the seeds and classes of a study.

Figures with their 95 % intervals, as reports keep them in JSON: ``{"mean": …, "low": …, "high": …}``.

Seeded choices of images, and 95 % intervals from the bootstrap.

Shape letters: N images · R resamplings.

How a score varies with the test lesions: 95 % intervals from a bootstrap over lesions.

The interval over seeds (``qgan_qiskit.stats``) holds other draws of the real images and other classifiers, for this
test part; the one here holds other test lesions, for these classifiers.

Shape letters: N images · L lesions · R resamplings.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from scipy import stats

from qgan_qiskit.rng import numpy_generator, philox_generator

# Up to so many pairs all 2^pairs sign patterns are counted; beyond it some are drawn.
MOST_EXACT = 20
_DRAWN_FLIPS = 100_000
_FLIP_SEED = 0


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class PairedTest:
    """Whether two models differ, judged by the differences of their pairs.

    Attributes:
        pairs: number of pairs.
        mean: mean difference, first minus second.
        t_p: p-value of the paired t-test (two-sided); None if all differences are equal, where it says nothing.
        flip_p: p-value of the sign-flip permutation test of the mean (two-sided).
        flips: sign patterns behind ``flip_p``.
        exact: whether these are all there are.
    """

    pairs: int
    mean: float
    t_p: float | None
    flip_p: float
    flips: int
    exact: bool


def t_interval(values: Sequence[float]) -> Interval | None:
    """Return mean and 95 % interval of the mean by Student's t distribution; None for fewer than two values."""
    if len(values) < 2:
        return None
    mean = float(np.mean(values))
    half = float(stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))
    return Interval(mean, mean - half, mean + half)


def paired_test(first: Sequence[float], second: Sequence[float]) -> PairedTest | None:
    """Compare two models by their values on the same cells; None for fewer than two pairs.

    The sign-flip test asks how often the mean difference would be at least as far from 0 if the sign of each difference
    were a coin toss (Fisher's randomization test). Its smallest p-value is 2 / 2^pairs.

    Args:
        first: one model's values.
        second: the other's, in the same order.
    """
    if len(first) < 2:
        return None
    differences = np.asarray(first, float) - np.asarray(second, float)
    spread = np.ptp(differences) > 1e-12 * max(float(np.abs(differences).max()), 1e-300)
    t_p = float(stats.ttest_rel(first, second).pvalue) if spread else None
    exact = len(differences) <= MOST_EXACT
    sums = _all_flips(differences) if exact else _drawn_flips(differences)
    # Equal sums may differ in their last digits, as they were added in another order.
    as_far = int((np.abs(sums) >= abs(differences.sum()) - 1e-9 * np.abs(differences).sum()).sum())
    # What was drawn does not hold the differences as they are, which belong to the distribution.
    flip_p = as_far / len(sums) if exact else (as_far + 1) / (len(sums) + 1)
    return PairedTest(len(differences), float(differences.mean()), t_p, flip_p, len(sums), exact)


def _all_flips(differences: np.ndarray) -> np.ndarray:
    """Return the sums of the differences under all 2^pairs signs."""
    sums = np.zeros(1)
    for difference in differences:
        sums = np.concatenate([sums + difference, sums - difference])
    return sums


def _drawn_flips(differences: np.ndarray) -> np.ndarray:
    signs = numpy_generator(_FLIP_SEED).choice((-1.0, 1.0), (_DRAWN_FLIPS, len(differences)))
    sums: np.ndarray = signs @ differences
    return sums


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return p-values corrected for their number (Holm 1979); None stays None and does not count."""
    order = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, place) in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * p))
        corrected[place] = highest
    return corrected


Spread = dict[str, float]
_GROUPS = 20


def interval(values_N: np.ndarray) -> Spread:
    """Return the mean of values with Student's interval.

    Args:
        values_N: at least two.
    """
    found = t_interval(values_N.tolist())
    if found is None:
        raise ValueError(f"an interval needs two values, not {len(values_N)}")
    return asdict(found)


def geometric(values_N: np.ndarray) -> Spread | None:
    """Return the geometric mean of what is finite and above 0, with the interval of the logarithms' mean.

    It is for values that differ by factors; None if fewer than two are left.
    """
    logarithms = np.log(values_N[np.isfinite(values_N) & (values_N > 0)])
    if len(logarithms) < 2:
        return None
    return {end: float(np.exp(value)) for end, value in interval(logarithms).items()}


def jackknife(rows_N: np.ndarray, figure: Callable[[np.ndarray], float]) -> Spread:
    """Return a figure of all rows with an interval by the delete-a-group jackknife (Wolter 2007, chapter 4).

    It is for figures that are no means, such as the rank of many rows together. No row comes twice, as it would in a bootstrap:
    doubled rows would themselves lower a rank.

    Args:
        rows_N: independent observations along the first axis, at least two.
        figure: a smooth function of such rows; what it is for all rows is given as ``mean``.
    """
    return jackknife_of(figure(rows_N), [figure(rows) for rows in without_each_group(rows_N)])


def without_each_group(rows_N: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the rows without each of 20 groups in turn; of fewer than 20 rows, without each row."""
    groups = min(_GROUPS, len(rows_N))
    for group in range(groups):
        yield np.delete(rows_N, slice(group, None, groups), axis=0)


def jackknife_of(value: float, left_out: Sequence[float]) -> Spread:
    """Return a figure with its interval from what it is without each of g groups.

    The variance is (g - 1) / g * sum (left_out - mean)^2, and the interval Student's with g - 1 degrees of freedom.

    Args:
        value: the figure of all rows.
        left_out: the same without each group in turn, at least two.
    """
    groups, found = len(left_out), np.array(left_out)
    deviation = np.sqrt((groups - 1) / groups * ((found - found.mean()) ** 2).sum())
    half = float(stats.t.ppf(0.975, groups - 1) * deviation)
    return {"mean": float(value), "low": float(value) - half, "high": float(value) + half}


# Below this an interval would say more about chance than about the figure.
FEWEST = 10


def seeded(seed: int, purpose: str) -> np.random.Generator:
    """Return a generator that is a pure function of a seed and of what its numbers are for."""
    return philox_generator(seed, purpose)


def order(number: int, seed: int, purpose: str) -> np.ndarray:
    """Return a random order of ``number`` things, int64 (N,)."""
    # Sorting raw words: unlike Generator.permutation, NumPy may not change it between versions.
    return np.argsort(seeded(seed, purpose).bit_generator.random_raw(number), kind="stable")


@dataclass(frozen=True)
class Bootstrap:
    """Resamplings of sets of images.

    Attributes:
        resamplings: how many; 0 for none.
        seed: of the draws.
    """

    resamplings: int
    seed: int

    def draws(self, purpose: str, *sizes: int) -> list[np.ndarray] | None:
        """Return how often each image is drawn in each resampling with replacement: float64 (R, N) per set.

        Args:
            purpose: what the draws are for; another purpose gets other ones.
            sizes: images in each set.

        Returns:
            None where there are no resamplings, or a set has fewer than ten images.
        """
        if not self.resamplings or min(sizes) < FEWEST:
            return None
        numbers = seeded(self.seed, purpose)
        return [
            numbers.multinomial(size, np.full(size, 1 / size), size=self.resamplings).astype(np.float64)
            for size in sizes
        ]


def normal_interval(
    value: float, resampled_R: np.ndarray, lowest: float = -math.inf, highest: float = math.inf
) -> tuple[float, float]:
    """Return a 95 % interval: 1.96 standard deviations of the resamplings around the value, cut to the metric's range.

    Not the percentiles of the resamplings: drawing with replacement repeats images, so a resampled set is less varied than
    the set it came from. Its distance to others is larger throughout, and the percentiles would often leave out the value
    itself. The spread of the resamplings is what carries over.

    Args:
        value: the figure, from the whole sets.
        resampled_R: the figure of each resampling.
        lowest: least value the figure can have.
        highest: largest one.
    """
    margin = 1.96 * float(np.std(resampled_R, ddof=1))
    return max(value - margin, lowest), min(value + margin, highest)


def share_interval(share: float, number: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share (1927): where no image, or every one, counts, resamplings have no spread.

    Args:
        share: from 0 to 1.
        number: images it is the share of.
    """
    z_squared = 1.96**2 / number
    middle = (share + z_squared / 2) / (1 + z_squared)
    margin = math.sqrt(z_squared * share * (1 - share) + z_squared**2 / 4) / (1 + z_squared)
    return max(middle - margin, 0.0), min(middle + margin, 1.0)


def percentiles(values_R: np.ndarray) -> tuple[float, float]:
    """Return the interval between the percentiles 2.5 and 97.5 of resampled values."""
    low, high = np.percentile(values_R, [2.5, 97.5])
    return float(low), float(high)


def resampled_lesions(labels_N: np.ndarray, lesions: Sequence[str], resamplings: int, seed: int = 0) -> np.ndarray:
    """Return how often each image counts when whole lesions are drawn with replacement, class by class.

    Images of one lesion resemble each other: drawn one by one they would make the interval too narrow. Within the classes, so
    that no resampling lacks one.

    Args:
        labels_N: classes.
        lesions: lesion of each image; a lesion belongs to the class of its first image.
        resamplings: R.
        seed: of the drawing.

    Returns:
        float64 of shape (R, N).
    """
    _, first_L, of_N = np.unique(np.array(lesions), return_index=True, return_inverse=True)
    class_L = labels_N[first_L]
    times_RL = np.zeros((resamplings, len(first_L)))
    for label in np.unique(class_L):
        members = np.flatnonzero(class_L == label)
        numbers = philox_generator(seed, int(label))
        equal = np.full(len(members), 1 / len(members))
        times_RL[:, members] = numbers.multinomial(len(members), equal, size=resamplings)
    return times_RL[:, of_N]
