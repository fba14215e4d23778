"""MosaiQ (Silver et al. 2023, arXiv 2308.11096): noise -> angles -> circuits -> principal components -> image.

Written anew from the idea: the authors' code at its head cuts the generator's gradient, mixes features across the images of a
batch and does not undo the scaling of the scores.

Shape letters: B batch · N real images · Z latent size · P sub-generators · Q qubits · F = P * Q components · C H W image.
"""

from __future__ import annotations

import numpy as np
import torch
from qiskit.primitives import BaseEstimatorV2
from torch import Tensor

from qgan_qiskit.circuits import ansatz_of
from qgan_qiskit.config import MosaiqConfig
from qgan_qiskit.models.components import PrincipalComponents
from qgan_qiskit.models.pair import Pair
from qgan_qiskit.models.quantum import QuantumGenerator


def feature_distribution(sub_generators: int, num_qubits: int) -> Tensor:
    """Return which component each output makes, int64 (P, Q): one strong component per sub-generator, the rest from the tail.

    Sub-generator i makes component i and the i-th block of Q - 1 components counted from the last one down. At 8x5 these
    are {i, 39-4i, 38-4i, 37-4i, 36-4i} as in the authors' code; for other sizes the paper says nothing.

    Args:
        sub_generators: P.
        num_qubits: Q.
    """
    first = torch.arange(sub_generators)[:, None]
    tail = torch.arange(sub_generators * num_qubits - 1, sub_generators - 1, -1).view(sub_generators, num_qubits - 1)
    return torch.cat([first, tail], dim=1)


class MosaiqGenerator(QuantumGenerator):
    """Circuits whose expectations are scaled principal-component scores of the real images.

    The discriminator compares scores, not images.

    Attributes:
        components: mean, components and range of the scores of the real images; see :meth:`prepare`.
        place_F: for each component, which output of all sub-generators makes it.
    """

    place_F: Tensor

    def __init__(
        self,
        config: MosaiqConfig,
        resolution: int,
        generator: torch.Generator,
        estimator: BaseEstimatorV2 | None = None,
        channels: int = 3,
    ) -> None:
        """Build and initialise.

        Args:
            config: sizes, circuit and noise.
            resolution: side of the images in pixels.
            generator: source of the initial weights.
            estimator: what evaluates the circuits; None for the exact simulator.
            channels: C, 3 for colour (components of all three together) or 1 for grey.
        """
        super().__init__(config.noise_high, adaptive=config.noise == "adaptive")
        self.image_shape = (channels, resolution, resolution)
        ansatz = ansatz_of(config)
        self.add_sub_generators(ansatz, config.sub_generators, generator, twin=config.twin, estimator=estimator)
        self.latent_size = ansatz.num_inputs * (1 if config.shared_noise else config.sub_generators)
        component_of = feature_distribution(config.sub_generators, ansatz.num_observables).flatten()
        self.register_buffer("place_F", component_of.argsort())
        self.components = PrincipalComponents(len(component_of), channels * resolution**2)

    def check(self, images_NHWC: np.ndarray) -> None:
        """Refuse images without principal components; see the base class."""
        self.components.check(self._pixels(images_NHWC))

    def prepare(self, images_NHWC: np.ndarray) -> None:
        """Fit the principal components to the real images; see the base class."""
        self.components.fit(self._pixels(images_NHWC))

    def _pixels(self, images_NHWC: np.ndarray) -> np.ndarray:
        images_NCHW = images_NHWC[..., : self.image_shape[0]].transpose(0, 3, 1, 2)
        return images_NCHW.reshape(len(images_NHWC), -1)

    def sample_latent(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw z ~ U[0, noise_high) radians, shape (count, Z); with shared noise Z = Q for all sub-generators together."""
        return self.uniform_noise(count, self.latent_size, generator)

    def scaled_scores(self, z_BZ: Tensor) -> Tensor:
        """Return scaled scores (B, F) in [-1, 1], the strongest component first."""
        angles_BPQ = z_BZ.view(len(z_BZ), -1, self.angles_shape[1]).expand(-1, *self.angles_shape)
        return self.expectations(angles_BPQ).flatten(1)[:, self.place_F]

    def forward(self, z_BZ: Tensor) -> Tensor:
        """Return images (B, C, H, W) in [-1, 1]; what the components sum to beyond is clipped."""
        return self.components.flat_images(self.scaled_scores(z_BZ)).clamp(-1, 1).unflatten(1, self.image_shape)

    def training_pair(self, real_BCHW: Tensor, z_BZ: Tensor) -> Pair:
        """Return scaled scores (B, F) of real and of generated images."""
        return Pair(self.components.scaled_scores(real_BCHW), self.scaled_scores(z_BZ))
