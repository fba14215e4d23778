"""The kernel that does the rotations of a block, forward, or undoes them and sums up their gradients.

On rows of real numbers every Pauli rotation is a set of plane rotations of pairs of rows (a, b)::

    a' = cos(angle/2) a - sin(angle/2) b        b' = sin(angle/2) a + cos(angle/2) b

For RY, a and b are the amplitudes of |0> and |1>, real and imaginary parts separately; RX and RZ pair a real with an imaginary
part; the Clifford frame changes the pairs. Four multiplications, of which two are fused. Two ways are cheaper:

*Tangents*: with t = tan(angle/2), ``a' = a - t b`` and ``b' = b + t a``, times cos(angle/2). The cosines of several rotations
are multiplied by later, once. Two fused operations; but states grow until then, and overflow where several angles are near pi.

*Shears* (a lifting scheme): ``a -= tan(angle/4) b``, ``b += sin(angle/2) a``, ``a -= tan(angle/4) b``. Three fused operations,
at any angle.

The gradient of the loss by an angle is half the sum over pairs of ``cot_b a - cot_a b`` (cot: cotangent of the row).
"""

from __future__ import annotations

from dataclasses import dataclass

from qgan_qiskit.simulation.llvm.clifford_frame import parity
from qgan_qiskit.simulation.llvm.codegen import I64, Instruction, Kernel, KernelBuilder, Value

# Words of an instruction: kernel, length, number of cosets, scale, offsets of the rows, then what _Emitter reads.
_SCALE, _OFFSETS = 3, 4


@dataclass(frozen=True)
class PlaneRotation:
    """One rotation within a kernel; row numbers are coordinates in the block's subspace.

    Attributes:
        x_mask: row m is paired with ``m ^ x_mask``.
        z_mask: of the two, m is a if ``parity(m & z_mask) == 0``.
        sign: which of the kernel's sign masks tells whether a and b are exchanged in a coset; -1 if they never are.
        gradient: whether backward sums up the gradient of its angle.
        undo: whether backward needs the state before it.
        scale_gradient: whether its gradient is multiplied by its second coefficient.
    """

    x_mask: int
    z_mask: int
    sign: int = -1
    gradient: bool = True
    undo: bool = True
    scale_gradient: bool = False

    def pairs(self, rows: int) -> list[tuple[int, int]]:
        """Return the pairs (a, b)."""
        return [(row, row ^ self.x_mask) for row in range(rows) if not parity(row & self.z_mask)]


@dataclass(frozen=True)
class RotationKernel(Kernel):
    """Rotations on the rows of one coset, all of which stay in registers.

    Attributes:
        backward: whether to undo the rotations, with gradients.
        dimensions: of the subspace; a coset has 2**dimensions rows.
        signs: number of sign masks.
        rotations: in the order in which they are done, or undone.
        tangents: whether coefficients are tangents, else shears.
        uniform: whether coefficients are single numbers, the same for all lanes, else rows.
        scaled: whether all rows are multiplied by one factor in the end.
    """

    backward: bool
    dimensions: int
    signs: int
    rotations: tuple[PlaneRotation, ...]
    tangents: bool
    uniform: bool
    scaled: bool

    def encode(
        self,
        count: int,
        scale: int,
        offsets: list[int],
        coefficients: list[int],
        gradients: list[int],
        sign_masks: list[int],
        steps: list[int],
    ) -> Instruction:
        """Return an instruction.

        Args:
            count: number of cosets.
            scale: number of the factor among the coefficients.
            offsets: of the rows of a coset.
            coefficients: number of each rotation's first coefficient, the tangent. The second one follows: with tangents the
                factor of its gradient that makes up for the growth of states, with shears the sine.
            gradients: offset of each rotation's gradient.
            sign_masks: exchange a and b where ``parity(offset & mask)`` is 1.
            steps: see :meth:`~qgan_qiskit.simulation.llvm.codegen.KernelBuilder.for_each_coset`.
        """
        size = self.itemsize * (1 if self.uniform else self.lanes)
        scale, *places = (size * number for number in (scale, *coefficients))
        return self.assemble(count, scale, *offsets, *places, *gradients, *sign_masks, *steps)

    def emit(self, k: KernelBuilder) -> None:
        """Write the body."""
        _Emitter(self, k).emit()


class _Emitter:
    """Writes a :class:`RotationKernel`; its attributes are values in registers that are read before the loop."""

    def __init__(self, kernel: RotationKernel, k: KernelBuilder) -> None:
        self.kernel, self.k = kernel, k
        self.rows, count = 1 << kernel.dimensions, len(kernel.rotations)
        first_coefficient = _OFFSETS + self.rows
        self.first_gradient = first_coefficient + count
        first_sign = self.first_gradient + count
        self.first_step = first_sign + kernel.signs
        self.offsets = k.words(_OFFSETS, self.rows)
        places = k.words(first_coefficient, count)
        self.second_places = [k.at.add(at, I64(k.itemsize if kernel.uniform else k.row_bytes)) for at in places]
        self.sign_masks = k.words(first_sign, kernel.signs)
        self.tangents = [self.coefficient(at) for at in places]
        self.sines = [] if kernel.tangents else [self.coefficient(at) for at in self.second_places]
        self.scale = self.coefficient(k.word(_SCALE)) if kernel.scaled else None

    def coefficient(self, place: Value) -> Value:
        """Read a coefficient into all lanes."""
        k = self.k
        return k.splat(k.load_scalar(k.operands, place)) if self.kernel.uniform else k.load(k.operands, place)

    def emit(self) -> None:
        """Write the loop over cosets, and after it the gradients."""
        k, rotations = self.k, self.kernel.rotations
        if not self.kernel.backward:
            k.for_each_coset(self.first_step, [], self._forward)
            return
        self.with_gradient = [i for i, rotation in enumerate(rotations) if rotation.gradient]
        zeros = [k.constant(0.0)] * len(self.with_gradient)
        totals = k.for_each_coset(self.first_step, zeros, self._backward)
        for i, total in zip(self.with_gradient, totals, strict=True):
            offset = k.word(self.first_gradient + i)
            if rotations[i].scale_gradient:
                total = k.mul(self.coefficient(self.second_places[i]), total)
            k.store(k.add(k.load(k.results, offset), total), k.results, offset)

    def _forward(self, base: Value, _number: Value, _carried: list[Value]) -> list[Value]:
        signs, offsets = self._signs(base), self._row_offsets(base)
        state = self._load(self.k.state, offsets)
        for i in range(len(self.kernel.rotations)):
            self._rotate([state], i, signs)
        self._store(state, self.k.state, offsets)
        return []

    def _backward(self, base: Value, _number: Value, sums: list[Value]) -> list[Value]:
        k = self.k
        signs, offsets = self._signs(base), self._row_offsets(base)
        cotangent = self._load(k.cotangent, offsets)
        state = self._load(k.state, offsets)
        for i, rotation in enumerate(self.kernel.rotations):
            if rotation.gradient:
                slope = self._slope(cotangent, state, rotation.pairs(self.rows))
                slope = slope if rotation.sign < 0 else k.mul(signs[rotation.sign], slope)
                slot = self.with_gradient.index(i)
                sums[slot] = k.add(sums[slot], slope)
            if rotation.undo:
                self._rotate([state, cotangent], i, signs, inverse=True)
        if any(rotation.undo for rotation in self.kernel.rotations):
            self._store(state, k.state, offsets)
            self._store(cotangent, k.cotangent, offsets)
        return sums

    def _signs(self, base: Value) -> list[Value]:
        return [self.k.parity_sign(self.k.at.and_(base, mask)) for mask in self.sign_masks]

    def _row_offsets(self, base: Value) -> list[Value]:
        return [self.k.at.xor(base, offset) for offset in self.offsets]

    def _load(self, pointer: Value, offsets: list[Value]) -> list[Value]:
        return [self.k.load(pointer, offset) for offset in offsets]

    def _store(self, rows: list[Value], pointer: Value, offsets: list[Value]) -> None:
        for row, offset in zip(rows, offsets, strict=True):
            self.k.store(row if self.scale is None else self.k.mul(self.scale, row), pointer, offset)

    def _rotate(self, vectors: list[list[Value]], i: int, signs: list[Value], inverse: bool = False) -> None:
        """Apply rotation i, or its inverse, to the rows of some vectors in place.

        Exchanging a and b inverts a rotation; so does negating its coefficients.
        """
        k, rotation = self.k, self.kernel.rotations[i]
        pairs = rotation.pairs(self.rows)
        if inverse:
            pairs = [(b, a) for a, b in pairs]
        coefficients = [self.tangents[i]] if self.kernel.tangents else [self.tangents[i], self.sines[i]]
        if rotation.sign >= 0:
            coefficients = [k.mul(signs[rotation.sign], value) for value in coefficients]
        for rows in vectors:
            (_rotate_by_tangent if self.kernel.tangents else _rotate_by_shears)(k, rows, pairs, *coefficients)

    def _slope(self, cotangent: list[Value], state: list[Value], pairs: list[tuple[int, int]]) -> Value:
        """Return twice the derivative by the angle, which is the same before and after the rotation."""
        k = self.k
        total: Value = None
        for a, b in pairs:
            product = k.mul(cotangent[b], state[a])
            total = product if total is None else k.add(total, product)
            total = k.sub(total, k.mul(cotangent[a], state[b]))
        return total


def _rotate_by_tangent(k: KernelBuilder, rows: list[Value], pairs: list[tuple[int, int]], tangent: Value) -> None:
    for a, b in pairs:
        rows[a], rows[b] = k.sub(rows[a], k.mul(tangent, rows[b])), k.add(rows[b], k.mul(tangent, rows[a]))


def _rotate_by_shears(
    k: KernelBuilder, rows: list[Value], pairs: list[tuple[int, int]], tangent: Value, sine: Value
) -> None:
    for a, b in pairs:
        rows[a] = k.sub(rows[a], k.mul(tangent, rows[b]))
        rows[b] = k.add(rows[b], k.mul(sine, rows[a]))
        rows[a] = k.sub(rows[a], k.mul(tangent, rows[b]))
