"""Qiskit Machine Learning as it comes: ``EstimatorQNN`` + ``TorchConnector`` on its default estimator and gradient.

The default estimator is exact (a state vector per request), the default gradient the parameter shift.
"""

import warnings

import torch
from case import Case
from qiskit_machine_learning.connectors import TorchConnector
from qiskit_machine_learning.neural_networks import EstimatorQNN

from peers.torch_step import TorchStep


def prepare(case: Case) -> TorchStep:
    """Return a call that makes one step."""
    connectors = torch.nn.ModuleList(_connector(case, weights_K) for weights_K in case.weights_PK)
    angles_BPQ = case.angles_BPQ.clone().requires_grad_()

    def forward() -> torch.Tensor:
        return torch.stack([connector(angles_BPQ[:, p]) for p, connector in enumerate(connectors)], dim=1)

    return TorchStep(forward, angles_BPQ, list(connectors.parameters()), case.cotangents_BPO)


def _connector(case: Case, weights_K: torch.Tensor) -> TorchConnector:
    ansatz = case.form.ansatz()
    with warnings.catch_warnings():
        # It warns that no pass manager was given; a simulator needs none.
        warnings.simplefilter("ignore")
        qnn = EstimatorQNN(
            circuit=ansatz.circuit,
            observables=list(ansatz.observables),
            input_params=list(ansatz.input_parameters),
            weight_params=list(ansatz.weight_parameters),
            input_gradients=True,
        )
    return TorchConnector(qnn, initial_weights=weights_K.numpy())
