"""Fidelity of a circuit's states for two sets of angles, and of a generator's states for two latents.

Shape letters: N pairs · Z latent size · P sub-generators · Q inputs of a circuit · K its parameters, or its weights.
"""

from __future__ import annotations

import numpy as np
from qiskit.circuit import Barrier, CircuitInstruction, Parameter, ParameterExpression, QuantumCircuit, Qubit
from qiskit.quantum_info import PauliList, SparsePauliOp
from torch import Tensor

from qgan_qiskit.circuits import CircuitSpec
from qgan_qiskit.circuits.gate_definitions import expand_gates
from qgan_qiskit.config.studies import MOST_QUBITS
from qgan_qiskit.errors import CircuitError
from qgan_qiskit.hardware.generator_circuits import circuit_inputs
from qgan_qiskit.models import Generator
from qgan_qiskit.simulation.estimator import expectation_values

# Memory for the expectations of the pairs simulated together: one per Pauli string and pair.
_BYTES = 64 << 20


def fidelities(circuit: QuantumCircuit, first_NK: np.ndarray, second_NK: np.ndarray) -> np.ndarray:
    """Return |<0| U(second)^dagger U(first) |0>|^2 of each pair, shape (N,), float64.

    The circuit runs forward with one set and backward with the other, and the probability of |0…0> is read: the fidelity
    estimator of quantum kernels (Havlicek et al. 2019, arXiv 1804.11326, section "Quantum kernel estimation").

    Args:
        circuit: U, unitary.
        first_NK: one row per pair, in the order of ``circuit.parameters``; radians.
        second_NK: the same, for the other state.

    Raises:
        CircuitError: the circuit has more than ``MOST_QUBITS`` qubits.
    """
    check_size(circuit.name, circuit.num_qubits)
    both = _renamed(circuit, "a").compose(_renamed(circuit, "b").inverse())
    # By name: a parameter that cancels in the composed circuit is no parameter of it.
    column_of = {name: number for number, name in enumerate([*_names("a", circuit), *_names("b", circuit)])}
    rows = np.concatenate([first_NK, second_NK], axis=1)
    columns = [column_of[parameter.name] for parameter in both.parameters]
    projector = [zero_projector(circuit.num_qubits)]
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


def zero_projector(num_qubits: int) -> SparsePauliOp:
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


def input_fidelities(generator: Generator, first_NZ: Tensor, second_NZ: Tensor) -> np.ndarray:
    """Return |<psi(x)|psi(y)>|^2 of each sub-generator's states for pairs of latents, shape (N, P).

    Gates after the last input are the same unitary for x and y and preserve the fidelity, so these are the fidelities of the
    encoded states, before and after the trainable layers. arXiv 2609.36702 argues from this that a narrow latent range limits
    variety: outputs of an L-Lipschitz readout differ by at most L * sqrt(1 - F), whatever the trained layers do.

    Raises:
        UsageError: the generator has no circuits.
        CircuitError: gates entangle too many qubits before the last input.
    """
    first, second = circuit_inputs(generator, first_NZ), circuit_inputs(generator, second_NZ)
    parts = split_by_inputs(first.ansatz)
    found = np.ones((len(first_NZ), len(first.weights_PK)))
    for member, weights_K in enumerate(first.weights_PK):
        angles = [_angles(first.ansatz, work.angles_BPQ[:, member], weights_K) for work in (first, second)]
        for part in parts:
            rows = [np.stack([values[angle] for angle in part.parameters], axis=1) for values in angles]
            found[:, member] *= fidelities(part, *rows)
    return found


def split_by_inputs(ansatz: CircuitSpec) -> list[QuantumCircuit]:
    """Return the factors of a circuit that decide the fidelity for two inputs, a circuit for each set of connected qubits.

    Gates on a qubit after its last input are dropped. What remains is a product of unconnected parts, and so is the fidelity:
    for an encoding of one gate per qubit the parts are single qubits, however many there are.
    """
    flat = expand_gates(ansatz.circuit)
    inputs, kept, needed = set(ansatz.input_parameters), list[CircuitInstruction](), set[Qubit]()
    for item in reversed(flat.data):
        if not isinstance(item.operation, Barrier) and (needed.intersection(item.qubits) or inputs & _parameters(item)):
            kept.insert(0, item)
            needed.update(item.qubits)
    groups: list[set[Qubit]] = []
    for item in kept:
        joined = set(item.qubits).union(*(group for group in groups if group.intersection(item.qubits)))
        groups = [group for group in groups if not group & joined] + [joined]
    return [_part(flat, kept, group) for group in groups]


def _part(flat: QuantumCircuit, kept: list[CircuitInstruction], group: set[Qubit]) -> QuantumCircuit:
    index_of = {
        qubit: number for number, qubit in enumerate(sorted(group, key=lambda qubit: flat.find_bit(qubit).index))
    }
    part = QuantumCircuit(len(index_of), name=flat.name)
    for item in kept:
        if item.qubits[0] in group:
            part.append(item.operation, [index_of[qubit] for qubit in item.qubits])
    return part


def _parameters(item: CircuitInstruction) -> set[Parameter]:
    return {
        parameter for angle in item.params if isinstance(angle, ParameterExpression) for parameter in angle.parameters
    }


def _angles(ansatz: CircuitSpec, angles_NQ: np.ndarray, weights_K: np.ndarray) -> dict[Parameter, np.ndarray]:
    """Return the angles of each parameter for all latents, shape (N,)."""
    values = dict(zip(ansatz.input_parameters, angles_NQ.T, strict=True))
    for parameter, weight in zip(ansatz.weight_parameters, weights_K, strict=True):
        values[parameter] = np.full(len(angles_NQ), weight)
    return values
