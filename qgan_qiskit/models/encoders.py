"""Real images to latents (latent and fusion modes), and the discriminator that compares latents.

Shape letters: B batch · Z latent size · C H W image.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from qgan_qiskit.models.initialise import dcgan_initialise, he_initialise


class ImageEncoder(nn.Module):
    """One conv4x4 (3 -> 5, stride 2), LeakyReLU, flatten, FC -> Z, tanh (arXiv 2506.21015v1, section 3.1; sizes ours)."""

    def __init__(self, latent_size: int, resolution: int, generator: torch.Generator) -> None:
        """Build and initialise.

        Args:
            latent_size: Z.
            resolution: side of the images.
            generator: source of the initial weights.
        """
        super().__init__()
        self.convolution = nn.Conv2d(3, 5, 4, stride=2, padding=1)
        self.project = nn.Linear(5 * (resolution // 2) ** 2, latent_size)
        dcgan_initialise(self, generator)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Return latents (B, Z) in [-1, 1]."""
        features = nn.functional.leaky_relu(self.convolution(images_BCHW), 0.2)
        return torch.tanh(self.project(features.flatten(1)))


class LatentDiscriminator(nn.Module):
    """Z -> 64 -> 16 -> 1 with LeakyReLU, the sizes of MosaiQ's discriminator (arXiv 2308.11096)."""

    def __init__(self, latent_size: int, generator: torch.Generator) -> None:
        """Build and initialise.

        Args:
            latent_size: Z.
            generator: source of the initial weights.
        """
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(latent_size, 64), nn.LeakyReLU(0.2), nn.Linear(64, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1)
        )
        he_initialise(self, generator)

    def forward(self, latents_BZ: Tensor) -> Tensor:
        """Return logits (B,): positive for real."""
        return self.layers(latents_BZ).flatten()
