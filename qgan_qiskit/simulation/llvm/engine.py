"""The LLVM engine: batches of angles in, expectations out, with the adjoint derivative.

Backward is the adjoint method (Jones and Gacon, arXiv 2009.02823): gates are unitary, so the final state is walked back to |0>
by undoing them, and beside it its cotangent; memory does not grow with depth.

Shape letters: P instances · B batch · L = P * B · Q inputs · K weights · O observables · G rotations · T Pauli sums.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from qgan_qiskit.simulation.engine import DifferentiableEngine, Evaluation
from qgan_qiskit.simulation.llvm.bytecode import Bytecode, Code, angles_with_coefficients, assemble
from qgan_qiskit.simulation.llvm.coefficients import (
    Coefficients,
    angles_with_inputs,
    any_takes_inputs,
    pack_lanes,
    sum_over_batch,
    to_matrix,
    unpack_lanes,
)
from qgan_qiskit.simulation.llvm.interpreter import interpreter, run_in_threads
from qgan_qiskit.simulation.llvm.program import Barrier, LlvmProgram
from qgan_qiskit.simulation.llvm.target import vector_unit

# Final states of all tiles are kept for backward up to this size; larger ones are computed again, tile by tile.
_MAX_SAVED_BYTES = 1 << 30
# The narrowest vectors of all processors: narrower rows are not supported.
_MIN_ROW_BYTES = 16


class BufferPool:
    """Reusable buffers of one shape, per thread.

    A fresh tensor of some megabytes costs a page fault per 4 KiB when it is first written, as long as the arithmetic on it.
    """

    _MAX_BYTES = 64 << 20

    def __init__(self) -> None:
        """Make an empty pool."""
        self._local = threading.local()

    def acquire(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Return an uninitialized tensor."""
        free: list[Tensor] = self._local.__dict__.setdefault("free", [])
        if free and (tuple(free[0].shape), free[0].dtype) != (shape, dtype):
            free.clear()
        if free:
            return free.pop()
        # It may be reused outside of inference mode, where torch forbids writing to tensors made within.
        with torch.inference_mode(False):
            return torch.empty(shape, dtype=dtype)

    def release(self, tensor: Tensor) -> None:
        """Take a buffer back; it must not be used afterwards."""
        free: list[Tensor] = self._local.__dict__.setdefault("free", [])
        fits = not free or (free[0].shape, free[0].dtype) == (tensor.shape, tensor.dtype)
        if fits and (len(free) + 1) * tensor.nbytes <= self._MAX_BYTES:
            free.append(tensor)


_buffer_pool = BufferPool()


@dataclass(frozen=True)
class _Saved:
    """What forward leaves for backward: the bytecode, its operands, and final states (tiles, rows, lanes) if kept."""

    code: Bytecode
    operands: Tensor
    states: Tensor | None


class LlvmEngine(DifferentiableEngine):
    """A program in a precision, on the processor."""

    def __init__(self, program: LlvmProgram, dtype: torch.dtype) -> None:
        """Prepare matrices; bytecode is assembled when the first batch of a size comes."""
        super().__init__(program.num_qubits, not program.complex, dtype, torch.device("cpu"))
        self.program = program
        self.num_angles = len(program.offsets)
        self._numpy_dtype = np.dtype(np.float64 if dtype == torch.float64 else np.float32)
        self.combination_OT = program.combination.astype(self._numpy_dtype)
        self._with_inputs = angles_with_inputs(program)
        # A derivative is half of what the kernels sum up.
        self._inputs_GQ = to_matrix(program.input_coefficients[self._with_inputs] / 2, self._numpy_dtype)
        self._weights_GK = to_matrix(program.weight_coefficients / 2, self._numpy_dtype)
        self._per_image = any_takes_inputs(program, angles_with_coefficients(program))
        barriers = [segment for segment in program.segments if isinstance(segment, Barrier)]
        tables = [table for barrier in barriers for table in (barrier.phases, barrier.swaps) if table is not None]
        self._table_bytes = sum(table.nbytes for table in tables)
        self._codes: dict[tuple[int, bool, bool], tuple[Bytecode, Coefficients]] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Leave out bytecode: it holds addresses of this process."""
        return self.__dict__ | {"_codes": {}}

    def bytes_needed(self, instances: int, batch: int, gradient: bool) -> int:
        """States, of all images or of those in work; with gradients cotangents of those in work; and coefficients."""
        lanes = self._lanes(instances * batch)
        tiles = -(-instances * batch // lanes)
        row = lanes * self.dtype.itemsize
        state = (row if self.real else 2 * row) << self.num_qubits
        threads = min(torch.get_num_threads(), tiles)
        states = threads * (2 if gradient else 1) * state
        if gradient and _saves_states(tiles, state):
            states += (tiles - threads) * state
        # Per angle two coefficients and scales, as rows and before they are copied into these, and a gradient.
        return states + self._table_bytes + tiles * row * 6 * (self.num_angles + self.num_qubits)

    def evaluate(self, evaluation: Evaluation, inputs_BPQ: Tensor, weights: tuple[Tensor, ...]) -> Tensor:
        """Return expectations (B, P, O); final states that are small enough are saved for backward."""
        batch, instances = inputs_BPQ.shape[:2]
        if not batch * instances:
            return inputs_BPQ.new_empty(batch, instances, len(self.combination_OT))
        code, operands = self._prepare(inputs_BPQ, weights)
        states = None
        if evaluation.needs_backward:
            shape = (len(operands), code.state_rows, operands.shape[2])
            if _saves_states(len(operands), shape[1] * shape[2] * operands.itemsize):
                states = _buffer_pool.acquire(shape, operands.dtype)
            evaluation.saved = _Saved(code, operands, states)
        sums = _zeros(operands, code.pauli_rows)
        _execute(code.forward, code, operands, states, sums)
        expectations_LO = unpack_lanes(sums.numpy(), batch * instances) @ self.combination_OT.T
        expectations_BPO = expectations_LO.reshape(instances, batch, -1).transpose(1, 0, 2)
        return torch.from_numpy(np.ascontiguousarray(expectations_BPO))

    def pullback(
        self,
        evaluation: Evaluation,
        needed: tuple[bool, ...],
        cotangent_BPO: Tensor,
        inputs_BPQ: Tensor,
        weights: tuple[Tensor, ...],
    ) -> tuple[Tensor, ...]:
        """Return the gradients by the inputs and by each tensor of weights, only those that are needed."""
        batch, instances = inputs_BPQ.shape[:2]
        if not batch * instances:
            return tuple(torch.zeros_like(t) for t, need in zip((inputs_BPQ, *weights), needed, strict=True) if need)
        # Backward undoes the saved states, so a second one through a retained graph begins at |0> again.
        saved: _Saved = evaluation.saved or _Saved(*self._prepare(inputs_BPQ, weights), None)
        evaluation.saved = None
        code, operands, states = saved.code, saved.operands, saved.states
        cotangent_LO = _to_numpy(cotangent_BPO).transpose(1, 0, 2).reshape(instances * batch, -1)
        pack_lanes(self.combination_OT.T @ cotangent_LO.T, operands.numpy()[:, -code.pauli_rows :])
        sums = _zeros(operands, self.num_angles)
        _execute(code.replay if states is None else code.backward, code, operands, states, sums, cotangents=True)
        if states is not None:
            _buffer_pool.release(states)
        gradients = [self._inputs_gradient(sums.numpy(), instances, batch)] if needed[0] else []
        if any(needed[1:]):
            gradient_PK = sum_over_batch(sums.numpy(), instances, batch) @ self._weights_GK
            # One tensor of all weights, or one per instance.
            rows = gradient_PK if weights[0].dim() == 1 else [gradient_PK]
            gradients += [torch.from_numpy(row) for row, need in zip(rows, needed[1:], strict=True) if need]
        return tuple(gradients)

    def _inputs_gradient(self, sums: np.ndarray, instances: int, batch: int) -> Tensor:
        """Return the gradient by the inputs, shape (B, P, Q), from what was summed up per angle, (tiles, G, lanes)."""
        gradient_LQ = unpack_lanes(sums[:, self._with_inputs], instances * batch) @ self._inputs_GQ
        return torch.from_numpy(gradient_LQ.reshape(instances, batch, self._inputs_GQ.shape[1]).transpose(1, 0, 2))

    def _prepare(self, inputs_BPQ: Tensor, weights: tuple[Tensor, ...]) -> tuple[Bytecode, Tensor]:
        inputs_QPB = np.ascontiguousarray(_to_numpy(inputs_BPQ).transpose(2, 1, 0))
        arrays = [_to_numpy(tensor) for tensor in weights]
        weights_KP = arrays[0].T if arrays[0].ndim == 2 else np.stack(arrays, axis=1)
        return self.make_operands(inputs_QPB, weights_KP)

    def make_operands(self, inputs_QPB: np.ndarray, weights_KP: np.ndarray) -> tuple[Bytecode, Tensor]:
        """Return a bytecode that the angles permit, and its operands, shape (tiles, rows, lanes)."""
        instances, batch = inputs_QPB.shape[1:]
        lanes = self._lanes(instances * batch)
        # A tile of one instance has one set of coefficients, if no input enters them.
        uniform = not self._per_image and batch % lanes == 0
        for tangents in (True, False):
            code, coefficients = self._code(lanes, tangents, uniform)
            operands = torch.empty(-(-instances * batch // lanes), code.operand_rows, lanes, dtype=self.dtype)
            if coefficients.fill(operands.numpy(), inputs_QPB, weights_KP):
                break
        return code, operands

    def _lanes(self, length: int) -> int:
        """Return the numbers per row: a vector register, or fewer where few images would leave most of it empty."""
        widest, narrowest = (size // self.dtype.itemsize for size in (vector_unit().bytes, _MIN_ROW_BYTES))
        return max(min(widest, 1 << (length - 1).bit_length()), narrowest)

    def _code(self, lanes: int, tangents: bool, uniform: bool) -> tuple[Bytecode, Coefficients]:
        key = (lanes, tangents, uniform)
        if key not in self._codes:
            code = assemble(self.program, lanes, self.dtype == torch.float64, tangents, uniform)
            self._codes[key] = code, Coefficients(self.program, code, self._numpy_dtype)
        return self._codes[key]


def _saves_states(tiles: int, state_bytes: int) -> bool:
    return tiles * state_bytes <= _MAX_SAVED_BYTES


def _to_numpy(tensor: Tensor) -> np.ndarray:
    # Views of negated numbers exist for real ones as well, as the imaginary part of a conjugate.
    return tensor.detach().resolve_neg().numpy()


def _zeros(operands: Tensor, rows: int) -> Tensor:
    """Return zeros for each tile, aligned as torch aligns.

    Filled by NumPy, in this thread: torch would wake its other threads, and wait for them where the processor is shared.
    """
    zeros = operands.new_empty(len(operands), rows, operands.shape[2])
    zeros.numpy().fill(0)
    return zeros


def _execute(
    code: Code, layout: Bytecode, operands: Tensor, states: Tensor | None, results: Tensor, cotangents: bool = False
) -> None:
    """Run instructions for every tile, on as many threads as torch has.

    With ``states`` each tile has its own state, else each thread; with ``cotangents`` each thread has a cotangent.
    """
    tiles, _, lanes = operands.shape
    threads = min(torch.get_num_threads(), tiles)
    vectors = int(states is None) + int(cotangents)
    buffers = [operands.new_empty(vectors, layout.state_rows, lanes) for _ in range(threads)]
    counters = np.zeros(threads, dtype=np.int64)
    operand_address = _address(operands, (tiles, layout.operand_rows, lanes), operands.dtype)
    result_address = _address(results, (tiles, results.shape[1], lanes), operands.dtype)
    arrays = (operand_address, _stride(operands), result_address, _stride(results))
    # Backward begins with the tile that the same thread did last in forward: it is still in the processor's cache.
    work = (code.words.ctypes.data, len(code.words), counters.ctypes.data, tiles, cotangents)
    state_address, state_stride = None, 0
    if states is not None:
        state_address = _address(states, (tiles, layout.state_rows, lanes), operands.dtype)
        state_stride = _stride(states)
    calls = []
    for thread, buffer in enumerate(buffers):
        # The cotangent comes last; it may be all that a thread has of its own, or missing.
        first = _address(buffer, (vectors, layout.state_rows, lanes), operands.dtype)
        cotangent = first + (vectors - 1) * _stride(buffer) if cotangents else None
        calls.append((state_address or first, state_stride, cotangent, *arrays, *work, thread, threads))
    run_in_threads(interpreter(), calls)


def _stride(tensor: Tensor) -> int:
    return tensor.stride(0) * tensor.itemsize


def _address(tensor: Tensor, shape: tuple[int, ...], dtype: torch.dtype) -> int:
    """Return the memory address of a tensor for compiled code, which cannot check what it is given: all is checked here."""
    fits = tensor.shape == shape and tensor.dtype is dtype and tensor.is_cpu and tensor.is_contiguous()
    assert fits, (
        f"compiled code needs a contiguous {dtype} tensor of shape {shape}, not {tensor.dtype} {tuple(tensor.shape)}"
    )
    return tensor.data_ptr()
