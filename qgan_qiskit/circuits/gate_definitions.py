"""Which gates count as elementary, how user-defined gates expand into those, and the resource counts of a circuit.

Expansion keeps qubits, parameters and the unitary, global phase included.
"""

from __future__ import annotations

from dataclasses import dataclass

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
    """Return the angles of an operation that are parameters or expressions."""
    return [angle for angle in operation.params if isinstance(angle, ParameterExpression)]


def is_standard(operation: Instruction) -> bool:
    """Return whether an operation is one of Qiskit's standard gates, defined by its name and angles.

    The class decides, not the name: users may define gates of their own called ``ry``.
    """
    return operation.base_class is _STANDARD.get(operation.name)


def is_elementary(operation: Instruction) -> bool:
    """Return whether an operation needs no expansion: a barrier, a standard gate, or a gate given by a numeric matrix."""
    if isinstance(operation, Barrier) or is_standard(operation):
        return True
    return isinstance(operation, Gate) and hasattr(operation, "__array__") and not free_angles(operation)


def strip_annotations(operation: Operation, location: str) -> Instruction:
    """Return an operation with the modifiers of its annotations applied; ``location`` is for messages (``on qubit 3``).

    Raises:
        CircuitError: Qiskit cannot apply a modifier, or the operation is no instruction (such as a ``Clifford``).
    """
    base, modifiers = operation, list[Modifier]()
    while isinstance(base, AnnotatedOperation):
        base, modifiers = base.base_op, [*base.modifiers, *modifiers]
    if not isinstance(base, Instruction):
        raise CircuitError(f"'{base.name}' {location} is not written out in gates; append its to_instruction()")
    gate = base
    # Controls commute with the others and come last: Qiskit has powers of RX(a), but none of its controlled form.
    for modifier in sorted(modifiers, key=lambda modifier: isinstance(modifier, ControlModifier)):
        try:
            gate = _apply_modifier(gate, modifier)
        except Exception as error:  # any error of Qiskit or of a user's gate
            raise CircuitError(
                f"{modifier} cannot be applied to gate '{base.name}' {location} ({error_text(error)}); "
                "write it out in standard gates"
            ) from error
    return gate


def _apply_modifier(gate: Instruction, modifier: Modifier) -> Instruction:
    match modifier:
        case ControlModifier(num_ctrl_qubits=0):
            return gate
        case ControlModifier():
            if not free_angles(gate) and _contains_inexact_evolution(gate):
                # Qiskit would control the gates of the approximate synthesis.
                gate = UnitaryGate(Operator(gate))
            return gate.control(modifier.num_ctrl_qubits, ctrl_state=modifier.ctrl_state, annotated=False)
        case InverseModifier():
            return gate.inverse()
        case PowerModifier():
            return gate.power(modifier.power)
    raise TypeError("unknown modifier")


def terms_commute(gate: PauliEvolutionGate) -> bool:
    """Return whether the terms of an evolution commute, so that its synthesis is exact."""
    operators = gate.operator if isinstance(gate.operator, list) else [gate.operator]
    sums = [
        SparsePauliOp.from_sparse_observable(o.as_paulis()) if isinstance(o, SparseObservable) else SparsePauliOp(o)
        for o in operators
    ]
    paulis = PauliList([label for operator in sums for label in operator.paulis.to_labels()])
    return all(bool(paulis.commutes(pauli).all()) for pauli in paulis)


def _contains_inexact_evolution(gate: Operation) -> bool:
    if isinstance(gate, PauliEvolutionGate):
        return not terms_commute(gate)
    if isinstance(gate, AnnotatedOperation):
        return _contains_inexact_evolution(gate.base_op)
    if not isinstance(gate, Instruction) or is_standard(gate):
        return False
    definition = definition_of(gate, "")
    return definition is not None and any(_contains_inexact_evolution(item.operation) for item in definition.data)


def definition_of(operation: Instruction, location: str) -> QuantumCircuit | None:
    """Return the definition of an operation, or None if it has none; ``location`` is for messages.

    Raises:
        CircuitError: Qiskit fails, as for ``RVGate``, which has no definition before its angles are numbers.
    """
    try:
        return operation.definition
    except Exception as error:  # any error of Qiskit or of a user's gate
        raise CircuitError(
            f"gate '{operation.name}' {location} has no definition ({error_text(error)}); use numbers or standard gates"
        ) from error


def error_text(error: Exception) -> str:
    """Return the message of an exception of another library on one line."""
    return " ".join(str(getattr(error, "message", error)).split())


def expand_gates(circuit: QuantumCircuit) -> QuantumCircuit:
    """Return a new circuit of elementary gates; ``circuit`` has passed ``check_gates``."""
    flat = circuit.copy_empty_like()
    for instruction in circuit.data:
        operation = strip_annotations(instruction.operation, f"in '{circuit.name}'")
        if is_elementary(operation):
            flat.append(operation, instruction.qubits, copy=False)
        else:
            flat.compose(expand_gates(operation.definition), instruction.qubits, inplace=True, copy=False)
    return flat


@dataclass(frozen=True)
class CircuitResources:
    """Counts of a circuit's elementary gates; barriers are not counted.

    Attributes:
        qubits: number of qubits, idle ones included.
        gates: number of gates of any size.
        two_qubit_gates: number of gates on exactly two qubits.
        depth: length of the longest chain of dependent gates.
        two_qubit_depth: the same for two-qubit gates alone.
    """

    qubits: int
    gates: int
    two_qubit_gates: int
    depth: int
    two_qubit_depth: int


def circuit_resources(circuit: QuantumCircuit) -> CircuitResources:
    """Count the gates and layers of a circuit that has passed ``check_gates``."""
    flat = expand_gates(circuit)
    two_qubit = [len(gate.qubits) == 2 and gate.operation.name != "barrier" for gate in flat.data]
    two_qubit_depth = flat.depth(lambda gate: len(gate.qubits) == 2 and gate.operation.name != "barrier")
    return CircuitResources(flat.num_qubits, flat.size(), sum(two_qubit), flat.depth(), two_qubit_depth)
