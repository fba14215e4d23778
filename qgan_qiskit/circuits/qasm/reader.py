"""OpenQASM 3 text into a circuit of standard gates.

Qiskit's own importer gives the parameters of a gate of the user's own in the order of their names and not of its definition, and
knows no functions. Here each call of such a gate is replaced by its body, with the values of the call in place of its parameters,
so a circuit never holds one.
"""

from __future__ import annotations

import contextlib
import io
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import openqasm3
from openqasm3 import ast
from qiskit.circuit import Barrier, Parameter, QuantumCircuit
from qiskit.circuit.library import GlobalPhaseGate

from qgan_qiskit.circuits.qasm.expressions import CONSTANTS, Value, value_of, whole_number
from qgan_qiskit.circuits.qasm.modifiers import controlled, inverted, powered
from qgan_qiskit.circuits.qasm.standard_gates import LARGEST, STANDARD, SYNONYMS, Step, circuit_of, too_large
from qgan_qiskit.errors import CircuitError

# Beyond this no state fits any memory, and none of today's devices has as many.
LARGEST_REGISTER = 1_000
_PHASE_GATE = re.compile(r"\bgate global_phase\(\w+\)\s*\{\s*\}")
_UNUSED = re.compile(r"\bgate (\w+)\(_gate_p_[^)]*\)([^}]*)\}")
_PHASE_CALL = re.compile(r"\bglobal_phase\(([^;{}]*)\)\s*;")
# Statements that are no part of a unitary circuit, in words.
_REFUSED: dict[type[ast.QASMNode], str] = {
    ast.ForInLoop: "a for loop; write its gates out",
    ast.WhileLoop: "a while loop; write its gates out",
    ast.BranchingStatement: "an if; only gates without conditions can be trained",
    ast.SwitchStatement: "a switch; only gates without conditions can be trained",
    ast.SubroutineDefinition: "a subroutine (def); define a gate instead",
    ast.ExternDeclaration: "an extern function; only gates can be trained",
    ast.QuantumMeasurementStatement: "a measurement; remove it, observables say what is measured",
    ast.QuantumReset: "a reset; remove it, only gates can be trained",
    ast.DelayInstruction: "a delay; remove it",
    ast.Box: "a box; write its gates without it",
    ast.ClassicalAssignment: "an assignment; only constants can be used ('const float[64] a = pi/4;')",
    ast.CalibrationStatement: "a calibration; remove it",
    ast.CalibrationDefinition: "a calibration; remove it",
    ast.CalibrationGrammarDeclaration: "a calibration grammar; remove it",
    ast.Pragma: "a pragma; remove it",
    ast.EndStatement: "an end; remove it",
    ast.ExpressionStatement: "an expression that is no gate; remove it",
}


@dataclass(frozen=True)
class Gate:
    """A gate that a file defines."""

    parameters: tuple[str, ...]
    qubits: tuple[str, ...]
    body: tuple[ast.Statement, ...]


def circuit_of_text(text: str, name: str) -> tuple[QuantumCircuit, tuple[Parameter, ...]]:
    """Return the circuit that OpenQASM 3 text describes, and its inputs in the order of their declaration.

    Args:
        text: the text.
        name: for the circuit.

    Returns:
        A circuit of gates of ``stdgates.inc`` and barriers on one register ``q``, its qubits in the order of their
        declaration; and all parameters that the text declares, used or not.

    Raises:
        CircuitError: one line with the number of the text's line and what it holds: no OpenQASM 3, anything that is not a
            unitary gate, a gate or name that is not defined, or too much of something.
    """
    program = _parsed(text)
    reader = _Reader()
    for statement in program.statements:
        with _at(statement):
            reader.read(statement)
    if not program.statements:
        raise CircuitError("holds no circuit; write OpenQASM 3, such as 'qubit[2] q;' and gates on it")
    return circuit_of(reader.steps, reader.num_qubits, name), tuple(reader.declared)


def _parsed(text: str) -> ast.Program:
    text = _corrected(text)
    # The parser prints some of its complaints, which would be lines beside our one; and besides its own errors it lets
    # IndexError, TypeError, RecursionError and others through.
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            program = openqasm3.parse(text)
    except RecursionError:
        raise
    except Exception as error:
        raise CircuitError(f"is not OpenQASM 3: {_complaint(text, error)[:200]}") from error
    if program.version is not None and program.version.partition(".")[0] != "3":
        raise CircuitError(f"is OpenQASM {program.version}; write OpenQASM 3")
    return program


def _corrected(text: str) -> str:
    """Return text without two things that Qiskit's exporter writes and OpenQASM 3 has not; lines keep their numbers.

    A global phase is written as a gate without qubits, and what a gate was made from, such as ``pauli(XYZ)`` or
    ``state_preparation(0.6, 0.8j)``, as angles that its body makes no use of.
    """
    text = _PHASE_CALL.sub(r"gphase(\1);", _PHASE_GATE.sub(lambda found: "\n" * found[0].count("\n"), text))
    for name, body in _UNUSED.findall(text):
        if "_gate_p_" not in body:
            text = re.sub(rf"\b{re.escape(name)}\([^;{{}}]*?\)(?=\s+[\w$])", name, text)
    return text


def _complaint(text: str, error: Exception) -> str:
    """Return the parser's first complaint; only its permissive mode has one with a line number, and prints it."""
    complaints = io.StringIO()
    with contextlib.redirect_stderr(complaints), contextlib.suppress(Exception):
        openqasm3.parse(text, permissive=True)
    words = " ".join(str(error).split()) or "syntax error"
    if "integer string conversion" in words:
        words = "a number has too many digits"
    # Some go on with a list of all that could have stood there.
    return next(iter(complaints.getvalue().splitlines()), words).partition(" expecting {")[0]


@contextlib.contextmanager
def _at(node: ast.QASMNode) -> Iterator[None]:
    """Put the line of a statement before the message of an error in it; the innermost statement wins."""
    try:
        yield
    except CircuitError as error:
        if str(error).startswith("line ") or node.span is None:
            raise
        raise CircuitError(f"line {node.span.start_line}: {error}") from error


class _Reader:
    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.num_qubits = 0
        self.declared: list[Parameter] = []
        self.values: dict[str, Value | list[Value]] = {}
        self.registers: dict[str, int | list[int]] = {}
        self.gates: dict[str, Gate] = {}
        self.standard: set[str] = {"U"}
        # Calls of gates that hold nothing take time too.
        self.calls = 0

    def read(self, statement: ast.Statement | ast.Pragma) -> None:
        """Take in a statement."""
        match statement:
            case ast.Include():
                self._include(statement.filename)
            case ast.QubitDeclaration():
                self._declare_qubits(statement)
            case ast.IODeclaration():
                self._declare_input(statement)
            case ast.ConstantDeclaration():
                self._new_name(statement.identifier.name)
                self.values[statement.identifier.name] = self._constant(statement)
            case ast.AliasStatement():
                self._new_name(statement.target.name)
                self.registers[statement.target.name] = self._alias(statement.value)
            case ast.QuantumGateDefinition():
                self._define(statement)
            case ast.ClassicalDeclaration():
                kind = type(statement.type).__name__.removesuffix("Type").lower()
                what = "classical bit(s)" if kind == "bit" else f"a classical variable of type {kind}"
                raise CircuitError(f"declares {what}; remove them, observables say what is measured")
            case ast.QuantumGate() | ast.QuantumPhase() | ast.QuantumBarrier():
                self._apply(statement)
            case _:
                words = _REFUSED.get(type(statement), f"a {type(statement).__name__}, which is no gate; remove it")
                raise CircuitError(f"holds {words}")

    def _new_name(self, name: str) -> None:
        # A register or input may be called like a standard gate, such as x: what is meant is plain.
        if name in self.values or name in self.registers or name in self.gates or name in CONSTANTS:
            raise CircuitError(f"'{name}' is already defined; give it another name")

    def _include(self, filename: str) -> None:
        if filename != "stdgates.inc":
            raise CircuitError(f"includes '{filename}'; only 'stdgates.inc' is known, copy the gates that you use here")
        for name in (*STANDARD, *SYNONYMS):
            if name in self.gates:
                raise CircuitError(f"'{name}' is already defined; give your gate another name")
        self.standard.update(STANDARD, SYNONYMS)

    def _declare_qubits(self, node: ast.QubitDeclaration) -> None:
        name = node.qubit.name
        self._new_name(name)
        size = 1 if node.size is None else whole_number(node.size, self.values, f"the size of '{name}'")
        if size < 1:
            raise CircuitError(f"'{name}' has {size} qubits; give it at least one")
        if self.num_qubits + size > LARGEST_REGISTER:
            raise CircuitError(f"'{name}' has {size} qubits, and at most {LARGEST_REGISTER:,} in all can be read")
        first = self.num_qubits
        self.num_qubits += size
        self.registers[name] = first if node.size is None else list(range(first, first + size))

    def _declare_input(self, node: ast.IODeclaration) -> None:
        name = node.identifier.name
        if node.io_identifier is not ast.IOKeyword.input:
            raise CircuitError(f"declares the output '{name}'; remove it, observables say what is measured")
        self._new_name(name)
        kind, size = node.type, None
        if isinstance(kind, ast.ArrayType) and len(kind.dimensions) == 1:
            size = whole_number(kind.dimensions[0], self.values, f"the size of '{name}'")
            kind = kind.base_type
            if not 0 < size <= LARGEST:
                raise CircuitError(f"'{name}' has {size} elements; give from 1 to {LARGEST:,}")
        if not isinstance(kind, ast.FloatType | ast.AngleType):
            raise CircuitError(
                f"the input '{name}' is no float, angle or list of them; write 'input float[64] {name};'"
            )
        made = [Parameter(name)] if size is None else [Parameter(f"{name}[{number}]") for number in range(size)]
        self.declared += made
        self.values[name] = made[0] if size is None else list(made)

    def _constant(self, node: ast.ConstantDeclaration) -> Value:
        kind, name = node.type, node.identifier.name
        if not isinstance(kind, ast.FloatType | ast.AngleType | ast.IntType | ast.UintType):
            raise CircuitError(f"the constant '{name}' is no number; write 'const float[64] {name} = …;'")
        value = value_of(node.init_expression, self.values)
        if not isinstance(value, int | float):
            raise CircuitError(f"the constant '{name}' depends on an input; write the expression where it is used")
        if isinstance(kind, ast.IntType | ast.UintType):
            if not float(value).is_integer():
                raise CircuitError(f"the constant '{name}' is {value}; give a whole number")
            return int(value)
        return float(value)

    def _alias(self, node: ast.Expression | ast.Concatenation) -> int | list[int]:
        if isinstance(node, ast.Concatenation):
            return [*_listed(self._alias(node.lhs)), *_listed(self._alias(node.rhs))]
        if isinstance(node, ast.IndexExpression) and isinstance(node.collection, ast.Identifier):
            return self._indexed(node.collection.name, [node.index])
        if isinstance(node, ast.Identifier):
            return self._register(node.name)
        raise CircuitError("an alias is no register, no part of one and no joined registers")

    def _register(self, name: str) -> int | list[int]:
        if name.startswith("$"):
            raise CircuitError(f"uses physical qubits such as {name}; declare 'qubit[{int(name[1:]) + 1}] q;' instead")
        if name not in self.registers:
            raise CircuitError(f"'{name}' is no qubit that is declared; declare 'qubit[2] {name};'")
        return self.registers[name]

    def _indexed(self, name: str, indices: Sequence[ast.IndexElement]) -> int | list[int]:
        found = self._register(name)
        for index in indices:
            if isinstance(found, int):
                raise CircuitError(f"'{name}' is one qubit; leave the index out")
            numbers = self._index(index, name, len(found))
            for number in _listed(numbers):
                if not -len(found) <= number < len(found):
                    raise CircuitError(f"'{name}[{number}]': index out of range; '{name}' has {len(found)} qubits")
            found = found[numbers] if isinstance(numbers, int) else [found[number] for number in numbers]
        return found

    def _index(self, index: ast.IndexElement, name: str, size: int) -> int | list[int]:
        what = f"the index of '{name}'"
        if isinstance(index, ast.DiscreteSet):
            return [whole_number(value, self.values, what) for value in index.values]
        if len(index) != 1:
            raise CircuitError(f"{what} is not one number, range or set")
        (only,) = index
        if not isinstance(only, ast.RangeDefinition):
            return whole_number(only, self.values, what)
        step = 1 if only.step is None else whole_number(only.step, self.values, what)
        if step == 0:
            raise CircuitError(f"{what} has step 0")
        ends = (0, size - 1) if step > 0 else (size - 1, 0)
        start, end = (
            whole_number(node, self.values, what) if node is not None else default
            for node, default in zip((only.start, only.end), ends, strict=True)
        )
        # Both ends belong to a range in OpenQASM 3; numbers below 0 count from the end.
        start, end = (number + size if number < 0 else number for number in (start, end))
        for number in (start, end):
            if not 0 <= number < size:
                raise CircuitError(f"{what} reaches to {number}: index out of range; '{name}' has {size} qubits")
        return list(range(start, end + (1 if step > 0 else -1), step))

    def _define(self, node: ast.QuantumGateDefinition) -> None:
        name = node.name.name
        self._new_name(name)
        if name in self.standard:
            raise CircuitError(f"'{name}' is already defined; give your gate another name")
        parameters = tuple(parameter.name for parameter in node.arguments)
        qubits = tuple(qubit.name for qubit in node.qubits)
        if len({*parameters, *qubits}) < len(parameters) + len(qubits):
            raise CircuitError(f"gate '{name}' has two parameters or qubits of one name; rename one")
        for statement in node.body:
            with _at(statement):
                if not isinstance(statement, ast.QuantumGate | ast.QuantumPhase | ast.QuantumBarrier):
                    words = _REFUSED.get(type(statement), f"a {type(statement).__name__}, which is no gate")
                    raise CircuitError(f"gate '{name}' holds {words}")
                if isinstance(statement, ast.QuantumGate):
                    self._known(statement)
                self._own_qubits(statement, dict.fromkeys(qubits, 0))
        self.gates[name] = Gate(parameters, qubits, tuple(node.body))

    def _known(self, node: ast.QuantumGate) -> None:
        """Refuse a call of a gate that is not defined, or with another number of angles than it takes."""
        name = node.name.name
        if name in self.gates:
            expected = len(self.gates[name].parameters)
        elif name in self.standard:
            expected = STANDARD[SYNONYMS.get(name, name)][1]
        else:
            hint = "is 'include \"stdgates.inc\";' missing?" if name in STANDARD else "define it before it is used"
            raise CircuitError(f"gate '{name}' is not defined; {hint}")
        if len(node.arguments) != expected:
            raise CircuitError(f"gate '{name}' takes {expected} angle(s), and {len(node.arguments)} are given")
        if node.duration is not None:
            raise CircuitError(f"gate '{name}' has a duration; remove it")

    def _own_qubits(self, node: ast.Statement, qubits: dict[str, int]) -> list[int]:
        """Return the qubits of a statement in the body of a gate, where only the gate's own can be named."""
        found = []
        for operand in getattr(node, "qubits", []):
            name = operand.name if isinstance(operand, ast.Identifier) else operand.name.name
            if not isinstance(operand, ast.Identifier) or name not in qubits:
                raise CircuitError(f"'{name}' is no qubit of the gate that is defined here")
            found.append(qubits[name])
        return found

    def _apply(self, node: ast.QuantumGate | ast.QuantumPhase | ast.QuantumBarrier) -> None:
        if isinstance(node, ast.QuantumBarrier):
            touched = [qubit for operand in node.qubits for qubit in _listed(self._operand(operand))]
            # Without qubits it is for all that there are.
            touched = list(dict.fromkeys(touched)) or list(range(self.num_qubits))
            self.steps.append((Barrier(len(touched)), tuple(touched)))
            return
        for qubits in _broadcast([self._operand(operand) for operand in node.qubits]):
            self.steps += self._steps(node, qubits, self.values)
            if len(self.steps) > LARGEST:
                raise too_large()

    def _operand(self, node: ast.IndexedIdentifier | ast.Expression) -> int | list[int]:
        if isinstance(node, ast.Identifier):
            return self._register(node.name)
        if isinstance(node, ast.IndexedIdentifier):
            return self._indexed(node.name.name, node.indices)
        raise CircuitError("acts on something that is no qubit")

    def _steps(
        self, node: ast.QuantumGate | ast.QuantumPhase, qubits: Sequence[int], names: dict[str, Value | list[Value]]
    ) -> list[Step]:
        """Return the standard gates of one call, with its modifiers."""
        if len(set(qubits)) < len(qubits):
            raise CircuitError("a gate acts twice on one qubit; name different qubits")
        # Controls stand first, those of the leftmost modifier before the others.
        controls = [self._number_of_controls(modifier) for modifier in node.modifiers]
        own = list(qubits)[sum(controls) :]
        if sum(controls) > len(qubits):
            raise CircuitError(f"a gate has {sum(controls)} control(s), and {len(qubits)} qubit(s) are given")
        steps = self._unmodified(node, own, names)
        position = sum(controls)
        for modifier, number in reversed(list(zip(node.modifiers, controls, strict=True))):
            position -= number
            match modifier.modifier:
                case ast.GateModifierName.inv:
                    steps = inverted(steps)
                case ast.GateModifierName.pow:
                    steps = powered(steps, self._exponent(modifier))
                case _:
                    closed = modifier.modifier is ast.GateModifierName.ctrl
                    steps = controlled(steps, list(qubits)[position : position + number], closed)
            if len(steps) > LARGEST:
                raise too_large()
        return steps

    def _number_of_controls(self, modifier: ast.QuantumGateModifier) -> int:
        if modifier.modifier not in (ast.GateModifierName.ctrl, ast.GateModifierName.negctrl):
            return 0
        if modifier.argument is None:
            return 1
        number = whole_number(modifier.argument, self.values, "the number of controls")
        if number < 1:
            raise CircuitError(f"the number of controls is {number}; give at least 1")
        return number

    def _exponent(self, modifier: ast.QuantumGateModifier) -> float:
        assert modifier.argument is not None  # the grammar wants one
        exponent = value_of(modifier.argument, self.values)
        if not isinstance(exponent, int | float):
            raise CircuitError("pow(…) of an input; give a number")
        return exponent

    def _unmodified(
        self, node: ast.QuantumGate | ast.QuantumPhase, qubits: Sequence[int], names: dict[str, Value | list[Value]]
    ) -> list[Step]:
        if isinstance(node, ast.QuantumPhase):
            if qubits:
                raise CircuitError("gphase acts on no qubit; name only those of its controls")
            return [(GlobalPhaseGate(_angle(value_of(node.argument, names))), ())]
        self._known(node)
        self.calls += 1
        if self.calls > 2 * LARGEST:
            raise too_large()
        name = node.name.name
        angles = [_angle(value_of(argument, names)) for argument in node.arguments]
        if name in self.gates:
            return self._called(name, angles, qubits)
        gate_class, _, expected = STANDARD[SYNONYMS.get(name, name)]
        _check_qubits(name, expected, len(qubits))
        return [(gate_class(*angles), tuple(qubits))]

    def _called(self, name: str, angles: Sequence[Value], qubits: Sequence[int]) -> list[Step]:
        gate = self.gates[name]
        _check_qubits(name, len(gate.qubits), len(qubits))
        place = dict(zip(gate.qubits, qubits, strict=True))
        # Inputs too: the standard has them out of sight, but what a body means that names one is plain.
        names = {**self.values, **dict(zip(gate.parameters, angles, strict=True))}
        steps: list[Step] = []
        for statement in gate.body:
            with _at(statement):
                inner = self._own_qubits(statement, place)
                if isinstance(statement, ast.QuantumBarrier):
                    inner = inner or list(qubits)
                    steps.append((Barrier(len(inner)), tuple(inner)))
                else:
                    assert isinstance(statement, ast.QuantumGate | ast.QuantumPhase)
                    steps += self._steps(statement, inner, names)
                if len(steps) > LARGEST:
                    raise too_large()
        return steps


def _angle(value: Value) -> Value:
    """Return a value as an angle, which divides as real numbers do."""
    return float(value) if isinstance(value, int) else value


def _check_qubits(name: str, expected: int, given: int) -> None:
    if given != expected:
        raise CircuitError(f"gate '{name}' acts on {expected} qubit(s), and {given} are given (controls not counted)")


def _listed(numbers: int | list[int]) -> list[int]:
    return [numbers] if isinstance(numbers, int) else numbers


def _broadcast(operands: Sequence[int | list[int]]) -> Iterator[tuple[int, ...]]:
    """Yield the qubits of each call: a register stands for its qubits in turn, a qubit for itself each time."""
    sizes = {len(operand) for operand in operands if isinstance(operand, list)}
    if len(sizes) > 1:
        raise CircuitError(
            f"a gate acts on registers of {' and '.join(map(str, sorted(sizes)))} qubits; use equal ones"
        )
    for number in range(math.prod(sizes)):
        yield tuple(operand if isinstance(operand, int) else operand[number] for operand in operands)
