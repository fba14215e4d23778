"""What kernels read of the angles: tangents or shears, factors, and the vectors of the qubits at the start.

In NumPy, whose calls cost less than torch's on arrays as small as these. Angles that no input enters are the same for all
images of an instance; their coefficients are computed once per instance, in double precision, and copied to its images.

Shape letters: Q inputs · K weights · P instances · B batch · L = P * B images of all instances · R angles that need
coefficients · S angles of the start · N products of cosines · X = L where a rotation after the start takes inputs, else P.
"""

from __future__ import annotations

import numpy as np
from numpy import ndarray

from qgan_qiskit.simulation.native.plan import Plan
from qgan_qiskit.simulation.native.program import NativeProgram

# The least product of cosines: tangents make a state longer by one over that, and products of two by its square.
_LEAST_PRODUCT = {np.dtype(np.float32): 2.0**-50, np.dtype(np.float64): 2.0**-400}


class Coefficients:
    """Fills the rows that a plan reads."""

    def __init__(self, program: NativeProgram, plan: Plan, dtype: np.dtype) -> None:
        """Place the tables that turn inputs and weights into angles."""
        self._program, self._plan, self._dtype = program, plan, dtype
        turned = list(plan.turned)
        self._wide = bool(program.input_coefficients[turned].any())
        self._turned = _Affine(program, turned, dtype if self._wide else np.dtype(np.float64))
        self._gates = [gate for sequence in program.start.gates.values() for gate in sequence]
        self._start = _Affine(program, [gate.index for gate in self._gates], dtype)
        row = {angle: i for i, angle in enumerate(turned)}
        sets = [*plan.scales, *plan.moments]
        longest = max((len(members) for members in sets), default=0)
        # Row len(turned) of the cosines is 1: what shorter products are filled up with.
        padded = [[row[i] for i in members] + [len(turned)] * (longest - len(members)) for members in sets]
        self._members = np.array(padded, dtype=np.intp).reshape(len(sets), longest).T

    def fill(self, reads: ndarray, inputs_QPB: ndarray, weights_KP: ndarray) -> bool:
        """Write the rows of every tile, all but those of the strings.

        Args:
            reads: shape (tiles, rows, lanes).
            inputs_QPB: input angles in radians.
            weights_KP: weight angles in radians.

        Returns:
            Whether the angles permit what the plan does: tangents do not permit several angles of a stage close to pi.
        """
        instances, batch = inputs_QPB.shape[1:]
        inputs_QL = inputs_QPB.reshape(len(inputs_QPB), instances * batch)
        count = 2 * len(self._plan.turned) + len(self._plan.scales)
        if count:
            angles_RX = self._turned(weights_KP, inputs_QL if self._wide else None)
            rows = self._tangents(angles_RX) if self._plan.tangents else self._shears(angles_RX)
            if rows is None:
                return False
            _spread(rows.astype(self._dtype, copy=False), reads[:, :count], instances, batch)
        start = reads[:, count : count + self._plan.start_rows]
        angles_SL = self._start(weights_KP, inputs_QL)
        if self._program.complex:
            self._complex_start(angles_SL, start, batch)
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
        """Return tangents and factors of the moments, then scales, shape (2 R + N, X); None where they grow too large."""
        count, scales = len(angles_RX), len(self._plan.scales)
        rows = np.empty((2 * count + scales, angles_RX.shape[1]), dtype=angles_RX.dtype)
        # As they will be rounded: then their cosines keep lengths.
        tangents = np.tan(angles_RX / 2).astype(self._dtype, copy=False)
        rows[0 : 2 * count : 2] = tangents
        cosines = np.ones((count + 1, angles_RX.shape[1]), dtype=angles_RX.dtype)
        cosines[:-1] = 1 / np.sqrt(1 + np.square(rows[0 : 2 * count : 2]))
        products = np.multiply.reduce(cosines[self._members], axis=0)
        if products.size and products.min() < _LEAST_PRODUCT[self._dtype]:
            return None
        rows[2 * count :] = products[:scales]
        np.square(products[scales:], out=rows[1 : 2 * count : 2])
        return rows

    def _real_start(self, angles_SL: ndarray, start: ndarray) -> None:
        """Write cosine and sine of each qubit's only rotation about y."""
        tiles, _, lanes = start.shape
        vectors = start.reshape(tiles, -1, 2, lanes)
        half = angles_SL / 2
        if len(half) == self._program.num_qubits and half.shape[1] == tiles * lanes:
            # Every qubit has one, and they come in order.
            half = half.reshape(-1, tiles, lanes).transpose(1, 0, 2)
            np.cos(half, out=vectors[:, :, 0])
            np.sin(half, out=vectors[:, :, 1])
            return
        vectors[:, :, 0], vectors[:, :, 1] = 1, 0
        for gate, cosine, sine in zip(self._gates, np.cos(half), np.sin(half), strict=True):
            pack(cosine[None], vectors[:, gate.qubit : gate.qubit + 1, 0])
            pack(sine[None], vectors[:, gate.qubit : gate.qubit + 1, 1])

    def _complex_start(self, angles_SL: ndarray, start: ndarray, batch: int) -> None:
        """Write real and imaginary part of each qubit's amplitudes after its rotations."""
        length = angles_SL.shape[1]
        vectors_n22L = np.zeros((self._program.num_qubits, 2, 2, length), dtype=self._dtype)
        vectors_n22L[:, 0, 0] = 1
        half = angles_SL / 2
        for gate, cosine, sine in zip(self._gates, np.cos(half), np.sin(half), strict=True):
            (a_re, a_im), (b_re, b_im) = vectors = vectors_n22L[gate.qubit]
            turned = {
                "x": ((b_im, -b_re), (a_im, -a_re)),
                "y": ((-b_re, -b_im), (a_re, a_im)),
                "z": ((a_im, -a_re), (-b_im, b_re)),
            }[gate.axis]
            vectors_n22L[gate.qubit] = cosine * vectors + sine * np.array(turned)
        _spread(vectors_n22L.reshape(-1, length), start, length // batch, batch)


class _Affine:
    """Some angles as functions of inputs and weights."""

    def __init__(self, program: NativeProgram, angles: list[int], dtype: np.dtype) -> None:
        tables = (program.input_coefficients, program.weight_coefficients, program.offsets[:, None])
        self._inputs, self._weights, self._offsets = (table[angles].astype(dtype) for table in tables)

    def __call__(self, weights_KP: ndarray, inputs_QL: ndarray | None) -> ndarray:
        """Return the angles, shape (angles, L), or (angles, P) without inputs."""
        angles_XP = self._weights @ weights_KP.astype(self._weights.dtype, copy=False) + self._offsets
        if inputs_QL is None:
            return angles_XP
        batch = inputs_QL.shape[1] // weights_KP.shape[1]
        angles_XL = np.repeat(angles_XP, batch, axis=1)
        return angles_XL + self._inputs @ inputs_QL if len(inputs_QL) else angles_XL


def _spread(rows_RX: ndarray, out: ndarray, instances: int, batch: int) -> None:
    """Copy rows of instances (X = P), or of all images (X = L), into tiles (tiles, R, lanes)."""
    lanes = out.shape[2]
    if rows_RX.shape[1] == instances and batch % lanes == 0:
        # Every tile belongs to one instance. In two steps: long copies are faster than many short ones.
        rows_PRl = np.repeat(rows_RX.T[:, :, None], lanes, axis=2)
        out.reshape(instances, batch // lanes, *out.shape[1:])[:] = rows_PRl[:, None]
    else:
        pack(np.repeat(rows_RX, batch, axis=1) if rows_RX.shape[1] == instances else rows_RX, out)


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
    tiles, rows, lanes = values.shape
    if batch % lanes:
        return unpack(values, instances * batch).reshape(instances, batch, rows).sum(axis=1)
    # Every tile belongs to one instance. A product with ones adds faster than a sum over a short axis.
    by_tile = values.reshape(-1, lanes) @ np.ones(lanes, dtype=values.dtype)
    return by_tile.reshape(instances, batch // lanes, rows).sum(axis=1)
