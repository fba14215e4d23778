"""What is measured: one Pauli on each qubit, or parities of some qubits while others are projected on 0."""

from __future__ import annotations

from itertools import combinations

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


def projected_parities(num_qubits: int, num_ancillas: int) -> tuple[SparsePauliOp, ...]:
    """Return the parities of all subsets of the first qubits, each times the projector of the ancillas on 0.

    Observable s is the product of Z on the qubits that are 1 in the binary number s (qubit 0 its last digit), times
    ``(I + Z) / 2`` on each of the last ``num_ancillas`` qubits. Its expectation is the Walsh-Hadamard transform of the
    probabilities of basis state j with the ancillas in 0: ``<O_s> = sum_j (-1)**|j & s| p(j, 0)``. So few strings give
    all probabilities: 2**num_qubits in all, which commute and are measured in one basis.

    Args:
        num_qubits: all qubits; at least one is no ancilla.
        num_ancillas: how many of them, from the last on, are ancillas.

    Returns:
        2**(num_qubits - num_ancillas) observables, in the order of s.
    """
    shown = num_qubits - num_ancillas
    ancillas = range(shown, num_qubits)
    subsets = [subset for size in range(num_ancillas + 1) for subset in combinations(ancillas, size)]
    observables = []
    for s in range(1 << shown):
        parity = [qubit for qubit in range(shown) if s >> qubit & 1]
        terms = [("Z" * (len(parity) + len(subset)), [*parity, *subset], 1 / len(subsets)) for subset in subsets]
        observables.append(SparsePauliOp.from_sparse_list(terms, num_qubits))
    return tuple(observables)
