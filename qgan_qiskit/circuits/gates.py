"""Which gates are taken as they are, and how user-defined gates are written out into those."""

from __future__ import annotations

from qiskit.circuit import Barrier, Gate, Instruction, ParameterExpression, QuantumCircuit
from qiskit.circuit.library import get_standard_gate_name_mapping

_STANDARD = {name: gate.base_class for name, gate in get_standard_gate_name_mapping().items() if isinstance(gate, Gate)}


def free_angles(operation: Instruction) -> list[ParameterExpression]:
    """Return the angles of an operation that hold parameters or other expressions, in radians."""
    return [angle for angle in operation.params if isinstance(angle, ParameterExpression)]


def is_elementary(operation: Instruction) -> bool:
    """Say whether an operation needs no definition: a barrier, a standard gate, or a gate given by its numbers.

    The class counts and not the name alone, because a user may define a gate of their own called ``ry``.
    """
    if isinstance(operation, Barrier) or operation.base_class is _STANDARD.get(operation.name):
        return True
    return isinstance(operation, Gate) and hasattr(operation, "__array__") and not free_angles(operation)


def written_out(circuit: QuantumCircuit) -> QuantumCircuit:
    """Return the circuit with every user-defined gate replaced by the elementary gates of its definition.

    Args:
        circuit: a circuit that passed :func:`qgan_qiskit.circuits.checks.check_gates`.

    Returns:
        A new circuit with the same qubits, parameters and unitary (global phase included).
    """
    flat = circuit.copy_empty_like()
    for instruction in circuit.data:
        operation = instruction.operation
        if is_elementary(operation):
            flat.append(operation, instruction.qubits, copy=False)
        else:
            flat.compose(written_out(operation.definition), instruction.qubits, inplace=True, copy=False)
    return flat
