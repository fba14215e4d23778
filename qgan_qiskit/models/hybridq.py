"""HybridQ (arXiv 2506.21015v1): noise -> angles -> quantum sub-generators -> expectations -> decoder -> image.

The paper leaves its training flow open; its three readings are modes over the same parts:

- ``image``: the discriminator compares images; noise alone makes the angles.
- ``latent``: the discriminator compares encoder(real image) with the expectations; the decoder learns to reconstruct.
- ``fusion``: while training, encoder(real image) is fused with noise into the angles; when generating, draws from a Gaussian
  fitted to the encoder's latents take its place.

Shape letters: B batch · Z latent size · P sub-generators · Q inputs · O observables · C H W image.
"""

from __future__ import annotations

import math

import torch
from qiskit.primitives import BaseEstimatorV2
from torch import Tensor, nn

from qgan_qiskit.circuits import build_circuit_spec
from qgan_qiskit.config import HybridQConfig
from qgan_qiskit.models.base import DiscriminatorBatch, QuantumGenerator
from qgan_qiskit.models.decoders import ImageEncoder, ModulatedDecoder, PaperDecoder, UpsampleDecoder
from qgan_qiskit.models.layers import dcgan_initialize

# Share of each new batch in the running mean and covariance of the encoder's latents (fusion).
_LATENT_MOMENTUM = 0.02


class HybridQGenerator(QuantumGenerator):
    """The hybrid generator; see the module's text for the modes.

    Attributes:
        encoder: identity or one linear layer, noise to angles.
        decoder: expectations to an image.
        image_encoder: real image to latent, in latent and fusion modes only.
    """

    latent_mean: Tensor
    latent_covariance: Tensor

    def __init__(
        self,
        config: HybridQConfig,
        resolution: int,
        generator: torch.Generator,
        estimator: BaseEstimatorV2 | None = None,
        channels: int = 3,
    ) -> None:
        """Build and initialize.

        Args:
            config: sizes, circuit and mode.
            resolution: side of the images in pixels: a power of two for the upsampling decoder.
            generator: source of the initial weights.
            estimator: what evaluates the circuits; None for the exact simulator.
            channels: C, 3 for color or 1 for gray.
        """
        super().__init__(config.latent_high, adaptive=config.latent_range == "adaptive")
        self.config = config
        ansatz = build_circuit_spec(config)
        count = config.sub_generators
        angles, features = count * ansatz.num_inputs, count * ansatz.num_observables
        # Fusion draws twice when it generates: uniform noise, and normal numbers for the fitted latent distribution.
        self.latent_size = 2 * angles if config.mode == "fusion" else angles
        self.encoder: nn.Module = nn.Identity()
        if config.encoder == "linear":
            self.encoder = nn.Linear(angles, angles)
            dcgan_initialize(self.encoder, generator)
            # Start as the identity, so that the angles keep the range that the noise has.
            with torch.no_grad():
                self.encoder.weight.add_(torch.eye(angles))
        self.add_sub_generators(
            ansatz, count, generator, classical_baseline=config.classical_baseline, estimator=estimator
        )
        if config.decoder == "paper":
            self.decoder: nn.Module = PaperDecoder(features, resolution, generator, channels)
        else:
            upsampling = ModulatedDecoder if config.decoder == "modulated" else UpsampleDecoder
            self.decoder = upsampling(features, config.decoder_width, resolution, generator, channels)
        if config.mode != "image":
            size = features if config.mode == "latent" else angles
            self.image_encoder = ImageEncoder(size, resolution, generator, channels)
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

    def features(self, angles_BX: Tensor) -> Tensor:
        """Return all expectations of each image, shape (B, P * O), from its angles in radians, shape (B, P * Q)."""
        return self.expectations(angles_BX.unflatten(1, self.angles_shape)).flatten(1)

    def forward(self, z_BZ: Tensor) -> Tensor:
        """Return images (B, C, H, W) in [-1, 1]."""
        if self.config.mode != "fusion":
            return self.decoder(self.features(self.encoder(z_BZ)))
        noise, normal = z_BZ.chunk(2, dim=1)
        latent = self.latent_mean + normal @ _root(self.latent_covariance)
        return self.decoder(self.features(self._fuse(latent, noise)))

    def _fuse(self, latent_BZ: Tensor, noise_BZ: Tensor) -> Tensor:
        """Angles around pi/2 from a latent in [-1, 1], moved by noise of at most half its range, in radians."""
        return self.encoder(math.pi / 2 * (1 + latent_BZ) + 0.5 * (noise_BZ - self.latent_high / 2))

    def discriminator_inputs(self, real_BCHW: Tensor, z_BZ: Tensor) -> DiscriminatorBatch:
        """Return what the discriminator compares, and the reconstruction error, for this mode."""
        if self.config.mode == "image":
            return DiscriminatorBatch(real_BCHW, self(z_BZ))
        latent = self.image_encoder(real_BCHW)
        if self.config.mode == "latent":
            reconstruction = (self.decoder(latent) - real_BCHW).square().mean()
            return DiscriminatorBatch(latent.detach(), self.features(self.encoder(z_BZ)), reconstruction)
        self._follow(latent.detach())
        noise, _ = z_BZ.chunk(2, dim=1)
        fake = self.decoder(self.features(self._fuse(latent, noise)))
        return DiscriminatorBatch(real_BCHW, fake, (fake - real_BCHW).square().mean())

    @torch.no_grad()
    def _follow(self, latent_BZ: Tensor) -> None:
        """Update the running mean and covariance of the encoder's latents."""
        # A covariance in bfloat16 would not be one.
        with torch.autocast(latent_BZ.device.type, enabled=False):
            latent_BZ = latent_BZ.float()
            mean = latent_BZ.mean(dim=0)
            centered = latent_BZ - mean
            self.latent_mean.lerp_(mean, _LATENT_MOMENTUM)
            self.latent_covariance.lerp_(centered.T @ centered / max(len(latent_BZ) - 1, 1), _LATENT_MOMENTUM)


def _root(covariance_ZZ: Tensor) -> Tensor:
    """Return the symmetric square root of a covariance, also of a singular one; it does not depend on signs of vectors."""
    values, vectors = torch.linalg.eigh(covariance_ZZ)
    return (vectors * values.clamp_min(0).sqrt()) @ vectors.T
