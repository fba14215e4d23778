"""What kernels read of the angles: tangents or shears, factors, and the vectors of the qubits at the start.

In NumPy, whose calls cost less than torch's on arrays as small as these. Angles that no input enters are the same for all
images of an instance; their coefficients are computed once per instance, in double precision, and copied to its images.

Shape letters: Q inputs · K weights · P instances · B batch · L = P * B images of all instances · R angles that need
coefficients · S angles of the start · N products of cosines · X = L where a rotation after the start takes inputs, else P.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy import ndarray
from scipy.sparse import csr_array

from qgan_qiskit.simulation.llvm.bytecode import Plan
from qgan_qiskit.simulation.llvm.program import LlvmProgram

# A matrix of more entries is kept sparse: an angle depends on few parameters, however many there are.
_MOST_DENSE = 1 << 16
# The least product of cosines: tangents make a state longer by one over that, and products of two by its square.
_LEAST_PRODUCT = {np.dtype(np.float32): 2.0**-50, np.dtype(np.float64): 2.0**-400}


def taking_inputs(program: LlvmProgram) -> ndarray:
    """Return the angles that inputs enter."""
    return np.flatnonzero(np.diff(program.input_coefficients.indptr))


def table(matrix: csr_array, dtype: np.dtype) -> ndarray | csr_array:
    """Return a matrix in a precision: dense where it is small, since products with it take less time then."""
    matrix = matrix.astype(dtype)
    return matrix.toarray() if matrix.shape[0] * matrix.shape[1] <= _MOST_DENSE else matrix


def takes_inputs_later(program: LlvmProgram, turned: Sequence[int]) -> bool:
    """Say whether inputs enter one of these angles, so that each image has coefficients of its own."""
    return bool(np.isin(taking_inputs(program), list(turned)).any())


class Coefficients:
    """Fills the rows that a plan reads."""

    def __init__(self, program: LlvmProgram, plan: Plan, dtype: np.dtype) -> None:
        """Place the tables that turn inputs and weights into angles."""
        self._program, self._plan, self._dtype = program, plan, dtype
        turned = list(plan.turned)
        self._wide = takes_inputs_later(program, turned)
        self._turned = _Affine(program, turned, dtype if self._wide else np.dtype(np.float64))
        self._gates = [(qubit, *gate) for qubit, sequence in program.start.items() for gate in sequence]
        self._start = _Affine(program, [index for _, _, index in self._gates], dtype)
        self._members, self._picked = _cumulative([*plan.products, *plan.squares, *plan.moments], turned)

    def fill(self, reads: ndarray, inputs_QPB: ndarray, weights_KP: ndarray) -> bool:
        """Write the rows of every tile, all but those of the strings.

        Args:
            reads: shape (tiles, rows, lanes).
            inputs_QPB: input angles in radians.
            weights_KP: weight angles in radians.

        Returns:
            Whether the angles permit what the plan does: tangents do not permit several angles close to pi.
        """
        instances, batch = inputs_QPB.shape[1:]
        inputs_QL = inputs_QPB.reshape(len(inputs_QPB), instances * batch)
        plan = self._plan
        if plan.turned:
            angles_RX = self._turned(weights_KP, inputs_QL if self._wide else None)
            values = self._tangents(angles_RX) if plan.tangents else self._shears(angles_RX)
            if values is None:
                return False
            if plan.single:
                tiles_Ptn = reads.reshape(instances, len(reads) // instances, -1)
                tiles_Ptn[:, :, : len(values)] = values.T[:, None]
            else:
                values_XL = values if self._wide else np.repeat(values, batch, axis=1)
                pack(values_XL, reads[:, : len(values)])
        start = reads[:, plan.start_row : plan.start_row + plan.start_rows]
        angles_SL = self._start(weights_KP, inputs_QL)
        if self._program.complex:
            self._complex_start(angles_SL, start)
        else:
            self._real_start(angles_SL, start)
        return True

    def _shears(self, angles_RX: ndarray) -> ndarray:
        """Return tangents and sines, shape (2 R, X)."""
        # exp(-i angle/2 P) has period 2 pi up to the sign of the state; within one, the tangent is at most 1.
        rows = np.empty((2 * len(angles_RX), angles_RX.shape[1]), dtype=angles_RX.dtype)
        tangents = np.tan((np.remainder(angles_RX + np.pi, 2 * np.pi) - np.pi) / 4)
        rows[0::2] = tangents
        # sin(2 a) = 2 tan(a) / (1 + tan(a)^2): tangent and sine agree to the last bits, so lengths are kept.
        rows[1::2] = 2 * tangents / (1 + tangents * tangents)
        return rows

    def _tangents(self, angles_RX: ndarray) -> ndarray | None:
        """Return tangents and factors of moments, then products and squares, (2 R + N, X); None where they get too small."""
        count = len(angles_RX)
        once, twice = len(self._plan.products), len(self._plan.products) + len(self._plan.squares)
        rows = np.empty((2 * count + twice, angles_RX.shape[1]), dtype=angles_RX.dtype)
        # As they will be rounded: then their cosines keep lengths.
        tangents = np.tan(angles_RX / 2).astype(self._dtype, copy=False)
        rows[0 : 2 * count : 2] = tangents
        # The last row stays 1: what shorter products are filled up with.
        cosines = np.ones((count + 1, angles_RX.shape[1]), dtype=angles_RX.dtype)
        np.divide(1, np.sqrt(1 + np.square(rows[0 : 2 * count : 2])), out=cosines[:-1])
        grown = np.multiply.accumulate(cosines[self._members], axis=0)
        products = grown.reshape(-1, angles_RX.shape[1])[self._picked]
        if products.min() < _LEAST_PRODUCT[self._dtype]:
            return None
        rows[2 * count : 2 * count + once] = products[:once]
        np.square(products[once:twice], out=rows[2 * count + once :])
        np.square(products[twice:], out=rows[1 : 2 * count : 2])
        return rows

    def _real_start(self, angles_SL: ndarray, start: ndarray) -> None:
        """Write cosine and sine of each qubit's only rotation about y."""
        tiles, _, lanes = start.shape
        vectors = start.reshape(tiles, -1, 2, lanes)
        half = angles_SL / 2
        if len(half) == self._program.num_qubits and half.shape[1] == tiles * lanes:
            # Every qubit has one, and they come in order.
            for part, function in enumerate((np.cos, np.sin)):
                vectors[:, :, part] = function(half).reshape(-1, tiles, lanes).transpose(1, 0, 2)
            return
        vectors[:, :, 0], vectors[:, :, 1] = 1, 0
        for (qubit, _, _), cosine, sine in zip(self._gates, np.cos(half), np.sin(half), strict=True):
            pack(cosine[None], vectors[:, qubit : qubit + 1, 0])
            pack(sine[None], vectors[:, qubit : qubit + 1, 1])

    def _complex_start(self, angles_SL: ndarray, start: ndarray) -> None:
        """Write real and imaginary part of each qubit's amplitudes after its rotations."""
        length = angles_SL.shape[1]
        vectors_n22L = np.zeros((self._program.num_qubits, 2, 2, length), dtype=self._dtype)
        vectors_n22L[:, 0, 0] = 1
        half = angles_SL / 2
        for (qubit, axis, _), cosine, sine in zip(self._gates, np.cos(half), np.sin(half), strict=True):
            (a_re, a_im), (b_re, b_im) = vectors = vectors_n22L[qubit]
            # The frame reverses the angles of RX and RZ at the start.
            turned = {
                "x": ((-b_im, b_re), (-a_im, a_re)),
                "y": ((-b_re, -b_im), (a_re, a_im)),
                "z": ((-a_im, a_re), (b_im, -b_re)),
            }[axis]
            vectors_n22L[qubit] = cosine * vectors + sine * np.array(turned)
        pack(vectors_n22L.reshape(-1, length), start)


def _cumulative(sets: Sequence[tuple[int, ...]], turned: Sequence[int]) -> tuple[ndarray, ndarray]:
    """Write products over sets of angles as cumulative products of a few sequences: most sets grow out of another one.

    Returns:
        members: shape (length + 1, sequences), rows of cosines; the first ones, and what fills up, are row ``len(turned)``.
        picked: for each set the place of its product in the flattened cumulative products.
    """
    row = {angle: i for i, angle in enumerate(turned)}
    sequences: list[tuple[int, ...]] = [()]
    place: dict[tuple[int, ...], tuple[int, int]] = {(): (0, 0)}
    for longest in sorted(set(sets), key=len, reverse=True):
        if longest not in place:
            place |= {longest[:length]: (length, len(sequences)) for length in range(1, len(longest) + 1)}
            sequences.append(longest)
    members = np.full((max(map(len, sequences)) + 1, len(sequences)), len(turned), dtype=np.intp)
    for column, sequence in enumerate(sequences):
        members[1 : len(sequence) + 1, column] = [row[angle] for angle in sequence]
    picked = [length * len(sequences) + column for length, column in (place[s] for s in sets)]
    return members, np.array(picked, dtype=np.intp)


class _Affine:
    """Some angles as functions of inputs and weights."""

    def __init__(self, program: LlvmProgram, angles: list[int], dtype: np.dtype) -> None:
        self._inputs = table(program.input_coefficients[angles], dtype)
        self._weights = table(program.weight_coefficients[angles], dtype)
        self._offsets = program.offsets[angles, None].astype(dtype)

    def __call__(self, weights_KP: ndarray, inputs_QL: ndarray | None) -> ndarray:
        """Return the angles, shape (angles, L), or (angles, P) without inputs."""
        angles_XP = self._weights @ weights_KP.astype(self._offsets.dtype, copy=False) + self._offsets
        if inputs_QL is None:
            return angles_XP
        batch = inputs_QL.shape[1] // weights_KP.shape[1]
        angles_XL = np.repeat(angles_XP, batch, axis=1)
        return angles_XL + self._inputs @ inputs_QL if len(inputs_QL) else angles_XL


def pack(values_XL: ndarray, out: ndarray) -> None:
    """Copy (X, L) into (tiles, X, lanes); lanes that are left over become 0."""
    tiles, rows, lanes = out.shape
    if not rows:
        return
    whole = values_XL.shape[1] // lanes
    out[:whole] = values_XL[:, : whole * lanes].reshape(rows, whole, lanes).transpose(1, 0, 2)
    if whole < tiles:
        rest = values_XL.shape[1] - whole * lanes
        out[whole, :, :rest] = values_XL[:, whole * lanes :]
        out[whole, :, rest:] = 0


def unpack(values: ndarray, length: int) -> ndarray:
    """Return (tiles, X, lanes) as (L, X)."""
    tiles, rows, lanes = values.shape
    return values.transpose(0, 2, 1).reshape(tiles * lanes, rows)[:length]


def sums(values: ndarray, instances: int, batch: int) -> ndarray:
    """Return the sums of (tiles, X, lanes) over the images of each instance, shape (P, X)."""
    rows, lanes = values.shape[1:]
    if batch % lanes:
        return unpack(values, instances * batch).reshape(instances, batch, rows).sum(axis=1)
    # Every tile belongs to one instance. A product with ones adds faster than a sum over a short axis.
    by_tile = values.reshape(-1, lanes) @ np.ones(lanes, dtype=values.dtype)
    return by_tile.reshape(instances, batch // lanes, rows).sum(axis=1)
