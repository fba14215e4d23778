"""The small discriminator of MosaiQ and QGPatch, for vectors instead of images.

Shape letters: B batch · F numbers of a sample.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from qgan_qiskit.models.initialise import he_initialise


class DenseDiscriminator(nn.Module):
    """F -> 64 -> 16 -> 1 with ReLU (MosaiQ, arXiv 2308.11096; QGPatch, arXiv 2010.06201): 3,681 parameters at F = 40."""

    def __init__(self, features: int, generator: torch.Generator, *, slope: float = 0.0) -> None:
        """Build and initialise.

        Args:
            features: F.
            generator: source of the initial weights.
            slope: of the rectifiers for negative numbers; 0 makes them plain ReLU.
        """
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(features, 64), nn.LeakyReLU(slope), nn.Linear(64, 16), nn.LeakyReLU(slope), nn.Linear(16, 1)
        )
        he_initialise(self, generator)

    def forward(self, samples_BF: Tensor) -> Tensor:
        """Return logits (B,): positive for real."""
        return self.layers(samples_BF).flatten()
