"""Real images to latents (latent and fusion modes).

Shape letters: B batch · Z latent size · C H W image.

From expectations to images.

Shape letters: B batch · F features (all expectations of an image) · C H W image.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from qgan_qiskit.models.layers import UpsampleConv2d, dcgan_initialize, he_initialize


class ImageEncoder(nn.Module):
    """One conv4x4 (C -> 5, stride 2), LeakyReLU, flatten, FC -> Z, tanh (arXiv 2506.21015v1, section 3.1; sizes ours)."""

    def __init__(self, latent_size: int, resolution: int, generator: torch.Generator, channels: int = 3) -> None:
        """Build and initialize.

        Args:
            latent_size: Z.
            resolution: side of the images.
            generator: source of the initial weights.
            channels: C, of the images.
        """
        super().__init__()
        self.convolution = nn.Conv2d(channels, 5, 4, stride=2, padding=1)
        self.project = nn.Linear(5 * (resolution // 2) ** 2, latent_size)
        dcgan_initialize(self, generator)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Return latents (B, Z) in [-1, 1]."""
        features = nn.functional.leaky_relu(self.convolution(images_BCHW), 0.2)
        return torch.tanh(self.project(features.flatten(1)))


class UpsampleDecoder(nn.Module):
    """FC -> width x 4 x 4, then stages of nearest upsampling + conv3x3 + batch norm + ReLU, then conv3x3 and tanh.

    Ours (HybridQ leaves its decoder's width and upsampling open). Widths halve from the second stage on, down to 16.
    """

    def __init__(
        self, features: int, width: int, resolution: int, generator: torch.Generator, channels: int = 3
    ) -> None:
        """Build and initialize.

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
        self.layers = nn.Sequential()
        before = width
        # Numbered with a place left out before each convolution, where runs of earlier versions had the upsampling.
        for stage in range(resolution.bit_length() - 3):
            following = before if stage < 1 else max(before // 2, 16)
            stages = (UpsampleConv2d(before, following, bias=False), nn.BatchNorm2d(following), nn.ReLU())
            for place, layer in enumerate(stages, 4 * stage + 1):
                self.layers.add_module(str(place), layer)
            before = following
        for place, layer in enumerate((nn.Conv2d(before, channels, 3, padding=1), nn.Tanh()), 4 * stage + 4):
            self.layers.add_module(str(place), layer)
        he_initialize(self, generator)

    def forward(self, features_BF: Tensor) -> Tensor:
        """Return images (B, C, H, W) in [-1, 1]."""
        start = self.project(features_BF).unflatten(1, (self.width, 4, 4))
        return self.layers(start.contiguous(memory_format=_memory_format(self.layers)))


class ModulatedDecoder(nn.Module):
    """FC -> width x 4 x 4, then stages of nearest upsampling + conv3x3 + modulated batch norm + ReLU, each adding to the image.

    The expectations reach every stage: gain and offset of each batch norm move linearly with them (self-modulation, Chen et
    al. 2019, arXiv 1810.01365). Each stage also makes an image of its size, which is doubled and added to the next one's
    before the tanh (Karras et al. 2020, arXiv 1912.04958, section 4.2), so that coarse stages learn from the first step on.
    Widths are those of :class:`UpsampleDecoder`.
    """

    def __init__(
        self, features: int, width: int, resolution: int, generator: torch.Generator, channels: int = 3
    ) -> None:
        """Build and initialize.

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
        self.convolutions, self.norms, self.modulations, self.images = (nn.ModuleList() for _ in range(4))
        before, stages = width, resolution.bit_length() - 3
        for stage in range(stages):
            following = before if stage < 1 else max(before // 2, 16)
            side = 3 if stage == stages - 1 else 1
            self.convolutions.append(UpsampleConv2d(before, following, bias=False))
            self.norms.append(nn.BatchNorm2d(following))
            self.modulations.append(nn.Linear(features, 2 * following, bias=False))
            self.images.append(nn.Conv2d(following, channels, side, padding=side // 2))
            before = following
        he_initialize(self, generator)
        dcgan_initialize(self.modulations, generator)
        with torch.no_grad():
            for layer in self.images:
                # Their sum is to start at about the size of one of them.
                cast(nn.Conv2d, layer).weight.mul_(stages**-0.5)

    def forward(self, features_BF: Tensor) -> Tensor:
        """Return images (B, C, H, W) in [-1, 1]."""
        x = self.project(features_BF).unflatten(1, (self.width, 4, 4))
        x = x.contiguous(memory_format=_memory_format(self.convolutions))
        total: Tensor | None = None
        for convolution, norm, modulation, image in zip(
            self.convolutions, self.norms, self.modulations, self.images, strict=True
        ):
            gain, offset = modulation(features_BF)[:, :, None, None].chunk(2, dim=1)
            x = norm(convolution(x))
            x = torch.relu(torch.addcmul(offset, x, 1 + gain))
            if total is not None:
                total = interpolate(total, scale_factor=2, mode="bilinear", align_corners=False)
            total = image(x) if total is None else total + image(x)
        assert total is not None
        return torch.tanh(total)


class PaperDecoder(nn.Module):
    """FC -> 1 x H x W -> ReLU -> conv3x3 -> tanh: the literal reading of arXiv 2506.21015v1, section 3.1."""

    def __init__(self, features: int, resolution: int, generator: torch.Generator, channels: int = 3) -> None:
        """Build and initialize.

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
        dcgan_initialize(self, generator)

    def forward(self, features_BF: Tensor) -> Tensor:
        """Return images (B, C, H, W) in [-1, 1]."""
        plane = torch.relu(self.project(features_BF)).unflatten(1, (1, self.resolution, self.resolution))
        return torch.tanh(self.convolution(plane))


def _memory_format(layers: nn.Module) -> torch.memory_format:
    """Return the memory format that the convolutions' weights are kept in."""
    weight = next(layer.weight for layer in layers.modules() if isinstance(layer, nn.Conv2d))
    channels_last = weight.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if channels_last else torch.contiguous_format
