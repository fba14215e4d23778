"""Path length: how far images move for a small step on the straight line from one latent to another.

Shape letters: N pairs of latents · Z latent size · C H W image · F features of a network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from qgan_qiskit.models import Generator

# Pairs of images (N, C, H, W) in [-1, 1] to squared distances (N,).
Distance = Callable[[Tensor, Tensor], Tensor]
# Pairs evaluated together.
_BLOCK = 16


def pixel_distance(first_NCHW: Tensor, second_NCHW: Tensor) -> Tensor:
    """Return the mean squared difference of each pair's pixels, shape (N,); float64."""
    return (first_NCHW.double() - second_NCHW.double()).square().flatten(1).mean(dim=1)


@torch.no_grad()
def path_lengths(
    generator: Callable[[Tensor], Tensor] | Generator,
    first_NZ: Tensor,
    second_NZ: Tensor,
    positions_N: Tensor,
    step: float,
    distances: Mapping[str, Distance],
) -> dict[str, np.ndarray]:
    """Return d(G(lerp(z1, z2; t)), G(lerp(z1, z2; t + step))) / step^2 of each pair, for each distance d.

    Karras et al. 2019 (arXiv 1812.04948), section 4.1, equation 3: the path length with linear interpolation, here in latent
    space and with other distances than their perceptual one; unlike there, no extremes are dropped. The step is a fraction of
    the way, so the value does not depend on the latents' scale and is comparable between models. For pixels and small steps
    it is |J (z2 - z1)|^2 / D, with J the Jacobian at that point and D the size of an image; at a step of 1e-4, single
    precision leaves an error of about half a percent per pair.

    Args:
        generator: latents (N, Z) to images.
        first_NZ: starts of the paths.
        second_NZ: ends of the paths.
        positions_N: t of each pair, in [0, 1).
        step: a small fraction of the path.
        distances: squared distances by name.
    """
    found: dict[str, list[Tensor]] = {name: [] for name in distances}
    blocks = zip(first_NZ.split(_BLOCK), second_NZ.split(_BLOCK), positions_N.split(_BLOCK), strict=True)
    for first, second, positions in blocks:
        # Single precision would keep three digits of a step of 1e-4.
        start, way, t = first.double(), second.double() - first.double(), positions.double()[:, None]
        ends = [generator((start + fraction * way).to(first.dtype)) for fraction in (t, t + step)]
        for name, distance in distances.items():
            found[name].append(distance(*ends).double() / step**2)
    return {name: torch.cat(parts).numpy() for name, parts in found.items()}
