"""A device's circuit with its noise: the exact probabilities of what is read, for any inputs.

Twirling is averaged over all its random circuits instead of some: a twirled gate's error keeps the diagonal of its Pauli transfer
matrix, a twirled readout errs as often on 0 as on 1.

There are two ways. A state can be followed for each image, which gives the probabilities of all outcomes. Where inputs turn
qubits before they meet, and nowhere else, everything behind is the same for all images: then what is measured is followed
backwards, once, and an image is the sum of products of what its qubits are at the beginning.

Shape letters: B images · Q inputs · T Pauli strings · n qubits · P the four Paulis.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from qiskit.circuit import CircuitInstruction, Parameter, QuantumCircuit
from qiskit.circuit.library import HGate, RXGate

from qgan_qiskit.errors import CircuitError
from qgan_qiskit.hardware.noise.calibration import DeviceNoise
from qgan_qiskit.hardware.noise.pauli_transfer import PauliVectors, transfer_matrices

# 4^13 float32 numbers are 256 MiB for each image.
MOST_QUBITS = 13
# States, or strings, that are followed together: more do not fit a processor's cache.
_CHUNK = 2
_ZERO = np.array([1.0, 0.0, 0.0, 1.0])
_TO_Z = {"X": HGate(), "Y": RXGate(np.pi / 2)}


@dataclass(frozen=True)
class Amplified:
    """How much noise the two-qubit gates make.

    Attributes:
        factor: times that of the device.
        by: ``gate_folding`` (each gate is run, undone and run again; odd factors) or ``pea`` (the twirled errors' rates are
            multiplied; 0 takes them away).
        twirled: whether the gates' errors are.
    """

    factor: float = 1.0
    by: Literal["gate_folding", "pea"] = "gate_folding"
    twirled: bool = False


@dataclass(frozen=True)
class _Blocks:
    """A circuit as channels.

    Attributes:
        first: for each qubit what happens before it meets another, (B or 1, 4, 4).
        middle: channels of two qubits with what happens to either before them, (B or 1, 16, 16), and the qubits.
        last: for some qubits what happens after all that.
    """

    first: dict[int, np.ndarray]
    middle: list[tuple[np.ndarray, tuple[int, int]]]
    last: dict[int, np.ndarray]


class NoisyCircuit:
    """One sub-generator on its place of a device.

    Attributes:
        num_qubits: of the circuit.
        noise: of its qubits.
        inputs_come_first: whether inputs turn qubits before they meet, and nowhere else.
    """

    def __init__(
        self, circuit: QuantumCircuit, parameters: Sequence[Parameter], order: Sequence[int], noise: DeviceNoise
    ) -> None:
        """Prepare.

        Args:
            circuit: in the device's gates, of one and two qubits.
            parameters: its inputs.
            order: its qubits in the order of the chain, so that neighbors lie side by side in memory.
            noise: of its qubits.

        Raises:
            CircuitError: it has too many qubits.
        """
        if circuit.num_qubits > MOST_QUBITS:
            raise CircuitError(
                f"noise is simulated for up to {MOST_QUBITS} qubits of a circuit, not for {circuit.num_qubits}; "
                "take fake:NAME, which follows single shots"
            )
        self.num_qubits, self.noise = circuit.num_qubits, noise
        self._circuit, self._parameters = circuit, tuple(parameters)
        self._axis = {qubit: axis for axis, qubit in enumerate(order)}
        self.inputs_come_first = self._inputs_come_first()

    def read(
        self, angles_BQ: np.ndarray, bases: Sequence[str], amplified: Amplified, twirled_readout: bool
    ) -> Iterator[tuple[slice, list[np.ndarray]]]:
        """Give for some images at a time the probabilities of what is read.

        Args:
            angles_BQ: values of the inputs, radians.
            bases: for each way of measuring a letter (X, Y, Z) per qubit, qubit 0 first.
            amplified: the noise of two-qubit gates.
            twirled_readout: whether readouts err as often on 0 as on 1.

        Yields:
            Which images, and for each basis (B, 2^n), qubit 0 being the lowest bit.
        """
        readout = self._readout(twirled_readout)
        for low in range(0, len(angles_BQ), _CHUNK):
            some = slice(low, min(low + _CHUNK, len(angles_BQ)))
            state = self._evolved(angles_BQ[some], amplified)
            yield some, [self._measured(state.copy(), basis, readout) for basis in bases]

    def expectations(
        self, angles_BQ: np.ndarray, strings: Sequence[str], amplified: Amplified, twirled_readout: bool
    ) -> np.ndarray:
        """Return what is read of Pauli strings on average, (B, T); inputs must come first.

        Args:
            angles_BQ: values of the inputs, radians.
            strings: a letter (I, X, Y, Z) per qubit, qubit 0 first.
            amplified: the noise of two-qubit gates.
            twirled_readout: whether readouts err as often on 0 as on 1.
        """
        blocks = self._blocks(angles_BQ, amplified)
        starts_BnP = self._starts(blocks, len(angles_BQ))
        readout = self._readout(twirled_readout)
        strings_TnP = np.array([self._seen(string, blocks, readout) for string in strings])
        found = []
        for low in range(0, len(strings), _CHUNK):
            vectors = PauliVectors.product(strings_TnP[low : low + _CHUNK])
            for matrices, qubits in reversed(blocks.middle):
                vectors.apply(matrices.transpose(0, 2, 1), tuple(self._axis[qubit] for qubit in qubits))
            found.append(vectors.overlaps(starts_BnP))
        return np.concatenate(found).T

    def _readout(self, twirled: bool) -> np.ndarray:
        readout = self.noise.readout
        return (readout + readout[:, ::-1, ::-1]) / 2 if twirled else readout

    def _seen(self, string: str, blocks: _Blocks, readout: np.ndarray) -> np.ndarray:
        """Return the string as it acts behind the last meeting of qubits, (n, 4) in the order of the chain."""
        factors_nP = np.zeros((self.num_qubits, 4))
        for qubit, letter in enumerate(string):
            factor = np.array([1.0, 0.0, 0.0, 0.0])
            if letter != "I":
                # What a 0 and what a 1 are read as on average.
                of_zero, of_one = readout[qubit][0] - readout[qubit][1]
                factor = np.array([of_zero + of_one, 0.0, 0.0, of_zero - of_one]) / 2
            if letter in _TO_Z:
                factor = factor @ self._turn(qubit, letter)[0]
            if qubit in blocks.last:
                factor = factor @ blocks.last[qubit][0]
            factors_nP[self._axis[qubit]] = factor
        return factors_nP

    def _inputs_come_first(self) -> bool:
        met: set[int] = set()
        for instruction in self._circuit.data:
            qubits = self._qubits(instruction)
            if _free(instruction) and (len(qubits) > 1 or qubits[0] in met):
                return False
            if len(qubits) > 1 and instruction.operation.name != "barrier":
                met.update(qubits)
        return True

    def overhead(self) -> float:
        """Return gamma of probabilistic error cancellation: shots have to grow by its square.

        For each two-qubit gate the sum of the sizes of the quasi-probabilities that undo its twirled error.
        """
        gamma = 1.0
        for instruction in self._circuit.data:
            error = self._error(instruction)
            if error is not None and len(instruction.qubits) == 2:
                gamma *= _quasi_probabilities(1 / np.diag(error))
        return gamma

    def _qubits(self, instruction: CircuitInstruction) -> tuple[int, ...]:
        return tuple(self._circuit.find_bit(qubit).index for qubit in instruction.qubits)

    def _error(self, instruction: CircuitInstruction) -> np.ndarray | None:
        return self.noise.gates.get((instruction.operation.name, self._qubits(instruction)))

    def _blocks(self, angles_BQ: np.ndarray, amplified: Amplified) -> _Blocks:
        first: dict[int, np.ndarray] = {}
        middle: list[tuple[np.ndarray, tuple[int, int]]] = []
        # Gates on one qubit are multiplied up until it meets another one.
        waiting: dict[int, np.ndarray] = {}
        for instruction in self._circuit.data:
            if instruction.operation.name == "barrier":
                continue
            qubits = self._qubits(instruction)
            gate, error = transfer_matrices(self._unitaries(instruction, angles_BQ)), self._error(instruction)
            if len(qubits) == 1:
                noisy = gate if error is None else error @ gate
                waiting[qubits[0]] = noisy @ waiting[qubits[0]] if qubits[0] in waiting else noisy
                continue
            for qubit in qubits:
                # Kept apart at the first meeting: inputs may be in it.
                if qubit not in first:
                    first[qubit] = waiting.pop(qubit, np.eye(4)[None])
            one, two = (waiting.pop(qubit, np.eye(4)[None]) for qubit in qubits)
            before = np.einsum("bij,bkl->bikjl", two, one).reshape(-1, 16, 16)
            middle.append((_amplified(gate, error, amplified) @ before, (qubits[0], qubits[1])))
        alone = {qubit: waiting.pop(qubit) for qubit in list(waiting) if qubit not in first}
        return _Blocks(first | alone, middle, waiting)

    def _starts(self, blocks: _Blocks, images: int) -> np.ndarray:
        """Return what each qubit is before it meets another, (B, n, 4) in the order of the chain."""
        starts_BnP = np.tile(_ZERO, (images, self.num_qubits, 1))
        for qubit, matrices in blocks.first.items():
            starts_BnP[:, self._axis[qubit]] = matrices @ _ZERO
        return starts_BnP

    def _evolved(self, angles_BQ: np.ndarray, amplified: Amplified) -> PauliVectors:
        blocks = self._blocks(angles_BQ, amplified)
        state = PauliVectors.product(self._starts(blocks, len(angles_BQ)))
        for matrices, qubits in blocks.middle:
            state.apply(matrices, tuple(self._axis[qubit] for qubit in qubits))
        for qubit, matrices in blocks.last.items():
            state.apply(matrices, (self._axis[qubit],))
        return state

    def _unitaries(self, instruction: CircuitInstruction, angles_BQ: np.ndarray) -> np.ndarray:
        """Return the gate's matrices, (B, D, D), or (1, D, D) if inputs do not change them."""
        operation = instruction.operation
        free = _free(instruction)
        if not free:
            return np.asarray(operation.to_matrix())[None]
        matrices = []
        for row in angles_BQ.tolist():
            bound = operation.copy()
            values = dict(zip(self._parameters, row, strict=True))
            for number in free:
                expression = operation.params[number]
                known = {parameter: values[parameter] for parameter in expression.parameters}
                bound.params[number] = float(expression.bind(known))
            matrices.append(np.asarray(bound.to_matrix()))
        return np.array(matrices)

    def _turn(self, qubit: int, letter: str) -> np.ndarray:
        """Return the channel that turns X or Y into Z, (1, 4, 4)."""
        turn = transfer_matrices(_TO_Z[letter].to_matrix()[None])
        # Both turns are one sqrt(X) between free rotations about Z.
        error = self.noise.gates.get(("sx", (qubit,)))
        return turn if error is None else error @ turn

    def _measured(self, state: PauliVectors, basis: str, readout: np.ndarray) -> np.ndarray:
        for qubit, letter in enumerate(basis):
            if letter in _TO_Z:
                state.apply(self._turn(qubit, letter), (self._axis[qubit],))
        probabilities = state.probabilities().reshape(-1, *[2] * self.num_qubits)
        for qubit, axis in self._axis.items():
            probabilities = np.moveaxis(np.tensordot(readout[qubit], probabilities, (1, axis + 1)), 0, axis + 1)
        # From the order of the chain to qubit 0 as the lowest bit, that is the last axis.
        axes = [self._axis[qubit] + 1 for qubit in reversed(range(self.num_qubits))]
        flat = probabilities.transpose(0, *axes).reshape(len(probabilities), -1)
        flat = np.clip(flat, 0, None)
        return flat / flat.sum(1, keepdims=True)


def _free(instruction: CircuitInstruction) -> list[int]:
    """Return which parameters of a gate contain inputs."""
    parameters = instruction.operation.params
    return [number for number, value in enumerate(parameters) if getattr(value, "parameters", None)]


def _amplified(gate: np.ndarray, error: np.ndarray | None, amplified: Amplified) -> np.ndarray:
    """Return the channel of a two-qubit gate with its error."""
    if error is None:
        return gate
    if amplified.twirled:
        error = np.diag(np.diag(error))
    if amplified.by == "pea":
        return np.diag(np.diag(error) ** amplified.factor) @ gate
    noisy, undone = error @ gate, error @ gate.transpose(0, 2, 1)
    folded = noisy
    for _ in range(int(amplified.factor) // 2):
        folded = noisy @ undone @ folded
    return folded


def _quasi_probabilities(eigenvalues: np.ndarray) -> float:
    """Return the sum of the sizes of the Pauli probabilities of a channel with a diagonal transfer matrix."""
    commute = np.array([[1, 1, 1, 1], [1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]])
    transform = np.kron(commute, commute) if len(eigenvalues) == 16 else commute
    return float(np.abs(transform @ eigenvalues).sum() / len(eigenvalues))
