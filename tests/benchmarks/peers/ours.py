"""The fused path: ``SubGenerators`` on ``ExactEstimator``, in the precision of the case."""

import torch
from case import Case

from peers.torch_step import TorchStep
from qgan_qiskit.qnn import SubGenerators


def prepare(case: Case) -> TorchStep:
    """Return a call that makes one step with all circuits and images at once."""
    module = SubGenerators(case.form.ansatz(), case.circuits)
    with torch.no_grad():
        for connector, weights_K in zip(module.connectors, case.weights_PK, strict=True):
            connector.weight.copy_(weights_K)
    angles_BPQ = case.angles_BPQ.clone().requires_grad_()
    return TorchStep(lambda: module(angles_BPQ), angles_BPQ, list(module.parameters()), case.cotangents_BPO)
