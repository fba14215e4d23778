"""Export of a circuit to OpenQASM 3, verified by reading the text back, and the digest of what a circuit computes.

Qiskit's exporter writes user-defined gates with the arguments of another call, reorders qubits outside registers, and rounds
numbers near fractions of pi. Here every gate is decomposed into standard gates on one register, and numbers keep all digits.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator

import numpy as np
from qiskit.circuit import Barrier, Operation, Parameter, ParameterExpression, QuantumCircuit
from qiskit.circuit.library import GlobalPhaseGate
from qiskit.quantum_info import random_statevector

from qgan_qiskit.circuits.circuit_spec import CircuitSpec, numbered_parameters
from qgan_qiskit.circuits.gate_definitions import definition_of, error_text, strip_annotations
from qgan_qiskit.circuits.qasm.gates import build_circuit, decompose, decompose_circuit, standard_name
from qgan_qiskit.circuits.qasm.reader import parse_circuit
from qgan_qiskit.errors import CircuitError

_PI_DENOMINATORS = (1, 2, 3, 4, 6, 8)
# Synthesized matrices are exact to about 1e-12, sums of angles to the last digits.
_STATE_TOLERANCE = 1e-8
_ANGLE_TOLERANCE = 1e-12
# Larger gates are verified through the gates of their definition, to this depth.
_MAX_STATE_QUBITS = 10
_MAX_DEPTH = 50


def circuit_spec_to_qasm(spec: CircuitSpec) -> str:
    """Return the circuit of a spec as OpenQASM 3.

    Gates that ``stdgates.inc`` lacks are decomposed, on one register with the circuit's qubit order. Parameters are written as
    ``x_000…`` and ``theta_000…`` in the order of the spec's two lists, whatever their names were, so that
    :func:`~qgan_qiskit.circuits.read_circuit_spec` restores that order. The text is read back and compared with the circuit
    gate by gate, and every decomposed gate by its action on a random state.

    Raises:
        CircuitError: a gate cannot be decomposed, or the text is not the same circuit.
    """
    try:
        flat = _rename_parameters(decompose_circuit(spec.circuit), spec)
        text = "".join(f"{line}\n" for line in _format_lines(flat))
        check_decomposition(spec.circuit)
    except (CircuitError, RecursionError) as error:
        reason = "its gates are nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise CircuitError(f"'{spec.name}' has no OpenQASM 3 form: {reason}") from error
    try:
        parsed, inputs = parse_circuit(text, spec.name)
        if {p.name for p in inputs} != {p.name for p in flat.parameters}:
            raise CircuitError("has other parameters")
        check_same(flat, parsed)
    except CircuitError as error:
        raise CircuitError(
            f"'{spec.name}' changes when it is read back from OpenQASM 3: it {error}; decompose it into standard gates"
        ) from error
    return text


def circuit_digest(spec: CircuitSpec) -> str:
    """Return the SHA-256 of what a spec computes: gates, order of inputs and weights, observables; names do not matter.

    Raises:
        CircuitError: a gate cannot be decomposed into standard gates.
    """
    flat = _rename_parameters(decompose_circuit(spec.circuit), spec)
    # Without the global phase, which no expectation depends on.
    gates = [
        (name, qubits, [f"{angle.real:.8g}" for angle in angles])
        for name, qubits, angles in _describe_gates(flat, seed=2)[1:]
    ]
    observables = [sorted(observable.simplify().to_list()) for observable in spec.observables]
    described = [flat.num_qubits, spec.num_inputs, spec.num_weights, gates, observables]
    return hashlib.sha256(repr(described).encode()).hexdigest()


def _rename_parameters(circuit: QuantumCircuit, spec: CircuitSpec) -> QuantumCircuit:
    old = (*spec.input_parameters, *spec.weight_parameters)
    new = (*numbered_parameters("x", spec.num_inputs), *numbered_parameters("theta", spec.num_weights))
    changes = {one: other for one, other in zip(old, new, strict=True) if one.name != other.name}
    # In two steps, because the new name of one parameter may be the old name of another.
    temporary = {one: Parameter(f"temporary_{number}") for number, one in enumerate(changes)}
    circuit = circuit.assign_parameters(temporary)
    return circuit.assign_parameters({temporary[one]: other for one, other in changes.items()})


def _format_lines(circuit: QuantumCircuit) -> Iterator[str]:
    yield "OPENQASM 3.0;"
    yield 'include "stdgates.inc";'
    for parameter in circuit.parameters:
        yield f"input float[64] {parameter.name};"
    yield f"qubit[{circuit.num_qubits}] q;"
    if isinstance(circuit.global_phase, ParameterExpression) or circuit.global_phase != 0:
        yield f"gphase({_format_angle(circuit.global_phase)});"
    for instruction in circuit.data:
        operation = instruction.operation
        name = "barrier" if isinstance(operation, Barrier) else standard_name(operation)
        angles = f"({', '.join(map(_format_angle, operation.params))})" if operation.params else ""
        qubits = ", ".join(f"q[{circuit.find_bit(qubit).index}]" for qubit in instruction.qubits)
        yield f"{name}{angles} {qubits};"


def _format_angle(value: ParameterExpression | float) -> str:
    """Return text that reads as exactly the same number; a fraction of pi where it is exactly one."""
    if isinstance(value, ParameterExpression):
        if value.parameters:
            return str(value)
        value = value.numeric()
    number = complex(value)
    if number.imag or not math.isfinite(number.real):
        raise CircuitError(f"angle {value} is not a finite real number; angles are radians")
    real = number.real
    for denominator in _PI_DENOMINATORS:
        numerator = round(real * denominator / math.pi)
        if 0 < abs(numerator) <= 16 and numerator * math.pi / denominator == real:
            text = {1: "pi", -1: "-pi"}.get(numerator, f"{numerator}*pi")
            return text if denominator == 1 else f"{text}/{denominator}"
    return repr(int(real)) if real.is_integer() and abs(real) < 2**53 and math.copysign(1, real) > 0 else repr(real)


def check_same(first: QuantumCircuit, second: QuantumCircuit) -> None:
    """Raise `CircuitError` at the first gate in which two circuits differ, with parameters matched by name."""
    sizes = [(each.num_qubits, len(each.data), sorted(p.name for p in each.parameters)) for each in (first, second)]
    for subject, one, other in zip(("qubits", "gates", "parameters"), *sizes, strict=True):
        if one != other:
            raise CircuitError(f"has {other} {subject} instead of {one}")
    for number, (one, other) in enumerate(
        zip(*(_describe_gates(each, seed=1) for each in (first, second)), strict=True)
    ):
        same_angles = len(one[2]) == len(other[2]) and np.allclose(
            one[2], other[2], _ANGLE_TOLERANCE, _ANGLE_TOLERANCE, equal_nan=True
        )
        if one[:2] != other[:2] or not same_angles:
            raise CircuitError(f"has {other} instead of {one} as gate {number} (0 is the global phase)")


def check_decomposition(circuit: QuantumCircuit) -> None:
    """Raise `CircuitError` if a decomposed gate acts differently from the original, up to a global phase.

    Every gate that is not in ``stdgates.inc`` acts on a random state with random angles, once as Qiskit applies it and once
    decomposed.
    """
    if all(_is_standard(instruction.operation) for instruction in circuit.data):
        return
    rng = np.random.default_rng(0)
    values = {parameter: rng.uniform(0.1, 0.9) for parameter in circuit.parameters}
    try:
        bound = circuit.assign_parameters(values)
    except Exception as error:  # any error of Qiskit or of a user's gate
        reason = error_text(error)[:200]
        raise CircuitError(f"the gates have no value for angles between 0.1 and 0.9 ({reason})") from error
    for instruction, bound_instruction in zip(circuit.data, bound.data, strict=True):
        if not _is_standard(instruction.operation):
            qubits = ", ".join(str(circuit.find_bit(qubit).index) for qubit in instruction.qubits)
            _check_gate(instruction.operation, bound_instruction.operation, values, f"on qubit {qubits}", 0)


def _is_standard(operation: Operation) -> bool:
    return operation.name == "barrier" or standard_name(operation) is not None


def _check_gate(gate: Operation, bound: Operation, values: dict[Parameter, float], location: str, depth: int) -> None:
    if gate.num_qubits == 0:
        return
    if gate.num_qubits <= _MAX_STATE_QUBITS:
        decomposed = build_circuit(decompose(gate, range(gate.num_qubits)), gate.num_qubits)
        decomposed = decomposed.assign_parameters({p: values[p] for p in decomposed.parameters})
        original = QuantumCircuit(gate.num_qubits)
        original.append(bound, range(gate.num_qubits))
        start = random_statevector(2**gate.num_qubits, seed=depth)
        try:
            expected = start.evolve(original)
        except Exception:  # Qiskit cannot apply this one to a state; the gates of its definition are checked instead
            expected = None
        if expected is not None:
            overlap = abs(np.vdot(expected.data, start.evolve(decomposed).data))
            if abs(overlap - 1) > _STATE_TOLERANCE:
                raise CircuitError(
                    f"gate '{gate.name}' {location} acts differently from its definition, which is what OpenQASM would "
                    "contain; use its decompose() if the definition is meant"
                )
            return
    # Barriers have no definition, and nothing to compare.
    definition, bound_definition = (
        definition_of(strip_annotations(each, location), location) for each in (gate, bound)
    )
    if definition is None or bound_definition is None or depth == _MAX_DEPTH:
        return
    for inner, inner_bound in zip(definition.data, bound_definition.data, strict=True):
        if not _is_standard(inner.operation):
            _check_gate(inner.operation, inner_bound.operation, values, f"in '{gate.name}' {location}", depth + 1)


def _describe_gates(circuit: QuantumCircuit, seed: int) -> list[tuple[str, list[int], list[complex]]]:
    """Return name, qubits and angles of the global phase and every gate.

    Parameters get random numbers, so that 2x equals x + x.
    """
    names = sorted(parameter.name for parameter in circuit.parameters)
    values = dict(zip(names, np.random.default_rng(seed).uniform(0.1, 0.9, len(names)), strict=True))
    gates = [(item.operation, [circuit.find_bit(qubit).index for qubit in item.qubits]) for item in circuit.data]
    gates.insert(0, (GlobalPhaseGate(circuit.global_phase), []))
    return [(gate.name, qubits, [_evaluate_at(angle, values) for angle in gate.params]) for gate, qubits in gates]


def _evaluate_at(angle: object, values: dict[str, float]) -> complex:
    """Return an angle at some values; NaN where it is undefined."""
    if not isinstance(angle, ParameterExpression):
        return complex(angle)  # type: ignore[call-overload]
    try:
        return complex(angle.bind({p: values[p.name] for p in angle.parameters}).numeric())
    except (ArithmeticError, RuntimeError, TypeError, ValueError):
        return complex("nan")
