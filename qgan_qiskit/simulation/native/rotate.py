"""Kernels that rotate: Pauli rotations on a few qubits at a time, forward, or undone with their gradients.

On rows of real numbers every rotation exp(-i angle/2 P), P = X, Y or Z, is a set of plane rotations of two rows a and b::

    a' = cos(angle/2) a - sin(angle/2) b        b' = sin(angle/2) a + cos(angle/2) b

with, for Y, a and b the amplitudes of |0> and |1>, real and imaginary parts each for themselves; X and Z pair a real with an
imaginary part. Done like this, a pair costs two products and two multiply-adds. There are two cheaper ways:

*Tangents*: with ``t = tan(angle/2)`` it is ``a' = a - t b`` and ``b' = b + t a``, times a cosine. The cosines of a whole stage
are one factor, applied once. Two multiply-adds; but a state between has another length, and overflows where several angles of
a stage are close to pi.

*Shears* (a lifting scheme): ``a -= tan(angle/4) b``, ``b += sin(angle/2) a``, ``a -= tan(angle/4) b``. Three multiply-adds, at
any angle.
"""

from __future__ import annotations

from dataclasses import dataclass

from llvmlite import ir

from qgan_qiskit.simulation.native.emit import I64, Kernel, Value
from qgan_qiskit.simulation.native.host import address

# Words before the offsets: address, length, number of cosets, table, mask of the table, row of the scale.
_COUNT, _TABLE, _MASK, _SCALE, _OFFSETS = 2, 3, 4, 5, 6


@dataclass(frozen=True)
class Turn:
    """One rotation within a kernel.

    Attributes:
        axis: ``x``, ``y`` or ``z``.
        bit: its qubit among the kernel's bits.
        gradient: whether backward sums up the gradient of its angle.
        undo: whether backward needs the state before it.
        factor: whether its gradient is multiplied by its second coefficient.
    """

    axis: str
    bit: int
    gradient: bool = True
    undo: bool = True
    factor: bool = False


@dataclass(frozen=True)
class Rotate:
    """A kernel: rotations on rows that differ in ``bits`` bits, all of which stay in registers.

    Attributes:
        lanes: numbers in a row.
        double: whether they are double precision.
        backward: whether to undo, with gradients.
        bits: how many; the last one tells real from imaginary parts if ``complex`` is set.
        complex: whether a bit is that of real and imaginary parts.
        turns: the rotations, in the order of the circuit.
        table: factors before the rotations: ``""`` for none, ``sign`` (+-1 per amplitude), ``phase`` (cosine and sine each).
        tangents: whether angles come as tangents, else as shears.
        scaled: whether all rows are multiplied by one factor in the end.
    """

    lanes: int
    double: bool
    backward: bool
    bits: int
    complex: bool
    turns: tuple[Turn, ...]
    table: str
    tangents: bool
    scaled: bool

    def node(
        self,
        count: int,
        table: tuple[int, int],
        scale: int,
        offsets: list[int],
        reads: list[int],
        writes: list[int],
        steps: list[int],
    ) -> list[int]:
        """Return the words of a node.

        Args:
            count: number of cosets.
            table: address of the table of factors, and mask for row offsets into it (0, 0 for none).
            scale: offset of the factor.
            offsets: of the 2**bits rows of a coset.
            reads: offset of each rotation's two coefficients: with tangents the tangent, and what its gradient is to be
                multiplied by, because of the length of the states; else the tangent and the sine of its shears.
            writes: offset of each rotation's gradient.
            steps: see :meth:`~qgan_qiskit.simulation.native.emit.Kernel.cosets`.
        """
        words = [address(self, self._build), 0, count, *table, scale, *offsets, *reads, *writes, *steps]
        words[1] = len(words)
        return words

    def _build(self, module: ir.Module, name: str) -> None:
        k = Kernel(module, name, self.lanes, self.double)
        rows = 1 << self.bits
        first_read = _OFFSETS + rows
        first_write = first_read + len(self.turns)
        offsets = [k.word(_OFFSETS + i) for i in range(rows)]
        reads = [k.word(first_read + i) for i in range(len(self.turns))]
        tangents = [k.load(k.reads, at) for at in reads]
        seconds = [k.at.add(at, I64(k.row_bytes)) for at in reads]
        sines = [] if self.tangents else [k.load(k.reads, at) for at in seconds]
        scale = k.load(k.reads, k.word(_SCALE)) if self.scaled else None
        with_gradient = [i for i, turn in enumerate(self.turns) if turn.gradient] if self.backward else []
        table = (k.at.inttoptr(k.word(_TABLE), k.scalar.as_pointer()), k.word(_MASK))

        def turn(states: list[list[Value]], i: int, undo: bool) -> None:
            pairs = self._pairs(self.turns[i])
            if undo:
                # The inverse of a plane rotation exchanges the two rows.
                pairs = [(b, a) for a, b in pairs]
            for state in states:
                if self.tangents:
                    _rotate_by_tangent(k, state, pairs, tangents[i])
                else:
                    _rotate_by_shears(k, state, pairs, tangents[i], sines[i])

        def store(state: list[Value], pointer: Value, at: list[Value]) -> None:
            for value, row in zip(state, at, strict=True):
                k.store(value if scale is None else k.mul(scale, value), pointer, row)

        def forward(base: Value, _number: Value, _carried: list[Value]) -> list[Value]:
            at = [k.at.xor(base, offset) for offset in offsets]
            state = self._factors(k, [k.load(k.state, row) for row in at], at, table)
            for i in range(len(self.turns)):
                turn([state], i, undo=False)
            store(state, k.state, at)
            return []

        def backward(base: Value, _number: Value, carried: list[Value]) -> list[Value]:
            at = [k.at.xor(base, offset) for offset in offsets]
            cotangent = [k.load(k.cotangent, row) for row in at]
            state = [k.load(k.state, row) for row in at]
            for i in reversed(range(len(self.turns))):
                if i in with_gradient:
                    slot = with_gradient.index(i)
                    carried[slot] = k.add(carried[slot], _moment(k, cotangent, state, self._pairs(self.turns[i])))
                if self.turns[i].undo:
                    turn([state, cotangent], i, undo=True)
            if self.table or any(turn.undo for turn in self.turns):
                for rows, pointer in ((state, k.state), (cotangent, k.cotangent)):
                    store(self._factors(k, rows, at, table, undo=True), pointer, at)
            return carried

        body = backward if self.backward else forward
        zeros = [k.constant(0.0)] * len(with_gradient)
        totals = k.cosets(k.word(_COUNT), first_write + len(self.turns), zeros, body)
        for i, total in zip(with_gradient, totals, strict=True):
            at = k.word(first_write + i)
            own = k.mul(k.load(k.reads, seconds[i]), total) if self.turns[i].factor else total
            k.store(k.add(k.load(k.writes, at), own), k.writes, at)
        k.at.ret_void()

    def _pairs(self, turn: Turn) -> list[tuple[int, int]]:
        """Return the pairs (a, b) of rows that a rotation turns."""
        one = 1 << turn.bit
        zeros = [row for row in range(1 << self.bits) if not row & one]
        if turn.axis == "y":
            return [(row, row | one) for row in zeros]
        imaginary = 1 << (self.bits - 1)
        real = [row for row in zeros if not row & imaginary]
        if turn.axis == "x":
            return [pair for row in real for pair in ((row | one | imaginary, row), (row | imaginary, row | one))]
        return [pair for row in real for pair in ((row | imaginary, row), (row | one, row | one | imaginary))]

    def _factors(
        self, k: Kernel, rows: list[Value], at: list[Value], table: tuple[Value, Value], undo: bool = False
    ) -> list[Value]:
        """Multiply rows by their entries of the table (by the conjugate ones to undo)."""
        if not self.table:
            return rows
        pointer, mask = table
        amplitude = [k.at.lshr(k.at.and_(row, mask), I64(k.row_bytes.bit_length() - 1)) for row in at]
        if self.table == "sign":
            return [
                k.mul(k.splat(k.at.load(k.at.gep(pointer, [i]))), row) for i, row in zip(amplitude, rows, strict=True)
            ]
        half = len(rows) // 2
        result: list[Value] = [None] * len(rows)
        for low in range(half):
            twice = k.at.shl(amplitude[low], I64(1))
            cosine = k.splat(k.at.load(k.at.gep(pointer, [twice])))
            sine = k.splat(k.at.load(k.at.gep(pointer, [k.at.or_(twice, I64(1))])))
            re, im = rows[low], rows[low + half]
            if undo:
                result[low] = k.add(k.mul(cosine, re), k.mul(sine, im))
                result[low + half] = k.sub(k.mul(cosine, im), k.mul(sine, re))
            else:
                result[low] = k.sub(k.mul(cosine, re), k.mul(sine, im))
                result[low + half] = k.add(k.mul(cosine, im), k.mul(sine, re))
        return result


def _rotate_by_tangent(k: Kernel, rows: list[Value], pairs: list[tuple[int, int]], tangent: Value) -> None:
    """Rotate pairs of rows in place, leaving them longer by one over the cosine."""
    for a, b in pairs:
        rows[a], rows[b] = k.sub(rows[a], k.mul(tangent, rows[b])), k.add(rows[b], k.mul(tangent, rows[a]))


def _rotate_by_shears(k: Kernel, rows: list[Value], pairs: list[tuple[int, int]], tangent: Value, sine: Value) -> None:
    """Rotate pairs of rows in place."""
    for a, b in pairs:
        rows[a] = k.sub(rows[a], k.mul(tangent, rows[b]))
        rows[b] = k.add(rows[b], k.mul(sine, rows[a]))
        rows[a] = k.sub(rows[a], k.mul(tangent, rows[b]))


def _moment(k: Kernel, cotangent: list[Value], state: list[Value], pairs: list[tuple[int, int]]) -> Value:
    """Return cotangent . (generator state), twice the derivative by the angle: the same before and after the rotation."""
    total: Value = None
    for a, b in pairs:
        product = k.mul(cotangent[b], state[a])
        total = product if total is None else k.add(total, product)
        total = k.sub(total, k.mul(cotangent[a], state[b]))
    return total
