"""Entangling capability: the mean Meyer-Wallach entanglement of a circuit's states with random angles.

Shape letters: N states · K parameters · Q qubits.
"""

from __future__ import annotations

import numpy as np
from qiskit.circuit import QuantumCircuit

from qgan_qiskit.circuits import single_qubit_paulis
from qgan_qiskit.simulation.estimator import expectation_values


def meyer_wallach(circuit: QuantumCircuit, values_NK: np.ndarray) -> np.ndarray:
    """Return Q = 2 (1 - mean over qubits of Tr rho_k^2) of each state, shape (N,): 0 for product states, 1 for GHZ.

    Meyer and Wallach 2002 (quant-ph/0108104), in the form of Brennen 2003 (quant-ph/0305094). A qubit's purity is
    (1 + |r|^2) / 2 with r = (<X>, <Y>, <Z>), so Q = 1 - mean |r|^2. Its mean over random angles is the entangling capability of
    Sim, Johnson and Aspuru-Guzik 2019 (arXiv 1905.10876).

    Args:
        circuit: unitary.
        values_NK: one row per state, in the order of ``circuit.parameters``; radians.
    """
    count = circuit.num_qubits
    observables = [observable for pauli in "XYZ" for observable in single_qubit_paulis(pauli, count)]
    vectors = expectation_values(circuit, observables, values_NK).reshape(len(values_NK), 3, count)
    entanglement: np.ndarray = 1 - (vectors**2).sum(axis=1).mean(axis=1)
    return entanglement


def haar_entangling(dimension: int, *, real: bool = False) -> float:
    """Return the mean of Q over Haar random states: (N - 2) / (N + 1), for real ones (N - 2) / (N + 2).

    Each of X, Y and Z on a qubit has mean square 1 / (N + 1) over complex states; over real ones X and Z have 2 / (N + 2) and
    Y is 0 (second moments of the unitary and of the orthogonal group).
    """
    return (dimension - 2) / (dimension + (2 if real else 1))
