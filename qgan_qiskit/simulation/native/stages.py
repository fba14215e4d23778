"""From scheduled gates to what kernels do: rotations by angles, and register maps.

Every one-qubit gate becomes rotations; a constant one becomes rotations by constant angles, and a Pauli gate. Pauli gates
are pushed to the end of their stage, through rotations whose angle they reverse; there they join the register map, where they
cost nothing. Phases of the whole state are dropped.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from qiskit.synthesis import OneQubitEulerDecomposer

from qgan_qiskit.simulation.lowering import Fixed, Monomial, Rotation
from qgan_qiskit.simulation.schedule import Stage, append

_ZYZ = OneQubitEulerDecomposer("ZYZ")
_DUST = 1e-14
_PAULI_X = (np.array([1, 0]), np.array([1, 1], dtype=complex))
_PAULI_Z = (np.array([0, 1]), np.array([1, -1], dtype=complex))


@dataclass(frozen=True, eq=False)
class Turns:
    """A stage: rotations of each qubit in order, then register maps in order."""

    rotations: dict[int, list[Rotation]]
    monomials: list[Monomial]


def turns(stage: Stage) -> Turns:
    """Rewrite the one-qubit gates of a stage as rotations, and Pauli gates after them."""
    rotations: dict[int, list[Rotation]] = {}
    paulis: list[Monomial] = []
    for qubit, gates in sorted(stage.slots.items()):
        found, x, z = _slot(qubit, gates)
        if found:
            rotations[qubit] = found
        if x:
            paulis.append(Monomial((qubit,), *_PAULI_X))
        if z:
            paulis.append(Monomial((qubit,), *_PAULI_Z))
    return Turns(rotations, paulis + stage.monomials)


def _slot(qubit: int, gates: Sequence[Rotation | Fixed]) -> tuple[list[Rotation], bool, bool]:
    """Return rotations, and whether X and Z follow them."""
    result: list[Rotation | Fixed] = []
    x = z = False
    for gate in gates:
        parts, then_x, then_z = ([gate], False, False) if isinstance(gate, Rotation) else _constant(gate)
        for part in parts:
            # R(angle) P = P R(-angle) where the Pauli P anticommutes with the axis.
            reversed_ = {"x": z, "y": x != z, "z": x}[part.axis]
            append(result, scaled(part, -1.0) if reversed_ else part)
        x, z = x != then_x, z != then_z
    return cast(list[Rotation], result), x, z


def _constant(gate: Fixed) -> tuple[list[Rotation], bool, bool]:
    """Return a constant gate as rotations, then X, then Z, up to its phase."""
    matrix = gate.matrix / np.sqrt(np.linalg.det(gate.matrix))
    if abs(matrix[0, 0]) < _DUST or abs(matrix[0, 1]) < _DUST:
        flips = abs(matrix[0, 0]) < _DUST
        # Diagonal, or X times diagonal: a Pauli gate if the two entries are equal or opposite.
        first, second = (matrix[1, 0], matrix[0, 1]) if flips else (matrix[0, 0], matrix[1, 1])
        ratio = second / first
        if abs(ratio.imag) < _DUST:
            # X D with D = diag(1, -1) is Z X up to the phase.
            return [], bool(flips), bool(ratio.real < 0)
    largest = matrix.flat[np.abs(matrix).argmax()]
    real = matrix * (abs(largest) / largest)
    if np.abs(real.imag).max() < _DUST:
        cosine, sine = real.real[0, 0], -real.real[0, 1]
        reflection = np.linalg.det(real.real) < 0
        # A real matrix of determinant -1 is a rotation about y, then Z.
        return [Rotation("y", gate.qubit, {}, 2 * math.atan2(sine, cosine))], False, bool(reflection)
    if (
        max(abs(real[0, 0] - real[1, 1]), abs(real[0, 1] - real[1, 0]), abs(real[0, 0].imag), abs(real[0, 1].real))
        < _DUST
    ):
        # cos - i sin X: such as SX.
        return [Rotation("x", gate.qubit, {}, 2 * math.atan2(-real[0, 1].imag, real[0, 0].real))], False, False
    theta, phi, lam = (float(angle) for angle in _ZYZ.angles(gate.matrix))
    parts = [("z", lam), ("y", theta), ("z", phi)]
    return [Rotation(axis, gate.qubit, {}, angle) for axis, angle in parts if abs(angle) > _DUST], False, False


def scaled(rotation: Rotation, factor: float) -> Rotation:
    """Return a rotation by a multiple of the angle."""
    coefficients = {parameter: factor * value for parameter, value in rotation.coefficients.items()}
    return Rotation(rotation.axis, rotation.qubit, coefficients, factor * rotation.offset)
