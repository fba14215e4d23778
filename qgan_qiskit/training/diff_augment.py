"""Differentiable augmentation of what the discriminator sees (Zhao et al. 2020, arXiv 2006.10738).

The same kinds of change are made to real and generated images, in both updates, so the discriminator cannot memorize a small
training set while the generator's distribution stays unaugmented.

Shape letters: B batch · C H W image.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from qgan_qiskit.training.distributed import SINGLE_PROCESS, ProcessGroup


def diff_augment(
    images_BCHW: Tensor, policy: str, generator: torch.Generator, ranks: ProcessGroup = SINGLE_PROCESS
) -> Tensor:
    """Return changed images; gradients flow through.

    Args:
        images_BCHW: images in [-1, 1].
        policy: ``none``, or a comma-separated list of ``color``, ``translation``, ``cutout``.
        generator: source of randomness.
        ranks: the processes that share the batch.
    """
    if policy == "none":
        return images_BCHW
    for name in policy.split(","):
        change = {"color": _color, "translation": _translation, "cutout": _cutout}[name]
        images_BCHW = change(images_BCHW, _Draws(generator, ranks))
    return images_BCHW


@dataclass(frozen=True)
class _Draws:
    """Random numbers for each image that a process holds, of those drawn for the whole batch."""

    generator: torch.Generator
    ranks: ProcessGroup

    def uniform(self, images: Tensor) -> Tensor:
        """Return numbers from [0, 1), shape (B, 1, 1, 1)."""
        whole = torch.rand(len(images) * self.ranks.count, 1, 1, 1, generator=self.generator)
        return self.ranks.rows(whole).to(images)

    def integers(self, images: Tensor, end: int) -> Tensor:
        """Return integers from 0 to end - 1, shape (B, 1)."""
        whole = torch.randint(0, end, (len(images) * self.ranks.count, 1), generator=self.generator)
        return self.ranks.rows(whole).to(images.device)


def _color(images: Tensor, draws: _Draws) -> Tensor:
    """Brightness ±0.5, saturation x0…2, contrast x0.5…1.5."""
    images = images + (draws.uniform(images) - 0.5)
    gray = images.mean(dim=1, keepdim=True)
    images = gray + (images - gray) * (2 * draws.uniform(images))
    level = images.mean(dim=(1, 2, 3), keepdim=True)
    return level + (images - level) * (0.5 + draws.uniform(images))


def _translation(images: Tensor, draws: _Draws) -> Tensor:
    """Shift by up to an eighth of the side; what comes in is 0."""
    side = images.shape[-1]
    reach = side // 8
    padded = torch.nn.functional.pad(images, (reach,) * 4)
    grid = torch.arange(side, device=images.device)
    rows = (grid + draws.integers(images, 2 * reach + 1))[:, :, None]
    columns = (grid + draws.integers(images, 2 * reach + 1))[:, None, :]
    batch = torch.arange(len(images), device=images.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[batch, rows, columns].permute(0, 3, 1, 2)


def _cutout(images: Tensor, draws: _Draws) -> Tensor:
    """Set a square of half the side to 0; its center is anywhere, so that part of it may lie outside."""
    side = images.shape[-1]
    half = side // 4
    grid = torch.arange(side, device=images.device)
    outside = []
    for _ in range(2):
        from_center = grid - draws.integers(images, side + 1)
        outside.append((from_center < -half) | (from_center >= half))
    keep = outside[0][:, :, None] | outside[1][:, None, :]
    return images * keep[:, None]
