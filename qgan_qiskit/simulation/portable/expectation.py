"""From two halves of a product state to expectations, as one hand-differentiated torch function.

Everything of 2**num_qubits amplitudes lives between the two ends of this function, in reused buffers; what torch's autograd
sees outside is small.

Shape letters: P instances · B batch · O observables · D = 2**num_qubits · U, V amplitudes of the upper and lower half of the
register · F, L the batch before and after the amplitudes (see :mod:`qgan_qiskit.simulation.portable.evolution`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from qgan_qiskit.simulation import scratch
from qgan_qiskit.simulation.portable import evolution
from qgan_qiskit.simulation.portable.evolution import Monomial, Move

# From this many images on, the batch lies last in memory: rows of a cache line or more beat one long vector per image.
_BATCH_LAST = 8
# States on the way forward are kept for backward as long as all of them fit into this; beyond, they are computed again.
PATH_BYTES = 48 << 20


@dataclass(frozen=True, eq=False)
class Plan:
    """What :class:`Expectation` does, apart from the angles.

    Attributes:
        moves: gates after the first layer.
        monomials: the register maps that the moves point to.
        tables: X-mask -> (O, D) table of the observables, in the dtype of the state.
        flips: X-mask -> (D,) the amplitude order ``j ^ mask``.
    """

    moves: tuple[Move, ...]
    monomials: tuple[Monomial, ...]
    tables: dict[int, Tensor]
    flips: dict[int, Tensor]


class Expectation(torch.autograd.Function):
    """``Expectation.apply(plan, upper_PUB, lower_PVB, *tensors) -> expectations_PBO`` (real)."""

    @staticmethod
    def forward(ctx: Any, plan: Plan, upper_PUB: Tensor, lower_PVB: Tensor, *tensors: Tensor) -> Tensor:
        """Prepare, evolve and measure; the final state, and small ones before it, are kept for backward."""
        ctx.path = _empty_path(plan, upper_PUB, lower_PVB) if any(ctx.needs_input_grad) else None
        final, spare = _final_state(plan, upper_PUB, lower_PVB, tensors, ctx.path)
        values_PBO = _measure(plan, final, spare)
        scratch.give(spare)
        ctx.plan = plan
        ctx.save_for_backward(upper_PUB, lower_PVB, *tensors)
        # Not saved through torch: backward overwrites it and hands it on as a buffer.
        ctx.final = final
        if not any(ctx.needs_input_grad):
            scratch.give(final)
            ctx.final = None
        return values_PBO

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, cotangent_PBO: Tensor) -> tuple[Any, ...]:
        """Adjoint differentiation from the expectations to the product state and every matrix."""
        plan: Plan = ctx.plan
        upper, lower, *tensors = ctx.saved_tensors
        (final, path), ctx.final, ctx.path = (ctx.final, ctx.path), None, None
        if final is None:
            # A second backward through a retained graph: the first one used the state up.
            path = _empty_path(plan, upper, lower)
            final, spare = _final_state(plan, upper, lower, tensors, path)
        else:
            spare = scratch.take(final)
        cotangents = (scratch.take(final), scratch.take(final))
        _measure_backward(plan, final, cotangent_PBO, *cotangents)
        gradients = [torch.empty_like(tensor) for tensor in tensors]
        initial, other = evolution.backward(
            plan.moves, plan.monomials, tensors, gradients, (final, spare), cotangents, path
        )
        upper_gradient, lower_gradient = _split_gradient(initial, other, upper, lower)
        scratch.give(*cotangents)
        return (None, upper_gradient, lower_gradient, *gradients)


def _empty_path(plan: Plan, upper: Tensor, lower: Tensor) -> list[Tensor] | None:
    """Return a list for the states on the way, or None where they would take too much memory."""
    states = sum(move.kind != "monomial" for move in plan.moves)
    size = upper.numel() * lower.shape[1] * upper.itemsize
    return [] if states * size <= PATH_BYTES else None


def _final_state(
    plan: Plan, upper: Tensor, lower: Tensor, tensors: Sequence[Tensor], path: list[Tensor] | None = None
) -> tuple[Tensor, Tensor]:
    """Return the state after all moves, shape (P, F, D, L), and a free buffer of that shape; fill ``path`` if given."""
    instances, size, batch = len(upper), upper.shape[1] * lower.shape[1], upper.shape[2]
    shape = (instances, 1, size, batch) if batch >= _BATCH_LAST else (instances, batch, size, 1)
    state, spare = scratch.take(upper, shape), scratch.take(upper, shape)
    left, right, _ = _factors(upper, lower)
    torch.mul(left, right, out=state.view(torch.broadcast_shapes(left.shape, right.shape)))
    return evolution.forward(plan.moves, plan.monomials, tensors, state, spare, path)


def _factors(upper: Tensor, lower: Tensor) -> tuple[Tensor, Tensor, bool]:
    """Shape the halves so that their product is the state: (P, U, V, B), or (P, B, U, V) with the batch first."""
    if upper.shape[2] >= _BATCH_LAST:
        return upper[:, :, None], lower[:, None], True
    return upper.transpose(1, 2)[..., None], lower.transpose(1, 2)[:, :, None], False


def _split_gradient(initial: Tensor, other: Tensor, upper: Tensor, lower: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of the two halves from the gradient of their outer product; ``other`` is a buffer."""
    left, right, batch_last = _factors(upper, lower)
    cotangent = initial.view(torch.broadcast_shapes(left.shape, right.shape))
    product = other.view(cotangent.shape)
    upper_axis, lower_axis = (1, 2) if batch_last else (2, 3)
    upper_gradient = torch.mul(cotangent, right.conj(), out=product).sum(dim=lower_axis)
    lower_gradient = torch.mul(cotangent, left.conj(), out=product).sum(dim=upper_axis)
    if batch_last:
        return upper_gradient, lower_gradient
    return upper_gradient.transpose(1, 2), lower_gradient.transpose(1, 2)


def _measure(plan: Plan, final: Tensor, spare: Tensor) -> Tensor:
    """Return expectations (P, B, O) of a final state; ``spare`` is a buffer."""
    total: Tensor | None = None
    for mask, table_OD in plan.tables.items():
        # (P|psi>)_(j^x) = T_j psi_j, so <psi|P|psi> = sum_j conj(psi_(j^x)) T_j psi_j; probabilities for x = 0.
        shuffled = final.index_select(2, plan.flips[mask]) if mask else final
        products = torch.mul(final, shuffled.conj(), out=spare)
        if products.shape[3] == 1:
            values = products[..., 0] @ table_OD.T
        else:
            values = torch.matmul(table_OD, products[:, 0]).transpose(1, 2)
        total = values if total is None else total + values
    assert total is not None, "a program has at least one observable"
    return total.real.contiguous() if total.is_complex() else total.contiguous()


def _measure_backward(plan: Plan, final: Tensor, cotangent_PBO: Tensor, out: Tensor, buffer: Tensor) -> None:
    """Write 2 sum_o cotangent_o O_o |psi> to ``out``; ``buffer`` is free to use."""
    for number, (mask, table_OD) in enumerate(plan.tables.items()):
        weights_PBO = (2 * cotangent_PBO).to(final.dtype)
        target = buffer if mask or number else out
        if final.shape[3] == 1:
            torch.matmul(weights_PBO, table_OD, out=target[..., 0])
        else:
            torch.matmul(table_OD.T, weights_PBO.transpose(1, 2), out=target[:, 0])
        target.mul_(final)
        if mask:
            shuffled = target.index_select(2, plan.flips[mask])
            out.copy_(shuffled) if number == 0 else out.add_(shuffled)
        elif number:
            out.add_(target)
