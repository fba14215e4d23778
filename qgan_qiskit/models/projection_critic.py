"""A critic that is told the class (Miyato and Koyama 2018, arXiv 1802.05637), as MediQ-GAN has it.

Shape letters: B batch · C H W image.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from qgan_qiskit.models.initialise import he_initialise

_EMBEDDED = 128


class ProjectionCritic(nn.Module):
    """Strided convolutions, mean over the plane h, and ``psi(h) + <W h, embedding(class)>``; no normalisation.

    2.82M parameters at width 64, 64x64 and 8 classes.
    """

    def __init__(
        self, width: int, resolution: int, num_classes: int, generator: torch.Generator, channels: int = 3
    ) -> None:
        """Build and initialise.

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
        self.project = nn.Linear(before, _EMBEDDED)
        self.embedding = nn.Embedding(num_classes, _EMBEDDED)
        he_initialise(self, generator)
        nn.init.normal_(self.embedding.weight, generator=generator)

    def features(self, images_BCHW: Tensor) -> Tensor:
        """Return what the critic sees in images, (B, 8 * width at 64x64)."""
        return self.layers(images_BCHW).mean(dim=(2, 3))

    def forward(self, images_BCHW: Tensor, labels_B: Tensor) -> Tensor:
        """Return scores (B,): high for real images of the class."""
        seen = self.features(images_BCHW)
        return self.score(seen).flatten() + (self.project(seen) * self.embedding(labels_B)).sum(1)
