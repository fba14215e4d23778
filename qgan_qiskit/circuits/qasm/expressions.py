"""Values of OpenQASM 3 expressions: whole numbers, real numbers, and angles with free parameters."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TypeAlias

from openqasm3 import ast
from qiskit.circuit import ParameterExpression

from qgan_qiskit.errors import CircuitError

Value: TypeAlias = ParameterExpression | float | int
# What a name stands for; an input array stands for its elements.
Names: TypeAlias = Mapping[str, Value | list[Value]]

CONSTANTS: dict[str, Value] = {
    "pi": math.pi,
    "π": math.pi,
    "tau": math.tau,
    "τ": math.tau,
    "euler": math.e,
    "ℇ": math.e,
}
# Of a number, and the method of Qiskit's expressions. The second names are those that Qiskit's exporter writes.
_FUNCTIONS: dict[str, tuple[Callable[[float], float], str]] = {
    "sin": (math.sin, "sin"),
    "cos": (math.cos, "cos"),
    "tan": (math.tan, "tan"),
    "arcsin": (math.asin, "arcsin"),
    "arccos": (math.acos, "arccos"),
    "arctan": (math.atan, "arctan"),
    "asin": (math.asin, "arcsin"),
    "acos": (math.acos, "arccos"),
    "atan": (math.atan, "arctan"),
    "exp": (math.exp, "exp"),
    "log": (math.log, "log"),
    "ln": (math.log, "log"),
    "abs": (abs, "abs"),
    "sign": (lambda number: float((number > 0) - (number < 0)), "sign"),
    "conj": (float, "conjugate"),
}
# An expression longer than this is one that doubles with each gate it passes through.
_LONGEST = 10_000
_LARGEST_WHOLE = 2.0**63


def value_of(node: ast.Expression, names: Names) -> Value:
    """Return the value of an expression.

    Args:
        node: its syntax tree.
        names: the values of constants, inputs and parameters of a gate.

    Raises:
        CircuitError: a name is unknown, something has no finite real value, or is no arithmetic.
    """
    try:
        value = _value(node, names)
    except CircuitError:
        raise
    except (ArithmeticError, ValueError, TypeError, RuntimeError) as error:
        raise CircuitError(f"an angle has no value ({' '.join(str(error).split())})") from error
    if isinstance(value, ParameterExpression):
        if not value.parameters:
            return _finite(value.numeric())
        if len(str(value)) > _LONGEST:
            raise CircuitError("an angle grows without bound through gates that use gates; write it out")
        return value
    return _finite(value)


def whole_number(node: ast.Expression, names: Names, what: str) -> int:
    """Return the value of an expression that must be a whole number.

    Raises:
        CircuitError: it is not.
    """
    value = value_of(node, names)
    if not isinstance(value, int):
        raise CircuitError(f"{what} is {value}; give a whole number")
    return value


def _finite(value: complex) -> float | int:
    if isinstance(value, complex):
        if value.imag:
            raise CircuitError(f"an angle is {value}, which is not real; angles are radians")
        value = value.real
    if isinstance(value, float) and not math.isfinite(value):
        raise CircuitError(f"an angle is {value}, which is not a finite number; angles are radians")
    if isinstance(value, int) and abs(value) >= _LARGEST_WHOLE:
        return float(value)
    return value


def _value(node: ast.Expression, names: Names) -> Value:
    match node:
        case ast.IntegerLiteral() | ast.FloatLiteral():
            return _finite(node.value)
        case ast.Identifier():
            return _named(node.name, names)
        case ast.IndexExpression():
            return _element(node, names)
        case ast.UnaryExpression() if node.op.name == "-":
            return -value_of(node.expression, names)
        case ast.BinaryExpression():
            return _binary(node.op.name, value_of(node.lhs, names), value_of(node.rhs, names))
        case ast.Cast(type=ast.FloatType() | ast.AngleType()):
            inner = value_of(node.argument, names)
            return float(inner) if isinstance(inner, int) else inner
        case ast.FunctionCall():
            return _call(node.name.name, [value_of(argument, names) for argument in node.arguments])
    raise CircuitError(f"{_kind(node)} stands where a number or an angle is expected")


def _named(name: str, names: Names) -> Value:
    value = names.get(name, CONSTANTS.get(name))
    if value is None:
        raise CircuitError(f"'{name}' is not defined; declare it, as in 'input float[64] theta_000;'")
    if isinstance(value, list):
        raise CircuitError(f"'{name}' is an array; use one of its elements, such as {name}[0]")
    return value


def _element(node: ast.IndexExpression, names: Names) -> Value:
    if not isinstance(node.collection, ast.Identifier) or not isinstance(node.index, list) or len(node.index) != 1:
        raise CircuitError("an angle has an index that is not one whole number")
    name = node.collection.name
    array = names.get(name)
    if not isinstance(array, list):
        raise CircuitError(f"'{name}' is no array of inputs; declare 'input array[float[64], 4] {name};'")
    index = node.index[0]
    if isinstance(index, ast.RangeDefinition):
        raise CircuitError(f"'{name}' has a range as its index; use one element")
    number = whole_number(index, names, f"the index of '{name}'")
    if not -len(array) <= number < len(array):
        raise CircuitError(f"'{name}[{number}]' is out of range; '{name}' has {len(array)} elements")
    return array[number]


def _binary(operator: str, left: Value, right: Value) -> Value:
    whole = isinstance(left, int) and isinstance(right, int)
    match operator:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case "/":
            if whole:
                if left % right:
                    raise CircuitError(
                        f"{left}/{right} divides whole numbers, which OpenQASM 3 rounds to {int(left / right)}; "
                        f"write {left}.0/{right}"
                    )
                return left // right
            return left / right
        case "**":
            return _power(left, right)
        case "%" if whole:
            return int(math.fmod(left, right))
    raise CircuitError(f"the operator '{operator}' is not one of + - * / **")


def _power(left: Value, right: Value) -> Value:
    if isinstance(left, ParameterExpression) or isinstance(right, ParameterExpression):
        return left**right
    power = math.pow(left, right)
    if isinstance(left, int) and isinstance(right, int) and right >= 0 and abs(power) < 2.0**53:
        return int(power)
    return power


def _call(name: str, arguments: list[Value]) -> Value:
    if name == "pow" and len(arguments) == 2:
        return _power(*arguments)
    if name == "sqrt" and len(arguments) == 1:
        (root,) = arguments
        return root**0.5 if isinstance(root, ParameterExpression) else math.sqrt(root)
    if name not in _FUNCTIONS or len(arguments) != 1:
        raise CircuitError(
            f"'{name}' with {len(arguments)} argument(s) is no function of OpenQASM 3 that is known here"
        )
    of_number, of_expression = _FUNCTIONS[name]
    (argument,) = arguments
    if isinstance(argument, ParameterExpression):
        function: Callable[[], ParameterExpression] = getattr(argument, of_expression)
        return function()
    return of_number(argument)


def _kind(node: ast.QASMNode) -> str:
    """Return a readable name of a kind of node, such as ``a bitstring literal``."""
    words = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in type(node).__name__).strip()
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"
