"""A kernel that multiplies every amplitude by a factor of its own: phases that are more than signs of CZ and Z.

A kernel that swaps amplitudes: what permutations need that no exclusive or of addresses can express, such as CCX.
"""

from __future__ import annotations

from dataclasses import dataclass

from llvmlite import ir

from qgan_qiskit.simulation.llvm.codegen import I64, Kernel, KernelKey, Node, Value


@dataclass(frozen=True)
class Factors(KernelKey):
    """A kernel: multiply the state by a table; in backward state and cotangent by its conjugate.

    Attributes:
        lanes: numbers in a row.
        double: whether they are double precision.
        backward: see above.
        complex: whether rows of imaginary parts exist, and factors are pairs (real, imaginary).
    """

    lanes: int
    double: bool
    backward: bool
    complex: bool

    def node(self, count: int, table: int, plane: int, steps: list[int]) -> Node:
        """Return the words of a node.

        Args:
            count: number of amplitudes.
            table: address of the factors, in the order of places.
            plane: what, exclusive-ored to the offset of a real row, leads to its imaginary one.
            steps: see :meth:`~qgan_qiskit.simulation.llvm.codegen.Kernel.cosets`.
        """
        words: Node = [self, 0, count, table, plane, *steps]
        words[1] = len(words)
        return words

    def build(self, module: ir.Module, name: str) -> None:
        """Add the kernel to a module under a name."""
        k = Kernel(module, name, self.lanes, self.double)
        table = k.at.inttoptr(k.word(3), k.scalar.as_pointer())
        plane = k.word(4)

        def factor(index: Value) -> Value:
            return k.splat(k.at.load(k.at.gep(table, [index])))

        def body(row: Value, number: Value, _carried: list[Value]) -> list[Value]:
            for pointer in (k.state, k.cotangent) if self.backward else (k.state,):
                if not self.complex:
                    k.store(k.mul(factor(number), k.load(pointer, row)), pointer, row)
                    continue
                other = k.at.xor(row, plane)
                re, im = k.load(pointer, row), k.load(pointer, other)
                cosine, sine = factor(k.at.shl(number, I64(1))), factor(k.at.or_(k.at.shl(number, I64(1)), I64(1)))
                if self.backward:
                    sine = k.at.fneg(sine)
                k.store(k.sub(k.mul(cosine, re), k.mul(sine, im)), pointer, row)
                k.store(k.add(k.mul(cosine, im), k.mul(sine, re)), pointer, other)
            return []

        k.cosets(k.word(2), 5, [], body)
        k.at.ret_void()


@dataclass(frozen=True)
class Swap(KernelKey):
    """A kernel: exchange pairs of rows, one after the other; in backward those of the cotangent too."""

    lanes: int
    double: bool
    backward: bool

    def node(self, count: int, pairs: int) -> Node:
        """Return the words of a node, given the address of ``count`` pairs of row offsets."""
        # Words that say how the base moves, for any count: it is not used.
        unmoved = [0] * 65
        return [self, 4 + len(unmoved), count, pairs, *unmoved]

    def build(self, module: ir.Module, name: str) -> None:
        """Add the kernel to a module under a name."""
        k = Kernel(module, name, self.lanes, self.double)
        pairs = k.at.inttoptr(k.word(3), I64.as_pointer())

        def body(_base: Value, number: Value, _carried: list[Value]) -> list[Value]:
            first = k.at.shl(number, I64(1))
            a, b = (k.at.load(k.at.gep(pairs, [k.at.or_(first, I64(i))])) for i in range(2))
            for pointer in (k.state, k.cotangent) if self.backward else (k.state,):
                row_a, row_b = k.load(pointer, a), k.load(pointer, b)
                k.store(row_b, pointer, a)
                k.store(row_a, pointer, b)
            return []

        k.cosets(k.word(2), 4, [], body)
        k.at.ret_void()
