"""The engine in plain torch operations: for any device that torch knows, and where kernels cannot be compiled.

One layer after the other is applied to the state vector::

    angles -> 2x2 matrices -> slots (the gates of one qubit between two monomial maps) -> blocks of up to five qubits

Slots of weights alone are multiplied out to blocks and applied to the whole batch as matrix products; slots that take inputs
differ from image to image; monomial maps are index tables. All that is small is differentiated by torch. The state vector is
differentiated by the adjoint method (Jones and Gacon, arXiv 2009.02823): the final state is walked back to the start beside
its cotangent, so memory does not grow with depth.

Shape letters: P instances · B batch · Q inputs · K weights · O observables · G rotations · S slots · N blocks ·
D = 2**num_qubits · M = 2**(qubits of a block) · x leading dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp
from torch import Tensor
from torch.autograd.function import once_differentiable

from qgan_qiskit.circuits import check_observables
from qgan_qiskit.memory import check_available_memory
from qgan_qiskit.simulation.engine import DifferentiableEngine, Evaluation
from qgan_qiskit.simulation.ir import (
    Fixed,
    Rotation,
    Stage,
    check_known_parameters,
    coefficient_matrix,
    lower,
    register_map,
    schedule,
)
from qgan_qiskit.simulation.observables import common_basis_change, diagonalize, observable_tables

# Neighboring qubits whose gates are multiplied into one matrix: 32x32 keeps a matrix product busy, 64x64 wastes arithmetic.
_BLOCK_QUBITS = 5


@dataclass(frozen=True)
class Slot:
    """A product of gates on one qubit: numbers of rotations (>= 0) and constant gates (``-1 - number``), in order."""

    gates: tuple[int, ...]
    per_image: bool


@dataclass(frozen=True)
class Step:
    """Apply a slot, or -1 for none, to each qubit from ``first`` on (a per-image slot is alone); or a monomial map."""

    first: int = 0
    slots: tuple[int, ...] = ()
    per_image: bool = False
    monomial: int | None = None


@dataclass(frozen=True, eq=False)
class TorchProgram:
    """A circuit and its observables, ready to be evaluated. ``angles = inputs A + weights B + offsets``, in radians.

    Attributes:
        num_qubits: qubits of the register.
        real: whether all amplitudes are real, which takes half the memory and a quarter of the arithmetic.
        rotations: all rotations, of which only the axis is used.
        input_coefficients: A, shape (Q, G).
        weight_coefficients: B, shape (K, G).
        offsets: shape (G,).
        constants: the constant one-qubit gates, and last the identity, shape (number, 2, 2), complex.
        slots: the products of one-qubit gates.
        first_layer: slot that prepares each qubit from |0>, or -1.
        steps: what follows, in order.
        monomials: ``(source, phase)`` maps, see :func:`qgan_qiskit.simulation.ir.register_map`.
        tables: X-mask -> (O, D) table, see :func:`qgan_qiskit.simulation.observables.observable_tables`.
    """

    num_qubits: int
    real: bool
    rotations: list[Rotation]
    input_coefficients: np.ndarray
    weight_coefficients: np.ndarray
    offsets: np.ndarray
    constants: np.ndarray
    slots: list[Slot]
    first_layer: list[int]
    steps: list[Step]
    monomials: list[tuple[np.ndarray, np.ndarray]]
    tables: dict[int, np.ndarray]


def compile_torch(
    circuit: QuantumCircuit,
    inputs: Sequence[Parameter],
    weights: Sequence[Parameter],
    observables: Sequence[SparsePauliOp],
) -> TorchProgram:
    """Compile a circuit whose parameters are split into inputs (per image) and weights (per instance).

    Raises:
        CircuitError: the circuit is not unitary, a parameter is in neither list, or an observable does not fit.
    """
    operations = lower(circuit)
    num_qubits = circuit.num_qubits
    check_observables(num_qubits, observables)
    basis_change = common_basis_change(observables)
    if basis_change is not None:
        operations += basis_change
        observables = diagonalize(observables)
    # Observables and register maps are tables over all amplitudes, made of complex numbers.
    check_available_memory(16 * (len(observables) + 6) << num_qubits, f"compiling a circuit of {num_qubits} qubits")
    compiler = _Compiler(num_qubits, inputs, weights)
    return compiler.compile(schedule(operations, num_qubits), observable_tables(observables, num_qubits))


class _Compiler:
    def __init__(self, num_qubits: int, inputs: Sequence[Parameter], weights: Sequence[Parameter]) -> None:
        self.num_qubits = num_qubits
        self.inputs = {p: i for i, p in enumerate(inputs)}
        self.weights = {p: i for i, p in enumerate(weights)}
        self.rotations: list[Rotation] = []
        self.constants: list[np.ndarray] = []
        self.slots: list[Slot] = []
        self.monomials: list[tuple[np.ndarray, np.ndarray]] = []
        self.monomial_number: dict[bytes, int] = {}

    def compile(self, stages: list[Stage], tables: dict[int, np.ndarray]) -> TorchProgram:
        first_layer = [-1] * self.num_qubits
        steps: list[Step] = []
        for number, stage in enumerate(stages):
            slot_of = {qubit: self._add_slot(gates) for qubit, gates in sorted(stage.slots.items())}
            if number == 0:
                for qubit, slot in slot_of.items():
                    first_layer[qubit] = slot
            else:
                steps += self._slot_steps(slot_of)
            steps += self._monomial_steps(stage)
        matrices = [*self.constants, *(phase for _, phase in self.monomials), *tables.values()]
        return TorchProgram(
            num_qubits=self.num_qubits,
            real=all(r.axis == "y" for r in self.rotations) and all(bool(np.isreal(m).all()) for m in matrices),
            rotations=self.rotations,
            input_coefficients=coefficient_matrix(self.rotations, self.inputs).toarray().T,
            weight_coefficients=coefficient_matrix(self.rotations, self.weights).toarray().T,
            offsets=np.array([rotation.offset for rotation in self.rotations], dtype=float),
            constants=np.array([*self.constants, np.eye(2)], dtype=complex),
            slots=self.slots,
            first_layer=first_layer,
            steps=steps,
            monomials=self.monomials,
            tables=tables,
        )

    def _add_slot(self, gates: list[Rotation | Fixed]) -> int:
        numbers = []
        per_image = False
        for gate in gates:
            if isinstance(gate, Rotation):
                check_known_parameters(gate, self.inputs, self.weights)
                per_image |= any(parameter in self.inputs for parameter in gate.coefficients)
                numbers.append(len(self.rotations))
                self.rotations.append(gate)
            else:
                numbers.append(-1 - len(self.constants))
                self.constants.append(gate.matrix)
        self.slots.append(Slot(tuple(numbers), per_image))
        return len(self.slots) - 1

    def _slot_steps(self, slot_of: dict[int, int]) -> list[Step]:
        shared = {qubit: slot for qubit, slot in slot_of.items() if not self.slots[slot].per_image}
        steps = []
        for low in range(0, self.num_qubits, _BLOCK_QUBITS):
            members = tuple(shared.get(q, -1) for q in range(low, min(low + _BLOCK_QUBITS, self.num_qubits)))
            if any(member >= 0 for member in members):
                steps.append(Step(low, members))
        own = {qubit: slot for qubit, slot in slot_of.items() if self.slots[slot].per_image}
        return steps + [Step(qubit, (slot,), per_image=True) for qubit, slot in own.items()]

    def _monomial_steps(self, stage: Stage) -> list[Step]:
        source, phase = register_map(stage.monomials, self.num_qubits)
        if (source == np.arange(len(source))).all() and (phase == 1).all():
            # No gates, or gates that cancel, such as two CX in a row.
            return []
        key = source.tobytes() + phase.tobytes()
        if key not in self.monomial_number:
            self.monomial_number[key] = len(self.monomials)
            self.monomials.append((source, phase))
        return [Step(monomial=self.monomial_number[key])]


class TorchEngine(DifferentiableEngine):
    """A program placed on a device and in a precision."""

    def __init__(self, program: TorchProgram, dtype: torch.dtype, device: torch.device) -> None:
        """Place the tables; a complex program uses the complex type of the width of ``dtype``."""
        super().__init__(program.num_qubits, program.real, dtype, device)
        self.program = program
        self.state_dtype = dtype if program.real else dtype.to_complex()
        self.input_coefficients_QG = torch.tensor(program.input_coefficients, dtype=dtype, device=device)
        self.weight_coefficients_KG = torch.tensor(program.weight_coefficients, dtype=dtype, device=device)
        self.offsets_G = torch.tensor(program.offsets, dtype=dtype, device=device)
        self._shared = _SlotGroup(self, per_image=False)
        self._own = _SlotGroup(self, per_image=True)
        blocks = [step for step in program.steps if step.monomial is None and not step.per_image]
        # Blocks of one width are multiplied out together; a missing slot is the last one, the identity.
        self._blocks = {
            width: torch.tensor(
                [[self._shared.column.get(s, -1) for s in step.slots] for step in blocks if len(step.slots) == width],
                device=device,
            )
            for width in {len(step.slots) for step in blocks}
        }
        order_D = torch.arange(1 << program.num_qubits, device=device)
        # Orders and phases of monomial maps (source, inverse, phase), and of observables (j ^ X-mask or None, table).
        self.monomials = [
            (torch.tensor(source, device=device), torch.tensor(np.argsort(source), device=device), self.place(phase))
            for source, phase in program.monomials
        ]
        self.tables = [(order_D ^ mask if mask else None, self.place(table)) for mask, table in program.tables.items()]

    def place(self, values: np.ndarray) -> Tensor:
        """Return values in the type of amplitudes, on the device."""
        return torch.tensor(values.real if self.real else values, dtype=self.state_dtype, device=self.device)

    def bytes_needed(self, instances: int, batch: int, gradient: bool) -> int:
        """States, cotangents and products of both, at most so many at a time; and blocks with their gradients."""
        size = self.state_dtype.itemsize
        blocks = sum(len(members) * 4**width for width, members in self._blocks.items())
        states = instances * batch * size << self.num_qubits
        return states * (8 if gradient else 4) + 6 * instances * size * blocks

    def evaluate(self, evaluation: Evaluation, inputs_BPQ: Tensor, weights: tuple[Tensor, ...]) -> Tensor:
        """Return expectations (B, P, O), and save the graph that leads to them if a backward is expected."""
        if not evaluation.needs_backward:
            return self._values(inputs_BPQ, weights)
        leaves = [tensor.detach().requires_grad_() for tensor in (inputs_BPQ, *weights)]
        with torch.enable_grad():
            values_BPO = self._values(leaves[0], tuple(leaves[1:]))
        evaluation.saved = leaves, values_BPO
        return values_BPO.detach()

    def pullback(
        self,
        evaluation: Evaluation,
        needed: tuple[bool, ...],
        cotangent_BPO: Tensor,
        inputs_BPQ: Tensor,
        weights: tuple[Tensor, ...],
    ) -> tuple[Tensor, ...]:
        """Return the gradients by the inputs and by each tensor of weights, only those that are needed."""
        if evaluation.saved is None:
            self.evaluate(evaluation := Evaluation(needs_backward=True), inputs_BPQ, weights)
        (leaves, values_BPO), evaluation.saved = evaluation.saved, None
        wanted = [leaf for leaf, need in zip(leaves, needed, strict=True) if need]
        with torch.enable_grad():
            return torch.autograd.grad(values_BPO, wanted, cotangent_BPO, allow_unused=True, materialize_grads=True)

    def _values(self, inputs_BPQ: Tensor, weights: tuple[Tensor, ...]) -> Tensor:
        weights_PK = weights[0] if weights[0].dim() == 2 else torch.stack(weights)
        angles_P1G = (weights_PK @ self.weight_coefficients_KG + self.offsets_G)[:, None]
        shared_P1S22 = self._shared.matrices(angles_P1G)
        own_PBS22 = self._own.matrices(angles_P1G + inputs_BPQ.transpose(0, 1) @ self.input_coefficients_QG)
        state_PDB = self._product_state(shared_P1S22, own_PBS22, len(inputs_BPQ))
        matrices = self._step_matrices(shared_P1S22[:, 0], own_PBS22)
        return _Evolution.apply(self, state_PDB, *matrices).transpose(0, 1)

    def _product_state(self, shared_P1S22: Tensor, own_PBS22: Tensor, batch: int) -> Tensor:
        """Return the state after the first layer, the tensor product of the first columns of its slots."""
        # In two halves, so that torch saves little for the backward of the last product.
        halves = [torch.ones_like(shared_P1S22[:, 0, 0, 0, 0])[:, None, None]] * 2
        for qubit, slot in enumerate(self.program.first_layer):
            group, matrices = (self._own, own_PBS22) if slot in self._own.column else (self._shared, shared_P1S22)
            # Without a slot the column of the identity, |0>.
            vector_P2b = matrices[:, :, group.column.get(slot, -1), :, 0].transpose(1, 2)
            half = 2 * qubit // self.num_qubits
            halves[half] = (vector_P2b[:, :, None] * halves[half][:, None]).flatten(1, 2)
        lower, upper = (half.expand(-1, -1, batch) for half in halves)
        return (upper[:, :, None] * lower[:, None]).flatten(1, 2)

    def _step_matrices(self, shared_PS22: Tensor, own_PBS22: Tensor) -> list[Tensor]:
        """Return the matrix of each matrix step: (P, M, M), or (P, B, 2, 2) if it differs from image to image."""
        blocks = {
            width: iter(_multiply_out(shared_PS22[:, members_Nk].transpose(0, 1)))
            for width, members_Nk in self._blocks.items()
        }
        return [
            own_PBS22[:, :, self._own.column[step.slots[0]]] if step.per_image else next(blocks[len(step.slots)])
            for step in self.program.steps
            if step.monomial is None
        ]


class _SlotGroup:
    """The slots of weights alone, or those that differ from image to image; ``column`` maps a slot to its place here."""

    def __init__(self, engine: TorchEngine, per_image: bool) -> None:
        program = engine.program
        slots = [(number, slot) for number, slot in enumerate(program.slots) if slot.per_image == per_image]
        self.column = {number: i for i, (number, _) in enumerate(slots)}
        self._rotations = [g for _, slot in slots for g in slot.gates if g >= 0]
        self._axes = [program.rotations[g].axis for g in self._rotations]
        self._dtype = engine.state_dtype
        # Candidates: the rotations, the constant gates, and last the identity.
        self._constants = engine.place(program.constants)
        place = {g: i for i, g in enumerate(self._rotations)}
        place |= {-1 - i: len(self._rotations) + i for i in range(len(program.constants))}
        identity = len(self._rotations) + len(program.constants) - 1
        depth = max([1, *(len(slot.gates) for _, slot in slots)])
        # For each position within a slot the gate of each slot; at the end a slot that is the identity.
        padded = [[*(place[g] for g in slot.gates), *[identity] * depth] for _, slot in slots] + [[identity] * depth]
        self._order = torch.tensor([row[:depth] for row in padded], device=engine.device).T

    def matrices(self, angles_xG: Tensor) -> Tensor:
        """Return the product of each slot's gates and last the identity, shape (…, S + 1, 2, 2)."""
        rotations_xG22 = _rotation_matrices(angles_xG[..., self._rotations], self._axes, self._dtype)
        constants = self._constants.expand(*angles_xG.shape[:-1], -1, 2, 2)
        gates = torch.cat([rotations_xG22, constants], dim=-3)
        first, *others = (gates.index_select(-3, order_S) for order_S in self._order)
        product = first
        for gate in others:
            product = gate @ product
        return product


def _rotation_matrices(angles_xG: Tensor, axes: Sequence[str], dtype: torch.dtype) -> Tensor:
    """Return exp(-i angle/2 P) = cos(angle/2) - i sin(angle/2) P for P = X, Y, Z, shape (…, G, 2, 2)."""
    half = angles_xG / 2
    c, s = torch.cos(half), torch.sin(half)
    if all(axis == "y" for axis in axes):
        return torch.stack([c, -s, s, c], dim=-1).unflatten(-1, (2, 2)).to(dtype)
    is_x, is_y, is_z = (
        torch.tensor([axis == letter for axis in axes], device=half.device, dtype=half.dtype) for letter in "xyz"
    )
    entries = [
        torch.complex(c, -s * is_z),
        torch.complex(-s * is_y, -s * is_x),
        torch.complex(s * is_y, -s * is_x),
        torch.complex(c, s * is_z),
    ]
    return torch.stack(entries, dim=-1).unflatten(-1, (2, 2)).to(dtype)


def _multiply_out(gates_NPk22: Tensor) -> Tensor:
    """Return Kronecker products over k qubits, the first one lowest, shape (N, P, M, M)."""
    product, *others = gates_NPk22.unbind(2)
    for gate in others:
        # As an outer product of vectors and one permutation: then its gradient is matrix products too, no slow sums.
        size = product.shape[-1]
        outer = gate.flatten(-2)[..., :, None] @ product.flatten(-2)[..., None, :]
        ordered = outer.unflatten(-1, (size, size)).unflatten(-3, (2, 2)).transpose(-3, -2)
        product = ordered.reshape(*product.shape[:-2], 2 * size, 2 * size)
    return product


class _Evolution(torch.autograd.Function):
    """``_Evolution.apply(engine, state_PDB, *matrices) -> expectations_PBO`` (real); a matrix for each step that has one."""

    @staticmethod
    def forward(ctx: Any, engine: TorchEngine, state: Tensor, *matrices: Tensor) -> Tensor:
        remaining = iter(matrices)
        for step in engine.program.steps:
            if step.monomial is None:
                state = _apply_matrix(next(remaining), step, state)
            else:
                source, _, phase = engine.monomials[step.monomial]
                state = state.index_select(1, source) * phase[:, None]
        ctx.engine = engine
        ctx.save_for_backward(state, *matrices)
        return _measure(engine, state)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, cotangent_PBO: Tensor) -> tuple[Tensor | None, ...]:
        state, *matrices = ctx.saved_tensors
        cotangent = _measure_backward(ctx.engine, state, cotangent_PBO)
        gradients: list[Tensor] = []
        for step in reversed(ctx.engine.program.steps):
            if step.monomial is None:
                adjoint = matrices.pop().mH
                state = _apply_matrix(adjoint, step, state)
                gradients.append(_matrix_gradient(step, cotangent, state))
                cotangent = _apply_matrix(adjoint, step, cotangent)
            else:
                _, inverse, phase = ctx.engine.monomials[step.monomial]
                undo = phase.conj()[:, None]
                state, cotangent = ((vector * undo).index_select(1, inverse) for vector in (state, cotangent))
        return None, cotangent, *reversed(gradients)


def _block_view(state: Tensor, step: Step) -> Tensor:
    """View (P, D, B) as (P, upper qubits, M, lower qubits * B)."""
    instances, size, batch = state.shape
    return state.reshape(instances, size >> step.first + len(step.slots), 1 << len(step.slots), batch << step.first)


def _qubit_views(state: Tensor, step: Step) -> tuple[Tensor, ...]:
    """View the halves of (P, D, B) where the qubit is 0 and where it is 1 as (P, upper qubits, lower qubits, B)."""
    instances, size, batch = state.shape
    return state.view(instances, size >> step.first + 1, 2, 1 << step.first, batch).unbind(2)


def _apply_matrix(matrix: Tensor, step: Step, state: Tensor) -> Tensor:
    if not step.per_image:
        return (matrix[:, None] @ _block_view(state, step)).view(state.shape)
    low, high = _qubit_views(state, step)
    entries = matrix.permute(2, 3, 0, 1)[:, :, :, None, None]
    return torch.stack([row[0] * low + row[1] * high for row in entries], dim=2).view(state.shape)


def _matrix_gradient(step: Step, cotangent: Tensor, state: Tensor) -> Tensor:
    """Return the sum of cotangent state^dagger over everything but the step's qubits (and images)."""
    if not step.per_image:
        return (_block_view(cotangent, step) @ _block_view(state, step).mH).sum(dim=1)
    rows = [
        torch.stack([(c * s.conj()).sum(dim=(1, 2)) for s in _qubit_views(state, step)], dim=-1)
        for c in _qubit_views(cotangent, step)
    ]
    return torch.stack(rows, dim=-2)


def _measure(engine: TorchEngine, state: Tensor) -> Tensor:
    """Return expectations (P, B, O): ``<O> = sum over x and j of conj(psi_(j ^ x)) T_x[j] psi_j``."""
    total: Tensor | float = 0.0
    for order_D, table_OD in engine.tables:
        permuted = state if order_D is None else state.index_select(1, order_D)
        total = total + table_OD @ (state * permuted.conj())
    assert isinstance(total, Tensor), "a program has at least one observable"
    return total.real.transpose(1, 2)


def _measure_backward(engine: TorchEngine, state: Tensor, cotangent_PBO: Tensor) -> Tensor:
    """Return 2 sum over o of cotangent_o O_o |psi>."""
    weights_POB = (2 * cotangent_PBO).to(state.dtype).transpose(1, 2)
    total = torch.zeros_like(state)
    for order_D, table_OD in engine.tables:
        image = (table_OD.T @ weights_POB) * state
        total += image if order_D is None else image.index_select(1, order_D)
    return total
