"""Kernels that read Pauli strings off a state, and write their gradient.

All strings that flip the same qubits (their X-mask) share one product of the state with its flipped self,
``conj(psi[j ^ x]) psi[j]``. What a string with Z-mask z wants of it is the sum with signs (-1)**|j & z|. On blocks of up to
16 rows a Walsh-Hadamard transform gives these sums for all masks of the block's qubits at once, in registers; each string
then takes one of them, with the sign that the other qubits give it. No table of 2**n entries is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from llvmlite import ir

from qgan_qiskit.simulation.llvm.codegen import I64, Kernel, KernelKey, Node, Value

_COUNT, _TERMS, _ROWS, _FLIP, _PLANE, _OFFSETS = 2, 3, 4, 5, 6, 7


@dataclass(frozen=True)
class Readout(KernelKey):
    """A kernel: the strings of one X-mask.

    Attributes:
        lanes: numbers in a row.
        double: whether they are double precision.
        backward: whether to write the gradient by the state instead of reading expectations.
        bits: qubits of a block.
        complex: whether rows of imaginary parts exist.
        part: ``probability`` for x = 0, else ``real`` or ``imaginary`` for the part of the product that is summed.
        add: in backward, whether to add to a gradient that stands there already.
    """

    lanes: int
    double: bool
    backward: bool
    bits: int
    complex: bool
    part: str
    add: bool = False

    def node(
        self,
        count: int,
        terms: list[tuple[int, int]],
        row: int,
        flip: int,
        plane: int,
        offsets: list[int],
        steps: list[int],
    ) -> Node:
        """Return the words of a node.

        Args:
            count: number of blocks.
            terms: for each string its Z-mask on the block's qubits, and on the numbers of blocks.
            row: offset of the first string's expectation (in backward: of its cotangent); the others follow.
            flip: what the X-mask means for the offset of a row.
            plane: what, exclusive-ored to the offset of a real row, leads to its imaginary one.
            offsets: of the 2**bits rows of a block.
            steps: see :meth:`~qgan_qiskit.simulation.llvm.codegen.Kernel.cosets`.
        """
        masks = [word for term in terms for word in term]
        words: Node = [self, 0, count, len(terms), row, flip, plane, *offsets, *steps, *masks]
        words[1] = len(words)
        # The masks stand last: where they begin follows from the number of terms and the length.
        return words

    def build(self, module: ir.Module, name: str) -> None:
        """Add the kernel to a module under a name."""
        k = Kernel(module, name, self.lanes, self.double)
        offsets = [k.word(_OFFSETS + i) for i in range(1 << self.bits)]
        block = k.at.alloca(k.vector, 1 << self.bits)
        block.align = k.row_bytes
        flip, plane = k.word(_FLIP), k.word(_PLANE)
        terms = k.word(_TERMS)
        strings = (k.at.sub(k.word(1), k.at.shl(terms, I64(1))), terms, k.word(_ROWS))

        def forward(base: Value, number: Value, _carried: list[Value]) -> list[Value]:
            values = [self._products(k, k.at.xor(base, offset), flip, plane) for offset in offsets]
            _hadamard(k, values)
            _put(k, block, values)

            def term(mask: Value, sign: Value, at: Value) -> None:
                total = k.load(k.writes, at)
                k.store(k.add(total, k.mul(sign, _get(k, block, mask))), k.writes, at)

            _each_term(k, number, strings, term)
            return []

        def backward(base: Value, number: Value, _carried: list[Value]) -> list[Value]:
            _put(k, block, [k.constant(0.0)] * len(offsets))

            def term(mask: Value, sign: Value, at: Value) -> None:
                place = k.at.gep(block, [mask])
                before = k.at.load(place)
                before.align = k.row_bytes
                k.at.store(k.add(before, k.mul(sign, k.load(k.reads, at))), place).align = k.row_bytes

            _each_term(k, number, strings, term)
            values = [_get(k, block, I64(i)) for i in range(len(offsets))]
            _hadamard(k, values)
            for value, offset in zip(values, offsets, strict=True):
                self._write_gradient(k, k.add(value, value), k.at.xor(base, offset), flip, plane)
            return []

        k.cosets(k.word(_COUNT), _OFFSETS + len(offsets), [], backward if self.backward else forward)
        k.at.ret_void()

    def _products(self, k: Kernel, row: Value, flip: Value, plane: Value) -> Value:
        """Return what is summed, for one amplitude."""
        re = k.load(k.state, row)
        if self.part == "probability":
            square = k.mul(re, re)
            if self.complex:
                im = k.load(k.state, k.at.xor(row, plane))
                square = k.add(square, k.mul(im, im))
            return square
        other = k.at.xor(row, flip)
        re_other = k.load(k.state, other)
        if not self.complex:
            return k.mul(re, re_other)
        im = k.load(k.state, k.at.xor(row, plane))
        im_other = k.load(k.state, k.at.xor(other, plane))
        if self.part == "real":
            return k.add(k.mul(re, re_other), k.mul(im, im_other))
        return k.sub(k.mul(re_other, im), k.mul(im_other, re))

    def _write_gradient(self, k: Kernel, factor: Value, row: Value, flip: Value, plane: Value) -> None:
        """Write, or add, the gradient by one amplitude; ``factor`` is twice the signed sum of cotangents."""
        other = row if self.part == "probability" else k.at.xor(row, flip)
        rows = [row, k.at.xor(row, plane)] if self.complex else [row]
        others = [other, k.at.xor(other, plane)] if self.complex else [other]
        if self.part == "imaginary":
            others.reverse()
        for number, (target, source) in enumerate(zip(rows, others, strict=True)):
            value = k.mul(factor, k.load(k.state, source))
            negative = self.part == "imaginary" and number == 0
            if self.add:
                before = k.load(k.cotangent, target)
                value = k.sub(before, value) if negative else k.add(before, value)
            elif negative:
                value = k.at.fneg(value)
            k.store(value, k.cotangent, target)


def _each_term(
    k: Kernel, number: Value, strings: tuple[Value, Value, Value], body: Callable[[Value, Value, Value], None]
) -> None:
    """Loop over the strings: ``body(mask within the block, sign in all lanes, offset of the string's row)``."""
    first_mask, count, first_row = strings
    before = k.at.block
    loop = k.function.append_basic_block()
    k.at.branch(loop)
    k.at.position_at_end(loop)
    term, row = k.at.phi(I64), k.at.phi(I64)
    mask = k.at.add(first_mask, k.at.shl(term, I64(1)))
    sign = k.parity_sign(k.at.and_(k.word(k.at.add(mask, I64(1))), number))
    body(k.word(mask), sign, row)
    term_after, row_after = k.at.add(term, I64(1)), k.at.add(row, I64(k.row_bytes))
    for phi, start, after in ((term, I64(0), term_after), (row, first_row, row_after)):
        phi.add_incoming(start, before)
        phi.add_incoming(after, k.at.block)
    done = k.function.append_basic_block()
    k.at.cbranch(k.at.icmp_unsigned("<", term_after, count), loop, done)
    k.at.position_at_end(done)


def _hadamard(k: Kernel, values: list[Value]) -> None:
    """Walsh-Hadamard transform in place: entry m becomes the sum with signs (-1)**|i & m|."""
    step = 1
    while step < len(values):
        for i in range(len(values)):
            if not i & step:
                values[i], values[i | step] = k.add(values[i], values[i | step]), k.sub(values[i], values[i | step])
        step *= 2


def _put(k: Kernel, block: Value, values: list[Value]) -> None:
    for i, value in enumerate(values):
        k.at.store(value, k.at.gep(block, [I64(i)])).align = k.row_bytes


def _get(k: Kernel, block: Value, index: Value) -> Value:
    row = k.at.load(k.at.gep(block, [index]))
    row.align = k.row_bytes
    return row
