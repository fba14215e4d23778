"""HybridQ (arXiv 2506.21015v1): latent -> angles -> quantum sub-generators -> expectations -> decoder -> image.

The paper leaves its training flow open; its three readings are modes of the same networks:

- ``image``: the discriminator compares images; the latent alone decides the angles.
- ``latent``: the discriminator compares encoder(real image) with the expectations; the decoder learns to reconstruct.
- ``fusion``: in training, encoder(real image) is fused with noise into the angles; in generation, samples of a Gaussian fitted
  to the encoder's latents take its place.

Shape letters: B batch · Z latent size · X all angles or encoder latents of an image · P sub-generators · Q inputs · O observables
· C H W image.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from qgan_qiskit.circuits import build_circuit_spec
from qgan_qiskit.config import HybridQConfig
from qgan_qiskit.models.base import BuildContext, Discriminator, DiscriminatorBatch, Generator, QuantumGenerator
from qgan_qiskit.models.decoders import ModulatedDecoder, PaperDecoder, UpsampleDecoder
from qgan_qiskit.models.discriminators import DcganDiscriminator, DenseDiscriminator
from qgan_qiskit.models.layers import dcgan_initialize

# Weight of each new batch in the running mean and covariance of the encoder's latents (fusion).
_LATENT_MOMENTUM = 0.02


class ImageEncoder(nn.Module):
    """One conv4x4 (C -> 5, stride 2), LeakyReLU, flatten, FC -> X, tanh (arXiv 2506.21015v1, section 3.1; sizes ours)."""

    def __init__(self, latent_size: int, context: BuildContext) -> None:
        """Build and initialize for X latent numbers."""
        super().__init__()
        self.convolution = nn.Conv2d(context.channels, 5, 4, stride=2, padding=1)
        self.project = nn.Linear(5 * (context.resolution // 2) ** 2, latent_size)
        dcgan_initialize(self, context.random)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Return latents (B, X) in [-1, 1]."""
        features = nn.functional.leaky_relu(self.convolution(images_BCHW), 0.2)
        return torch.tanh(self.project(features.flatten(1)))


class HybridQGenerator(QuantumGenerator):
    """The hybrid generator; see the module's docstring for the modes.

    Attributes:
        encoder: identity or one linear layer, noise to angles.
        decoder: expectations to an image.
        image_encoder: real image to latent, in latent and fusion modes only.
        latent_mean: running mean (X,) of the encoder's latents, in fusion mode only.
        latent_covariance: their running covariance (X, X).
    """

    latent_high: Tensor
    latent_mean: Tensor
    latent_covariance: Tensor

    def __init__(self, config: HybridQConfig, context: BuildContext) -> None:
        """Build and initialize; the resolution is a power of two for the upsampling decoders."""
        super().__init__(config.latent_high, adaptive=config.adaptive_latent_range)
        self.config = config
        spec, count = build_circuit_spec(config), config.sub_generators
        angles, features = count * spec.num_inputs, count * spec.num_observables
        # Fusion needs two samples to generate: uniform noise, and normal numbers for the fitted latent distribution.
        self.latent_size = 2 * angles if config.mode == "fusion" else angles
        self.encoder: nn.Module = nn.Identity()
        if config.encoder == "linear":
            self.encoder = nn.Linear(angles, angles)
            dcgan_initialize(self.encoder, context.random)
            # Start near the identity, so that the angles keep the range of the noise.
            with torch.no_grad():
                self.encoder.weight.add_(torch.eye(angles))
        self.add_circuits(spec, count, context, quantum=not config.classical_baseline)
        if config.decoder == "paper":
            self.decoder: nn.Module = PaperDecoder(features, context)
        else:
            upsampling = ModulatedDecoder if config.decoder == "modulated" else UpsampleDecoder
            self.decoder = upsampling(features, config.decoder_width, context)
        if config.mode != "image":
            self.image_encoder = ImageEncoder(features if config.mode == "latent" else angles, context)
        if config.mode == "fusion":
            self.register_buffer("latent_mean", torch.zeros(angles))
            self.register_buffer("latent_covariance", torch.eye(angles))

    def sample_latent(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw z ~ U[0, latent_high) radians, shape (count, Z); in fusion mode the second half is N(0, 1)."""
        size = math.prod(self.angles_shape)
        noise = self.uniform_latent(count, size, generator)
        if self.config.mode != "fusion":
            return noise
        return torch.cat([noise, torch.randn(count, size, generator=generator)], dim=1)

    def encode(self, z_BZ: Tensor) -> Tensor:
        """Return the circuits' inputs (B, P, Q) in radians."""
        if self.config.mode != "fusion":
            return self.encoder(z_BZ).unflatten(1, self.angles_shape)
        noise_BX, normal_BX = z_BZ.chunk(2, dim=1)
        latent_BX = self.latent_mean + normal_BX @ _symmetric_root(self.latent_covariance)
        return self._fuse(latent_BX, noise_BX)

    def decode(self, expectations_BPO: Tensor, z_BZ: Tensor) -> Tensor:
        """Return the images (B, C, H, W) in [-1, 1] that the circuits' outputs give."""
        return self.decoder(expectations_BPO.flatten(1))

    def _fuse(self, latent_BX: Tensor, noise_BX: Tensor) -> Tensor:
        """Return angles (B, P, Q) around pi/2 from latents in [-1, 1], shifted by at most half the range of the noise."""
        angles_BX = self.encoder(math.pi / 2 * (1 + latent_BX) + 0.5 * (noise_BX - self.latent_high / 2))
        return angles_BX.unflatten(1, self.angles_shape)

    def discriminator_inputs(self, real_BCHW: Tensor, z_BZ: Tensor) -> DiscriminatorBatch:
        """Return what the discriminator compares, and the reconstruction error, in this mode."""
        if self.config.mode == "image":
            return DiscriminatorBatch(real_BCHW, self(z_BZ))
        latent_BX = self.image_encoder(real_BCHW)
        if self.config.mode == "latent":
            reconstruction = (self.decoder(latent_BX) - real_BCHW).square().mean()
            fake_BX = self.expectations(self.encode(z_BZ)).flatten(1)
            return DiscriminatorBatch(latent_BX.detach(), fake_BX, reconstruction)
        self._update_latent_statistics(self.gather_batch(latent_BX.detach()))
        noise_BX, _ = z_BZ.chunk(2, dim=1)
        fake_BCHW = self.decode(self.expectations(self._fuse(latent_BX, noise_BX)), z_BZ)
        return DiscriminatorBatch(real_BCHW, fake_BCHW, (fake_BCHW - real_BCHW).square().mean())

    @torch.no_grad()
    def _update_latent_statistics(self, latent_BX: Tensor) -> None:
        # A covariance in bfloat16 would be too inexact.
        with torch.autocast(latent_BX.device.type, enabled=False):
            latent_BX = latent_BX.float()
            mean = latent_BX.mean(dim=0)
            centered = latent_BX - mean
            self.latent_mean.lerp_(mean, _LATENT_MOMENTUM)
            self.latent_covariance.lerp_(centered.T @ centered / max(len(latent_BX) - 1, 1), _LATENT_MOMENTUM)


def _symmetric_root(covariance_XX: Tensor) -> Tensor:
    """Return the symmetric square root of a covariance, also of a singular one; eigenvectors' signs do not matter."""
    values, vectors = torch.linalg.eigh(covariance_XX)
    return (vectors * values.clamp_min(0).sqrt()) @ vectors.T


def build(config: HybridQConfig, context: BuildContext) -> tuple[Generator, Discriminator]:
    """Return the generator and the discriminator, initialized."""
    generator = HybridQGenerator(config, context)
    if config.mode != "latent":
        return generator, DcganDiscriminator.from_config(config, context)
    features = config.sub_generators * build_circuit_spec(config).num_observables
    return generator, DenseDiscriminator(features, context.random, slope=0.2)
