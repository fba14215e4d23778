"""Differentiable augmentation of what the discriminator sees (Zhao et al. 2020, arXiv 2006.10738).

Real and generated images get the same kinds of augmentation in both updates, so the discriminator cannot memorize a small
training set while the generator's distribution stays unaugmented.

Shape letters: B batch · C H W image.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from qgan_qiskit.training.distributed import SINGLE_PROCESS, ProcessGroup


def diff_augment(
    images_BCHW: Tensor, policy: str, generator: torch.Generator, group: ProcessGroup = SINGLE_PROCESS
) -> Tensor:
    """Return augmented images; gradients flow through.

    Args:
        images_BCHW: images in [-1, 1].
        policy: ``none``, or a comma-separated list of ``color``, ``translation``, ``cutout``.
        generator: source of randomness.
        group: the processes that share the batch.
    """
    if policy == "none":
        return images_BCHW
    for name in policy.split(","):
        transform = {"color": _color, "translation": _translation, "cutout": _cutout}[name]
        images_BCHW = transform(images_BCHW, _Sampler(generator, group))
    return images_BCHW


@dataclass(frozen=True)
class _Sampler:
    """Random numbers for each image of this process, out of those drawn for the whole batch."""

    generator: torch.Generator
    group: ProcessGroup

    def uniform(self, images: Tensor) -> Tensor:
        """Return numbers from [0, 1), shape (B, 1, 1, 1)."""
        numbers = torch.rand(len(images) * self.group.world_size, 1, 1, 1, generator=self.generator)
        return self.group.local_shard(numbers).to(images)

    def integers(self, images: Tensor, end: int) -> Tensor:
        """Return integers from 0 to end - 1, shape (B, 1)."""
        numbers = torch.randint(0, end, (len(images) * self.group.world_size, 1), generator=self.generator)
        return self.group.local_shard(numbers).to(images.device)


def _color(images: Tensor, sampler: _Sampler) -> Tensor:
    """Change brightness by ±0.5, saturation by a factor 0…2 and contrast by a factor 0.5…1.5."""
    images = images + (sampler.uniform(images) - 0.5)
    gray = images.mean(dim=1, keepdim=True)
    images = gray + (images - gray) * (2 * sampler.uniform(images))
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (images - mean) * (0.5 + sampler.uniform(images))


def _translation(images: Tensor, sampler: _Sampler) -> Tensor:
    """Shift by up to an eighth of the side, padding with 0."""
    side = images.shape[-1]
    reach = side // 8
    padded = torch.nn.functional.pad(images, (reach,) * 4)
    grid = torch.arange(side, device=images.device)
    rows = (grid + sampler.integers(images, 2 * reach + 1))[:, :, None]
    columns = (grid + sampler.integers(images, 2 * reach + 1))[:, None, :]
    batch = torch.arange(len(images), device=images.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[batch, rows, columns].permute(0, 3, 1, 2)


def _cutout(images: Tensor, sampler: _Sampler) -> Tensor:
    """Set a square of half the side to 0; its center is anywhere, so the border may cut it."""
    side = images.shape[-1]
    half = side // 4
    grid = torch.arange(side, device=images.device)
    outside = []
    for _ in range(2):
        from_center = grid - sampler.integers(images, side + 1)
        outside.append((from_center < -half) | (from_center >= half))
    keep = outside[0][:, :, None] | outside[1][:, None, :]
    return images * keep[:, None]
