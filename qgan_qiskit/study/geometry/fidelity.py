"""How distinguishable the circuits' inputs are, under the noise range that a run generates with.

Shape letters: N pairs of latents · Z latent size · P sub-generators · Q inputs · K weights of one.
"""

from __future__ import annotations

import numpy as np
from qiskit.circuit import Barrier, CircuitInstruction, Parameter, ParameterExpression, QuantumCircuit, Qubit
from torch import Tensor

from qgan_qiskit.circuits import Ansatz
from qgan_qiskit.circuits.gates import written_out
from qgan_qiskit.hardware.seam import work_of
from qgan_qiskit.models import Generator
from qgan_qiskit.study.circuits.overlap import fidelities


def input_fidelities(generator: Generator, first_NZ: Tensor, second_NZ: Tensor) -> np.ndarray:
    """Return |<psi(x)|psi(y)>|^2 of each sub-generator's states for pairs of latents, shape (N, P).

    Gates behind the last input are the same unitary for x and y and keep the fidelity, so these are the fidelities of the encoded
    states, before and after the trainable layers. From this arXiv 2609.36702 argues that a narrow noise range limits variety:
    outputs of an L-Lipschitz read-out differ by at most L * sqrt(1 - F), whatever the trained layers do.

    Raises:
        UsageError: the generator has no circuits.
        CircuitError: gates entangle too many qubits before the last input.
    """
    first, second = work_of(generator, first_NZ), work_of(generator, second_NZ)
    parts = parts_with_inputs(first.ansatz)
    found = np.ones((len(first_NZ), len(first.weights_PK)))
    for member, weights_K in enumerate(first.weights_PK):
        angles = [_angles(first.ansatz, work.angles_BPQ[:, member], weights_K) for work in (first, second)]
        for part in parts:
            rows = [np.stack([values[angle] for angle in part.parameters], axis=1) for values in angles]
            found[:, member] *= fidelities(part, *rows)
    return found


def parts_with_inputs(ansatz: Ansatz) -> list[QuantumCircuit]:
    """Return what of a circuit decides the fidelity for two inputs: a circuit for each set of qubits that it connects.

    Gates that neither take an input nor come before one are left out, each qubit by itself. What remains is a product of the
    parts, and so is the fidelity: for an encoding of one gate per qubit the parts are single qubits, however many there are.
    """
    flat = written_out(ansatz.circuit)
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
    place = {qubit: number for number, qubit in enumerate(sorted(group, key=lambda qubit: flat.find_bit(qubit).index))}
    part = QuantumCircuit(len(place), name=flat.name)
    for item in kept:
        if item.qubits[0] in group:
            part.append(item.operation, [place[qubit] for qubit in item.qubits])
    return part


def _parameters(item: CircuitInstruction) -> set[Parameter]:
    return {
        parameter for angle in item.params if isinstance(angle, ParameterExpression) for parameter in angle.parameters
    }


def _angles(ansatz: Ansatz, angles_NQ: np.ndarray, weights_K: np.ndarray) -> dict[Parameter, np.ndarray]:
    """Return the angles of all latents by parameter, each of shape (N,)."""
    values = dict(zip(ansatz.input_parameters, angles_NQ.T, strict=True))
    for parameter, weight in zip(ansatz.weight_parameters, weights_K, strict=True):
        values[parameter] = np.full(len(angles_NQ), weight)
    return values
