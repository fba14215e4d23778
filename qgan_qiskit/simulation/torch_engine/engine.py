"""The engine in plain torch operations: for any device that torch knows, and where kernels cannot be compiled.

Shape letters: P instances · B batch · Q inputs · K weights · O observables · G rotations · S slots · D amplitudes ·
U, V amplitudes of the upper and lower half of the register.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from qgan_qiskit.simulation.autograd import Call, Expectations
from qgan_qiskit.simulation.engine import Engine, wants_gradient
from qgan_qiskit.simulation.torch_engine.program import Program, block_matrices, rotation_matrices, slot_matrices
from qgan_qiskit.simulation.torch_engine.statevector import PATH_BYTES, Expectation, Monomial, Move, Plan


class TorchEngine(Engine):
    """A program placed on a device and in a precision."""

    def __init__(self, program: Program, dtype: torch.dtype, device: torch.device) -> None:
        """Place the tables.

        Args:
            program: the compiled circuit.
            dtype: ``torch.float32`` or ``torch.float64``; complex programs use the complex type of the same width.
            device: where to compute.
        """
        super().__init__(program.num_qubits, program.real, dtype, device)
        self.program = program
        self.state_dtype = dtype if program.real else dtype.to_complex()
        self.input_coefficients_QG = torch.tensor(program.input_coefficients.T, dtype=dtype, device=device)
        self.weight_coefficients_KG = torch.tensor(program.weight_coefficients.T, dtype=dtype, device=device)
        self.offsets_G = torch.tensor(program.offsets, dtype=dtype, device=device)
        self.fixed_F22 = self._amplitudes(program.fixed)
        order_D = torch.arange(1 << program.num_qubits, device=device)
        self._plan = Plan(
            moves=self._moves(),
            monomials=tuple(self._monomial(*maps) for maps in program.monomials),
            tables={mask: self._amplitudes(table) for mask, table in program.observable_tables.items()},
            flips={mask: order_D ^ mask for mask in program.observable_tables if mask},
        )

    def _amplitudes(self, values: np.ndarray) -> Tensor:
        return torch.tensor(values.real if self.program.real else values, dtype=self.state_dtype, device=self.device)

    def _monomial(self, source: np.ndarray, phase: np.ndarray) -> Monomial:
        return Monomial(
            source=torch.tensor(source, device=self.device),
            inverse=torch.tensor(np.argsort(source), device=self.device),
            phase=None if (phase == 1).all() else self._amplitudes(phase),
            permutes=bool((source != np.arange(len(source))).any()),
        )

    def _moves(self) -> tuple[Move, ...]:
        """Sort slots into shared ones (weights only) and per-image ones, and blocks into groups of one width."""
        program = self.program
        used_first = [s for s in program.first if s >= 0]
        takes_inputs = [slot.takes_inputs for slot in program.slots]
        self._shared = [s for s in range(len(program.slots)) if not takes_inputs[s]]
        self._own = [s for s in range(len(program.slots)) if takes_inputs[s]]
        self._shared_column = {s: i for i, s in enumerate(self._shared)}
        self._own_column = {s: i for i, s in enumerate(self._own)}
        self._shared_rotations = self._rotations_of(self._shared)
        self._own_rotations = self._rotations_of(self._own)
        self._own_moving = [s for s in self._own if s not in used_first]
        widths = sorted({step.block[1] for step in program.steps if step.block})
        self._blocks: list[list[list[int]]] = [[] for _ in widths]
        moves = []
        for step in program.steps:
            if step.block:
                first, width, slots = step.block
                group = widths.index(width)
                moves.append(Move("block", group, len(self._blocks[group]), first, width))
                self._blocks[group].append([self._shared_column.get(s, -1) for s in slots])
            elif step.slot is not None:
                qubit = program.slots[step.slot].qubit
                moves.append(Move("slot", len(widths), self._own_moving.index(step.slot), qubit, 1))
            else:
                moves.append(Move("monomial", -1, step.monomial or 0, 0, program.num_qubits))
        return tuple(moves)

    def _rotations_of(self, slots: list[int]) -> list[int]:
        return [g for s in slots for g in self.program.slots[s].gates if g >= 0]

    def bytes_needed(self, instances: int, batch: int, gradient: bool) -> int:
        """Two states, and with gradients two cotangents and states on the way; and the blocks with their gradients."""
        size = self.state_dtype.itemsize
        blocks = sum(4 ** step.block[1] for step in self.program.steps if step.block)
        states = instances * batch * size << self.num_qubits
        return states * (4 if gradient else 2) + (PATH_BYTES if gradient else 0) + 6 * instances * size * blocks

    def _expectations(self, inputs_BPQ: Tensor, weights: tuple[Tensor, ...]) -> Tensor:
        return Expectations.apply(self, Call(wants_gradient(inputs_BPQ, *weights)), inputs_BPQ, *weights)

    def evaluate(self, call: Call, inputs_BPQ: Tensor, weights: tuple[Tensor, ...]) -> Tensor:
        """Return expectations (B, P, O), and keep the graph that leads to them if a backward is expected."""
        if not call.keeps:
            return self._values(inputs_BPQ, weights)
        leaves = [tensor.detach().requires_grad_() for tensor in (inputs_BPQ, *weights)]
        with torch.enable_grad():
            values_BPO = self._values(leaves[0], tuple(leaves[1:]))
        call.kept = leaves, values_BPO
        return values_BPO.detach()

    def pullback(
        self,
        call: Call,
        needed: tuple[bool, ...],
        cotangent_BPO: Tensor,
        inputs_BPQ: Tensor,
        weights: tuple[Tensor, ...],
    ) -> tuple[Tensor, ...]:
        """Return the gradients by the inputs and by each tensor of weights, only those that are needed."""
        if call.kept is None:
            self.evaluate(call := Call(keeps=True), inputs_BPQ, weights)
        (leaves, values_BPO), call.kept = call.kept, None
        wanted = [leaf for leaf, need in zip(leaves, needed, strict=True) if need]
        with torch.enable_grad():
            return torch.autograd.grad(values_BPO, wanted, cotangent_BPO, allow_unused=True, materialize_grads=True)

    def _values(self, inputs_BPQ: Tensor, weights: tuple[Tensor, ...]) -> Tensor:
        weights_PK = weights[0] if weights[0].dim() == 2 else torch.stack(weights)
        shared_PS22, own_PBS22 = self._slots(inputs_BPQ, weights_PK)
        upper_PUB, lower_PVB = self._product_state(shared_PS22, own_PBS22, len(weights_PK), len(inputs_BPQ))
        tensors = [block_matrices(shared_PS22, members) for members in self._blocks]
        if self._own_moving:
            order = torch.tensor([self._own_column[s] for s in self._own_moving], device=self.device)
            tensors.append(own_PBS22.index_select(2, order).permute(2, 0, 1, 3, 4))
        return Expectation.apply(self._plan, upper_PUB, lower_PVB, *tensors).transpose(0, 1)

    def _slots(self, inputs_BPQ: Tensor, weights_PK: Tensor) -> tuple[Tensor, Tensor]:
        """Return shared slot matrices (P, S, 2, 2) and per-image ones (P, B, S, 2, 2); either may have S = 0."""
        angles_PG = weights_PK @ self.weight_coefficients_KG + self.offsets_G
        shared = self._slot_group(angles_PG, self._shared, self._shared_rotations)
        if not self._own:
            return shared, shared.new_empty(0)
        own = self._own_rotations
        angles_PBg = angles_PG[:, None, own] + inputs_BPQ.transpose(0, 1) @ self.input_coefficients_QG[:, own]
        matrices = rotation_matrices(angles_PBg, [self.program.axes[g] for g in own], self.state_dtype)
        column = {g: i for i, g in enumerate(own)}
        return shared, slot_matrices(matrices, column, self.fixed_F22, [self.program.slots[s] for s in self._own])

    def _slot_group(self, angles_PG: Tensor, slots: list[int], rotations: list[int]) -> Tensor:
        if not slots:
            return torch.empty(len(angles_PG), 0, 2, 2, dtype=self.state_dtype, device=self.device)
        axes = [self.program.axes[g] for g in rotations]
        matrices = rotation_matrices(angles_PG[:, rotations], axes, self.state_dtype)
        column = {g: i for i, g in enumerate(rotations)}
        return slot_matrices(matrices, column, self.fixed_F22, [self.program.slots[s] for s in slots])

    def _product_state(
        self, shared_PS22: Tensor, own_PBS22: Tensor, instances: int, batch: int
    ) -> tuple[Tensor, Tensor]:
        """Outer products of the first columns of the first slots: upper (P, U, B) and lower (P, V, B) half of the register."""
        ground = torch.zeros(instances, 2, 1, dtype=self.state_dtype, device=self.device)
        ground[:, 0] = 1
        vectors = []
        for slot in self.program.first:
            if slot < 0:
                vectors.append(ground)
            elif slot in self._own_column:
                vectors.append(own_PBS22[:, :, self._own_column[slot], :, 0].transpose(1, 2))
            else:
                vectors.append(shared_PS22[:, self._shared_column[slot], :, 0, None])
        middle = (len(vectors) + 1) // 2
        lower = _outer(vectors[:middle])
        upper = _outer(vectors[middle:]) if middle < len(vectors) else torch.ones_like(ground[:, :1])
        return upper.expand(-1, -1, batch).contiguous(), lower.expand(-1, -1, batch).contiguous()


def _outer(vectors: list[Tensor]) -> Tensor:
    """Kronecker product of (P, d, B or 1) vectors; the first one holds the lowest bits."""
    product = vectors[0]
    for upper in vectors[1:]:
        product = (upper[:, :, None] * product[:, None]).flatten(1, 2)
    return product
