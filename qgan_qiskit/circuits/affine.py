"""Reading an angle as ``sum of coefficient * parameter + offset``, the only form the exact simulator differentiates."""

from __future__ import annotations

import math

from qiskit.circuit import Parameter, ParameterExpression

from qgan_qiskit.errors import CircuitError


def affine_form(angle: ParameterExpression | float, where: str = "") -> tuple[dict[Parameter, float], float]:
    """Return the coefficients and the offset of an angle that is affine in its parameters.

    An angle is affine when Qiskit's symbolic derivative by each parameter is a number, so nothing else passes. An
    expression whose derivative Qiskit does not simplify to a number (``x**1``, ``sin(x)**2 + cos(x)**2``) is refused
    too.

    Args:
        angle: an angle in radians, a number or a Qiskit expression.
        where: the place of the angle for the error message, such as ``gate 'ry' on qubit 3``.

    Returns:
        The non-zero coefficients by parameter (in order of name) and the offset in radians.

    Raises:
        CircuitError: if the angle is not affine, not real, not finite, or undefined where its parameters are zero.
    """
    if isinstance(angle, Parameter):
        return {angle: 1.0}, 0.0
    if not isinstance(angle, ParameterExpression):
        return {}, _real(angle, str(angle), where)
    parameters = sorted(angle.parameters, key=lambda parameter: (parameter.name, parameter.uuid))
    coefficients = {}
    for parameter in parameters:
        slope = None if _is_curved(angle, parameter) else _derivative(angle, parameter)
        if slope is None:
            raise CircuitError(
                f"angle {angle}{_at(where)} is not affine in '{parameter.name}'; "
                "write it as a sum of numbers times parameters plus a number"
            )
        coefficient = _real(slope, str(angle), where)
        if coefficient != 0.0:
            coefficients[parameter] = coefficient
    return coefficients, _real(_value(angle, dict.fromkeys(parameters, 0.0)), str(angle), where)


def _is_curved(expression: ParameterExpression, parameter: Parameter) -> bool:
    """Say whether three values on a line along one parameter bend; if not, only the derivative can tell.

    It comes first because Qiskit's derivative of ``abs`` of a long expression grows until the process hangs.
    """
    points = dict(zip(expression.parameters, (0.61 + 0.17 * n for n in range(len(expression.parameters))), strict=True))
    left, middle, right = (_value(expression, {**points, parameter: at}) for at in (-0.9, 0.3, 1.5))
    try:
        return abs(left - 2 * middle + right) > 1e-6 * max(abs(left), abs(middle), abs(right))
    except OverflowError:  # beyond 1e308, where no angle goes in a straight line
        return True


def _derivative(expression: ParameterExpression, parameter: Parameter) -> complex | None:
    """Return the derivative if it is a number, else None; ``sign`` has none."""
    try:
        slope = expression.gradient(parameter)
    except RuntimeError:
        return None
    return None if isinstance(slope, ParameterExpression) else slope


def _value(expression: ParameterExpression, point: dict[Parameter, float]) -> complex:
    """Return the expression at a point; NaN where it is undefined."""
    try:
        return expression.bind(point).numeric()
    except (ArithmeticError, RuntimeError, TypeError, ValueError):
        return math.nan


def _real(value: complex, text: str, where: str) -> float:
    """Return a real and finite value as float, or refuse the angle it came from."""
    number = complex(value)
    if number.imag != 0 or not math.isfinite(number.real):
        raise CircuitError(f"angle {text}{_at(where)} is not a finite real number; angles are radians")
    return number.real


def _at(where: str) -> str:
    return f" of {where}" if where else ""
