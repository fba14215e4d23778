"""What angles that are not affine cost: a ZZ feature map beside the same circuit with affine angles, in one run."""

import itertools
import math
from collections.abc import Collection

import torch
from progress import say
from qiskit.circuit import ParameterVector, QuantumCircuit
from qiskit.circuit.library import real_amplitudes, zz_feature_map
from qiskit.quantum_info import SparsePauliOp
from timing import beside, first_call, measure

from qgan_qiskit.simulation.cache import engine_for

TARGET_RATIO = 3


def run(tiny: bool, skip: Collection[str]) -> dict:
    """Return the figures of the part ``expressions``: seconds forward and backward, and their ratio."""
    qubits, reps, batch = (3, 1, 8) if tiny else (10, 6, 64)
    ours, affine = (_step(m, reps, batch) for m in (zz_feature_map(qubits), _affine_map(qubits)))
    first_call(ours), first_call(affine)
    pair = beside(lambda: measure(ours), lambda: measure(affine))
    ratio = pair.ours / pair.rival.seconds
    say(f"zz_feature_map({qubits}): {ratio:.2f}x the time of affine angles")
    return {"seconds": pair.ours, "affine_seconds": pair.rival.seconds, "ratio": ratio, "target": TARGET_RATIO}


def _step(feature_map: QuantumCircuit, reps: int, batch: int):
    qubits = feature_map.num_qubits
    ansatz = real_amplitudes(qubits, reps=reps)
    observables = [SparsePauliOp.from_sparse_list([("Z", [qubit], 1)], qubits) for qubit in range(qubits)]
    inputs, weights = list(feature_map.parameters), list(ansatz.parameters)
    engine = engine_for(feature_map.compose(ansatz), inputs, weights, observables, torch.float32)
    x_BPQ = torch.rand(batch, 1, len(inputs), requires_grad=True)
    w_PK = torch.rand(1, len(weights), requires_grad=True)
    return lambda: engine.expectations(x_BPQ, w_PK).sum().backward()


def _affine_map(qubits: int) -> QuantumCircuit:
    """The gates of ``zz_feature_map`` with the sum of two inputs in place of their product."""
    x = ParameterVector("x", qubits)
    circuit = QuantumCircuit(qubits)
    for _ in range(2):
        circuit.h(range(qubits))
        for qubit in range(qubits):
            circuit.p(2 * x[qubit], qubit)
        for i, j in itertools.combinations(range(qubits), 2):
            circuit.cx(i, j)
            circuit.p(2 * (math.pi - x[i] - x[j]), j)
            circuit.cx(i, j)
    return circuit
