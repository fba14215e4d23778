"""From input and weight angles to the operands of kernels: coefficients of rotations, and states of the first layer.

In NumPy, whose calls cost less than torch's on arrays as small as these. Coefficients of angles that no input enters are the
same for all images of an instance: they are computed once per instance, in double precision, and copied.

Shape letters: Q inputs · K weights · P instances · B batch · L = P * B · G rotations · R angles with coefficients · S angles of
the first layer · X = L where one of the R takes inputs, else P.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy import ndarray
from scipy.sparse import csr_array

from qgan_qiskit.simulation.llvm.bytecode import Bytecode
from qgan_qiskit.simulation.llvm.program import LlvmProgram

# A matrix of more entries is kept sparse: an angle depends on few parameters, however many there are.
_MAX_DENSE_ENTRIES = 1 << 16
# The least product of cosines: states grow by one over it, and products of two states by its square.
_MIN_COSINE_PRODUCT = {np.dtype(np.float32): 2.0**-50, np.dtype(np.float64): 2.0**-400}


def angles_with_inputs(program: LlvmProgram) -> ndarray:
    """Return the numbers of the angles that inputs enter."""
    return np.flatnonzero(np.diff(program.input_coefficients.indptr))


def any_takes_inputs(program: LlvmProgram, angles: Sequence[int]) -> bool:
    """Return whether inputs enter one of some angles, so that each image has coefficients of its own."""
    return bool(np.isin(angles_with_inputs(program), list(angles)).any())


def to_matrix(matrix: csr_array, dtype: np.dtype) -> ndarray | csr_array:
    """Return a matrix in a precision: dense where it is small, as products with it are faster then."""
    matrix = matrix.astype(dtype)
    return matrix.toarray() if matrix.shape[0] * matrix.shape[1] <= _MAX_DENSE_ENTRIES else matrix


class Coefficients:
    """Fills the operands that a bytecode reads."""

    def __init__(self, program: LlvmProgram, code: Bytecode, dtype: np.dtype) -> None:
        """Make the matrices that turn inputs and weights into angles."""
        self._code, self._dtype = code, dtype
        self._num_qubits, self._complex = program.num_qubits, program.complex
        angles = list(code.angles)
        self._per_image = any_takes_inputs(program, angles)
        self._angles = _AffineMap(program, angles, dtype if self._per_image else np.dtype(np.float64))
        self._first_layer = [(q, *rotation) for q, layer in program.first_layer.items() for rotation in layer]
        self._first_angles = _AffineMap(program, [angle for _, _, angle in self._first_layer], dtype)
        sets = [*code.rescalings, *code.squares, *code.gradient_scales]
        self._factors, self._products = _share_prefixes(sets, angles)

    def fill(self, operands: ndarray, inputs_QPB: ndarray, weights_KP: ndarray) -> bool:
        """Write all operands of every tile but the cotangents.

        Args:
            operands: shape (tiles, rows, lanes).
            inputs_QPB: input angles in radians.
            weights_KP: weight angles in radians.

        Returns:
            Whether the angles permit this bytecode: tangents do not permit several angles close to pi.
        """
        instances, batch = inputs_QPB.shape[1:]
        inputs_QL = inputs_QPB.reshape(len(inputs_QPB), instances * batch)
        code = self._code
        if code.angles:
            angles_RX = self._angles(weights_KP, inputs_QL if self._per_image else None)
            rows = self._tangent_rows(angles_RX) if code.tangents else self._shear_rows(angles_RX)
            if rows is None:
                return False
            if code.uniform:
                tiles_Ptn = operands.reshape(instances, len(operands) // instances, -1)
                tiles_Ptn[:, :, : len(rows)] = rows.T[:, None]
            else:
                pack_lanes(rows if self._per_image else np.repeat(rows, batch, axis=1), operands[:, : len(rows)])
        states = operands[:, code.first_state_row : code.first_state_row + code.first_state_rows]
        angles_SL = self._first_angles(weights_KP, inputs_QL)
        (self._complex_states if self._complex else self._real_states)(angles_SL, states)
        return True

    def _shear_rows(self, angles_RX: ndarray) -> ndarray:
        """Return tan(angle/4) and sin(angle/2) alternately, shape (2 R, X)."""
        # exp(-i angle/2 P) has period 2 pi up to the sign of the state; within one, the tangent is at most 1.
        rows = np.empty((2 * len(angles_RX), angles_RX.shape[1]), dtype=angles_RX.dtype)
        tangents = np.tan((np.remainder(angles_RX + np.pi, 2 * np.pi) - np.pi) / 4)
        rows[0::2] = tangents
        # sin(2 a) = 2 tan(a) / (1 + tan(a)^2): tangent and sine agree to the last bits, so norms are kept.
        rows[1::2] = 2 * tangents / (1 + tangents * tangents)
        return rows

    def _tangent_rows(self, angles_RX: ndarray) -> ndarray | None:
        """Return tan(angle/2) and gradient scale alternately, then rescalings, then squares; None if one gets too small."""
        count, length = angles_RX.shape
        rescalings, squares = len(self._code.rescalings), len(self._code.squares)
        rows = np.empty((2 * count + rescalings + squares, length), dtype=angles_RX.dtype)
        # As they will be rounded: then their cosines keep norms.
        rows[0 : 2 * count : 2] = np.tan(angles_RX / 2).astype(self._dtype, copy=False)
        # The last row is 1: it pads shorter products.
        cosines = np.ones((count + 1, length), dtype=angles_RX.dtype)
        np.divide(1, np.sqrt(1 + np.square(rows[0 : 2 * count : 2])), out=cosines[:-1])
        cumulative = np.multiply.accumulate(cosines[self._factors], axis=0)
        products = cumulative.reshape(-1, length)[self._products]
        if products.min() < _MIN_COSINE_PRODUCT[self._dtype]:
            return None
        rows[2 * count : 2 * count + rescalings] = products[:rescalings]
        np.square(products[rescalings : rescalings + squares], out=rows[2 * count + rescalings :])
        np.square(products[rescalings + squares :], out=rows[1 : 2 * count : 2])
        return rows

    def _real_states(self, angles_SL: ndarray, out: ndarray) -> None:
        """Write cos(angle/2) and sin(angle/2) of each qubit's only rotation, which is about y."""
        tiles, _, lanes = out.shape
        states = out.reshape(tiles, -1, 2, lanes)
        half = angles_SL / 2
        if len(half) == self._num_qubits and half.shape[1] == tiles * lanes:
            # Fast path: every qubit has one, in order, and all lanes are used.
            for part, function in enumerate((np.cos, np.sin)):
                states[:, :, part] = function(half).reshape(-1, tiles, lanes).transpose(1, 0, 2)
            return
        states[:, :, 0], states[:, :, 1] = 1, 0
        for (qubit, _, _), cosine, sine in zip(self._first_layer, np.cos(half), np.sin(half), strict=True):
            pack_lanes(cosine[None], states[:, qubit : qubit + 1, 0])
            pack_lanes(sine[None], states[:, qubit : qubit + 1, 1])

    def _complex_states(self, angles_SL: ndarray, out: ndarray) -> None:
        """Write real and imaginary part of both amplitudes of each qubit after its rotations."""
        length = angles_SL.shape[1]
        states_n22L = np.zeros((self._num_qubits, 2, 2, length), dtype=self._dtype)
        states_n22L[:, 0, 0] = 1
        half = angles_SL / 2
        for (qubit, axis, _), cosine, sine in zip(self._first_layer, np.cos(half), np.sin(half), strict=True):
            (a_re, a_im), (b_re, b_im) = state = states_n22L[qubit]
            # -i P |state>, or i P |state> for RX and RZ, whose angles an empty frame negates.
            generated = {
                "x": ((-b_im, b_re), (-a_im, a_re)),
                "y": ((-b_re, -b_im), (a_re, a_im)),
                "z": ((-a_im, a_re), (b_im, -b_re)),
            }[axis]
            states_n22L[qubit] = cosine * state + sine * np.array(generated)
        pack_lanes(states_n22L.reshape(-1, length), out)


def _share_prefixes(sets: Sequence[tuple[int, ...]], angles: Sequence[int]) -> tuple[ndarray, ndarray]:
    """Write products over sets of angles as cumulative products of few sequences, as most sets are a prefix of another.

    Returns:
        factors: shape (length + 1, sequences), numbers of cosines to multiply; ``len(angles)`` stands for 1.
        products: for each set the position of its product in the flattened cumulative products.
    """
    row = {angle: i for i, angle in enumerate(angles)}
    sequences: list[tuple[int, ...]] = [()]
    position: dict[tuple[int, ...], tuple[int, int]] = {(): (0, 0)}
    for longest in sorted(set(sets), key=len, reverse=True):
        if longest not in position:
            position |= {longest[:length]: (length, len(sequences)) for length in range(1, len(longest) + 1)}
            sequences.append(longest)
    factors = np.full((max(map(len, sequences)) + 1, len(sequences)), len(angles), dtype=np.intp)
    for column, sequence in enumerate(sequences):
        factors[1 : len(sequence) + 1, column] = [row[angle] for angle in sequence]
    products = [length * len(sequences) + column for length, column in (position[s] for s in sets)]
    return factors, np.array(products, dtype=np.intp)


class _AffineMap:
    """Some angles as affine functions of inputs and weights."""

    def __init__(self, program: LlvmProgram, angles: list[int], dtype: np.dtype) -> None:
        self._inputs = to_matrix(program.input_coefficients[angles], dtype)
        self._weights = to_matrix(program.weight_coefficients[angles], dtype)
        self._offsets = program.offsets[angles, None].astype(dtype)

    def __call__(self, weights_KP: ndarray, inputs_QL: ndarray | None) -> ndarray:
        """Return the angles, shape (angles, L), or (angles, P) without inputs."""
        angles_XP = self._weights @ weights_KP.astype(self._offsets.dtype, copy=False) + self._offsets
        if inputs_QL is None:
            return angles_XP
        angles_XL = np.repeat(angles_XP, inputs_QL.shape[1] // weights_KP.shape[1], axis=1)
        return angles_XL + self._inputs @ inputs_QL if len(inputs_QL) else angles_XL


def pack_lanes(values_XL: ndarray, out: ndarray) -> None:
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


def unpack_lanes(values: ndarray, length: int) -> ndarray:
    """Return (tiles, X, lanes) as (L, X)."""
    tiles, rows, lanes = values.shape
    return values.transpose(0, 2, 1).reshape(tiles * lanes, rows)[:length]


def sum_over_batch(values: ndarray, instances: int, batch: int) -> ndarray:
    """Return the sums of (tiles, X, lanes) over the images of each instance, shape (P, X)."""
    rows, lanes = values.shape[1:]
    if batch % lanes:
        return unpack_lanes(values, instances * batch).reshape(instances, batch, rows).sum(axis=1)
    # Every tile belongs to one instance. A product with ones adds faster than a sum over a short axis.
    by_tile = values.reshape(-1, lanes) @ np.ones(lanes, dtype=values.dtype)
    return by_tile.reshape(instances, batch // lanes, rows).sum(axis=1)
