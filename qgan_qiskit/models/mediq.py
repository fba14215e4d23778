"""MediQ-GAN (arXiv 2506.21015v2): class and noise -> features -> a classical and a quantum stream -> image.

After the authors' mediq-gan.py, written anew. A latent vector holds its class and the seed of the decoder's noise beside the
normal numbers, so that an image is a function of its latent alone.

Shape letters: B batch · Z normal numbers of a latent · K classes · D condition · P sub-generators · Q inputs · O observables
· C H W image; features are (B, 32, 8, 8).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from qgan_qiskit.circuits import build_circuit_spec
from qgan_qiskit.config import MediqConfig
from qgan_qiskit.models.base import BuildContext, Discriminator, DiscriminatorBatch, Generator, QuantumGenerator
from qgan_qiskit.models.decoders import (
    STREAM_CHANNELS,
    STREAM_SIDE,
    PrototypeSkips,
    Style2Decoder,
    VanillaDecoder,
)
from qgan_qiskit.models.discriminators import ConditionalDcganDiscriminator, ProjectionCritic
from qgan_qiskit.models.layers import he_initialize
from qgan_qiskit.models.prototypes import SEPARATION_WEIGHT, Prototypes, read_prototypes

# The circuits are at sites of a 4 x 4 grid.
_SITES_SIDE = 4
_SITES = _SITES_SIDE**2
# Width of the class embedding, with prototypes and without, as published.
_EMBEDDING_SIZE, _EMBEDDING_SIZE_ALONE = 32, 128
# Seeds of noise are whole numbers that a float32 holds exactly.
_NOISE_SEEDS = 2**24


def cnn_encoder(condition_size: int) -> nn.Sequential:
    """Return (B, D, 1, 1) -> (B, 32, 8, 8): upsampled, then conv1x1, conv3x3, conv3x3, each with GELU."""
    return nn.Sequential(
        nn.Upsample(scale_factor=STREAM_SIDE, mode="bilinear", align_corners=False),
        nn.Conv2d(condition_size, 128, 1),
        nn.GELU(),
        nn.Conv2d(128, 128, 3, padding=1),
        nn.GELU(),
        nn.Conv2d(128, STREAM_CHANNELS, 3, padding=1),
        nn.GELU(),
    )


def fc_encoder(condition_size: int) -> nn.Sequential:
    """Return (B, D, 1, 1) -> (B, 32, 8, 8): one linear layer, then conv3x3 to 64 channels and back."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(condition_size, STREAM_CHANNELS * STREAM_SIDE * STREAM_SIDE),
        nn.Unflatten(1, (STREAM_CHANNELS, STREAM_SIDE, STREAM_SIDE)),
        nn.GELU(),
        nn.Conv2d(STREAM_CHANNELS, 64, 3, padding=1),
        nn.GELU(),
        nn.Conv2d(64, STREAM_CHANNELS, 3, padding=1),
        nn.GELU(),
    )


class ClassicalStream(nn.Module):
    """A 1x1 projection of the features, then one conv3x3."""

    def __init__(self, channels: int) -> None:
        """Build for a number of output channels; the caller initializes the weights."""
        super().__init__()
        self.project = nn.Conv2d(STREAM_CHANNELS, channels, 1)
        self.convolution = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """Return (B, channels, 8, 8)."""
        return nn.functional.leaky_relu(self.convolution(self.project(features)), 0.2)


class QuantumStream(nn.Module):
    """A 1x1 projection of the features, pooled to 4 x 4 sites; circuits at some of the sites; maps of their outputs.

    The site of sub-generator p is round(linspace(0, 15, P)[p]). Each sub-generator makes a map per observable that is 0 except
    at its site; all maps together go through a 1x1 convolution and are upsampled to 8 x 8.

    Attributes:
        sites_P: sites of the circuits.
    """

    sites_P: Tensor

    def __init__(
        self, channels: int, count: int, num_inputs: int, num_outputs: int, *, layer_norm: bool = False
    ) -> None:
        """Build; ``count`` is P, up to 16; ``layer_norm`` brings each site's angles to mean 0 and standard deviation 1."""
        super().__init__()
        self._layer_norm = layer_norm
        self.project = nn.Conv2d(STREAM_CHANNELS, channels, 1)
        self.align = nn.Linear(channels, num_inputs)
        self.merge = nn.Conv2d(count * num_outputs, channels, 1)
        self.register_buffer("sites_P", torch.linspace(0, _SITES - 1, count).round().long(), persistent=False)

    def angles(self, features: Tensor) -> Tensor:
        """Return the circuits' inputs in radians, (B, P, Q)."""
        sites = adaptive_avg_pool2d(self.project(features), _SITES_SIDE).flatten(2)
        angles = self.align(sites[:, :, self.sites_P].transpose(1, 2))
        # Circuits are periodic: over many periods an angle carries no usable information.
        return nn.functional.layer_norm(angles, angles.shape[-1:]) if self._layer_norm else angles

    def forward(self, outputs_BPO: Tensor) -> Tensor:
        """Return (B, channels, 8, 8) from expectations."""
        batch, count, number = outputs_BPO.shape
        maps = outputs_BPO.new_zeros(batch, count, number, _SITES)
        index = self.sites_P[None, :, None, None].expand(batch, count, number, 1)
        maps = maps.scatter(3, index, outputs_BPO[..., None])
        merged = self.merge(maps.reshape(batch, count * number, _SITES_SIDE, _SITES_SIDE))
        return interpolate(merged, size=(STREAM_SIDE, STREAM_SIDE), mode="bilinear", align_corners=False)


class MediqGenerator(QuantumGenerator):
    """The conditional dual-stream generator.

    Attributes:
        classes: names, in the order of the labels.
        embedding: of the classes.
        prototypes: centers of the classes' latents; None without.
        decoder: features to an image.
    """

    def __init__(self, config: MediqConfig, context: BuildContext) -> None:
        """Build and initialize; the resolution is a power of two, at least 16."""
        super().__init__(None)
        classes, random = context.classes, context.random
        self.config, self.classes, self.num_classes = config, classes, len(classes)
        self.latent_size = config.latent_size + 2
        self._allowed_labels: tuple[int, ...] = ()
        embedding_size = _EMBEDDING_SIZE if config.prototypes else _EMBEDDING_SIZE_ALONE
        self.embedding = nn.Embedding(len(classes), embedding_size)
        self.norm = nn.LayerNorm(embedding_size)
        encoder = cnn_encoder if config.encoder == "cnn" else fc_encoder
        self.encoder = encoder(embedding_size + config.latent_size)
        spec = build_circuit_spec(config)
        count = config.sub_generators if config.quantum_stream == "faithful" else _SITES
        quantum = min(max(round(STREAM_CHANNELS * config.quantum_fraction), 1), STREAM_CHANNELS - 1)
        self.classical_stream = ClassicalStream(STREAM_CHANNELS - quantum)
        self.quantum_stream = QuantumStream(
            quantum, count, spec.num_inputs, spec.num_observables, layer_norm=config.angle_norm == "layer"
        )
        self.decoder = _build_decoder(config, context)
        he_initialize(self, random)
        self.decoder.scale_initial_weights()
        nn.init.normal_(self.embedding.weight, generator=random)
        if isinstance(self.decoder.skips, PrototypeSkips):
            self.decoder.skips.initialize()
        self.add_circuits(spec, count, context, quantum=not config.classical_baseline)
        self.prototypes = (
            Prototypes(len(classes), config.prototype_width, config.latent_size, random) if config.prototypes else None
        )

    @property
    def continuous_latent_size(self) -> int:
        """All but the seed of the decoder's noise and the class."""
        return self.config.latent_size

    def validate_data(self, images_NHWC: np.ndarray) -> None:
        """Read the prototype file, if one is named; see the base class."""
        if self.prototypes is not None and self.config.prototype_file is not None:
            self.prototypes.validate(read_prototypes(self.config.prototype_file, self.classes))

    def fit_to_data(self, images_NHWC: np.ndarray) -> None:
        """Take the prototypes of the file, if one is named; see the base class."""
        if self.prototypes is not None and self.config.prototype_file is not None:
            self.prototypes.set_vectors(read_prototypes(self.config.prototype_file, self.classes))

    def sample_latent(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw N(0, 1), a noise seed and a class (each equally likely), shape (count, Z + 2)."""
        normal = torch.randn(count, self.config.latent_size, generator=generator)
        seeds = torch.randint(_NOISE_SEEDS, (count, 1), generator=generator)
        labels = torch.randint(self.num_classes, (count, 1), generator=generator)
        if self._allowed_labels:
            # As many numbers are drawn as ever, so that a seed gives the same noise whatever classes are asked for.
            labels = torch.tensor(self._allowed_labels)[seeds % len(self._allowed_labels)]
        return torch.cat([normal, seeds.float(), labels.float()], dim=1)

    def set_class(self, *labels: int) -> None:
        """From now on draw latents of some classes only, each equally likely."""
        self._allowed_labels = labels

    def with_labels(self, z_BZ: Tensor, labels_B: Tensor) -> Tensor:
        """Return the same latents with other classes."""
        return torch.cat([z_BZ[:, :-1], labels_B[:, None].to(z_BZ)], dim=1)

    def labels(self, z_BZ: Tensor) -> Tensor:
        """Return the classes of latents, int64 (B,)."""
        return z_BZ[:, -1].round().long()

    def encode(self, z_BZ: Tensor) -> Tensor:
        """Return the circuits' inputs (B, P, Q) in radians."""
        features, _ = self._features(z_BZ)
        return self.quantum_stream.angles(features)

    def decode(self, expectations_BPO: Tensor, z_BZ: Tensor) -> Tensor:
        """Return images (B, C, H, W) in [-1, 1] from the circuits' outputs and the classical stream of the latents."""
        return self._merge_streams(*self._features(z_BZ), expectations_BPO, z_BZ)

    def forward(self, z_BZ: Tensor) -> Tensor:
        """Return images (B, C, H, W) in [-1, 1]."""
        # As in the base class, with the features that both streams share computed once.
        features, centers_BZ = self._features(z_BZ)
        expectations_BPO = self.expectations(self.quantum_stream.angles(features))
        return self._merge_streams(features, centers_BZ, expectations_BPO, z_BZ)

    def _features(self, z_BZ: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the features that both streams share, and the center (B, Z) of each image's class."""
        labels_B = self.labels(z_BZ)
        normal_BZ, centers_BZ = z_BZ[:, : self.config.latent_size], None
        if self.prototypes is not None:
            centers_BZ = self.prototypes.centers()[labels_B]
            normal_BZ = centers_BZ + self.prototypes.scales()[labels_B, None] * normal_BZ
        condition_BD = torch.cat([self.norm(self.embedding(labels_B)), normal_BZ], dim=1)
        return self.encoder(condition_BD[:, :, None, None]), centers_BZ

    def _merge_streams(
        self, features: Tensor, centers_BZ: Tensor | None, expectations_BPO: Tensor, z_BZ: Tensor
    ) -> Tensor:
        streams = [self.classical_stream(features), self.quantum_stream(expectations_BPO.to(features.dtype))]
        noise_BN = _sample_noise(z_BZ[:, -2], self.decoder.noise_size).to(z_BZ.device)
        return self.decoder(torch.cat(streams, dim=1), centers_BZ, noise_BN).float()

    def discriminator_inputs(self, real_BCHW: Tensor, z_BZ: Tensor) -> DiscriminatorBatch:
        """Return real and generated images of the same classes, and the penalty that keeps prototypes apart."""
        regularizer = None if self.prototypes is None else SEPARATION_WEIGHT * self.prototypes.crowding()
        return DiscriminatorBatch(real_BCHW, self(z_BZ), regularizer=regularizer, labels_B=self.labels(z_BZ))


def _build_decoder(config: MediqConfig, context: BuildContext) -> Style2Decoder | VanillaDecoder:
    sizes = context.resolution, config.latent_size, context.channels
    skips = config.prototypes and config.prototype_skips
    if config.decoder == "vanilla":
        return VanillaDecoder(*sizes, skips=skips)
    return Style2Decoder(*sizes, skips=skips, batch_norm=config.decoder_norm == "batch")


def _sample_noise(seeds_B: Tensor, size: int) -> Tensor:
    """Return normal numbers (B, size), each row a function of its seed alone."""
    if not size:
        return torch.zeros(len(seeds_B), 0)
    rows = [torch.randn(size, generator=torch.Generator().manual_seed(int(seed))) for seed in seeds_B.round().tolist()]
    return torch.stack(rows)


def build(config: MediqConfig, context: BuildContext) -> tuple[Generator, Discriminator]:
    """Return the generator and the discriminator, initialized."""
    generator = MediqGenerator(config, context)
    if config.critic == "projection":
        return generator, ProjectionCritic(config.critic_width, context)
    return generator, ConditionalDcganDiscriminator(config.critic_width, context, minibatch_std=config.minibatch_std)
