"""What an engine is: a compiled circuit with observables, in a precision, that turns angles into expectations.

Shape letters: P instances (sub-generators, or bindings) · B batch · Q inputs · K weights · O observables.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from qgan_qiskit import memory
from qgan_qiskit.errors import UsageError


class Engine(ABC):
    """Angles in, expectations out, differentiable in both inputs and weights.

    Attributes:
        num_inputs: Q of the circuit it was compiled for; :func:`qgan_qiskit.simulation.engine_cache.engine_for` sets it,
        num_weights: and K.
    """

    num_inputs: int
    num_weights: int

    def __init__(self, num_qubits: int, real: bool, dtype: torch.dtype, device: torch.device) -> None:
        """Remember what is common to all engines.

        Args:
            num_qubits: qubits of the register.
            real: whether all amplitudes are real.
            dtype: ``torch.float32`` or ``torch.float64``; complex amplitudes are pairs of these.
            device: where to compute.
        """
        self.num_qubits, self.real, self.dtype, self.device = num_qubits, real, dtype, device

    def expectations(self, inputs_BPQ: Tensor, weights_PK: Tensor | Sequence[Tensor]) -> Tensor:
        """Return the expectation of every observable, shape (B, P, O), in the engine's dtype.

        Args:
            inputs_BPQ: input angles in radians, in the engine's dtype; Q may be 0.
            weights_PK: weight angles in radians, in the engine's dtype; one tensor, or one of shape (K,) per instance.

        Raises:
            UsageError: angles of another shape, dtype, device or kind; the message states what is expected.
            MemoryNeededError: there is not enough memory; the message states the bytes needed.
        """
        tensors = (weights_PK,) if isinstance(weights_PK, Tensor) else tuple(weights_PK)
        self._check(inputs_BPQ, tensors)
        batch, instances = inputs_BPQ.shape[:2]
        gradient = wants_gradient(inputs_BPQ, *tensors)
        if gradient:
            inputs_BPQ, *others = map(_recordable, (inputs_BPQ, *tensors))
            tensors = tuple(others)
        needed = self.bytes_needed(instances, batch, gradient)
        memory.require(
            needed, f"simulating {self.num_qubits} qubits for {batch} images x {instances} circuits", self.device
        )
        return self._expectations(inputs_BPQ, tensors)

    def _check(self, inputs_BPQ: Tensor, weights: tuple[Tensor, ...]) -> None:
        for number, tensor in enumerate((inputs_BPQ, *weights)):
            check_angles(tensor, "weights" if number else "inputs")
        inputs, found = tuple(inputs_BPQ.shape), [tuple(tensor.shape) for tensor in weights]
        if len(found) == 1 and len(found[0]) == 2:
            instances, fits = found[0][0], found[0][1] == self.num_weights
        else:
            instances, fits = len(found), all(shape == (self.num_weights,) for shape in found)
        if not fits or len(inputs) != 3 or inputs[1:] != (instances, self.num_inputs):
            told = found[0] if len(found) == 1 else found
            raise UsageError(
                f"inputs have shape {inputs} and weights {told}, "
                f"expected (B, P, {self.num_inputs}) and (P, {self.num_weights})"
            )
        if any(tensor.dtype != self.dtype for tensor in (inputs_BPQ, *weights)):
            types = sorted({str(tensor.dtype) for tensor in weights})
            raise UsageError(
                f"inputs are {inputs_BPQ.dtype} and weights {', '.join(types)}, expected {self.dtype} as compiled"
            )
        places = {tensor.device for tensor in (inputs_BPQ, *weights)}
        if places != {self.device}:
            raise UsageError(
                f"angles are on {', '.join(sorted(map(str, places)))}, expected {self.device} as compiled: move them with .to()"
            )

    def instances_within(self, size: int, gradient: bool) -> int:
        """Return how many instances of one image to evaluate at a time, so that they take about ``size`` bytes."""
        return max(1, size * 64 // self.bytes_needed(64, 1, gradient))

    @abstractmethod
    def bytes_needed(self, instances: int, batch: int, gradient: bool) -> int:
        """Return the memory that :meth:`expectations`, and its backward if ``gradient``, take at most, in bytes."""

    @abstractmethod
    def _expectations(self, inputs_BPQ: Tensor, weights: tuple[Tensor, ...]) -> Tensor:
        """Do it, with weights as one tensor (P, K) or as P of shape (K,)."""


def check_angles(angles: object, name: str) -> None:
    """Do nothing if angles are an ordinary tensor of real numbers.

    Args:
        angles: from a user.
        name: what the message calls them.

    Raises:
        UsageError: they are no tensor, integers, complex, quantized, sparse, of a subclass, or without numbers (meta).
    """
    if not isinstance(angles, Tensor):
        raise UsageError(f"{name} are of type {type(angles).__name__}: a torch.Tensor is needed")
    if type(angles) not in (Tensor, torch.nn.Parameter):
        raise UsageError(
            f"{name} are of type {type(angles).__name__}, a subclass of torch.Tensor: use .as_subclass(torch.Tensor)"
        )
    if angles.layout != torch.strided:
        raise UsageError(f"{name} are laid out as {angles.layout}: use .to_dense()")
    if angles.dtype not in _REAL:
        raise UsageError(f"{name} are {angles.dtype}, and angles are real numbers in radians: use .float()")
    if angles.is_meta:
        raise UsageError(f"{name} are on the device meta, which keeps no numbers: move them to a device that does")


# What angles may come in; the narrow ones are cast by whoever chooses an engine.
_REAL = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def wants_gradient(*tensors: Tensor) -> bool:
    """Say whether torch will want to go back to one of these."""
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)


def _recordable(tensor: Tensor) -> Tensor:
    """Copy what was made in inference mode: torch does not keep such a tensor for backward."""
    return tensor.clone() if tensor.is_inference() and not torch.is_inference_mode_enabled() else tensor
