"""Which gates are taken as they are, and how user-defined gates are written out into those."""

from __future__ import annotations

from qiskit.circuit import (
    AnnotatedOperation,
    Barrier,
    ControlModifier,
    Gate,
    Instruction,
    InverseModifier,
    Operation,
    ParameterExpression,
    PowerModifier,
    QuantumCircuit,
)
from qiskit.circuit.annotated_operation import Modifier
from qiskit.circuit.library import PauliEvolutionGate, UnitaryGate, get_standard_gate_name_mapping
from qiskit.quantum_info import Operator, PauliList, SparseObservable, SparsePauliOp

from qgan_qiskit.errors import CircuitError

_STANDARD = {name: gate.base_class for name, gate in get_standard_gate_name_mapping().items() if isinstance(gate, Gate)}


def free_angles(operation: Instruction) -> list[ParameterExpression]:
    """Return the angles of an operation that hold parameters or other expressions, in radians."""
    return [angle for angle in operation.params if isinstance(angle, ParameterExpression)]


def is_standard(operation: Instruction) -> bool:
    """Say whether an operation is one of Qiskit's standard gates, so that its name and its angles say everything.

    The class counts and not the name alone, because a user may define a gate of their own called ``ry``.
    """
    return operation.base_class is _STANDARD.get(operation.name)


def is_elementary(operation: Instruction) -> bool:
    """Say whether an operation needs no definition: a barrier, a standard gate, or a gate given by its numbers."""
    if isinstance(operation, Barrier) or is_standard(operation):
        return True
    return isinstance(operation, Gate) and hasattr(operation, "__array__") and not free_angles(operation)


def strip_annotations(operation: Operation, place: str) -> Instruction:
    """Return the instruction that an operation stands for: of an annotated one the base with its modifiers applied.

    Args:
        operation: what a circuit holds.
        place: where it stands, for the error message, such as ``on qubit 3``.

    Raises:
        CircuitError: Qiskit cannot apply a modifier, or the operation is no instruction (such as a ``Clifford``).
    """
    base, modifiers = operation, list[Modifier]()
    while isinstance(base, AnnotatedOperation):
        base, modifiers = base.base_op, [*base.modifiers, *modifiers]
    if not isinstance(base, Instruction):
        raise CircuitError(f"'{base.name}' {place} is not written out in gates; append its to_instruction()")
    gate = base
    # Controls commute with the others and come last: Qiskit has powers of RX(a), but none of its controlled form.
    for modifier in sorted(modifiers, key=lambda modifier: isinstance(modifier, ControlModifier)):
        try:
            gate = _modified(gate, modifier)
        except Exception as error:  # Qiskit's own, or any of a user's gate
            raise CircuitError(
                f"{modifier} cannot be applied to gate '{base.name}' {place} ({_reason(error)}); "
                "write it out in standard gates"
            ) from error
    return gate


def _modified(gate: Instruction, modifier: Modifier) -> Instruction:
    match modifier:
        case ControlModifier(num_ctrl_qubits=0):
            return gate
        case ControlModifier():
            if not free_angles(gate) and _holds_inexact_evolution(gate):
                # Qiskit would control the gates of the synthesis.
                gate = UnitaryGate(Operator(gate))
            return gate.control(modifier.num_ctrl_qubits, ctrl_state=modifier.ctrl_state, annotated=False)
        case InverseModifier():
            return gate.inverse()
        case PowerModifier():
            return gate.power(modifier.power)
    raise TypeError("unknown modifier")


def terms_commute(gate: PauliEvolutionGate) -> bool:
    """Say whether the terms of an evolution commute, so that its synthesis is its exponential."""
    operators = gate.operator if isinstance(gate.operator, list) else [gate.operator]
    sums = [
        SparsePauliOp.from_sparse_observable(o.as_paulis()) if isinstance(o, SparseObservable) else SparsePauliOp(o)
        for o in operators
    ]
    paulis = PauliList([label for operator in sums for label in operator.paulis.to_labels()])
    return all(bool(paulis.commutes(pauli).all()) for pauli in paulis)


def _holds_inexact_evolution(gate: Operation) -> bool:
    """Say whether the synthesis of an evolution inside a gate is not its exponential."""
    if isinstance(gate, PauliEvolutionGate):
        return not terms_commute(gate)
    if isinstance(gate, AnnotatedOperation):
        return _holds_inexact_evolution(gate.base_op)
    if not isinstance(gate, Instruction) or is_standard(gate):
        return False
    definition = definition_of(gate, "")
    return definition is not None and any(_holds_inexact_evolution(item.operation) for item in definition.data)


def definition_of(operation: Instruction, place: str) -> QuantumCircuit | None:
    """Return what an operation is made of, or None where it has no definition.

    Args:
        operation: anything but an annotated operation.
        place: where it stands, for the error message, such as ``on qubit 3``.

    Raises:
        CircuitError: it cannot say, such as ``RVGate``, which cannot be written out before its angles are numbers.
    """
    try:
        return operation.definition
    except Exception as error:  # Qiskit's own, or any of a user's gate
        raise CircuitError(
            f"gate '{operation.name}' {place} has no definition ({_reason(error)}); use numbers or standard gates"
        ) from error


def _reason(error: Exception) -> str:
    return " ".join(str(getattr(error, "message", error)).split())


def expand_gates(circuit: QuantumCircuit) -> QuantumCircuit:
    """Return the circuit with every user-defined gate replaced by the elementary gates of its definition.

    Args:
        circuit: a circuit that passed :func:`qgan_qiskit.circuits.validation.check_gates`.

    Returns:
        A new circuit with the same qubits, parameters and unitary (global phase included).
    """
    flat = circuit.copy_empty_like()
    for instruction in circuit.data:
        operation = strip_annotations(instruction.operation, f"in '{circuit.name}'")
        if is_elementary(operation):
            flat.append(operation, instruction.qubits, copy=False)
        else:
            flat.compose(expand_gates(operation.definition), instruction.qubits, inplace=True, copy=False)
    return flat
