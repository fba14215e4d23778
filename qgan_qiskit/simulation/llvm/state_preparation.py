"""Kernels that prepare a product state, a few qubits at a time: each turns every row into one row per value of its qubits."""

from __future__ import annotations

from dataclasses import dataclass

from llvmlite import ir

from qgan_qiskit.simulation.llvm.codegen import I64, Kernel, KernelKey, Node, Value

_COUNT, _PLANE, _READ, _OFFSETS = 2, 3, 4, 5


@dataclass(frozen=True)
class Start(KernelKey):
    """A kernel: multiply the state by the vectors of further qubits.

    Attributes:
        lanes: numbers in a row.
        double: whether they are double precision.
        complex: whether rows of imaginary parts exist.
        bits: how many qubits come in.
        first: whether there is nothing yet.
    """

    lanes: int
    double: bool
    complex: bool
    bits: int
    first: bool

    def node(self, count: int, plane: int, read: int, offsets: list[int], steps: list[int]) -> Node:
        """Return the words of a node.

        Args:
            count: rows that exist already, or 1.
            plane: what, exclusive-ored to the offset of a real row, leads to its imaginary one.
            read: offset of the qubits' vectors: amplitude of |0>, amplitude of |1> for each; with complex amplitudes each as
                real and imaginary part.
            offsets: of the 2**bits rows to come.
            steps: see :meth:`~qgan_qiskit.simulation.llvm.codegen.Kernel.cosets`.
        """
        words: Node = [self, 0, count, plane, read, *offsets, *steps]
        words[1] = len(words)
        return words

    def build(self, module: ir.Module, name: str) -> None:
        """Add the kernel to a module under a name."""
        k = Kernel(module, name, self.lanes, self.double)
        read, plane = k.word(_READ), k.word(_PLANE)
        parts = 2 if self.complex else 1
        vectors = [
            [
                tuple(
                    k.load(k.reads, k.at.add(read, I64(k.row_bytes * ((2 * bit + value) * parts + part))))
                    for part in range(parts)
                )
                for value in range(2)
            ]
            for bit in range(self.bits)
        ]
        offsets = [k.word(_OFFSETS + i) for i in range(1 << self.bits)]

        def body(base: Value, _number: Value, _carried: list[Value]) -> list[Value]:
            at = [k.at.xor(base, offset) for offset in offsets]
            products: list[tuple[Value, ...] | None] = [None]
            if not self.first:
                products = [tuple(k.load(k.state, row) for row in self._rows(k, at[0], plane))]
            for vector in vectors:
                products = [_product(k, known, vector[value]) for value in range(2) for known in products]
            for row, product in zip(at, products, strict=True):
                assert product is not None
                for part, offset in zip(product, self._rows(k, row, plane), strict=True):
                    k.store(part, k.state, offset)
            return []

        k.cosets(k.word(_COUNT), _OFFSETS + len(offsets), [], body)
        k.at.ret_void()

    def _rows(self, k: Kernel, row: Value, plane: Value) -> list[Value]:
        return [row, k.at.xor(row, plane)] if self.complex else [row]


def _product(k: Kernel, known: tuple[Value, ...] | None, factor: tuple[Value, ...]) -> tuple[Value, ...]:
    """Multiply two numbers, each (real,) or (real, imaginary)."""
    if known is None:
        return factor
    if len(factor) == 1:
        return (k.mul(known[0], factor[0]),)
    (a, b), (c, d) = known, factor
    return k.sub(k.mul(a, c), k.mul(b, d)), k.add(k.mul(a, d), k.mul(b, c))
