"""Running a plan over a batch, as a torch function with its adjoint derivative.

Backward is the adjoint method (Jones and Gacon, arXiv 2009.02823): the gates are unitary, so the final state is walked back to
the start by undoing them, and beside it its cotangent; memory does not grow with depth.

Shape letters: P instances · B batch · L = P * B · Q inputs · K weights · O observables · T Pauli strings · G rotations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from qgan_qiskit.simulation import scratch
from qgan_qiskit.simulation.native.coefficients import pack, unpack
from qgan_qiskit.simulation.native.plan import Plan, Words
from qgan_qiskit.simulation.native.threads import run_beside
from qgan_qiskit.simulation.native.walk import runner

if TYPE_CHECKING:
    from qgan_qiskit.simulation.native.engine import NativeEngine

# Final states of all tiles are kept for backward up to this size: then forward is not done again.
_KEPT_BYTES = 1 << 30


class Evaluate(torch.autograd.Function):
    """``Evaluate.apply(engine, grad_enabled, inputs_BPQ, weights_PK) -> expectations_BPO``; or P weights of shape (K,)."""

    @staticmethod
    def forward(ctx: Any, engine: NativeEngine, grad_enabled: bool, inputs_BPQ: Tensor, *weights: Tensor) -> Tensor:
        """Prepare, rotate and read; final states that are small enough are kept for backward."""
        batch, instances = inputs_BPQ.shape[:2]
        inputs_QPB = np.ascontiguousarray(inputs_BPQ.detach().numpy().transpose(2, 1, 0))
        tables = [tensor.detach().numpy() for tensor in weights]
        weights_KP = tables[0].T if tables[0].ndim == 2 else np.stack(tables, axis=1)
        plan, reads = engine.reads(inputs_QPB, weights_KP)
        states = None
        if grad_enabled and any(ctx.needs_input_grad):
            state_bytes = plan.state_rows * reads.shape[2] * reads.itemsize
            if keeps_states(len(reads), state_bytes):
                states = scratch.take(reads, (len(reads), plan.state_rows, reads.shape[2]))
            ctx.separate = tables[0].ndim == 1
            ctx.engine, ctx.plan, ctx.reads, ctx.states, ctx.shape = engine, plan, reads, states, (instances, batch)
        values = _zeros(reads, plan.string_rows)
        _run(plan.forward, plan, reads, states, values)
        expectations_LO = unpack(values.numpy(), batch * instances) @ engine.combination_OT.T
        expectations_BPO = expectations_LO.reshape(instances, batch, -1).transpose(1, 0, 2)
        return torch.from_numpy(np.ascontiguousarray(expectations_BPO))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, cotangent_BPO: Tensor) -> tuple[Any, ...]:
        """Walk states and cotangents back to the start, summing up the gradient of every angle."""
        engine, plan, reads, states = ctx.engine, ctx.plan, ctx.reads, ctx.states
        # The kernels undo the states: a second backward through a retained graph begins at |0> again.
        ctx.states = None
        instances, batch = ctx.shape
        cotangent_LO = cotangent_BPO.numpy().transpose(1, 0, 2).reshape(instances * batch, -1)
        pack(engine.combination_OT.T @ cotangent_LO.T, reads.numpy()[:, -plan.string_rows :])
        moments = _zeros(reads, engine.num_angles)
        _run(plan.again if states is None else plan.backward, plan, reads, states, moments, cotangents=True)
        if states is not None:
            scratch.give(states)
        by_inputs = engine.inputs_gradient(moments.numpy(), *ctx.shape) if ctx.needs_input_grad[2] else None
        by_weights: list[Tensor | None] = [None] * len(ctx.needs_input_grad[3:])
        if any(ctx.needs_input_grad[3:]):
            gradient_PK = engine.weights_gradient(moments.numpy(), *ctx.shape)
            # One tensor of all weights, or one per instance.
            rows = gradient_PK if ctx.separate else [gradient_PK]
            by_weights = [torch.from_numpy(row) for row in rows]
        return None, None, by_inputs, *by_weights


def _zeros(reads: Tensor, rows: int) -> Tensor:
    """Return zeros for each tile, aligned as torch aligns.

    Filled by NumPy, in this thread: torch would wake its other threads, and wait for them where the processor is shared.
    """
    zeros = reads.new_empty(len(reads), rows, reads.shape[2])
    zeros.numpy().fill(0)
    return zeros


def keeps_states(tiles: int, state_bytes: int) -> bool:
    """Say whether final states are kept for backward; where they are too large they are made again, tile by tile."""
    return tiles * state_bytes <= _KEPT_BYTES


def _run(
    words: Words, plan: Plan, reads: Tensor, states: Tensor | None, writes: Tensor, cotangents: bool = False
) -> None:
    """Walk the words for every tile, on all of torch's threads.

    With ``states`` each tile has its own state, without each thread; with ``cotangents`` each thread has one of these.
    """
    tiles = len(reads)
    threads = min(torch.get_num_threads(), tiles)
    needed = int(states is None) + int(cotangents)
    own = [reads.new_empty(needed, plan.state_rows, reads.shape[2]) for _ in range(threads)]
    counters = np.zeros(threads, dtype=np.int64)
    shared = (reads.data_ptr(), reads.stride(0) * reads.itemsize, writes.data_ptr(), writes.stride(0) * writes.itemsize)
    # Backward begins with what the same thread did last in forward: that is still in the processor's cache.
    todo = (words.array.ctypes.data, len(words.array), counters.ctypes.data, tiles, cotangents)
    state, stride = (states.data_ptr(), states.stride(0) * states.itemsize) if states is not None else (None, 0)
    calls = []
    for thread, rows in enumerate(own):
        # The cotangent comes last; it may be all that a thread has of its own, or missing.
        place = rows.data_ptr()
        cotangent = place + (needed - 1) * rows.stride(0) * rows.itemsize if cotangents else None
        calls.append((state or place, stride, cotangent, *shared, *todo, thread, threads))
    run_beside(runner(), calls)
