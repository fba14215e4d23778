"""Figures of spectra: maps whose answer is known, inequalities that always hold, and intervals that cover."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from qgan_qiskit.analysis.spectrum import (
    centered_spectrum,
    condition_number,
    effective_rank,
    numerical_rank,
    participation_ratio,
    summarize_features,
    summarize_spectra,
)
from qgan_qiskit.stats import geometric_mean_interval, jackknife_interval, t_interval


def spectrum(matrix):
    return np.linalg.svd(matrix, compute_uv=False)


@pytest.mark.parametrize("size", [1, 2, 7, 40])
def test_an_orthogonal_map_uses_all_its_directions_evenly(size):
    orthogonal, _ = np.linalg.qr(np.random.default_rng(size).standard_normal((size + 3, size)))
    values = 2.5 * spectrum(orthogonal)
    assert effective_rank(values) == pytest.approx(size)
    assert participation_ratio(values) == pytest.approx(size)
    assert numerical_rank(values) == size
    assert condition_number(values) == pytest.approx(1)


def test_a_map_of_rank_one_uses_one():
    random = np.random.default_rng(0)
    values = spectrum(np.outer(random.standard_normal(30), random.standard_normal(12)))
    assert effective_rank(values) == pytest.approx(1, abs=1e-9)
    assert participation_ratio(values) == pytest.approx(1)
    assert numerical_rank(values) == 1
    assert condition_number(values) == 1


def test_two_unequal_directions():
    values = np.array([3.0, 1.0])
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert effective_rank(values) == pytest.approx(math.exp(entropy))
    assert participation_ratio(values) == pytest.approx(10**2 / 82)
    assert condition_number(values) == pytest.approx(3)


def test_a_constant_map_has_no_directions():
    values = np.zeros(5)
    assert (effective_rank(values), participation_ratio(values), numerical_rank(values)) == (0, 0, 0)
    assert math.isnan(condition_number(values))
    found = summarize_spectra(np.zeros((4, 5)))
    assert found["condition_number"] is None
    assert found["largest"] is None
    assert found["effective_rank"]["per_latent"]["mean"] == 0


@given(arrays.arrays(float, st.integers(1, 12), elements=st.floats(0, 1e3).map(lambda x: x if x > 1e-3 else 0.0)))
def test_the_participation_ratio_is_below_the_effective_rank_and_this_below_the_rank(values):
    """They are exponentials of Rényi's entropies of orders 2, 1 and 0, the first of a more uneven distribution."""
    values = np.sort(values)[::-1]
    rank = numerical_rank(values)
    assert participation_ratio(values) <= effective_rank(values) * (1 + 1e-9) <= rank * (1 + 1e-6) ** 2
    for figure in (effective_rank, participation_ratio, numerical_rank):
        assert figure(7 * values) == pytest.approx(figure(values), rel=1e-9)


def test_directions_that_do_nothing_are_the_ranks_business():
    values = np.array([4.0, 2.0, 1e-9])
    assert numerical_rank(values) == 2
    assert condition_number(values) == 2


def test_the_summary_of_equal_spectra_is_that_spectrum():
    values = np.array([3.0, 2.0, 0.5])
    found = summarize_spectra(np.tile(values, (6, 1)))
    assert found["spectrum"]["mean"] == found["spectrum"]["low"] == found["spectrum"]["high"] == values.tolist()
    assert found["largest"] == pytest.approx({"mean": 3, "low": 3, "high": 3})
    assert found["condition_number"]["mean"] == pytest.approx(6)
    for name, figure in (("effective_rank", effective_rank), ("participation_ratio", participation_ratio)):
        for kind in ("per_latent", "of_mean"):
            assert found[name][kind] == pytest.approx(dict.fromkeys(("mean", "low", "high"), figure(values)))


def test_centered_features_have_the_deviations_of_their_axes():
    """Features that are a turned and shifted cloud of known spread; the scatter of N draws is about 1 / sqrt(2 N)."""
    random = np.random.default_rng(3)
    deviations = np.array([2.0, 1.0, 0.25])
    turn, _ = np.linalg.qr(random.standard_normal((5, 3)))
    rows = 100 + random.standard_normal((20_000, 3)) * deviations @ turn.T
    np.testing.assert_allclose(centered_spectrum(rows), [2, 1, 0.25, 0, 0], rtol=0.03, atol=1e-9)
    found = summarize_features(rows)
    assert found["rank"] == {"mean": 3, "low": 3, "high": 3}
    assert found["participation_ratio"]["mean"] == pytest.approx(
        (deviations**2).sum() ** 2 / (deviations**4).sum(), rel=0.03
    )
    assert found["first_share"] == pytest.approx(4 / (4 + 1 + 1 / 16), rel=0.02)
    assert found["variance"] == pytest.approx((4 + 1 + 1 / 16) / 5, rel=0.03)


def test_features_that_do_not_vary_have_collapsed():
    rows = np.tile(np.arange(4.0), (50, 1))
    found = summarize_features(rows)
    assert found["effective_rank"]["mean"] == found["rank"]["mean"] == found["variance"] == 0
    line = rows + np.random.default_rng(0).standard_normal((50, 1)) * np.array([1.0, 2, 0, -1])
    assert summarize_features(line)["effective_rank"]["mean"] == pytest.approx(1, abs=1e-6)


def test_the_jackknife_of_a_mean_is_students_interval():
    """With a row in each group it is the interval of the mean exactly."""
    values = np.random.default_rng(1).normal(5, 2, 20)
    assert jackknife_interval(values, lambda rows: float(rows.mean())) == pytest.approx(t_interval(values))


def test_intervals_of_a_nonlinear_figure_cover_the_truth():
    """Of 95 % intervals for the ratio of two variances about 95 % must hold it; below 88 of 100 has a chance of 0.3 %."""
    random = np.random.default_rng(2)
    held = 0
    for _ in range(100):
        found = jackknife_interval(
            random.standard_normal((400, 2)) * [2, 1], lambda rows: float(rows[:, 0].var() / rows[:, 1].var())
        )
        held += found["low"] <= 4 <= found["high"]
    assert held >= 88


def test_the_jackknife_of_a_matrix_is_that_of_its_rows():
    rows = np.random.default_rng(4).standard_normal((50, 4)) * [4, 2, 1, 0.5]
    found = summarize_features(rows)["effective_rank"]
    assert found == pytest.approx(jackknife_interval(rows, lambda some: effective_rank(centered_spectrum(some))))


def test_too_few_values_have_no_interval():
    with pytest.raises(ValueError, match="two values"):
        t_interval(np.array([1.0]))
    assert geometric_mean_interval(np.array([0.0, np.nan, 2.0])) is None
    assert geometric_mean_interval(np.array([1.0, 0.0, 4.0]))["mean"] == pytest.approx(2)
