"""DCGAN's discriminator, told the class by a projection (Miyato and Koyama 2018, arXiv 1802.05637).

Shape letters: B batch · C H W image.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from qgan_qiskit.models.dcgan import DcganDiscriminator

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
        """Build and initialise.

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
