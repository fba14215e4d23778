"""The chip: bits that a circuit with many values of its parameters gives, the qubits treated in parts that never interact.

The client measures every qubit of a device, 156 of them for a circuit on four. A part (a connected set of qubits) is simulated on
its own, so idle qubits cost next to nothing and ten sub-generators packed on one chip cost ten small circuits.

Errors are Paulis at random after gates (depolarizing, of the calibrated size) and misread bits; waiting costs nothing. Most shots
meet no error and share one state; only the others are followed one by one. Aer follows every shot, which takes many times as long
for ten qubits; it is what the tests compare with.

Shape letters: B values of the parameters (bindings), P parameters, S shots, E rows that are evolved together, R bits read,
C classical bits, 2^n amplitudes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from qiskit.circuit import Instruction, QuantumCircuit

    from .devices import Device

_AMPLITUDES = 2**22
_ONE = np.array([[[1, 0], [0, 1]], [[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])
# Paulis on one and on two qubits, the identity first.
_PAULIS = {1: _ONE, 2: np.einsum("iab,jcd->ijacbd", _ONE, _ONE).reshape(16, 4, 4)}


class UnsupportedError(Exception):
    """This chip cannot run the circuit."""


@dataclass
class Part:
    """Qubits that interact with each other and with no other."""

    qubits: list[int]  # their indices on the device
    # operations with the positions of their qubits in qubits, without barriers and measurements at the end
    steps: list[tuple[Instruction, list[int]]] = field(default_factory=list)
    # position of a qubit and index of the classical bit it is read into, for measurements at the end
    reads: list[tuple[int, int]] = field(default_factory=list)


def sample(
    circuit: QuantumCircuit, values_BP: np.ndarray, shots: int, device: Device, noise: bool, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Return what is read into every classical register.

    Args:
        circuit: on the device's qubits: gates on one or two of them, then measurements.
        values_BP: values of its parameters in the circuit's order.
        shots: per row of values.
        device: whose errors count where there is noise.
        noise: whether they do.
        rng: source of all chance.

    Returns:
        Boolean arrays (B, S, size of the register), bit 0 first.

    Raises:
        UnsupportedError: for control flow, resets, and anything after a measurement.
    """
    columns = {parameter: index for index, parameter in enumerate(circuit.parameters)}
    bits_BSC = np.zeros((len(values_BP), shots, circuit.num_clbits), dtype=bool)
    for part in parts_of(circuit):
        if part.reads:
            run = _Run(part, values_BP, columns, rng)
            seen_BS = run.without_errors(shots)
            if noise:
                run.put_errors(seen_BS, device)
            read_BSR = np.stack([(seen_BS >> place) & 1 for place, _ in part.reads], axis=-1).astype(bool)
            if noise:
                read_BSR ^= _misread(part, read_BSR, device, rng)
            bits_BSC[:, :, [clbit for _, clbit in part.reads]] = read_BSR
    return {
        register.name: bits_BSC[:, :, [circuit.find_bit(bit).index for bit in register]] for register in circuit.cregs
    }


def parts_of(circuit: QuantumCircuit) -> list[Part]:
    """Return the circuit as parts that never interact."""
    operations = []
    owner = list(range(circuit.num_qubits))

    def root(qubit: int) -> int:
        while owner[qubit] != qubit:
            qubit = owner[qubit]
        return qubit

    for item in circuit.data:
        if item.name == "barrier":
            continue
        qubits = [circuit.find_bit(qubit).index for qubit in item.qubits]
        if item.clbits and item.name != "measure":
            raise UnsupportedError(f"The instruction {item.name} is not supported by this service.")
        for qubit in qubits[1:]:
            owner[root(qubit)] = root(qubits[0])
        operations.append((item, qubits))
    members: dict[int, list[int]] = {}
    for qubit in range(circuit.num_qubits):
        members.setdefault(root(qubit), []).append(qubit)
    parts = {top: Part(qubits) for top, qubits in members.items()}
    place = {qubit: index for part in parts.values() for index, qubit in enumerate(part.qubits)}
    for item, qubits in operations:
        part, places = parts[root(qubits[0])], [place[qubit] for qubit in qubits]
        read = {position for position, _ in part.reads}
        if read & set(places):
            raise UnsupportedError(f"The instruction {item.name} after a measurement is not supported by this service.")
        if item.name == "measure":
            part.reads.append((places[0], circuit.find_bit(item.clbits[0]).index))
        elif item.name not in ("delay", "id"):
            if not _has_matrix(item.operation):
                raise UnsupportedError(f"The instruction {item.name} is not supported by this service.")
            part.steps.append((item.operation, places))
    return list(parts.values())


def _has_matrix(operation: Instruction) -> bool:
    from qiskit.circuit import Gate, Parameter

    free = [value for value in operation.params if hasattr(value, "parameters") and value.parameters]
    known = operation.name in ("rz", "rx", "rzz") and all(isinstance(value, Parameter) for value in free)
    return isinstance(operation, Gate) and operation.num_qubits <= 2 and (known or not free)


def _matrix(operation: Instruction, values_BP: np.ndarray, columns: dict) -> np.ndarray:
    """Return a gate's matrix, (B, 2^k, 2^k) or, where it is the same for all rows, (1, 2^k, 2^k)."""
    if not any(hasattr(value, "parameters") and value.parameters for value in operation.params):
        return operation.to_matrix()[None]
    half_B = values_BP[:, columns[operation.params[0]]] / 2
    minus_B, plus_B = np.exp(-1j * half_B), np.exp(1j * half_B)
    if operation.name == "rx":
        cos_B, sin_B = np.cos(half_B), -1j * np.sin(half_B)
        return np.stack([np.stack([cos_B, sin_B], -1), np.stack([sin_B, cos_B], -1)], -2)
    diagonal = [minus_B, plus_B] if operation.name == "rz" else [minus_B, plus_B, plus_B, minus_B]
    return np.stack(diagonal, -1)[..., None] * np.eye(len(diagonal))


class _Run:
    """A part with all values of its parameters."""

    def __init__(self, part: Part, values_BP: np.ndarray, columns: dict, rng: np.random.Generator) -> None:
        self._part, self._values_BP, self._columns, self._rng = part, values_BP, columns, rng
        self._chunk = max(1, _AMPLITUDES >> len(part.qubits))

    def without_errors(self, shots: int) -> np.ndarray:
        """Return what perfect qubits show, as numbers, (B, S)."""
        rows = range(0, len(self._values_BP), self._chunk)
        return np.concatenate([self._seen(self._values_BP[low : low + self._chunk], shots, {}) for low in rows])

    def put_errors(self, seen_BS: np.ndarray, device: Device) -> None:
        """Replace what is seen in those shots that an error of a gate hits."""
        count, hits = seen_BS.size, {}
        for step, (operation, places) in enumerate(self._part.steps):
            infidelity = device.gate_errors.get((operation.name, tuple(self._part.qubits[p] for p in places)), 0.0)
            size = 2 ** len(places)
            # Average infidelity r of a depolarizing channel: some Pauli but the identity, with probability r (size + 1) / size.
            chance = min(infidelity * (size + 1) / size, 1.0)
            number = int(self._rng.binomial(count, chance))
            if number:
                shots_hit = np.sort(self._rng.choice(count, number, replace=False, shuffle=False))
                hits[step] = (shots_hit, self._rng.integers(1, size**2, number))
        if not hits:
            return
        affected = np.unique(np.concatenate([shots_hit for shots_hit, _ in hits.values()]))
        for low in range(0, len(affected), self._chunk):
            some = affected[low : low + self._chunk]
            errors = {}
            for step, (shots_hit, paulis) in hits.items():
                inside = (shots_hit >= some[0]) & (shots_hit <= some[-1])
                errors[step] = (np.searchsorted(some, shots_hit[inside]), paulis[inside])
            values_EP = self._values_BP[some // seen_BS.shape[1]]
            seen_BS.reshape(-1)[some] = self._seen(values_EP, 1, errors)[:, 0]

    def _seen(self, values_EP: np.ndarray, shots: int, errors: dict[int, tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
        """Return outcomes, (E, shots); ``errors`` names for a step the rows that a Pauli hits after it, and which Pauli."""
        num = len(self._part.qubits)
        state = np.zeros((len(values_EP), 2**num), dtype=np.complex64)
        state[:, 0] = 1.0
        waiting: dict[int, np.ndarray] = {}
        # Gates on one qubit are multiplied up and applied when the qubit meets another one.
        for step, (operation, places) in enumerate(self._part.steps):
            matrix = _matrix(operation, values_EP, self._columns)
            if step in errors:
                rows, paulis = errors[step]
                matrix = np.broadcast_to(matrix, (len(values_EP), *matrix.shape[1:])).copy()
                matrix[rows] = _PAULIS[len(places)][paulis] @ matrix[rows]
            if len(places) == 1:
                waiting[places[0]] = matrix @ waiting[places[0]] if places[0] in waiting else matrix
                continue
            for place in places:
                if place in waiting:
                    state = _apply(state, waiting.pop(place), [place], num)
            state = _apply(state, matrix, places, num)
        for place, matrix in waiting.items():
            state = _apply(state, matrix, [place], num)
        cumulated = np.cumsum(np.abs(state) ** 2, axis=1, dtype=float)
        cumulated /= cumulated[:, -1:]
        chances = self._rng.random((len(state), shots))
        pairs = zip(cumulated, chances, strict=True)
        return np.stack([np.searchsorted(row, chance, side="right") for row, chance in pairs])


def _apply(state: np.ndarray, matrix: np.ndarray, places: list[int], num: int) -> np.ndarray:
    """Return the state (B, 2^n; qubit 0 is the last axis of 2) after a gate whose first qubit is the matrix's lowest bit."""
    axes = [num - place for place in reversed(places)]
    size = 2 ** len(places)
    tensor = np.moveaxis(state.reshape(-1, *[2] * num), axes, range(1, len(axes) + 1))
    shape = tensor.shape
    tensor = matrix.astype(np.complex64) @ tensor.reshape(shape[0], size, -1)
    return np.moveaxis(tensor.reshape(shape), range(1, len(axes) + 1), axes).reshape(len(state), -1)


def _misread(part: Part, read_BSR: np.ndarray, device: Device, rng: np.random.Generator) -> np.ndarray:
    """Return which bits are read wrongly, (B, S, R)."""
    errors = np.array([device.readout_errors[part.qubits[place]] for place, _ in part.reads])
    return rng.random(read_BSR.shape) < np.where(read_BSR, errors[:, 1], errors[:, 0])
