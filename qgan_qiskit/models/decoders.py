"""From expectations to images.

Shape letters: B batch · F features (all expectations of an image) · C H W image.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from qgan_qiskit.models.initialise import dcgan_initialise, he_initialise


class UpsampleDecoder(nn.Module):
    """FC -> width x 4 x 4, then stages of nearest upsampling + conv3x3 + batch norm + ReLU, then conv3x3 and tanh.

    Ours (HybridQ leaves its decoder's width and upsampling open). Widths halve from the second stage on, down to 16.
    """

    def __init__(
        self, features: int, width: int, resolution: int, generator: torch.Generator, channels: int = 3
    ) -> None:
        """Build and initialise.

        Args:
            features: F, expectations of an image.
            width: channels at 4x4.
            resolution: side of the images: a power of two, at least 16.
            generator: source of the initial weights.
            channels: C, of the images.
        """
        super().__init__()
        self.width = width
        self.project = nn.Linear(features, width * 16)
        layers: list[nn.Module] = []
        before = width
        for stage in range(resolution.bit_length() - 3):
            following = before if stage < 1 else max(before // 2, 16)
            layers += [
                nn.Upsample(scale_factor=2, mode="nearest"),
                nn.Conv2d(before, following, 3, padding=1, bias=False),
                nn.BatchNorm2d(following),
                nn.ReLU(),
            ]
            before = following
        layers += [nn.Conv2d(before, channels, 3, padding=1), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        he_initialise(self, generator)

    def forward(self, features_BF: Tensor) -> Tensor:
        """Return images (B, C, H, W) in [-1, 1]."""
        start = self.project(features_BF).unflatten(1, (self.width, 4, 4))
        return self.layers(start.contiguous(memory_format=_memory_format(self.layers)))


class PaperDecoder(nn.Module):
    """FC -> 1 x H x W -> ReLU -> conv3x3 -> tanh: the literal reading of arXiv 2506.21015v1, section 3.1."""

    def __init__(self, features: int, resolution: int, generator: torch.Generator, channels: int = 3) -> None:
        """Build and initialise.

        Args:
            features: F, expectations of an image.
            resolution: side of the images.
            generator: source of the initial weights.
            channels: C, of the images.
        """
        super().__init__()
        self.resolution = resolution
        self.project = nn.Linear(features, resolution * resolution)
        self.convolution = nn.Conv2d(1, channels, 3, padding=1)
        dcgan_initialise(self, generator)

    def forward(self, features_BF: Tensor) -> Tensor:
        """Return images (B, C, H, W) in [-1, 1]."""
        plane = torch.relu(self.project(features_BF)).unflatten(1, (1, self.resolution, self.resolution))
        return torch.tanh(self.convolution(plane))


def _memory_format(layers: nn.Sequential) -> torch.memory_format:
    """Return the memory format that the convolutions' weights are kept in."""
    weight = next(layer.weight for layer in layers if isinstance(layer, nn.Conv2d))
    channels_last = weight.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if channels_last else torch.contiguous_format
