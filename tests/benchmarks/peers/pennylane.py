"""PennyLane: one QNode per circuit, its inputs broadcast, in double precision as is its default."""

import torch
from case import Case, Form

from peers.torch_step import TorchStep


def prepare(case: Case, device: str, method: str) -> TorchStep:
    """Return a call that makes one step on a device, differentiated by a method."""
    import pennylane as qml

    node = qml.qnode(qml.device(device, wires=case.form.qubits), interface="torch", diff_method=method)(
        _circuit(case.form)
    )
    case = case.double()
    angles_BPQ = case.angles_BPQ.clone().requires_grad_()
    weights = [weights_K.clone().requires_grad_() for weights_K in case.weights_PK]

    def forward() -> torch.Tensor:
        values = [torch.stack(node(angles_BPQ[:, p], w), dim=-1) for p, w in enumerate(weights)]
        return torch.stack(values, dim=1)

    return TorchStep(forward, angles_BPQ, weights, case.cotangents_BPO)


def _circuit(form: Form):
    import pennylane as qml

    ladder = {"cx": qml.CNOT, "cz": qml.CZ}[form.entangler]
    observable = {"z": qml.PauliZ, "x": qml.PauliX}[form.readout]

    def circuit(inputs_BQ, weights_K):
        for qubit in range(form.qubits):
            qml.RY(inputs_BQ[:, qubit], wires=qubit)
            if form.encoding == "ry_rx":
                qml.RX(inputs_BQ[:, qubit], wires=qubit)
        for layer in range(form.layers):
            for qubit in range(form.qubits):
                qml.RY(weights_K[layer * form.qubits + qubit], wires=qubit)
            for qubit in range(form.qubits - 1):
                ladder(wires=[qubit, qubit + 1])
        return [qml.expval(observable(qubit)) for qubit in range(form.qubits)]

    return circuit
