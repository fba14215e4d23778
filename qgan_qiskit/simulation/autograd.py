"""Expectations as a function that torch differentiates once, for every engine; a second derivative is an error, never zeros.

Shape letters: P instances · B batch · Q inputs · K weights · O observables.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

import torch
from torch import Tensor

from qgan_qiskit.errors import UsageError


@dataclass(eq=False)
class Call:
    """What forward leaves behind for backward.

    Attributes:
        keeps: whether a backward is expected.
        kept: what forward left, as the engine likes it; None where nothing was left, or another backward used it up.
    """

    keeps: bool
    kept: Any = None


class Differentiable(Protocol):
    """What an engine does on plain tensors, without gradients being recorded."""

    def evaluate(self, call: Call, inputs_BPQ: Tensor, weights: tuple[Tensor, ...]) -> Tensor:
        """Return expectations (B, P, O)."""

    def pullback(
        self,
        call: Call,
        needed: tuple[bool, ...],
        cotangent_BPO: Tensor,
        inputs_BPQ: Tensor,
        weights: tuple[Tensor, ...],
    ) -> tuple[Tensor, ...]:
        """Return the gradients by the inputs and by each tensor of weights, only those that are needed."""


class Expectations(torch.autograd.Function):
    """``Expectations.apply(engine, call, inputs_BPQ, *weights) -> expectations_BPO``; ``torch.func`` may be around it."""

    @staticmethod
    def forward(engine: Differentiable, call: Call, inputs_BPQ: Tensor, *weights: Tensor) -> Tensor:
        """Let the engine evaluate."""
        return engine.evaluate(call, inputs_BPQ, weights)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Keep the angles through torch: a derivative of the gradient then leads to :class:`Pullback`, which refuses."""
        ctx.engine, ctx.call, *angles = inputs
        ctx.save_for_backward(*angles)

    @staticmethod
    def backward(ctx: Any, cotangent_BPO: Tensor) -> tuple[Tensor | None, ...]:
        """Let the engine go back."""
        needed = tuple(ctx.needs_input_grad[2:])
        angles = ctx.saved_tensors
        if torch._C._functorch.is_legacy_batchedtensor(cotangent_BPO):
            raise UsageError(
                "circuits do not take is_grads_batched=True or vectorize=True of torch.autograd: use torch.func.jacrev"
            )
        if torch.is_grad_enabled() or torch._C._are_functorch_transforms_active() or ctx.call.kept is None:
            gradients = Pullback.apply(ctx.engine, ctx.call, needed, cotangent_BPO, *angles)
        else:
            # Nobody will differentiate these, nor map over them: a step of training need not pass through torch again.
            gradients = ctx.engine.pullback(ctx.call, needed, cotangent_BPO, angles[0], angles[1:])
        found = iter(gradients)
        return None, None, *(next(found) if need else None for need in needed)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> NoReturn:
        """Refuse."""
        raise UsageError(
            "circuits are not differentiated in forward mode here: use reverse mode (backward, torch.func.vjp, jacrev)"
        )

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], engine: Differentiable, call: Call, *angles: Tensor
    ) -> tuple[Tensor, int]:
        """Evaluate one after the other: right for whatever is mapped over."""
        parts = [
            Expectations.apply(engine, Call(call.keeps), *_members(angles, in_dims[2:], number))
            for number in range(info.batch_size)
        ]
        return torch.stack(parts), 0


class Pullback(torch.autograd.Function):
    """``Pullback.apply(engine, call, needed, cotangent_BPO, inputs_BPQ, *weights) -> gradients``, only those needed."""

    @staticmethod
    def forward(
        engine: Differentiable,
        call: Call,
        needed: tuple[bool, ...],
        cotangent_BPO: Tensor,
        inputs_BPQ: Tensor,
        *weights: Tensor,
    ) -> tuple[Tensor, ...]:
        """Let the engine go back."""
        return engine.pullback(call, needed, cotangent_BPO, inputs_BPQ, weights)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        """Keep nothing: nobody goes further back."""

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> NoReturn:
        """Refuse."""
        _refuse_second()

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> NoReturn:
        """Refuse."""
        _refuse_second()

    @staticmethod
    def vmap(
        info: Any,
        in_dims: tuple[int | None, ...],
        engine: Differentiable,
        call: Call,
        needed: tuple[bool, ...],
        *tensors: Tensor,
    ) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        """Go back one after the other; each begins anew, as the call may belong to other angles."""
        parts = [
            Pullback.apply(engine, Call(keeps=False), needed, *_members(tensors, in_dims[3:], number))
            for number in range(info.batch_size)
        ]
        stacked = tuple(torch.stack(members) for members in zip(*parts, strict=True))
        return stacked, (0,) * len(stacked)


class DifferentiatedOnce(torch.autograd.Function):
    """``DifferentiatedOnce.apply(values) -> values``, the same, whose gradient cannot be differentiated again.

    For functions whose backward torch does not see into, such as a ``TorchConnector``'s: a gradient of theirs with
    ``create_graph`` would count as a constant, and a penalty on it would be lost.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        """Pass on."""
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:
        """Pass on, or refuse: gradients are recorded here only if they shall be differentiated."""
        if torch.is_grad_enabled():
            _refuse_second()
        return cotangent

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> NoReturn:
        """Refuse."""
        _refuse_second()


# Torch binds arguments to this at every call; where it finds none it reads the function anew, in 0.1 ms.
Expectations.forward.__signature__ = inspect.signature(Expectations.forward)  # type: ignore[attr-defined]


def refuse_recorded_backward() -> None:
    """Do nothing, unless this is called within a backward whose gradients torch records to differentiate them again.

    For what torch does not see into, such as the network of a ``TorchConnector``.

    Raises:
        UsageError: it is.
    """
    # Outside of a backward gradients are recorded as a matter of course, and the task has no number.
    if torch.is_grad_enabled() and torch._C._current_graph_task_id() != -1:
        _refuse_second()


def _members(tensors: tuple[Tensor, ...], dims: tuple[int | None, ...], number: int) -> list[Tensor]:
    return [tensor if dim is None else tensor.select(dim, number) for tensor, dim in zip(tensors, dims, strict=True)]


def _refuse_second() -> NoReturn:
    raise UsageError(
        "circuits have no second derivative here: differentiate once, and keep circuits out of gradient penalties and "
        "other losses that contain gradients"
    )
