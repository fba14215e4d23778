"""Compiling a circuit with observables into a :class:`Program`: the tables that the torch engine runs on.

Shape letters: P instances (sub-generators, or bindings) · B batch · Q inputs · K weights · O observables · G rotations ·
S slots (one-qubit products) · D = 2**num_qubits amplitudes.

Angles -> 2x2 matrices -> slot products -> block matrices, in plain differentiable torch.

All tensors here are small (no 2**n anywhere), so torch's own autograd carries their gradients; only the state vector is
differentiated by hand, in :mod:`qgan_qiskit.simulation.torch_engine.statevector`.

Shape letters: … any leading dimensions · G rotations · S slots · N blocks · M = 2**(qubits of a block).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp
from torch import Tensor

from qgan_qiskit import memory
from qgan_qiskit.circuits import check_observables
from qgan_qiskit.simulation.ir import Fixed, Rotation, Stage, lower, register_map, schedule
from qgan_qiskit.simulation.observables import common_basis, diagonalized, tables
from qgan_qiskit.simulation.parameter_columns import check_known, coefficients

# Neighboring qubits whose gates are multiplied into one matrix: 32x32 keeps a matrix product busy, 64x64 wastes flops.
BLOCK_QUBITS = 5


@dataclass(frozen=True, eq=False)
class Slot:
    """A product of one-qubit gates on one qubit: indices into the rotations (>= 0) or the fixed gates (< 0, ``-1 - i``)."""

    qubit: int
    gates: tuple[int, ...]
    takes_inputs: bool


@dataclass(frozen=True, eq=False)
class Step:
    """What happens to the state vector at one point: exactly one of the three is set.

    Attributes:
        block: (first qubit, number of qubits, slot per qubit or -1): one matrix made of weights only.
        slot: a slot whose angles differ from image to image.
        monomial: index into :attr:`Program.monomials`.
    """

    block: tuple[int, int, tuple[int, ...]] | None = None
    slot: int | None = None
    monomial: int | None = None


@dataclass(frozen=True, eq=False)
class Program:
    """A circuit and its observables, ready to be evaluated and differentiated.

    Attributes:
        num_qubits: qubits of the register.
        real: whether all amplitudes are real, so that half the memory and a quarter of the arithmetic do.
        axes: axis of each rotation.
        input_coefficients: shape (G, Q); an angle is this applied to the inputs,
        weight_coefficients: shape (G, K), plus this applied to the weights,
        offsets: shape (G,), plus this, in radians.
        fixed: the constant one-qubit matrices, shape (F, 2, 2), complex.
        slots: the one-qubit products.
        first: slot that prepares each qubit from |0>, or -1.
        steps: what follows, in order.
        monomials: ``(source, phase)`` maps of the register.
        observable_tables: X-mask -> (O, D) table, see :func:`qgan_qiskit.simulation.observables.tables`.
    """

    num_qubits: int
    real: bool
    axes: tuple[str, ...]
    input_coefficients: np.ndarray
    weight_coefficients: np.ndarray
    offsets: np.ndarray
    fixed: np.ndarray
    slots: tuple[Slot, ...]
    first: tuple[int, ...]
    steps: tuple[Step, ...]
    monomials: tuple[tuple[np.ndarray, np.ndarray], ...]
    observable_tables: dict[int, np.ndarray]


def compile_circuit(
    circuit: QuantumCircuit,
    inputs: Sequence[Parameter],
    weights: Sequence[Parameter],
    observables: Sequence[SparsePauliOp],
) -> Program:
    """Compile a circuit whose parameters are split into inputs (per image) and weights (per instance).

    Raises:
        CircuitError: the circuit is not unitary, an angle is not affine, a parameter is in neither list, or an observable
            does not fit; the message names the offender.
    """
    operations = lower(circuit)
    check_observables(circuit.num_qubits, observables)
    basis = common_basis(observables)
    if basis is not None:
        operations += basis
        observables = diagonalized(observables)
    num_qubits = circuit.num_qubits
    # Observables and register maps are tables over all amplitudes, made of complex numbers.
    memory.require(16 * (len(observables) + 6) << num_qubits, f"compiling a circuit of {num_qubits} qubits")
    return _Compiler(num_qubits, inputs, weights).compile(
        schedule(operations, num_qubits), tables(observables, num_qubits)
    )


class _Compiler:
    """Collects rotations, fixed gates, slots and monomials while it walks the stages."""

    def __init__(self, num_qubits: int, inputs: Sequence[Parameter], weights: Sequence[Parameter]) -> None:
        self.num_qubits = num_qubits
        self.inputs = {p: i for i, p in enumerate(inputs)}
        self.weights = {p: i for i, p in enumerate(weights)}
        self.rotations: list[Rotation] = []
        self.fixed: list[np.ndarray] = []
        self.slots: list[Slot] = []
        self.monomials: list[tuple[np.ndarray, np.ndarray]] = []
        self.monomial_index: dict[bytes, int] = {}

    def compile(self, stages: list[Stage], observable_tables: dict[int, np.ndarray]) -> Program:
        first = [-1] * self.num_qubits
        steps: list[Step] = []
        for number, stage in enumerate(stages):
            slot_of = {qubit: self._slot(qubit, gates) for qubit, gates in sorted(stage.slots.items())}
            if number == 0:
                for qubit, slot in slot_of.items():
                    first[qubit] = slot
            else:
                steps += self._slot_steps(slot_of)
            steps += self._monomial_steps(stage)
        if set(observable_tables) == {0} and steps and steps[-1].monomial is not None:
            # |amplitude|**2 only: the last monomial permutes the columns of the table and its phases drop out.
            source, _ = self.monomials[steps.pop().monomial or 0]
            moved = np.empty_like(observable_tables[0])
            moved[:, source] = observable_tables[0]
            observable_tables = {0: moved}
        real = (
            all(rotation.axis == "y" for rotation in self.rotations)
            and all(np.isreal(matrix).all() for matrix in self.fixed)
            and all(np.isreal(phase).all() for _, phase in self.monomials)
            and all(np.isreal(table).all() for table in observable_tables.values())
        )
        return Program(
            num_qubits=self.num_qubits,
            real=bool(real),
            axes=tuple(rotation.axis for rotation in self.rotations),
            input_coefficients=coefficients(self.rotations, self.inputs).toarray(),
            weight_coefficients=coefficients(self.rotations, self.weights).toarray(),
            offsets=np.array([rotation.offset for rotation in self.rotations], dtype=float),
            fixed=np.array(self.fixed, dtype=complex).reshape(-1, 2, 2),
            slots=tuple(self.slots),
            first=tuple(first),
            steps=tuple(steps),
            monomials=tuple(self.monomials),
            observable_tables=observable_tables,
        )

    def _slot(self, qubit: int, gates: list[Rotation | Fixed]) -> int:
        indices = []
        takes_inputs = False
        for gate in gates:
            if isinstance(gate, Rotation):
                check_known(gate, self.inputs, self.weights)
                takes_inputs |= any(parameter in self.inputs for parameter in gate.coefficients)
                indices.append(len(self.rotations))
                self.rotations.append(gate)
            else:
                indices.append(-1 - len(self.fixed))
                self.fixed.append(gate.matrix)
        self.slots.append(Slot(qubit, tuple(indices), takes_inputs))
        return len(self.slots) - 1

    def _slot_steps(self, slot_of: dict[int, int]) -> list[Step]:
        steps = []
        shared = {q: s for q, s in slot_of.items() if not self.slots[s].takes_inputs}
        count = -(-self.num_qubits // BLOCK_QUBITS)
        edges = [round(i * self.num_qubits / count) for i in range(count + 1)]
        for low, high in pairwise(edges):
            members = tuple(shared.get(q, -1) for q in range(low, high))
            if any(member >= 0 for member in members):
                steps.append(Step(block=(low, high - low, members)))
        steps += [Step(slot=s) for s in slot_of.values() if self.slots[s].takes_inputs]
        return steps

    def _monomial_steps(self, stage: Stage) -> list[Step]:
        if not stage.monomials:
            return []
        source, phase = register_map(stage.monomials, self.num_qubits)
        if (source == np.arange(len(source))).all() and (phase == 1).all():
            # Gates that cancel, such as two CX in a row.
            return []
        key = source.tobytes() + phase.tobytes()
        if key not in self.monomial_index:
            self.monomial_index[key] = len(self.monomials)
            self.monomials.append((source, phase))
        return [Step(monomial=self.monomial_index[key])]


def rotation_matrices(angles_xG: Tensor, axes: Sequence[str], dtype: torch.dtype) -> Tensor:
    """Return RX, RY, RZ matrices, shape (…, G, 2, 2), of angles in radians, shape (…, G)."""
    half = angles_xG / 2
    c, s = torch.cos(half), torch.sin(half)
    if all(axis == "y" for axis in axes):
        return torch.stack([c, -s, s, c], dim=-1).unflatten(-1, (2, 2)).to(dtype)
    is_x, is_y, is_z = (
        torch.tensor([axis == letter for axis in axes], device=half.device, dtype=half.dtype) for letter in "xyz"
    )
    # exp(-i a/2 P) = cos(a/2) I - i sin(a/2) P, one formula for all three axes.
    diagonal_0 = torch.complex(c, -s * is_z)
    diagonal_1 = torch.complex(c, s * is_z)
    upper = torch.complex(-s * is_y, -s * is_x)
    lower = torch.complex(s * is_y, -s * is_x)
    return torch.stack([diagonal_0, upper, lower, diagonal_1], dim=-1).unflatten(-1, (2, 2)).to(dtype)


def slot_matrices(rotations_xG22: Tensor, column: dict[int, int], fixed_F22: Tensor, slots: Sequence[Slot]) -> Tensor:
    """Multiply each slot's gates, shape (…, S, 2, 2); the first gate of a slot stands rightmost.

    Args:
        rotations_xG22: matrices of the rotations that occur in these slots.
        column: index of a rotation in the program -> index in ``rotations_xG22``.
        fixed_F22: the program's constant gates.
        slots: the slots to multiply.
    """
    leading = rotations_xG22.shape[:-3]
    count = rotations_xG22.shape[-3]
    identity_122 = torch.eye(2, dtype=fixed_F22.dtype, device=fixed_F22.device)[None]
    constants_F22 = torch.cat([fixed_F22, identity_122])
    identity = count + len(fixed_F22)
    depth = max(len(slot.gates) for slot in slots)
    index = [
        [
            (column[g] if g >= 0 else count - 1 - g) if position < len(slot.gates) else identity
            for slot in slots
            for g in [slot.gates[position] if position < len(slot.gates) else 0]
        ]
        for position in range(depth)
    ]
    if depth == 1 and index[0] == list(range(count)):
        return rotations_xG22
    gates = torch.cat([rotations_xG22, constants_F22.expand(*leading, -1, 2, 2)], dim=-3)
    order = torch.tensor(index, device=gates.device)
    product = gates.index_select(-3, order[0])
    for position in range(1, depth):
        product = gates.index_select(-3, order[position]) @ product
    return product


def block_matrices(slots_PS22: Tensor, members: Sequence[Sequence[int]]) -> Tensor:
    """Kronecker products of slot matrices, shape (N, P, M, M); the block's first qubit is the lowest bit of M.

    Args:
        slots_PS22: slot matrices of P instances.
        members: for each block the column of each of its qubits in ``slots_PS22``, or -1 for identity.
    """
    identity = torch.eye(2, dtype=slots_PS22.dtype, device=slots_PS22.device).expand(len(slots_PS22), 1, 2, 2)
    padded = torch.cat([slots_PS22, identity], dim=1)
    order = torch.tensor(members, device=padded.device) % padded.shape[1]
    gates_NkP22 = padded.transpose(0, 1)[order.flatten()].unflatten(0, order.shape)
    factors = list(gates_NkP22.unbind(1))
    while len(factors) > 1:
        pairs = [_kron(upper, lower) for lower, upper in zip(factors[::2], factors[1::2], strict=False)]
        factors = pairs + factors[2 * len(pairs) :]
    return factors[0]


def _kron(upper: Tensor, lower: Tensor) -> Tensor:
    """Kronecker product of (N, P, x, x) and (N, P, y, y) matrices, shape (N, P, x * y, x * y).

    As an outer product of vectors and one permutation: then its gradient is small matrix products too, no slow sums.
    """
    x, y = upper.shape[-1], lower.shape[-1]
    outer = torch.matmul(upper.flatten(-2)[..., :, None], lower.flatten(-2)[..., None, :])
    ordered = outer.unflatten(-1, (y, y)).unflatten(-3, (x, x)).transpose(-3, -2)
    return ordered.reshape(*outer.shape[:2], x * y, x * y)
