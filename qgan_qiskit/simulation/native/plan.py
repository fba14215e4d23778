"""From a program to the words that the kernels walk, for rows of a given width.

A stage rotates every qubit, but a kernel holds the rows of few qubits in its registers. So the qubits are dealt into groups,
one kernel each. Groups are nested: those that fit together into the first-level cache (a chunk of rows that differ in these
groups' qubits) are worked through chunk by chunk, and so for the second level. Then the state crosses each cache once per
nest instead of once per group.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, groupby

import numpy as np

from qgan_qiskit.simulation.native.host import vector_unit
from qgan_qiskit.simulation.native.layout import Layout
from qgan_qiskit.simulation.native.program import Gate, NativeProgram, Part
from qgan_qiskit.simulation.native.readout import Readout
from qgan_qiskit.simulation.native.rotate import Rotate, Turn
from qgan_qiskit.simulation.native.start import Start
from qgan_qiskit.simulation.native.swap import Swap
from qgan_qiskit.simulation.native.walk import loop

# Bytes of the rows of one chunk, for the second and the first level: what leaves room for the neighbours of either.
_CHUNK_BYTES = (1 << 19, 1 << 14)
# Tangents of so many angles make a state longer before it is scaled back.
_MOST_UNSCALED = 12
_START_BITS = 3
_READOUT_BITS = 4


@dataclass(frozen=True, eq=False)
class Plan:
    """Words for forward and backward.

    Attributes:
        forward: from |0> to the values of the strings.
        backward: from the final state and the cotangents of these values to gradients of the angles.
        again: the same from |0>, for when the final state was not kept.
        tangents: how rotations are done, see :mod:`qgan_qiskit.simulation.native.rotate`.
        turned: angles that need coefficients (those of the first layer are in the start vectors): in ``reads``, two rows for
            each come first,
        scales: then a row for each of these sets of angles, the product of their cosines,
        start_rows: then the vectors of the qubits at the start,
        string_rows: then the cotangents of the strings.
        moments: with tangents, for each of ``turned``: the angles whose squared cosines multiply its gradient.
        state_rows: rows of a state.
        tables: memory that the words point to.
    """

    forward: np.ndarray
    backward: np.ndarray
    again: np.ndarray
    tangents: bool
    turned: tuple[int, ...]
    scales: tuple[tuple[int, ...], ...]
    moments: tuple[tuple[int, ...], ...]
    start_rows: int
    string_rows: int
    state_rows: int
    tables: tuple[np.ndarray, ...]

    @property
    def read_rows(self) -> int:
        """Rows of all that a tile reads."""
        return 2 * len(self.turned) + len(self.scales) + self.start_rows + self.string_rows


def plan(program: NativeProgram, lanes: int, double: bool, tangents: bool) -> Plan:
    """Write the words of a program for rows of ``lanes`` numbers, with rotations by tangents or by shears."""
    return _Planner(program, lanes, double, tangents).plan()


@dataclass(frozen=True)
class _Group:
    """Gates of a few qubits: one kernel."""

    qubits: tuple[int, ...]
    gates: tuple[Gate, ...]
    plane: bool
    table: str

    def bits(self, plane: int) -> tuple[int, ...]:
        return (*self.qubits, plane) if self.plane else self.qubits


@dataclass(frozen=True)
class _Leaf:
    """The kernel of a group, and the row of its scale."""

    kernel: Rotate
    scale: int = 0

    def scaled(self, row: int) -> _Leaf:
        return _Leaf(replace(self.kernel, scaled=True), row)


@dataclass
class _Planner:
    program: NativeProgram
    lanes: int
    double: bool
    tangents: bool
    scales: list[tuple[int, ...]] = field(default_factory=list)
    tables: dict[int, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        program = self.program
        self.row_bytes = self.lanes * (8 if self.double else 4)
        self.n = program.num_qubits
        self.planes = 2 if program.complex else 1
        self.plane = self.row_bytes << self.n
        # From |0> backward stops at the first rotation of each qubit: there nothing has to be undone.
        self.first = {gates[0].index for gates in program.start.gates.values() if gates}
        # If these are all there is before the first entangling gate, they need no coefficients.
        simple = all(len(gates) <= 1 for gates in program.start.gates.values())
        turned = [i for i in range(len(program.offsets)) if not (simple and i in self.first)]
        self.turned = {angle: row for row, angle in enumerate(turned)}
        self.moments: dict[int, tuple[int, ...]] = {}

    def plan(self) -> Plan:
        program = self.program
        # The scales stand between other rows: how many there are is known when all parts are written.
        parts = [self._part(part, backward=False) for part in (*program.parts, program.end)]
        back = [self._part(part, backward=True) for part in (program.end, *reversed(program.parts))]
        back.append(self._part(program.start, backward=True, last=True))
        self.start_row = 2 * len(self.turned) + len(self.scales)
        self.string_row = self.start_row + 2 * self.planes * self.n
        forward, backward = _words(self._start(), *parts), _words(self._readouts(backward=True), *back)
        return Plan(
            forward=np.concatenate([forward, _words(self._readouts(backward=False))]),
            backward=backward,
            again=np.concatenate([forward, backward]),
            tangents=self.tangents,
            turned=tuple(self.turned),
            scales=tuple(self.scales),
            moments=tuple(self.moments.get(angle, ()) for angle in self.turned),
            start_rows=2 * self.planes * self.n,
            string_rows=len(program.strings),
            state_rows=self.planes << self.n,
            tables=tuple(self.tables.values()),
        )

    def _column(self, layout: Layout, bit: int) -> int:
        return self.plane if bit == self.n else layout.columns[bit] * self.row_bytes

    def _offsets(self, layout: Layout, bits: Sequence[int], shift: int) -> list[int]:
        offsets = [shift * self.row_bytes]
        for bit in bits:
            offsets += [offset ^ self._column(layout, bit) for offset in offsets]
        return offsets

    def _steps(self, layout: Layout, bits: Sequence[int]) -> list[int]:
        """Words that walk all values of some bits: bits 0 to i of a counter change at once."""
        steps, known = [], 0
        for bit in bits:
            known ^= self._column(layout, bit)
            steps.append(known)
        return [*steps, 0]

    def _all_bits(self) -> list[int]:
        return list(range(self.n + (1 if self.program.complex else 0)))

    def _start(self) -> list[int]:
        words: list[int] = []
        layout = self.program.start.layout
        for low in range(0, self.n, _START_BITS):
            bits = range(low, min(low + _START_BITS, self.n))
            kernel = Start(self.lanes, self.double, self.program.complex, len(bits), first=low == 0)
            read = (self.start_row + 2 * self.planes * low) * self.row_bytes
            offsets = self._offsets(layout, bits, layout.shift if low == 0 else 0)
            words += kernel.node(1 << low, self.plane, read, offsets, self._steps(layout, range(low)))
        return words

    def _part(self, part: Part, backward: bool, last: bool = False) -> list[int]:
        groups = self._groups(part, backward)
        if backward:
            groups.reverse()
        chunks = [size // self.row_bytes // (2 if backward else 1) for size in _CHUNK_BYTES]
        levels = [max(chunk.bit_length() - 1, 1) for chunk in chunks]
        leaves = {group: self._kernel(group, backward, last) for group in groups}
        self._scale(groups, leaves, backward, last)
        words = self._nest(groups, self._all_bits(), levels, part, leaves)
        if part.swaps is None or not len(part.swaps):
            return words
        swaps = self._swaps(part.swaps, backward)
        return words + swaps if backward else swaps + words

    def _scale(self, groups: list[_Group], leaves: dict[_Group, _Leaf], backward: bool, last: bool) -> None:
        """Say where a state that tangents have made longer is scaled back, and by which cosines."""
        if not self.tangents:
            return
        pending: list[int] = []
        for number, group in enumerate(groups):
            gates = reversed(group.gates) if backward else group.gates
            for gate in gates:
                if backward:
                    self.moments[gate.index] = tuple(pending)
                if not (last and gate.index in self.first):
                    pending.append(gate.index)
            ends = number == len(groups) - 1
            if pending and not (ends and last) and (ends or len(pending) >= _MOST_UNSCALED):
                leaves[group] = leaves[group].scaled(2 * len(self.turned) + len(self.scales))
                self.scales.append(tuple(pending))
                pending = []

    def _groups(self, part: Part, backward: bool) -> list[_Group]:
        """Deal the qubits of a part into groups; a table of factors goes with the first one."""
        rows = 3 if backward else 4
        rows -= 0 if vector_unit().registers >= 32 else 1
        table = "" if part.factors is None else "phase" if part.factors.imag.any() else "sign"
        real = [q for q, gates in part.gates.items() if all(gate.axis == "y" for gate in gates)]
        mixed = [q for q in part.gates if q not in real]
        if table == "phase" and not mixed:
            mixed, real = (real[: rows - 1], real[rows - 1 :]) if real else ([0], [])
        if table and not mixed and not real:
            real = [0]
        dealt = [(qubits, True) for qubits in _deal(mixed, max(rows - 1, 1))]
        dealt += [(qubits, False) for qubits in _deal(real, rows)]
        return [
            _Group(
                tuple(qubits), tuple(g for q in qubits for g in part.gates.get(q, [])), plane, "" if number else table
            )
            for number, (qubits, plane) in enumerate(dealt)
        ]

    def _nest(
        self, groups: list[_Group], bits: list[int], levels: list[int], part: Part, leaves: dict[_Group, _Leaf]
    ) -> list[int]:
        """Words for groups, over all values of some bits."""
        while levels and len(bits) <= levels[0]:
            levels = levels[1:]
        if not levels:
            return [word for group in groups for word in self._leaf(group, bits, part, leaves[group])]
        words: list[int] = []
        for members in self._chunks(groups, levels[0]):
            if len(members) == 1:
                words += self._leaf(members[0], bits, part, leaves[members[0]])
                continue
            inside = {bit for group in members for bit in group.bits(self.n)}
            # Fill the chunk up with the bits that lie nearest in memory.
            spare = sorted((b for b in bits if b not in inside), key=lambda b: self._column(part.layout, b))
            inside |= set(spare[: max(levels[0] - len(inside), 0)])
            outside = [b for b in bits if b not in inside]
            body = self._nest(members, [b for b in bits if b in inside], levels[1:], part, leaves)
            words += loop(1 << len(outside), self._steps(part.layout, outside), body)
        return words

    def _chunks(self, groups: list[_Group], size: int) -> list[list[_Group]]:
        """Put neighbouring groups together as long as their bits fit."""
        chunks: list[list[_Group]] = []
        inside: set[int] = set()
        for group in groups:
            bits = set(group.bits(self.n))
            if chunks and len(inside | bits) <= size:
                chunks[-1].append(group)
                inside |= bits
            else:
                chunks.append([group])
                inside = bits
        return chunks

    def _kernel(self, group: _Group, backward: bool, last: bool) -> _Leaf:
        turns = tuple(
            Turn(
                gate.axis,
                group.qubits.index(gate.qubit),
                gradient=gate.varies,
                undo=not (last and gate.index in self.first),
                factor=self.tangents and gate.index in self.turned,
            )
            for gate in group.gates
        )
        bits = len(group.bits(self.n))
        return _Leaf(
            Rotate(
                *(self.lanes, self.double, backward, bits, group.plane, turns, group.table, self.tangents), scaled=False
            )
        )

    def _leaf(self, group: _Group, bits: list[int], part: Part, leaf: _Leaf) -> list[int]:
        own = group.bits(self.n)
        outside = [bit for bit in bits if bit not in own]
        table = (0, 0)
        if group.table:
            assert part.factors is not None
            table = (self._table(part.factors, group.table), ((1 << self.n) - 1) * self.row_bytes)
        rows = [2 * self.turned.get(gate.index, 0) for gate in group.gates]
        return leaf.kernel.node(
            1 << len(outside),
            table,
            leaf.scale * self.row_bytes,
            self._offsets(part.layout, own, part.layout.shift),
            [row * self.row_bytes for row in rows],
            [gate.index * self.row_bytes for gate in group.gates],
            self._steps(part.layout, outside),
        )

    def _table(self, factors: np.ndarray, kind: str) -> int:
        key = id(factors)
        if key not in self.tables:
            values = factors.real if kind == "sign" else np.stack([factors.real, factors.imag], axis=-1)
            self.tables[key] = np.ascontiguousarray(values, dtype=np.float64 if self.double else np.float32)
        return int(self.tables[key].ctypes.data)

    def _swaps(self, swaps: np.ndarray, backward: bool) -> list[int]:
        pairs = swaps * self.row_bytes
        if self.program.complex:
            pairs = np.concatenate([pairs, pairs ^ self.plane])
        pairs = np.ascontiguousarray(pairs[::-1] if backward else pairs)
        self.tables[id(pairs)] = pairs
        return Swap(self.lanes, self.double, backward).node(len(pairs), int(pairs.ctypes.data))

    def _readouts(self, backward: bool) -> list[int]:
        """Read the strings, in the order of places."""
        bits = min(_READOUT_BITS, self.n)
        count = 1 << (self.n - bits)
        words: list[int] = []
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


def _words(*lists: list[int]) -> np.ndarray:
    return np.fromiter(chain.from_iterable(lists), dtype=np.int64)


def _deal(qubits: list[int], size: int) -> list[list[int]]:
    """Deal qubits into as few groups of at most ``size`` as possible, of sizes as equal as possible."""
    count = math.ceil(len(qubits) / size)
    edges = [round(i * len(qubits) / count) for i in range(count + 1)] if count else [0]
    return [qubits[low:high] for low, high in zip(edges, edges[1:], strict=False)]
