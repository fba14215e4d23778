"""Clifford gates that are never executed: a frame says at which address and with which sign each amplitude lies.

CX, SWAP and X permute amplitudes by an affine map over GF(2), CZ and Z change signs by a quadratic form over GF(2)
(Dehaene and De Moor, arXiv quant-ph/0304125). A :class:`CliffordFrame` composes both instead of touching the state::

    psi[i] = (-1)**Q(address(i)) * memory[address(i)]        address(i) = A i + shift   (mod 2)

with A a ``num_qubits x num_qubits`` matrix (``gf2_matrix``, one bit mask per column). Conjugated by the frame, a rotation of
one qubit becomes a rotation by a Pauli string over addresses, and two of these may be exchanged if their strings commute.
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
    """Return 1 if an odd number of bits is set, else 0."""
    return mask.bit_count() & 1


def set_bits(mask: int) -> list[int]:
    """Return the positions of the set bits, lowest first."""
    return [bit for bit in range(mask.bit_length()) if mask >> bit & 1]


@dataclass(frozen=True)
class PauliString:
    """The generator of a rotation, as a pairing of addresses: ``a' = c a - s b`` and ``b' = s a + c b`` with b at a ^ x_mask.

    Attributes:
        x_mask: address p is paired with ``p ^ x_mask``.
        z_mask: p is the first of its pair (a) if ``parity(p & z_mask) == 0``, the second (b) otherwise.
        negated: whether the sign of the angle is reversed.
    """

    x_mask: int
    z_mask: int
    negated: bool

    def commutes(self, other: PauliString) -> bool:
        """Return whether the two rotations may be exchanged: the symplectic product of their masks is 0."""
        return parity(self.x_mask & other.z_mask) == parity(other.x_mask & self.z_mask)


class CliffordFrame:
    """The frame after some gates. It starts as that of an empty circuit.

    The initial matrix is not the identity: each qubit above the sixth also flips one of the low six address bits. Otherwise
    amplitudes that differ in a high qubit lie a power of two of rows apart and evict each other from the processor's cache.

    Attributes:
        imag_bit: bit of an address that distinguishes imaginary from real parts.
        gf2_matrix: columns of A, as bit masks: what flipping each qubit changes in the address.
        shift: address of amplitude 0.
    """

    def __init__(self, num_qubits: int) -> None:
        """Make the frame of an empty circuit."""
        self.num_qubits = num_qubits
        self.imag_bit = 1 << num_qubits
        self.gf2_matrix = [(1 << q) | (1 << (q % 6)) for q in range(num_qubits)]
        self.shift = 0
        self._inverse = _invert(self.gf2_matrix)
        # Q(p) = sum over i < j of p_i p_j * (bit j of quadratic[i]), plus parity(p & linear).
        self._quadratic = [0] * num_qubits
        self._linear = 0

    def address_mask(self, qubits: Iterable[int]) -> int:
        """Return which address bits change when some qubits are flipped: A applied to them."""
        return reduce(xor, (self.gf2_matrix[q] for q in qubits), 0)

    def parity_mask(self, qubits: Iterable[int]) -> int:
        """Return m such that ``parity(m & (address(i) ^ shift))`` is the parity of some qubits of every amplitude i."""
        return reduce(xor, (self._inverse[q] for q in qubits), 0)

    def addresses(self) -> np.ndarray:
        """Return the address of every amplitude, shape (2**num_qubits,), int64."""
        addresses = np.array([self.shift], dtype=np.int64)
        for column in self.gf2_matrix:
            addresses = np.concatenate([addresses, addresses ^ column])
        return addresses

    def map_rotation(self, axis: str, qubit: int) -> PauliString:
        """Return the Pauli string of a rotation that the circuit makes at this point."""
        column, mask = self.gf2_matrix[qubit], self._inverse[qubit]
        at_shift = parity(self.shift & mask)
        if axis == "z":
            # exp(-i angle/2 Z): rotates (im, re) of one amplitude where the qubit is 0, (re, im) where it is 1.
            return PauliString(self.imag_bit, mask | self.imag_bit, not at_shift)
        signs, constant = self._sign_change(column)
        if axis == "y":
            return PauliString(column, mask ^ signs, bool(at_shift ^ constant))
        # exp(-i angle/2 X): pairs the real part of one amplitude with the imaginary part of the other.
        return PauliString(column | self.imag_bit, signs | self.imag_bit, not constant)

    def map_observable(self, x: int, z: int) -> tuple[int, int, int]:
        """Return (x_mask, z_mask, sign): <P> is ``sign`` times the sum over p of (-1)**|p & z_mask| part(p, p ^ x_mask).

        Args:
            x: qubits on which the string has X or Y, as a bit mask.
            z: qubits on which it has Z or Y.
        """
        x_mask, z_mask = self.address_mask(set_bits(x)), self.parity_mask(set_bits(z))
        signs, constant = self._sign_change(x_mask)
        return x_mask, z_mask ^ signs, 1 - 2 * (parity(z_mask & self.shift) ^ constant)

    def _sign_change(self, x_mask: int) -> tuple[int, int]:
        """Return (mask, constant) with ``Q(p) + Q(p ^ x_mask) = parity(p & mask) + constant``."""
        rows = [self._quadratic[i] for i in set_bits(x_mask)]
        constant = sum((row & x_mask).bit_count() for row in rows) // 2 + parity(self._linear & x_mask)
        return reduce(xor, rows, 0), constant & 1

    def absorb(self, gate: Monomial) -> bool:
        """Compose a gate with the frame; return False, with nothing changed, if it is not affine with quadratic signs."""
        source = [int(s) for s in gate.source]
        masks = [source[1 << bit] ^ source[0] for bit in range(len(gate.qubits))]
        form = _quadratic_form(gate.phase, len(gate.qubits))
        if form is None or _affine_map(source[0], masks) != source:
            return False
        self._permute(gate.qubits, masks, source[0])
        for i, linear, partners in form:
            self._change_signs(gate.qubits[i], linear, [gate.qubits[j] for j in partners])
        return True

    def _permute(self, qubits: Sequence[int], masks: Sequence[int], shift: int) -> None:
        """Compose A and the shift with the map that moves amplitude ``shift ^ (sum of masks)`` of a few qubits."""
        members = [[qubits[b] for b in set_bits(mask)] for mask in (*masks, shift)]
        *columns, moved = [self.address_mask(m) for m in members]
        for qubit, column in zip(qubits, columns, strict=True):
            self.gf2_matrix[qubit] = column
        self.shift ^= moved
        self._inverse = _invert(self.gf2_matrix)

    def _change_signs(self, qubit: int, linear: bool, partners: Sequence[int]) -> None:
        """Add ``x_qubit * (linear + sum of x_partner)`` to Q, up to a constant, where ``x_q = parity((p ^ shift) & mask_q)``."""
        first, at_shift = self._inverse[qubit], parity(self._inverse[qubit] & self.shift)
        if linear:
            self._linear ^= first
        for partner in partners:
            second, partner_at_shift = self._inverse[partner], parity(self._inverse[partner] & self.shift)
            for i in set_bits(first):
                self._quadratic[i] ^= second
            for i in set_bits(second):
                self._quadratic[i] ^= first
            self._linear ^= (first & second) ^ (second if at_shift else 0) ^ (first if partner_at_shift else 0)

    def pop_signs(self) -> np.ndarray | None:
        """Return (-1)**Q for every address, shape (2**num_qubits,), and reset Q to 0; None if Q is 0 already."""
        if not any(self._quadratic) and not self._linear:
            return None
        address = np.arange(1 << self.num_qubits)
        odd = np.bitwise_count(address & self._linear)
        for i, partners in enumerate(self._quadratic):
            odd += ((address >> i) & 1).astype(np.uint8) * np.bitwise_count(address & (partners >> i + 1 << i + 1))
        self._quadratic, self._linear = [0] * self.num_qubits, 0
        return 1.0 - 2.0 * (odd & 1)


def _invert(matrix: Sequence[int]) -> list[int]:
    """Return the rows of the inverse of a matrix over GF(2) that is given by its columns."""
    # Gauss-Jordan elimination; in the end row b holds the qubits that flip bit b of the address, and no other bit.
    rows = [(column, 1 << q) for q, column in enumerate(matrix)]
    for bit in range(len(rows)):
        pivot = next(r for r in range(bit, len(rows)) if rows[r][0] >> bit & 1)
        rows[bit], rows[pivot] = rows[pivot], rows[bit]
        column, qubits = rows[bit]
        rows = [(c ^ column, q ^ qubits) if r != bit and c >> bit & 1 else (c, q) for r, (c, q) in enumerate(rows)]
    return [sum((qubits >> q & 1) << bit for bit, (_, qubits) in enumerate(rows)) for q in range(len(rows))]


def _affine_map(shift: int, masks: Sequence[int]) -> list[int]:
    """Return ``shift ^ (exclusive or of the masks of the set bits of i)`` for every i."""
    image = [shift]
    for mask in masks:
        image += [s ^ mask for s in image]
    return image


def _quadratic_form(phase: np.ndarray, num_bits: int) -> list[tuple[int, bool, list[int]]] | None:
    """Return (i, linear, partners j < i) with ``phase = phase[0] * (-1)**(sum of x_i * (linear + sum of x_j))``, or None."""
    signs = phase / phase[0]
    if np.abs(np.abs(signs.real) - 1).max() > _ATOL or np.abs(signs.imag).max() > _ATOL:
        return None
    odd = (signs.real < 0).astype(int)
    bit = np.arange(len(phase)) >> np.arange(num_bits)[:, None] & 1
    form, found = [], np.zeros(len(phase), dtype=int)
    for i in range(num_bits):
        partners = [j for j in range(i) if odd[1 << i | 1 << j] ^ odd[1 << i] ^ odd[1 << j]]
        form.append((i, bool(odd[1 << i]), partners))
        found ^= bit[i] * (odd[1 << i] ^ (bit[partners].sum(axis=0) & 1))
    return form if (found == odd).all() else None
