"""QuantumCircuit -> a flat list of three kinds of operation that the engine knows.

Every gate becomes one-qubit rotations (about x, y or z, by an affine angle), fixed one-qubit matrices, and *monomial*
gates: fixed gates whose matrix has one non-zero entry per row, such as CX, CZ, SWAP or CCX. Whatever is none of these is
replaced by its Qiskit definition until it is. Global phases are dropped: no expectation depends on them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from qiskit.circuit import ControlFlowOp, Instruction, Parameter, ParameterExpression, QuantumCircuit

from qgan_qiskit.circuits.affine import affine_form
from qgan_qiskit.circuits.gates import is_elementary
from qgan_qiskit.errors import CircuitError

# A monomial gate on more qubits than this is decomposed instead of being looked at as a matrix.
_MAX_MONOMIAL_QUBITS = 6
_SKIPPED = frozenset({"barrier", "delay", "id", "global_phase"})
# Gates that are known by their name, where a user may have defined a gate of the same one.
_BY_NAME = _SKIPPED | {"rx", "ry", "rz", "p", "u", "u1", "u2", "u3"}
_REFUSED = {
    "measure": "remove measurements: the observables say what is measured",
    "reset": "a reset is not unitary; start from a fresh qubit instead",
    "initialize": "use gates instead of initialize, which resets its qubits",
}


@dataclass(frozen=True)
class Rotation:
    """RX, RY or RZ of one qubit by ``sum(coefficients[p] * p) + offset`` radians."""

    axis: str
    qubit: int
    coefficients: dict[Parameter, float]
    offset: float


@dataclass(frozen=True, eq=False)
class Fixed:
    """A constant 2x2 matrix on one qubit."""

    qubit: int
    matrix: np.ndarray


@dataclass(frozen=True, eq=False)
class Monomial:
    """A constant gate ``out[i] = phase[i] * in[source[i]]`` on a few qubits (first qubit = lowest bit of ``i``)."""

    qubits: tuple[int, ...]
    source: np.ndarray
    phase: np.ndarray


Operation = Rotation | Fixed | Monomial


def lower(circuit: QuantumCircuit) -> list[Operation]:
    """Flatten a circuit into rotations, fixed one-qubit gates and monomial gates, in circuit order.

    Args:
        circuit: any unitary circuit; its free parameters may enter angles affinely only.

    Raises:
        CircuitError: names the first instruction or angle that cannot be simulated, and why.
    """
    return list(_lower(circuit, range(circuit.num_qubits)))


def _lower(circuit: QuantumCircuit, qubits: Sequence[int]) -> Iterator[Operation]:
    for item in circuit.data:
        targets = tuple(qubits[circuit.find_bit(qubit).index] for qubit in item.qubits)
        yield from _lower_instruction(item.operation, targets)


def _lower_instruction(gate: Instruction, qubits: tuple[int, ...]) -> Iterator[Operation]:
    name = gate.name
    if name in _REFUSED:
        raise CircuitError(f"cannot simulate '{name}' on qubits {list(qubits)}: {_REFUSED[name]}")
    if isinstance(gate, ControlFlowOp) or gate.num_clbits:
        raise CircuitError(f"cannot simulate '{name}' on qubits {list(qubits)}: classical control is not supported")
    if name in _BY_NAME and not is_elementary(gate):
        # A gate of the user's own that is called like a standard one: what it is made of counts.
        if gate.definition is None:
            raise CircuitError(f"cannot simulate your gate '{name}' on qubits {list(qubits)}: it has no definition")
        yield from _lower(gate.definition, qubits)
        return
    if name in _SKIPPED:
        return
    if name in ("rx", "ry", "rz"):
        yield _rotation(name[1], qubits[0], gate.params[0])
    elif name in ("p", "u1"):
        yield _rotation("z", qubits[0], gate.params[0])
    elif name in ("u", "u3", "u2"):
        theta, phi, lam = gate.params if name != "u2" else (np.pi / 2, *gate.params)
        yield _rotation("z", qubits[0], lam)
        yield _rotation("y", qubits[0], theta)
        yield _rotation("z", qubits[0], phi)
    else:
        yield from _lower_by_matrix(gate, qubits)


def _rotation(axis: str, qubit: int, angle: ParameterExpression | float) -> Rotation:
    coefficients, offset = affine_form(angle)
    return Rotation(axis, qubit, coefficients, offset)


def _lower_by_matrix(gate: Instruction, qubits: tuple[int, ...]) -> Iterator[Operation]:
    has_parameters = any(isinstance(p, ParameterExpression) and p.parameters for p in gate.params)
    if not has_parameters and len(qubits) <= _MAX_MONOMIAL_QUBITS and hasattr(gate, "to_matrix"):
        matrix = _matrix(gate)
        if matrix is not None and len(qubits) == 1:
            yield Fixed(qubits[0], matrix)
            return
        if matrix is not None and (np.count_nonzero(matrix, axis=1) == 1).all():
            source = np.argmax(matrix != 0, axis=1)
            yield Monomial(qubits, source, matrix[np.arange(len(source)), source])
            return
    if gate.definition is None:
        raise CircuitError(f"cannot simulate '{gate.name}' on qubits {list(qubits)}: the gate has no definition")
    yield from _lower(gate.definition, qubits)


def _matrix(gate: Instruction) -> np.ndarray | None:
    """Return the gate's matrix with rounding dust removed, or None where Qiskit has none for it."""
    try:
        matrix = np.array(gate.to_matrix(), dtype=complex)
    except Exception:
        # Qiskit raises its own errors, TypeError or AttributeError for gates that have a definition only.
        return None
    matrix[np.abs(matrix) < 1e-15] = 0
    return matrix
