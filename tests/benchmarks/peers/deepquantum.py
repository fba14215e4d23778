"""DeepQuantum: all circuits and images as one batch, with weights handed over as data beside the inputs.

Its other way, one circuit object with parameters per sub-generator, took 1.4 times as long on two circuits.
For HybridQ's circuit only.
"""

import torch
from case import Case

from peers.torch_step import TorchStep


def prepare(case: Case) -> TorchStep:
    """Return a call that makes one step."""
    import deepquantum as dq

    qubits = case.form.qubits
    circuit = dq.QubitCircuit(qubits)
    circuit.rylayer(encode=True)
    for _ in range(case.form.layers):
        circuit.rylayer(encode=True)
        for qubit in range(qubits - 1):
            circuit.cnot(qubit, qubit + 1)
    for qubit in range(qubits):
        circuit.observable(wires=qubit, basis="z")
    angles_BPQ = case.angles_BPQ.clone().requires_grad_()
    weights_PK = case.weights_PK.clone().requires_grad_()

    def forward() -> torch.Tensor:
        data = torch.cat([angles_BPQ, weights_PK.expand(case.batch, -1, -1)], dim=-1)
        circuit(data=data.flatten(0, 1))
        return circuit.expectation().reshape(case.batch, case.circuits, qubits)

    return TorchStep(forward, angles_BPQ, [weights_PK], case.cotangents_BPO)
