"""Fidelity of the states that a circuit makes with two sets of angles, on the package's own simulator.

Shape letters: N pairs · K parameters.
"""

from __future__ import annotations

import numpy as np
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.quantum_info import PauliList, SparsePauliOp

from qgan_qiskit.config.circuits import MOST_QUBITS
from qgan_qiskit.errors import CircuitError
from qgan_qiskit.simulation.estimator import expectation_values

# What is read for the pairs that are simulated together: a number for each Pauli string.
_BYTES = 64 << 20


def fidelities(circuit: QuantumCircuit, first_NK: np.ndarray, second_NK: np.ndarray) -> np.ndarray:
    """Return |<0| U(second)^dagger U(first) |0>|^2 of each pair, shape (N,), float64.

    The circuit is run forwards with one set and backwards with the other, and the probability of |0…0> is read: the fidelity
    estimator of quantum kernels (Havlicek et al. 2019, arXiv 1804.11326, section "Quantum kernel estimation").

    Args:
        circuit: U, unitary.
        first_NK: one row per pair, in the order of ``circuit.parameters``; radians.
        second_NK: the same, of the other state.

    Raises:
        CircuitError: more qubits than the projector on |0…0> has room for.
    """
    check_size(circuit.name, circuit.num_qubits)
    there = _renamed(circuit, "a")
    back = _renamed(circuit, "b").inverse()
    both = there.compose(back)
    # By name: a parameter that the circuit's own gates cancel is no parameter of it any more.
    place = {name: number for number, name in enumerate([*_names("a", circuit), *_names("b", circuit)])}
    rows = np.concatenate([first_NK, second_NK], axis=1)
    columns = [place[parameter.name] for parameter in both.parameters]
    projector = [all_zero(circuit.num_qubits)]
    size = max(1, _BYTES // (8 << circuit.num_qubits))
    blocks = [rows[start : start + size, columns] for start in range(0, len(rows), size)]
    return np.concatenate([expectation_values(both, projector, block)[:, 0] for block in blocks]).clip(0, 1)


def check_size(name: str, num_qubits: int) -> None:
    """Refuse a circuit that is too large.

    Raises:
        CircuitError: it has too many qubits.
    """
    if num_qubits > MOST_QUBITS:
        raise CircuitError(
            f"'{name}' has {num_qubits} qubits: fidelities of states are computed for up to {MOST_QUBITS}"
        )


def all_zero(num_qubits: int) -> SparsePauliOp:
    """Return |0…0><0…0| as the mean of all 2**num_qubits strings of I and Z."""
    numbers = np.arange(1 << num_qubits)
    z = (numbers[:, None] >> np.arange(num_qubits) & 1).astype(bool)
    paulis = PauliList.from_symplectic(z, np.zeros_like(z))
    return SparsePauliOp(paulis, np.full(len(z), 1 / len(z)))


def _names(letter: str, circuit: QuantumCircuit) -> list[str]:
    return [f"{letter}_{number:06d}" for number in range(circuit.num_parameters)]


def _renamed(circuit: QuantumCircuit, letter: str) -> QuantumCircuit:
    new = [Parameter(name) for name in _names(letter, circuit)]
    return circuit.assign_parameters(dict(zip(circuit.parameters, new, strict=True)))
