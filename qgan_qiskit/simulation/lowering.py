"""QuantumCircuit -> a flat list of three kinds of operation that the engine knows.

Every gate becomes one-qubit rotations (about x, y or z, by an angle that is affine in the parameters or in one that stands
for an expression of them, see ``expressions``), fixed one-qubit matrices, and *monomial*
gates: fixed gates whose matrix has one non-zero entry per row, such as CX, CZ, SWAP or CCX. Whatever is none of these is
replaced by its Qiskit definition until it is. Global phases are dropped: no expectation depends on them.

A ``PauliEvolutionGate`` is the exact exponential, as in Qiskit's ``StatevectorEstimator``: its synthesis is used where its terms
commute, its matrix where they do not and its time is a number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from qiskit.circuit import (
    Barrier,
    ControlFlowOp,
    Delay,
    Instruction,
    Parameter,
    ParameterExpression,
    QuantumCircuit,
)
from qiskit.circuit import Operation as CircuitOperation
from qiskit.circuit.library import PauliEvolutionGate, UnitaryGate

from qgan_qiskit.circuits.expressions import Expression, angle_form
from qgan_qiskit.circuits.gates import definition_of, free_angles, is_standard, terms_commute, unannotated
from qgan_qiskit.errors import CircuitError

# A monomial gate on more qubits than this is decomposed instead of being looked at as a matrix.
_MAX_MONOMIAL_QUBITS = 6
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


def lower(circuit: QuantumCircuit, expressions: dict[Parameter, Expression] | None = None) -> list[Operation]:
    """Flatten a circuit into rotations, fixed one-qubit gates and monomial gates, in circuit order.

    Args:
        circuit: any unitary circuit.
        expressions: gets the angles that are not affine, by the parameters that stand for them in the rotations.

    Raises:
        CircuitError: names the first instruction or angle that cannot be simulated, and why.
    """
    return list(_lower(circuit, range(circuit.num_qubits), {} if expressions is None else expressions))


def _lower(
    circuit: QuantumCircuit, qubits: Sequence[int], expressions: dict[Parameter, Expression]
) -> Iterator[Operation]:
    for item in circuit.data:
        targets = tuple(qubits[circuit.find_bit(qubit).index] for qubit in item.qubits)
        yield from _lower_instruction(item.operation, targets, expressions)


def _lower_instruction(
    operation: CircuitOperation, qubits: tuple[int, ...], expressions: dict[Parameter, Expression]
) -> Iterator[Operation]:
    place = f"on qubits {list(qubits)}"
    gate = unannotated(operation, place)
    if gate.name in _REFUSED:
        raise CircuitError(f"cannot simulate '{gate.name}' {place}: {_REFUSED[gate.name]}")
    if isinstance(gate, ControlFlowOp) or gate.num_clbits:
        raise CircuitError(f"cannot simulate '{gate.name}' {place}: classical control is not supported")
    if isinstance(gate, Barrier | Delay):
        # An ideal qubit does nothing while it waits.
        return
    rotations = _rotations(gate)
    if rotations is not None:
        for axis, angle in rotations:
            form = angle_form(angle, f"gate '{gate.name}' {place}")
            if isinstance(form, Expression):
                expressions[form.parameter] = form
                form = {form.parameter: 1.0}, 0.0
            yield Rotation(axis, qubits[0], *form)
        return
    matrix = constant_matrix(gate)
    if matrix is None:
        definition = _definition(gate, place)
        if definition is None:
            raise CircuitError(f"cannot simulate '{gate.name}' {place}: the gate has no definition")
        yield from _lower(definition, qubits, expressions)
    elif len(matrix) == 2:
        yield Fixed(qubits[0], matrix)
    else:
        source = np.argmax(matrix != 0, axis=1)
        yield Monomial(qubits, source, matrix[np.arange(len(source)), source])


def _definition(gate: Instruction, place: str) -> QuantumCircuit | None:
    """Return what a gate is made of; of an evolution whose terms do not commute, what its matrix is made of."""
    if not isinstance(gate, PauliEvolutionGate) or terms_commute(gate):
        return definition_of(gate, place)
    if free_angles(gate) or gate.num_qubits > _MAX_MONOMIAL_QUBITS:
        raise CircuitError(
            f"'{gate.name}' {place} has terms that do not commute, so its synthesis {type(gate.synthesis).__name__} is not "
            "its exponential; to simulate the synthesis, write it out with circuit.decompose()"
        )
    return UnitaryGate(gate.to_matrix()).definition


def _rotations(gate: Instruction) -> list[tuple[str, ParameterExpression | float]] | None:
    """Return axes and angles of a standard gate that is made of rotations of one qubit, in order, or None."""
    if not is_standard(gate):
        return None
    match gate.name, gate.params:
        case (("id" | "global_phase"), _):
            return []
        case (("rx" | "ry" | "rz"), [angle]):
            return [(gate.name[1], angle)]
        case (("p" | "u1"), [angle]):
            return [("z", angle)]
        case (("u" | "u3"), [theta, phi, lam]):
            return [("z", lam), ("y", theta), ("z", phi)]
        case "u2", [phi, lam]:
            return [("z", lam), ("y", np.pi / 2), ("z", phi)]
    return None


def constant_matrix(gate: Instruction) -> np.ndarray | None:
    """Return the matrix by which a gate is simulated, without rounding dust, or None where its definition counts.

    It counts for gates with free parameters, without a matrix, on several qubits and not monomial, and for evolutions, whose
    matrix is not what is synthesised.
    """
    has_parameters = any(angle.parameters for angle in free_angles(gate))
    if has_parameters or gate.num_qubits > _MAX_MONOMIAL_QUBITS or isinstance(gate, PauliEvolutionGate):
        return None
    try:
        matrix = np.array(gate.to_matrix(), dtype=complex)
    except Exception:
        # Qiskit raises its own errors, TypeError or AttributeError for gates that have a definition only.
        return None
    matrix[np.abs(matrix) < 1e-15] = 0
    return matrix if len(matrix) == 2 or (np.count_nonzero(matrix, axis=1) == 1).all() else None
