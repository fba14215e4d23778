"""From a program to the words that the kernels walk, for rows of a given width."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate, chain, groupby
from operator import xor
from typing import Any

import numpy as np

from qgan_qiskit.simulation.llvm.blocking import Window, deal, steady
from qgan_qiskit.simulation.llvm.clifford_frame import parity
from qgan_qiskit.simulation.llvm.codegen import KernelKey, Node
from qgan_qiskit.simulation.llvm.diagonal import Factors, Swap
from qgan_qiskit.simulation.llvm.interpreter import loop
from qgan_qiskit.simulation.llvm.program import Barrier, Gate, LlvmProgram
from qgan_qiskit.simulation.llvm.readout import Readout
from qgan_qiskit.simulation.llvm.rotation import Rotate, Turn
from qgan_qiskit.simulation.llvm.state_preparation import Start
from qgan_qiskit.simulation.llvm.target import address, vector_unit

# A window, and the windows within it, or None for one that fits into registers.
_Nest = tuple[Window, Any]

# Bytes of a state's rows in a window of the second and of the first level; backward has as many of the cotangent.
_CHUNK_BYTES = (1 << 18, 1 << 14)
# Tangents of so many angles make a state longer before it is scaled back.
_MOST_UNSCALED = 12
_START_BITS = 3
_READOUT_BITS = 4


class Words:
    """Nodes as one array; their kernels are compiled when it is first asked for."""

    def __init__(self, *nodes: Node) -> None:
        """Join lists of words."""
        self.words: Node = list(chain.from_iterable(nodes))

    @cached_property
    def array(self) -> np.ndarray:
        """The words, int64, with the addresses of kernels."""
        return np.array([address(w, w.build) if isinstance(w, KernelKey) else w for w in self.words], dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Plan:
    """Words for forward and backward.

    Attributes:
        forward: words from |0> to the values of the strings.
        backward: from the final state and the cotangents of these values to gradients of the angles.
        again: the same from |0>, for when the final state was not kept.
        tangents: how rotations are done, see :mod:`qgan_qiskit.simulation.llvm.rotation`.
        single: whether coefficients are single numbers, the same for all lanes, or else rows.
        turned: angles that need coefficients (those of the first layer are in the start vectors): in ``reads``, two for each
            come first,
        products: then one for each of these sets of angles, the product of their cosines; what states are scaled by,
        squares: then one for each of these sets, its square; what gradients of first rotations are multiplied by,
        start_row: at this row the vectors of the qubits at the start begin,
        start_rows: so many,
        string_rows: then the cotangents of the strings.
        moments: with tangents, for each of ``turned``: the angles whose squared cosines multiply its gradient.
        state_rows: rows of a state.
        tables: memory that the words point to.
    """

    forward: Words
    backward: Words
    again: Words
    tangents: bool
    single: bool
    turned: tuple[int, ...]
    products: tuple[tuple[int, ...], ...]
    squares: tuple[tuple[int, ...], ...]
    moments: tuple[tuple[int, ...], ...]
    start_row: int
    start_rows: int
    string_rows: int
    state_rows: int
    tables: tuple[np.ndarray, ...]

    @property
    def read_rows(self) -> int:
        """Rows of all that a tile reads."""
        return self.start_row + self.start_rows + self.string_rows


def plan(program: LlvmProgram, lanes: int, double: bool, tangents: bool, single: bool) -> Plan:
    """Write the words of a program.

    Args:
        program: what to do.
        lanes: numbers in a row.
        double: whether they are double precision.
        tangents: whether to rotate by tangents, else by shears.
        single: whether all lanes of a tile have the same coefficients.
    """
    return _Planner(program, lanes, double, tangents, single).plan()


def turned_angles(program: LlvmProgram) -> list[int]:
    """Return the angles that need coefficients: all, but those of first rotations where no qubit has a second at the start."""
    first = {sequence[0][1] for sequence in program.start.values()}
    simple = all(len(sequence) <= 1 for sequence in program.start.values())
    return [angle for angle in range(len(program.offsets)) if not (simple and angle in first)]


@dataclass
class _Planner:
    program: LlvmProgram
    lanes: int
    double: bool
    tangents: bool
    single: bool
    products: list[tuple[int, ...]] = field(default_factory=list)
    squares: list[tuple[int, ...]] = field(default_factory=list)
    tables: dict[int, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        program = self.program
        self.row_bytes = self.lanes * (8 if self.double else 4)
        self.n = program.num_qubits
        self.planes = 2 if program.complex else 1
        self.plane = self.row_bytes << self.n
        # All places, as exclusive ors of these.
        self.space = [*program.columns, *([1 << self.n] if program.complex else [])]
        # From |0> backward stops at the first rotation of each qubit: there nothing has to be undone.
        self.first = {sequence[0][1] for sequence in program.start.values()}
        self.turned = {angle: number for number, angle in enumerate(turned_angles(program))}
        self.started = {index for sequence in program.start.values() for _, index in sequence}
        self.moments: dict[int, tuple[int, ...]] = {}

    def plan(self) -> Plan:
        program = self.program
        # All scales are known before words point to what comes after them, and all words before the start is placed.
        dealt_ahead = [self._deal(segment, backward=False) for segment in program.segments]
        dealt_back = [self._deal(segment, backward=True) for segment in reversed(program.segments)]
        ahead = [self._segment(*dealt, backward=False) for dealt in dealt_ahead]
        back = [self._segment(*dealt, backward=True) for dealt in dealt_back]
        coefficients = 2 * len(self.turned) + len(self.products) + len(self.squares)
        self.start_row = -(-coefficients // self.lanes) if self.single else coefficients
        self.string_row = self.start_row + 2 * self.planes * self.n
        start, backward = self._start(), [self._readouts(backward=True), *back]
        return Plan(
            forward=Words(start, *ahead, self._readouts(backward=False)),
            backward=Words(*backward),
            again=Words(start, *ahead, *backward),
            tangents=self.tangents,
            single=self.single,
            turned=tuple(self.turned),
            products=tuple(self.products),
            squares=tuple(self.squares),
            moments=tuple(self.moments.get(angle, ()) for angle in self.turned),
            start_row=self.start_row,
            start_rows=2 * self.planes * self.n,
            string_rows=len(program.strings),
            state_rows=self.planes << self.n,
            tables=tuple(self.tables.values()),
        )

    def _offsets(self, flips: Sequence[int]) -> list[int]:
        offsets = [0]
        for flip in flips:
            offsets += [offset ^ flip * self.row_bytes for offset in offsets]
        return offsets

    def _steps(self, flips: Sequence[int]) -> list[int]:
        """Words that walk all exclusive ors of some flips: those of bits 0 to i of a counter change at once."""
        return [flip * self.row_bytes for flip in accumulate(flips, xor)] + [0]

    def _start(self) -> Node:
        words: Node = []
        columns = self.program.columns
        for low in range(0, self.n, _START_BITS):
            new = columns[low : low + _START_BITS]
            kernel = Start(self.lanes, self.double, self.program.complex, len(new), first=low == 0)
            read = (self.start_row + 2 * self.planes * low) * self.row_bytes
            words += kernel.node(1 << low, self.plane, read, self._offsets(new), self._steps(columns[:low]))
        return words

    def _deal(self, segment: list[Gate] | Barrier, backward: bool) -> tuple[Any, dict[Window, int]]:
        """Deal the rotations of a segment out to windows, and say where states are scaled."""
        if isinstance(segment, Barrier):
            return segment, {}
        # Forward begins with the state after the first rotations, backward ends there.
        gates = segment[::-1] if backward else [gate for gate in segment if gate.index not in self.started]
        chunks = [size // self.row_bytes for size in _CHUNK_BYTES]
        levels = [chunk.bit_length() - 1 for chunk in chunks if chunk.bit_length() <= len(self.space)]
        levels.append(_registers(backward))
        key = (id(segment), backward, *levels)
        if key not in self.program.nests:
            self.program.nests[key] = _nest(gates, levels)
        nest = self.program.nests[key]
        return nest, self._scale(list(_leaves(nest)), backward)

    def _segment(self, dealt: Any, scaled: dict[Window, int], backward: bool) -> Node:
        if not isinstance(dealt, Barrier):
            return self._write(dealt, self.space, (), backward, scaled)
        if dealt.swaps is None:
            return self._factors(dealt, backward)
        return self._swaps(dealt.swaps, backward)

    def _scale(self, leaves: list[Window], backward: bool) -> dict[Window, int]:
        """Say where a state that tangents have made longer is scaled back, and by which coefficient."""
        scaled: dict[Window, int] = {}
        if not self.tangents:
            return scaled
        pending: list[int] = []
        for number, window in enumerate(leaves):
            for gate in window.gates:
                if backward:
                    self.moments[gate.index] = tuple(pending)
                if not (backward and gate.index in self.first):
                    pending.append(gate.index)
            if pending and (number == len(leaves) - 1 or len(pending) >= _MOST_UNSCALED):
                scaled[window] = 2 * len(self.turned) + len(self.products)
                self.products.append(tuple(pending))
                pending = []
        return scaled

    def _reads(self, gate: Gate) -> tuple[int, bool]:
        """Return where the coefficients of a rotation begin, and whether the second one is a factor of its gradient."""
        if gate.index in self.turned:
            return 2 * self.turned[gate.index], self.tangents
        members = self.moments.get(gate.index, ())
        if not members:
            return 0, False
        # Only the second coefficient is read.
        if members not in self.squares:
            self.squares.append(members)
        return 2 * len(self.turned) + len(self.products) + self.squares.index(members) - 1, True

    def _write(
        self,
        nest: list[_Nest],
        space: list[int],
        outer: tuple[int, ...],
        backward: bool,
        scaled: dict[Window, int],
    ) -> Node:
        """Write windows, for all places of a space; ``outer`` are the flips of loops around it."""
        words: Node = []
        for window, inner in nest:
            others = steady(window.span.complement(space), window)
            if inner is None:
                words += self._leaf(window, others, outer, backward, scaled.get(window))
            else:
                body = self._write(inner, window.span.basis, (*outer, *others), backward, scaled)
                words += loop(1 << len(others), self._steps(others), body)
        return words

    def _leaf(
        self, window: Window, others: list[int], outer: tuple[int, ...], backward: bool, scale: int | None
    ) -> Node:
        span = window.span
        walked = (*others, *outer)
        # Rotations whose a and b are exchanged in the same cosets share a word of signs.
        exchanged = [tuple(parity(gate.pairs.mask & flip) for flip in walked) for gate in window.gates]
        classes = {
            pattern: gate.pairs.mask for pattern, gate in zip(exchanged, window.gates, strict=True) if any(pattern)
        }
        number = {pattern: i for i, pattern in enumerate(classes)}
        reads = [self._reads(gate) if backward else (2 * self.turned[gate.index], False) for gate in window.gates]
        turns = tuple(
            Turn(
                flip=span.coordinates(gate.pairs.flip),
                mask=sum(parity(gate.pairs.mask & flip) << i for i, flip in enumerate(span.basis)),
                sign=number.get(pattern, -1),
                gradient=backward and gate.varies,
                undo=backward and gate.index not in self.first,
                factor=factor,
            )
            for gate, pattern, (_, factor) in zip(window.gates, exchanged, reads, strict=True)
        )
        kernel = Rotate(
            *(self.lanes, self.double, backward, len(span.basis), len(classes), turns, self.tangents, self.single),
            scaled=scale is not None,
        )
        return kernel.node(
            1 << len(others),
            scale or 0,
            self._offsets(span.basis),
            [place for place, _ in reads],
            [gate.index * self.row_bytes for gate in window.gates],
            [mask * self.row_bytes for mask in classes.values()],
            self._steps(others),
        )

    def _factors(self, barrier: Barrier, backward: bool) -> Node:
        factors = barrier.factors
        assert factors is not None
        if id(factors) not in self.tables:
            values = np.stack([factors.real, factors.imag], axis=-1) if self.program.complex else factors.real
            self.tables[id(factors)] = np.ascontiguousarray(values, dtype=np.float64 if self.double else np.float32)
        kernel = Factors(self.lanes, self.double, backward, self.program.complex)
        table = int(self.tables[id(factors)].ctypes.data)
        return kernel.node(1 << self.n, table, self.plane, self._steps([1 << bit for bit in range(self.n)]))

    def _swaps(self, swaps: np.ndarray, backward: bool) -> Node:
        pairs = swaps * self.row_bytes
        if self.program.complex:
            pairs = np.concatenate([pairs, pairs ^ self.plane])
        pairs = np.ascontiguousarray(pairs[::-1] if backward else pairs)
        self.tables[id(pairs)] = pairs
        return Swap(self.lanes, self.double, backward).node(len(pairs), int(pairs.ctypes.data))

    def _readouts(self, backward: bool) -> Node:
        """Read the strings, in the order of places."""
        bits = min(_READOUT_BITS, self.n)
        count = 1 << (self.n - bits)
        words: Node = []
        row = self.string_row if backward else 0
        runs = groupby(self.program.strings, key=lambda string: (string.flip, string.part))
        for number, ((flip, part), run) in enumerate(runs):
            strings = list(run)
            kernel = Readout(
                self.lanes, self.double, backward, bits, self.program.complex, part, add=backward and number > 0
            )
            words += kernel.node(
                count,
                [(string.mask & ((1 << bits) - 1), string.mask >> bits) for string in strings],
                row * self.row_bytes,
                flip * self.row_bytes,
                self.plane,
                [place * self.row_bytes for place in range(1 << bits)],
                [((2 << bit) - 1) * self.row_bytes << bits for bit in range(self.n - bits)] + [0],
            )
            row += len(strings)
        return words


def _registers(backward: bool) -> int:
    """Return how many flips a kernel can hold in registers: of one state, or of a state and a cotangent."""
    flips = 3 if backward else 4
    return flips if vector_unit().registers >= 32 else flips - 1


def _nest(gates: Sequence[Gate], levels: list[int]) -> list[_Nest]:
    """Deal gates out to windows of the first level, and what these hold to windows of the next, and so on."""
    level, *deeper = levels
    return [(window, _nest(window.gates, deeper) if deeper else None) for window in deal(gates, level)]


def _leaves(nest: list[_Nest]) -> Iterator[Window]:
    for window, inner in nest:
        if inner is None:
            yield window
        else:
            yield from _leaves(inner)
