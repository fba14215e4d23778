"""Where amplitudes lie, and with which sign: gates that cost nothing.

CX, SWAP and X rename amplitudes, CZ and Z change signs. None of that is done to the state. Instead a :class:`Frame` remembers
that amplitude i of the circuit is found, up to its sign, at

    place(i) = exclusive or of columns[q] over the bits q that are set in i, and of shift,

and that the sign is (-1)**Q(place) with a quadratic form Q over bits. A rotation in the middle of the circuit then is still a
plane rotation of pairs of places p and p ^ c, where parity(p & r) says which of the two is which: a Pauli string, moved past
gates that map Pauli strings to Pauli strings. Such rotations may be done in any order that keeps those apart which do not
commute, however far apart they stand in the circuit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import xor

import numpy as np

from qgan_qiskit.simulation.ir import Monomial

_ATOL = 1e-14


def parity(mask: int) -> int:
    """Return whether an odd number of bits is set, as 0 or 1."""
    return mask.bit_count() & 1


def bits(mask: int) -> list[int]:
    """Return which bits are set."""
    return [bit for bit in range(mask.bit_length()) if mask >> bit & 1]


@dataclass(frozen=True)
class Pairs:
    """Which places a plane rotation pairs.

    Attributes:
        flip: p is paired with p ^ flip.
        mask: of the two, p is the first one (a) if parity(p & mask) == 0.
        reverse: whether the angle is to be reversed.
    """

    flip: int
    mask: int
    reverse: bool

    def commutes(self, other: Pairs) -> bool:
        """Say whether rotations of these pairs may be exchanged."""
        return parity(self.flip & other.mask) == parity(other.flip & self.mask)


class Frame:
    """The frame after some gates; starts as that of |0...0>.

    Amplitudes that differ in one of the higher qubits only must not lie a power of two of rows apart, or all of them compete
    for the same few entries of the processor's cache: so each higher qubit flips one of the low six bits of the place as well.
    """

    def __init__(self, num_qubits: int) -> None:
        """Begin with a register of ``num_qubits``; bit ``num_qubits`` of a place tells imaginary from real parts."""
        self.num_qubits = num_qubits
        self.plane = 1 << num_qubits
        self.columns = [(1 << q) | (1 << (q % 6)) for q in range(num_qubits)]
        self.shift = 0
        self._find_masks()
        # Q(p) = sum over i < j of bilinear[i] bit j * p_i p_j, plus parity(p & linear).
        self._bilinear = [0] * num_qubits
        self._linear = 0

    def offset(self, qubits: Iterable[int]) -> int:
        """Return what flipping some qubits means for the place."""
        return reduce(xor, (self.columns[q] for q in qubits), 0)

    def mask(self, z: int) -> int:
        """Return the mask m with ``parity(i & z) == parity((place(i) ^ shift) & m)`` for every amplitude i."""
        return reduce(xor, (self._masks[q] for q in bits(z)), 0)

    def places(self) -> np.ndarray:
        """Return the place of every amplitude, shape (2**num_qubits,), int64."""
        places = np.array([self.shift], dtype=np.int64)
        for column in self.columns:
            places = np.concatenate([places, places ^ column])
        return places

    def rotation(self, axis: str, qubit: int) -> Pairs:
        """Return the pairs of a rotation of the circuit at this point."""
        column, mask = self.columns[qubit], self._masks[qubit]
        value = parity(self.shift & mask)
        if axis == "z":
            # Real and imaginary part of one amplitude; (im, re) where the qubit is 0, (re, im) where it is 1.
            return Pairs(self.plane, self.plane | mask, value == 0)
        signs, constant = self._sign_change(column)
        if axis == "y":
            return Pairs(column, mask ^ signs, bool(value ^ constant))
        # (im of 1, re of 0) and (im of 0, re of 1).
        return Pairs(column | self.plane, self.plane | signs, constant == 0)

    def string(self, x: int, z: int) -> tuple[int, int, int]:
        """Return (flip, mask, sign) of a Pauli string: ``sign * sum over p of (-1)**|p & mask| * part(p, p ^ flip)``."""
        flip, mask = self.offset(bits(x)), self.mask(z)
        signs, constant = self._sign_change(flip)
        return flip, mask ^ signs, 1 - 2 * (parity(mask & self.shift) ^ constant)

    def _sign_change(self, flip: int) -> tuple[int, int]:
        """Return (mask, constant) with Q(p) + Q(p ^ flip) = parity(p & mask) + constant."""
        mask = reduce(xor, (self._bilinear[i] for i in bits(flip)), 0)
        inner = sum((self._bilinear[i] & flip).bit_count() for i in bits(flip)) // 2
        return mask, (inner + parity(self._linear & flip)) & 1

    def take(self, gate: Monomial) -> bool:
        """Take a gate into the frame; return False, with nothing changed, if it is none of those that cost nothing."""
        source = [int(s) for s in gate.source]
        masks = [source[1 << bit] ^ source[0] for bit in range(len(gate.qubits))]
        form = _quadratic_form(gate.phase, len(gate.qubits))
        if form is None or _span(source[0], masks) != source:
            return False
        self._rename(gate.qubits, masks, source[0])
        for i, linear, partners in form:
            # (-1)**(i-th bit): with the i-th logical bit of p being parity((p ^ shift) & mask).
            self._add(gate.qubits[i], linear, [gate.qubits[j] for j in partners])
        return True

    def _rename(self, qubits: Sequence[int], masks: Sequence[int], shift: int) -> None:
        """Let the new amplitude i be the old amplitude S(i), on a few qubits."""
        members = [[qubits[b] for b in bits(mask)] for mask in (*masks, shift)]
        *columns, moved = [self.offset(m) for m in members]
        for qubit, column in zip(qubits, columns, strict=True):
            self.columns[qubit] = column
        self.shift ^= moved
        self._find_masks()

    def _add(self, qubit: int, linear: bool, partners: Sequence[int]) -> None:
        """Add bit(qubit) * (linear + sum of the partners' bits) to Q, dropping constants."""
        first, at = self._masks[qubit], parity(self._masks[qubit] & self.shift)
        if linear:
            self._linear ^= first
        for partner in partners:
            second, at_second = self._masks[partner], parity(self._masks[partner] & self.shift)
            for i in bits(first):
                self._bilinear[i] ^= second
            for i in bits(second):
                self._bilinear[i] ^= first
            self._linear ^= (first & second) ^ (second if at else 0) ^ (first if at_second else 0)

    def take_signs(self) -> np.ndarray | None:
        """Return (-1)**Q by place, shape (2**num_qubits,), and forget it; None if all are +1."""
        if not any(self._bilinear) and not self._linear:
            return None
        place = np.arange(1 << self.num_qubits)
        odd = np.bitwise_count(place & self._linear)
        for i, others in enumerate(self._bilinear):
            odd += ((place >> i) & 1).astype(np.uint8) * np.bitwise_count(place & (others >> i + 1 << i + 1))
        self._bilinear, self._linear = [0] * self.num_qubits, 0
        return 1.0 - 2.0 * (odd & 1)

    def _find_masks(self) -> None:
        """Invert the columns: mask q is what of a place tells qubit q."""
        # Gauss-Jordan elimination; in the end row b says which qubits flip bit b of the place.
        rows = [(column, 1 << q) for q, column in enumerate(self.columns)]
        for bit in range(len(rows)):
            pivot = next(r for r in range(bit, len(rows)) if rows[r][0] >> bit & 1)
            rows[bit], rows[pivot] = rows[pivot], rows[bit]
            column, qubits = rows[bit]
            rows = [(c ^ column, q ^ qubits) if r != bit and c >> bit & 1 else (c, q) for r, (c, q) in enumerate(rows)]
        self._masks = [
            sum((qubits >> q & 1) << bit for bit, (_, qubits) in enumerate(rows)) for q in range(self.num_qubits)
        ]


def _span(shift: int, masks: Sequence[int]) -> list[int]:
    spanned = [shift]
    for mask in masks:
        spanned += [s ^ mask for s in spanned]
    return spanned


def _quadratic_form(phase: np.ndarray, num_bits: int) -> list[tuple[int, bool, list[int]]] | None:
    """Write phases as phase[0] * (-1)**(sum of bit i * (linear + bits of partners)), or return None."""
    signs = phase / phase[0]
    if np.abs(np.abs(signs.real) - 1).max() > _ATOL or np.abs(signs.imag).max() > _ATOL:
        return None
    odd = (signs.real < 0).astype(int)
    form = []
    for i in range(num_bits):
        partners = [j for j in range(i) if odd[1 << i | 1 << j] ^ odd[1 << i] ^ odd[1 << j]]
        form.append((i, bool(odd[1 << i]), partners))
    index = np.arange(len(phase))
    found = np.zeros(len(phase), dtype=int)
    for i, linear, partners in form:
        found ^= (index >> i & 1) * (int(linear) ^ (sum((index >> j & 1) for j in partners) & 1))
    return form if (found == odd).all() else None
