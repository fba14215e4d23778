"""Decoders: expectations, or the features of MediQ-GAN's streams, to images.

Shape letters: B batch · F features (all expectations of an image) · Z latent size · N noise numbers of an image · C H W image.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, leaky_relu

from qgan_qiskit.models.base import BuildContext
from qgan_qiskit.models.layers import UpsampleConv2d, dcgan_initialize, he_initialize

# Features that MediQ-GAN's streams give its decoders: channels, and side of the plane.
STREAM_CHANNELS, STREAM_SIDE = 32, 8
# Channels of the scales after 8 x 8, as published; larger images repeat the last.
_STYLE2_WIDTHS, _VANILLA_WIDTHS = (128, 96, 64), (32, 16)


class UpsampleDecoder(nn.Module):
    """FC -> width x 4 x 4, then stages of nearest upsampling + conv3x3 + batch norm + ReLU, then conv3x3 and tanh.

    Ours (HybridQ leaves its decoder's width and upsampling open). Widths halve from the second stage on, down to 16.
    """

    def __init__(self, features: int, width: int, context: BuildContext) -> None:
        """Build and initialize; F features, and the width at 4x4; the resolution is a power of two, at least 16."""
        super().__init__()
        self.width = width
        self.project = nn.Linear(features, width * 16)
        self.layers = nn.Sequential()
        before = width
        for following in _halving_widths(width, context.resolution):
            self.layers.extend([UpsampleConv2d(before, following, bias=False), nn.BatchNorm2d(following), nn.ReLU()])
            before = following
        self.layers.extend([nn.Conv2d(before, context.channels, 3, padding=1), nn.Tanh()])
        he_initialize(self, context.random)

    def forward(self, features_BF: Tensor) -> Tensor:
        """Return images (B, C, H, W) in [-1, 1]."""
        start = self.project(features_BF).unflatten(1, (self.width, 4, 4))
        return self.layers(start.contiguous(memory_format=_memory_format(self.layers)))


class ModulatedDecoder(nn.Module):
    """FC -> width x 4 x 4, then stages of nearest upsampling + conv3x3 + modulated batch norm + ReLU, each adding to the image.

    The expectations reach every stage: gain and offset of each batch norm are linear in them (self-modulation, Chen et al.
    2019, arXiv 1810.01365). Each stage also makes an image of its size, which is upsampled and added to the next one's before
    the tanh (Karras et al. 2020, arXiv 1912.04958, section 4.2), so that coarse stages learn from the first step on.
    Widths are those of :class:`UpsampleDecoder`.
    """

    def __init__(self, features: int, width: int, context: BuildContext) -> None:
        """Build and initialize; F features, and the width at 4x4; the resolution is a power of two, at least 16."""
        super().__init__()
        self.width = width
        self.project = nn.Linear(features, width * 16)
        self.convolutions, self.norms, self.modulations, self.images = (nn.ModuleList() for _ in range(4))
        before, widths = width, _halving_widths(width, context.resolution)
        for stage, following in enumerate(widths, 1):
            side = 3 if stage == len(widths) else 1
            self.convolutions.append(UpsampleConv2d(before, following, bias=False))
            self.norms.append(nn.BatchNorm2d(following))
            self.modulations.append(nn.Linear(features, 2 * following, bias=False))
            self.images.append(nn.Conv2d(following, context.channels, side, padding=side // 2))
            before = following
        he_initialize(self, context.random)
        dcgan_initialize(self.modulations, context.random)
        with torch.no_grad():
            for layer in self.images:
                # So that their sum starts at about the size of one of them.
                cast(nn.Conv2d, layer).weight.mul_(len(widths) ** -0.5)

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

    def __init__(self, features: int, context: BuildContext) -> None:
        """Build and initialize for F features."""
        super().__init__()
        self.resolution = context.resolution
        self.project = nn.Linear(features, self.resolution**2)
        self.convolution = nn.Conv2d(1, context.channels, 3, padding=1)
        dcgan_initialize(self, context.random)

    def forward(self, features_BF: Tensor) -> Tensor:
        """Return images (B, C, H, W) in [-1, 1]."""
        plane = torch.relu(self.project(features_BF)).unflatten(1, (1, self.resolution, self.resolution))
        return torch.tanh(self.convolution(plane))


class PrototypeSkips(nn.ModuleList):
    """A linear map per scale, from the class prototype's latent to an offset of each channel; 0 at first.

    The paper's title promises prototype-guided skip connections; its code has none. These are ours, and start as the published
    decoder.
    """

    def __init__(self, latent_size: int, widths: Sequence[int]) -> None:
        """Build for Z latent numbers and the channels of each scale."""
        super().__init__(nn.Linear(latent_size, width, bias=False) for width in widths)

    def initialize(self) -> None:
        """Set the maps to 0."""
        for layer in self:
            nn.init.zeros_(cast(nn.Linear, layer).weight)

    def add(self, scale: int, x: Tensor, prototypes_BZ: Tensor) -> Tensor:
        """Return the input of a scale with the prototypes' offsets."""
        return x + self[scale](prototypes_BZ)[:, :, None, None]


class Style2Decoder(nn.Module):
    """MediQ-GAN's small decoder: residual blocks of nearest upsampling, two conv3x3 and a 1x1 shortcut; then noise, LeakyReLU.

    Noise is one normal number per pixel, added to each channel with a trained strength that starts at 0. 512,259 parameters at
    64x64, without skips. As published nothing is normalized; with ``batch_norm`` (ours) the input is, and each 3x3 convolution.
    """

    def __init__(
        self, resolution: int, latent_size: int, channels: int, *, skips: bool, batch_norm: bool = False
    ) -> None:
        """Build for Z latent numbers, with prototype skips or without; the caller initializes the weights."""
        super().__init__()
        norm = nn.BatchNorm2d if batch_norm else nn.Identity
        widths = _scale_widths(_STYLE2_WIDTHS, resolution)
        self.first, self.second, self.shortcuts = (nn.ModuleList() for _ in range(3))
        self.strengths, self.norms = nn.ParameterList(), nn.ModuleList()
        before = STREAM_CHANNELS
        for width in widths:
            self.first.append(UpsampleConv2d(before, width))
            self.norms.extend([norm(width), norm(width)])
            self.second.append(nn.Conv2d(width, width, 3, padding=1))
            self.shortcuts.append(nn.Conv2d(before, width, 1))
            self.strengths.append(nn.Parameter(torch.zeros(width)))
            before = width
        self.last = nn.Conv2d(before, 32, 3, padding=1)
        self.norms.extend([norm(32), norm(STREAM_CHANNELS)])
        self.image = nn.Conv2d(32, channels, 1)
        self.skips = PrototypeSkips(latent_size, [STREAM_CHANNELS, *widths[:-1]]) if skips else None
        self.noise_size = sum((STREAM_SIDE << stage) ** 2 for stage in range(1, len(widths) + 1))

    @torch.no_grad()
    def scale_initial_weights(self) -> None:
        """Keep the variance over each block's sum of two branches, and start the image well inside of tanh's range."""
        for layer in (*self.second, *self.shortcuts):
            cast(nn.Conv2d, layer).weight.mul_(0.5**0.5)
        self.image.weight.mul_(0.3)

    def forward(self, features: Tensor, prototypes_BZ: Tensor | None, noise_BN: Tensor) -> Tensor:
        """Return images (B, C, H, W) in [-1, 1].

        Args:
            features: from the streams.
            prototypes_BZ: center of each image's class, for skips.
            noise_BN: ``noise_size`` normal numbers per image.
        """
        *norms, last_norm, first_norm = self.norms
        x, used = first_norm(features), 0
        blocks = zip(self.first, self.second, self.shortcuts, self.strengths, strict=True)
        for scale, (first, second, shortcut, strength) in enumerate(blocks):
            if self.skips is not None and prototypes_BZ is not None:
                x = self.skips.add(scale, x, prototypes_BZ)
            # A 1x1 convolution commutes with nearest upsampling, and is cheaper before it.
            residual = interpolate(shortcut(x), scale_factor=2, mode="nearest")
            inside = _leaky(norms[2 * scale](first(x)))
            x = residual.add_(_leaky(norms[2 * scale + 1](second(inside))))
            side = x.shape[-1]
            noise = noise_BN[:, used : used + side * side].view(-1, 1, side, side)
            used += side * side
            x = _leaky(x.addcmul_(strength[None, :, None, None], noise.to(x.dtype)))
        return torch.tanh(self.image(_leaky(last_norm(self.last(x)))))


class VanillaDecoder(nn.Module):
    """MediQ-GAN's wide decoder: FC 2048 -> 4096, ReLU, transposed convolutions from 64 x 8 x 8; 8,434,483 parameters at 64x64."""

    noise_size = 0

    def __init__(self, resolution: int, latent_size: int, channels: int, *, skips: bool) -> None:
        """Build for Z latent numbers, with prototype skips or without; the caller initializes the weights."""
        super().__init__()
        stages = resolution.bit_length() - STREAM_SIDE.bit_length()
        widths = _scale_widths(_VANILLA_WIDTHS, resolution)[: stages - 1]
        self.project = nn.Linear(STREAM_CHANNELS * STREAM_SIDE * STREAM_SIDE, 64 * STREAM_SIDE * STREAM_SIDE)
        self.layers = nn.ModuleList()
        before = 64
        for width in [*widths, channels]:
            self.layers.append(nn.ConvTranspose2d(before, width, 4, 2, 1))
            before = width
        self.skips = PrototypeSkips(latent_size, [64, *widths]) if skips else None

    def scale_initial_weights(self) -> None:
        """Do nothing: the image starts well inside of tanh's range."""

    def forward(self, features: Tensor, prototypes_BZ: Tensor | None, noise_BN: Tensor) -> Tensor:
        """Return images (B, C, H, W) in [-1, 1]; this decoder takes no noise."""
        x = torch.relu(self.project(features.flatten(1))).unflatten(1, (64, STREAM_SIDE, STREAM_SIDE))
        for scale, layer in enumerate(self.layers):
            if self.skips is not None and prototypes_BZ is not None:
                x = self.skips.add(scale, x, prototypes_BZ)
            x = layer(torch.relu(x) if scale else x)
        return torch.tanh(x)


def _halving_widths(width: int, resolution: int) -> list[int]:
    """Return the channels of each stage from 4 x 4 to the image: halved from the second stage on, down to 16."""
    widths = [width]
    for _ in range(resolution.bit_length() - 4):
        widths.append(max(widths[-1] // 2, 16))
    return widths


def _leaky(x: Tensor) -> Tensor:
    """Return LeakyReLU of x, in place, so that no second tensor of that size is kept for backward."""
    return leaky_relu(x, 0.2, inplace=True)


def _scale_widths(published: tuple[int, ...], resolution: int) -> list[int]:
    """Return the channels of each scale from 8 x 8 to the image; the last published width is repeated."""
    stages = resolution.bit_length() - STREAM_SIDE.bit_length()
    return [published[min(stage, len(published) - 1)] for stage in range(stages)]


def _memory_format(layers: nn.Module) -> torch.memory_format:
    """Return the memory format that the convolutions' weights are kept in."""
    weight = next(layer.weight for layer in layers.modules() if isinstance(layer, nn.Conv2d))
    channels_last = weight.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if channels_last else torch.contiguous_format
