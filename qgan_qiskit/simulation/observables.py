"""Pauli sums as tables: what has to be measured on a state vector, and in which basis.

A Pauli string with X-part ``x`` and Z-part ``z`` (bit masks) acts as ``P|j> = i**|x&z| (-1)**|j&z| |j^x>``. Strings of the
same ``x`` share one elementwise product of the state with its shuffled self; ``x = 0`` needs probabilities only. When all
strings agree on a letter per qubit, a fixed one-qubit gate per qubit turns all of them into ``x = 0``.
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


def common_basis(observables: Sequence[SparsePauliOp]) -> list[Fixed] | None:
    """Return the gates that make every observable diagonal, or None when their Pauli letters clash on some qubit."""
    letters: dict[int, str] = {}
    for observable in observables:
        for label in observable.paulis.to_labels():
            for qubit, letter in enumerate(reversed(label.lstrip("-i"))):
                if letter != "I" and letters.setdefault(qubit, letter) != letter:
                    return None
    return [Fixed(qubit, _TO_Z[letter].astype(complex)) for qubit, letter in letters.items() if letter != "Z"]


def diagonalized(observables: Sequence[SparsePauliOp]) -> list[SparsePauliOp]:
    """Replace X and Y by Z, for use after the gates of :func:`common_basis`."""
    to_z = str.maketrans("XY", "ZZ")
    return [SparsePauliOp([label.translate(to_z) for label in op.paulis.to_labels()], op.coeffs) for op in observables]


def pauli_terms(observables: Sequence[SparsePauliOp], num_qubits: int) -> tuple[list[tuple[int, int]], np.ndarray]:
    """Return the strings of all observables, each once, and the observables as combinations of sums over amplitudes.

    The sum of a string (x, z) over amplitudes is ``S = sum_j (-1)**|j&z| conj(psi_(j^x)) psi_j``; its expectation is the real
    part of ``i**|x&z| S``, so plus or minus the real or imaginary part of S.

    Returns:
        strings: (X-mask, Z-mask), sorted such that those stand together which need the same part of the same products.
        combination: shape (number of observables, strings): observable o is ``combination[o] @ parts``.

    Raises:
        CircuitError: there are no observables, or one acts on another number of qubits or is not Hermitian.
    """
    check_observables(num_qubits, observables)
    rows: list[dict[tuple[int, int], float]] = []
    for observable in observables:
        row: dict[tuple[int, int], float] = {}
        for x, z, coefficient in _strings(observable):
            sign = (1, -1, -1, 1)[(x & z).bit_count() % 4]
            row[x, z] = row.get((x, z), 0.0) + sign * coefficient
        rows.append(row)
    strings = sorted({s for row in rows for s in row}, key=lambda s: (s[0], (s[0] & s[1]).bit_count() % 2, s[1]))
    combination = np.array([[row.get(string, 0.0) for string in strings] for row in rows])
    return strings, combination.reshape(len(rows), len(strings))


def tables(observables: Sequence[SparsePauliOp], num_qubits: int) -> dict[int, np.ndarray]:
    """Return, for each X-mask, the table ``T[o, j]`` with ``O_o = sum_x sum_j T_x[o, j] |j^x><j|``.

    Returns:
        X-mask -> array of shape (number of observables, 2**num_qubits), complex128.
    """
    index = np.arange(1 << num_qubits)
    result: dict[int, np.ndarray] = {}
    for row, observable in enumerate(observables):
        for x, z, coefficient in _strings(observable):
            signs = 1.0 - 2.0 * (np.bitwise_count(index & z) & 1)
            table = result.setdefault(x, np.zeros((len(observables), len(index)), dtype=complex))
            table[row] += coefficient * 1j ** int(x & z).bit_count() * signs
    return result


def _strings(observable: SparsePauliOp) -> Iterator[tuple[int, int, float]]:
    """Yield (X-mask, Z-mask, coefficient) of each string of an observable."""
    for label, coefficient in observable.to_list():
        bits = label[::-1]
        x = sum(1 << q for q, letter in enumerate(bits) if letter in "XY")
        z = sum(1 << q for q, letter in enumerate(bits) if letter in "YZ")
        yield x, z, float(coefficient.real)
