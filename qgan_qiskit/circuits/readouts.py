"""What is measured: one Pauli on each qubit."""

from __future__ import annotations

from qiskit.quantum_info import SparsePauliOp

READOUTS = {"z": "Z", "x": "X"}


def single_qubit_paulis(pauli: str, num_qubits: int) -> tuple[SparsePauliOp, ...]:
    """Return the observables whose i-th entry acts with ``pauli`` on qubit i and with I elsewhere.

    Args:
        pauli: ``X``, ``Y`` or ``Z``.
        num_qubits: qubits of the circuit; also the number of observables.

    Returns:
        Observables in the order of the qubits. Qiskit writes qubit 0 last in a label: on three qubits the first is IIZ.
    """
    return tuple(SparsePauliOp.from_sparse_list([(pauli, [q], 1.0)], num_qubits) for q in range(num_qubits))
