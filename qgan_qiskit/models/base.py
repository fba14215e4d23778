"""What a model hands to training at each step, and what every generator can do.

Shape letters: B batch · N real images · Z latent size · C H W image.

What the quantum models share: sub-generators, or their classical baseline, driven by uniform noise.

Shape letters: B batch · P sub-generators · Q inputs · O observables.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
from qiskit.primitives import BaseEstimatorV2
from torch import Tensor, nn

from qgan_qiskit.circuits import CircuitSpec
from qgan_qiskit.models.classical_baseline import MatchedClassicalBlock
from qgan_qiskit.models.layers import LOW
from qgan_qiskit.qnn import SubGenerators


@dataclass(frozen=True)
class DiscriminatorBatch:
    """What the discriminator is to tell apart at one step.

    Attributes:
        real: real samples, images (B, C, H, W) or vectors (B, anything), without gradient.
        fake: generated samples of the same shape, with gradient to the generator.
        reconstruction: mean squared error of a reconstruction that the generator also minimizes, or None.
        regularizer: anything else that it minimizes, weighted already, or None.
        labels_B: classes of the real and of the generated samples, which a conditional discriminator is told; or None.
    """

    real: Tensor
    fake: Tensor
    reconstruction: Tensor | None = None
    regularizer: Tensor | None = None
    labels_B: Tensor | None = None


class Generator(nn.Module, ABC):
    """A map from latent vectors to images, with the noise it is meant for.

    Attributes:
        latent_size: Z, the length of a latent vector.
        num_classes: classes that a conditional generator can be asked for; 0 for one without classes.
    """

    latent_size: int
    num_classes: int = 0

    def check(self, images_NHWC: np.ndarray) -> None:
        """Refuse what :meth:`prepare` could not use, before a run folder is made; quick, and changes nothing.

        Args:
            images_NHWC: as for :meth:`prepare`.

        Raises:
            DataError: the images do not suffice, or a file cannot be used.
        """

    def prepare(self, images_NHWC: np.ndarray) -> None:
        """Take from the real images what the model fixes before training; by default nothing.

        Called once for a new run, before the optimizers and the average are made; what is taken lies in buffers, so a run
        that goes on finds it in its checkpoint.

        Args:
            images_NHWC: all training images, uint8 (N, H, W, 3), not changed; may be a memory map. A gray model looks at
                the first channel.

        Raises:
            DataError: the images do not suffice.
        """

    @abstractmethod
    def sample_latent(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw latent vectors, shape (count, Z).

        Args:
            count: number of vectors.
            generator: source of randomness (on the processor, so that a seed means the same everywhere).
        """

    @abstractmethod
    def forward(self, z_BZ: Tensor) -> Tensor:
        """Return images (B, C, H, W), float32 in [-1, 1]."""

    def discriminator_inputs(self, real_BCHW: Tensor, z_BZ: Tensor) -> DiscriminatorBatch:
        """Return what the discriminator compares at one step; by default real images and generated ones."""
        return DiscriminatorBatch(real_BCHW, self(z_BZ))

    def set_class(self, *labels: int) -> None:
        """From now on draw latents of some classes only, each as likely; only conditional models have any."""
        raise NotImplementedError(f"{type(self).__name__} makes images of one class")

    def labels(self, z_BZ: Tensor) -> Tensor:
        """Return the classes of latents, int64 (B,); only conditional models have any."""
        raise NotImplementedError(f"{type(self).__name__} makes images of one class")

    def with_labels(self, z_BZ: Tensor, labels_B: Tensor) -> Tensor:
        """Return the same latents with other classes; only conditional models have any."""
        raise NotImplementedError(f"{type(self).__name__} makes images of one class")

    def set_latent_high(self, radians: float) -> None:
        """Take a new upper end of the noise; only models with an adaptive range are told one."""
        raise NotImplementedError(f"{type(self).__name__} has no adaptive noise range")

    def quantum_parameters(self) -> list[nn.Parameter]:
        """Return the weights that the quantum optimizer group trains; none by default."""
        return []


class QuantumGenerator(Generator, ABC):
    """A generator with a quantum part.

    Attributes:
        sub_generators: the quantum part, or its classical baseline; (B, P, Q) radians to (B, P, O).
        angles_shape: (P, Q).
        latent_high: upper end of the noise in radians, a scalar; with adaptive noise the range that training has reached.
    """

    sub_generators: nn.Module
    angles_shape: tuple[int, int]
    latent_high: Tensor

    def __init__(self, latent_high: float, *, adaptive: bool = False) -> None:
        """Set the range of the noise.

        Args:
            latent_high: upper end of the noise in radians.
            adaptive: start at the narrow end of MosaiQ's range instead, and be told others while training.
        """
        super().__init__()
        if adaptive:
            # It moves while training, so it is saved and averaged with the weights.
            self.register_buffer("latent_high", torch.tensor(LOW))
        else:
            self.latent_high = torch.tensor(latent_high)

    def add_sub_generators(
        self,
        ansatz: CircuitSpec,
        count: int,
        generator: torch.Generator,
        *,
        classical_baseline: bool,
        estimator: BaseEstimatorV2 | None,
        bounded: bool = True,
    ) -> None:
        """Make the quantum part or its classical baseline.

        Args:
            ansatz: the circuit.
            count: P.
            generator: source of the initial weights.
            classical_baseline: make the classical baseline instead of circuits.
            estimator: what evaluates the circuits; None for the exact simulator.
            bounded: whether the classical baseline's outputs are kept in [-1, 1].
        """
        self.angles_shape = (count, ansatz.num_inputs)
        if classical_baseline:
            self.sub_generators = MatchedClassicalBlock(
                ansatz.num_inputs, ansatz.num_observables, ansatz.num_weights, count, generator, bounded=bounded
            )
        else:
            self.sub_generators = SubGenerators(ansatz, count, estimator, generator=generator)

    def uniform_latent(self, count: int, size: int, generator: torch.Generator) -> Tensor:
        """Draw from U[0, latent_high) radians, shape (count, size)."""
        return torch.rand(count, size, generator=generator) * self.latent_high.item()

    def expectations(self, angles_BPQ: Tensor) -> Tensor:
        """Return what the quantum part makes of angles in radians, shape (B, P, O)."""
        # The circuits compute in single precision, also where the networks around them run in bfloat16.
        with torch.autocast(angles_BPQ.device.type, enabled=False):
            return self.sub_generators(angles_BPQ.float())

    def set_latent_high(self, radians: float) -> None:
        """Take the upper end of the noise that the adaptive range has moved to."""
        self.latent_high.fill_(radians)

    def quantum_parameters(self) -> list[nn.Parameter]:
        """Return the weights of the sub-generators (or of their classical baseline, trained in the same group)."""
        return list(self.sub_generators.parameters())
