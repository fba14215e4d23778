"""Choices and resamplings: seeded, and intervals that hold what they should as often as they should."""

import numpy as np
import pytest

from qgan_qiskit.stats import FEWEST, Bootstrap, normal_interval, order, share_interval


def test_an_order_is_a_permutation_and_a_function_of_seed_and_purpose():
    for number in (0, 1, 2, 50):
        assert sorted(order(number, 3, "x")) == list(range(number))
    orders = [order(50, *key) for key in ((3, "x"), (3, "x"), (4, "x"), (3, "y"))]
    assert np.array_equal(orders[0], orders[1])
    assert not np.array_equal(orders[0], orders[2])
    assert not np.array_equal(orders[0], orders[3])


def test_draws_are_counts_of_as_many_images():
    first, second = Bootstrap(7, 1).draws("x", 20, 33)
    assert first.shape == (7, 20)
    assert second.shape == (7, 33)
    assert (first.sum(axis=1) == 20).all()
    assert (second.sum(axis=1) == 33).all()
    assert np.array_equal(first, Bootstrap(7, 1).draws("x", 20, 33)[0])
    for other in (Bootstrap(7, 2).draws("x", 20), Bootstrap(7, 1).draws("y", 20)):
        assert not np.array_equal(first, other[0])
    assert Bootstrap(0, 1).draws("x", 20) is None
    assert Bootstrap(7, 1).draws("x", 20, FEWEST - 1) is None


def test_intervals_stay_in_range():
    spread = np.array([0.0, 1.0])
    assert normal_interval(0.5, spread) == pytest.approx((0.5 - 1.96 * 0.5**0.5, 0.5 + 1.96 * 0.5**0.5))
    assert normal_interval(0.5, spread, 0, 1) == (0, 1)
    assert normal_interval(0.5, np.full(9, 7.0)) == (0.5, 0.5)


def test_an_interval_of_a_mean_holds_it_19_times_in_20():
    rng = np.random.default_rng(0)
    held = 0
    for repeat in range(400):
        values = rng.exponential(size=60)
        (counts,) = Bootstrap(60, repeat).draws("x", 60)
        low, high = normal_interval(values.mean(), counts @ values / 60)
        held += low <= 1 <= high
    assert 0.89 < held / 400 < 0.98


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 1.0])
@pytest.mark.parametrize("number", [10, 77, 1000])
def test_an_interval_of_a_share_is_wilsons(share, number):
    from scipy.stats import binomtest

    share = round(share * number) / number
    expected = binomtest(round(share * number), number).proportion_ci(0.95, method="wilson")
    found = share_interval(share, number)
    assert found == pytest.approx((expected.low, expected.high), abs=1e-4)
    assert found[0] <= share <= found[1]
    assert found[1] - found[0] > 0
