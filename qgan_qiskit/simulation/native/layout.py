"""Where amplitudes lie: permutations that cost nothing.

CX, X and SWAP only rename amplitudes: the new amplitude i is the old amplitude S(i), where S is linear over bits (exclusive
or) and a shift. So nothing is moved; what changes is where amplitude i is found. A :class:`Layout` is that place,

    place(i) = exclusive or of columns[q] over the bits q that are set in i, and of shift,

and a gate on a few qubits works on sets of places that differ by exclusive ors of a few columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import xor

import numpy as np

from qgan_qiskit.simulation.lowering import Monomial


@dataclass(frozen=True)
class Layout:
    """Places of amplitudes: one column per qubit, and a shift."""

    columns: tuple[int, ...]
    shift: int = 0

    @classmethod
    def spread(cls, num_qubits: int) -> Layout:
        """Return the layout to start with.

        Amplitudes that differ in one of the higher qubits only must not lie a power of two of rows apart, or all of them
        compete for the same few entries of the processor's cache. So each higher qubit flips one of the low six bits of the
        place as well.
        """
        return cls(tuple((1 << q) | (1 << (q % 6)) for q in range(num_qubits)))

    def offset(self, qubits: Iterable[int]) -> int:
        """Return what flipping some qubits means for the place."""
        return reduce(xor, (self.columns[q] for q in qubits), 0)

    def places(self) -> np.ndarray:
        """Return the place of every amplitude, shape (2**num_qubits,), int64."""
        places = np.array([self.shift], dtype=np.int64)
        for column in self.columns:
            places = np.concatenate([places, places ^ column])
        return places

    def mask(self, z: int) -> int:
        """Return the mask m with ``parity(i & z) == parity((place(i) ^ shift) & m)`` for every amplitude i."""
        # Gauss-Jordan elimination: in the end ``inverse[b]`` says which qubits flip bit b of the place.
        rows = [(column, 1 << q) for q, column in enumerate(self.columns)]
        for bit in range(len(rows)):
            pivot = next(r for r in range(bit, len(rows)) if rows[r][0] >> bit & 1)
            rows[bit], rows[pivot] = rows[pivot], rows[bit]
            column, qubits = rows[bit]
            rows = [(c ^ column, q ^ qubits) if r != bit and c >> bit & 1 else (c, q) for r, (c, q) in enumerate(rows)]
        return sum(((qubits & z).bit_count() & 1) << bit for bit, (_, qubits) in enumerate(rows))

    def after(self, gate: Monomial) -> Layout | None:
        """Return the layout after a gate, or None where the gate's permutation is not linear."""
        source = [int(s) for s in gate.source]
        masks = [source[1 << bit] ^ source[0] for bit in range(len(gate.qubits))]
        spanned = [source[0]]
        for mask in masks:
            spanned += [s ^ mask for s in spanned]
        if spanned != source:
            return None
        columns = list(self.columns)
        for bit, qubit in enumerate(gate.qubits):
            columns[qubit] = self.offset(_members(gate.qubits, masks[bit]))
        return Layout(tuple(columns), self.shift ^ self.offset(_members(gate.qubits, source[0])))


def _members(qubits: Sequence[int], mask: int) -> list[int]:
    return [qubit for bit, qubit in enumerate(qubits) if mask >> bit & 1]


def local_index(qubits: Sequence[int], num_qubits: int) -> np.ndarray:
    """Return, for every amplitude, its bits on some qubits, the first one lowest; shape (2**num_qubits,)."""
    index = np.arange(1 << num_qubits)
    local = np.zeros_like(index)
    for bit, qubit in enumerate(qubits):
        local |= ((index >> qubit) & 1) << bit
    return local


def source_index(gate: Monomial, local: np.ndarray) -> np.ndarray:
    """Return, for every amplitude, the one that a gate puts there."""
    moved = np.asarray(gate.source)[local] ^ local
    source = np.arange(len(local))
    for bit, qubit in enumerate(gate.qubits):
        source ^= ((moved >> bit) & 1) << qubit
    return source
