"""Assemble a program into the instructions that the interpreter walks, for rows of a given width.

Where things are, in rows of a tile::

    state, cotangent   one row per address p; a loop over cosets steps through offsets p * row_bytes
    operands           coefficients of rotations | states of the first layer | cotangents of Pauli sums
    results            Pauli sums (forward), gradients of angles (backward)

Growth by tangents. A rotation by a tangent multiplies the state by 1/cos(angle/2). After a dozen rotations the state is
multiplied by the product of their cosines (*rescaling*). A gradient that is summed up while the cosines of a set S are pending
is too large by 1/prod(cos**2 over S), as state and cotangent have both grown: it is multiplied by that (*gradient scale*).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate, chain, groupby
from operator import xor
from typing import Any, cast

import numpy as np

from qgan_qiskit.simulation.llvm.blocking import Block, choose_representatives, partition_gates
from qgan_qiskit.simulation.llvm.clifford_frame import parity
from qgan_qiskit.simulation.llvm.codegen import Instruction, Kernel
from qgan_qiskit.simulation.llvm.interpreter import encode_loop
from qgan_qiskit.simulation.llvm.program import Barrier, LlvmProgram, PauliRotation
from qgan_qiskit.simulation.llvm.rotation import PlaneRotation, RotationKernel
from qgan_qiskit.simulation.llvm.state_kernels import PhaseKernel, ProductStateKernel, ReadoutKernel, SwapKernel
from qgan_qiskit.simulation.llvm.target import kernel_address, vector_unit

# A block with the blocks it is partitioned into, or None for one that fits into registers.
_BlockTree = tuple[Block, Any]

# Bytes of a state's rows in a block for the second- and for the first-level cache; backward has as many of the cotangent.
_CACHE_BYTES = (1 << 18, 1 << 14)
# A state is rescaled after rotations by so many tangents.
_MAX_PENDING_COSINES = 12
_PRODUCT_STATE_QUBITS = 3
_READOUT_BITS = 4


class Code:
    """A sequence of instructions; their kernels are compiled when :attr:`words` is first read."""

    def __init__(self, *instructions: Instruction) -> None:
        """Join instructions."""
        self._symbolic: Instruction = list(chain.from_iterable(instructions))

    @cached_property
    def words(self) -> np.ndarray:
        """The instructions as int64, with the addresses of kernels."""
        addresses = (kernel_address(w, w.build) if isinstance(w, Kernel) else w for w in self._symbolic)
        return np.array(list(addresses), dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Bytecode:
    """A program for tiles of a given form, forward and backward, and the layout of its operands.

    Attributes:
        forward: from |0> to the Pauli sums.
        backward: from the final state and the cotangents of the Pauli sums to the gradients of the angles.
        replay: the same from |0>, for a final state that was not kept.
        tangents: whether rotations are done by tangents, else by shears; see :mod:`qgan_qiskit.simulation.llvm.rotation`.
        uniform: whether coefficients are single numbers, the same for all lanes, else rows.
        angles: numbers of the angles that have coefficients. In the operands two for each come first,
        rescalings: then one for each of these sets of angles, the product of their cosines,
        squares: then one for each of these sets, the square of that product;
        first_state_row: in this row the states of the first layer begin,
        first_state_rows: so many,
        pauli_rows: then so many cotangents of Pauli sums.
        gradient_scales: with tangents, for each of ``angles`` the set of angles whose cosines scale its gradient.
        state_rows: rows of a state.
        tables: keeps alive the memory that instructions point to.
    """

    forward: Code
    backward: Code
    replay: Code
    tangents: bool
    uniform: bool
    angles: tuple[int, ...]
    rescalings: tuple[tuple[int, ...], ...]
    squares: tuple[tuple[int, ...], ...]
    gradient_scales: tuple[tuple[int, ...], ...]
    first_state_row: int
    first_state_rows: int
    pauli_rows: int
    state_rows: int
    tables: tuple[np.ndarray, ...]

    @property
    def operand_rows(self) -> int:
        """Rows of a tile's operands."""
        return self.first_state_row + self.first_state_rows + self.pauli_rows


def assemble(program: LlvmProgram, lanes: int, double: bool, tangents: bool, uniform: bool) -> Bytecode:
    """Assemble a program.

    Args:
        program: what to do.
        lanes: numbers in a row.
        double: whether they are double precision.
        tangents: whether to rotate by tangents, else by shears.
        uniform: whether all lanes of a tile have the same coefficients.
    """
    return _Assembler(program, lanes, double, tangents, uniform).assemble()


def angles_with_coefficients(program: LlvmProgram) -> list[int]:
    """Return all angles but initial ones, whose rotations are in the product state.

    If a qubit has several rotations in the first layer these have coefficients, and so do all others.
    """
    simple = all(len(rotations) <= 1 for rotations in program.first_layer.values())
    left_out = program.initial_angles if simple else set()
    return [angle for angle in range(len(program.offsets)) if angle not in left_out]


def counter_steps(vectors: Sequence[int]) -> list[int]:
    """Return the steps that walk all exclusive ors of some vectors as a binary counter does.

    Step i is the sum of vectors 0 to i, whose bits change together. The last step, after all sums, is 0.
    """
    return [*accumulate(vectors, xor), 0]


@dataclass
class _CoefficientLayout:
    """Assigns numbers to coefficients, and says where states grow and are rescaled."""

    tangents: bool
    angles: list[int]
    initial: set[int]
    rescalings: list[tuple[int, ...]] = field(default_factory=list)
    squares: list[tuple[int, ...]] = field(default_factory=list)
    pending_at: dict[int, tuple[int, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._row = {angle: number for number, angle in enumerate(self.angles)}

    def plan_rescalings(self, blocks: Sequence[Block], backward: bool) -> dict[Block, int]:
        """Return the blocks after which a state is rescaled, with the number of the factor."""
        rescaled: dict[Block, int] = {}
        if not self.tangents:
            return rescaled
        pending: list[int] = []
        for number, block in enumerate(blocks):
            for rotation in block.rotations:
                if backward:
                    self.pending_at[rotation.angle] = tuple(pending)
                if not (backward and rotation.angle in self.initial):
                    pending.append(rotation.angle)
            if pending and (number == len(blocks) - 1 or len(pending) >= _MAX_PENDING_COSINES):
                rescaled[block] = 2 * len(self.angles) + len(self.rescalings)
                self.rescalings.append(tuple(pending))
                pending = []
        return rescaled

    def coefficient(self, angle: int, backward: bool) -> tuple[int, bool]:
        """Return the number of an angle's first coefficient, and whether the second one scales the gradient."""
        if angle in self._row:
            return 2 * self._row[angle], backward and self.tangents
        pending = self.pending_at.get(angle, ())
        if not pending:
            return 0, False
        # An initial rotation is not undone: of its two coefficients only the second one is read.
        if pending not in self.squares:
            self.squares.append(pending)
        return 2 * len(self.angles) + len(self.rescalings) + self.squares.index(pending) - 1, True

    @property
    def count(self) -> int:
        return 2 * len(self.angles) + len(self.rescalings) + len(self.squares)


class _Assembler:
    """Assembles one program; its methods return instructions."""

    def __init__(self, program: LlvmProgram, lanes: int, double: bool, tangents: bool, uniform: bool) -> None:
        self.program, self.lanes, self.double = program, lanes, double
        self.tangents, self.uniform = tangents, uniform
        self.row_bytes = lanes * (8 if double else 4)
        self.num_qubits = program.num_qubits
        self.parts = 2 if program.complex else 1
        self.imag_offset = self.row_bytes << self.num_qubits
        # Basis of all addresses.
        self.space = [*program.gf2_matrix, *([1 << self.num_qubits] if program.complex else [])]
        self.first_layer = program.first_layer_angles
        self.initial = program.initial_angles
        self.layout = _CoefficientLayout(tangents, angles_with_coefficients(program), self.initial)
        self.tables: dict[int, np.ndarray] = {}

    def assemble(self) -> Bytecode:
        program, layout = self.program, self.layout
        # Rescalings are numbered before instructions are written, as squares are numbered after all of them.
        planned = [self._plan_segment(segment, backward=False) for segment in program.segments]
        planned_back = [self._plan_segment(segment, backward=True) for segment in reversed(program.segments)]
        forward = [self._segment(*plan, backward=False) for plan in planned]
        backward = [self._segment(*plan, backward=True) for plan in planned_back]
        self.first_state_row = -(-layout.count // self.lanes) if self.uniform else layout.count
        self.pauli_row = self.first_state_row + 2 * self.parts * self.num_qubits
        evolution = [self._product_state(), *forward]
        return_path = [self._readout(backward=True), *backward]
        return Bytecode(
            forward=Code(*evolution, self._readout(backward=False)),
            backward=Code(*return_path),
            replay=Code(*evolution, *return_path),
            tangents=self.tangents,
            uniform=self.uniform,
            angles=tuple(layout.angles),
            rescalings=tuple(layout.rescalings),
            squares=tuple(layout.squares),
            gradient_scales=tuple(layout.pending_at.get(angle, ()) for angle in layout.angles),
            first_state_row=self.first_state_row,
            first_state_rows=2 * self.parts * self.num_qubits,
            pauli_rows=len(program.pauli_sums),
            state_rows=self.parts << self.num_qubits,
            tables=tuple(self.tables.values()),
        )

    def _offsets_of_span(self, vectors: Sequence[int]) -> list[int]:
        offsets = [0]
        for vector in vectors:
            offsets += [offset ^ vector * self.row_bytes for offset in offsets]
        return offsets

    def _steps(self, vectors: Sequence[int]) -> list[int]:
        return [step * self.row_bytes for step in counter_steps(vectors)]

    def _product_state(self) -> Instruction:
        """Write the product state of the first layer, a few qubits at a time."""
        code: Instruction = []
        columns = self.program.gf2_matrix
        for low in range(0, self.num_qubits, _PRODUCT_STATE_QUBITS):
            new = columns[low : low + _PRODUCT_STATE_QUBITS]
            kernel = ProductStateKernel(self.lanes, self.double, self.program.complex, len(new), first=low == 0)
            vectors = (self.first_state_row + 2 * self.parts * low) * self.row_bytes
            code += kernel.encode(
                1 << low, self.imag_offset, vectors, self._offsets_of_span(new), self._steps(columns[:low])
            )
        return code

    def _plan_segment(self, segment: list[PauliRotation] | Barrier, backward: bool) -> tuple[Any, dict[Block, int]]:
        """Partition the rotations of a segment into blocks of blocks, and say where states are rescaled."""
        if isinstance(segment, Barrier):
            return segment, {}
        # Forward begins with the product state, after the first layer; backward ends at |0>, before it.
        rotations = segment[::-1] if backward else [r for r in segment if r.angle not in self.first_layer]
        cache_rows = [size // self.row_bytes for size in _CACHE_BYTES]
        # A level that is as large as the state is left out.
        dimensions = [rows.bit_length() - 1 for rows in cache_rows if rows.bit_length() <= len(self.space)]
        dimensions.append(_register_dimensions(backward))
        key = (id(segment), backward, *dimensions)
        if key not in self.program.blockings:
            self.program.blockings[key] = _partition_nested(rotations, dimensions)
        blocks = self.program.blockings[key]
        return blocks, self.layout.plan_rescalings(list(_innermost(blocks)), backward)

    def _segment(self, planned: Any, rescaled: dict[Block, int], backward: bool) -> Instruction:
        if not isinstance(planned, Barrier):
            return self._blocks(planned, self.space, (), backward, rescaled)
        if planned.swaps is None:
            return self._phases(planned, backward)
        return self._swaps(planned.swaps, backward)

    def _blocks(
        self,
        blocks: list[_BlockTree],
        space: list[int],
        outer: tuple[int, ...],
        backward: bool,
        rescaled: dict[Block, int],
    ) -> Instruction:
        """Write loops over the cosets of each block within a space; ``outer`` are the vectors of loops around it."""
        code: Instruction = []
        for block, inner in blocks:
            cosets = choose_representatives(block.subspace.complement(space), block)
            if inner is None:
                code += self._register_block(block, cosets, outer, backward, rescaled.get(block))
            else:
                body = self._blocks(inner, block.subspace.basis, (*outer, *cosets), backward, rescaled)
                code += encode_loop(1 << len(cosets), self._steps(cosets), body)
        return code

    def _register_block(
        self, block: Block, cosets: list[int], outer: tuple[int, ...], backward: bool, scale: int | None
    ) -> Instruction:
        """Write the rotations of a block whose rows fit into registers."""
        subspace = block.subspace
        # Which steps between cosets exchange a and b of each rotation; rotations of one pattern share a sign mask.
        patterns = [
            tuple(parity(rotation.pauli.z_mask & vector) for vector in (*cosets, *outer))
            for rotation in block.rotations
        ]
        sign_masks = {
            pattern: rotation.pauli.z_mask
            for pattern, rotation in zip(patterns, block.rotations, strict=True)
            if any(pattern)
        }
        number = {pattern: i for i, pattern in enumerate(sign_masks)}
        coefficients, plane_rotations = [], []
        for rotation, pattern in zip(block.rotations, patterns, strict=True):
            coefficient, scale_gradient = self.layout.coefficient(rotation.angle, backward)
            coefficients.append(coefficient)
            z_mask = rotation.pauli.z_mask
            plane_rotations.append(
                PlaneRotation(
                    x_mask=subspace.coordinates(rotation.pauli.x_mask),
                    z_mask=sum(parity(z_mask & vector) << i for i, vector in enumerate(subspace.basis)),
                    sign=number.get(pattern, -1),
                    gradient=backward and rotation.varies,
                    undo=backward and rotation.angle not in self.initial,
                    scale_gradient=scale_gradient,
                )
            )
        kernel = RotationKernel(
            self.lanes,
            self.double,
            backward,
            dimensions=len(subspace.basis),
            signs=len(sign_masks),
            rotations=tuple(plane_rotations),
            tangents=self.tangents,
            uniform=self.uniform,
            scaled=scale is not None,
        )
        return kernel.encode(
            count=1 << len(cosets),
            scale=scale or 0,
            offsets=self._offsets_of_span(subspace.basis),
            coefficients=coefficients,
            gradients=[rotation.angle * self.row_bytes for rotation in block.rotations],
            sign_masks=[mask * self.row_bytes for mask in sign_masks.values()],
            steps=self._steps(cosets),
        )

    def _phases(self, barrier: Barrier, backward: bool) -> Instruction:
        phases = cast(np.ndarray, barrier.phases)
        if id(phases) not in self.tables:
            values = np.stack([phases.real, phases.imag], axis=-1) if self.program.complex else phases.real
            self.tables[id(phases)] = np.ascontiguousarray(values, dtype=np.float64 if self.double else np.float32)
        kernel = PhaseKernel(self.lanes, self.double, backward, self.program.complex)
        table = int(self.tables[id(phases)].ctypes.data)
        steps = self._steps([1 << bit for bit in range(self.num_qubits)])
        return kernel.encode(1 << self.num_qubits, table, self.imag_offset, steps)

    def _swaps(self, swaps: np.ndarray, backward: bool) -> Instruction:
        pairs = swaps * self.row_bytes
        if self.program.complex:
            pairs = np.concatenate([pairs, pairs ^ self.imag_offset])
        pairs = np.ascontiguousarray(pairs[::-1] if backward else pairs)
        self.tables[id(pairs)] = pairs
        return SwapKernel(self.lanes, self.double, backward).encode(len(pairs), int(pairs.ctypes.data))

    def _readout(self, backward: bool) -> Instruction:
        """Read the Pauli sums, or write their gradient by the state, in the order of addresses."""
        bits = min(_READOUT_BITS, self.num_qubits)
        code: Instruction = []
        row = self.pauli_row if backward else 0
        groups = groupby(self.program.pauli_sums, key=lambda pauli_sum: (pauli_sum.x_mask, pauli_sum.part))
        for number, ((x_mask, part), group) in enumerate(groups):
            z_masks = [(pauli_sum.z_mask & ((1 << bits) - 1), pauli_sum.z_mask >> bits) for pauli_sum in group]
            add = backward and number > 0
            kernel = ReadoutKernel(self.lanes, self.double, backward, bits, self.program.complex, part, add)
            code += kernel.encode(
                count=1 << (self.num_qubits - bits),
                z_masks=z_masks,
                row=row * self.row_bytes,
                x_mask=x_mask * self.row_bytes,
                imag_bit=self.imag_offset,
                offsets=[address * self.row_bytes for address in range(1 << bits)],
                steps=self._steps([1 << bit for bit in range(bits, self.num_qubits)]),
            )
            row += len(z_masks)
        return code


def _register_dimensions(backward: bool) -> int:
    """Return the dimensions of a block whose rows fit into registers: of one state, or of a state and a cotangent."""
    dimensions = 3 if backward else 4
    return dimensions if vector_unit().registers >= 32 else dimensions - 1


def _partition_nested(rotations: Sequence[PauliRotation], dimensions: list[int]) -> list[_BlockTree]:
    """Partition rotations into blocks of the first number of dimensions, each of these into blocks of the next, and so on."""
    outermost, *inner = dimensions
    blocks = partition_gates(rotations, outermost)
    return [(block, _partition_nested(block.rotations, inner) if inner else None) for block in blocks]


def _innermost(blocks: list[_BlockTree]) -> Iterator[Block]:
    for block, inner in blocks:
        if inner is None:
            yield block
        else:
            yield from _innermost(inner)
