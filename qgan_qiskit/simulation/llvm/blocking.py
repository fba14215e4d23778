"""Dealing rotations out to windows: sets of places that are worked on together.

A kernel holds in registers the rows of places that differ by exclusive ors of three or four flips: a window. It can do every
rotation whose own flip is among them. Which rotations that are is not a matter of stages: after CX gates the flips of later
stages are sums of flips of earlier ones, and only rotations that do not commute have to keep their order. So a window of
three qubits in a CX ladder takes three rotations of one stage, two of the next, and one of the one after that, before its
rows are written back.

Windows are nested: one as large as the first-level cache holds those that are as large as the registers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qgan_qiskit.simulation.llvm.clifford_frame import parity
from qgan_qiskit.simulation.llvm.program import Gate

# How many rotations are left behind at most while later ones are looked at.
_MOST_BEHIND = 64
# How many windows are tried for each one taken; circuits of more rotations than the second number take the first one.
_TRIED, _MOST_TRIED = 48, 512


class Span:
    """All exclusive ors of some vectors of bits."""

    def __init__(self, vectors: Sequence[int] = ()) -> None:
        """Begin with some vectors, dropping those that others span."""
        self.basis: list[int] = []
        self._reduced: list[int] = []
        for vector in vectors:
            self.add(vector)

    def rest(self, vector: int) -> int:
        """Return what is left of a vector after taking out what is spanned; 0 if all is."""
        for reduced in self._reduced:
            vector = min(vector, vector ^ reduced)
        return vector

    def add(self, vector: int) -> bool:
        """Span one vector more; return whether it was not spanned already."""
        rest = self.rest(vector)
        if not rest:
            return False
        self.basis.append(vector)
        self._reduced = sorted([*self._reduced, rest], reverse=True)
        return True

    def coordinates(self, vector: int) -> int:
        """Return which vectors of the basis make up a spanned one, as a mask."""
        # Small: spans of registers have 4 dimensions at most.
        total = [0]
        for base in self.basis:
            total += [t ^ base for t in total]
        return total.index(vector)

    def complement(self, vectors: Sequence[int]) -> list[int]:
        """Return those of some vectors that, added one after the other, make this span larger."""
        larger = Span(self.basis)
        return [vector for vector in vectors if larger.add(vector)]


@dataclass(frozen=True, eq=False)
class Window:
    """Rotations to be done on the places of one span after the other.

    Attributes:
        span: the flips within it.
        leading: rotations that made the span larger, one per dimension.
        gates: all rotations, in an order in which they may be done.
    """

    span: Span
    leading: tuple[Gate, ...]
    gates: tuple[Gate, ...]


def deal(gates: Sequence[Gate], dimensions: int) -> list[Window]:
    """Deal rotations, given in circuit order (or in reverse of it), out to windows of at most ``dimensions`` flips."""
    windows = []
    pending = list(gates)
    while pending:
        window, behind = _window(pending, dimensions, Span())
        if behind and len(gates) <= _MOST_TRIED:
            # The flips of any run of rotations may make a window; the one that takes most rotations is taken.
            for first in range(min(_TRIED, len(pending) - dimensions + 1)):
                run = Span([gate.pairs.flip for gate in pending[first : first + dimensions]])
                other, other_behind = _window(pending, dimensions, run)
                if len(other.gates) > len(window.gates):
                    window, behind = other, other_behind
        windows.append(window)
        pending = behind
    return windows


def _window(pending: Sequence[Gate], dimensions: int, span: Span) -> tuple[Window, list[Gate]]:
    """Collect a window from the front, given some of its flips; return it and what is left."""
    led = Span()
    leading: list[Gate] = []
    taken: list[Gate] = []
    behind: list[Gate] = []
    for number, gate in enumerate(pending):
        if len(behind) >= _MOST_BEHIND:
            behind += pending[number:]
            break
        fits = not span.rest(gate.pairs.flip) or len(span.basis) < dimensions
        if not fits or not all(gate.pairs.commutes(other.pairs) for other in behind):
            behind.append(gate)
            continue
        span.add(gate.pairs.flip)
        if led.add(gate.pairs.flip):
            leading.append(gate)
        taken.append(gate)
    # Flips that no rotation uses are dropped.
    return Window(led, tuple(leading), tuple(taken)), behind


def steady(vectors: Sequence[int], window: Window) -> list[int]:
    """Change vectors by flips of a window such that they do not exchange a and b in the pairs of its leading rotations."""
    masks = [gate.pairs.mask for gate in window.leading]
    # Which of these parities each flip changes; by Gauss-Jordan elimination some flips that change one each.
    rows = [(sum(parity(flip & mask) << i for i, mask in enumerate(masks)), flip) for flip in window.span.basis]
    remedies: list[tuple[int, int]] = []
    for bit, mask in enumerate(masks):
        used = len(remedies)
        pivot = next((r for r in range(used, len(rows)) if rows[r][0] >> bit & 1), None)
        if pivot is None:
            continue
        rows[used], rows[pivot] = rows[pivot], rows[used]
        changes, flip = rows[used]
        rows = [(c ^ changes, f ^ flip) if r != used and c >> bit & 1 else (c, f) for r, (c, f) in enumerate(rows)]
        remedies.append((mask, flip))
    remedies = [(mask, rows[i][1]) for i, (mask, _) in enumerate(remedies)]
    result = []
    for vector in vectors:
        for flip in [flip for mask, flip in remedies if parity(vector & mask)]:
            vector ^= flip
        result.append(vector)
    return result
