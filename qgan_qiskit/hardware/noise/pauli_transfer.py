"""Mixed states of a few qubits as the expectations of all Pauli strings: channels of any kind act on them exactly.

A density matrix of n qubits is the real vector of the expectations of its 4^n Pauli strings, and a channel a real matrix (its
Pauli transfer matrix). For ten qubits and the gates of one sub-generator this takes a tenth of a second where following a single
shot through Aer takes milliseconds, and there are thousands of shots. Memory: 4 MiB per image at ten qubits.

Shape letters: B images · D dimension of the state of a gate's qubits (2^k) · n qubits.
"""

from __future__ import annotations

from functools import cache
from itertools import product

import numpy as np
import torch
from torch import Tensor

_PAULIS = np.array([[[1, 0], [0, 1]], [[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])
# Below this many columns behind a gate's axes, one larger matrix on the last axes is faster than many thin products.
_THIN = 16
# Product vectors that are multiplied together.
_AT_ONCE = 256


@cache
def _pauli_strings(num_qubits: int) -> np.ndarray:
    """Return all strings (4^k, D, D), the first qubit changing fastest."""
    strings = []
    for string in product(range(4), repeat=num_qubits):
        matrix = np.eye(1)
        for pauli in string:
            matrix = np.kron(matrix, _PAULIS[pauli])
        strings.append(matrix)
    return np.array(strings)


def transfer_matrices(unitaries_BDD: np.ndarray) -> np.ndarray:
    """Return the Pauli transfer matrices (B, 4^k, 4^k) of unitaries."""
    size = unitaries_BDD.shape[-1]
    strings = _pauli_strings(size.bit_length() - 1)
    moved = np.einsum("nab,pbc,ndc->npad", unitaries_BDD, strings, unitaries_BDD.conj(), optimize=True)
    return np.real(np.einsum("qda,npad->nqp", strings, moved, optimize=True)) / size


class PauliVectors:
    """States of several images, all on the same qubits, in |0…0> at first."""

    def __init__(self, batch: int, num_qubits: int, dtype: torch.dtype = torch.float32) -> None:
        """Start.

        Args:
            batch: images.
            num_qubits: at most about 13, for the memory.
            dtype: of the expectations.
        """
        self.num_qubits, self.dtype = num_qubits, dtype
        zeros = np.tile([1.0, 0.0, 0.0, 1.0], (batch, num_qubits, 1))
        self._state = _product(zeros, dtype)

    @classmethod
    def product(cls, factors_BnP: np.ndarray, dtype: torch.dtype = torch.float32) -> PauliVectors:
        """Return vectors that are products of one factor for each qubit, such as product states or Pauli strings.

        Args:
            factors_BnP: for each vector and qubit the four numbers of I, X, Y, Z.
            dtype: of the vectors.
        """
        vectors = cls(0, 0, dtype)
        vectors.num_qubits, vectors._state = factors_BnP.shape[1], _product(factors_BnP, dtype)
        return vectors

    def overlaps(self, factors_InP: np.ndarray) -> np.ndarray:
        """Return the sums of products with vectors that are products themselves, (B, I).

        Args:
            factors_InP: as for :meth:`product`.
        """
        half = self.num_qubits // 2
        found = []
        for low in range(0, len(factors_InP), _AT_ONCE):
            some = factors_InP[low : low + _AT_ONCE]
            # Half of the qubits in one large matrix product, the others in a short sum.
            first, second = _product(some[:, :half], self.dtype), _product(some[:, half:], self.dtype)
            parts = self._state.view(len(self._state), first.shape[1], -1) @ second.T
            found.append((parts * first.T).sum(1))
        return torch.cat(found, dim=1).to(torch.float64).numpy()

    def copy(self) -> PauliVectors:
        """Return the same states, to be evolved apart."""
        other = object.__new__(PauliVectors)
        other.num_qubits, other.dtype, other._state = self.num_qubits, self.dtype, self._state.clone()
        return other

    def apply(self, matrices: np.ndarray, qubits: tuple[int, ...]) -> None:
        """Apply a channel.

        Args:
            matrices: Pauli transfer matrices, (B or 1, 4^k, 4^k), of one or two qubits.
            qubits: those it acts on, the first one changing fastest in the matrices.
        """
        matrix = torch.from_numpy(np.ascontiguousarray(matrices)).to(self.dtype)
        if len(qubits) == 2:
            matrix = self._in_rising_order(matrix, qubits)
        low, high = min(qubits), max(qubits)
        batch, count = len(self._state), len(qubits)
        if count == 2 and high != low + 1:
            # The second axis is brought next to the first, and back.
            left, between, right = 4**low, 4 ** (high - low - 1), 4 ** (self.num_qubits - high - 1)
            state = self._state.view(batch, left, 4, between, 4, right).transpose(3, 4).contiguous()
            state = _multiplied(state.view(batch, left, 16, between * right), matrix)
            self._state = state.view(batch, left, 4, 4, between, right).transpose(3, 4).reshape(batch, -1)
            return
        left, right = 4**low, 4 ** (self.num_qubits - low - count)
        self._state = _multiplied(self._state.view(batch, left, 4**count, right), matrix).reshape(batch, -1)

    @staticmethod
    def _in_rising_order(matrix: Tensor, qubits: tuple[int, ...]) -> Tensor:
        """Return the matrix for (lower qubit, higher qubit) with the lower one changing slowest, as in the state."""
        if qubits[0] > qubits[1]:
            return matrix
        return matrix.view(-1, 4, 4, 4, 4).permute(0, 2, 1, 4, 3).reshape(-1, 16, 16)

    def probabilities(self) -> np.ndarray:
        """Return the probabilities of all outcomes in the Z basis, (B, 2^n), qubit 0 being the highest bit."""
        state = self._state.to(torch.float64)
        hadamard = torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=torch.float64) / 2
        for qubit in range(self.num_qubits):
            state = state.view(len(state), 2**qubit, 4, -1)[:, :, [0, 3]]
            state = torch.einsum("xp,blpr->blxr", hadamard, state).reshape(len(state), -1)
        return state.numpy()


def _product(factors_BnP: np.ndarray, dtype: torch.dtype) -> Tensor:
    """Return products of one factor for each qubit, (B, 4^n), the first one changing slowest."""
    product = torch.ones(len(factors_BnP), 1, dtype=dtype)
    for qubit in range(factors_BnP.shape[1]):
        factor = torch.from_numpy(np.ascontiguousarray(factors_BnP[:, qubit])).to(dtype)
        product = (product[:, :, None] * factor[:, None]).reshape(len(product), -1)
    return product


def _multiplied(state: Tensor, matrix: Tensor) -> Tensor:
    """Return the product of (B or 1, S, S) with axis 2 of (B, left, S, right)."""
    batch, left, size, right = state.shape
    if right >= _THIN or left == 1:
        return matrix[:, None] @ state
    wide = torch.kron(matrix, torch.eye(right, dtype=matrix.dtype)) if right > 1 else matrix
    return (state.reshape(batch, left, size * right) @ wide.transpose(1, 2)).view(batch, left, size, right)
