"""QGPatch (Huang et al., Phys. Rev. Applied 16, 024051, arXiv 2010.06201): circuits' probabilities are patches of an image.

A patch's pixels are the basis states of the qubits that are not ancillas. The read-outs start from p(j, 0), the probability of
basis state j together with all ancillas in 0; its sum over j is the probability that the ancillas are in 0.

Shape letters: B batch · N real images · P patches, one per sub-generator · Q qubits · J pixels of a patch, a power of two
· H W image.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from qgan_qiskit.circuits import build_circuit_spec
from qgan_qiskit.config import QgpatchConfig
from qgan_qiskit.models.base import BuildContext, Discriminator, DiscriminatorBatch, Generator, QuantumGenerator
from qgan_qiskit.models.discriminators import DenseDiscriminator

# Smallest divisor: patches fade to black instead of dividing 0 by 0.
TINY = 1e-6


def probabilities_from_parities(parities_BPJ: Tensor) -> Tensor:
    """Return p(j, 0), shape (B, P, J), from the expectations of ``projected_parities``, by a Walsh-Hadamard transform.

    Probabilities below 0 by rounding or by shots are set to 0.
    """
    size = parities_BPJ.shape[-1]
    values = parities_BPJ
    for bit in range(size.bit_length() - 1):
        even, odd = values.unflatten(-1, (-1, 2, 1 << bit)).unbind(-2)
        values = torch.stack([even + odd, even - odd], dim=-2).flatten(-3)
    return (values / size).clamp_min(0)


def probabilities_from_logits(logits_BPJ: Tensor, num_ancillas: int) -> Tensor:
    """Return p(j, 0) of a classical baseline: a softmax over as many outcomes as the circuit has.

    The outcomes whose ancillas are not all 0 show no pixel and get the logit 0. So at logits around 0 the ancillas are in 0
    as often as for a circuit of random weights, and p(j, 0) is positive and sums to less than 1 as the circuit's does.
    """
    others = (2**num_ancillas - 1) * logits_BPJ.shape[-1]
    largest = logits_BPJ.amax(dim=-1, keepdim=True).clamp_min(0)
    weights = torch.exp(logits_BPJ - largest)
    return weights / (weights.sum(dim=-1, keepdim=True) + others * torch.exp(-largest))


def normalize_by_sum(joint_BPJ: Tensor) -> Tensor:
    """Return p(j | 0) from p(j, 0): each patch sums to 1 (read-out ``paper``, appendix C)."""
    return joint_BPJ / joint_BPJ.sum(dim=-1, keepdim=True).clamp_min(TINY)


def normalize_by_largest(joint_BPJ: Tensor) -> Tensor:
    """Return ``p(j, 0) / max_j p(j, 0)``: the largest of each patch is 1 (read-out ``tutorial``, PennyLane's)."""
    return joint_BPJ / joint_BPJ.amax(dim=-1, keepdim=True).clamp_min(TINY)


class QgpatchGenerator(QuantumGenerator):
    """P circuits that get the same latent vector; their patches, one after the other, are the image's pixels row by row.

    Attributes:
        mass_P: factor of each patch's probabilities (not in the read-out ``tutorial``); 1 until :meth:`fit_to_data` is called.
    """

    mass_P: Tensor

    def __init__(self, config: QgpatchConfig, context: BuildContext) -> None:
        """Build and initialize; sub-generators times pixels of a patch is the resolution squared."""
        super().__init__(config.latent_high)
        self.config, self.resolution = config, context.resolution
        self.latent_size = config.num_qubits
        quantum = not config.classical_baseline
        self.add_circuits(build_circuit_spec(config), config.sub_generators, context, quantum=quantum, bounded=False)
        self.register_buffer("mass_P", torch.ones(config.sub_generators))

    def fit_to_data(self, images_NHWC: np.ndarray) -> None:
        """Take the sum of each patch's pixels from the real images; see the base class.

        Probabilities of a patch sum to 1 at most, its pixels to something else, and the paper does not say how it scales
        them. Here conditioned probabilities get the mean sum over the real images, so a patch is as bright as in them on
        average; unnormalized ones get the largest, so they can reach the brightness of every real image.
        """
        pixels_NPJ = images_NHWC[..., 0].reshape(len(images_NHWC), len(self.mass_P), -1)
        sums_NP = pixels_NPJ.sum(axis=2, dtype=np.int64) / 255
        sums_P = sums_NP.mean(axis=0) if self.config.patch_readout == "paper" else sums_NP.max(axis=0)
        self.mass_P.copy_(torch.from_numpy(sums_P))

    def encode(self, z_BQ: Tensor) -> Tensor:
        """Return the circuits' inputs (B, P, Q) in radians: the same latent for all."""
        return z_BQ[:, None].expand(-1, *self.angles_shape)

    def probabilities(self, outputs_BPJ: Tensor) -> Tensor:
        """Return p(j, 0), the probability of pixel j's basis state with the ancillas in 0, (B, P, J) from circuit outputs."""
        if self.config.classical_baseline:
            return probabilities_from_logits(outputs_BPJ, self.config.num_ancillas)
        return probabilities_from_parities(outputs_BPJ)

    def pixels(self, outputs_BPJ: Tensor) -> Tensor:
        """Return pixels (B, H * W), 0 black and 1 white; only the read-out ``tutorial`` never exceeds 1."""
        joint_BPJ = self.probabilities(outputs_BPJ)
        if self.config.patch_readout == "tutorial":
            return normalize_by_largest(joint_BPJ).flatten(1)
        if self.config.patch_readout == "paper":
            joint_BPJ = normalize_by_sum(joint_BPJ)
        return (self.mass_P[:, None] * joint_BPJ).flatten(1)

    def decode(self, outputs_BPJ: Tensor, z_BQ: Tensor) -> Tensor:
        """Return images (B, 1, H, W) in [-1, 1]; pixels above 1 are clipped to white."""
        pixels = self.pixels(outputs_BPJ).clamp_max(1).unflatten(1, (1, self.resolution, self.resolution))
        return 2 * pixels - 1

    def discriminator_inputs(self, real_BCHW: Tensor, z_BQ: Tensor) -> DiscriminatorBatch:
        """Return the pixels of real and generated images, from 0 to 1, shape (B, H * W).

        Generated ones above 1 are not clipped here: the discriminator can then push them back.
        """
        fake_BJ = self.pixels(self.expectations(self.encode(z_BQ)))
        return DiscriminatorBatch((real_BCHW.flatten(1) + 1) / 2, fake_BJ)


def build(config: QgpatchConfig, context: BuildContext) -> tuple[Generator, Discriminator]:
    """Return the generator and the discriminator, initialized."""
    return QgpatchGenerator(config, context), DenseDiscriminator(context.resolution**2, context.random)
