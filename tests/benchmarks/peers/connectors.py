"""Qiskit's own interface on our simulator: ``EstimatorQNN`` + ``TorchConnector``, one connector after the other.

The connectors are those that ``SubGenerators`` makes, on ``ExactEstimator`` and ``AdjointEstimatorGradient``.
"""

import torch
from case import Case

from peers.torch_step import TorchStep
from qgan_qiskit.qnn import SubGenerators


def prepare(case: Case) -> TorchStep:
    """Return a call that makes one step."""
    connectors = SubGenerators(case.form.ansatz(), case.circuits).connectors
    with torch.no_grad():
        for connector, weights_K in zip(connectors, case.weights_PK, strict=True):
            connector.weight.copy_(weights_K)
    angles_BPQ = case.angles_BPQ.clone().requires_grad_()

    def forward() -> torch.Tensor:
        return torch.stack([connector(angles_BPQ[:, p]) for p, connector in enumerate(connectors)], dim=1)

    return TorchStep(forward, angles_BPQ, list(connectors.parameters()), case.cotangents_BPO)
