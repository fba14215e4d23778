"""Parsing of circuit angles: affine forms, and expression trees of differentiable real functions for everything else.

An affine angle is ``sum of coefficient * parameter + offset``. Angles are radians.
"""

from __future__ import annotations

import math
import uuid
from dataclasses import dataclass
from typing import Any

from qiskit.circuit import Parameter, ParameterExpression

from qgan_qiskit.errors import CircuitError

FUNCTIONS = frozenset({"sin", "cos", "tan", "asin", "acos", "atan", "exp", "log", "Abs"})
# Gives equal expressions equal parameters.
_NAMESPACE = uuid.UUID("5a4f3f0c-6b0e-4a3e-9a3e-7c1f8d2b6e11")

# ("leaf", index), ("number", index), ("Add" | "Mul", node, ...), ("Pow", node, node | float) or (function, node).
Tree = tuple[Any, ...]
AffineForm = tuple[dict[Parameter, float], float]


@dataclass(frozen=True)
class Expression:
    """An angle as a tree; expressions with equal trees differ only in leaves and numbers and are evaluated together.

    Attributes:
        text: the angle as Qiskit writes it, for messages.
        source: the angle.
        tree: the computation.
        leaves: the parameter at each leaf.
        numbers: the constants, except for constant exponents, which are part of the tree.
    """

    text: str
    source: ParameterExpression
    tree: Tree
    leaves: tuple[Parameter, ...]
    numbers: tuple[float, ...]

    @property
    def parameter(self) -> Parameter:
        """The parameter that replaces this expression in a lowered circuit."""
        key = repr((self.tree, [str(leaf.uuid) for leaf in self.leaves], self.numbers))
        return Parameter(f"<{self.text}>", uuid=uuid.uuid5(_NAMESPACE, key))


def affine_form(angle: ParameterExpression | float, where: str = "") -> AffineForm:
    """Return the coefficients and the offset of an angle that is affine in its parameters.

    An angle is affine if Qiskit's symbolic derivative by each parameter is a number. Expressions whose derivative Qiskit
    does not simplify to a number (``x**1``, ``sin(x)**2 + cos(x)**2``) are therefore rejected.

    Args:
        angle: a number or a Qiskit expression.
        where: location of the angle for messages, such as ``gate 'ry' on qubit 3``.

    Returns:
        The non-zero coefficients by parameter (in order of name) and the offset.

    Raises:
        CircuitError: the angle is not affine, not real, not finite, or undefined where its parameters are zero.
    """
    if isinstance(angle, Parameter):
        return {angle: 1.0}, 0.0
    subject = _describe(angle, where)
    if not isinstance(angle, ParameterExpression):
        return {}, _require_real(angle, subject)
    parameters = sorted(angle.parameters, key=lambda parameter: (parameter.name, parameter.uuid))
    coefficients = {}
    for parameter in parameters:
        slope = None if _is_curved(angle, parameter) else _constant_derivative(angle, parameter)
        if slope is None:
            raise CircuitError(
                f"{subject} is not affine in '{parameter.name}'; "
                "write it as a sum of numbers times parameters plus a number"
            )
        coefficient = _require_real(slope, subject)
        if coefficient != 0.0:
            coefficients[parameter] = coefficient
    return coefficients, _require_real(_evaluate_at(angle, dict.fromkeys(parameters, 0.0)), subject)


def angle_form(angle: ParameterExpression | float, where: str = "") -> AffineForm | Expression:
    """Return the affine form of an angle if it has one, else its expression; arguments as in :func:`affine_form`.

    Raises:
        CircuitError: the angle is not real, never finite, or uses a function that has no derivative (``sign``).
    """
    try:
        return affine_form(angle, where)
    except CircuitError:
        if not isinstance(angle, ParameterExpression) or not angle.parameters:
            raise
    return _parse_expression(angle, _describe(angle, where))


def _describe(angle: ParameterExpression | float, where: str) -> str:
    return f"angle {angle}{f' of {where}' if where else ''}"


def _is_curved(expression: ParameterExpression, parameter: Parameter) -> bool:
    """Return whether three values on a line along one parameter prove curvature; if not, only the derivative can tell.

    It comes first because Qiskit's derivative of ``abs`` of a long expression grows until the process hangs.
    """
    point = dict(zip(expression.parameters, (0.61 + 0.17 * n for n in range(len(expression.parameters))), strict=True))
    left, middle, right = (_evaluate_at(expression, {**point, parameter: value}) for value in (-0.9, 0.3, 1.5))
    try:
        return abs(left - 2 * middle + right) > 1e-6 * max(abs(left), abs(middle), abs(right))
    except OverflowError:  # beyond 1e308 no angle is usable
        return True


def _constant_derivative(expression: ParameterExpression, parameter: Parameter) -> complex | None:
    """Return the derivative if it is a number, else None; ``sign`` has none."""
    try:
        slope = expression.gradient(parameter)
    except RuntimeError:
        return None
    return None if isinstance(slope, ParameterExpression) else slope


def _evaluate_at(expression: ParameterExpression, point: dict[Parameter, float]) -> complex:
    """Return the expression at a point; NaN where it is undefined."""
    try:
        return expression.bind(point).numeric()
    except (ArithmeticError, RuntimeError, TypeError, ValueError):
        return math.nan


def _require_real(value: complex, subject: str) -> float:
    number = complex(value)
    if number.imag != 0 or not math.isfinite(number.real):
        raise CircuitError(f"{subject} is not a finite real number; angles are radians")
    return number.real


def _parse_expression(angle: ParameterExpression, subject: str) -> AffineForm | Expression:
    import sympy

    try:
        formula = angle.sympify()
    except Exception as error:  # errors of Qiskit and SymPy
        raise CircuitError(f"{subject} cannot be parsed as a formula ({error}); use other functions") from error
    if formula.has(sympy.I, sympy.nan, sympy.zoo, sympy.oo, -sympy.oo):
        raise CircuitError(f"{subject} is not a finite real number; angles are radians")
    if not formula.free_symbols:
        return {}, _require_real(float(formula), subject)
    parameters = {parameter.name: parameter for parameter in angle.parameters}
    leaves: list[Parameter] = []
    numbers: list[float] = []

    def build_node(term: Any) -> Tree:
        if term.is_Symbol:
            leaves.append(parameters[term.name])
            return "leaf", len(leaves) - 1
        if term.is_number:
            numbers.append(float(term))
            return "number", len(numbers) - 1
        name = type(term).__name__
        if name == "Pow":
            base, exponent = term.args
            return "Pow", build_node(base), float(exponent) if exponent.is_number else build_node(exponent)
        if name in ("Add", "Mul"):
            return (name, *map(build_node, term.args))
        if name in FUNCTIONS:
            return name, build_node(term.args[0])
        if name in ("conjugate", "re"):
            return build_node(term.args[0])
        raise CircuitError(f"{subject} uses '{name}', which is not differentiable here; use sums, powers, sin, …")

    try:
        tree = build_node(formula)
    except (TypeError, ValueError, OverflowError, KeyError, RecursionError) as error:
        raise CircuitError(f"{subject} cannot be parsed as a real formula ({error}); simplify it") from error
    return Expression(str(angle), angle, tree, tuple(leaves), tuple(numbers))
