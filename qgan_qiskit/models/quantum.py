"""What the quantum models share: sub-generators, or their classical twin, driven by uniform noise.

Shape letters: B batch · P sub-generators · Q inputs · O observables.
"""

from __future__ import annotations

from abc import ABC

import torch
from qiskit.primitives import BaseEstimatorV2
from torch import Tensor, nn

from qgan_qiskit.circuits import Ansatz
from qgan_qiskit.models.noise import LOW
from qgan_qiskit.models.pair import Generator
from qgan_qiskit.models.twin import ClassicalTwin
from qgan_qiskit.qnn import SubGenerators


class QuantumGenerator(Generator, ABC):
    """A generator with a quantum part.

    Attributes:
        sub_generators: the quantum part, or its classical twin; (B, P, Q) radians to (B, P, O).
        angles_shape: (P, Q).
        noise_high: upper end of the noise in radians, a scalar; with adaptive noise the range that training has reached.
    """

    sub_generators: nn.Module
    angles_shape: tuple[int, int]
    noise_high: Tensor

    def __init__(self, noise_high: float, *, adaptive: bool = False) -> None:
        """Set the range of the noise.

        Args:
            noise_high: upper end of the noise in radians.
            adaptive: start at the narrow end of MosaiQ's range instead, and be told others while training.
        """
        super().__init__()
        if adaptive:
            # It moves while training, so it is saved and averaged with the weights.
            self.register_buffer("noise_high", torch.tensor(LOW))
        else:
            self.noise_high = torch.tensor(noise_high)

    def add_sub_generators(
        self,
        ansatz: Ansatz,
        count: int,
        generator: torch.Generator,
        *,
        twin: bool,
        estimator: BaseEstimatorV2 | None,
        bounded: bool = True,
    ) -> None:
        """Make the quantum part or its twin.

        Args:
            ansatz: the circuit.
            count: P.
            generator: source of the initial weights.
            twin: make the twin.
            estimator: what evaluates the circuits; None for the exact simulator.
            bounded: whether the twin's outputs are kept in [-1, 1].
        """
        self.angles_shape = (count, ansatz.num_inputs)
        if twin:
            self.sub_generators = ClassicalTwin(
                ansatz.num_inputs, ansatz.num_observables, ansatz.num_weights, count, generator, bounded=bounded
            )
        else:
            self.sub_generators = SubGenerators(ansatz, count, estimator, generator=generator)

    def uniform_noise(self, count: int, size: int, generator: torch.Generator) -> Tensor:
        """Draw from U[0, noise_high) radians, shape (count, size)."""
        return torch.rand(count, size, generator=generator) * self.noise_high.item()

    def expectations(self, angles_BPQ: Tensor) -> Tensor:
        """Return what the quantum part makes of angles in radians, shape (B, P, O)."""
        # The circuits compute in single precision, also where the networks around them run in bfloat16.
        with torch.autocast(angles_BPQ.device.type, enabled=False):
            return self.sub_generators(angles_BPQ.float())

    def set_noise_high(self, radians: float) -> None:
        """Take the upper end of the noise that the adaptive range has moved to."""
        self.noise_high.fill_(radians)

    def quantum_parameters(self) -> list[nn.Parameter]:
        """Return the weights of the sub-generators (or of their twin, trained in the same group)."""
        return list(self.sub_generators.parameters())
