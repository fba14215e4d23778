"""Figures with their 95 % intervals, as reports keep them in JSON: ``{"mean": …, "low": …, "high": …}``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict

import numpy as np
from scipy import stats

from qgan_qiskit.study.statistics import t_interval

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
