"""Intervals and paired tests, against their definitions written out and against scipy."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from qgan_qiskit.stats import holm, paired_test, t_interval

values = st.floats(-100, 100).map(lambda value: round(value, 6))


def test_interval_of_a_textbook_sample():
    """Student's own: t(0.975; 9) = 2.262157."""
    sample = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
    interval = t_interval(sample)
    assert interval.mean == pytest.approx(0.75)
    half = 2.262157 * math.sqrt(sum((x - 0.75) ** 2 for x in sample) / 9 / 10)
    assert (interval.low, interval.high) == pytest.approx((0.75 - half, 0.75 + half), rel=1e-6)


def test_interval_needs_two_values():
    assert t_interval([]) is None
    assert t_interval([1.0]) is None
    assert t_interval([1.0, 1.0]).low == 1.0


def test_sign_flips_as_scipy_counts_them():
    rng = np.random.default_rng(2)
    for pairs in (2, 5, 11, 14):
        first, second = rng.normal(0, 1, (2, pairs))
        theirs = stats.permutation_test(
            (first, second), lambda a, b: np.mean(a - b), permutation_type="samples", n_resamples=np.inf
        )
        assert paired_test(first, second).flip_p == pytest.approx(theirs.pvalue, abs=1e-12)


def test_twenty_pairs_are_still_exact():
    found = paired_test([1.0] * 20, [0.5] * 19 + [2.0])
    # Nineteen differences of 0.5 and one of -1: their sum is 8.5.
    assert (found.exact, found.flips) == (True, 2**20)
    sums = [19 - 2 * k for k in range(20)]
    ways = [math.comb(19, k) for k in range(20)]
    as_far = sum(w for s, w in zip(sums, ways, strict=True) for last in (1, -1) if abs(0.5 * s + last) >= 8.5)
    assert found.flip_p == as_far / 2**20


@given(st.lists(st.tuples(values, values), min_size=2, max_size=9))
def test_sign_flips_are_counted_one_by_one(pairs):
    first, second = zip(*pairs, strict=True)
    differences = [a - b for a, b in pairs]
    found = paired_test(first, second)
    means = [
        abs(sum(sign * d for sign, d in zip(signs, differences, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(pairs))
    ]
    share = np.mean([mean >= abs(sum(differences)) - 1e-9 for mean in means])
    assert found.flip_p == pytest.approx(share, abs=1e-12)
    assert (found.pairs, found.flips, found.exact) == (len(pairs), 2 ** len(pairs), True)
    assert found.mean == pytest.approx(np.mean(differences))


@given(st.lists(st.tuples(values, values), min_size=3, max_size=30))
def test_t_test_is_that_of_the_differences(pairs):
    first, second = zip(*pairs, strict=True)
    differences = np.subtract(first, second)
    found = paired_test(first, second)
    if found.t_p is None:
        assert np.ptp(differences) < 1e-9
    else:
        t = differences.mean() / (differences.std(ddof=1) / math.sqrt(len(pairs)))
        assert found.t_p == pytest.approx(2 * stats.t.sf(abs(t), len(pairs) - 1), rel=1e-6, abs=1e-12)


def test_many_pairs_are_drawn_and_say_so():
    rng = np.random.default_rng(1)
    first = rng.normal(0.3, 1, 25)
    found = paired_test(first, np.zeros(25))
    assert not found.exact
    assert found.flips == 100_000
    # The normal approximation of the permutation distribution.
    z = abs(first.sum()) / math.sqrt((first**2).sum())
    assert found.flip_p == pytest.approx(2 * stats.norm.sf(z), abs=0.005)
    assert paired_test(first, np.zeros(25)) == found


def test_too_few_pairs_are_no_test():
    assert paired_test([], []) is None
    assert paired_test([1.0], [2.0]) is None


def test_equal_differences_have_no_t_test():
    found = paired_test([2.0, 3.0, 4.0], [1.0, 2.0, 3.0])
    assert found.t_p is None
    assert found.flip_p == 0.25


@given(st.lists(st.none() | st.floats(0, 1), max_size=8))
def test_holm_by_its_definition(p_values):
    """Largest, over all smaller or equal p, of (number of p not smaller) x p, at most 1."""
    present = sorted(p for p in p_values if p is not None)
    corrected = holm(p_values)
    assert [p is None for p in corrected] == [p is None for p in p_values]
    for p, adjusted in zip(p_values, corrected, strict=True):
        if p is not None:
            steps = [(len(present) - rank) * q for rank, q in enumerate(present) if q <= p]
            assert adjusted == pytest.approx(min(1.0, max(steps)))
