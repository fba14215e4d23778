"""Path length: how far images move for a small step on the way from one latent to another.

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
# Pairs that are looked at together.
_BLOCK = 16


def pixel_distance(first_NCHW: Tensor, second_NCHW: Tensor) -> Tensor:
    """Return the mean squared difference of each pair's pixels, shape (N,); float64."""
    return (first_NCHW.double() - second_NCHW.double()).square().flatten(1).mean(dim=1)


@torch.no_grad()
def path_lengths(
    generator: Callable[[Tensor], Tensor] | Generator,
    first_NZ: Tensor,
    second_NZ: Tensor,
    places_N: Tensor,
    step: float,
    distances: Mapping[str, Distance],
) -> dict[str, np.ndarray]:
    """Return d(G(lerp(z1, z2; t)), G(lerp(z1, z2; t + step))) / step^2 of each pair, for each distance d.

    Karras et al. 2019 (arXiv 1812.04948), section 4.1, equation 3: the path length with linear interpolation, here in the space
    of latents and with other distances than their perceptual one. Unlike there no extremes are left out. As the step is a share
    of the way, the figure does not depend on the latents' scale, and different models compare. For pixels and small steps it is
    |J (z2 - z1)|^2 over the image's numbers, J the Jacobian at that place; at a step of 1e-4 single precision leaves about half a
    percent of difference in each pair.

    Args:
        generator: latents (N, Z) to images.
        first_NZ: where the ways begin.
        second_NZ: where they end.
        places_N: t, where on its way each pair is looked at, in [0, 1).
        step: a small share of the way.
        distances: squared distances by name.
    """
    found: dict[str, list[Tensor]] = {name: [] for name in distances}
    blocks = zip(first_NZ.split(_BLOCK), second_NZ.split(_BLOCK), places_N.split(_BLOCK), strict=True)
    for first, second, places in blocks:
        # In single precision a step of 1e-4 would keep three digits.
        start, way, t = first.double(), second.double() - first.double(), places.double()[:, None]
        ends = [generator((start + share * way).to(first.dtype)) for share in (t, t + step)]
        for name, distance in distances.items():
            found[name].append(distance(*ends).double() / step**2)
    return {name: torch.cat(parts).numpy() for name, parts in found.items()}
