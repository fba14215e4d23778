"""Angles: what is read as affine, what is refused, on written and on generated expressions."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit.circuit import Parameter

from qgan_qiskit.circuits import affine_form
from qgan_qiskit.errors import CircuitError

X, T = Parameter("x_000"), Parameter("theta_000")
PARAMETERS = [Parameter(f"theta_{number:03d}") for number in range(4)]


@pytest.mark.parametrize(
    ("angle", "coefficients", "offset"),
    [
        (0.25, {}, 0.25),
        (3, {}, 3.0),
        (X, {X: 1.0}, 0.0),
        (-X, {X: -1.0}, 0.0),
        (X / 2 + 0.3, {X: 0.5}, 0.3),
        (X + T + X, {X: 2.0, T: 1.0}, 0.0),
        (2 * (X - 3 * T) + 1 - X, {X: 1.0, T: -6.0}, 1.0),
        (X - X + 0.7, {}, 0.7),
        (X * 0, {}, 0.0),
        (X * T - T * X + X, {X: 1.0}, 0.0),
        (X**0, {}, 1.0),
        (X.sin() * 0 + 1, {}, 1.0),
    ],
)
def test_affine_expressions(angle, coefficients, offset):
    found, found_offset = affine_form(angle)
    assert found == pytest.approx(coefficients)
    assert found_offset == pytest.approx(offset)
    assert type(found_offset) is float


@pytest.mark.parametrize(
    ("angle", "offender"),
    [
        (X * T, "'theta_000'"),
        (X.sin(), "'x_000'"),
        (X.cos() + T, "'x_000'"),
        (X**2, "'x_000'"),
        (1 / X, "'x_000'"),
        (X.exp(), "'x_000'"),
        (X.abs(), "'x_000'"),
        ((X - 100).abs(), "'x_000'"),
        (X.sign(), "'x_000'"),
        (X * X.abs() / X, "'x_000'"),
        ((X**2) ** 0.5, "'x_000'"),
        (T + X * X, "'x_000'"),
    ],
)
def test_refusals_name_parameter_place_and_angle(angle, offender):
    with pytest.raises(CircuitError) as caught:
        affine_form(angle, "gate 'ry' on qubit 3")
    message = str(caught.value)
    assert f"is not affine in {offender}" in message
    assert f"angle {angle} of gate 'ry' on qubit 3" in message
    assert "\n" not in message


@pytest.mark.parametrize("angle", [1j * X, X + 1j, math.nan, math.inf, X * X / X, (0 * X).log()])
def test_values_that_are_no_angle(angle):
    with pytest.raises(CircuitError, match="not a finite real number"):
        affine_form(angle)


NUMBERS = st.floats(-4, 4).map(lambda value: round(value, 3))
AFFINE = st.recursive(
    st.sampled_from(PARAMETERS),
    lambda inner: st.one_of(
        st.builds(lambda a, b: a + b, inner, inner),
        st.builds(lambda a, b: a - b, inner, inner),
        st.builds(lambda a, k: a * k, inner, NUMBERS),
        st.builds(lambda a, k: k + a, inner, NUMBERS),
        st.builds(lambda a, k: a / k, inner, NUMBERS.filter(lambda k: abs(k) > 0.1)),
    ),
    max_leaves=8,
)


def evaluate(angle, point):
    bound = {parameter: value for parameter, value in point.items() if parameter in angle.parameters}
    return float(angle.bind(bound).numeric())


@settings(max_examples=150, deadline=None)
@given(AFFINE, st.lists(NUMBERS, min_size=4, max_size=4))
def test_generated_affine_expressions_give_their_value(angle, values):
    point = dict(zip(PARAMETERS, values, strict=True))
    coefficients, offset = affine_form(angle)
    expected = evaluate(angle, point)
    assert set(coefficients) <= angle.parameters
    assert 0.0 not in coefficients.values()
    assert sum(c * point[p] for p, c in coefficients.items()) + offset == pytest.approx(expected, rel=1e-9, abs=1e-6)


CURVES = st.sampled_from(
    [lambda a: a.sin(), lambda a: a.cos(), lambda a: a**2, lambda a: a * X, lambda a: a.exp(), lambda a: a.abs()]
)


@settings(max_examples=100, deadline=None)
@given(AFFINE, CURVES, AFFINE, st.floats(0.5, 3))
def test_generated_curved_expressions_are_refused(inner, curve, rest, scale):
    # T is in neither generated part, so the curve cannot collapse to a constant.
    with pytest.raises(CircuitError, match="is not affine in"):
        affine_form(curve(inner + Parameter("theta_999")) * scale + rest)


ANY = st.recursive(
    st.sampled_from(PARAMETERS[:2]),
    lambda inner: st.one_of(
        st.builds(lambda a, b: a + b, inner, inner),
        st.builds(lambda a, b: a - b, inner, inner),
        st.builds(lambda a, b: a * b, inner, inner),
        st.builds(lambda a, b: a / b, inner, inner),
        st.builds(lambda a, k: a * k, inner, NUMBERS),
        st.builds(lambda a, k: a**k, inner, st.sampled_from([0, 0.5, 1, 2, 3])),
        st.builds(lambda a, f: getattr(a, f)(), inner, st.sampled_from(["sin", "cos", "abs", "exp", "log", "sign"])),
    ),
    max_leaves=5,
)


@settings(max_examples=400, deadline=None)
@given(st.data(), st.lists(st.floats(-4, 4), min_size=4, max_size=4))
def test_whatever_is_accepted_is_affine(data, values):
    try:
        angle = data.draw(ANY)
        coefficients, offset = affine_form(angle)
    except (CircuitError, ZeroDivisionError, RuntimeError):
        return
    point = dict(zip(PARAMETERS, values, strict=True))
    try:
        expected = evaluate(angle, point)
    except (ZeroDivisionError, TypeError):
        return  # Qiskit has no value here, so neither form can be compared
    assert sum(c * point[p] for p, c in coefficients.items()) + offset == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_refusal_does_not_wait_for_qiskits_derivative():
    # gradient() of this takes minutes.
    angle = (((T + X) * (X - 1)) * (X.exp() - (T - X * T)) * -1.3).abs()
    for _ in range(3):
        angle = (angle * (X + T)).abs()
    with pytest.raises(CircuitError, match="is not affine in"):
        affine_form(angle)
