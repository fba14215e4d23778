"""Evaluation of OpenQASM 3 expressions to integers, real numbers, and angles with free parameters (radians).

Whatever has no such value raises `CircuitError`: unknown names, values that are not finite or not real, wrong types or ranges.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from openqasm3 import ast
from qiskit.circuit import ParameterExpression

from qgan_qiskit.circuits.gate_definitions import error_text
from qgan_qiskit.errors import CircuitError

Value: TypeAlias = ParameterExpression | float | int
# Values of the names in scope; an input array has a list of its elements.
Names: TypeAlias = Mapping[str, Value | list[Value]]

CONSTANTS: dict[str, Value] = {
    **dict.fromkeys(("pi", "π"), math.pi),
    **dict.fromkeys(("tau", "τ"), math.tau),
    **dict.fromkeys(("euler", "ℇ"), math.e),
}
# Functions of numbers; Qiskit's expressions have methods of the same names.
_FUNCTIONS: dict[str, Callable[[float], float]] = {
    "sin": math.sin,
    "cos": math.cos,
    "tan": math.tan,
    "arcsin": math.asin,
    "arccos": math.acos,
    "arctan": math.atan,
    "exp": math.exp,
    "log": math.log,
    "abs": abs,
    "sign": lambda number: float((number > 0) - (number < 0)),
    "conjugate": float,
}
# Names that Qiskit's exporter writes.
_FUNCTION_SYNONYMS = {"asin": "arcsin", "acos": "arccos", "atan": "arctan", "ln": "log", "conj": "conjugate"}
_OPERATORS: dict[str, Callable[[Any, Any], Value]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}
# A longer expression is one that doubles with each gate it passes through.
_MAX_EXPRESSION_LENGTH = 10_000
_INTEGER_LIMIT = 2.0**63
_EXACT_INTEGER_LIMIT = 2.0**53


def evaluate(node: ast.Expression, names: Names) -> Value:
    """Return the value of an expression."""
    try:
        value = _evaluate(node, names)
    except CircuitError:
        raise
    except (ArithmeticError, ValueError, TypeError, RuntimeError) as error:
        raise CircuitError(f"an angle has no value ({error_text(error)}); correct the expression") from error
    if isinstance(value, ParameterExpression):
        if not value.parameters:
            return _check_finite(value.numeric())
        if len(str(value)) > _MAX_EXPRESSION_LENGTH:
            raise CircuitError("an angle grows without bound through nested gates; write it explicitly")
        return value
    return _check_finite(value)


def evaluate_integer(
    node: ast.Expression, names: Names, subject: str, low: float = -math.inf, high: float = math.inf
) -> int:
    """Return the value of an expression that must be an integer from ``low`` to ``high``."""
    value = evaluate(node, names)
    if not isinstance(value, int):
        raise CircuitError(f"{subject} is {value}; give a whole number")
    if not low <= value <= high:
        raise CircuitError(f"{subject} is {value}, which is out of range; give {low} to {high}")
    return value


def evaluate_angle(node: ast.Expression, names: Names) -> Value:
    """Return the value of an expression as an angle, which divides as real numbers do."""
    value = evaluate(node, names)
    return float(value) if isinstance(value, int) else value


def evaluate_constant(node: ast.ConstantDeclaration, names: Names) -> float | int:
    """Return the value of a declared constant."""
    kind, name = node.type, node.identifier.name
    if not isinstance(kind, ast.FloatType | ast.AngleType | ast.IntType | ast.UintType):
        raise CircuitError(f"the constant '{name}' is not a number; write 'const float[64] {name} = …;'")
    value = evaluate(node.init_expression, names)
    if not isinstance(value, int | float):
        raise CircuitError(f"the constant '{name}' depends on an input; write the expression where it is used")
    if isinstance(kind, ast.FloatType | ast.AngleType):
        return float(value)
    if not float(value).is_integer():
        raise CircuitError(f"the constant '{name}' is {value}; give a whole number")
    return int(value)


def evaluate_indices(index: ast.IndexElement, names: Names, register: str, size: int) -> int | list[int]:
    """Return the index of a subscript, or the indices of a range or set, for a register or array of ``size`` elements."""
    subject = f"the index of '{register}'"

    def resolve(node: ast.Expression) -> int:
        number = evaluate_integer(node, names, subject, -size, size - 1)
        return number + size if number < 0 else number

    if isinstance(index, ast.DiscreteSet):
        return [resolve(value) for value in index.values]
    if len(index) != 1:
        raise CircuitError(f"{subject} is not one number, range or set; correct it")
    (only,) = index
    if not isinstance(only, ast.RangeDefinition):
        return resolve(only)
    step = 1 if only.step is None else evaluate_integer(only.step, names, subject)
    if step == 0:
        raise CircuitError(f"{subject} has step 0; give another step")
    first, last = (0, size - 1) if step > 0 else (size - 1, 0)
    start = first if only.start is None else resolve(only.start)
    end = last if only.end is None else resolve(only.end)
    # OpenQASM 3 ranges include both ends.
    return list(range(start, end + (1 if step > 0 else -1), step))


def count_controls(modifier: ast.QuantumGateModifier, names: Names) -> int:
    """Return the number of control qubits that a gate modifier adds."""
    if modifier.modifier not in (ast.GateModifierName.ctrl, ast.GateModifierName.negctrl):
        return 0
    return 1 if modifier.argument is None else evaluate_integer(modifier.argument, names, "the number of controls", 1)


def _check_finite(value: complex) -> float | int:
    if isinstance(value, complex):
        if value.imag:
            raise CircuitError(f"an angle is {value}, which is not real; angles are radians")
        value = value.real
    if isinstance(value, float) and not math.isfinite(value):
        raise CircuitError(f"an angle is {value}, which is not a finite number; angles are radians")
    if isinstance(value, int) and abs(value) >= _INTEGER_LIMIT:
        return float(value)
    return value


def _evaluate(node: ast.Expression, names: Names) -> Value:
    match node:
        case ast.IntegerLiteral() | ast.FloatLiteral():
            return _check_finite(node.value)
        case ast.Identifier():
            return _look_up(node.name, names)
        case ast.IndexExpression():
            return _look_up_element(node, names)
        case ast.UnaryExpression() if node.op.name == "-":
            return -evaluate(node.expression, names)
        case ast.BinaryExpression():
            return _apply_operator(node.op.name, evaluate(node.lhs, names), evaluate(node.rhs, names))
        case ast.Cast(type=ast.FloatType() | ast.AngleType()):
            inner = evaluate(node.argument, names)
            return float(inner) if isinstance(inner, int) else inner
        case ast.FunctionCall():
            return _call(node.name.name, [evaluate(argument, names) for argument in node.arguments])
    raise CircuitError(f"a {type(node).__name__} is where a number or an angle is expected; use arithmetic")


def _look_up(name: str, names: Names) -> Value:
    value = names.get(name, CONSTANTS.get(name))
    if value is None:
        raise CircuitError(f"'{name}' is not defined; declare it, as in 'input float[64] theta_000;'")
    if isinstance(value, list):
        raise CircuitError(f"'{name}' is an array; use one of its elements, such as {name}[0]")
    return value


def _look_up_element(node: ast.IndexExpression, names: Names) -> Value:
    name = node.collection.name if isinstance(node.collection, ast.Identifier) else ""
    array = names.get(name)
    if not isinstance(array, list):
        raise CircuitError(f"'{name}' is not an array of inputs; declare 'input array[float[64], 4] {name};'")
    number = evaluate_indices(node.index, names, name, len(array))
    if not isinstance(number, int):
        raise CircuitError(f"the index of '{name}' is not one number; use one element")
    return array[number]


def _apply_operator(name: str, left: Value, right: Value) -> Value:
    if isinstance(left, int) and isinstance(right, int) and name in ("/", "%"):
        if name == "%":
            return int(math.fmod(left, right))
        if left % right:
            rounded = int(left / right)
            raise CircuitError(
                f"{left}/{right} divides whole numbers, which OpenQASM 3 rounds to {rounded}; write {left}.0/{right}"
            )
        return left // right
    if name == "**":
        return _raise_to_power(left, right)
    if name not in _OPERATORS:
        raise CircuitError(f"the operator '{name}' is not supported; use + - * / **")
    return _OPERATORS[name](left, right)


def _raise_to_power(left: Value, right: Value) -> Value:
    if isinstance(left, ParameterExpression) or isinstance(right, ParameterExpression):
        return left**right
    power = math.pow(left, right)
    if isinstance(left, int) and isinstance(right, int) and right >= 0 and abs(power) < _EXACT_INTEGER_LIMIT:
        return int(power)
    return power


def _call(name: str, arguments: list[Value]) -> Value:
    if name == "pow" and len(arguments) == 2:
        return _raise_to_power(*arguments)
    name = _FUNCTION_SYNONYMS.get(name, name)
    if len(arguments) != 1 or name not in (*_FUNCTIONS, "sqrt"):
        raise CircuitError(f"'{name}' with {len(arguments)} argument(s) is not a supported function; use sin, cos, …")
    (argument,) = arguments
    if name == "sqrt":
        return argument**0.5 if isinstance(argument, ParameterExpression) else math.sqrt(argument)
    if isinstance(argument, ParameterExpression):
        method: Callable[[], ParameterExpression] = getattr(argument, name)
        return method()
    return _FUNCTIONS[name](argument)
