"""MediQ-GAN's decoders: features (B, 32, 8, 8) to an image, with the class prototype shown to every scale if wanted.

The paper's title promises prototype-guided skip connections; its code has none. Ours: a linear map of the prototype's latent is
added to each channel of what a scale starts from. It starts at 0, that is, as the published decoder.

Shape letters: B batch · Z latent size · C H W image.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, leaky_relu

from qgan_qiskit.models.layers import UpsampleConv2d
from qgan_qiskit.models.mediq.streams import FEATURES, SIDE

# Channels of the scales behind 8 x 8; larger images go on with the last.
_STYLE2 = (128, 96, 64)
_VANILLA = (32, 16)


class PrototypeSkips(nn.ModuleList):
    """A linear map per scale, from the prototype's latent to an offset of each channel; 0 at first."""

    def __init__(self, latent_size: int, widths: Sequence[int]) -> None:
        """Build.

        Args:
            latent_size: Z.
            widths: channels of each scale.
        """
        super().__init__(nn.Linear(latent_size, width, bias=False) for width in widths)

    def start(self) -> None:
        """Set the maps to 0."""
        for layer in self:
            nn.init.zeros_(cast(nn.Linear, layer).weight)

    def add(self, scale: int, x: Tensor, prototypes_BZ: Tensor) -> Tensor:
        """Return what a scale starts from with the prototypes' offsets."""
        return x + self[scale](prototypes_BZ)[:, :, None, None]


class Style2Decoder(nn.Module):
    """Residual blocks, each twice as large: nearest upsampling, two conv3x3, a 1x1 way around; then noise, LeakyReLU.

    Noise is one normal number per pixel, added to each channel with a trained strength that starts at 0. 512,259 parameters at
    64x64, without skips. As published nothing is normalized; with ``batch_norm`` (ours) what comes in is, and each 3x3
    convolution.
    """

    def __init__(
        self, resolution: int, latent_size: int, channels: int, *, skips: bool, batch_norm: bool = False
    ) -> None:
        """Build; weights are set by the caller.

        Args:
            resolution: side of the images: a power of two, at least 16.
            latent_size: Z.
            channels: C, of the images.
            skips: whether prototypes are shown.
            batch_norm: whether to normalize.
        """
        super().__init__()
        norm = nn.BatchNorm2d if batch_norm else nn.Identity
        widths = _widths(_STYLE2, resolution)
        self.first, self.second, self.around = (nn.ModuleList() for _ in range(3))
        self.strengths, self.norms = nn.ParameterList(), nn.ModuleList()
        before = FEATURES
        for width in widths:
            self.first.append(UpsampleConv2d(before, width))
            self.norms.extend([norm(width), norm(width)])
            self.second.append(nn.Conv2d(width, width, 3, padding=1))
            self.around.append(nn.Conv2d(before, width, 1))
            self.strengths.append(nn.Parameter(torch.zeros(width)))
            before = width
        self.last = nn.Conv2d(before, 32, 3, padding=1)
        self.norms.extend([norm(32), norm(FEATURES)])
        self.image = nn.Conv2d(32, channels, 1)
        self.skips = PrototypeSkips(latent_size, [FEATURES, *widths[:-1]]) if skips else None
        self.noise_size = sum((SIDE << stage) ** 2 for stage in range(1, len(widths) + 1))

    @torch.no_grad()
    def calm(self) -> None:
        """Make the two ways of each block add up to what came in, and the image start well inside of tanh's range."""
        for layer in (*self.second, *self.around):
            cast(nn.Conv2d, layer).weight.mul_(0.5**0.5)
        self.image.weight.mul_(0.3)

    def forward(self, features: Tensor, prototypes_BZ: Tensor | None, noise_BN: Tensor) -> Tensor:
        """Return images (B, C, H, W) in [-1, 1].

        Args:
            features: from the streams.
            prototypes_BZ: middle of each image's class, where skips are wanted.
            noise_BN: ``noise_size`` normal numbers per image.
        """
        *norms, last, start = self.norms
        x, used = start(features), 0
        blocks = zip(self.first, self.second, self.around, self.strengths, strict=True)
        for scale, (first, second, around, strength) in enumerate(blocks):
            if self.skips is not None and prototypes_BZ is not None:
                x = self.skips.add(scale, x, prototypes_BZ)
            # What looks at one pixel only need not look at its copies.
            way_around = interpolate(around(x), scale_factor=2, mode="nearest")
            inside = _leaky(norms[2 * scale](first(x)))
            x = way_around.add_(_leaky(norms[2 * scale + 1](second(inside))))
            side = x.shape[-1]
            noise = noise_BN[:, used : used + side * side].view(-1, 1, side, side)
            used += side * side
            x = _leaky(x.addcmul_(strength[None, :, None, None], noise.to(x.dtype)))
        return torch.tanh(self.image(_leaky(last(self.last(x)))))


class VanillaDecoder(nn.Module):
    """Flatten, FC 2048 -> 4096, ReLU, then transposed convolutions from 64 x 8 x 8; 8,434,483 parameters at 64x64."""

    noise_size = 0

    def __init__(self, resolution: int, latent_size: int, channels: int, *, skips: bool) -> None:
        """Build; weights are set by the caller.

        Args:
            resolution: side of the images: a power of two, at least 16.
            latent_size: Z.
            channels: C, of the images.
            skips: whether prototypes are shown.
        """
        super().__init__()
        stages = resolution.bit_length() - SIDE.bit_length()
        widths = _widths(_VANILLA, resolution)[: stages - 1]
        self.project = nn.Linear(FEATURES * SIDE * SIDE, 64 * SIDE * SIDE)
        self.layers = nn.ModuleList()
        before = 64
        for width in [*widths, channels]:
            self.layers.append(nn.ConvTranspose2d(before, width, 4, 2, 1))
            before = width
        self.skips = PrototypeSkips(latent_size, [64, *widths]) if skips else None

    def calm(self) -> None:
        """Leave the weights: they start well inside of tanh's range."""

    def forward(self, features: Tensor, prototypes_BZ: Tensor | None, noise_BN: Tensor) -> Tensor:
        """Return images (B, C, H, W) in [-1, 1]; this decoder takes no noise."""
        x = torch.relu(self.project(features.flatten(1))).unflatten(1, (64, SIDE, SIDE))
        for scale, layer in enumerate(self.layers):
            if self.skips is not None and prototypes_BZ is not None:
                x = self.skips.add(scale, x, prototypes_BZ)
            x = layer(torch.relu(x) if scale else x)
        return torch.tanh(x)


def _leaky(x: Tensor) -> Tensor:
    """Return LeakyReLU of x, in its place, so that no second tensor of that size is kept for backward."""
    return leaky_relu(x, 0.2, inplace=True)


def _widths(published: tuple[int, ...], resolution: int) -> list[int]:
    """Return the channels of as many scales as there are from 8 x 8 to the image; the last one goes on."""
    stages = resolution.bit_length() - SIDE.bit_length()
    return [published[min(stage, len(published) - 1)] for stage in range(stages)]
