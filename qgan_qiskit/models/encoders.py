"""Real images to latents (latent and fusion modes).

Shape letters: B batch · Z latent size · C H W image.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from qgan_qiskit.models.initialise import dcgan_initialise


class ImageEncoder(nn.Module):
    """One conv4x4 (C -> 5, stride 2), LeakyReLU, flatten, FC -> Z, tanh (arXiv 2506.21015v1, section 3.1; sizes ours)."""

    def __init__(self, latent_size: int, resolution: int, generator: torch.Generator, channels: int = 3) -> None:
        """Build and initialise.

        Args:
            latent_size: Z.
            resolution: side of the images.
            generator: source of the initial weights.
            channels: C, of the images.
        """
        super().__init__()
        self.convolution = nn.Conv2d(channels, 5, 4, stride=2, padding=1)
        self.project = nn.Linear(5 * (resolution // 2) ** 2, latent_size)
        dcgan_initialise(self, generator)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Return latents (B, Z) in [-1, 1]."""
        features = nn.functional.leaky_relu(self.convolution(images_BCHW), 0.2)
        return torch.tanh(self.project(features.flatten(1)))
