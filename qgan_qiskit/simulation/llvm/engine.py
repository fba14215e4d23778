"""Running a plan over a batch, as a torch function with its adjoint derivative.

Backward is the adjoint method (Jones and Gacon, arXiv 2009.02823): the gates are unitary, so the final state is walked back to
the start by undoing them, and beside it its cotangent; memory does not grow with depth.

Shape letters: P instances · B batch · L = P * B · Q inputs · K weights · O observables · T Pauli strings · G rotations.

The engine on compiled kernels: angles in, expectations out, differentiable in both inputs and weights.

Shape letters: P instances · B batch · Q inputs · K weights · O observables · G rotations · T Pauli strings · L = P * B.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from qgan_qiskit.simulation import buffer_pool as scratch
from qgan_qiskit.simulation.autograd import Call, Expectations
from qgan_qiskit.simulation.engine import Engine, wants_gradient
from qgan_qiskit.simulation.llvm.bytecode import Plan, Words, plan, turned_angles
from qgan_qiskit.simulation.llvm.coefficients import (
    Coefficients,
    pack,
    sums,
    table,
    takes_inputs_later,
    taking_inputs,
    unpack,
)
from qgan_qiskit.simulation.llvm.interpreter import run_beside, runner
from qgan_qiskit.simulation.llvm.program import Barrier, LlvmProgram
from qgan_qiskit.simulation.llvm.target import vector_unit

if TYPE_CHECKING:
    pass


# Final states of all tiles are kept for backward up to this size: then forward is not done again.
_KEPT_BYTES = 1 << 30


@dataclass(frozen=True)
class Kept:
    """What forward leaves for backward: the plan, what its kernels read, and final states that are small enough."""

    plan: Plan
    reads: Tensor
    states: Tensor | None


def evaluate(engine: LlvmEngine, call: Call, inputs_BPQ: Tensor, weights: tuple[Tensor, ...]) -> Tensor:
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
    engine: LlvmEngine,
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


def _prepare(engine: LlvmEngine, inputs_BPQ: Tensor, weights: tuple[Tensor, ...]) -> tuple[Plan, Tensor]:
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


# Rows of fewer bytes than this are not worth having: the narrowest vectors of all processors.
_NARROWEST_BYTES = 16


class LlvmEngine(Engine):
    """A program in a precision, on the processor."""

    def __init__(self, program: LlvmProgram, dtype: torch.dtype) -> None:
        """Place the tables; words are written when the first batch of a size comes."""
        super().__init__(program.num_qubits, not program.complex, dtype, torch.device("cpu"))
        self.program = program
        self.num_angles = len(program.offsets)
        self._numpy_dtype = np.dtype(np.float64 if dtype == torch.float64 else np.float32)
        self.combination_OT = program.combination.astype(self._numpy_dtype)
        self._taking = taking_inputs(program)
        # A derivative is half of what the kernels sum up.
        self._inputs_GQ = table(program.input_coefficients[self._taking] / 2, self._numpy_dtype)
        self._weights_GK = table(program.weight_coefficients / 2, self._numpy_dtype)
        self._wide = takes_inputs_later(program, turned_angles(program))
        self._table_bytes = sum(
            part.nbytes
            for segment in program.segments
            if isinstance(segment, Barrier)
            for part in (segment.factors, segment.swaps)
            if part is not None
        )
        self._plans: dict[tuple[int, bool, bool], tuple[Plan, Coefficients]] = {}

    def bytes_needed(self, instances: int, batch: int, gradient: bool) -> int:
        """States, of all images or of those in work, and with gradients cotangents of those in work; and coefficients."""
        lanes = self._lanes(instances * batch)
        tiles = -(-instances * batch // lanes)
        row = lanes * self.dtype.itemsize
        state = (row if self.real else 2 * row) << self.num_qubits
        threads = min(torch.get_num_threads(), tiles)
        states = threads * (2 if gradient else 1) * state
        if gradient and keeps_states(tiles, state):
            states += (tiles - threads) * state
        # Per angle two coefficients and scales, as rows and before they are copied into these, and a gradient.
        return states + self._table_bytes + tiles * row * 6 * (self.num_angles + self.num_qubits)

    def _expectations(self, inputs_BPQ: Tensor, weights: tuple[Tensor, ...]) -> Tensor:
        batch, instances = inputs_BPQ.shape[:2]
        if not batch * instances:
            # Nothing to compute, but something to differentiate.
            return (inputs_BPQ.sum() + sum(tensor.sum() for tensor in weights)) * inputs_BPQ.new_zeros(
                batch, instances, len(self.combination_OT)
            )
        return Expectations.apply(self, Call(wants_gradient(inputs_BPQ, *weights)), inputs_BPQ, *weights)

    def evaluate(self, call: Call, inputs_BPQ: Tensor, weights: tuple[Tensor, ...]) -> Tensor:
        """Return expectations (B, P, O)."""
        return evaluate(self, call, inputs_BPQ, weights)

    def pullback(
        self,
        call: Call,
        needed: tuple[bool, ...],
        cotangent_BPO: Tensor,
        inputs_BPQ: Tensor,
        weights: tuple[Tensor, ...],
    ) -> tuple[Tensor, ...]:
        """Return the gradients by the inputs and by each tensor of weights, only those that are needed."""
        return pullback(self, call, needed, cotangent_BPO, inputs_BPQ, weights)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the plans: they hold addresses of this process."""
        return self.__dict__ | {"_plans": {}}

    def reads(self, inputs_QPB: np.ndarray, weights_KP: np.ndarray) -> tuple[Plan, Tensor]:
        """Return a plan that the angles permit, and what its kernels read, shape (tiles, rows, lanes)."""
        instances, batch = inputs_QPB.shape[1:]
        lanes = self._lanes(instances * batch)
        # A tile of one instance has one set of coefficients, if no input enters them.
        single = not self._wide and batch % lanes == 0
        for tangents in (True, False):
            plan, coefficients = self._plan(lanes, tangents, single)
            reads = torch.empty(-(-instances * batch // lanes), plan.read_rows, lanes, dtype=self.dtype)
            if coefficients.fill(reads.numpy(), inputs_QPB, weights_KP):
                break
        return plan, reads

    def inputs_gradient(self, moments: np.ndarray, instances: int, batch: int) -> Tensor:
        """Return the gradient by the inputs, shape (B, P, Q), from what was summed for each angle (tiles, G, lanes)."""
        gradient_LQ = unpack(moments[:, self._taking], instances * batch) @ self._inputs_GQ
        return torch.from_numpy(gradient_LQ.reshape(instances, batch, self._inputs_GQ.shape[1]).transpose(1, 0, 2))

    def weights_gradient(self, moments: np.ndarray, instances: int, batch: int) -> np.ndarray:
        """Return the gradient by the weights, shape (P, K), from what was summed for each angle (tiles, G, lanes)."""
        return sums(moments, instances, batch) @ self._weights_GK

    def _lanes(self, length: int) -> int:
        """Return the numbers per row: a vector register, or less where few images would leave most of it empty."""
        widest, narrowest = (size // self.dtype.itemsize for size in (vector_unit().bytes, _NARROWEST_BYTES))
        return max(min(widest, 1 << (length - 1).bit_length()), narrowest)

    def _plan(self, lanes: int, tangents: bool, single: bool) -> tuple[Plan, Coefficients]:
        key = (lanes, tangents, single)
        if key not in self._plans:
            words = plan(self.program, lanes, self.dtype == torch.float64, tangents, single)
            self._plans[key] = words, Coefficients(self.program, words, self._numpy_dtype)
        return self._plans[key]
