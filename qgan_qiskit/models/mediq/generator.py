"""MediQ-GAN (arXiv 2506.21015v2): class and noise -> features -> a classical and a quantum stream -> image.

After the authors' mediq-gan.py, written anew. A latent vector holds its class and the seed of the decoder's noise beside the
normal numbers, so that an image is a function of its latent alone.

Shape letters: B batch · Z normal numbers of a latent · K classes · P sub-generators · Q inputs · O observables · C H W image.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from qiskit.primitives import BaseEstimatorV2
from torch import Tensor, nn

from qgan_qiskit.circuits import build_circuit_spec
from qgan_qiskit.config import MediqConfig
from qgan_qiskit.models.base import DiscriminatorBatch, QuantumGenerator
from qgan_qiskit.models.layers import he_initialize
from qgan_qiskit.models.mediq.decoders import PrototypeSkips, Style2Decoder, VanillaDecoder
from qgan_qiskit.models.mediq.prototypes import APART_WEIGHT, Prototypes, read_prototypes
from qgan_qiskit.models.mediq.streams import FEATURES, SITES, ClassicalStream, QuantumStream, cnn_encoder, fc_encoder

# Width of the class embedding, with prototypes and without, as published.
_EMBEDDED, _EMBEDDED_ALONE = 32, 128
# Seeds of noise are whole numbers that a float32 holds exactly.
_NOISE_SEEDS = 2**24


class MediqGenerator(QuantumGenerator):
    """The conditional dual-stream generator.

    Attributes:
        classes: names, in the order of the labels.
        embedding: of the classes.
        prototypes: what latents are drawn around; None without.
        decoder: features to an image.
    """

    def __init__(
        self,
        config: MediqConfig,
        resolution: int,
        classes: tuple[str, ...],
        generator: torch.Generator,
        estimator: BaseEstimatorV2 | None = None,
        channels: int = 3,
    ) -> None:
        """Build and initialize.

        Args:
            config: sizes, circuit and decoder.
            resolution: side of the images in pixels: a power of two, at least 16.
            classes: names of the classes.
            generator: source of the initial weights.
            estimator: what evaluates the circuits; None for the exact simulator.
            channels: C, 3 for color or 1 for gray.
        """
        super().__init__(math.pi)
        self.config, self.classes, self.num_classes = config, classes, len(classes)
        self.latent_size = config.latent_size + 2
        self._kept: tuple[int, ...] = ()
        embedded = _EMBEDDED if config.prototypes else _EMBEDDED_ALONE
        self.embedding = nn.Embedding(len(classes), embedded)
        self.norm = nn.LayerNorm(embedded)
        encoder = cnn_encoder if config.encoder == "cnn" else fc_encoder
        self.encoder = encoder(embedded + config.latent_size)
        ansatz = build_circuit_spec(config)
        count = config.sub_generators if config.quantum_stream == "faithful" else SITES
        quantum = min(max(round(FEATURES * config.quantum_fraction), 1), FEATURES - 1)
        self.classical_stream = ClassicalStream(FEATURES - quantum)
        self.quantum_stream = QuantumStream(
            quantum, count, ansatz.num_inputs, ansatz.num_observables, layer_norm=config.angle_norm == "layer"
        )
        skips, size = config.prototypes and config.prototype_skips, config.latent_size
        self.decoder: Style2Decoder | VanillaDecoder
        if config.decoder == "style2":
            batch_norm = config.decoder_norm == "batch"
            self.decoder = Style2Decoder(resolution, size, channels, skips=skips, batch_norm=batch_norm)
        else:
            self.decoder = VanillaDecoder(resolution, size, channels, skips=skips)
        he_initialize(self, generator)
        self.decoder.calm()
        nn.init.normal_(self.embedding.weight, generator=generator)
        if isinstance(self.decoder.skips, PrototypeSkips):
            self.decoder.skips.start()
        self.add_sub_generators(
            ansatz, count, generator, classical_baseline=config.classical_baseline, estimator=estimator
        )
        self.prototypes = (
            Prototypes(len(classes), config.prototype_width, config.latent_size, generator)
            if config.prototypes
            else None
        )

    def check(self, images_NHWC: np.ndarray) -> None:
        """Read the prototypes of the file, if one is named; see the base class."""
        if self.prototypes is not None and self.config.prototype_file is not None:
            self.prototypes.check(read_prototypes(self.config.prototype_file, self.classes))

    def prepare(self, images_NHWC: np.ndarray) -> None:
        """Take the prototypes of the file, if one is named; see the base class."""
        if self.prototypes is not None and self.config.prototype_file is not None:
            self.prototypes.start_from(read_prototypes(self.config.prototype_file, self.classes))

    def sample_latent(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw N(0, 1), a seed of noise and a class (each as likely), shape (count, Z + 2)."""
        normal = torch.randn(count, self.config.latent_size, generator=generator)
        seeds = torch.randint(_NOISE_SEEDS, (count, 1), generator=generator)
        labels = torch.randint(self.num_classes, (count, 1), generator=generator)
        if self._kept:
            # What is drawn stays the same, so that a seed gives the same noise whatever classes are asked for.
            labels = torch.tensor(self._kept)[seeds % len(self._kept)]
        return torch.cat([normal, seeds.float(), labels.float()], dim=1)

    def set_class(self, *labels: int) -> None:
        """From now on draw latents of some classes only, each as likely."""
        self._kept = labels

    def with_labels(self, z_BZ: Tensor, labels_B: Tensor) -> Tensor:
        """Return the same latents with other classes."""
        return torch.cat([z_BZ[:, :-1], labels_B[:, None].to(z_BZ)], dim=1)

    def labels(self, z_BZ: Tensor) -> Tensor:
        """Return the classes of latents, int64 (B,)."""
        return z_BZ[:, -1].round().long()

    def forward(self, z_BZ: Tensor) -> Tensor:
        """Return images (B, C, H, W) in [-1, 1]."""
        labels_B = self.labels(z_BZ)
        normal_BZ, prototypes_BZ = z_BZ[:, : self.config.latent_size], None
        if self.prototypes is not None:
            prototypes_BZ = self.prototypes.middles()[labels_B]
            normal_BZ = prototypes_BZ + self.prototypes.scales()[labels_B, None] * normal_BZ
        condition = torch.cat([self.norm(self.embedding(labels_B)), normal_BZ], dim=1)
        features = self.encoder(condition[:, :, None, None])
        outputs_BPO = self.expectations(self.quantum_stream.angles(features))
        streams = [self.classical_stream(features), self.quantum_stream(outputs_BPO.to(features.dtype))]
        noise_BN = _noise(z_BZ[:, -2], self.decoder.noise_size).to(z_BZ.device)
        return self.decoder(torch.cat(streams, dim=1), prototypes_BZ, noise_BN).float()

    def discriminator_inputs(self, real_BCHW: Tensor, z_BZ: Tensor) -> DiscriminatorBatch:
        """Return real and generated images of the same classes, and what keeps prototypes apart."""
        regularizer = None if self.prototypes is None else APART_WEIGHT * self.prototypes.crowding()
        return DiscriminatorBatch(real_BCHW, self(z_BZ), regularizer=regularizer, labels_B=self.labels(z_BZ))


def _noise(seeds_B: Tensor, size: int) -> Tensor:
    """Return normal numbers (B, size), each row a function of its seed alone."""
    if not size:
        return torch.zeros(len(seeds_B), 0)
    rows = [torch.randn(size, generator=torch.Generator().manual_seed(int(seed))) for seed in seeds_B.round().tolist()]
    return torch.stack(rows)
