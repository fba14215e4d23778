"""The interfaces that training and generation use: generators, quantum generators and discriminators.

A quantum generator is ``decode(circuits(encode(z)), z)``, so whoever evaluates the circuits elsewhere calls the two ends.

Shape letters: B batch · N real images · Z latent size · P sub-generators · Q inputs of a circuit · O observables · C H W image.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from qiskit.primitives import BaseEstimatorV2
from torch import Tensor, nn
from torch.func import functional_call

from qgan_qiskit.circuits import CircuitSpec
from qgan_qiskit.models.layers import MatchedClassicalBlock
from qgan_qiskit.qnn import SubGenerators

# MosaiQ's adaptive latent range: its lowest upper end, and how far it widens, in radians.
_LOWEST, _SPAN = math.pi / 8, 5 * math.pi / 8
# A generator loss may underflow to 0; the ratio then is merely large.
_TINY = 1e-30


@dataclass(frozen=True)
class BuildContext:
    """What a model's networks depend on beside its settings.

    Attributes:
        resolution: side of the images in pixels.
        random: source of the initial weights.
        estimator: what evaluates the circuits of a quantum model; None for the exact simulator.
        channels: C, 3 for color or 1 for gray.
        classes: names of the classes, for a conditional model.
    """

    resolution: int
    random: torch.Generator
    estimator: BaseEstimatorV2 | None = None
    channels: int = 3
    classes: tuple[str, ...] = ()


@dataclass(frozen=True)
class DiscriminatorBatch:
    """What the discriminator has to tell apart in one step.

    Attributes:
        real: real samples, images (B, C, H, W) or vectors (B, any size), without gradient.
        fake: generated samples of the same shape, with gradient to the generator.
        reconstruction: mean squared error of a reconstruction that the generator also minimizes, or None.
        regularizer: any other term that it minimizes, already weighted, or None.
        labels_B: classes of the real and of the generated samples, which a conditional discriminator is given; or None.
    """

    real: Tensor
    fake: Tensor
    reconstruction: Tensor | None = None
    regularizer: Tensor | None = None
    labels_B: Tensor | None = None


@dataclass
class AdaptiveLatentRange:
    """MosaiQ's range of the uniform latents (arXiv 2308.11096): wider while the discriminator loses to the generator.

    The upper end is ``pi/8 + 5pi/8 * max(0, tanh(R - R0))`` with R = discriminator loss / generator loss.

    Attributes:
        high: current upper end in radians, from pi/8 to 3pi/4.
        first_ratio: R0, the ratio after the first step; None before it.
    """

    high: float = _LOWEST
    first_ratio: float | None = None

    def update(self, discriminator_loss: float, generator_loss: float) -> float:
        """Take the losses (binary cross-entropies, >= 0) of a step and return the new upper end in radians."""
        ratio = discriminator_loss / max(generator_loss, _TINY)
        if self.first_ratio is None:
            self.first_ratio = ratio
        self.high = _LOWEST + _SPAN * max(0.0, math.tanh(ratio - self.first_ratio))
        return self.high


class Discriminator(nn.Module):
    """A map from samples, and their classes if it is conditional, to logits (B,): positive for real.

    Attributes:
        provides_prototypes: whether ``features`` of a trained one can serve as class prototypes.
    """

    provides_prototypes: ClassVar[bool] = False

    def quantum_parameters(self) -> list[nn.Parameter]:
        """Return the weights that the quantum optimizer group trains; none by default."""
        return []

    def features(self, images_BCHW: Tensor) -> Tensor:
        """Return image features (B, F), where the discriminator has a feature extractor."""
        raise NotImplementedError(f"{type(self).__name__} has no feature extractor")


class Generator(nn.Module, ABC):
    """A map from latent vectors to images, with the distribution of its latents.

    Attributes:
        latent_size: Z, the length of a latent vector.
        num_classes: classes that a conditional generator can be asked for; 0 for one without classes.
        gather_batch: makes the batch of all training processes from that of one.
    """

    latent_size: int
    num_classes: int = 0
    gather_batch: Callable[[Tensor], Tensor] = staticmethod(lambda local_B: local_B)

    @property
    def quantum(self) -> QuantumGenerator | None:
        """The generator itself if it is built around circuits or their classical baseline, else None."""
        return None

    @property
    def continuous_latent_size(self) -> int:
        """How many of a latent's first numbers the image follows smoothly; the others are discrete choices."""
        return self.latent_size

    @abstractmethod
    def sample_latent(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw latent vectors, shape (count, Z), from a generator on the CPU, so that a seed means the same everywhere."""

    @abstractmethod
    def forward(self, z_BZ: Tensor) -> Tensor:
        """Return images (B, C, H, W), float32 in [-1, 1]."""

    def validate_data(self, images_NHWC: np.ndarray) -> None:
        """Refuse images that :meth:`fit_to_data` could not use, before a run folder is made; quick, changes nothing.

        Raises:
            DataError: the images do not suffice, or a file cannot be used.
        """

    def fit_to_data(self, images_NHWC: np.ndarray) -> None:
        """Fit to the real images what the model fixes before training; by default nothing.

        Called once for a new run, before the optimizers and the average are made. The result is in buffers, so a run that
        resumes finds it in its checkpoint.

        Args:
            images_NHWC: all training images, uint8 (N, H, W, 3), not changed; may be a memory map. A gray model looks at
                the first channel.

        Raises:
            DataError: the images do not suffice.
        """

    def discriminator_inputs(self, real_BCHW: Tensor, z_BZ: Tensor) -> DiscriminatorBatch:
        """Return what the discriminator compares in one step; by default real and generated images."""
        return DiscriminatorBatch(real_BCHW, self(z_BZ))

    def quantum_parameters(self) -> list[nn.Parameter]:
        """Return the weights that the quantum optimizer group trains; none by default."""
        return []

    def set_class(self, *labels: int) -> None:
        """From now on draw latents of some classes only, each equally likely; conditional models only."""
        raise NotImplementedError(f"{type(self).__name__} is not conditional")

    def labels(self, z_BZ: Tensor) -> Tensor:
        """Return the classes of latents, int64 (B,); conditional models only."""
        raise NotImplementedError(f"{type(self).__name__} is not conditional")

    def with_labels(self, z_BZ: Tensor, labels_B: Tensor) -> Tensor:
        """Return the same latents with other classes; conditional models only."""
        raise NotImplementedError(f"{type(self).__name__} is not conditional")

    def set_latent_high(self, radians: float) -> None:
        """Set the upper end of the latent range; models with an adaptive range only."""
        raise NotImplementedError(f"{type(self).__name__} has no adaptive latent range")


class QuantumGenerator(Generator):
    """A generator around circuits, or around their classical baseline: ``decode(circuits(encode(z)), z)``.

    Attributes:
        circuits: the quantum part or its classical baseline, (B, P, Q) radians to (B, P, O).
        angles_shape: (P, Q).
        latent_high: upper end of uniform latents in radians, a scalar; with an adaptive range the one reached in training;
            None for other latents.
    """

    circuits: nn.Module
    angles_shape: tuple[int, int]
    latent_high: Tensor | None

    def __init__(self, latent_high: float | None, *, adaptive: bool = False) -> None:
        """Set the range of the latents; an adaptive one starts at the narrow end of MosaiQ's, and is set while training."""
        super().__init__()
        if adaptive:
            # It moves while training, so it is saved and averaged with the weights.
            self.register_buffer("latent_high", torch.tensor(_LOWEST))
        else:
            self.latent_high = None if latent_high is None else torch.tensor(latent_high)

    @abstractmethod
    def encode(self, z_BZ: Tensor) -> Tensor:
        """Return the circuits' inputs (B, P, Q) in radians."""

    @abstractmethod
    def decode(self, expectations_BPO: Tensor, z_BZ: Tensor) -> Tensor:
        """Return the images (B, C, H, W) in [-1, 1] that the circuits' outputs give; some models also need the latents."""

    def forward(self, z_BZ: Tensor) -> Tensor:
        """Return images (B, C, H, W) in [-1, 1]."""
        return self.decode(self.expectations(self.encode(z_BZ)), z_BZ)

    def expectations(self, angles_BPQ: Tensor) -> Tensor:
        """Return the outputs (B, P, O) of the circuits for angles in radians."""
        # The circuits compute in single precision, also where the networks around them run in bfloat16.
        with torch.autocast(angles_BPQ.device.type, enabled=False):
            return self.circuits(angles_BPQ.float())

    def double_expectations(self, angles_BPQ: Tensor) -> Tensor:
        """Return the same in double precision, whatever precision the weights have."""
        weights = {name: weight.double() for name, weight in self.circuits.named_parameters()}
        return functional_call(self.circuits, weights, (angles_BPQ.double(),))

    @property
    def quantum(self) -> QuantumGenerator:
        """The generator itself."""
        return self

    @property
    def sub_generators(self) -> SubGenerators | None:
        """The circuits; None for a classical baseline."""
        return self.circuits if isinstance(self.circuits, SubGenerators) else None

    def add_circuits(
        self, spec: CircuitSpec, count: int, context: BuildContext, *, quantum: bool, bounded: bool = True
    ) -> None:
        """Create the circuits or their classical baseline; see :func:`build_block`."""
        self.angles_shape = (count, spec.num_inputs)
        self.circuits = build_block(spec, count, context, quantum=quantum, bounded=bounded)

    def quantum_parameters(self) -> list[nn.Parameter]:
        """Return the weights of the circuits (or of their classical baseline, trained in the same group)."""
        return list(self.circuits.parameters())

    def sample_latent(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw z ~ U[0, latent_high) radians, shape (count, Z)."""
        return self.uniform_latent(count, self.latent_size, generator)

    def uniform_latent(self, count: int, size: int, generator: torch.Generator) -> Tensor:
        """Draw from U[0, latent_high) radians, shape (count, size)."""
        assert self.latent_high is not None
        return torch.rand(count, size, generator=generator) * self.latent_high.item()

    def set_latent_high(self, radians: float) -> None:
        """Set the upper end that the adaptive latent range has moved to."""
        assert self.latent_high is not None
        self.latent_high.fill_(radians)


def build_block(
    spec: CircuitSpec, count: int, context: BuildContext, *, quantum: bool, bounded: bool = True
) -> nn.Module:
    """Return P = ``count`` circuits or, if not quantum, the classical block of as many trained numbers.

    Both map (B, P, Q) radians to (B, P, O); the classical block's outputs are in [-1, 1] if bounded.
    """
    if quantum:
        return SubGenerators(spec, count, context.estimator, generator=context.random)
    shape = spec.num_inputs, spec.num_observables, spec.num_weights
    return MatchedClassicalBlock(*shape, count, context.random, bounded=bounded)
