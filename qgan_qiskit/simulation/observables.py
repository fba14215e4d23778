"""Pauli sums as masks and tables, in a basis in which they are diagonal if there is one.

A Pauli string with X-mask ``x`` and Z-mask ``z`` acts as ``P|j> = i**|x & z| (-1)**|j & z| |j ^ x>``. Strings of the same x
share the product of the state with its permuted self; for x = 0 this is the vector of probabilities.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from qiskit.quantum_info import SparsePauliOp

from qgan_qiskit.circuits import check_observables
from qgan_qiskit.simulation.ir import Fixed

_TO_Z = {
    "X": np.array([[1, 1], [1, -1]]) / np.sqrt(2),
    "Y": np.array([[1, -1j], [1, 1j]]) / np.sqrt(2),
}


def common_basis_change(observables: Sequence[SparsePauliOp]) -> list[Fixed] | None:
    """Return gates that make every observable diagonal, or None if Pauli letters differ on some qubit."""
    letters: dict[int, str] = {}
    for observable in observables:
        for label in observable.paulis.to_labels():
            for qubit, letter in enumerate(reversed(label.lstrip("-i"))):
                if letter != "I" and letters.setdefault(qubit, letter) != letter:
                    return None
    return [Fixed(qubit, _TO_Z[letter].astype(complex)) for qubit, letter in letters.items() if letter != "Z"]


def diagonalize(observables: Sequence[SparsePauliOp]) -> list[SparsePauliOp]:
    """Replace X and Y by Z, for use after the gates of :func:`common_basis_change`."""
    to_z = str.maketrans("XY", "ZZ")
    return [SparsePauliOp([label.translate(to_z) for label in op.paulis.to_labels()], op.coeffs) for op in observables]


def pauli_terms(observables: Sequence[SparsePauliOp], num_qubits: int) -> tuple[list[tuple[int, int]], np.ndarray]:
    """Return the Pauli strings of all observables, each once, and the observables as combinations of their sums.

    The sum of a string is ``S = sum_j (-1)**|j & z| conj(psi_(j ^ x)) psi_j``. Its expectation is the real part of
    ``i**|x & z| S``, so plus or minus the real or imaginary part of S.

    Returns:
        terms: (X-mask, Z-mask), sorted such that those which need the same part of the same products are adjacent.
        combination: shape (number of observables, terms).

    Raises:
        CircuitError: there are no observables, or one acts on another number of qubits or is not Hermitian.
    """
    check_observables(num_qubits, observables)
    rows: list[dict[tuple[int, int], float]] = []
    for observable in observables:
        row: dict[tuple[int, int], float] = {}
        for x, z, coefficient in _masks(observable):
            sign = (1, -1, -1, 1)[(x & z).bit_count() % 4]
            row[x, z] = row.get((x, z), 0.0) + sign * coefficient
        rows.append(row)
    terms = sorted({term for row in rows for term in row}, key=lambda t: (t[0], (t[0] & t[1]).bit_count() % 2, t[1]))
    combination = np.array([[row.get(term, 0.0) for term in terms] for row in rows])
    return terms, combination.reshape(len(rows), len(terms))


def observable_tables(observables: Sequence[SparsePauliOp], num_qubits: int) -> dict[int, np.ndarray]:
    """Return X-mask -> T of shape (number of observables, 2**num_qubits), complex128.

    With them observable o is ``sum_x sum_j T_x[o, j] |j ^ x><j|``.
    """
    index = np.arange(1 << num_qubits)
    tables: dict[int, np.ndarray] = {}
    for row, observable in enumerate(observables):
        for x, z, coefficient in _masks(observable):
            signs = 1.0 - 2.0 * (np.bitwise_count(index & z) & 1)
            table = tables.setdefault(x, np.zeros((len(observables), len(index)), dtype=complex))
            table[row] += coefficient * 1j ** int(x & z).bit_count() * signs
    return tables


def _masks(observable: SparsePauliOp) -> Iterator[tuple[int, int, float]]:
    """Yield (X-mask, Z-mask, coefficient) of each Pauli string."""
    for label, coefficient in observable.to_list():
        letters = label[::-1]
        x = sum(1 << q for q, letter in enumerate(letters) if letter in "XY")
        z = sum(1 << q for q, letter in enumerate(letters) if letter in "YZ")
        yield x, z, float(coefficient.real)
