"""DCGAN (Radford et al. 2015, arXiv 1511.06434): a baseline, and the discriminator of HybridQ.

Shape letters: B batch · Z latent size · C H W image.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from qgan_qiskit.config import DcganConfig
from qgan_qiskit.models.base import Generator
from qgan_qiskit.models.layers import MinibatchStd, dcgan_initialize


class DcganGenerator(Generator):
    """Transposed convolutions from a latent vector to an image; 3,576,704 parameters at the defaults and 64x64."""

    def __init__(self, config: DcganConfig, resolution: int, generator: torch.Generator, channels: int = 3) -> None:
        """Build and initialize.

        Args:
            config: latent size and width.
            resolution: side of the images: a power of two, at least 16.
            generator: source of the initial weights.
            channels: C, of the images.
        """
        super().__init__()
        self.latent_size = config.latent_size
        width = config.generator_width * resolution // 8
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
        layers += [nn.ConvTranspose2d(width, channels, 4, 2, 1, bias=False), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        dcgan_initialize(self, generator)

    def sample_latent(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw z ~ N(0, 1), shape (count, Z)."""
        return torch.randn(count, self.latent_size, generator=generator)

    def forward(self, z_BZ: Tensor) -> Tensor:
        """Return images (B, C, H, W) in [-1, 1]."""
        return self.layers(z_BZ[:, :, None, None])


class DcganDiscriminator(nn.Module):
    """Strided convolutions from an image to a logit; 2,765,568 parameters at width 64 and 64x64."""

    def __init__(
        self,
        width: int,
        resolution: int,
        norm: str,
        generator: torch.Generator,
        channels: int = 3,
        *,
        minibatch_std: bool = False,
    ) -> None:
        """Build and initialize.

        Args:
            width: channels of the first stage.
            resolution: side of the images: a power of two, at least 16.
            norm: ``batch`` (as published) or ``spectral`` (Miyato et al. 2018) on every convolution instead.
            generator: source of the initial weights.
            channels: C, of the images.
            minibatch_std: give the last convolution a channel more (see :class:`MinibatchStd`).
        """
        super().__init__()
        wrap = spectral_norm if norm == "spectral" else (lambda layer: layer)
        # Spectral normalization starts its power iteration from torch's own random numbers: fix them too.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))
            layers: list[nn.Module] = [wrap(nn.Conv2d(channels, width, 4, 2, 1, bias=False)), nn.LeakyReLU(0.2)]
            for _ in range(resolution.bit_length() - 4):
                layers.append(wrap(nn.Conv2d(width, 2 * width, 4, 2, 1, bias=False)))
                if norm == "batch":
                    layers.append(nn.BatchNorm2d(2 * width))
                layers.append(nn.LeakyReLU(0.2))
                width *= 2
            if minibatch_std:
                layers.append(MinibatchStd())
            layers.append(wrap(nn.Conv2d(width + minibatch_std, 1, 4, 1, 0, bias=False)))
            self.layers = nn.Sequential(*layers)
        dcgan_initialize(self, generator)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Return logits (B,): positive for real."""
        return self.layers(images_BCHW).flatten()
