"""Jacobians of a generator at one latent: of the circuits' outputs (features) and of the image, by the latent's numbers.

An image has many more numbers than a latent, so rows by reverse mode would take thousands of passes. Columns by forward mode take
as many as there are latents or features, and each is exact. The circuits have no forward mode, and do not need one: they have few
outputs, and their adjoint derivative gives a row for each. So there are three factors: latent to angles (forward), angles to
features (reverse, in double precision), features to image (forward). Where a latent reaches the image beside the circuits too, as
in MediQ-GAN, that derivative is added (forward, with the features held).

The networks compute in single precision, as when they make images. What rounding leaves in the singular values is about 1e-9 of
the largest for a 64x64 decoder, and below 3e-6 in the tests' tiny ones, which are compared with double precision
(``tests/analysis/test_jacobian.py``).

Shape letters: N latents · B batch · Z latent size · S its continuous part · P sub-generators · Q inputs · O outputs of one
· F = P * O features · D numbers of an image · X Y any.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd import forward_ad

from qgan_qiskit.models import Generator, QuantumGenerator

# Latents whose circuits are evaluated at a time.
_BLOCK = 256
# Directions differentiated at a time: more are no faster, and take more memory.
_DIRECTIONS = 50


def copy_discrete_part(generator: Generator, first_NZ: Tensor, second_NZ: Tensor) -> Tensor:
    """Return the second latents with the class and seed of the first, so that a line between the two stays in one class."""
    size = generator.continuous_latent_size
    return torch.cat([second_NZ[:, :size], first_NZ[:, size:]], dim=1)


@torch.no_grad()
def feature_matrix(generator: QuantumGenerator, z_BZ: Tensor) -> Tensor:
    """Return the features of latents as rows, shape (B, P * O), float64."""
    blocks = [generator.double_expectations(generator.encode(block)) for block in z_BZ.split(_BLOCK)]
    return torch.cat(blocks).flatten(1)


@dataclass(frozen=True, eq=False)
class Jacobians:
    """Derivatives at one latent by its continuous part, float64.

    Attributes:
        image_DS: of the image in [-1, 1], rows as its flattened (C, H, W).
        features_FS: of the features; None for a generator without circuits or classical baseline.
    """

    image_DS: Tensor
    features_FS: Tensor | None


def jacobians(generator: Generator, z_Z: Tensor) -> Jacobians:
    """Return the Jacobians of a generator in evaluation mode at one latent."""
    size = generator.continuous_latent_size
    z_S, discrete = z_Z[:size], z_Z[size:]

    def latents(z_BS: Tensor) -> Tensor:
        return torch.cat([z_BS, discrete.expand(len(z_BS), -1)], dim=1)

    quantum = generator.quantum
    if quantum is None:
        return Jacobians(derivative(lambda rows: generator(latents(rows)), z_S)[1].double(), None)
    angles_PQ, angles_by_latent = derivative(lambda rows: quantum.encode(latents(rows)), z_S)
    features_PO, circuits_POQ = _circuit_derivatives(quantum, angles_PQ)
    features_POS = circuits_POQ @ angles_by_latent.double().view(*angles_PQ.shape, size)
    features_FS = features_POS.flatten(0, 1)

    def image(z_BS: Tensor, features_BF: Tensor) -> Tensor:
        return quantum.decode(features_BF.unflatten(1, features_PO.shape), latents(z_BS))

    features_F = features_PO.flatten().float()
    _, by_features_DF = derivative(lambda rows: image(z_S.expand(len(rows), -1), rows), features_F)
    _, direct_DS = derivative(lambda rows: image(rows, features_F.expand(len(rows), -1)), z_S)
    return Jacobians(by_features_DF.double() @ features_FS + direct_DS.double(), features_FS)


@torch.no_grad()
def derivative(function: Callable[[Tensor], Tensor], x_X: Tensor) -> tuple[Tensor, Tensor]:
    """Return a function's value at one point and its Jacobian (Y, X) there, by forward mode.

    Args:
        function: rows (B, X) to values (B, …), each of its own row alone.
        x_X: the point.
    """
    columns: list[Tensor] = []
    directions_XX = torch.eye(len(x_X), dtype=x_X.dtype)
    # The first alone, as it shows whether the others are needed.
    for directions_BX in (directions_XX[:1], *directions_XX[1:].split(_DIRECTIONS)):
        with forward_ad.dual_level():
            points_BX = x_X.expand(len(directions_BX), -1).contiguous()
            value, tangent = forward_ad.unpack_dual(function(_dual(points_BX, directions_BX)))
            if tangent is None:
                # The value does not depend on the point.
                return value[0], value.new_zeros(value[0].numel(), len(x_X))
            columns.append(tangent.flatten(1))
    return value[0], torch.cat(columns).T


def _dual(points: Tensor, directions: Tensor) -> Tensor:
    with warnings.catch_warnings():
        # The first dual number makes torch compile formulas with a tool that it calls deprecated.
        warnings.simplefilter("ignore", FutureWarning)
        return forward_ad.make_dual(points, directions)


def _circuit_derivatives(generator: QuantumGenerator, angles_PQ: Tensor) -> tuple[Tensor, Tensor]:
    """Return features (P, O) and their derivatives by the angles (P, O, Q).

    A sub-generator's outputs depend on its own inputs only, so output o of all of them is differentiated in copy o of a batch.
    """
    with torch.no_grad():
        features_PO = generator.double_expectations(angles_PQ[None])[0]
    outputs = features_PO.shape[1]
    angles_OPQ = angles_PQ.double().expand(outputs, -1, -1).clone().requires_grad_()
    with torch.enable_grad():
        features_OPO = generator.double_expectations(angles_OPQ)
        one_each = torch.eye(outputs, dtype=torch.float64)[:, None].expand_as(features_OPO)
        [gradient_OPQ] = torch.autograd.grad(features_OPO, angles_OPQ, one_each)
    return features_PO, gradient_OPQ.transpose(0, 1)
