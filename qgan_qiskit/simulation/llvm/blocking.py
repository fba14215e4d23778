"""Cache and register blocking: which rotations are done on a set of rows before these are written back.

A kernel holds in registers the rows of one coset of a subspace of addresses, ``base ^ span(x_1 .. x_d)``. There it can do
every rotation whose x_mask lies in the subspace. Layers of the circuit do not matter: only rotations that do not commute have
to keep their order. In a CX ladder the x_masks of a layer are sums of x_masks of the layer before, so a block of three
dimensions takes three rotations of one layer, two of the next and one of the one after.

Blocks are nested: those of the size of a cache are partitioned again into blocks of the size of the registers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qgan_qiskit.simulation.llvm.clifford_frame import parity
from qgan_qiskit.simulation.llvm.program import PauliRotation

# While a block is filled, at most so many rotations are postponed.
_MAX_POSTPONED = 64
# So many candidates are compared for each block; circuits of more rotations than the second number take the first one.
_MAX_CANDIDATES, _MAX_SEARCHED_ROTATIONS = 48, 512


class Subspace:
    """A subspace of the bit vectors over GF(2), with the basis it was built from.

    Attributes:
        basis: linearly independent vectors, as bit masks, in the order in which they were added.
    """

    def __init__(self, vectors: Sequence[int] = ()) -> None:
        """Span some vectors; those that depend on earlier ones are left out of the basis."""
        self.basis: list[int] = []
        self._reduced: list[int] = []
        for vector in vectors:
            self.add(vector)

    def reduce(self, vector: int) -> int:
        """Return a vector modulo the subspace: 0 if it is a member."""
        for reduced in self._reduced:
            vector = min(vector, vector ^ reduced)
        return vector

    def add(self, vector: int) -> bool:
        """Extend the subspace by a vector; return whether its dimension grew."""
        remainder = self.reduce(vector)
        if not remainder:
            return False
        self.basis.append(vector)
        self._reduced = sorted([*self._reduced, remainder], reverse=True)
        return True

    def coordinates(self, vector: int) -> int:
        """Return which basis vectors sum to a member, as a bit mask. Made for few dimensions: it lists all members."""
        members = [0]
        for base in self.basis:
            members += [member ^ base for member in members]
        return members.index(vector)

    def complement(self, vectors: Sequence[int]) -> list[int]:
        """Return those of some vectors that, added one after the other, extend this subspace."""
        larger = Subspace(self.basis)
        return [vector for vector in vectors if larger.add(vector)]


@dataclass(frozen=True, eq=False)
class Block:
    """Rotations that are done together on each coset of a subspace.

    Attributes:
        subspace: spanned by the x_masks of the rotations.
        leading: the rotations whose x_masks are its basis.
        rotations: all rotations, in an order in which they may be done.
    """

    subspace: Subspace
    leading: tuple[PauliRotation, ...]
    rotations: tuple[PauliRotation, ...]


def partition_gates(rotations: Sequence[PauliRotation], dimensions: int) -> list[Block]:
    """Partition rotations, given in circuit order or its reverse, into blocks of at most ``dimensions`` dimensions.

    Greedy: for each block some subspaces are tried, and the one that takes most rotations wins.
    """
    blocks = []
    pending = list(rotations)
    while pending:
        block, postponed = _fill_block(pending, dimensions, Subspace())
        if postponed and len(rotations) <= _MAX_SEARCHED_ROTATIONS:
            for first in range(min(_MAX_CANDIDATES, len(pending) - dimensions + 1)):
                candidate = Subspace([rotation.pauli.x_mask for rotation in pending[first : first + dimensions]])
                other, other_postponed = _fill_block(pending, dimensions, candidate)
                if len(other.rotations) > len(block.rotations):
                    block, postponed = other, other_postponed
        blocks.append(block)
        pending = postponed
    return blocks


def _fill_block(
    pending: Sequence[PauliRotation], dimensions: int, subspace: Subspace
) -> tuple[Block, list[PauliRotation]]:
    """Take all rotations that fit, starting from a subspace and extending it; return the block and what is postponed."""
    used = Subspace()
    leading: list[PauliRotation] = []
    taken: list[PauliRotation] = []
    postponed: list[PauliRotation] = []
    for number, rotation in enumerate(pending):
        if len(postponed) >= _MAX_POSTPONED:
            postponed += pending[number:]
            break
        x_mask = rotation.pauli.x_mask
        fits = not subspace.reduce(x_mask) or len(subspace.basis) < dimensions
        if not fits or not all(rotation.pauli.commutes(other.pauli) for other in postponed):
            postponed.append(rotation)
            continue
        subspace.add(x_mask)
        if used.add(x_mask):
            leading.append(rotation)
        taken.append(rotation)
    return Block(used, tuple(leading), tuple(taken)), postponed


def choose_representatives(vectors: Sequence[int], block: Block) -> list[int]:
    """Move vectors within their cosets of a block's subspace such that they commute with its leading rotations.

    A vector v does so if ``parity(v & z_mask) == 0``: then stepping by v does not exchange a and b of the rotation's pairs,
    and its kernel needs no sign. A linear system over GF(2), solved as far as it can be.
    """
    z_masks = [rotation.pauli.z_mask for rotation in block.leading]
    # Gauss-Jordan elimination of (which parities a member of the subspace changes, the member).
    rows = [(sum(parity(x & z) << i for i, z in enumerate(z_masks)), x) for x in block.subspace.basis]
    solved: list[int] = []
    for bit, z_mask in enumerate(z_masks):
        rank = len(solved)
        pivot = next((r for r in range(rank, len(rows)) if rows[r][0] >> bit & 1), None)
        if pivot is None:
            continue
        rows[rank], rows[pivot] = rows[pivot], rows[rank]
        changes, x = rows[rank]
        rows = [(c ^ changes, y ^ x) if r != rank and c >> bit & 1 else (c, y) for r, (c, y) in enumerate(rows)]
        solved.append(z_mask)
    corrections = [(z_mask, rows[rank][1]) for rank, z_mask in enumerate(solved)]
    chosen = []
    for vector in vectors:
        for x in [x for z_mask, x in corrections if parity(vector & z_mask)]:
            vector ^= x
        chosen.append(vector)
    return chosen
