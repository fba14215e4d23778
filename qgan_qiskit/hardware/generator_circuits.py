"""The circuits of a generator as arrays for a device: inputs and weights out, expectations in. The networks stay here.

Shape letters: B images · Z latent size · P sub-generators · Q inputs · K weights · O observables · C H W image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from qgan_qiskit.circuits import CircuitSpec
from qgan_qiskit.errors import UsageError
from qgan_qiskit.models import Generator, QuantumGenerator
from qgan_qiskit.qnn import SubGenerators


@dataclass(frozen=True, eq=False)
class CircuitInputs:
    """What a device has to evaluate for some images.

    Attributes:
        ansatz: the circuit of all sub-generators.
        angles_BPQ: inputs, radians, float64.
        weights_PK: weights, radians, float64.
    """

    ansatz: CircuitSpec
    angles_BPQ: np.ndarray
    weights_PK: np.ndarray


def require_circuits(generator: Generator) -> tuple[QuantumGenerator, SubGenerators]:
    """Return a generator with its circuits.

    Raises:
        UsageError: it has none.
    """
    quantum = generator.quantum
    if quantum is None or quantum.sub_generators is None:
        raise UsageError("this generator has no circuits that a device could run: leave --backend out")
    return quantum, quantum.sub_generators


@torch.no_grad()
def circuit_inputs(generator: Generator, z_BZ: Tensor) -> CircuitInputs:
    """Return what a device has to evaluate for some latents.

    Raises:
        UsageError: the generator has no circuits.
    """
    quantum, circuits = require_circuits(generator)
    # The networks compute in single precision.
    angles_BPQ, weights_PK = quantum.encode(z_BZ).float(), circuits.weights_PK()
    return CircuitInputs(
        circuits.ansatz, *(values.detach().double().cpu().numpy() for values in (angles_BPQ, weights_PK))
    )


@torch.no_grad()
def decode_batch(generator: Generator, z_BZ: Tensor, evs_BPO: np.ndarray) -> Tensor:
    """Return the images (B, C, H, W) in [-1, 1] that expectations from a device give."""
    quantum, _ = require_circuits(generator)
    return quantum.decode(torch.from_numpy(evs_BPO).to(z_BZ), z_BZ)
