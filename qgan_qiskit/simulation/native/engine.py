"""The engine on compiled kernels: angles in, expectations out, differentiable in both inputs and weights.

Shape letters: P instances · B batch · Q inputs · K weights · O observables · G rotations · T Pauli strings · L = P * B.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from qgan_qiskit.simulation.differentiable import Call, Expectations
from qgan_qiskit.simulation.engine import Engine, wants_gradient
from qgan_qiskit.simulation.native import evaluate
from qgan_qiskit.simulation.native.coefficients import (
    Coefficients,
    sums,
    table,
    takes_inputs_later,
    taking_inputs,
    unpack,
)
from qgan_qiskit.simulation.native.evaluate import keeps_states
from qgan_qiskit.simulation.native.host import vector_unit
from qgan_qiskit.simulation.native.plan import Plan, plan, turned_angles
from qgan_qiskit.simulation.native.program import Barrier, NativeProgram

# Rows of fewer bytes than this are not worth having: the narrowest vectors of all processors.
_NARROWEST_BYTES = 16


class NativeEngine(Engine):
    """A program in a precision, on the processor."""

    def __init__(self, program: NativeProgram, dtype: torch.dtype) -> None:
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
        return evaluate.evaluate(self, call, inputs_BPQ, weights)

    def pullback(
        self,
        call: Call,
        needed: tuple[bool, ...],
        cotangent_BPO: Tensor,
        inputs_BPQ: Tensor,
        weights: tuple[Tensor, ...],
    ) -> tuple[Tensor, ...]:
        """Return the gradients by the inputs and by each tensor of weights, only those that are needed."""
        return evaluate.pullback(self, call, needed, cotangent_BPO, inputs_BPQ, weights)

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
