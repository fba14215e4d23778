"""Whether two forms of a circuit are one: gate by gate, and of gates that were written out by what they do to a state."""

from __future__ import annotations

import cmath
from collections.abc import Sequence

import numpy as np
from qiskit.circuit import Instruction, Operation, Parameter, ParameterExpression, QuantumCircuit
from qiskit.quantum_info import Statevector, random_statevector

from qgan_qiskit.circuits.gate_definitions import definition_of, strip_annotations
from qgan_qiskit.circuits.qasm.standard_gates import circuit_of, standard_name, steps_of
from qgan_qiskit.errors import CircuitError

# Synthesized matrices are exact to about 1e-12, sums of angles to the last digits.
_STATE_TOLERANCE = 1e-8
_ANGLE_TOLERANCE = 1e-12
# A gate on more qubits is compared by the gates of its definition.
_LARGEST_STATE = 10
# An instruction that does not change a state vector for Qiskit is compared by its definition, to this depth.
_DEEPEST = 50


def check_written_out(circuit: QuantumCircuit) -> None:
    """Refuse a circuit with a gate whose written-out form does something else than the gate, up to a global phase.

    Every gate that is not in ``stdgates.inc`` acts on a random state with random angles, once as Qiskit applies it and once
    written out.

    Raises:
        CircuitError: naming the gate.
    """
    if all(_is_plain(instruction.operation) for instruction in circuit.data):
        return
    rng = np.random.default_rng(0)
    values = {parameter: rng.uniform(0.1, 0.9) for parameter in circuit.parameters}
    try:
        bound = circuit.assign_parameters(values)
    except Exception as error:  # Qiskit's own, or any of a user's gate
        raise CircuitError(f"the gates have no value for angles between 0.1 and 0.9 ({_one_line(error)})") from error
    for instruction, at_values in zip(circuit.data, bound.data, strict=True):
        if not _is_plain(instruction.operation):
            qubits = [circuit.find_bit(qubit).index for qubit in instruction.qubits]
            _check_gate(
                instruction.operation, at_values.operation, values, f"on qubit {', '.join(map(str, qubits))}", 0
            )


def check_same(first: QuantumCircuit, second: QuantumCircuit) -> None:
    """Refuse two circuits of standard gates that are not the same gate by gate; parameters go by their names.

    Raises:
        CircuitError: with the number of the first gate that differs, from 0.
    """
    if first.num_qubits != second.num_qubits:
        raise CircuitError(f"has {second.num_qubits} qubits in place of {first.num_qubits}")
    if len(first.data) != len(second.data):
        raise CircuitError(f"has {len(second.data)} gates in place of {len(first.data)}")
    rng = np.random.default_rng(1)
    names = sorted({p.name for p in first.parameters} | {p.name for p in second.parameters})
    values = dict(zip(names, rng.uniform(0.1, 0.9, len(names)), strict=True))
    if not _same_angles([first.global_phase], [second.global_phase], values):
        raise CircuitError(f"has the global phase {second.global_phase} in place of {first.global_phase}")
    for number, (one, other) in enumerate(zip(first.data, second.data, strict=True)):
        same_place = [first.find_bit(q).index for q in one.qubits] == [second.find_bit(q).index for q in other.qubits]
        same_gate = one.operation.name == other.operation.name
        if not (same_place and same_gate and _same_angles(one.operation.params, other.operation.params, values)):
            raise CircuitError(
                f"has gate {number} '{other.operation.name}' {list(other.operation.params)} in place of "
                f"'{one.operation.name}' {list(one.operation.params)}"
            )


def gates_at_values(circuit: QuantumCircuit) -> list[tuple[str, list[int], list[str]]]:
    """Return names, qubits and angles of the gates, at fixed values of the parameters, so that 2x and x + x are the same."""
    names = sorted(parameter.name for parameter in circuit.parameters)
    values = dict(zip(names, np.random.default_rng(2).uniform(0.1, 0.9, len(names)), strict=True))
    return [
        (
            instruction.operation.name,
            [circuit.find_bit(qubit).index for qubit in instruction.qubits],
            [f"{_at(angle, values).real:.8g}" for angle in instruction.operation.params],
        )
        for instruction in circuit.data
    ]


def _is_plain(operation: Operation) -> bool:
    return operation.name == "barrier" or standard_name(operation) is not None


def _check_gate(gate: Operation, bound: Operation, values: dict[Parameter, float], place: str, depth: int) -> None:
    if gate.num_qubits == 0:
        return
    if gate.num_qubits <= _LARGEST_STATE:
        written = circuit_of(list(steps_of(gate, range(gate.num_qubits))), gate.num_qubits)
        written = written.assign_parameters({p: values[p] for p in written.parameters})
        start = random_statevector(2**gate.num_qubits, seed=depth)
        whole = QuantumCircuit(gate.num_qubits)
        whole.append(bound, range(gate.num_qubits))
        try:
            expected = start.evolve(whole)
        except Exception:  # not one that Qiskit applies to a state; its parts are
            expected = None
        if expected is not None:
            _check_states(gate.name, place, expected, start.evolve(written))
            return
    # Barriers have no definition, and nothing to compare.
    parts = [definition_of(_instruction(each, place), place) for each in (gate, bound)]
    if parts[0] is None or parts[1] is None or depth == _DEEPEST:
        return
    for inner, inner_bound in zip(parts[0].data, parts[1].data, strict=True):
        if not _is_plain(inner.operation):
            _check_gate(inner.operation, inner_bound.operation, values, f"in '{gate.name}' {place}", depth + 1)


def _check_states(name: str, place: str, expected: Statevector, found: Statevector) -> None:
    if abs(abs(np.vdot(expected.data, found.data)) - 1) > _STATE_TOLERANCE:
        raise CircuitError(
            f"gate '{name}' {place} does something else than the gates of its definition, which is what "
            "OpenQASM would say; use its decompose() if the definition is meant"
        )


def _instruction(operation: Operation, place: str) -> Instruction:
    return strip_annotations(operation, place)


def _same_angles(one: Sequence[object], other: Sequence[object], values: dict[str, float]) -> bool:
    return len(one) == len(other) and all(
        _close(_at(left, values), _at(right, values)) for left, right in zip(one, other, strict=True)
    )


def _at(angle: object, values: dict[str, float]) -> complex:
    """Return an angle at some values; NaN where it is undefined."""
    if not isinstance(angle, ParameterExpression):
        return complex(angle)  # type: ignore[call-overload]
    try:
        return complex(angle.bind({p: values[p.name] for p in angle.parameters}).numeric())
    except (ArithmeticError, RuntimeError, TypeError, ValueError):
        return complex("nan")


def _close(left: complex, right: complex) -> bool:
    if cmath.isnan(left) or cmath.isnan(right):
        return cmath.isnan(left) and cmath.isnan(right)
    return left == right or abs(left - right) <= _ANGLE_TOLERANCE * max(1.0, abs(left))


def _one_line(error: Exception) -> str:
    return " ".join(str(getattr(error, "message", error)).split())[:200]
