"""Differentiable augmentation of what the discriminator sees (Zhao et al. 2020, arXiv 2006.10738).

The same kinds of change are made to real and generated images, in both updates, so the discriminator cannot memorise a small
training set while the generator's distribution stays unaugmented.

Shape letters: B batch · C H W image.
"""

from __future__ import annotations

import torch
from torch import Tensor


def diff_augment(images_BCHW: Tensor, policy: str, generator: torch.Generator) -> Tensor:
    """Return changed images; gradients flow through.

    Args:
        images_BCHW: images in [-1, 1].
        policy: ``none``, or a comma-separated list of ``color``, ``translation``, ``cutout``.
        generator: source of randomness.
    """
    if policy == "none":
        return images_BCHW
    for name in policy.split(","):
        images_BCHW = {"color": _color, "translation": _translation, "cutout": _cutout}[name](images_BCHW, generator)
    return images_BCHW


def _uniform(images: Tensor, generator: torch.Generator) -> Tensor:
    return torch.rand(len(images), 1, 1, 1, generator=generator).to(images)


def _color(images: Tensor, generator: torch.Generator) -> Tensor:
    """Brightness ±0.5, saturation x0…2, contrast x0.5…1.5."""
    images = images + (_uniform(images, generator) - 0.5)
    grey = images.mean(dim=1, keepdim=True)
    images = grey + (images - grey) * (2 * _uniform(images, generator))
    level = images.mean(dim=(1, 2, 3), keepdim=True)
    return level + (images - level) * (0.5 + _uniform(images, generator))


def _integers(images: Tensor, low: int, high: int, generator: torch.Generator) -> Tensor:
    return torch.randint(low, high, (len(images), 1), generator=generator).to(images.device)


def _translation(images: Tensor, generator: torch.Generator) -> Tensor:
    """Shift by up to an eighth of the side; what comes in is 0."""
    side = images.shape[-1]
    reach = side // 8
    padded = torch.nn.functional.pad(images, (reach,) * 4)
    grid = torch.arange(side, device=images.device)
    rows = (grid + _integers(images, 0, 2 * reach + 1, generator))[:, :, None]
    columns = (grid + _integers(images, 0, 2 * reach + 1, generator))[:, None, :]
    batch = torch.arange(len(images), device=images.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[batch, rows, columns].permute(0, 3, 1, 2)


def _cutout(images: Tensor, generator: torch.Generator) -> Tensor:
    """Set a square of half the side to 0; its centre is anywhere, so that part of it may lie outside."""
    side = images.shape[-1]
    half = side // 4
    grid = torch.arange(side, device=images.device)
    outside = []
    for _ in range(2):
        from_centre = grid - _integers(images, 0, side + 1, generator)
        outside.append((from_centre < -half) | (from_centre >= half))
    keep = outside[0][:, :, None] | outside[1][:, None, :]
    return images * keep[:, None]
