"""From scheduled gates to what kernels do: rotations by angles, and register maps.

Every one-qubit gate becomes rotations; a constant one becomes rotations by constant angles, and a Pauli gate. Pauli gates
are pushed to the end of their stage, through rotations whose angle they reverse; there they join the register map, where they
cost nothing. Phases of the whole state are dropped.

Compiling a circuit with observables for the kernels: rotations of pairs of places, and what stands between them.

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

from qgan_qiskit import memory
from qgan_qiskit.simulation.ir import (
    Fixed,
    Monomial,
    Rotation,
    Stage,
    append,
    local_index,
    lower,
    schedule,
    source_index,
)
from qgan_qiskit.simulation.llvm.clifford_frame import Frame, Pairs
from qgan_qiskit.simulation.observables import common_basis, diagonalized, pauli_terms
from qgan_qiskit.simulation.parameter_columns import check_known, coefficients

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


@dataclass(frozen=True)
class Gate:
    """A rotation of pairs of places by angle number ``index``; ``varies`` with inputs or weights, or is constant."""

    pairs: Pairs
    index: int
    varies: bool


@dataclass(frozen=True, eq=False)
class Barrier:
    """What cannot be moved past rotations: factors of all amplitudes, by place, or places to swap, pair by pair."""

    factors: np.ndarray | None = None
    swaps: np.ndarray | None = None


@dataclass(frozen=True)
class String:
    """A Pauli string by places: the sum of (-1)**|place & mask| times a part of conj(psi[place ^ flip]) psi[place].

    The part is ``probability`` where nothing flips, else ``real`` or ``imaginary``.
    """

    flip: int
    mask: int
    part: str


@dataclass(frozen=True, eq=False)
class LlvmProgram:
    """A circuit and its observables, ready for the kernels.

    Attributes:
        num_qubits: qubits of the register.
        complex: whether amplitudes have imaginary parts.
        input_coefficients: shape (G, Q), sparse; an angle is this applied to the inputs,
        weight_coefficients: shape (G, K), sparse, plus this applied to the weights,
        offsets: shape (G,), plus this, in radians.
        start: for each qubit that has any, its rotations from |0>, in order: (axis, angle).
        columns: the frame at the start.
        segments: rotations, a barrier, rotations, and so on; those of ``start`` come first.
        strings: what to sum for the Pauli strings.
        combination: shape (O, T): observables as combinations of these sums.
        nests: how rotations were dealt out to windows, for what it was done for.
    """

    num_qubits: int
    complex: bool
    input_coefficients: csr_array
    weight_coefficients: csr_array
    offsets: np.ndarray
    start: dict[int, list[tuple[str, int]]]
    columns: tuple[int, ...]
    segments: tuple[list[Gate] | Barrier, ...]
    strings: tuple[String, ...]
    combination: np.ndarray
    nests: dict[tuple[int, ...], Any] = field(default_factory=dict)


def compile_llvm(
    circuit: QuantumCircuit,
    inputs: Sequence[Parameter],
    weights: Sequence[Parameter],
    observables: Sequence[SparsePauliOp],
) -> LlvmProgram:
    """Compile a circuit whose parameters are split into inputs (per image) and weights (per instance).

    Raises:
        CircuitError: the circuit is not unitary, an angle is not affine, a parameter is in neither list, or an observable
            does not fit; the message names the offender.
    """
    operations = lower(circuit)
    strings, combination = pauli_terms(observables, circuit.num_qubits)
    basis = common_basis(observables)
    if basis is not None:
        operations += basis
        strings, combination = pauli_terms(diagonalized(observables), circuit.num_qubits)
    compiler = _Compiler(circuit.num_qubits, inputs, weights)
    for number, stage in enumerate(schedule(operations, circuit.num_qubits)):
        rewritten = turns(stage)
        compiler.rotate(rewritten.rotations, start=number == 0)
        for gate in rewritten.monomials:
            compiler.map(gate)
    return compiler.program(strings, combination)


@dataclass
class _Compiler:
    """Walks the circuit with its frame."""

    num_qubits: int
    inputs: Sequence[Parameter]
    weights: Sequence[Parameter]
    rotations: list[Rotation] = field(default_factory=list)
    segments: list[list[Gate] | Barrier] = field(default_factory=lambda: [[]])
    start: dict[int, list[tuple[str, int]]] = field(default_factory=dict)
    reverse: list[bool] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.frame = Frame(self.num_qubits)
        self.columns = tuple(self.frame.columns)
        self.input_column = {p: i for i, p in enumerate(self.inputs)}
        self.weight_column = {p: i for i, p in enumerate(self.weights)}

    def rotate(self, rotations: dict[int, list[Rotation]], start: bool) -> None:
        """Add the rotations of a stage."""
        gates = self.segments[-1]
        assert isinstance(gates, list)
        for qubit, found in rotations.items():
            for rotation in found:
                check_known(rotation, self.input_column, self.weight_column)
                pairs = self.frame.rotation(rotation.axis, qubit)
                index = len(self.rotations)
                self.rotations.append(rotation)
                self.reverse.append(pairs.reverse)
                gates.append(Gate(pairs, index, any(rotation.coefficients.values())))
                if start:
                    self.start.setdefault(qubit, []).append((rotation.axis, index))

    def map(self, gate: Monomial) -> None:
        """Take a register map into the frame, or put a barrier."""
        if self.frame.take(gate):
            return
        memory.require(64 << self.num_qubits, f"compiling a circuit of {self.num_qubits} qubits")
        local = local_index(gate.qubits, self.num_qubits)
        bare = Monomial(gate.qubits, gate.source, np.ones(len(gate.source)))
        if not self.frame.take(bare):
            signs = self.frame.take_signs()
            if signs is not None:
                self._barrier(Barrier(factors=signs.astype(complex)))
            self._barrier(Barrier(swaps=_swaps(self.frame.places(), source_index(gate, local))))
        phases = Monomial(gate.qubits, np.arange(len(gate.source)), gate.phase)
        if not self.frame.take(phases):
            factors = np.empty(1 << self.num_qubits, dtype=complex)
            factors[self.frame.places()] = (gate.phase / gate.phase[0])[local]
            factors.imag[np.abs(factors.imag) < 1e-15] = 0
            self._barrier(Barrier(factors=factors))

    def _barrier(self, barrier: Barrier) -> None:
        last = self.segments[-2] if len(self.segments) > 1 and not self.segments[-1] else None
        if isinstance(last, Barrier) and last.factors is not None and barrier.factors is not None:
            self.segments[-2] = Barrier(factors=last.factors * barrier.factors)
        else:
            self.segments += [barrier, []]

    def program(self, strings: list[tuple[int, int]], combination: np.ndarray) -> LlvmProgram:
        """Return the program."""
        odd = any((x & z).bit_count() % 2 for x, z in strings)
        found = [self.frame.string(x, z) for x, z in strings]
        # The frame's pairs may want an angle reversed: that is taken into how it depends on parameters.
        rotations = [scaled(r, -1.0) if reverse else r for r, reverse in zip(self.rotations, self.reverse, strict=True)]
        if not any(x for x, _ in strings):
            self._drop_last_phases()
        gates = [gate for segment in self.segments if isinstance(segment, list) for gate in segment]
        factors = [segment.factors for segment in self.segments if isinstance(segment, Barrier)]
        complex_ = any(gate.pairs.flip & self.frame.plane for gate in gates) or any(
            values is not None and values.imag.any() for values in factors
        )
        return LlvmProgram(
            num_qubits=self.num_qubits,
            complex=odd or complex_ or any(axis != "y" for sequence in self.start.values() for axis, _ in sequence),
            input_coefficients=coefficients(rotations, self.input_column),
            weight_coefficients=coefficients(rotations, self.weight_column),
            offsets=np.array([rotation.offset for rotation in rotations], dtype=float),
            start=self.start,
            columns=self.columns,
            segments=tuple(self.segments),
            strings=tuple(
                String(flip, mask, _part(x, z)) for (flip, mask, _), (x, z) in zip(found, strings, strict=True)
            ),
            combination=combination * np.array([sign for _, _, sign in found]),
        )

    def _drop_last_phases(self) -> None:
        """Drop what changes phases only, right before probabilities are read: rotations about z, and factors."""
        started = {index for sequence in self.start.values() for _, index in sequence}
        while True:
            gates = self.segments[-1]
            assert isinstance(gates, list)
            kept: list[Gate] = []
            for gate in reversed(gates):
                phases_only = gate.pairs.flip == self.frame.plane and gate.index not in started
                if not (phases_only and all(gate.pairs.commutes(later.pairs) for later in kept)):
                    kept.append(gate)
            self.segments[-1] = kept[::-1]
            last = self.segments[-2] if len(self.segments) > 1 else None
            if kept or not isinstance(last, Barrier) or last.factors is None:
                return
            del self.segments[-2:]


def _part(x: int, z: int) -> str:
    if not x:
        return "probability"
    return "imaginary" if (x & z).bit_count() % 2 else "real"


def _swaps(places: np.ndarray, source: np.ndarray) -> np.ndarray:
    """Return swaps of places after which amplitude ``source[i]`` lies where amplitude ``i`` lay, shape (pairs, 2)."""
    pairs = []
    done = source == np.arange(len(source))
    for start in np.flatnonzero(~done):
        here = int(start)
        while not done[here]:
            done[here] = True
            following = int(source[here])
            if following == start:
                break
            pairs.append((places[here], places[following]))
            here = following
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)
