"""The interface of all engines, and their place in torch's autograd.

An engine is a compiled circuit with observables, in a precision and on a device, that turns angles into expectations. It
checks what it is given, and is differentiated once: a second derivative or forward mode is an error, never zeros.

Shape letters: P instances (sub-generators, or bindings) · B batch · Q inputs · K weights · O observables.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import torch
from torch import Tensor

from qgan_qiskit.errors import UsageError
from qgan_qiskit.memory import check_available_memory

# Types that angles may have; narrow ones are cast before they come to an engine.
_REAL_TYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


class Engine(ABC):
    """Angles in, expectations out, differentiable by inputs and weights.

    Attributes:
        num_inputs: Q of the circuit it was compiled for; :func:`qgan_qiskit.simulation.engine_cache.engine_for` sets it.
        num_weights: K, likewise.
    """

    num_inputs: int
    num_weights: int

    def __init__(self, num_qubits: int, real: bool, dtype: torch.dtype, device: torch.device) -> None:
        """Store what all engines have.

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
        weights = (weights_PK,) if isinstance(weights_PK, Tensor) else tuple(weights_PK)
        if not self._accepts(inputs_BPQ, weights):
            self._raise_usage_error(inputs_BPQ, weights)
        batch, instances, _ = inputs_BPQ.shape
        gradient = needs_gradient(inputs_BPQ, *weights)
        if gradient and not torch.is_inference_mode_enabled():
            # Torch does not save tensors that were made in inference mode for backward: copy them.
            inputs_BPQ, *copies = (t.clone() if t.is_inference() else t for t in (inputs_BPQ, *weights))
            weights = tuple(copies)
        needed = self.bytes_needed(instances, batch, gradient)
        check_available_memory(
            needed, f"simulating {self.num_qubits} qubits for {batch} images x {instances} circuits", self.device
        )
        return self._expectations(inputs_BPQ, weights)

    def _accepts(self, inputs_BPQ: Tensor, weights: tuple[Tensor, ...]) -> bool:
        """Return whether angles are as they should be. Called at every step, so it only says whether."""
        tensors = (inputs_BPQ, *weights)
        if not all(
            type(t) in (Tensor, torch.nn.Parameter)
            and t.dtype is self.dtype
            and t.layout is torch.strided
            and t.device == self.device
            for t in tensors
        ):
            return False
        if len(weights) == 1 and weights[0].dim() == 2:
            instances, num_weights = weights[0].shape
            fits = num_weights == self.num_weights
        else:
            instances, expected = len(weights), (self.num_weights,)
            fits = all(t.shape == expected for t in weights)
        return fits and inputs_BPQ.dim() == 3 and inputs_BPQ.shape[1:] == (instances, self.num_inputs)

    def _raise_usage_error(self, inputs_BPQ: Tensor, weights: tuple[Tensor, ...]) -> NoReturn:
        """Say what :meth:`_accepts` did not like."""
        for number, tensor in enumerate((inputs_BPQ, *weights)):
            check_angles(tensor, "weights" if number else "inputs")
        shapes = [tuple(tensor.shape) for tensor in weights]
        types = sorted({str(tensor.dtype) for tensor in weights})
        devices = sorted({str(tensor.device) for tensor in (inputs_BPQ, *weights)})
        if any(tensor.dtype != self.dtype for tensor in (inputs_BPQ, *weights)):
            raise UsageError(f"inputs are {inputs_BPQ.dtype} and weights {', '.join(types)}, expected {self.dtype}")
        if devices != [str(self.device)]:
            raise UsageError(f"angles are on {', '.join(devices)}, expected {self.device}: move them with .to()")
        raise UsageError(
            f"inputs have shape {tuple(inputs_BPQ.shape)} and weights {shapes[0] if len(shapes) == 1 else shapes}, "
            f"expected (B, P, {self.num_inputs}) and (P, {self.num_weights})"
        )

    def instances_within(self, size: int, gradient: bool) -> int:
        """Return how many instances of one image can be evaluated at a time in about ``size`` bytes, at least 1."""
        return max(1, size * 64 // self.bytes_needed(64, 1, gradient))

    @abstractmethod
    def bytes_needed(self, instances: int, batch: int, gradient: bool) -> int:
        """Return the memory that :meth:`expectations`, and its backward if ``gradient``, take at most, in bytes."""

    @abstractmethod
    def _expectations(self, inputs_BPQ: Tensor, weights: tuple[Tensor, ...]) -> Tensor:
        """Evaluate checked angles, with weights as one tensor (P, K) or as P tensors (K,)."""


@dataclass(eq=False)
class Evaluation:
    """One forward pass and what it leaves for backward.

    Attributes:
        needs_backward: whether a backward is expected.
        saved: of the engine's own type; None where nothing was saved, or another backward used it up.
    """

    needs_backward: bool
    saved: Any = None


class DifferentiableEngine(Engine):
    """An engine that brings its own derivative."""

    def _expectations(self, inputs_BPQ: Tensor, weights: tuple[Tensor, ...]) -> Tensor:
        function = (
            _TransformableExpectationFunction if torch._C._are_functorch_transforms_active() else _ExpectationFunction
        )
        return function.apply(self, Evaluation(needs_gradient(inputs_BPQ, *weights)), inputs_BPQ, *weights)

    @abstractmethod
    def evaluate(self, evaluation: Evaluation, inputs_BPQ: Tensor, weights: tuple[Tensor, ...]) -> Tensor:
        """Return expectations (B, P, O); called while torch records nothing."""

    @abstractmethod
    def pullback(
        self,
        evaluation: Evaluation,
        needed: tuple[bool, ...],
        cotangent_BPO: Tensor,
        inputs_BPQ: Tensor,
        weights: tuple[Tensor, ...],
    ) -> tuple[Tensor, ...]:
        """Return the gradients by the inputs and by each tensor of weights, only those that are needed."""


def needs_gradient(*tensors: Tensor) -> bool:
    """Return whether torch records operations on one of these."""
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)


def check_angles(angles: object, name: str) -> None:
    """Check that angles from a user are an ordinary tensor of real numbers.

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
        raise UsageError(f"{name} have the layout {angles.layout}: use .to_dense()")
    if angles.dtype not in _REAL_TYPES:
        raise UsageError(f"{name} are {angles.dtype}, and angles are real numbers in radians: use .float()")
    if angles.is_meta:
        raise UsageError(f"{name} are on the device meta, which stores no numbers: move them to a device that does")


class _ExpectationFunction(torch.autograd.Function):
    """``_ExpectationFunction.apply(engine, evaluation, inputs_BPQ, *weights) -> expectations_BPO``."""

    @staticmethod
    def forward(ctx: Any, engine: DifferentiableEngine, evaluation: Evaluation, *angles: Tensor) -> Tensor:
        # The angles are saved through torch: a derivative of the gradient then leads to _PullbackFunction, an error.
        ctx.engine, ctx.evaluation = engine, evaluation
        ctx.save_for_backward(*angles)
        return engine.evaluate(evaluation, angles[0], angles[1:])

    @staticmethod
    def backward(ctx: Any, cotangent_BPO: Tensor) -> tuple[Tensor | None, ...]:
        needed = tuple(ctx.needs_input_grad[2:])
        angles = ctx.saved_tensors
        if torch._C._functorch.is_legacy_batchedtensor(cotangent_BPO):
            raise UsageError(
                "circuits do not take is_grads_batched=True or vectorize=True of torch.autograd: use torch.func.jacrev"
            )
        if torch.is_grad_enabled() or torch._C._are_functorch_transforms_active() or ctx.evaluation.saved is None:
            gradients = _PullbackFunction.apply(ctx.engine, ctx.evaluation, needed, cotangent_BPO, *angles)
        else:
            # A step of training: nobody differentiates these again, nor maps over them, so torch need not see them.
            gradients = ctx.engine.pullback(ctx.evaluation, needed, cotangent_BPO, angles[0], angles[1:])
        found = iter(gradients)
        return None, None, *(next(found) if need else None for need in needed)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> NoReturn:
        raise UsageError(
            "circuits are not differentiated in forward mode here: use reverse mode (backward, torch.func.vjp, jacrev)"
        )


class _TransformableExpectationFunction(_ExpectationFunction):
    """The same for ``torch.func``, which wants a context of its own; torch needs 0.05 ms longer to call it."""

    @staticmethod
    def forward(engine: DifferentiableEngine, evaluation: Evaluation, *angles: Tensor) -> Tensor:  # type: ignore[override]
        return engine.evaluate(evaluation, angles[0], angles[1:])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.engine, ctx.evaluation, *angles = inputs
        ctx.save_for_backward(*angles)

    @staticmethod
    def vmap(
        info: Any,
        in_dims: tuple[int | None, ...],
        engine: DifferentiableEngine,
        evaluation: Evaluation,
        *angles: Tensor,
    ) -> tuple[Tensor, int]:
        parts = [
            _TransformableExpectationFunction.apply(
                engine, Evaluation(evaluation.needs_backward), *_select(angles, in_dims[2:], number)
            )
            for number in range(info.batch_size)
        ]
        return torch.stack(parts), 0


class _PullbackFunction(torch.autograd.Function):
    """``_PullbackFunction.apply(engine, evaluation, needed, cotangent_BPO, inputs_BPQ, *weights) -> gradients`` needed."""

    @staticmethod
    def forward(
        engine: DifferentiableEngine,
        evaluation: Evaluation,
        needed: tuple[bool, ...],
        cotangent_BPO: Tensor,
        *angles: Tensor,
    ) -> tuple[Tensor, ...]:
        return engine.pullback(evaluation, needed, cotangent_BPO, angles[0], angles[1:])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        """Save nothing: there is no second derivative."""

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> NoReturn:
        _raise_second_derivative()

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> NoReturn:
        _raise_second_derivative()

    @staticmethod
    def vmap(
        info: Any,
        in_dims: tuple[int | None, ...],
        engine: DifferentiableEngine,
        evaluation: Evaluation,
        needed: tuple[bool, ...],
        *tensors: Tensor,
    ) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        # Each without what was saved, which may belong to other angles.
        parts = [
            _PullbackFunction.apply(
                engine, Evaluation(needs_backward=False), needed, *_select(tensors, in_dims[3:], number)
            )
            for number in range(info.batch_size)
        ]
        stacked = tuple(torch.stack(members) for members in zip(*parts, strict=True))
        return stacked, (0,) * len(stacked)


class DifferentiatedOnce(torch.autograd.Function):
    """``DifferentiatedOnce.apply(values) -> values``, whose gradient cannot be differentiated again.

    For functions whose backward torch does not see into, such as a ``TorchConnector``'s: torch would take their gradient for
    a constant under ``create_graph``, and a penalty on it would be lost.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        """Return the values."""
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:
        """Return the cotangent; refuse where torch records gradients, which it does to differentiate them."""
        if torch.is_grad_enabled():
            _raise_second_derivative()
        return cotangent

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> NoReturn:
        """Refuse a second derivative."""
        _raise_second_derivative()


def refuse_recorded_backward() -> None:
    """Refuse to be called within a backward whose gradients torch records, to differentiate them again.

    For what torch does not see into, such as the network of a ``TorchConnector``.

    Raises:
        UsageError: it is.
    """
    # Outside of a backward torch records by default, and there is no task.
    if torch.is_grad_enabled() and torch._C._current_graph_task_id() != -1:
        _raise_second_derivative()


def _select(tensors: tuple[Tensor, ...], dims: tuple[int | None, ...], number: int) -> list[Tensor]:
    return [tensor if dim is None else tensor.select(dim, number) for tensor, dim in zip(tensors, dims, strict=True)]


def _raise_second_derivative() -> NoReturn:
    raise UsageError(
        "circuits have no second derivative here: differentiate once, and keep circuits out of gradient penalties and "
        "other losses that contain gradients"
    )
