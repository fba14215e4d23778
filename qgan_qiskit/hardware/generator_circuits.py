"""A generator cut open where its circuits are: angles out, expectations in. The networks around them stay here.

Shape letters: B images · Z latent size · P sub-generators · Q inputs · K weights · O observables · C H W image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

import numpy as np
import torch
from torch import Tensor

from qgan_qiskit.circuits import CircuitSpec
from qgan_qiskit.errors import UsageError
from qgan_qiskit.models import Generator
from qgan_qiskit.models.base import QuantumGenerator
from qgan_qiskit.qnn import SubGenerators


@dataclass(frozen=True, eq=False)
class CircuitWork:
    """What a device has to do for some images.

    Attributes:
        ansatz: the circuit of all sub-generators.
        angles_BPQ: inputs, radians, float64.
        weights_PK: weights, radians, float64.
    """

    ansatz: CircuitSpec
    angles_BPQ: np.ndarray
    weights_PK: np.ndarray


class _AnglesKnownError(Exception):
    def __init__(self, work: CircuitWork) -> None:
        super().__init__()
        self.work = work


def circuits_of(generator: Generator) -> SubGenerators:
    """Return the sub-generators of a generator.

    Raises:
        UsageError: it has no circuits.
    """
    if isinstance(generator, QuantumGenerator) and isinstance(generator.sub_generators, SubGenerators):
        return generator.sub_generators
    raise UsageError("this generator has no circuits that a device could run: leave --backend out")


@torch.no_grad()
def work_of(generator: Generator, z_BZ: Tensor) -> CircuitWork:
    """Return what a device has to do for some latents; nothing behind the circuits is computed.

    Raises:
        UsageError: the generator has no circuits.
    """

    def stop(ansatz: CircuitSpec, angles_BPQ: np.ndarray, weights_PK: np.ndarray) -> NoReturn:
        raise _AnglesKnownError(CircuitWork(ansatz, angles_BPQ, weights_PK))

    try:
        with circuits_of(generator).run_on(stop):
            generator(z_BZ)
    except _AnglesKnownError as known:
        return known.work
    raise AssertionError("a generator with circuits made images without them")


@torch.no_grad()
def images_of(generator: Generator, z_BZ: Tensor, evs_BPO: np.ndarray) -> Tensor:
    """Return the images (B, C, H, W) in [-1, 1] that expectations from a device give."""
    with circuits_of(generator).run_on(lambda *_: evs_BPO):
        return generator(z_BZ)
