"""Compile a circuit and its observables to rotations by Pauli strings, for the kernels of this engine.

Formulas, in the order of the code:

1. A constant one-qubit gate is a product of rotations, then X or Z, up to its phase. Paulis move to the end of their stage
   by ``R(angle) P = P R(-angle)`` if P anticommutes with the axis, else ``R(angle) P = P R(angle)``.
2. Clifford gates and Paulis are absorbed by a :class:`CliffordFrame`, which turns each rotation into one by a Pauli string.
3. What a frame cannot absorb (the swap of CCX, the phase of CS) becomes a :class:`Barrier` that no rotation crosses.
4. Observables become signed sums of products of amplitudes. If only probabilities are read, trailing phases are dropped.

Shape letters: G rotations · Q inputs · K weights · O observables · T Pauli strings.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp
from qiskit.synthesis import OneQubitEulerDecomposer
from scipy.sparse import csr_array

from qgan_qiskit.memory import check_available_memory
from qgan_qiskit.simulation.ir import (
    Fixed,
    Monomial,
    Rotation,
    append_gate,
    check_known_parameters,
    coefficient_matrix,
    local_index,
    lower,
    schedule,
    source_index,
)
from qgan_qiskit.simulation.llvm.clifford_frame import CliffordFrame, PauliString
from qgan_qiskit.simulation.observables import common_basis_change, diagonalize, pauli_terms

_ZYZ = OneQubitEulerDecomposer("ZYZ")
_ATOL = 1e-14
_PAULI_X = (np.array([1, 0]), np.array([1, 1], dtype=complex))
_PAULI_Z = (np.array([0, 1]), np.array([1, -1], dtype=complex))


@dataclass(frozen=True)
class PauliRotation:
    """A rotation by a Pauli string over addresses.

    Attributes:
        pauli: its generator.
        angle: number of its angle.
        varies: whether the angle depends on inputs or weights.
    """

    pauli: PauliString
    angle: int
    varies: bool


@dataclass(frozen=True, eq=False)
class Barrier:
    """An operation that rotations do not cross. One of the two is set.

    Attributes:
        phases: factor of every amplitude, by address, shape (2**num_qubits,).
        swaps: pairs of addresses to exchange, one pair after the other, shape (pairs, 2).
    """

    phases: np.ndarray | None = None
    swaps: np.ndarray | None = None


@dataclass(frozen=True)
class PauliSum:
    """A Pauli string as a sum over addresses p: of ``(-1)**|p & z_mask|`` times a part of ``conj(psi[p ^ x_mask]) psi[p]``.

    The part is ``probability`` where x_mask is 0, else ``real`` or ``imaginary``.
    """

    x_mask: int
    z_mask: int
    part: str


@dataclass(frozen=True, eq=False)
class LlvmProgram:
    """A circuit and its observables, ready for the kernels. ``angles = inputs A + weights B + offsets``, in radians.

    Attributes:
        num_qubits: qubits of the register.
        complex: whether amplitudes have imaginary parts.
        input_coefficients: A transposed, shape (G, Q), sparse.
        weight_coefficients: B transposed, shape (G, K), sparse.
        offsets: shape (G,).
        first_layer: for each qubit that has any, its rotations from |0> in order: (axis, number of the angle).
        gf2_matrix: the frame's matrix at the start.
        segments: rotations, a barrier, rotations, and so on; those of the first layer come first.
        pauli_sums: what is read from the final state.
        combination: shape (O, T): observables as combinations of these sums.
        blockings: cache of how segments were partitioned into blocks.
    """

    num_qubits: int
    complex: bool
    input_coefficients: csr_array
    weight_coefficients: csr_array
    offsets: np.ndarray
    first_layer: dict[int, list[tuple[str, int]]]
    gf2_matrix: tuple[int, ...]
    segments: tuple[list[PauliRotation] | Barrier, ...]
    pauli_sums: tuple[PauliSum, ...]
    combination: np.ndarray
    blockings: dict[tuple[int, ...], Any] = field(default_factory=dict)

    @property
    def first_layer_angles(self) -> set[int]:
        """Numbers of all angles of the first layer."""
        return {angle for rotations in self.first_layer.values() for _, angle in rotations}

    @property
    def initial_angles(self) -> set[int]:
        """Numbers of the first angle of each qubit: rotations of |0>, which backward need not undo."""
        return {rotations[0][1] for rotations in self.first_layer.values()}


def compile_llvm(
    circuit: QuantumCircuit,
    inputs: Sequence[Parameter],
    weights: Sequence[Parameter],
    observables: Sequence[SparsePauliOp],
) -> LlvmProgram:
    """Compile a circuit whose parameters are split into inputs (per image) and weights (per instance).

    Raises:
        CircuitError: the circuit is not unitary, a parameter is in neither list, or an observable does not fit.
    """
    operations = lower(circuit)
    terms, combination = pauli_terms(observables, circuit.num_qubits)
    basis_change = common_basis_change(observables)
    if basis_change is not None:
        operations += basis_change
        terms, combination = pauli_terms(diagonalize(observables), circuit.num_qubits)
    compiler = _Compiler(circuit.num_qubits, inputs, weights)
    for number, stage in enumerate(schedule(operations, circuit.num_qubits)):
        paulis: list[Monomial] = []
        for qubit, gates in sorted(stage.slots.items()):
            rotations, x, z = _to_rotations(gates)
            compiler.add_rotations(qubit, rotations, first=number == 0)
            paulis += [Monomial((qubit,), *_PAULI_X)] * x + [Monomial((qubit,), *_PAULI_Z)] * z
        for monomial in paulis + stage.monomials:
            compiler.add_monomial(monomial)
    return compiler.finish(terms, combination)


def _to_rotations(gates: Sequence[Rotation | Fixed]) -> tuple[list[Rotation], bool, bool]:
    """Rewrite the gates of one qubit as rotations; also return whether X, and then Z, follow them."""
    result: list[Rotation | Fixed] = []
    x = z = False
    for gate in gates:
        rotations, then_x, then_z = ([gate], False, False) if isinstance(gate, Rotation) else _factor_constant(gate)
        for rotation in rotations:
            anticommutes = {"x": z, "y": x != z, "z": x}[rotation.axis]
            append_gate(result, _scale_angle(rotation, -1.0) if anticommutes else rotation)
        x, z = x != then_x, z != then_z
    return cast(list[Rotation], result), x, z


def _factor_constant(gate: Fixed) -> tuple[list[Rotation], bool, bool]:
    """Factor a constant gate into rotations, then X, then Z, up to its phase; with as few rotations as possible."""

    def rotate(axis: str, angle: float) -> Rotation:
        return Rotation(axis, gate.qubit, {}, angle)

    matrix = gate.matrix / np.sqrt(np.linalg.det(gate.matrix))
    if abs(matrix[0, 0]) < _ATOL or abs(matrix[0, 1]) < _ATOL:
        flips = abs(matrix[0, 0]) < _ATOL
        first, second = (matrix[1, 0], matrix[0, 1]) if flips else (matrix[0, 0], matrix[1, 1])
        ratio = second / first
        if abs(ratio.imag) < _ATOL:
            # A Pauli gate or the identity: X D with D = diag(1, -1) is Z X up to the phase.
            return [], bool(flips), bool(ratio.real < 0)
    largest = matrix.flat[np.abs(matrix).argmax()]
    real = matrix * (abs(largest) / largest)
    if np.abs(real.imag).max() < _ATOL:
        # Orthogonal, such as H: RY, then Z if the determinant is -1.
        angle = 2 * math.atan2(-real.real[0, 1], real.real[0, 0])
        return [rotate("y", angle)], False, bool(np.linalg.det(real.real) < 0)
    deviations = (real[0, 0] - real[1, 1], real[0, 1] - real[1, 0], real[0, 0].imag, real[0, 1].real)
    if max(map(abs, deviations)) < _ATOL:
        # cos - i sin X, such as SX.
        return [rotate("x", 2 * math.atan2(-real[0, 1].imag, real[0, 0].real))], False, False
    theta, phi, lam = (float(angle) for angle in _ZYZ.angles(gate.matrix))
    factors = [("z", lam), ("y", theta), ("z", phi)]
    return [rotate(axis, angle) for axis, angle in factors if abs(angle) > _ATOL], False, False


def _scale_angle(rotation: Rotation, factor: float) -> Rotation:
    coefficients = {parameter: factor * value for parameter, value in rotation.coefficients.items()}
    return Rotation(rotation.axis, rotation.qubit, coefficients, factor * rotation.offset)


class _Compiler:
    """Walks the circuit with its frame and collects rotations and barriers."""

    def __init__(self, num_qubits: int, inputs: Sequence[Parameter], weights: Sequence[Parameter]) -> None:
        self.num_qubits = num_qubits
        self.input_column = {p: i for i, p in enumerate(inputs)}
        self.weight_column = {p: i for i, p in enumerate(weights)}
        self.frame = CliffordFrame(num_qubits)
        self.initial_matrix = tuple(self.frame.gf2_matrix)
        # Rotations of the circuit, their angles negated where the frame says so.
        self.rotations: list[Rotation] = []
        self.segments: list[list[PauliRotation] | Barrier] = [[]]
        self.first_layer: dict[int, list[tuple[str, int]]] = {}

    def add_rotations(self, qubit: int, rotations: Sequence[Rotation], first: bool) -> None:
        """Add the rotations of one qubit in one stage."""
        for rotation in rotations:
            check_known_parameters(rotation, self.input_column, self.weight_column)
            pauli = self.frame.map_rotation(rotation.axis, qubit)
            angle = len(self.rotations)
            self.rotations.append(_scale_angle(rotation, -1.0) if pauli.negated else rotation)
            self._last_rotations().append(PauliRotation(pauli, angle, any(rotation.coefficients.values())))
            if first:
                self.first_layer.setdefault(qubit, []).append((rotation.axis, angle))

    def _last_rotations(self) -> list[PauliRotation]:
        return cast(list[PauliRotation], self.segments[-1])

    def add_monomial(self, gate: Monomial) -> None:
        """Let the frame absorb a gate; what is left of it (its permutation, its phases, or both) becomes a barrier."""
        if self.frame.absorb(gate):
            return
        check_available_memory(64 << self.num_qubits, f"compiling a circuit of {self.num_qubits} qubits")
        local = local_index(gate.qubits, self.num_qubits)
        permutation = Monomial(gate.qubits, gate.source, np.ones(len(gate.source)))
        if not self.frame.absorb(permutation):
            signs = self.frame.pop_signs()
            if signs is not None:
                self._add_barrier(Barrier(phases=signs.astype(complex)))
            self._add_barrier(Barrier(swaps=_to_swaps(self.frame.addresses(), source_index(gate, local))))
        diagonal = Monomial(gate.qubits, np.arange(len(gate.source)), gate.phase)
        if not self.frame.absorb(diagonal):
            phases = np.empty(1 << self.num_qubits, dtype=complex)
            phases[self.frame.addresses()] = (gate.phase / gate.phase[0])[local]
            phases.imag[np.abs(phases.imag) < 1e-15] = 0
            self._add_barrier(Barrier(phases=phases))

    def _add_barrier(self, barrier: Barrier) -> None:
        last = self.segments[-2] if len(self.segments) > 1 and not self.segments[-1] else None
        if isinstance(last, Barrier) and last.phases is not None and barrier.phases is not None:
            self.segments[-2] = Barrier(phases=last.phases * barrier.phases)
        else:
            self.segments += [barrier, []]

    def finish(self, terms: list[tuple[int, int]], combination: np.ndarray) -> LlvmProgram:
        """Return the program that ends with these Pauli strings (X-mask, Z-mask)."""
        mapped = [self.frame.map_observable(x, z) for x, z in terms]
        if not any(x for x, _ in terms):
            self._drop_trailing_phases()
        return LlvmProgram(
            num_qubits=self.num_qubits,
            complex=self._is_complex(terms),
            input_coefficients=coefficient_matrix(self.rotations, self.input_column),
            weight_coefficients=coefficient_matrix(self.rotations, self.weight_column),
            offsets=np.array([rotation.offset for rotation in self.rotations], dtype=float),
            first_layer=self.first_layer,
            gf2_matrix=self.initial_matrix,
            segments=tuple(self.segments),
            pauli_sums=tuple(
                PauliSum(x_mask, z_mask, _part(x, z)) for (x_mask, z_mask, _), (x, z) in zip(mapped, terms, strict=True)
            ),
            combination=combination * np.array([sign for _, _, sign in mapped]),
        )

    def _is_complex(self, terms: list[tuple[int, int]]) -> bool:
        rotations = [r for segment in self.segments if isinstance(segment, list) for r in segment]
        phases = [segment.phases for segment in self.segments if isinstance(segment, Barrier)]
        return (
            any((x & z).bit_count() % 2 for x, z in terms)
            or any(rotation.pauli.x_mask & self.frame.imag_bit for rotation in rotations)
            or any(values is not None and bool(values.imag.any()) for values in phases)
            or any(axis != "y" for layer in self.first_layer.values() for axis, _ in layer)
        )

    def _drop_trailing_phases(self) -> None:
        """Drop what changes phases only right before probabilities are read: RZ and phase barriers."""
        first_layer = {angle for layer in self.first_layer.values() for _, angle in layer}
        while True:
            kept: list[PauliRotation] = []
            for rotation in reversed(self._last_rotations()):
                phases_only = rotation.pauli.x_mask == self.frame.imag_bit and rotation.angle not in first_layer
                if not (phases_only and all(rotation.pauli.commutes(later.pauli) for later in kept)):
                    kept.append(rotation)
            self.segments[-1] = kept[::-1]
            last = self.segments[-2] if len(self.segments) > 1 else None
            if kept or not isinstance(last, Barrier) or last.phases is None:
                return
            del self.segments[-2:]


def _part(x: int, z: int) -> str:
    if not x:
        return "probability"
    return "imaginary" if (x & z).bit_count() % 2 else "real"


def _to_swaps(addresses: np.ndarray, source: np.ndarray) -> np.ndarray:
    """Return swaps of addresses after which amplitude ``source[i]`` lies where amplitude ``i`` lay, shape (pairs, 2)."""
    pairs = []
    done = source == np.arange(len(source))
    for start in np.flatnonzero(~done):
        here = int(start)
        while not done[here]:
            done[here] = True
            following = int(source[here])
            if following == start:
                break
            pairs.append((addresses[here], addresses[following]))
            here = following
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)
