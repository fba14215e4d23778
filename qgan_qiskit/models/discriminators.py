"""Discriminators: dense for vectors, DCGAN's, and two that are given the class by a projection.

The projection is that of Miyato and Koyama 2018 (arXiv 1802.05637): ``<W h, embedding(class)>`` with image features h.

Shape letters: B batch · F numbers of a sample · C H W image.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from qgan_qiskit.config import DcganConfig, HybridQConfig
from qgan_qiskit.models.base import BuildContext, Discriminator
from qgan_qiskit.models.layers import MinibatchStd, dcgan_initialize, he_initialize

# Width of the class embedding.
_EMBEDDING_SIZE = 128


class DenseDiscriminator(Discriminator):
    """F -> 64 -> 16 -> 1 with ReLU (MosaiQ, arXiv 2308.11096; QGPatch, arXiv 2010.06201): 3,681 parameters at F = 40."""

    def __init__(self, features: int, generator: torch.Generator, *, slope: float = 0.0) -> None:
        """Build and initialize; F features, and the rectifiers' slope for negative numbers (0: plain ReLU)."""
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(features, 64), nn.LeakyReLU(slope), nn.Linear(64, 16), nn.LeakyReLU(slope), nn.Linear(16, 1)
        )
        he_initialize(self, generator)

    def forward(self, samples_BF: Tensor) -> Tensor:
        """Return logits (B,): positive for real."""
        return self.layers(samples_BF).flatten()


class DcganDiscriminator(Discriminator):
    """Strided convolutions from an image to a logit; 2,765,568 parameters at width 64 and 64x64.

    ``norm`` is ``batch`` (as published) or ``spectral`` (Miyato et al. 2018) on every convolution; ``minibatch_std`` gives the
    last convolution one more channel (see :class:`MinibatchStd`). The resolution is a power of two, at least 16.
    """

    def __init__(self, width: int, norm: str, context: BuildContext, *, minibatch_std: bool = False) -> None:
        """Build and initialize; width is the channels of the first stage."""
        super().__init__()
        wrap = spectral_norm if norm == "spectral" else (lambda layer: layer)
        # Spectral normalization starts its power iteration from torch's global random numbers: fix them too.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(torch.randint(2**62, (), generator=context.random)))
            layers: list[nn.Module] = [wrap(nn.Conv2d(context.channels, width, 4, 2, 1, bias=False)), nn.LeakyReLU(0.2)]
            for _ in range(context.resolution.bit_length() - 4):
                layers.append(wrap(nn.Conv2d(width, 2 * width, 4, 2, 1, bias=False)))
                if norm == "batch":
                    layers.append(nn.BatchNorm2d(2 * width))
                layers.append(nn.LeakyReLU(0.2))
                width *= 2
            if minibatch_std:
                layers.append(MinibatchStd())
            layers.append(wrap(nn.Conv2d(width + minibatch_std, 1, 4, 1, 0, bias=False)))
            self.layers = nn.Sequential(*layers)
        dcgan_initialize(self, context.random)

    @classmethod
    def from_config(cls, config: DcganConfig | HybridQConfig, context: BuildContext) -> DcganDiscriminator:
        """Return the discriminator that the settings of a model describe."""
        width, norm = config.discriminator_width, config.discriminator_norm
        return cls(width, norm, context, minibatch_std=config.minibatch_std)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Return logits (B,): positive for real."""
        return self.layers(images_BCHW).flatten()


class ConditionalDcganDiscriminator(Discriminator):
    """The logit of DCGAN's discriminator plus the projection, with h the mean of its last feature maps."""

    def __init__(self, width: int, context: BuildContext, *, minibatch_std: bool = False) -> None:
        """Build and initialize; width is the channels of the first stage."""
        super().__init__()
        *trunk, head = DcganDiscriminator(width, "batch", context, minibatch_std=minibatch_std).layers
        self.trunk, self.head = nn.Sequential(*trunk), head
        last = width * context.resolution // 8
        self.project = nn.Linear(last, _EMBEDDING_SIZE)
        self.embedding = nn.Embedding(len(context.classes), _EMBEDDING_SIZE)
        # The projection starts at 0: at first the class does not count.
        nn.init.normal_(self.project.weight, std=last**-0.5, generator=context.random)
        nn.init.zeros_(self.project.bias)
        nn.init.zeros_(self.embedding.weight)

    def forward(self, images_BCHW: Tensor, labels_B: Tensor) -> Tensor:
        """Return logits (B,): positive for real images of the class."""
        maps = self.trunk(images_BCHW)
        # Without the channel of MinibatchStd: how much a group varies says nothing about the class.
        features = maps[:, : self.project.in_features].mean(dim=(2, 3))
        return self.head(maps).flatten() + (self.project(features) * self.embedding(labels_B)).sum(1)


class ProjectionCritic(Discriminator):
    """MediQ-GAN's critic: strided convolutions, mean over the plane h, and ``psi(h)`` plus the projection; no normalization.

    2.82M parameters at width 64, 64x64 and 8 classes. The resolution is a power of two, at least 16.
    """

    provides_prototypes = True

    def __init__(self, width: int, context: BuildContext) -> None:
        """Build and initialize; width is the channels of the first stage."""
        super().__init__()
        layers: list[nn.Module] = []
        before = context.channels
        # Down to 4 x 4.
        for _ in range(context.resolution.bit_length() - 3):
            layers += [nn.Conv2d(before, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
            before, width = width, 2 * width
        self.layers = nn.Sequential(*layers)
        self.score = nn.Linear(before, 1)
        self.project = nn.Linear(before, _EMBEDDING_SIZE)
        self.embedding = nn.Embedding(len(context.classes), _EMBEDDING_SIZE)
        he_initialize(self, context.random)
        nn.init.normal_(self.embedding.weight, generator=context.random)

    def features(self, images_BCHW: Tensor) -> Tensor:
        """Return image features (B, F), F = 8 * width at 64x64."""
        return self.layers(images_BCHW).mean(dim=(2, 3))

    def forward(self, images_BCHW: Tensor, labels_B: Tensor) -> Tensor:
        """Return scores (B,): high for real images of the class."""
        features = self.features(images_BCHW)
        return self.score(features).flatten() + (self.project(features) * self.embedding(labels_B)).sum(1)
