"""DCGAN (Radford et al. 2015, arXiv 1511.06434): the classical baseline of all models.

Shape letters: B batch · Z latent size · C H W image.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from qgan_qiskit.config import DcganConfig
from qgan_qiskit.models.base import BuildContext, Discriminator, Generator
from qgan_qiskit.models.discriminators import DcganDiscriminator
from qgan_qiskit.models.layers import dcgan_initialize


class DcganGenerator(Generator):
    """Transposed convolutions from a latent vector to an image; 3,576,704 parameters at the defaults and 64x64."""

    def __init__(self, config: DcganConfig, context: BuildContext) -> None:
        """Build and initialize; the resolution is a power of two, at least 16."""
        super().__init__()
        self.latent_size = config.latent_size
        resolution, width = context.resolution, config.generator_width * context.resolution // 8
        layers: list[nn.Module] = [
            nn.ConvTranspose2d(config.latent_size, width, 4, 1, 0, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        ]
        for _ in range(resolution.bit_length() - 4):
            layers += [
                nn.ConvTranspose2d(width, width // 2, 4, 2, 1, bias=False),
                nn.BatchNorm2d(width // 2),
                nn.ReLU(),
            ]
            width //= 2
        layers += [nn.ConvTranspose2d(width, context.channels, 4, 2, 1, bias=False), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        dcgan_initialize(self, context.random)

    def sample_latent(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw z ~ N(0, 1), shape (count, Z)."""
        return torch.randn(count, self.latent_size, generator=generator)

    def forward(self, z_BZ: Tensor) -> Tensor:
        """Return images (B, C, H, W) in [-1, 1]."""
        return self.layers(z_BZ[:, :, None, None])


def build(config: DcganConfig, context: BuildContext) -> tuple[Generator, Discriminator]:
    """Return the generator and the discriminator, initialized."""
    return DcganGenerator(config, context), DcganDiscriminator.from_config(config, context)
