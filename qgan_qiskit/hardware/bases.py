"""In how many bases an ansatz has to be measured for all its observables."""

from __future__ import annotations

from qiskit.quantum_info import PauliList

from qgan_qiskit.circuits import Ansatz


def measurement_bases(ansatz: Ansatz) -> int:
    """Return the number of groups of qubit-wise commuting terms: one circuit has to be run for each."""
    terms = {label for observable in ansatz.observables for label in observable.paulis.to_labels()}
    return len(PauliList(sorted(terms)).group_commuting(qubit_wise=True))
