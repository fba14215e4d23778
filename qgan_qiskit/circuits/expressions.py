"""Angles that are not affine in their parameters, read once as trees of a few real, differentiable functions."""

from __future__ import annotations

import math
import uuid
from dataclasses import dataclass
from typing import Any

from qiskit.circuit import Parameter, ParameterExpression

from qgan_qiskit.circuits.affine import affine_form
from qgan_qiskit.errors import CircuitError

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
