"""A kernel that swaps amplitudes: what permutations need that no exclusive or of addresses can express, such as CCX."""

from __future__ import annotations

from dataclasses import dataclass

from llvmlite import ir

from qgan_qiskit.simulation.native.emit import I64, Kernel, KernelKey, Node, Value


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
