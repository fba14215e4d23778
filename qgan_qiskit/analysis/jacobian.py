"""What latents are made of: numbers that images follow smoothly, and in MediQ-GAN a class and a seed of noise, which are choices.

Shape letters: N latents · Z latent size · S smooth part.

A generator cut open at its middle: the circuits, or the layer that stands in for them in a classical baseline.

``study noise`` cuts at the same place, but only for numbers that a device gives. Here derivatives are wanted, also of
a classical baseline.

Shape letters: B latents · Z latent size · P sub-generators · Q inputs · O outputs of one · C H W image.

Jacobians of a generator at one latent: of the features and of the image, by the latent's numbers.

An image has many more numbers than a latent, so rows by reverse mode would take thousands of passes. Columns by forward mode take
as many as there are latents or features, and each is exact: the network is walked through with dual numbers. The circuits have no
forward mode. They do not need one: they have few outputs, and their adjoint derivative gives a row for each. So there are three
factors: latent to angles (forward), angles to features (reverse, in double precision), features to image (forward). Where a
latent reaches the image beside the circuits too, as in MediQ-GAN, that way is added (forward, with the features held).

The networks compute in single precision, as when they make images. What rounding leaves in the singular values is about 1e-9 of
the largest for a 64x64 decoder, and below 3e-6 in the tests' tiny ones, which are compared with double precision
(``tests/analysis/test_jacobian.py``).

Shape letters: Z latent size · S its smooth part · P sub-generators · Q inputs · O outputs of one · F = P * O features · D numbers
of an image · X Y any.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NoReturn

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.func import functional_call

from qgan_qiskit.models import Generator
from qgan_qiskit.models.base import QuantumGenerator
from qgan_qiskit.models.mediq.generator import MediqGenerator


def smooth_size(generator: Generator) -> int:
    """Return S: the first numbers of a latent, whose small steps make small steps of the image."""
    return generator.config.latent_size if isinstance(generator, MediqGenerator) else generator.latent_size


def latent_high(generator: Generator) -> float | None:
    """Return the upper end of the uniform noise in radians; None for a generator that draws normal numbers."""
    if not isinstance(generator, QuantumGenerator) or isinstance(generator, MediqGenerator):
        return None
    return float(generator.latent_high)


def with_choices_of(generator: Generator, first_NZ: Tensor, second_NZ: Tensor) -> Tensor:
    """Return the second latents with the choices of the first: a straight way between the two then stays in one class."""
    size = smooth_size(generator)
    return torch.cat([second_NZ[:, :size], first_NZ[:, size:]], dim=1)


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
    """Return the sub-generators or their classical baseline, (B, P, Q) to (B, P, O); None for a generator without."""
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


# Directions walked at a time: more are no faster, and take more memory.
_DIRECTIONS = 50


@dataclass(frozen=True, eq=False)
class Jacobians:
    """Derivatives at one latent by its smooth part, float64.

    Attributes:
        image_DS: of the image in [-1, 1], rows as its flattened (C, H, W).
        features_FS: of the features; None for a generator without circuits or what stands in for them.
    """

    image_DS: Tensor
    features_FS: Tensor | None


def jacobians(generator: Generator, z_Z: Tensor) -> Jacobians:
    """Return the Jacobians of a generator in evaluation mode at one latent."""
    size = smooth_size(generator)
    smooth_S, choices = z_Z[:size], z_Z[size:]

    def latents(smooth_BS: Tensor) -> Tensor:
        return torch.cat([smooth_BS, choices.expand(len(smooth_BS), -1)], dim=1)

    if not isinstance(generator, QuantumGenerator):
        return Jacobians(derivative(lambda rows: generator(latents(rows)), smooth_S)[1].double(), None)
    angles_PQ, angles_by_latent = derivative(lambda rows: angles_of(generator, latents(rows)), smooth_S)
    features_PO, circuits_POQ = _middle(generator, angles_PQ)
    features_POS = circuits_POQ @ angles_by_latent.double().view(*angles_PQ.shape, size)
    features_FS = features_POS.flatten(0, 1)

    def image(smooth_BS: Tensor, features_BF: Tensor) -> Tensor:
        return images_of(generator, latents(smooth_BS), features_BF.unflatten(1, features_PO.shape))

    features_F = features_PO.flatten().float()
    _, by_features_DF = derivative(lambda rows: image(smooth_S.expand(len(rows), -1), rows), features_F)
    _, beside_DS = derivative(lambda rows: image(rows, features_F.expand(len(rows), -1)), smooth_S)
    return Jacobians(by_features_DF.double() @ features_FS + beside_DS.double(), features_FS)


@torch.no_grad()
def derivative(function: Callable[[Tensor], Tensor], x_X: Tensor) -> tuple[Tensor, Tensor]:
    """Return a function's value at one point and its Jacobian (Y, X) there, by forward mode.

    Args:
        function: rows (B, X) to values (B, …), each of its own row alone.
        x_X: the point.
    """
    columns: list[Tensor] = []
    directions_XX = torch.eye(len(x_X), dtype=x_X.dtype)
    # The first alone, as it says whether the others are needed.
    for directions_BX in (directions_XX[:1], *directions_XX[1:].split(_DIRECTIONS)):
        with forward_ad.dual_level():
            points_BX = x_X.expand(len(directions_BX), -1).contiguous()
            value, tangent = forward_ad.unpack_dual(function(_dual(points_BX, directions_BX)))
            if tangent is None:
                # Nothing on the way was computed from the point.
                return value[0], value.new_zeros(value[0].numel(), len(x_X))
            columns.append(tangent.flatten(1))
    return value[0], torch.cat(columns).T


def _dual(points: Tensor, directions: Tensor) -> Tensor:
    with warnings.catch_warnings():
        # The first dual number makes torch compile formulas by means of its own that it calls deprecated.
        warnings.simplefilter("ignore", FutureWarning)
        return forward_ad.make_dual(points, directions)


def _middle(generator: QuantumGenerator, angles_PQ: Tensor) -> tuple[Tensor, Tensor]:
    """Return features (P, O) and their derivatives by the angles (P, O, Q).

    A sub-generator's outputs depend on its own inputs only, so output o of all of them is differentiated in copy o of a batch.
    """
    with torch.no_grad():
        features_PO = features_of(generator, angles_PQ[None])[0]
    outputs = features_PO.shape[1]
    angles_OPQ = angles_PQ.double().expand(outputs, -1, -1).clone().requires_grad_()
    with torch.enable_grad():
        features_OPO = features_of(generator, angles_OPQ)
        one_each = torch.eye(outputs, dtype=torch.float64)[:, None].expand_as(features_OPO)
        [gradient_OPQ] = torch.autograd.grad(features_OPO, angles_OPQ, one_each)
    return features_PO, gradient_OPQ.transpose(0, 1)
