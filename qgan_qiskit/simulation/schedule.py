"""Operations -> stages: in each stage first one-qubit gates on any qubits, then one monomial map of the whole register."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from qgan_qiskit.simulation.lowering import Fixed, Monomial, Operation, Rotation


@dataclass
class Stage:
    """One-qubit gates per qubit (in order), then the monomial gates of the stage (in order)."""

    slots: dict[int, list[Rotation | Fixed]] = field(default_factory=dict)
    monomials: list[Monomial] = field(default_factory=list)


def schedule(operations: Iterable[Operation], num_qubits: int) -> list[Stage]:
    """Put every operation into the earliest stage that keeps the order on each of its qubits.

    Two rotations about the same axis that meet on a qubit become one: RY(x) then RY(theta) is RY(x + theta).
    """
    stages: list[Stage] = [Stage()]
    # For each qubit: the stage of its last operation, and whether that was a monomial.
    position = [0] * num_qubits
    entangled = [False] * num_qubits
    for operation in operations:
        if isinstance(operation, Monomial):
            index = max(position[q] for q in operation.qubits)
            stages[index].monomials.append(operation)
            for q in operation.qubits:
                position[q], entangled[q] = index, True
            continue
        q = operation.qubit
        if entangled[q]:
            position[q], entangled[q] = position[q] + 1, False
            if position[q] == len(stages):
                stages.append(Stage())
        append(stages[position[q]].slots.setdefault(q, []), operation)
    return stages


def append(slot: list[Rotation | Fixed], operation: Rotation | Fixed) -> None:
    """Append a gate to those of a qubit; a rotation about the axis of the last one is added to it."""
    last = slot[-1] if slot else None
    if isinstance(last, Rotation) and isinstance(operation, Rotation) and last.axis == operation.axis:
        coefficients = dict(last.coefficients)
        for parameter, value in operation.coefficients.items():
            coefficients[parameter] = coefficients.get(parameter, 0.0) + value
        slot[-1] = Rotation(last.axis, last.qubit, coefficients, last.offset + operation.offset)
    else:
        slot.append(operation)


def register_map(monomials: Iterable[Monomial], num_qubits: int) -> tuple[np.ndarray, np.ndarray]:
    """Multiply monomial gates into one map of the register: ``out[i] = phase[i] * in[source[i]]``.

    Returns:
        source: shape (2**num_qubits,), int64.
        phase: shape (2**num_qubits,), complex128, of modulus one.
    """
    source, phase = np.arange(1 << num_qubits), np.ones(1 << num_qubits, dtype=complex)
    for gate in monomials:
        local = local_index(gate.qubits, num_qubits)
        before = source_index(gate, local)
        source, phase = source[before], gate.phase[local] * phase[before]
    return source, phase


def local_index(qubits: Sequence[int], num_qubits: int) -> np.ndarray:
    """Return, for every amplitude, its bits on some qubits, the first one lowest; shape (2**num_qubits,)."""
    index = np.arange(1 << num_qubits)
    local = np.zeros_like(index)
    for bit, qubit in enumerate(qubits):
        local |= ((index >> qubit) & 1) << bit
    return local


def source_index(gate: Monomial, local: np.ndarray) -> np.ndarray:
    """Return, for every amplitude, the one that a gate puts there."""
    moved = np.asarray(gate.source)[local] ^ local
    source = np.arange(len(local))
    for bit, qubit in enumerate(gate.qubits):
        source ^= ((moved >> bit) & 1) << qubit
    return source
