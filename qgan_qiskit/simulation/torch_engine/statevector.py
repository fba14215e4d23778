"""The state vector through a program, and back: gates applied to, and differentiated on, 2**num_qubits amplitudes.

Backward is the adjoint method (Jones and Gacon, arXiv 2009.02823): the final state is walked back gate by gate beside the
cotangent, so memory does not grow with depth; small states are kept on the way forward instead, which saves undoing.
Gates made of weights only are multiplied into blocks of up to five qubits and applied, and differentiated, as matrix
products over the whole batch.

Shape letters: P instances · B batch · D = 2**num_qubits · M = 2**(qubits of a block). States are (P, F, D, L) with
F * L = B: the batch lies last (F = 1) where it is wide enough to keep rows of amplitudes contiguous, else first (L = 1).

From two halves of a product state to expectations, as one hand-differentiated torch function.

Everything of 2**num_qubits amplitudes lives between the two ends of this function, in reused buffers; what torch's autograd
sees outside is small.

Shape letters: P instances · B batch · O observables · D = 2**num_qubits · U, V amplitudes of the upper and lower half of the
register · F, L the batch before and after the amplitudes (see :mod:`qgan_qiskit.simulation.torch_engine.statevector`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from qgan_qiskit.simulation import buffer_pool as scratch

# Up to this many instances one matrix product each is faster than a batched one (measured: 0.55 against 0.78 ms for 10).
_LOOPED_INSTANCES = 32


@dataclass(frozen=True, eq=False)
class Monomial:
    """``out[i] = phase[i] * in[source[i]]`` with its inverse, on a device; ``rows`` remembers indices for a few shapes."""

    source: Tensor
    inverse: Tensor
    phase: Tensor | None
    permutes: bool
    rows: dict[tuple[int, bool], Tensor] = field(default_factory=dict)

    def apply(self, state: Tensor, out: Tensor) -> None:
        """Map a state (P, F, D, L) into ``out``."""
        if self.permutes:
            self._gather(state, self.source, out)
            state = out
        if self.phase is not None:
            torch.mul(state, self.phase[:, None], out=out)

    def undo(self, state: Tensor, out: Tensor) -> None:
        """Map back by the conjugate transpose, into ``out``; ``state`` is overwritten."""
        if self.phase is not None:
            state = torch.mul(state, self.phase.conj()[:, None], out=state if self.permutes else out)
        if self.permutes:
            self._gather(state, self.inverse, out)

    def _gather(self, state: Tensor, source: Tensor, out: Tensor) -> None:
        instances, front, size, last = state.shape
        if last == 1:
            torch.index_select(state.view(-1, size), 1, source, out=out.view(-1, size))
            return
        # Rows of `last` contiguous numbers: selecting along the first dimension is twice as fast as along the second.
        key = (instances * front, source is self.inverse)
        rows = self.rows.get(key)
        if rows is None:
            if len(self.rows) > 3:
                self.rows.clear()
            rows = self.rows[key] = (torch.arange(key[0], device=state.device)[:, None] * size + source).flatten()
        torch.index_select(state.view(-1, last), 0, rows, out=out.view(-1, last))


@dataclass(frozen=True)
class Move:
    """One step of the evolution, pointing into the tensors handed to :func:`forward`.

    Attributes:
        kind: ``block`` (matrix ``tensors[group][index]`` of shape (P, M, M)), ``slot`` (``tensors[group][index]`` of shape
            (P, B, 2, 2)) or ``monomial`` (``index`` into the monomials).
        group: index of the tensor that holds the matrix.
        index: index of the matrix in that tensor, or of the monomial.
        first: lowest qubit that it acts on.
        width: number of qubits that it acts on.
    """

    kind: str
    group: int
    index: int
    first: int
    width: int


def _block_view(state: Tensor, move: Move) -> Tensor:
    """View (P, F, D, L) as (P, F * upper, M, lower * L)."""
    return state.view(len(state), -1, 1 << move.width, (1 << move.first) * state.shape[3])


def apply_block(matrix_PMM: Tensor, move: Move, state: Tensor, out: Tensor, adjoint: bool = False) -> None:
    """Apply a matrix per instance, or its conjugate transpose."""
    view, target = _block_view(state, move), _block_view(out, move)
    if adjoint:
        matrix_PMM = matrix_PMM.conj().resolve_conj()
    upper, lower = view.shape[1::2]
    if upper > 1 and lower > 1:
        # bmm wants a matrix for each of its products; a copy of small ones is cheaper than a call for each instance.
        # Transposed after the copy, not before: copying rows is several times faster than copying columns.
        spread = matrix_PMM[:, None].expand(-1, upper, -1, -1).flatten(0, 1)
        torch.bmm(spread.mT if adjoint else spread, view.flatten(0, 1), out=target.flatten(0, 1))
        return
    matrix_PMM = matrix_PMM.mT if adjoint else matrix_PMM
    if lower == 1:
        torch.bmm(view[..., 0], matrix_PMM.mT, out=target[..., 0])
    else:
        torch.bmm(matrix_PMM, view[:, 0], out=target[:, 0])


def block_gradient(cotangent: Tensor, state: Tensor, move: Move, out_PMM: Tensor) -> None:
    """Sum of cotangent state^dagger over everything but the block, into shape (P, M, M)."""
    left, right = _block_view(cotangent, move), _block_view(state, move)
    if left.shape[3] == 1:
        torch.bmm(left[..., 0].mT, right[..., 0].conj(), out=out_PMM)
    elif left.shape[1] == 1 and len(left) > _LOOPED_INSTANCES:
        torch.bmm(left[:, 0], right[:, 0].mH, out=out_PMM)
    elif left.shape[1] == 1:
        for a, b, result in zip(left[:, 0], right[:, 0], out_PMM, strict=True):
            torch.mm(a, b.mH, out=result)
    else:
        torch.sum(torch.matmul(left, right.mH), dim=1, out=out_PMM)


def _slot_entries(matrix_PB22: Tensor, state: Tensor) -> Tensor:
    """Reshape (P, B, 2, 2) to (2, 2, P, F, 1, 1, L) so that an entry multiplies a (P, F, upper, lower, L) half state."""
    front, last = state.shape[1], state.shape[3]
    return matrix_PB22.unflatten(1, (front, last)).permute(3, 4, 0, 1, 2)[:, :, :, :, None, None, :]


def _slot_view(state: Tensor, qubit: int) -> Tensor:
    """View (P, F, D, L) as (P, F, upper, 2, lower, L)."""
    return state.view(state.shape[0], state.shape[1], -1, 2, 1 << qubit, state.shape[3])


def apply_slot(matrix_PB22: Tensor, state: Tensor, qubit: int, out: Tensor) -> None:
    """Apply a one-qubit matrix of each image's own."""
    entries = _slot_entries(matrix_PB22, state)
    low, high = _slot_view(state, qubit).unbind(3)
    for row, target in enumerate(_slot_view(out, qubit).unbind(3)):
        torch.mul(low, entries[row, 0], out=target).addcmul_(high, entries[row, 1])


def slot_gradient(cotangent: Tensor, state: Tensor, qubit: int) -> Tensor:
    """Cotangent state^dagger of one qubit for every image, shape (P, B, 2, 2)."""
    left, right = (_slot_view(tensor, qubit).unbind(3) for tensor in (cotangent, state))
    rows = [[(a * b.conj()).sum(dim=(2, 3)) for b in right] for a in left]
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2).flatten(1, 2)


def forward(
    moves: tuple[Move, ...],
    monomials: tuple[Monomial, ...],
    tensors: Sequence[Tensor],
    state: Tensor,
    spare: Tensor,
    path: list[Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """Run the moves from one buffer to the other; returns (the final state, the free buffer).

    Args:
        moves: what to do.
        monomials: the register maps that moves point to.
        tensors: the matrices that moves point to.
        state: the initial state; overwritten, unless it goes to ``path``.
        spare: a buffer of the same shape.
        path: if given, receives the states that stood before the moves that have a matrix.
    """
    for move in moves:
        if move.kind == "block":
            apply_block(tensors[move.group][move.index], move, state, spare)
        elif move.kind == "slot":
            apply_slot(tensors[move.group][move.index], state, move.first, spare)
        else:
            monomials[move.index].apply(state, spare)
        if path is None or move.kind == "monomial":
            state, spare = spare, state
        else:
            path.append(state)
            state, spare = spare, scratch.take(state)
    return state, spare


def backward(
    moves: tuple[Move, ...],
    monomials: tuple[Monomial, ...],
    tensors: Sequence[Tensor],
    gradients: Sequence[Tensor],
    states: tuple[Tensor, Tensor],
    cotangents: tuple[Tensor, Tensor],
    path: list[Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """Walk a final state and its cotangent back to the start, filling one small gradient per matrix.

    Args:
        moves: as in :func:`forward`.
        monomials: as in :func:`forward`.
        tensors: as in :func:`forward`.
        gradients: written to; same shapes as ``tensors``.
        states: the final state and a free buffer; both are overwritten.
        cotangents: the gradient of the loss by the final state and a free buffer; both are overwritten.
        path: the states that :func:`forward` kept, handed back as buffers; None to undo the moves instead.

    Returns:
        The gradient of the loss by the initial state, and a free buffer.
    """
    (state, spare), (cotangent, other) = states, cotangents
    for move in reversed(moves):
        if move.kind == "monomial":
            if path is None:
                monomials[move.index].undo(state, spare)
                state, spare = spare, state
            monomials[move.index].undo(cotangent, other)
        else:
            matrix = tensors[move.group][move.index]
            if path is None:
                _undo(matrix, move, state, spare)
                state, spare = spare, state
            else:
                scratch.give(state)
                state = path.pop()
            gradient = gradients[move.group][move.index]
            if move.kind == "block":
                block_gradient(cotangent, state, move, gradient)
            else:
                gradient.copy_(slot_gradient(cotangent, state, move.first))
            _undo(matrix, move, cotangent, other)
        cotangent, other = other, cotangent
    scratch.give(state, spare)
    return cotangent, other


def _undo(matrix: Tensor, move: Move, state: Tensor, out: Tensor) -> None:
    """Apply the conjugate transpose of a move's matrix."""
    if move.kind == "block":
        apply_block(matrix, move, state, out, adjoint=True)
    else:
        apply_slot(matrix.mH, state, move.first, out)


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
        initial, other = backward(plan.moves, plan.monomials, tensors, gradients, (final, spare), cotangents, path)
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
    return forward(plan.moves, plan.monomials, tensors, state, spare, path)


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
