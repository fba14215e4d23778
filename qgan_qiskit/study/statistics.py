"""Means, intervals and paired tests over the seeds and classes of a study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

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
    were a coin toss (Fisher's randomisation test). Its smallest p-value is 2 / 2^pairs.

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
    signs = np.random.default_rng(_FLIP_SEED).choice((-1.0, 1.0), (_DRAWN_FLIPS, len(differences)))
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
