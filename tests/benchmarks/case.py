"""What every simulator is given: P circuits of one form with their weights, a batch of angles, and cotangents.

Shape letters: B batch · P circuits (sub-generators) · Q qubits, one input each · O observables, one per qubit · K weights of
one circuit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from qgan_qiskit.circuits import CircuitSpec, hybridq_ansatz
from qgan_qiskit.rng import seeded_generator


@dataclass(frozen=True)
class Form:
    """A circuit: encoding, ``layers`` times [RY on each qubit, ladder of two-qubit gates], one observable per qubit."""

    qubits: int
    layers: int
    encoding: str = "ry"
    entangler: str = "cx"
    readout: str = "z"

    def ansatz(self) -> CircuitSpec:
        """Return the circuit in Qiskit."""
        return hybridq_ansatz(
            self.qubits, self.layers, encoding=self.encoding, entangler=self.entangler, readout=self.readout
        )


@dataclass(frozen=True)
class Case:
    """One step: expectations of all circuits for all images, and the gradient of their product with the cotangents."""

    form: Form
    angles_BPQ: Tensor
    weights_PK: Tensor
    cotangents_BPO: Tensor

    @property
    def batch(self) -> int:
        """Images of the step."""
        return self.angles_BPQ.shape[0]

    @property
    def circuits(self) -> int:
        """Circuits of the step."""
        return self.angles_BPQ.shape[1]

    def part(self, images: int | None, circuits: int | None) -> Case:
        """Return the step of the first images and circuits alone (None for all): what slow simulators measure."""
        return replace(
            self,
            angles_BPQ=self.angles_BPQ[:images, :circuits],
            weights_PK=self.weights_PK[:circuits],
            cotangents_BPO=self.cotangents_BPO[:images, :circuits],
        )

    def double(self) -> Case:
        """Return the same numbers in double precision."""
        return replace(
            self,
            angles_BPQ=self.angles_BPQ.double(),
            weights_PK=self.weights_PK.double(),
            cotangents_BPO=self.cotangents_BPO.double(),
        )


def make_case(form: Form, circuits: int, batch: int) -> Case:
    """Draw a step in single precision: angles in [0, pi), weights in [-pi, pi), normal cotangents; the same every time."""
    shape = (batch, circuits, form.qubits)
    return Case(
        form,
        angles_BPQ=torch.rand(shape, generator=seeded_generator(1)) * math.pi,
        weights_PK=(torch.rand(circuits, form.layers * form.qubits, generator=seeded_generator(0)) * 2 - 1) * math.pi,
        cotangents_BPO=torch.randn(shape, generator=seeded_generator(2)),
    )
