"""Write kernels in LLVM intermediate representation.

A state is an array of rows, addressed by bit vectors: row p holds the real part of one amplitude, row ``p ^ imag_bit`` its
imaginary part (if there are any). A row has ``lanes`` numbers, one vector register; a lane is one image of one sub-generator.
The rows of one group of lanes are a tile. In instructions an address is a byte offset, ``p * row_bytes``, so that offsets too
are combined by exclusive or.

All kernels have the signature ``(state, cotangent, operands, results, instruction, base)``. ``operands`` are rows that the
tile reads (coefficients of rotations, cotangents of expectations), ``results`` rows that it writes (expectations, gradients).
``instruction`` points to 64-bit words ``[kernel, length, count, ...]``, and ``base`` is the offset of the first row.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from llvmlite import ir

I1, I64 = ir.IntType(1), ir.IntType(64)
BYTES, WORDS = ir.IntType(8).as_pointer(), I64.as_pointer()
KERNEL = ir.FunctionType(ir.VoidType(), [BYTES, BYTES, BYTES, BYTES, WORDS, I64])
Value = Any
# 64-bit words. The first one is a Kernel that stands for its address, or 0 for a loop; the second one is their number.
Instruction = list[Any]
# Word that holds how many cosets a kernel walks.
COUNT = 2

_CONTRACT = ("contract",)


@dataclass(frozen=True)
class Kernel(ABC):
    """What a kernel does, as a key: equal keys share machine code.

    Attributes:
        lanes: numbers in a row.
        double: whether they are double precision.
    """

    lanes: int
    double: bool

    @property
    def itemsize(self) -> int:
        """Bytes of a number."""
        return 8 if self.double else 4

    def assemble(self, count: int, *operands: int) -> Instruction:
        """Return an instruction for this kernel."""
        return [self, 3 + len(operands), count, *operands]

    def build(self, module: ir.Module, name: str) -> None:
        """Add the kernel to a module under a name."""
        k = KernelBuilder(module, name, self.lanes, self.double)
        self.emit(k)
        k.at.ret_void()

    @abstractmethod
    def emit(self, k: KernelBuilder) -> None:
        """Write the body."""


class KernelBuilder:
    """One kernel while it is written: its arguments, and the operations that kernels share."""

    def __init__(self, module: ir.Module, name: str, lanes: int, double: bool) -> None:
        """Open the function's first block."""
        self.module, self.lanes = module, lanes
        self.scalar = ir.DoubleType() if double else ir.FloatType()
        self.integer = I64 if double else ir.IntType(32)
        self.itemsize = 8 if double else 4
        self.row_bytes = lanes * self.itemsize
        self.vector = ir.VectorType(self.scalar, lanes)
        self.function = ir.Function(module, KERNEL, name)
        self.state, self.cotangent, self.operands, self.results, self.instruction, self.base = self.function.args
        for pointer in self.function.args[:5]:
            pointer.add_attribute("noalias")
        self.at = ir.IRBuilder(self.function.append_basic_block())

    def word(self, index: int | Value) -> Value:
        """Read a word of the instruction."""
        index = I64(index) if isinstance(index, int) else index
        return self.at.load(self.at.gep(self.instruction, [index]))

    def words(self, first: int, count: int) -> list[Value]:
        """Read words of the instruction."""
        return [self.word(first + i) for i in range(count)]

    def load(self, pointer: Value, offset: Value) -> Value:
        """Read a row."""
        return self.load_row(self._row(pointer, offset))

    def load_row(self, row_pointer: Value) -> Value:
        """Read the row at a pointer to rows."""
        row = self.at.load(row_pointer)
        row.align = self.row_bytes
        return row

    def load_scalar(self, pointer: Value, offset: Value) -> Value:
        """Read one number."""
        return self.at.load(self.at.bitcast(self.at.gep(pointer, [offset]), self.scalar.as_pointer()))

    def store(self, row: Value, pointer: Value, offset: Value) -> None:
        """Write a row."""
        self.store_row(row, self._row(pointer, offset))

    def store_row(self, row: Value, row_pointer: Value) -> None:
        """Write a row to a pointer to rows."""
        self.at.store(row, row_pointer).align = self.row_bytes

    def _row(self, pointer: Value, offset: Value) -> Value:
        return self.at.bitcast(self.at.gep(pointer, [offset]), self.vector.as_pointer())

    def constant(self, value: float) -> Value:
        """Return a number in all lanes."""
        return ir.Constant(self.vector, [ir.Constant(self.scalar, value)] * self.lanes)

    def splat(self, scalar: Value) -> Value:
        """Copy a scalar into all lanes."""
        one = self.at.insert_element(ir.Constant(self.vector, ir.Undefined), scalar, ir.IntType(32)(0))
        mask = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), [ir.IntType(32)(0)] * self.lanes)
        return self.at.shuffle_vector(one, ir.Constant(self.vector, ir.Undefined), mask)

    def add(self, a: Value, b: Value) -> Value:
        """Return a + b."""
        return self.at.fadd(a, b, flags=_CONTRACT)

    def sub(self, a: Value, b: Value) -> Value:
        """Return a - b."""
        return self.at.fsub(a, b, flags=_CONTRACT)

    def mul(self, a: Value, b: Value) -> Value:
        """Return a * b; with an :meth:`add` or :meth:`sub` of it one fused instruction, where the processor has it."""
        return self.at.fmul(a, b, flags=_CONTRACT)

    def parity_sign(self, word: Value) -> Value:
        """Return (-1)**(number of set bits of a word) in all lanes."""
        ones = self.at.call(self._intrinsic("llvm.ctpop.i64", [I64]), [word])
        if self.integer.width == 64:
            sign_bit = self.at.shl(ones, I64(63))
        else:
            sign_bit = self.at.shl(self.at.trunc(ones, self.integer), self.integer(31))
        one = self.at.bitcast(ir.Constant(self.scalar, 1.0), self.integer)
        return self.splat(self.at.bitcast(self.at.xor(one, sign_bit), self.scalar))

    def for_each_coset(
        self,
        first_step: int,
        carried: Sequence[Value],
        body: Callable[[Value, Value, list[Value]], list[Value]],
    ) -> list[Value]:
        """Loop over the offsets of cosets, starting at the kernel's base; word COUNT says how many, at least 1.

        Offset j is the base plus (exclusive or) the vectors of the set bits of j. From j to j + 1 the bits 0 to ctz(j + 1)
        change, so word ``first_step + ctz(j + 1)`` holds the sum of their vectors (see :func:`counter_steps`).

        Args:
            first_step: index of the first of these words.
            carried: values that live from one iteration to the next.
            body: takes (offset, j, carried) and returns the next carried values.

        Returns:
            The carried values after the last iteration.
        """
        count = self.word(COUNT)
        before = self.at.block
        loop = self.function.append_basic_block()
        self.at.branch(loop)
        self.at.position_at_end(loop)
        number, offset = self.at.phi(I64), self.at.phi(I64)
        phis = [self.at.phi(value.type) for value in carried]
        following = body(offset, number, list(phis))
        number_after = self.at.add(number, I64(1))
        bit = self.at.call(self._intrinsic("llvm.cttz.i64", [I64, I1]), [number_after, I1(1)])
        step = self.word(self.at.add(bit, I64(first_step)))
        offset_after = self.at.xor(offset, step)
        last = self.at.block
        for phi, start, after in zip(
            [number, offset, *phis],
            [I64(0), self.base, *carried],
            [number_after, offset_after, *following],
            strict=True,
        ):
            phi.add_incoming(start, before)
            phi.add_incoming(after, last)
        done = self.function.append_basic_block()
        self.at.cbranch(self.at.icmp_unsigned("<", number_after, count), loop, done)
        self.at.position_at_end(done)
        return following

    def _intrinsic(self, name: str, arguments: list[ir.Type]) -> Value:
        known = self.module.globals.get(name)
        return known or ir.Function(self.module, ir.FunctionType(I64, arguments), name)
