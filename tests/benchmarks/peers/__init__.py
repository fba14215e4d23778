"""Simulators to compare with. Each module has ``prepare(case)``, which returns a call that makes one step.

The call returns (expectations (B, P, O), gradient by the angles (B, P, Q), gradient by the weights (P, K) or a list of its
parts). A peer that is not installed raises ImportError from ``prepare``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from case import Case

from peers import connectors, deepquantum, pennylane, qiskit_torch_module, stock, tensorcircuit, torch_engine


@dataclass(frozen=True)
class Peer:
    """A simulator in one way of using it.

    Attributes:
        key: short name for ``--skip``.
        name: what the tables call it.
        precision: of its numbers.
        prepare: see the package.
        images: images of the batch that are measured, then scaled; None for all.
        circuits: circuits that are measured, then scaled; None for all.
        target: how many times faster we mean to be; None where nothing was promised.
    """

    key: str
    name: str
    precision: str
    prepare: Callable[[Case], Callable[[], tuple]]
    images: int | None = None
    circuits: int | None = None
    target: float | None = None


STEP_PEERS = (
    Peer("torch", "our engine in plain torch (`QGAN_QISKIT_ENGINE=torch`)", "float32", torch_engine.prepare),
    Peer(
        "connectors",
        "`EstimatorQNN` + `TorchConnector` on `ExactEstimator`",
        "float64",
        connectors.prepare,
        circuits=1,
    ),
    Peer("deepquantum", "DeepQuantum, batched", "complex64", deepquantum.prepare),
    Peer(
        "tensorcircuit",
        "tensorcircuit-ng, JAX jit + vmap, `expectation_ps`",
        "complex64",
        partial(tensorcircuit.prepare, readout="expectation_ps"),
        target=50,
    ),
    Peer(
        "tensorcircuit-state",
        "tensorcircuit-ng, JAX jit + vmap, signs x probabilities",
        "complex64",
        partial(tensorcircuit.prepare, readout="state"),
        target=50,
    ),
    Peer(
        "pennylane",
        "PennyLane `default.qubit`, broadcast, backprop",
        "complex128",
        partial(pennylane.prepare, device="default.qubit", method="backprop"),
        circuits=1,
        target=250,
    ),
    Peer(
        "lightning",
        "PennyLane `lightning.qubit`, adjoint",
        "complex128",
        partial(pennylane.prepare, device="lightning.qubit", method="adjoint"),
        images=8,
        circuits=1,
        target=1000,
    ),
    Peer(
        "stock",
        "stock `EstimatorQNN` + `TorchConnector`, parameter shift",
        "complex128",
        stock.prepare,
        images=1,
        circuits=1,
        target=500_000,
    ),
    Peer("qiskit-torch-module", "qiskit-torch-module", "complex128", qiskit_torch_module.prepare),
)

MEDIQ_PEERS = (
    Peer(
        "lightning",
        "PennyLane `lightning.qubit`, adjoint",
        "complex128",
        partial(pennylane.prepare, device="lightning.qubit", method="adjoint"),
        images=2,
        circuits=1,
        target=100,
    ),
)
