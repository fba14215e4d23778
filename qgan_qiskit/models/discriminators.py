"""The small discriminator of MosaiQ and QGPatch, for vectors instead of images.

Shape letters: B batch · F numbers of a sample.

DCGAN's discriminator, told the class by a projection (Miyato and Koyama 2018, arXiv 1802.05637).

Shape letters: B batch · C H W image.

A critic that is told the class (Miyato and Koyama 2018, arXiv 1802.05637), as MediQ-GAN has it.

Shape letters: B batch · C H W image.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from qgan_qiskit.models.dcgan import DcganDiscriminator
from qgan_qiskit.models.layers import he_initialize


class DenseDiscriminator(nn.Module):
    """F -> 64 -> 16 -> 1 with ReLU (MosaiQ, arXiv 2308.11096; QGPatch, arXiv 2010.06201): 3,681 parameters at F = 40."""

    def __init__(self, features: int, generator: torch.Generator, *, slope: float = 0.0) -> None:
        """Build and initialize.

        Args:
            features: F.
            generator: source of the initial weights.
            slope: of the rectifiers for negative numbers; 0 makes them plain ReLU.
        """
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(features, 64), nn.LeakyReLU(slope), nn.Linear(64, 16), nn.LeakyReLU(slope), nn.Linear(16, 1)
        )
        he_initialize(self, generator)

    def forward(self, samples_BF: Tensor) -> Tensor:
        """Return logits (B,): positive for real."""
        return self.layers(samples_BF).flatten()


_EMBEDDED = 128


class ConditionalDcganDiscriminator(nn.Module):
    """The logit of DCGAN's discriminator, and ``<W h, embedding(class)>`` with h the mean of its last maps."""

    def __init__(
        self,
        width: int,
        resolution: int,
        num_classes: int,
        generator: torch.Generator,
        channels: int = 3,
        *,
        minibatch_std: bool = False,
    ) -> None:
        """Build and initialize.

        Args:
            width: channels of the first stage.
            resolution: side of the images: a power of two, at least 16.
            num_classes: classes it can be told.
            generator: source of the initial weights.
            channels: C, of the images.
            minibatch_std: show the head how much images of a group vary (see :class:`MinibatchStd`).
        """
        super().__init__()
        dcgan = DcganDiscriminator(width, resolution, "batch", generator, channels, minibatch_std=minibatch_std)
        *trunk, head = dcgan.layers
        self.trunk, self.head = nn.Sequential(*trunk), head
        last = width * resolution // 8
        self.project = nn.Linear(last, _EMBEDDED)
        self.embedding = nn.Embedding(num_classes, _EMBEDDED)
        # The projection starts at 0: at first the class counts for nothing.
        nn.init.normal_(self.project.weight, std=last**-0.5, generator=generator)
        nn.init.zeros_(self.project.bias)
        nn.init.zeros_(self.embedding.weight)

    def forward(self, images_BCHW: Tensor, labels_B: Tensor) -> Tensor:
        """Return logits (B,): positive for real images of the class."""
        maps = self.trunk(images_BCHW)
        # How much a group varies says nothing of the class.
        seen = maps[:, : self.project.in_features].mean(dim=(2, 3))
        return self.head(maps).flatten() + (self.project(seen) * self.embedding(labels_B)).sum(1)


_EMBEDDED_projection_critic = 128


class ProjectionCritic(nn.Module):
    """Strided convolutions, mean over the plane h, and ``psi(h) + <W h, embedding(class)>``; no normalization.

    2.82M parameters at width 64, 64x64 and 8 classes.
    """

    def __init__(
        self, width: int, resolution: int, num_classes: int, generator: torch.Generator, channels: int = 3
    ) -> None:
        """Build and initialize.

        Args:
            width: channels of the first stage.
            resolution: side of the images: a power of two, at least 16.
            num_classes: classes it can be told.
            generator: source of the initial weights.
            channels: C, of the images.
        """
        super().__init__()
        layers: list[nn.Module] = []
        before = channels
        # Down to 4 x 4.
        for _ in range(resolution.bit_length() - 3):
            layers += [nn.Conv2d(before, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
            before, width = width, 2 * width
        self.layers = nn.Sequential(*layers)
        self.score = nn.Linear(before, 1)
        self.project = nn.Linear(before, _EMBEDDED_projection_critic)
        self.embedding = nn.Embedding(num_classes, _EMBEDDED_projection_critic)
        he_initialize(self, generator)
        nn.init.normal_(self.embedding.weight, generator=generator)

    def features(self, images_BCHW: Tensor) -> Tensor:
        """Return what the critic sees in images, (B, 8 * width at 64x64)."""
        return self.layers(images_BCHW).mean(dim=(2, 3))

    def forward(self, images_BCHW: Tensor, labels_B: Tensor) -> Tensor:
        """Return scores (B,): high for real images of the class."""
        seen = self.features(images_BCHW)
        return self.score(seen).flatten() + (self.project(seen) * self.embedding(labels_B)).sum(1)
