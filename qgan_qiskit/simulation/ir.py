"""The intermediate representation of a circuit: a flat list of three kinds of operation, and its stages.

Every gate becomes rotations of one qubit (about x, y or z, by an angle that is affine in the parameters or in one that stands
for an expression of them), fixed one-qubit matrices, and *monomial* gates: constant gates with one non-zero entry per row,
such as CX, CZ, SWAP or CCX. Whatever is none of these is replaced by its Qiskit definition until it is. Global phases are
dropped: no expectation depends on them. A ``PauliEvolutionGate`` is the exact exponential, as in Qiskit's
``StatevectorEstimator``: its synthesis if its terms commute, its matrix if they do not and its time is a number.

A stage is one-qubit gates on any qubits, then one monomial map of the whole register.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from qiskit.circuit import Barrier, ControlFlowOp, Delay, Instruction, Parameter, ParameterExpression, QuantumCircuit
from qiskit.circuit import Operation as CircuitOperation
from qiskit.circuit.library import PauliEvolutionGate, UnitaryGate
from scipy.sparse import csr_array

from qgan_qiskit.circuits.gate_definitions import (
    definition_of,
    free_angles,
    is_standard,
    strip_annotations,
    terms_commute,
)
from qgan_qiskit.circuits.parameter_expressions import Expression, angle_form
from qgan_qiskit.errors import CircuitError

# A gate on more qubits than this is decomposed, even if its matrix is monomial.
_MAX_MONOMIAL_QUBITS = 6
_REFUSED = {
    "measure": "remove measurements: the observables define what is measured",
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
        expressions: filled with the angles that are not affine, by the parameters that stand for them in the rotations.

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
    gate = strip_annotations(operation, place)
    if gate.name in _REFUSED:
        raise CircuitError(f"cannot simulate '{gate.name}' {place}: {_REFUSED[gate.name]}")
    if isinstance(gate, ControlFlowOp) or gate.num_clbits:
        raise CircuitError(f"cannot simulate '{gate.name}' {place}: classical control is not supported")
    if isinstance(gate, Barrier | Delay):
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
    """Return the definition of a gate; for an evolution whose terms do not commute, that of its matrix."""
    if not isinstance(gate, PauliEvolutionGate) or terms_commute(gate):
        return definition_of(gate, place)
    if free_angles(gate) or gate.num_qubits > _MAX_MONOMIAL_QUBITS:
        raise CircuitError(
            f"'{gate.name}' {place} has terms that do not commute, so its synthesis {type(gate.synthesis).__name__} is not "
            "its exponential; to simulate the synthesis, write it out with circuit.decompose()"
        )
    return UnitaryGate(gate.to_matrix()).definition


def _rotations(gate: Instruction) -> list[tuple[str, ParameterExpression | float]] | None:
    """Return axes and angles of a standard gate that is a product of rotations of one qubit, in order, or None."""
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
    """Return the matrix by which a gate is simulated, with tiny entries set to 0, or None if its definition is used.

    That is for gates with free parameters or without a matrix, for those on several qubits that are not monomial, and for
    evolutions, whose synthesis may differ from their matrix.
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


@dataclass
class Stage:
    """One-qubit gates per qubit (in order), then the monomial gates of the stage (in order)."""

    slots: dict[int, list[Rotation | Fixed]] = field(default_factory=dict)
    monomials: list[Monomial] = field(default_factory=list)


def schedule(operations: Iterable[Operation], num_qubits: int) -> list[Stage]:
    """Put every operation into the earliest stage that keeps the order on each of its qubits.

    Adjacent rotations about the same axis are merged: RY(x) then RY(theta) is RY(x + theta).
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
        append_gate(stages[position[q]].slots.setdefault(q, []), operation)
    return stages


def append_gate(slot: list[Rotation | Fixed], operation: Rotation | Fixed) -> None:
    """Append a gate to those of a qubit; a rotation about the same axis as the last gate is merged into it."""
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


def check_known_parameters(rotation: Rotation, inputs: Container[Parameter], weights: Container[Parameter]) -> None:
    """Check that every parameter of a rotation is an input or a weight.

    Raises:
        CircuitError: one is neither; the message names it.
    """
    for parameter in rotation.coefficients:
        if parameter not in inputs and parameter not in weights:
            raise CircuitError(f"parameter '{parameter.name}' is neither an input nor a weight")


def coefficient_matrix(rotations: Sequence[Rotation], columns: Mapping[Parameter, int]) -> csr_array:
    """Return the coefficients of some parameters in every angle, shape (rotations, parameters), sparse."""
    entries = [
        (row, columns[parameter], value)
        for row, rotation in enumerate(rotations)
        for parameter, value in rotation.coefficients.items()
        if parameter in columns and value
    ]
    rows, places, values = np.array(entries, dtype=float).reshape(-1, 3).T
    return csr_array((values, (rows.astype(int), places.astype(int))), shape=(len(rotations), len(columns)))
