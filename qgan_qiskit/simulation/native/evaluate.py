"""Running a plan over a batch, as a torch function with its adjoint derivative.

Backward is the adjoint method (Jones and Gacon, arXiv 2009.02823): the gates are unitary, so the final state is walked back to
the start by undoing them, and beside it its cotangent; memory does not grow with depth.

Shape letters: P instances · B batch · L = P * B · Q inputs · K weights · O observables · T Pauli strings · G rotations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from qgan_qiskit.simulation import scratch
from qgan_qiskit.simulation.differentiable import Call
from qgan_qiskit.simulation.native.coefficients import pack, unpack
from qgan_qiskit.simulation.native.plan import Plan, Words
from qgan_qiskit.simulation.native.threads import run_beside
from qgan_qiskit.simulation.native.walk import runner

if TYPE_CHECKING:
    from qgan_qiskit.simulation.native.engine import NativeEngine

# Final states of all tiles are kept for backward up to this size: then forward is not done again.
_KEPT_BYTES = 1 << 30


@dataclass(frozen=True)
class Kept:
    """What forward leaves for backward: the plan, what its kernels read, and final states that are small enough."""

    plan: Plan
    reads: Tensor
    states: Tensor | None


def evaluate(engine: NativeEngine, call: Call, inputs_BPQ: Tensor, weights: tuple[Tensor, ...]) -> Tensor:
    """Prepare, rotate and read; final states that are small enough are kept for backward."""
    batch, instances = inputs_BPQ.shape[:2]
    plan, reads = _prepare(engine, inputs_BPQ, weights)
    states = None
    if call.keeps:
        state_bytes = plan.state_rows * reads.shape[2] * reads.itemsize
        if keeps_states(len(reads), state_bytes):
            states = scratch.take(reads, (len(reads), plan.state_rows, reads.shape[2]))
        call.kept = Kept(plan, reads, states)
    values = _zeros(reads, plan.string_rows)
    _run(plan.forward, plan, reads, states, values)
    expectations_LO = unpack(values.numpy(), batch * instances) @ engine.combination_OT.T
    expectations_BPO = expectations_LO.reshape(instances, batch, -1).transpose(1, 0, 2)
    return torch.from_numpy(np.ascontiguousarray(expectations_BPO))


def pullback(
    engine: NativeEngine,
    call: Call,
    needed: tuple[bool, ...],
    cotangent_BPO: Tensor,
    inputs_BPQ: Tensor,
    weights: tuple[Tensor, ...],
) -> tuple[Tensor, ...]:
    """Walk states and cotangents back to the start, summing up the gradient of every angle."""
    batch, instances = inputs_BPQ.shape[:2]
    # The kernels undo the states: a second backward through a retained graph begins at |0> again.
    kept, call.kept = call.kept or Kept(*_prepare(engine, inputs_BPQ, weights), None), None
    plan, reads, states = kept.plan, kept.reads, kept.states
    cotangent_LO = array_of(cotangent_BPO).transpose(1, 0, 2).reshape(instances * batch, -1)
    pack(engine.combination_OT.T @ cotangent_LO.T, reads.numpy()[:, -plan.string_rows :])
    moments = _zeros(reads, engine.num_angles)
    _run(plan.again if states is None else plan.backward, plan, reads, states, moments, cotangents=True)
    if states is not None:
        scratch.give(states)
    gradients = [engine.inputs_gradient(moments.numpy(), instances, batch)] if needed[0] else []
    if any(needed[1:]):
        gradient_PK = engine.weights_gradient(moments.numpy(), instances, batch)
        # One tensor of all weights, or one per instance.
        rows = gradient_PK if weights[0].dim() == 1 else [gradient_PK]
        gradients += [torch.from_numpy(row) for row, need in zip(rows, needed[1:], strict=True) if need]
    return tuple(gradients)


def array_of(tensor: Tensor) -> np.ndarray:
    """Return the numbers of a tensor on the processor, whatever view of others it is."""
    # Views of negated numbers exist for real ones as well, as the imaginary part of a conjugate.
    return tensor.detach().resolve_neg().numpy()


def _prepare(engine: NativeEngine, inputs_BPQ: Tensor, weights: tuple[Tensor, ...]) -> tuple[Plan, Tensor]:
    """Return a plan and what its kernels read."""
    inputs_QPB = np.ascontiguousarray(array_of(inputs_BPQ).transpose(2, 1, 0))
    tables = [array_of(tensor) for tensor in weights]
    weights_KP = tables[0].T if tables[0].ndim == 2 else np.stack(tables, axis=1)
    return engine.reads(inputs_QPB, weights_KP)


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
    lanes, dtype = reads.shape[2], reads.dtype
    shared = (
        _place(reads, (tiles, plan.read_rows, lanes), dtype),
        reads.stride(0) * reads.itemsize,
        _place(writes, (tiles, writes.shape[1], lanes), dtype),
        writes.stride(0) * writes.itemsize,
    )
    # Backward begins with what the same thread did last in forward: that is still in the processor's cache.
    todo = (words.array.ctypes.data, len(words.array), counters.ctypes.data, tiles, cotangents)
    state, stride = None, 0
    if states is not None:
        state = _place(states, (tiles, plan.state_rows, lanes), dtype)
        stride = states.stride(0) * states.itemsize
    calls = []
    for thread, rows in enumerate(own):
        # The cotangent comes last; it may be all that a thread has of its own, or missing.
        place = _place(rows, (needed, plan.state_rows, lanes), dtype)
        cotangent = place + (needed - 1) * rows.stride(0) * rows.itemsize if cotangents else None
        calls.append((state or place, stride, cotangent, *shared, *todo, thread, threads))
    run_beside(runner(), calls)


def _place(tensor: Tensor, shape: tuple[int, ...], dtype: torch.dtype) -> int:
    """Return the address of a tensor for compiled code, which cannot look at what it is given: all is checked here."""
    found = (tuple(tensor.shape), tensor.dtype, tensor.device.type, tensor.is_contiguous())
    assert found == (shape, dtype, "cpu", True), f"compiled code needs {(shape, dtype, 'cpu', True)}, not {found}"
    return tensor.data_ptr()
