"""A small vocabulary for writing kernels in LLVM intermediate code.

A state is rows of ``lanes`` numbers, one row per amplitude (two where amplitudes are complex: the real parts of all, then
the imaginary parts of all); a lane is one image of one sub-generator. A row is one vector register. Rows are addressed by
their offset in bytes, and sets of rows by exclusive ors of offsets: see :mod:`qgan_qiskit.simulation.llvm.clifford_frame`.

All kernels have one signature: ``(state, cotangent, reads, writes, node, base)``. ``reads`` and ``writes`` hold rows that
belong to a tile: coefficients of rotations, gradients of angles, expectations. ``node`` points to 64-bit words that say what
to do, the first two being the kernel's own address and the node's length. ``base`` is the offset of the rows to work on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir

I1, I64 = ir.IntType(1), ir.IntType(64)
BYTES, WORDS = ir.IntType(8).as_pointer(), I64.as_pointer()
KERNEL = ir.FunctionType(ir.VoidType(), [BYTES, BYTES, BYTES, BYTES, WORDS, I64])
Value = Any


class KernelKey(ABC):
    """What a kernel is: a frozen dataclass that can write it."""

    @abstractmethod
    def build(self, module: ir.Module, name: str) -> None:
        """Add the kernel to a module under a name."""


# Words of a node; the first one stands for its kernel's address, or is 0 (a loop).
Node = list[Any]

_CONTRACT = ("contract",)


class Kernel:
    """One kernel while it is written: its arguments, and the instructions that kernels share."""

    def __init__(self, module: ir.Module, name: str, lanes: int, double: bool) -> None:
        """Open the function's first block."""
        self.module, self.lanes = module, lanes
        self.scalar = ir.DoubleType() if double else ir.FloatType()
        self.integer = I64 if double else ir.IntType(32)
        self.itemsize = 8 if double else 4
        self.row_bytes = lanes * self.itemsize
        self.vector = ir.VectorType(self.scalar, lanes)
        self.function = ir.Function(module, KERNEL, name)
        self.state, self.cotangent, self.reads, self.writes, self.node, self.base = self.function.args
        for pointer in self.function.args[:5]:
            pointer.add_attribute("noalias")
        self.at = ir.IRBuilder(self.function.append_basic_block())

    def word(self, index: int | Value) -> Value:
        """Read a word of the node."""
        index = I64(index) if isinstance(index, int) else index
        return self.at.load(self.at.gep(self.node, [index]))

    def load(self, pointer: Value, offset: Value) -> Value:
        """Read a row."""
        row = self.at.load(self._row(pointer, offset))
        row.align = self.row_bytes
        return row

    def load_one(self, pointer: Value, offset: Value) -> Value:
        """Read one number."""
        return self.at.load(self.at.bitcast(self.at.gep(pointer, [offset]), self.scalar.as_pointer()))

    def store(self, row: Value, pointer: Value, offset: Value) -> None:
        """Write a row."""
        self.at.store(row, self._row(pointer, offset)).align = self.row_bytes

    def _row(self, pointer: Value, offset: Value) -> Value:
        return self.at.bitcast(self.at.gep(pointer, [offset]), self.vector.as_pointer())

    def constant(self, value: float) -> Value:
        """Return a row of one number."""
        return ir.Constant(self.vector, [ir.Constant(self.scalar, value)] * self.lanes)

    def splat(self, scalar: Value) -> Value:
        """Copy a number into all lanes."""
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
        """Return a * b; together with an :meth:`add` or :meth:`sub` one instruction, where the processor has it."""
        return self.at.fmul(a, b, flags=_CONTRACT)

    def parity_sign(self, word: Value) -> Value:
        """Return +1 or -1 in all lanes: -1 where an odd number of bits of a word is set."""
        ones = self.at.call(self._intrinsic("llvm.ctpop.i64", [I64]), [word])
        bits = self.integer.width
        odd = (
            self.at.shl(ones, I64(bits - 1))
            if bits == 64
            else self.at.shl(self.at.trunc(ones, self.integer), self.integer(31))
        )
        one = self.at.bitcast(ir.Constant(self.scalar, 1.0), self.integer)
        return self.splat(self.at.bitcast(self.at.xor(one, odd), self.scalar))

    def cosets(
        self,
        count: Value,
        first_step: int,
        carried: Sequence[Value],
        body: Callable[[Value, Value, list[Value]], list[Value]],
    ) -> list[Value]:
        """Walk ``count`` offsets, starting at the kernel's base.

        From the j-th to the next, bits 0 to ctz(j + 1) of the number j change; the word ``first_step + ctz(j + 1)`` of the
        node holds what that means for the offset, to be exclusive-ored.

        Args:
            count: how many offsets, at least 1.
            first_step: index of the first of these words.
            carried: values that live from one turn to the next.
            body: takes (offset, number, carried) and returns the next carried values.

        Returns:
            The carried values after the last turn.
        """
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
