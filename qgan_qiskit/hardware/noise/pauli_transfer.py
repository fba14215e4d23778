"""Mixed states of a few qubits as Pauli vectors, on which any channel acts exactly.

A density matrix of n qubits is the real vector of the expectation values of its 4^n Pauli strings; a channel is a real matrix,
its Pauli transfer matrix R_ij = Tr(P_i E(P_j)) / D. Memory: 4 MiB per image at ten qubits.

Shape letters: B images · D dimension of the state of a gate's qubits (2^k) · n qubits · P the four Paulis I, X, Y, Z.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from qiskit.quantum_info import Operator, pauli_basis
from torch import Tensor

# With fewer columns behind a gate's axes, one larger matrix on the last axes is faster than many thin products.
_MIN_COLUMNS = 16
# Product vectors that are multiplied together.
_CHUNK = 256
_HADAMARD = torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=torch.float64) / 2


@cache
def _pauli_strings(num_qubits: int) -> np.ndarray:
    """Return all Pauli strings (4^k, D, D), the first qubit changing fastest."""
    return np.array([Operator(pauli).data for pauli in pauli_basis(num_qubits)])


def transfer_matrices(unitaries_BDD: np.ndarray) -> np.ndarray:
    """Return the Pauli transfer matrices (B, 4^k, 4^k) of unitaries."""
    dimension = unitaries_BDD.shape[-1]
    strings = _pauli_strings(dimension.bit_length() - 1)
    moved = np.einsum("nab,pbc,ndc->npad", unitaries_BDD, strings, unitaries_BDD.conj(), optimize=True)
    return np.real(np.einsum("qda,npad->nqp", strings, moved, optimize=True)) / dimension


class PauliVectors:
    """A batch of Pauli vectors (B, 4^n) on the same qubits, qubit 0 changing slowest."""

    def __init__(self, vectors: Tensor, num_qubits: int) -> None:
        """Wrap vectors; see :meth:`zero_states` and :meth:`from_products`."""
        self._vectors, self.num_qubits = vectors, num_qubits

    @classmethod
    def zero_states(cls, batch: int, num_qubits: int, dtype: torch.dtype = torch.float32) -> PauliVectors:
        """Return a batch of states |0…0⟩."""
        return cls.from_products(np.tile([1.0, 0.0, 0.0, 1.0], (batch, num_qubits, 1)), dtype)

    @classmethod
    def from_products(cls, factors_BnP: np.ndarray, dtype: torch.dtype = torch.float32) -> PauliVectors:
        """Return tensor products of one factor per qubit, such as product states or Pauli strings.

        Args:
            factors_BnP: the components along I, X, Y, Z for each vector and qubit.
            dtype: of the vectors.
        """
        return cls(_tensor_products(factors_BnP, dtype), factors_BnP.shape[1])

    def inner_products(self, factors_InP: np.ndarray) -> np.ndarray:
        """Return the inner products (B, I) with I tensor products."""
        half = self.num_qubits // 2
        chunks = []
        for start in range(0, len(factors_InP), _CHUNK):
            chunk = factors_InP[start : start + _CHUNK]
            # Half of the qubits in one large matrix product, the others in a short sum.
            first, second = (_tensor_products(part, self._vectors.dtype) for part in (chunk[:, :half], chunk[:, half:]))
            partial = self._vectors.view(len(self._vectors), first.shape[1], -1) @ second.T
            chunks.append((partial * first.T).sum(1))
        return torch.cat(chunks, dim=1).to(torch.float64).numpy()

    def copy(self) -> PauliVectors:
        """Return a copy that evolves independently."""
        return PauliVectors(self._vectors.clone(), self.num_qubits)

    def apply(self, matrices: np.ndarray, qubits: tuple[int, ...]) -> None:
        """Apply a channel in place.

        Args:
            matrices: Pauli transfer matrices, (B or 1, 4^k, 4^k), of one or two qubits.
            qubits: the qubits it acts on, the first one changing fastest in the matrices.
        """
        matrix = torch.from_numpy(np.ascontiguousarray(matrices)).to(self._vectors.dtype)
        if len(qubits) == 2 and qubits[0] < qubits[1]:
            # In the vectors the lower qubit changes slowest.
            matrix = matrix.view(-1, 4, 4, 4, 4).permute(0, 2, 1, 4, 3).reshape(-1, 16, 16)
        low, high, batch = min(qubits), max(qubits), len(self._vectors)
        left, right = 4**low, 4 ** (self.num_qubits - high - 1)
        if high - low <= 1:
            vectors = self._vectors.view(batch, left, 4 ** len(qubits), right)
            self._vectors = _multiply(vectors, matrix).reshape(batch, -1)
            return
        # The second axis is moved next to the first, and back.
        between = 4 ** (high - low - 1)
        vectors = self._vectors.view(batch, left, 4, between, 4, right).transpose(3, 4).contiguous()
        vectors = _multiply(vectors.view(batch, left, 16, between * right), matrix)
        self._vectors = vectors.view(batch, left, 4, 4, between, right).transpose(3, 4).reshape(batch, -1)

    def probabilities(self) -> np.ndarray:
        """Return the probabilities of all outcomes in the Z basis, (B, 2^n), qubit 0 being the highest bit."""
        state = self._vectors.to(torch.float64)
        for qubit in range(self.num_qubits):
            state = state.view(len(state), 2**qubit, 4, -1)[:, :, [0, 3]]
            state = torch.einsum("xp,blpr->blxr", _HADAMARD, state).reshape(len(state), -1)
        return state.numpy()


def _tensor_products(factors_BnP: np.ndarray, dtype: torch.dtype) -> Tensor:
    """Return tensor products of one factor per qubit, (B, 4^n), the first one changing slowest."""
    products = torch.ones(len(factors_BnP), 1, dtype=dtype)
    for qubit in range(factors_BnP.shape[1]):
        factors = torch.from_numpy(np.ascontiguousarray(factors_BnP[:, qubit])).to(dtype)
        products = (products[:, :, None] * factors[:, None]).reshape(len(products), -1)
    return products


def _multiply(vectors: Tensor, matrix: Tensor) -> Tensor:
    """Apply (B or 1, S, S) to axis 2 of (B, left, S, right)."""
    batch, left, size, right = vectors.shape
    if right >= _MIN_COLUMNS or left == 1:
        return matrix[:, None] @ vectors
    wide = torch.kron(matrix, torch.eye(right, dtype=matrix.dtype)) if right > 1 else matrix
    return (vectors.reshape(batch, left, size * right) @ wide.transpose(1, 2)).view(batch, left, size, right)
