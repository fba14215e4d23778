"""Reading an angle as ``sum of coefficient * parameter + offset``, the only form the exact simulator differentiates.

Angles that are not affine in their parameters, read once as trees of a few real, differentiable functions.
"""

from __future__ import annotations

import math
import uuid
from dataclasses import dataclass
from typing import Any

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


FUNCTIONS = frozenset({"sin", "cos", "tan", "asin", "acos", "atan", "exp", "log", "Abs"})
# Makes the parameter that stands for an expression the same one wherever the same expression is met.
_NAMESPACE = uuid.UUID("5a4f3f0c-6b0e-4a3e-9a3e-7c1f8d2b6e11")

# ("leaf", position), ("number", position), ("Add" | "Mul", node, ...), ("Pow", node, node | float) or (function, node).
Tree = tuple[Any, ...]


@dataclass(frozen=True)
class Expression:
    """An angle as a tree; expressions of one tree differ in their leaves and numbers only and are evaluated together.

    Attributes:
        text: the angle as Qiskit writes it, for messages.
        source: the angle.
        tree: what is computed.
        leaves: the parameter at each leaf.
        numbers: the constants, but for constant exponents, which are part of the tree.
    """

    text: str
    source: ParameterExpression
    tree: Tree
    leaves: tuple[Parameter, ...]
    numbers: tuple[float, ...]

    @property
    def parameter(self) -> Parameter:
        """The parameter that stands for this expression in a lowered circuit."""
        key = repr((self.tree, [str(leaf.uuid) for leaf in self.leaves], self.numbers))
        return Parameter(f"<{self.text}>", uuid=uuid.uuid5(_NAMESPACE, key))


def angle_form(
    angle: ParameterExpression | float, where: str = ""
) -> tuple[dict[Parameter, float], float] | Expression:
    """Return an angle's coefficients and offset if it is affine in its parameters, else its expression.

    Args:
        angle: an angle in radians, a number or a Qiskit expression.
        where: the place of the angle for the error message, such as ``gate 'ry' on qubit 3``.

    Raises:
        CircuitError: the angle is not real, never finite, or made with a function that has no derivative (``sign``).
    """
    try:
        return affine_form(angle, where)
    except CircuitError:
        if not isinstance(angle, ParameterExpression) or not angle.parameters:
            raise
    return _read(angle, f"angle {angle}{f' of {where}' if where else ''}")


def _read(angle: ParameterExpression, what: str) -> tuple[dict[Parameter, float], float] | Expression:
    import sympy

    try:
        formula = angle.sympify()
    except Exception as error:  # Qiskit's and SymPy's own
        raise CircuitError(f"{what} cannot be read as a formula ({error}); write it with other functions") from error
    if formula.has(sympy.I, sympy.nan, sympy.zoo, sympy.oo, -sympy.oo):
        raise CircuitError(f"{what} is not a finite real number; angles are radians")
    if not formula.free_symbols:
        value = float(formula)
        if not math.isfinite(value):
            raise CircuitError(f"{what} is not a finite real number; angles are radians")
        return {}, value
    known = {parameter.name: parameter for parameter in angle.parameters}
    leaves: list[Parameter] = []
    numbers: list[float] = []

    def node(part: Any) -> Tree:
        if part.is_Symbol:
            leaves.append(known[part.name])
            return "leaf", len(leaves) - 1
        if part.is_number:
            numbers.append(float(part))
            return "number", len(numbers) - 1
        name = type(part).__name__
        if name == "Pow":
            base, exponent = part.args
            return "Pow", node(base), float(exponent) if exponent.is_number else node(exponent)
        if name in ("Add", "Mul"):
            return (name, *map(node, part.args))
        if name in FUNCTIONS:
            return name, node(part.args[0])
        if name in ("conjugate", "re"):
            return node(part.args[0])
        raise CircuitError(
            f"{what} uses '{name}', which has no derivative here; use sums, products, powers, sin, cos, …"
        )

    try:
        tree = node(formula)
    except (TypeError, ValueError, OverflowError, KeyError, RecursionError) as error:
        raise CircuitError(f"{what} cannot be read as a real formula ({error}); write it more simply") from error
    return Expression(str(angle), angle, tree, tuple(leaves), tuple(numbers))
