"""The kernels beside rotations: product states, Pauli sums, and the barriers that rotations do not cross.

:class:`ProductStateKernel` multiplies the first layer out, a few qubits at a time. :class:`ReadoutKernel` reads Pauli sums and
writes their gradient. :class:`PhaseKernel` and :class:`SwapKernel` do what a Clifford frame cannot absorb.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from qgan_qiskit.simulation.llvm.codegen import I64, Instruction, Kernel, KernelBuilder, Value


@dataclass(frozen=True)
class ProductStateKernel(Kernel):
    """Replace each row by one row for every value of further qubits: the tensor product with their states.

    Attributes:
        complex: whether rows of imaginary parts exist.
        qubits: how many qubits are added.
        first: whether there is no row yet.
    """

    complex: bool
    qubits: int
    first: bool

    def encode(self, count: int, imag_bit: int, vectors: int, offsets: list[int], steps: list[int]) -> Instruction:
        """Return an instruction.

        Args:
            count: rows that exist already, or 1.
            imag_bit: leads from the offset of a real row to its imaginary one.
            vectors: offset of the qubits' states: for each the amplitudes of |0> and |1>; if complex, real and imaginary part.
            offsets: of the 2**qubits new rows.
            steps: see :meth:`~qgan_qiskit.simulation.llvm.codegen.KernelBuilder.for_each_coset`.
        """
        return self.assemble(count, imag_bit, vectors, *offsets, *steps)

    def emit(self, k: KernelBuilder) -> None:
        """Write the body."""
        imag_bit, first_vector = k.words(3, 2)
        offsets = k.words(5, 1 << self.qubits)
        parts = 2 if self.complex else 1

        def amplitude(qubit: int, value: int) -> tuple[Value, ...]:
            first = (2 * qubit + value) * parts
            at = [k.at.add(first_vector, I64(k.row_bytes * (first + part))) for part in range(parts)]
            return tuple(k.load(k.operands, offset) for offset in at)

        vectors = [[amplitude(qubit, value) for value in range(2)] for qubit in range(self.qubits)]

        def parts_of(row: Value) -> list[Value]:
            return [row, k.at.xor(row, imag_bit)] if self.complex else [row]

        def body(base: Value, _number: Value, _carried: list[Value]) -> list[Value]:
            rows = [k.at.xor(base, offset) for offset in offsets]
            products: list[tuple[Value, ...]] = []
            if not self.first:
                products = [tuple(k.load(k.state, row) for row in parts_of(rows[0]))]
            for vector in vectors:
                products = [_multiply(k, known, new) for new in vector for known in products] or list(vector)
            for row, product in zip(rows, products, strict=True):
                for part, offset in zip(product, parts_of(row), strict=True):
                    k.store(part, k.state, offset)
            return []

        k.for_each_coset(5 + len(offsets), [], body)


def _multiply(k: KernelBuilder, x: tuple[Value, ...], y: tuple[Value, ...]) -> tuple[Value, ...]:
    """Multiply two numbers, each (real,) or (real, imaginary)."""
    if len(x) == 1:
        return (k.mul(x[0], y[0]),)
    (a, b), (c, d) = x, y
    return k.sub(k.mul(a, c), k.mul(b, d)), k.add(k.mul(a, d), k.mul(b, c))


@dataclass(frozen=True)
class PhaseKernel(Kernel):
    """Multiply the state by a table; in backward state and cotangent by its conjugate.

    Attributes:
        backward: see above.
        complex: whether rows of imaginary parts exist, and factors are pairs (real, imaginary).
    """

    backward: bool
    complex: bool

    def encode(self, count: int, table: int, imag_bit: int, steps: list[int]) -> Instruction:
        """Return an instruction, given the number of amplitudes and the memory address of their factors, by row address."""
        return self.assemble(count, table, imag_bit, *steps)

    def emit(self, k: KernelBuilder) -> None:
        """Write the body."""
        table = k.at.inttoptr(k.word(3), k.scalar.as_pointer())
        imag_bit = k.word(4)

        def factor(index: Value) -> Value:
            return k.splat(k.at.load(k.at.gep(table, [index])))

        def body(row: Value, number: Value, _carried: list[Value]) -> list[Value]:
            for pointer in (k.state, k.cotangent) if self.backward else (k.state,):
                if not self.complex:
                    k.store(k.mul(factor(number), k.load(pointer, row)), pointer, row)
                    continue
                imag_row = k.at.xor(row, imag_bit)
                re, im = k.load(pointer, row), k.load(pointer, imag_row)
                cosine, sine = factor(k.at.shl(number, I64(1))), factor(k.at.or_(k.at.shl(number, I64(1)), I64(1)))
                if self.backward:
                    sine = k.at.fneg(sine)
                k.store(k.sub(k.mul(cosine, re), k.mul(sine, im)), pointer, row)
                k.store(k.add(k.mul(cosine, im), k.mul(sine, re)), pointer, imag_row)
            return []

        k.for_each_coset(5, [], body)


@dataclass(frozen=True)
class SwapKernel(Kernel):
    """Exchange pairs of rows, one after the other; in backward those of the cotangent too."""

    backward: bool

    def encode(self, count: int, pairs: int) -> Instruction:
        """Return an instruction, given the memory address of ``count`` pairs of row offsets."""
        # The loop's offset is not used: all its steps, for any count, are 0.
        return self.assemble(count, pairs, *[0] * 65)

    def emit(self, k: KernelBuilder) -> None:
        """Write the body."""
        pairs = k.at.inttoptr(k.word(3), I64.as_pointer())

        def body(_base: Value, number: Value, _carried: list[Value]) -> list[Value]:
            first = k.at.shl(number, I64(1))
            a, b = (k.at.load(k.at.gep(pairs, [k.at.or_(first, I64(i))])) for i in range(2))
            for pointer in (k.state, k.cotangent) if self.backward else (k.state,):
                row_a, row_b = k.load(pointer, a), k.load(pointer, b)
                k.store(row_b, pointer, a)
                k.store(row_a, pointer, b)
            return []

        k.for_each_coset(4, [], body)


@dataclass(frozen=True)
class ReadoutKernel(Kernel):
    """Read Pauli sums of one x_mask, or write their gradient by the state.

    They share the products ``conj(psi[p ^ x_mask]) psi[p]`` and differ in signs ``(-1)**|p & z_mask|``. A Walsh-Hadamard
    transform of blocks of up to 16 rows gives the signed sums for all z_masks on the block's bits at once, in registers. Each
    Pauli sum takes its own, with the sign that the other bits give it. No table of 2**n entries is needed.

    Attributes:
        backward: whether to write the gradient.
        bits: address bits of a block.
        complex: whether rows of imaginary parts exist.
        part: see :class:`~qgan_qiskit.simulation.llvm.program.PauliSum`.
        add: in backward, whether to add to a gradient that is there already.
    """

    backward: bool
    bits: int
    complex: bool
    part: str
    add: bool = False

    def encode(
        self,
        count: int,
        z_masks: list[tuple[int, int]],
        row: int,
        x_mask: int,
        imag_bit: int,
        offsets: list[int],
        steps: list[int],
    ) -> Instruction:
        """Return an instruction.

        Args:
            count: number of blocks.
            z_masks: of each Pauli sum, on the bits of a block and on the numbers of blocks.
            row: offset of the first sum (in backward: of its cotangent); the others follow.
            x_mask: as an offset.
            imag_bit: leads from the offset of a real row to its imaginary one.
            offsets: of the 2**bits rows of a block.
            steps: see :meth:`~qgan_qiskit.simulation.llvm.codegen.KernelBuilder.for_each_coset`.
        """
        masks = [word for pair in z_masks for word in pair]
        # The masks stand last: the kernel finds them from the instruction's length.
        return self.assemble(count, len(z_masks), row, x_mask, imag_bit, *offsets, *steps, *masks)

    def emit(self, k: KernelBuilder) -> None:
        """Write the body."""
        terms, first_row, x_mask, imag_bit = k.words(3, 4)
        offsets = k.words(7, 1 << self.bits)
        block = k.at.alloca(k.vector, 1 << self.bits)
        block.align = k.row_bytes
        first_mask = k.at.sub(k.word(1), k.at.shl(terms, I64(1)))

        def entry(index: Value) -> Value:
            return k.at.gep(block, [index])

        def forward(base: Value, number: Value, _carried: list[Value]) -> list[Value]:
            values = [self._product(k, k.at.xor(base, offset), x_mask, imag_bit) for offset in offsets]
            _hadamard_transform(k, values)
            for i, value in enumerate(values):
                k.store_row(value, entry(I64(i)))

            def add_to_result(mask: Value, sign: Value, row: Value) -> None:
                total = k.load(k.results, row)
                k.store(k.add(total, k.mul(sign, k.load_row(entry(mask)))), k.results, row)

            _for_each_term(k, number, first_mask, terms, first_row, add_to_result)
            return []

        def backward(base: Value, number: Value, _carried: list[Value]) -> list[Value]:
            for i in range(len(offsets)):
                k.store_row(k.constant(0.0), entry(I64(i)))

            def add_cotangent(mask: Value, sign: Value, row: Value) -> None:
                at = entry(mask)
                k.store_row(k.add(k.load_row(at), k.mul(sign, k.load(k.operands, row))), at)

            _for_each_term(k, number, first_mask, terms, first_row, add_cotangent)
            values = [k.load_row(entry(I64(i))) for i in range(len(offsets))]
            _hadamard_transform(k, values)
            for value, offset in zip(values, offsets, strict=True):
                self._write_gradient(k, k.add(value, value), k.at.xor(base, offset), x_mask, imag_bit)
            return []

        k.for_each_coset(7 + len(offsets), [], backward if self.backward else forward)

    def _product(self, k: KernelBuilder, row: Value, x_mask: Value, imag_bit: Value) -> Value:
        """Return the part of ``conj(psi[p ^ x_mask]) psi[p]`` for one amplitude."""
        re = k.load(k.state, row)
        if self.part == "probability":
            square = k.mul(re, re)
            if self.complex:
                im = k.load(k.state, k.at.xor(row, imag_bit))
                square = k.add(square, k.mul(im, im))
            return square
        other = k.at.xor(row, x_mask)
        re_other = k.load(k.state, other)
        if not self.complex:
            return k.mul(re, re_other)
        im = k.load(k.state, k.at.xor(row, imag_bit))
        im_other = k.load(k.state, k.at.xor(other, imag_bit))
        if self.part == "real":
            return k.add(k.mul(re, re_other), k.mul(im, im_other))
        return k.sub(k.mul(re_other, im), k.mul(im_other, re))

    def _write_gradient(self, k: KernelBuilder, factor: Value, row: Value, x_mask: Value, imag_bit: Value) -> None:
        """Write or add the gradient by one amplitude; ``factor`` is twice the signed sum of cotangents."""
        other = row if self.part == "probability" else k.at.xor(row, x_mask)
        targets = [row, k.at.xor(row, imag_bit)] if self.complex else [row]
        sources = [other, k.at.xor(other, imag_bit)] if self.complex else [other]
        if self.part == "imaginary":
            sources.reverse()
        for number, (target, source) in enumerate(zip(targets, sources, strict=True)):
            value = k.mul(factor, k.load(k.state, source))
            negative = self.part == "imaginary" and number == 0
            if self.add:
                before = k.load(k.cotangent, target)
                value = k.sub(before, value) if negative else k.add(before, value)
            elif negative:
                value = k.at.fneg(value)
            k.store(value, k.cotangent, target)


def _for_each_term(
    k: KernelBuilder,
    number: Value,
    first_mask: Value,
    terms: Value,
    first_row: Value,
    body: Callable[[Value, Value, Value], None],
) -> None:
    """Loop over Pauli sums: ``body(z_mask within the block, sign in all lanes, offset of the sum's row)``."""
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
    k.at.cbranch(k.at.icmp_unsigned("<", term_after, terms), loop, done)
    k.at.position_at_end(done)


def _hadamard_transform(k: KernelBuilder, values: list[Value]) -> None:
    """Walsh-Hadamard transform in place: entry m becomes the sum over i of ``(-1)**|i & m| values[i]``."""
    step = 1
    while step < len(values):
        for i in range(len(values)):
            if not i & step:
                values[i], values[i | step] = k.add(values[i], values[i | step]), k.sub(values[i], values[i | step])
        step *= 2
