"""Compiling a circuit with observables for the kernels: stages with their layouts, angles, and Pauli strings to read.

Shape letters: G rotations · Q inputs · K weights · O observables · T Pauli strings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from qgan_qiskit.errors import CircuitError
from qgan_qiskit.simulation.lowering import Monomial, Rotation, lower
from qgan_qiskit.simulation.native.layout import Layout, local_index, source_index
from qgan_qiskit.simulation.native.stages import turns
from qgan_qiskit.simulation.observables import common_basis, diagonalised, pauli_terms
from qgan_qiskit.simulation.schedule import schedule


@dataclass(frozen=True)
class Gate:
    """A rotation of one qubit by angle number ``index``; ``varies`` with inputs or weights, or is constant."""

    axis: str
    qubit: int
    index: int
    varies: bool


@dataclass(frozen=True, eq=False)
class Part:
    """A stage as kernels see it.

    Attributes:
        swaps: amplitudes to exchange first, one pair after the other: places, shape (pairs, 2).
        factors: what to multiply amplitudes by then, by place: shape (2**num_qubits,), None for nothing.
        gates: the rotations of each qubit that follow, in order.
        layout: where amplitudes lie while they do.
    """

    swaps: np.ndarray | None
    factors: np.ndarray | None
    gates: dict[int, list[Gate]]
    layout: Layout


@dataclass(frozen=True)
class String:
    """A Pauli string by places: the sum of (-1)**|place & mask| times a part of conj(psi[place ^ flip]) psi[place].

    The part is ``probability`` where nothing flips, else ``real`` or ``imaginary``.
    """

    flip: int
    mask: int
    part: str


@dataclass(frozen=True, eq=False)
class NativeProgram:
    """A circuit and its observables, ready for the kernels.

    Attributes:
        num_qubits: qubits of the register.
        complex: whether amplitudes have imaginary parts.
        input_coefficients: shape (G, Q); an angle is this applied to the inputs,
        weight_coefficients: shape (G, K), plus this applied to the weights,
        offsets: shape (G,), plus this, in radians.
        start: the rotations of each qubit from |0>, in order.
        parts: what follows.
        end: swaps and factors before the read-out, and its layout; it has no gates.
        strings: what to sum for the Pauli strings.
        combination: shape (O, T): observables as sums of what the kernels read for the strings.
    """

    num_qubits: int
    complex: bool
    input_coefficients: np.ndarray
    weight_coefficients: np.ndarray
    offsets: np.ndarray
    start: Part
    parts: tuple[Part, ...]
    end: Part
    strings: tuple[String, ...]
    combination: np.ndarray


def compile_native(
    circuit: QuantumCircuit,
    inputs: Sequence[Parameter],
    weights: Sequence[Parameter],
    observables: Sequence[SparsePauliOp],
) -> NativeProgram:
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
        strings, combination = pauli_terms(diagonalised(observables), circuit.num_qubits)
    compiler = _Compiler(circuit.num_qubits, inputs, weights)
    for number, stage in enumerate(schedule(operations, circuit.num_qubits)):
        rewritten = turns(stage)
        if number == 0 or rewritten.rotations:
            compiler.rotate(rewritten.rotations)
        for gate in rewritten.monomials:
            compiler.map(gate)
    return compiler.program(strings, combination)


@dataclass
class _Compiler:
    """Walks the stages with the layout and the factors that are still to be applied."""

    num_qubits: int
    inputs: Sequence[Parameter]
    weights: Sequence[Parameter]
    rotations: list[Rotation] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    swaps: list[np.ndarray] = field(default_factory=list)
    factors: np.ndarray | None = None
    complex_factors: bool = False

    def __post_init__(self) -> None:
        self.layout = Layout.spread(self.num_qubits)
        self.input_column = {p: i for i, p in enumerate(self.inputs)}
        self.weight_column = {p: i for i, p in enumerate(self.weights)}
        self._kept: dict[bytes, np.ndarray] = {}

    def rotate(self, rotations: dict[int, list[Rotation]]) -> None:
        """Close a part: what is pending, then these rotations."""
        gates = {qubit: [self._gate(rotation) for rotation in found] for qubit, found in rotations.items()}
        self.parts.append(Part(self._take_swaps(), self._take_factors(), gates, self.layout))

    def map(self, gate: Monomial) -> None:
        """Take a register map into the layout and the factors."""
        layout = self.layout.after(gate)
        phases = not np.allclose(gate.phase, 1, atol=1e-15)
        if layout is not None and not phases and self.factors is None:
            self.layout = layout
            return
        local = local_index(gate.qubits, self.num_qubits)
        source = source_index(gate, local)
        factors = np.ones(len(local), dtype=complex) if self.factors is None else self.factors[source]
        self.factors = factors * gate.phase[local] if phases else factors
        if layout is not None:
            self.layout = layout
        else:
            self.swaps.append(_swaps(self.layout.places(), source))

    def program(self, strings: list[tuple[int, int]], combination: np.ndarray) -> NativeProgram:
        """Close the last part and return the program."""
        if all(x == 0 for x, _ in strings):
            # Probabilities only: phases drop out.
            self.factors = None
        end = Part(self._take_swaps(), self._take_factors(), {}, self.layout)
        odd = any((x & z).bit_count() % 2 for x, z in strings)
        signs = [1 - 2 * ((self.layout.mask(z) & self.layout.shift).bit_count() & 1) for _, z in strings]
        return NativeProgram(
            num_qubits=self.num_qubits,
            complex=self.complex_factors or odd or any(rotation.axis != "y" for rotation in self.rotations),
            input_coefficients=self._coefficients(self.input_column),
            weight_coefficients=self._coefficients(self.weight_column),
            offsets=np.array([rotation.offset for rotation in self.rotations], dtype=float),
            start=self.parts[0],
            parts=tuple(self.parts[1:]),
            end=end,
            strings=tuple(String(self.layout.offset(_bits(x)), self.layout.mask(z), _part(x, z)) for x, z in strings),
            combination=combination * signs,
        )

    def _gate(self, rotation: Rotation) -> Gate:
        for parameter in rotation.coefficients:
            if parameter not in self.input_column and parameter not in self.weight_column:
                raise CircuitError(f"parameter '{parameter.name}' is neither an input nor a weight")
        self.rotations.append(rotation)
        varies = any(rotation.coefficients.values())
        return Gate(rotation.axis, rotation.qubit, len(self.rotations) - 1, varies)

    def _take_swaps(self) -> np.ndarray | None:
        swaps, self.swaps = self.swaps, []
        return np.concatenate(swaps) if swaps else None

    def _take_factors(self) -> np.ndarray | None:
        factors, self.factors = self.factors, None
        if factors is None or np.allclose(factors, factors[0], atol=1e-15):
            return None
        # A phase of the whole state is free: choose it such that signs stay signs.
        factors = factors / factors[0]
        factors.real[np.abs(factors.real) < 1e-15] = 0
        factors.imag[np.abs(factors.imag) < 1e-15] = 0
        self.complex_factors |= bool(factors.imag.any())
        by_place = np.empty_like(factors)
        by_place[self.layout.places()] = factors
        # Equal stages share their table.
        return self._kept.setdefault(by_place.tobytes(), by_place)

    def _coefficients(self, columns: dict[Parameter, int]) -> np.ndarray:
        matrix = np.zeros((len(self.rotations), len(columns)))
        for row, rotation in enumerate(self.rotations):
            for parameter, value in rotation.coefficients.items():
                if parameter in columns:
                    matrix[row, columns[parameter]] = value
        return matrix


def _bits(mask: int) -> list[int]:
    return [bit for bit in range(mask.bit_length()) if mask >> bit & 1]


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
            if following != start:
                pairs.append((places[here], places[following]))
                here = following
            else:
                break
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)
