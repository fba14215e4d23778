"""From a QGPatch circuit's expectations to probabilities, and from those to pixels (Huang et al., arXiv 2010.06201).

A patch's pixels are the basis states of the qubits that are no ancillas. What enters the read-outs is p(j, 0), the probability
of basis state j together with all ancillas in 0; its sum over j is the probability that the ancillas are in 0.

Shape letters: B batch · P patches, one per sub-generator · J pixels of a patch, a power of two.

QGPatch (Huang et al., Phys. Rev. Applied 16, 024051, arXiv 2010.06201): circuits' probabilities are patches of an image.

Shape letters: B batch · N real images · P patches, one per sub-generator · Q qubits · J pixels of a patch · H W image.
"""

from __future__ import annotations

import numpy as np
import torch
from qiskit.primitives import BaseEstimatorV2
from torch import Tensor

from qgan_qiskit.circuits import build_circuit_spec
from qgan_qiskit.config import QgpatchConfig
from qgan_qiskit.models.base import DiscriminatorBatch, QuantumGenerator

# A probability below this counts as this where it divides: patches fade to black instead of dividing 0 by 0.
TINY = 1e-6


def probabilities_of_parities(parities_BPJ: Tensor) -> Tensor:
    """Return p(j, 0) from the expectations of ``circuits.readouts.projected_parities``, by a Walsh-Hadamard transform.

    Args:
        parities_BPJ: expectations in [-1, 1], in the order of the observables.

    Returns:
        Probabilities of shape (B, P, J); below 0 by rounding or by shots are 0.
    """
    size = parities_BPJ.shape[-1]
    values = parities_BPJ
    for bit in range(size.bit_length() - 1):
        even, odd = values.unflatten(-1, (-1, 2, 1 << bit)).unbind(-2)
        values = torch.stack([even + odd, even - odd], dim=-2).flatten(-3)
    return (values / size).clamp_min(0)


def probabilities_of_logits(logits_BPJ: Tensor, num_ancillas: int) -> Tensor:
    """Return p(j, 0) of a classical baseline: a softmax over as many outcomes as the circuit has.

    The outcomes whose ancillas are not all 0 show no pixel and get the logit 0, so at logits around 0 the ancillas are in 0
    as often as for a circuit of random weights, and p(j, 0) is positive and sums to less than 1 as the circuit's does.

    Args:
        logits_BPJ: any numbers.
        num_ancillas: qubits of the circuit that show no pixels.
    """
    others = (2**num_ancillas - 1) * logits_BPJ.shape[-1]
    largest = logits_BPJ.amax(dim=-1, keepdim=True).clamp_min(0)
    weights = torch.exp(logits_BPJ - largest)
    return weights / (weights.sum(dim=-1, keepdim=True) + others * torch.exp(-largest))


def conditioned(joint_BPJ: Tensor) -> Tensor:
    """Return p(j | 0) from p(j, 0): each patch sums to 1 (read-out ``paper``, appendix C)."""
    return joint_BPJ / joint_BPJ.sum(dim=-1, keepdim=True).clamp_min(TINY)


def relative_to_largest(joint_BPJ: Tensor) -> Tensor:
    """Return ``p(j, 0) / max_j p(j, 0)``: the largest of each patch is 1 (read-out ``tutorial``, PennyLane's)."""
    return joint_BPJ / joint_BPJ.amax(dim=-1, keepdim=True).clamp_min(TINY)


class QgpatchGenerator(QuantumGenerator):
    """P circuits that get the same latent vector; their patches, one after the other, are the image's pixels row by row.

    Attributes:
        mass_P: by what the probabilities of each patch are multiplied (not in the read-out ``tutorial``); 1 until
            :meth:`prepare` is called.
    """

    mass_P: Tensor

    def __init__(
        self,
        config: QgpatchConfig,
        resolution: int,
        generator: torch.Generator,
        estimator: BaseEstimatorV2 | None = None,
    ) -> None:
        """Build and initialize.

        Args:
            config: sizes and read-out; sub-generators times pixels of a patch is resolution squared.
            resolution: side of the images in pixels.
            generator: source of the initial weights.
            estimator: what evaluates the circuits; None for the exact simulator.
        """
        super().__init__(config.latent_high)
        self.config = config
        self.resolution = resolution
        self.latent_size = config.num_qubits
        self.add_sub_generators(
            build_circuit_spec(config),
            config.sub_generators,
            generator,
            classical_baseline=config.classical_baseline,
            estimator=estimator,
            bounded=False,
        )
        self.register_buffer("mass_P", torch.ones(config.sub_generators))

    def prepare(self, images_NHWC: np.ndarray) -> None:
        """Take the sum of each patch's pixels from the real images; see the base class.

        Probabilities of a patch sum to 1 at most, its pixels to something else, and the paper does not say how it scales
        them. Here conditioned probabilities get the mean sum over the real images, so a patch is as bright as it is there on
        average; unnormalised ones get the largest, so they can reach the brightness of every real image.
        """
        pixels_NPJ = images_NHWC[..., 0].reshape(len(images_NHWC), len(self.mass_P), -1)
        sums_NP = pixels_NPJ.sum(axis=2, dtype=np.int64) / 255
        sums_P = sums_NP.mean(axis=0) if self.config.patch_readout == "paper" else sums_NP.max(axis=0)
        self.mass_P.copy_(torch.from_numpy(sums_P))

    def sample_latent(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw z ~ U[0, latent_high) radians, shape (count, Q)."""
        return self.uniform_latent(count, self.latent_size, generator)

    def probabilities(self, z_BQ: Tensor) -> Tensor:
        """Return p(j, 0), the probability of pixel j's basis state with the ancillas in 0, shape (B, P, J)."""
        outputs_BPJ = self.expectations(z_BQ[:, None].expand(-1, *self.angles_shape))
        if self.config.classical_baseline:
            return probabilities_of_logits(outputs_BPJ, self.config.num_ancillas)
        return probabilities_of_parities(outputs_BPJ)

    def pixels(self, z_BQ: Tensor) -> Tensor:
        """Return pixels (B, H * W), 0 black and 1 white; only the read-out ``tutorial`` never goes beyond 1."""
        joint_BPJ = self.probabilities(z_BQ)
        if self.config.patch_readout == "tutorial":
            return relative_to_largest(joint_BPJ).flatten(1)
        if self.config.patch_readout == "paper":
            joint_BPJ = conditioned(joint_BPJ)
        return (self.mass_P[:, None] * joint_BPJ).flatten(1)

    def forward(self, z_BQ: Tensor) -> Tensor:
        """Return images (B, 1, H, W) in [-1, 1]; brighter than white is white."""
        pixels = self.pixels(z_BQ).clamp_max(1).unflatten(1, (1, self.resolution, self.resolution))
        return 2 * pixels - 1

    def discriminator_inputs(self, real_BCHW: Tensor, z_BQ: Tensor) -> DiscriminatorBatch:
        """Return the pixels of real and generated images, from 0 to 1, shape (B, H * W).

        Generated ones beyond 1 are not clipped here: the discriminator can then push them back.
        """
        return DiscriminatorBatch((real_BCHW.flatten(1) + 1) / 2, self.pixels(z_BQ))
