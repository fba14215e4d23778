"""A generator cut open at its middle: the circuits, or the layer that stands in for them in a classical twin.

``study noise`` cuts at the same place, but only for numbers that a device gives. Here derivatives are wanted, also of a twin.

Shape letters: B latents · Z latent size · P sub-generators · Q inputs · O outputs of one · C H W image.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import torch
from torch import Tensor, nn
from torch.func import functional_call

from qgan_qiskit.models import Generator
from qgan_qiskit.models.quantum import QuantumGenerator

# Latents whose circuits are evaluated at a time.
_BLOCK = 256


class _AnglesKnownError(Exception):
    def __init__(self, angles_BPQ: Tensor) -> None:
        super().__init__()
        self.angles_BPQ = angles_BPQ


class _Stop(nn.Module):
    def forward(self, angles_BPQ: Tensor) -> NoReturn:
        raise _AnglesKnownError(angles_BPQ)


class _Given(nn.Module):
    def __init__(self, features_BPO: Tensor) -> None:
        super().__init__()
        self.features_BPO = features_BPO

    def forward(self, _angles_BPQ: Tensor) -> Tensor:
        return self.features_BPO


def middle_of(generator: Generator) -> nn.Module | None:
    """Return the sub-generators or their twin, angles (B, P, Q) to features (B, P, O); None for a generator without."""
    return generator.sub_generators if isinstance(generator, QuantumGenerator) else None


def angles_of(generator: QuantumGenerator, z_BZ: Tensor) -> Tensor:
    """Return what goes into the middle, shape (B, P, Q) in radians; nothing behind it is computed."""
    try:
        with _in_its_place(generator, _Stop()):
            generator(z_BZ)
    except _AnglesKnownError as known:
        return known.angles_BPQ
    raise AssertionError("a generator with a middle made images without it")


def features_of(generator: QuantumGenerator, angles_BPQ: Tensor) -> Tensor:
    """Return what comes out of the middle, shape (B, P, O), in double precision."""
    middle = generator.sub_generators
    weights = {name: weight.double() for name, weight in middle.named_parameters()}
    return functional_call(middle, weights, (angles_BPQ.double(),))


def images_of(generator: QuantumGenerator, z_BZ: Tensor, features_BPO: Tensor) -> Tensor:
    """Return the images (B, C, H, W) in [-1, 1] of latents with given features in the middle's place."""
    with _in_its_place(generator, _Given(features_BPO.float())):
        return generator(z_BZ)


@torch.no_grad()
def feature_matrix(generator: QuantumGenerator, z_BZ: Tensor) -> Tensor:
    """Return the features of latents as rows, shape (B, P * O), float64."""
    blocks = [features_of(generator, angles_of(generator, block)) for block in z_BZ.split(_BLOCK)]
    return torch.cat(blocks).flatten(1)


@contextmanager
def _in_its_place(generator: QuantumGenerator, module: nn.Module) -> Iterator[None]:
    middle = generator.sub_generators
    generator.sub_generators = module
    try:
        yield
    finally:
        generator.sub_generators = middle
