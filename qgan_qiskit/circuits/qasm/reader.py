"""Conversion of OpenQASM 3 text to a circuit of standard gates.

Qiskit's own importer passes the parameters of user-defined gates in the order of their names instead of their definition, and
knows no functions. Here the parser of ``openqasm3`` does the syntax, and every call of a user-defined gate is replaced by its
body with the values of the call.
"""

from __future__ import annotations

import contextlib
import io
import math
import re
from collections.abc import Iterator, Sequence
from typing import TypeAlias, cast

import openqasm3
from openqasm3 import ast
from qiskit.circuit import Barrier, Gate, Parameter, QuantumCircuit
from qiskit.circuit.library import GlobalPhaseGate

from qgan_qiskit.circuits.gate_definitions import error_text
from qgan_qiskit.circuits.qasm.expressions import (
    CONSTANTS,
    Value,
    count_controls,
    evaluate,
    evaluate_angle,
    evaluate_constant,
    evaluate_indices,
    evaluate_integer,
)
from qgan_qiskit.circuits.qasm.gates import (
    MAX_GATES,
    STANDARD,
    SYNONYMS,
    Step,
    build_circuit,
    check_gate_count,
    control,
    invert,
    raise_to_power,
)
from qgan_qiskit.errors import CircuitError

# No state of more qubits fits any memory, and no current device has as many.
MAX_QUBITS = 1_000
_PHASE_GATE = re.compile(r"\bgate global_phase\(\w+\)\s*\{\s*\}")
_PHASE_CALL = re.compile(r"\bglobal_phase\(([^;{}]*)\)\s*;")
_EXPORTED_GATE = re.compile(r"\bgate (\w+)\(_gate_p_[^)]*\)([^}]*)\}")
_OBSERVABLES_MEASURE = "the observables define what is measured"
# One qubit, or the qubits of a register.
Operand: TypeAlias = int | list[int]
Scope: TypeAlias = dict[str, Value | list[Value]]
GateCall: TypeAlias = ast.QuantumGate | ast.QuantumPhase


def parse_circuit(text: str, name: str) -> tuple[QuantumCircuit, tuple[Parameter, ...]]:
    """Return the circuit of an OpenQASM 3 text, called ``name``, and its declared inputs.

    Returns:
        A circuit of standard gates and barriers on one register ``q``, qubits in the order of their declaration; and the
        inputs in the order of their declaration, used or not.

    Raises:
        CircuitError: with the line number: a syntax error, anything but unitary gates, an undefined name, or a size
            above the limits.
    """
    program = _parse_program(text)
    converter = _Converter()
    for statement in program.statements:
        with _prepend_line(statement):
            converter.convert(statement)
    if not program.statements:
        raise CircuitError("contains no circuit; write OpenQASM 3, such as 'qubit[2] q;' and gates on it")
    return build_circuit(converter.steps, converter.num_qubits, name), tuple(converter.inputs)


def _parse_program(text: str) -> ast.Program:
    text = _repair_exported(text)
    # The parser prints some messages, and raises IndexError, TypeError, RecursionError and others besides its own errors.
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            program = openqasm3.parse(text)
    except RecursionError:
        raise
    except Exception as error:
        raise CircuitError(f"is not OpenQASM 3: {_syntax_message(text, error)[:200]}") from error
    if program.version is not None and program.version.partition(".")[0] != "3":
        raise CircuitError(f"is OpenQASM {program.version}; write OpenQASM 3")
    return program


def _repair_exported(text: str) -> str:
    """Replace two things that Qiskit's exporter writes but OpenQASM 3 does not allow, keeping line numbers.

    A global phase is written as a gate without qubits; and what a gate was made from, such as ``pauli(XYZ)`` or
    ``state_preparation(0.6, 0.8j)``, as angles that its body does not use.
    """
    text = _PHASE_CALL.sub(r"gphase(\1);", _PHASE_GATE.sub(lambda found: "\n" * found[0].count("\n"), text))
    for name, body in _EXPORTED_GATE.findall(text):
        if "_gate_p_" not in body:
            text = re.sub(rf"\b{re.escape(name)}\([^;{{}}]*?\)(?=\s+[\w$])", name, text)
    return text


def _syntax_message(text: str, error: Exception) -> str:
    """Return the parser's first message; only the permissive mode prints one with a line number."""
    printed = io.StringIO()
    with contextlib.redirect_stderr(printed), contextlib.suppress(Exception):
        openqasm3.parse(text, permissive=True)
    message = error_text(error) or "syntax error"
    if "integer string conversion" in message:
        message = "a number has too many digits"
    # Some messages end with a long list of all expected symbols.
    return next(iter(printed.getvalue().splitlines()), message).partition(" expecting {")[0]


@contextlib.contextmanager
def _prepend_line(node: ast.QASMNode) -> Iterator[None]:
    """Prepend a statement's line to the errors in it; the innermost statement wins."""
    try:
        yield
    except CircuitError as error:
        if str(error).startswith("line ") or node.span is None:
            raise
        raise CircuitError(f"line {node.span.start_line}: {error}") from error


class _Converter:
    """Collects the steps of a program, statement by statement."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.num_qubits = 0
        self.inputs: list[Parameter] = []
        self.values: Scope = {}
        self.registers: dict[str, Operand] = {}
        self.gates: dict[str, ast.QuantumGateDefinition] = {}
        self.standard: set[str] = {"U"}
        # Calls of empty gates take time as well.
        self.calls = 0

    def convert(self, statement: ast.Statement | ast.Pragma) -> None:
        match statement:
            case ast.Include():
                self._include(statement.filename)
            case ast.QubitDeclaration():
                self._declare_qubits(statement)
            case ast.IODeclaration():
                self._declare_input(statement)
            case ast.ConstantDeclaration():
                self._check_new(statement.identifier.name)
                self.values[statement.identifier.name] = evaluate_constant(statement, self.values)
            case ast.AliasStatement():
                self._check_new(statement.target.name)
                self.registers[statement.target.name] = self._resolve(statement.value)
            case ast.QuantumGateDefinition():
                self._define_gate(statement)
            case ast.QuantumBarrier():
                touched = [qubit for operand in statement.qubits for qubit in _as_list(self._resolve(operand))]
                # Without qubits it spans all of them.
                touched = list(dict.fromkeys(touched)) or list(range(self.num_qubits))
                self.steps.append((Barrier(len(touched)), tuple(touched)))
            case ast.QuantumGate() | ast.QuantumPhase():
                for qubits in _broadcast([self._resolve(operand) for operand in statement.qubits]):
                    self.steps += self._expand(statement, qubits, self.values)
                    check_gate_count(len(self.steps))
            case ast.ClassicalDeclaration():
                kind = type(statement.type).__name__.removesuffix("Type").lower()
                raise CircuitError(f"declares a classical variable of type {kind}; remove it, {_OBSERVABLES_MEASURE}")
            case _:
                raise _not_a_gate(statement)

    # Declarations

    def _check_new(self, name: str) -> None:
        # Registers and inputs may be called like a standard gate, such as x: the meaning stays clear.
        if name in self.values or name in self.registers or name in self.gates or name in CONSTANTS:
            raise CircuitError(f"'{name}' is already defined; choose another name")

    def _include(self, filename: str) -> None:
        if filename != "stdgates.inc":
            raise CircuitError(f"includes '{filename}'; only 'stdgates.inc' is known, copy the gates that you use here")
        for name in (*STANDARD, *SYNONYMS):
            if name in self.gates:
                raise CircuitError(f"'{name}' is already defined; rename your gate")
        self.standard.update(STANDARD, SYNONYMS)

    def _declare_qubits(self, node: ast.QubitDeclaration) -> None:
        name, first, limit = node.qubit.name, self.num_qubits, MAX_QUBITS - self.num_qubits
        self._check_new(name)
        size = 1 if node.size is None else evaluate_integer(node.size, self.values, f"the size of '{name}'", 1, limit)
        self.num_qubits += size
        self.registers[name] = first if node.size is None else list(range(first, first + size))

    def _declare_input(self, node: ast.IODeclaration) -> None:
        name = node.identifier.name
        if node.io_identifier is not ast.IOKeyword.input:
            raise CircuitError(f"declares the output '{name}'; remove it, {_OBSERVABLES_MEASURE}")
        self._check_new(name)
        kind, size = node.type, None
        if isinstance(kind, ast.ArrayType) and len(kind.dimensions) == 1:
            size = evaluate_integer(kind.dimensions[0], self.values, f"the size of '{name}'", 1, MAX_GATES)
            kind = kind.base_type
        if not isinstance(kind, ast.FloatType | ast.AngleType):
            raise CircuitError(
                f"the input '{name}' is no float, angle or array of them; write 'input float[64] {name};'"
            )
        if size is None:
            self.inputs.append(Parameter(name))
            self.values[name] = self.inputs[-1]
        else:
            elements = [Parameter(f"{name}[{number}]") for number in range(size)]
            self.inputs += elements
            self.values[name] = list(elements)

    def _define_gate(self, node: ast.QuantumGateDefinition) -> None:
        name = node.name.name
        self._check_new(name)
        if name in self.standard:
            raise CircuitError(f"'{name}' is already defined; rename your gate")
        qubits = [qubit.name for qubit in node.qubits]
        names = [parameter.name for parameter in node.arguments] + qubits
        if len(set(names)) < len(names):
            raise CircuitError(f"gate '{name}' has two parameters or qubits of the same name; rename one")
        for statement in node.body:
            with _prepend_line(statement):
                if not isinstance(statement, ast.QuantumGate | ast.QuantumPhase | ast.QuantumBarrier):
                    raise _not_a_gate(statement)
                if isinstance(statement, ast.QuantumGate):
                    self._check_call(statement)
                _resolve_in_body(statement, dict.fromkeys(qubits, 0))
        self.gates[name] = node

    # Qubits

    def _resolve(self, node: ast.QASMNode) -> Operand:
        match node:
            case ast.Identifier(name=name) if name.startswith("$"):
                raise CircuitError(f"uses physical qubits such as {name}; declare 'qubit[2] q;' and use q[0], q[1]")
            case ast.Identifier(name=name) if name not in self.registers:
                raise CircuitError(f"'{name}' is not a declared qubit; declare 'qubit[2] {name};'")
            case ast.Identifier(name=name):
                return self.registers[name]
            case ast.IndexedIdentifier():
                return self._resolve_indices(node.name, node.indices)
            case ast.IndexExpression(collection=ast.Identifier()):
                return self._resolve_indices(cast(ast.Identifier, node.collection), [node.index])
            case ast.Concatenation():
                return [*_as_list(self._resolve(node.lhs)), *_as_list(self._resolve(node.rhs))]
        raise CircuitError(f"uses {type(node).__name__} as qubits; name qubits, registers or slices of them")

    def _resolve_indices(self, register: ast.Identifier, indices: Sequence[ast.IndexElement]) -> Operand:
        found = self._resolve(register)
        for index in indices:
            if isinstance(found, int):
                raise CircuitError(f"'{register.name}' is one qubit; remove the index")
            numbers = evaluate_indices(index, self.values, register.name, len(found))
            found = found[numbers] if isinstance(numbers, int) else [found[number] for number in numbers]
        return found

    # Gate calls

    def _expand(self, node: GateCall, qubits: Sequence[int], scope: Scope) -> list[Step]:
        """Return the standard gates of one call with its modifiers."""
        if len(set(qubits)) < len(qubits):
            raise CircuitError("a gate acts twice on one qubit; name different qubits")
        # Controls come first, those of the leftmost modifier before the others.
        counts = [count_controls(modifier, self.values) for modifier in node.modifiers]
        first = sum(counts)
        if first > len(qubits):
            raise CircuitError(f"a gate has {first} control(s), but {len(qubits)} qubit(s)")
        steps = self._expand_unmodified(node, qubits[first:], scope)
        for modifier, count in reversed(list(zip(node.modifiers, counts, strict=True))):
            first -= count
            match modifier.modifier:
                case ast.GateModifierName.inv:
                    steps = invert(steps)
                case ast.GateModifierName.pow:
                    assert modifier.argument is not None  # by the grammar
                    exponent = evaluate(modifier.argument, self.values)
                    if not isinstance(exponent, int | float):
                        raise CircuitError("pow(…) of an input; give a number")
                    steps = raise_to_power(steps, exponent)
                case _:
                    state = modifier.modifier is ast.GateModifierName.ctrl
                    steps = control(steps, qubits[first : first + count], state)
            check_gate_count(len(steps))
        return steps

    def _expand_unmodified(self, node: GateCall, qubits: Sequence[int], scope: Scope) -> list[Step]:
        if isinstance(node, ast.QuantumPhase):
            if qubits:
                raise CircuitError("gphase acts on no qubit; name only those of its controls")
            return [(GlobalPhaseGate(evaluate_angle(node.argument, scope)), ())]
        self._check_call(node)
        self.calls += 1
        check_gate_count(self.calls / 2)
        name = node.name.name
        angles = [evaluate_angle(argument, scope) for argument in node.arguments]
        own = self.gates.get(name)
        gate_class, _, expected = STANDARD[SYNONYMS.get(name, name)] if own is None else (Gate, 0, len(own.qubits))
        if len(qubits) != expected:
            raise CircuitError(
                f"gate '{name}' acts on {expected} qubit(s), but {len(qubits)} are given (controls not counted)"
            )
        if own is None:
            return [(gate_class(*angles), tuple(qubits))]
        # The standard hides inputs inside gates, but a body that names one is unambiguous.
        parameters = {parameter.name: angle for parameter, angle in zip(own.arguments, angles, strict=True)}
        return self._expand_body(own, qubits, {**self.values, **parameters})

    def _expand_body(self, gate: ast.QuantumGateDefinition, qubits: Sequence[int], scope: Scope) -> list[Step]:
        by_name = {qubit.name: index for qubit, index in zip(gate.qubits, qubits, strict=True)}
        steps: list[Step] = []
        for statement in gate.body:
            with _prepend_line(statement):
                inner = _resolve_in_body(statement, by_name)
                if isinstance(statement, ast.QuantumBarrier):
                    inner = inner or list(qubits)
                    steps.append((Barrier(len(inner)), tuple(inner)))
                else:
                    assert isinstance(statement, ast.QuantumGate | ast.QuantumPhase)
                    steps += self._expand(statement, inner, scope)
                check_gate_count(len(steps))
        return steps

    def _check_call(self, node: ast.QuantumGate) -> None:
        name = node.name.name
        if name in self.gates:
            expected = len(self.gates[name].arguments)
        elif name in self.standard:
            expected = STANDARD[SYNONYMS.get(name, name)][1]
        else:
            hint = "is 'include \"stdgates.inc\";' missing?" if name in STANDARD else "define it before it is used"
            raise CircuitError(f"gate '{name}' is not defined; {hint}")
        if len(node.arguments) != expected:
            raise CircuitError(f"gate '{name}' takes {expected} angle(s), but {len(node.arguments)} are given")
        if node.duration is not None:
            raise CircuitError(f"gate '{name}' has a duration; remove it")


def _not_a_gate(statement: ast.QASMNode) -> CircuitError:
    kind = re.sub(r"(?<!^)(?=[A-Z])", " ", type(statement).__name__).lower()
    return CircuitError(f"contains a {kind}, which is no unitary gate; remove it or write out its gates")


def _resolve_in_body(node: ast.Statement, qubits: dict[str, int]) -> list[int]:
    """Return the qubits of a statement in a gate's body, where only the gate's own can be named."""
    found = []
    for operand in getattr(node, "qubits", []):
        name = operand.name if isinstance(operand, ast.Identifier) else operand.name.name
        if not isinstance(operand, ast.Identifier) or name not in qubits:
            raise CircuitError(f"'{name}' is no qubit of the gate; use the qubits in its definition")
        found.append(qubits[name])
    return found


def _as_list(numbers: Operand) -> list[int]:
    return [numbers] if isinstance(numbers, int) else numbers


def _broadcast(operands: Sequence[Operand]) -> Iterator[tuple[int, ...]]:
    """Yield the qubits of each call: registers contribute their qubits in turn, single qubits repeat."""
    sizes = {len(operand) for operand in operands if isinstance(operand, list)}
    if len(sizes) > 1:
        given = " and ".join(map(str, sorted(sizes)))
        raise CircuitError(f"a gate acts on registers of {given} qubits; use registers of equal size")
    for number in range(math.prod(sizes)):
        yield tuple(operand if isinstance(operand, int) else operand[number] for operand in operands)
