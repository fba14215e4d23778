"""Compiling a circuit with observables into a :class:`Program`: the tables that the torch engine runs on.

Shape letters: P instances (sub-generators, or bindings) · B batch · Q inputs · K weights · O observables · G rotations ·
S slots (one-qubit products) · D = 2**num_qubits amplitudes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from qgan_qiskit.circuits.checks import check_observables
from qgan_qiskit.simulation import memory
from qgan_qiskit.simulation.angles import check_known, coefficients
from qgan_qiskit.simulation.lowering import Fixed, Rotation, lower
from qgan_qiskit.simulation.observables import common_basis, diagonalised, tables
from qgan_qiskit.simulation.schedule import Stage, register_map, schedule

# Neighbouring qubits whose gates are multiplied into one matrix: 32x32 keeps a matrix product busy, 64x64 wastes flops.
BLOCK_QUBITS = 5


@dataclass(frozen=True, eq=False)
class Slot:
    """A product of one-qubit gates on one qubit: indices into the rotations (>= 0) or the fixed gates (< 0, ``-1 - i``)."""

    qubit: int
    gates: tuple[int, ...]
    takes_inputs: bool


@dataclass(frozen=True, eq=False)
class Step:
    """What happens to the state vector at one point: exactly one of the three is set.

    Attributes:
        block: (first qubit, number of qubits, slot per qubit or -1): one matrix made of weights only.
        slot: a slot whose angles differ from image to image.
        monomial: index into :attr:`Program.monomials`.
    """

    block: tuple[int, int, tuple[int, ...]] | None = None
    slot: int | None = None
    monomial: int | None = None


@dataclass(frozen=True, eq=False)
class Program:
    """A circuit and its observables, ready to be evaluated and differentiated.

    Attributes:
        num_qubits: qubits of the register.
        real: whether all amplitudes are real, so that half the memory and a quarter of the arithmetic do.
        axes: axis of each rotation.
        input_coefficients: shape (G, Q); an angle is this applied to the inputs,
        weight_coefficients: shape (G, K), plus this applied to the weights,
        offsets: shape (G,), plus this, in radians.
        fixed: the constant one-qubit matrices, shape (F, 2, 2), complex.
        slots: the one-qubit products.
        first: slot that prepares each qubit from |0>, or -1.
        steps: what follows, in order.
        monomials: ``(source, phase)`` maps of the register.
        observable_tables: X-mask -> (O, D) table, see :func:`qgan_qiskit.simulation.observables.tables`.
    """

    num_qubits: int
    real: bool
    axes: tuple[str, ...]
    input_coefficients: np.ndarray
    weight_coefficients: np.ndarray
    offsets: np.ndarray
    fixed: np.ndarray
    slots: tuple[Slot, ...]
    first: tuple[int, ...]
    steps: tuple[Step, ...]
    monomials: tuple[tuple[np.ndarray, np.ndarray], ...]
    observable_tables: dict[int, np.ndarray]


def compile_circuit(
    circuit: QuantumCircuit,
    inputs: Sequence[Parameter],
    weights: Sequence[Parameter],
    observables: Sequence[SparsePauliOp],
) -> Program:
    """Compile a circuit whose parameters are split into inputs (per image) and weights (per instance).

    Raises:
        CircuitError: the circuit is not unitary, an angle is not affine, a parameter is in neither list, or an observable
            does not fit; the message names the offender.
    """
    operations = lower(circuit)
    check_observables(circuit.num_qubits, observables)
    basis = common_basis(observables)
    if basis is not None:
        operations += basis
        observables = diagonalised(observables)
    num_qubits = circuit.num_qubits
    # Observables and register maps are tables over all amplitudes, made of complex numbers.
    memory.require(16 * (len(observables) + 6) << num_qubits, f"compiling a circuit of {num_qubits} qubits")
    return _Compiler(num_qubits, inputs, weights).compile(
        schedule(operations, num_qubits), tables(observables, num_qubits)
    )


class _Compiler:
    """Collects rotations, fixed gates, slots and monomials while it walks the stages."""

    def __init__(self, num_qubits: int, inputs: Sequence[Parameter], weights: Sequence[Parameter]) -> None:
        self.num_qubits = num_qubits
        self.inputs = {p: i for i, p in enumerate(inputs)}
        self.weights = {p: i for i, p in enumerate(weights)}
        self.rotations: list[Rotation] = []
        self.fixed: list[np.ndarray] = []
        self.slots: list[Slot] = []
        self.monomials: list[tuple[np.ndarray, np.ndarray]] = []
        self.monomial_index: dict[bytes, int] = {}

    def compile(self, stages: list[Stage], observable_tables: dict[int, np.ndarray]) -> Program:
        first = [-1] * self.num_qubits
        steps: list[Step] = []
        for number, stage in enumerate(stages):
            slot_of = {qubit: self._slot(qubit, gates) for qubit, gates in sorted(stage.slots.items())}
            if number == 0:
                for qubit, slot in slot_of.items():
                    first[qubit] = slot
            else:
                steps += self._slot_steps(slot_of)
            steps += self._monomial_steps(stage)
        if set(observable_tables) == {0} and steps and steps[-1].monomial is not None:
            # |amplitude|**2 only: the last monomial permutes the columns of the table and its phases drop out.
            source, _ = self.monomials[steps.pop().monomial or 0]
            moved = np.empty_like(observable_tables[0])
            moved[:, source] = observable_tables[0]
            observable_tables = {0: moved}
        real = (
            all(rotation.axis == "y" for rotation in self.rotations)
            and all(np.isreal(matrix).all() for matrix in self.fixed)
            and all(np.isreal(phase).all() for _, phase in self.monomials)
            and all(np.isreal(table).all() for table in observable_tables.values())
        )
        return Program(
            num_qubits=self.num_qubits,
            real=bool(real),
            axes=tuple(rotation.axis for rotation in self.rotations),
            input_coefficients=coefficients(self.rotations, self.inputs).toarray(),
            weight_coefficients=coefficients(self.rotations, self.weights).toarray(),
            offsets=np.array([rotation.offset for rotation in self.rotations], dtype=float),
            fixed=np.array(self.fixed, dtype=complex).reshape(-1, 2, 2),
            slots=tuple(self.slots),
            first=tuple(first),
            steps=tuple(steps),
            monomials=tuple(self.monomials),
            observable_tables=observable_tables,
        )

    def _slot(self, qubit: int, gates: list[Rotation | Fixed]) -> int:
        indices = []
        takes_inputs = False
        for gate in gates:
            if isinstance(gate, Rotation):
                check_known(gate, self.inputs, self.weights)
                takes_inputs |= any(parameter in self.inputs for parameter in gate.coefficients)
                indices.append(len(self.rotations))
                self.rotations.append(gate)
            else:
                indices.append(-1 - len(self.fixed))
                self.fixed.append(gate.matrix)
        self.slots.append(Slot(qubit, tuple(indices), takes_inputs))
        return len(self.slots) - 1

    def _slot_steps(self, slot_of: dict[int, int]) -> list[Step]:
        steps = []
        shared = {q: s for q, s in slot_of.items() if not self.slots[s].takes_inputs}
        count = -(-self.num_qubits // BLOCK_QUBITS)
        edges = [round(i * self.num_qubits / count) for i in range(count + 1)]
        for low, high in pairwise(edges):
            members = tuple(shared.get(q, -1) for q in range(low, high))
            if any(member >= 0 for member in members):
                steps.append(Step(block=(low, high - low, members)))
        steps += [Step(slot=s) for s in slot_of.values() if self.slots[s].takes_inputs]
        return steps

    def _monomial_steps(self, stage: Stage) -> list[Step]:
        if not stage.monomials:
            return []
        source, phase = register_map(stage.monomials, self.num_qubits)
        if (source == np.arange(len(source))).all() and (phase == 1).all():
            # Gates that cancel, such as two CX in a row.
            return []
        key = source.tobytes() + phase.tobytes()
        if key not in self.monomial_index:
            self.monomial_index[key] = len(self.monomials)
            self.monomials.append((source, phase))
        return [Step(monomial=self.monomial_index[key])]
