"""Counts that say how large and how deep a circuit is."""

from __future__ import annotations

from dataclasses import dataclass

from qiskit.circuit import QuantumCircuit

from qgan_qiskit.circuits.gates import written_out


@dataclass(frozen=True)
class CircuitMetrics:
    """Counts of a circuit with its user-defined gates written out into standard gates.

    Attributes:
        qubits: qubits of the circuit, idle ones included.
        gates: gates of any size.
        two_qubit_gates: gates on exactly two qubits.
        depth: longest chain of gates that wait for each other.
        two_qubit_depth: the same, of two-qubit gates alone.
    """

    qubits: int
    gates: int
    two_qubit_gates: int
    depth: int
    two_qubit_depth: int


def circuit_metrics(circuit: QuantumCircuit) -> CircuitMetrics:
    """Count the gates and layers of a unitary circuit; barriers count nothing.

    Args:
        circuit: a circuit that passed :func:`qgan_qiskit.circuits.checks.check_gates`.
    """
    flat = written_out(circuit)
    return CircuitMetrics(
        qubits=flat.num_qubits,
        gates=flat.size(),
        two_qubit_gates=sum(len(gate.qubits) == 2 and gate.operation.name != "barrier" for gate in flat.data),
        depth=flat.depth(),
        two_qubit_depth=flat.depth(
            lambda gate: len(gate.qubits) == 2 and gate.operation.name != "barrier",
        ),
    )
