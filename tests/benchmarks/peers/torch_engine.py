"""Our own engine in plain torch: what runs on CUDA, and where kernels cannot be compiled."""

import os
from unittest import mock

import torch
from case import Case

from peers.torch_step import TorchStep
from qgan_qiskit.simulation.engine_cache import engine_for_spec


def prepare(case: Case) -> TorchStep:
    """Return a call that makes one step."""
    with mock.patch.dict(os.environ, QGAN_QISKIT_ENGINE="torch"):
        engine = engine_for_spec(case.form.ansatz(), torch.float32, torch.device("cpu"))
    angles_BPQ, weights_PK = (t.float().clone().requires_grad_() for t in (case.angles_BPQ, case.weights_PK))
    return TorchStep(
        lambda: engine.expectations(angles_BPQ, weights_PK), angles_BPQ, [weights_PK], case.cotangents_BPO.float()
    )
