"""Intervals, paired tests and resampling, against their definitions and scipy; intervals cover as often as they claim."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from qgan_qiskit.stats import (
    MIN_BOOTSTRAP_SIZE,
    Bootstrap,
    holm,
    normal_interval,
    paired_test,
    shuffle_indices,
    t_interval,
    wilson_interval,
)

values = st.floats(-100, 100).map(lambda value: round(value, 6))


def test_t_interval_of_a_textbook_sample():
    """Student's own: t(0.975; 9) = 2.262157."""
    sample = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
    half = 2.262157 * math.sqrt(sum((x - 0.75) ** 2 for x in sample) / 9 / 10)
    assert t_interval(sample) == pytest.approx({"mean": 0.75, "low": 0.75 - half, "high": 0.75 + half}, rel=1e-6)


def test_t_interval_needs_two_values():
    for few in ([], [1.0], np.array([1.0])):
        with pytest.raises(ValueError, match="two values"):
            t_interval(few)
    assert t_interval([1.0, 1.0])["low"] == 1.0


def test_sign_flips_equal_scipy():
    rng = np.random.default_rng(2)
    for pairs in (2, 5, 11, 14):
        first, second = rng.normal(0, 1, (2, pairs))
        expected = stats.permutation_test(
            (first, second), lambda a, b: np.mean(a - b), permutation_type="samples", n_resamples=np.inf
        )
        assert paired_test(first, second).flip_p == pytest.approx(expected.pvalue, abs=1e-12)


def test_twenty_pairs_are_exact():
    found = paired_test([1.0] * 20, [0.5] * 19 + [2.0])
    # Nineteen differences of 0.5 and one of -1: their sum is 8.5.
    assert (found.exact, found.flips) == (True, 2**20)
    sums = [19 - 2 * k for k in range(20)]
    ways = [math.comb(19, k) for k in range(20)]
    extreme = sum(w for s, w in zip(sums, ways, strict=True) for last in (1, -1) if abs(0.5 * s + last) >= 8.5)
    assert found.flip_p == extreme / 2**20


@given(st.lists(st.tuples(values, values), min_size=2, max_size=9))
def test_sign_flips_equal_enumeration(pairs):
    first, second = zip(*pairs, strict=True)
    differences = [a - b for a, b in pairs]
    found = paired_test(first, second)
    sums = [
        abs(sum(sign * d for sign, d in zip(signs, differences, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(pairs))
    ]
    fraction = np.mean([each >= abs(sum(differences)) - 1e-9 for each in sums])
    assert found.flip_p == pytest.approx(fraction, abs=1e-12)
    assert (found.pairs, found.flips, found.exact) == (len(pairs), 2 ** len(pairs), True)
    assert found.mean == pytest.approx(np.mean(differences))


@given(st.lists(st.tuples(values, values), min_size=3, max_size=30))
def test_paired_t_test_equals_its_formula(pairs):
    first, second = zip(*pairs, strict=True)
    differences = np.subtract(first, second)
    found = paired_test(first, second)
    if found.t_p is None:
        assert np.ptp(differences) < 1e-9
    else:
        t = differences.mean() / (differences.std(ddof=1) / math.sqrt(len(pairs)))
        assert found.t_p == pytest.approx(2 * stats.t.sf(abs(t), len(pairs) - 1), rel=1e-6, abs=1e-12)


def test_many_pairs_are_sampled():
    rng = np.random.default_rng(1)
    first = rng.normal(0.3, 1, 25)
    found = paired_test(first, np.zeros(25))
    assert (found.exact, found.flips) == (False, 100_000)
    # The normal approximation of the permutation distribution.
    z = abs(first.sum()) / math.sqrt((first**2).sum())
    assert found.flip_p == pytest.approx(2 * stats.norm.sf(z), abs=0.005)
    assert paired_test(first, np.zeros(25)) == found


def test_paired_test_of_too_few_pairs_and_equal_differences():
    assert paired_test([], []) is None
    assert paired_test([1.0], [2.0]) is None
    found = paired_test([2.0, 3.0, 4.0], [1.0, 2.0, 3.0])
    assert (found.t_p, found.flip_p) == (None, 0.25)


@given(st.lists(st.none() | st.floats(0, 1), max_size=8))
def test_holm_equals_its_definition(p_values):
    """Largest, over all smaller or equal p, of (number of p not smaller) x p, at most 1."""
    present = sorted(p for p in p_values if p is not None)
    corrected = holm(p_values)
    assert [p is None for p in corrected] == [p is None for p in p_values]
    for p, adjusted in zip(p_values, corrected, strict=True):
        if p is not None:
            steps = [(len(present) - rank) * q for rank, q in enumerate(present) if q <= p]
            assert adjusted == pytest.approx(min(1.0, max(steps)))


def test_shuffled_indices_are_a_permutation_set_by_seed_and_purpose():
    for number in (0, 1, 2, 50):
        assert sorted(shuffle_indices(number, 3, "x")) == list(range(number))
    orders = [shuffle_indices(50, *key) for key in ((3, "x"), (3, "x"), (4, "x"), (3, "y"))]
    assert np.array_equal(orders[0], orders[1])
    assert not np.array_equal(orders[0], orders[2])
    assert not np.array_equal(orders[0], orders[3])


def test_bootstrap_counts_add_up_to_the_set():
    first, second = Bootstrap(7, 1).draw_counts("x", 20, 33)
    assert (first.shape, second.shape) == ((7, 20), (7, 33))
    assert (first.sum(axis=1) == 20).all()
    assert (second.sum(axis=1) == 33).all()
    assert np.array_equal(first, Bootstrap(7, 1).draw_counts("x", 20, 33)[0])
    for other in (Bootstrap(7, 2).draw_counts("x", 20), Bootstrap(7, 1).draw_counts("y", 20)):
        assert not np.array_equal(first, other[0])
    assert Bootstrap(0, 1).draw_counts("x", 20) is None
    assert Bootstrap(7, 1).draw_counts("x", 20, MIN_BOOTSTRAP_SIZE - 1) is None


def test_normal_intervals_stay_in_range():
    resampled = np.array([0.0, 1.0])
    assert normal_interval(0.5, resampled) == pytest.approx((0.5 - 1.96 * 0.5**0.5, 0.5 + 1.96 * 0.5**0.5))
    assert normal_interval(0.5, resampled, 0, 1) == (0, 1)
    assert normal_interval(0.5, np.full(9, 7.0)) == (0.5, 0.5)


def test_normal_interval_of_a_mean_covers_it_19_times_in_20():
    rng = np.random.default_rng(0)
    covered = 0
    for repeat in range(400):
        sample = rng.exponential(size=60)
        (counts,) = Bootstrap(60, repeat).draw_counts("x", 60)
        low, high = normal_interval(sample.mean(), counts @ sample / 60)
        covered += low <= 1 <= high
    assert 0.89 < covered / 400 < 0.98


@pytest.mark.parametrize("fraction", [0.0, 0.01, 0.3, 1.0])
@pytest.mark.parametrize("number", [10, 77, 1000])
def test_wilson_interval_equals_scipy(fraction, number):
    fraction = round(fraction * number) / number
    expected = stats.binomtest(round(fraction * number), number).proportion_ci(0.95, method="wilson")
    low, high = wilson_interval(fraction, number)
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-4)
    assert low <= fraction <= high
    assert high > low
