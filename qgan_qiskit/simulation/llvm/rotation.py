"""Kernels that rotate: all rotations of a window, forward, or undone with their gradients.

On rows of real numbers every Pauli rotation is a set of plane rotations of pairs of rows a and b::

    a' = cos(angle/2) a - sin(angle/2) b        b' = sin(angle/2) a + cos(angle/2) b

For RY, a and b are the amplitudes of |0> and |1>, real and imaginary parts each for themselves; RX and RZ pair a real with an
imaginary part; and gates before change the pairs (see :mod:`qgan_qiskit.simulation.llvm.clifford_frame`). Done like this, a pair
costs two products and two multiply-adds. There are two cheaper ways:

*Tangents*: with ``t = tan(angle/2)`` it is ``a' = a - t b`` and ``b' = b + t a``, times a cosine. The cosines of several
rotations are one factor, applied once. Two multiply-adds; but a state between has another length, and overflows where several
angles are close to pi.

*Shears* (a lifting scheme): ``a -= tan(angle/4) b``, ``b += sin(angle/2) a``, ``a -= tan(angle/4) b``. Three multiply-adds, at
any angle.
"""

from __future__ import annotations

from dataclasses import dataclass

from llvmlite import ir

from qgan_qiskit.simulation.llvm.clifford_frame import parity
from qgan_qiskit.simulation.llvm.codegen import I64, Kernel, KernelKey, Node, Value

# Words before the offsets: address, length, number of cosets, row of the scale.
_COUNT, _SCALE, _OFFSETS = 2, 3, 4


@dataclass(frozen=True)
class Turn:
    """One rotation within a kernel.

    Attributes:
        flip: the row m is paired with m ^ flip.
        mask: of the two, m is a if parity(m & mask) == 0,
        sign: or, depending on the coset, b: which word of signs tells; -1 for never.
        gradient: whether backward sums up the gradient of its angle.
        undo: whether backward needs the state before it.
        factor: whether its gradient is multiplied by its second coefficient.
    """

    flip: int
    mask: int
    sign: int = -1
    gradient: bool = True
    undo: bool = True
    factor: bool = False

    def pairs(self, rows: int) -> list[tuple[int, int]]:
        """Return the pairs (a, b)."""
        return [(row, row ^ self.flip) for row in range(rows) if not parity(row & self.mask)]


@dataclass(frozen=True)
class Rotate(KernelKey):
    """A kernel: rotations on rows that differ in ``bits`` flips, all of which stay in registers.

    Attributes:
        lanes: numbers in a row.
        double: whether they are double precision.
        backward: whether to undo, with gradients.
        bits: how many flips.
        signs: how many words of signs.
        turns: the rotations, in the order in which they are done, or undone.
        tangents: whether angles come as tangents, else as shears.
        single: whether coefficients are single numbers, the same for all lanes.
        scaled: whether all rows are multiplied by one factor in the end.
    """

    lanes: int
    double: bool
    backward: bool
    bits: int
    signs: int
    turns: tuple[Turn, ...]
    tangents: bool
    single: bool
    scaled: bool

    def node(
        self,
        count: int,
        scale: int,
        offsets: list[int],
        reads: list[int],
        writes: list[int],
        signs: list[int],
        steps: list[int],
    ) -> Node:
        """Return the words of a node.

        Args:
            count: number of cosets.
            scale: number of the factor among the coefficients.
            offsets: of the 2**bits rows of a coset.
            reads: number of the first of each rotation's two coefficients: with tangents the tangent, and what its gradient is
                to be multiplied by, because of the length of the states; else the tangent and the sine of its shears.
            writes: offset of each rotation's gradient.
            signs: masks of a coset's offset, whose parity exchanges a and b.
            steps: see :meth:`~qgan_qiskit.simulation.llvm.codegen.Kernel.cosets`.
        """
        size = (8 if self.double else 4) * (1 if self.single else self.lanes)
        places = [size * number for number in (scale, *reads)]
        words: Node = [self, 0, count, places[0], *offsets, *places[1:], *writes, *signs, *steps]
        words[1] = len(words)
        return words

    def build(self, module: ir.Module, name: str) -> None:
        """Add the kernel to a module under a name."""
        k = Kernel(module, name, self.lanes, self.double)
        rows = 1 << self.bits
        first_read = _OFFSETS + rows
        first_write = first_read + len(self.turns)
        first_sign = first_write + len(self.turns)
        offsets = [k.word(_OFFSETS + i) for i in range(rows)]
        reads = [k.word(first_read + i) for i in range(len(self.turns))]
        seconds = [k.at.add(at, I64(k.itemsize if self.single else k.row_bytes)) for at in reads]

        def read(at: Value) -> Value:
            return k.splat(k.load_one(k.reads, at)) if self.single else k.load(k.reads, at)

        masks = [k.word(first_sign + i) for i in range(self.signs)]
        tangents = [read(at) for at in reads]
        sines = [] if self.tangents else [read(at) for at in seconds]
        scale = read(k.word(_SCALE)) if self.scaled else None
        with_gradient = [i for i, turn in enumerate(self.turns) if turn.gradient] if self.backward else []

        def rotate(states: list[list[Value]], i: int, signs: list[Value], undo: bool = False) -> None:
            pairs = self.turns[i].pairs(rows)
            if undo:
                # The inverse of a plane rotation exchanges the two rows.
                pairs = [(b, a) for a, b in pairs]
            signed = [
                value if self.turns[i].sign < 0 else k.mul(signs[self.turns[i].sign], value)
                for value in ([tangents[i]] if self.tangents else [tangents[i], sines[i]])
            ]
            for state in states:
                (_rotate_by_tangent if self.tangents else _rotate_by_shears)(k, state, pairs, *signed)

        def store(state: list[Value], pointer: Value, at: list[Value]) -> None:
            for value, row in zip(state, at, strict=True):
                k.store(value if scale is None else k.mul(scale, value), pointer, row)

        def forward(base: Value, _number: Value, _carried: list[Value]) -> list[Value]:
            signs = [k.parity_sign(k.at.and_(base, mask)) for mask in masks]
            at = [k.at.xor(base, offset) for offset in offsets]
            state = [k.load(k.state, row) for row in at]
            for i in range(len(self.turns)):
                rotate([state], i, signs)
            store(state, k.state, at)
            return []

        def backward(base: Value, _number: Value, carried: list[Value]) -> list[Value]:
            signs = [k.parity_sign(k.at.and_(base, mask)) for mask in masks]
            at = [k.at.xor(base, offset) for offset in offsets]
            cotangent = [k.load(k.cotangent, row) for row in at]
            state = [k.load(k.state, row) for row in at]
            for i, turn in enumerate(self.turns):
                if turn.gradient:
                    own = _moment(k, cotangent, state, turn.pairs(rows))
                    own = own if turn.sign < 0 else k.mul(signs[turn.sign], own)
                    slot = with_gradient.index(i)
                    carried[slot] = k.add(carried[slot], own)
                if turn.undo:
                    rotate([state, cotangent], i, signs, undo=True)
            if any(turn.undo for turn in self.turns):
                store(state, k.state, at)
                store(cotangent, k.cotangent, at)
            return carried

        body = backward if self.backward else forward
        zeros = [k.constant(0.0)] * len(with_gradient)
        totals = k.cosets(k.word(_COUNT), first_sign + self.signs, zeros, body)
        for i, total in zip(with_gradient, totals, strict=True):
            at = k.word(first_write + i)
            own = k.mul(read(seconds[i]), total) if self.turns[i].factor else total
            k.store(k.add(k.load(k.writes, at), own), k.writes, at)
        k.at.ret_void()


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
