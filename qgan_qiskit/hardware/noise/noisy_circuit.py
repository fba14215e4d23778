"""Exact outcome probabilities and expectation values of an ISA circuit under a device's calibrated noise, for any inputs.

Each gate U on k qubits becomes the Pauli transfer matrix of its unitary followed by that of its calibrated error E:

    R = R_E R_U
    twirled           R_E -> diag(R_E)
    folded f times    R = (R_E R_U R_E R_U^-1)^((f-1)/2) R_E R_U    (f odd)
    PEA               R = diag(R_E)^f R_U

Readout is a confusion matrix A_q[read, true] per qubit; twirled: (A + X A X) / 2. Twirling is averaged over all randomizations.

Schroedinger picture: the Pauli vector of each image evolves, and gives the probabilities of all outcomes.
Heisenberg picture: where inputs enter only before a qubit's first two-qubit gate, what follows is the same for all images. Each
observable then evolves backward once, and an image's expectation value is its inner product with a product state.

Shape letters: B images · Q inputs (radians) · T Pauli strings · n qubits · P the four Paulis · X outcomes (2^n).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from qiskit.circuit import CircuitInstruction, Parameter, QuantumCircuit
from qiskit.circuit.library import HGate, RXGate
from qiskit.providers import BackendV2
from qiskit.quantum_info import PTM, SuperOp

from qgan_qiskit.errors import CircuitError
from qgan_qiskit.hardware import require_hardware_extra
from qgan_qiskit.hardware.noise.pauli_transfer import PauliVectors, transfer_matrices

# 4^13 float32 numbers are 256 MiB per image.
MAX_QUBITS = 13
# States or Pauli strings that evolve together; more do not fit into a processor's cache.
_CHUNK = 2
_ZERO_STATE = np.array([1.0, 0.0, 0.0, 1.0])
# Each is one sqrt(X) between virtual rotations about Z.
_ROTATIONS_TO_Z = {"X": HGate(), "Y": RXGate(np.pi / 2)}


@dataclass(frozen=True, eq=False)
class DeviceNoise:
    """Calibrated errors of a device's gates and readout."""

    # Pauli transfer matrix (4^k, 4^k) of the error after a gate, by the gate's name and qubits; Paulis in the order I, X, Y,
    # Z, those of the gate's first qubit changing fastest
    gates: dict[tuple[str, tuple[int, ...]], np.ndarray]
    readout: (
        np.ndarray
    )  # confusion matrix of each qubit, (n, 2, 2): probability of reading the row where the column is true

    @classmethod
    def from_backend(cls, device: BackendV2) -> DeviceNoise:
        """Build the errors as qiskit-aer's ``NoiseModel.from_backend``: depolarizing, thermal relaxation, readout.

        Errors of idle qubits are left out.

        Raises:
            UsageError: qiskit-aer is not installed.
        """
        with require_hardware_extra():
            from qiskit_aer.noise.device import basic_device_gate_errors, basic_device_readout_errors
        readout = np.tile(np.eye(2), (device.num_qubits, 1, 1))
        with warnings.catch_warnings():
            # Aer warns of a qubit without T1 or T2, which then does not relax.
            warnings.simplefilter("ignore")
            gate_errors = basic_device_gate_errors(target=device.target)
            readout_errors = basic_device_readout_errors(target=device.target)
        for qubits, error in readout_errors:
            readout[qubits[0]] = np.asarray(error.probabilities).T
        gates = {
            (name, tuple(qubits)): np.real(PTM(SuperOp(error)).data)
            for name, qubits, error in gate_errors
            if not error.ideal()
        }
        return cls(gates, readout)

    @classmethod
    def ideal(cls, num_qubits: int) -> DeviceNoise:
        """Return a device without errors."""
        return cls({}, np.tile(np.eye(2), (num_qubits, 1, 1)))

    def readout_matrices(self, twirled: bool) -> np.ndarray:
        """Return the confusion matrices (n, 2, 2); twirled ones err equally often on 0 and 1."""
        return (self.readout + self.readout[:, ::-1, ::-1]) / 2 if twirled else self.readout


@dataclass(frozen=True)
class NoiseAmplification:
    """How the noise of two-qubit gates is scaled."""

    factor: float = 1.0  # times the noise of the device
    # gate_folding (gate, inverse, gate, …; odd factors), or pea (the rates of the twirled error are multiplied)
    method: Literal["gate_folding", "pea"] = "gate_folding"
    twirled: bool = False  # whether gate errors are Pauli-twirled


@dataclass(frozen=True)
class _Gate:
    instruction: CircuitInstruction
    qubits: tuple[int, ...]
    error: np.ndarray | None

    def input_indices(self) -> list[int]:
        """Return which parameters of the gate contain inputs of the circuit."""
        parameters = self.instruction.operation.params
        return [index for index, value in enumerate(parameters) if getattr(value, "parameters", None)]


@dataclass(frozen=True)
class _Channels:
    """A circuit as channels; gates on one qubit are merged into the two-qubit channel that follows."""

    initial: dict[int, np.ndarray]  # for each qubit, the channel before its first two-qubit gate, (B or 1, 4, 4)
    two_qubit: list[tuple[np.ndarray, tuple[int, int]]]  # channels (B or 1, 16, 16) with their qubits, in order
    final: dict[int, np.ndarray]  # for some qubits, the channel after their last two-qubit gate


class NoisyCircuit:
    """One sub-generator's ISA circuit with the noise of its qubits.

    Attributes:
        num_qubits: of the circuit.
        noise: of its qubits.
        encodes_before_entangling: whether inputs enter only before each qubit's first two-qubit gate.
    """

    def __init__(
        self, circuit: QuantumCircuit, parameters: Sequence[Parameter], order: Sequence[int], noise: DeviceNoise
    ) -> None:
        """Take a circuit.

        Args:
            circuit: in the device's gates, of one and two qubits.
            parameters: its inputs.
            order: its qubits in path order, so that coupled qubits are adjacent in memory.
            noise: of its qubits.

        Raises:
            CircuitError: it has too many qubits.
        """
        if circuit.num_qubits > MAX_QUBITS:
            raise CircuitError(
                f"noise is simulated exactly for up to {MAX_QUBITS} qubits per circuit, not for {circuit.num_qubits}; "
                "take --backend fake:NAME, which simulates single shots"
            )
        self.num_qubits, self.noise = circuit.num_qubits, noise
        self._parameters = tuple(parameters)
        self._axis = {qubit: axis for axis, qubit in enumerate(order)}
        self._gates = []
        for instruction in circuit.data:
            if instruction.operation.name != "barrier":
                qubits = tuple(circuit.find_bit(qubit).index for qubit in instruction.qubits)
                self._gates.append(_Gate(instruction, qubits, noise.gates.get((instruction.operation.name, qubits))))
        self.encodes_before_entangling = self._encodes_before_entangling()

    def _encodes_before_entangling(self) -> bool:
        entangled: set[int] = set()
        for gate in self._gates:
            if gate.input_indices() and (len(gate.qubits) > 1 or gate.qubits[0] in entangled):
                return False
            if len(gate.qubits) > 1:
                entangled.update(gate.qubits)
        return True

    def compute_probabilities(
        self, angles_BQ: np.ndarray, bases: Sequence[str], amplification: NoiseAmplification, twirl_readout: bool
    ) -> Iterator[tuple[slice, list[np.ndarray]]]:
        """Yield a few images at a time and, for each basis, their outcome probabilities (B, X) (Schroedinger picture).

        A basis is a letter (X, Y, Z) per qubit, qubit 0 first; qubit 0 is the lowest bit of outcomes.
        """
        readout = self.noise.readout_matrices(twirl_readout)
        for start in range(0, len(angles_BQ), _CHUNK):
            images = slice(start, min(start + _CHUNK, len(angles_BQ)))
            state = self._evolve_states(angles_BQ[images], amplification)
            yield images, [self._measure(state.copy(), basis, readout) for basis in bases]

    def compute_expectations(
        self, angles_BQ: np.ndarray, strings: Sequence[str], amplification: NoiseAmplification, twirl_readout: bool
    ) -> np.ndarray:
        """Return the expectation values (B, T) of Pauli strings (Heisenberg picture).

        Needs :attr:`encodes_before_entangling`. A string is a letter (I, X, Y, Z) per qubit, qubit 0 first.
        """
        channels = self._build_channels(angles_BQ, amplification)
        states_BnP = self._product_states(channels, len(angles_BQ))
        readout = self.noise.readout_matrices(twirl_readout)
        strings_TnP = np.array([self._final_string(string, channels, readout) for string in strings])
        chunks = []
        for start in range(0, len(strings), _CHUNK):
            vectors = PauliVectors.from_products(strings_TnP[start : start + _CHUNK])
            for matrices, qubits in reversed(channels.two_qubit):
                vectors.apply(matrices.transpose(0, 2, 1), tuple(self._axis[qubit] for qubit in qubits))
            chunks.append(vectors.inner_products(states_BnP))
        return np.concatenate(chunks).T

    def pec_gamma(self) -> float:
        """Return gamma of probabilistic error cancellation, by whose square the shots grow.

        It is the product over two-qubit gates of the 1-norms of the quasi-probabilities that invert their twirled errors.
        """
        gamma = 1.0
        for gate in self._gates:
            if gate.error is not None and len(gate.qubits) == 2:
                gamma *= _quasi_probability_norm(1 / np.diag(gate.error))
        return gamma

    def _build_channels(self, angles_BQ: np.ndarray, amplification: NoiseAmplification) -> _Channels:
        initial: dict[int, np.ndarray] = {}
        two_qubit: list[tuple[np.ndarray, tuple[int, int]]] = []
        # One-qubit channels since a qubit's last two-qubit gate.
        pending: dict[int, np.ndarray] = {}
        for gate in self._gates:
            unitary = transfer_matrices(self._unitaries(gate, angles_BQ))
            if len(gate.qubits) == 1:
                [qubit] = gate.qubits
                noisy = unitary if gate.error is None else gate.error @ unitary
                pending[qubit] = noisy @ pending[qubit] if qubit in pending else noisy
                continue
            for qubit in gate.qubits:
                # Kept apart from the two-qubit channel: it may depend on the inputs.
                if qubit not in initial:
                    initial[qubit] = pending.pop(qubit, np.eye(4)[None])
            first, second = (pending.pop(qubit, np.eye(4)[None]) for qubit in gate.qubits)
            before = np.einsum("bij,bkl->bikjl", second, first).reshape(-1, 16, 16)
            channel = _amplify(unitary, gate.error, amplification) @ before
            two_qubit.append((channel, (gate.qubits[0], gate.qubits[1])))
        isolated = {qubit: pending.pop(qubit) for qubit in list(pending) if qubit not in initial}
        return _Channels(initial | isolated, two_qubit, pending)

    def _unitaries(self, gate: _Gate, angles_BQ: np.ndarray) -> np.ndarray:
        """Return the gate's unitaries, (B, D, D), or (1, D, D) if they do not depend on the inputs."""
        operation, indices = gate.instruction.operation, gate.input_indices()
        if not indices:
            return np.asarray(operation.to_matrix())[None]
        matrices = []
        for row in angles_BQ.tolist():
            bound = operation.copy()
            values = dict(zip(self._parameters, row, strict=True))
            for index in indices:
                expression = operation.params[index]
                bound.params[index] = float(expression.bind({name: values[name] for name in expression.parameters}))
            matrices.append(np.asarray(bound.to_matrix()))
        return np.array(matrices)

    def _product_states(self, channels: _Channels, images: int) -> np.ndarray:
        """Return each qubit's Bloch vector before its first two-qubit gate, (B, n, 4) in path order."""
        states_BnP = np.tile(_ZERO_STATE, (images, self.num_qubits, 1))
        for qubit, matrices in channels.initial.items():
            states_BnP[:, self._axis[qubit]] = matrices @ _ZERO_STATE
        return states_BnP

    def _evolve_states(self, angles_BQ: np.ndarray, amplification: NoiseAmplification) -> PauliVectors:
        channels = self._build_channels(angles_BQ, amplification)
        state = PauliVectors.from_products(self._product_states(channels, len(angles_BQ)))
        for matrices, qubits in channels.two_qubit:
            state.apply(matrices, tuple(self._axis[qubit] for qubit in qubits))
        for qubit, matrices in channels.final.items():
            state.apply(matrices, (self._axis[qubit],))
        return state

    def _final_string(self, string: str, channels: _Channels, readout: np.ndarray) -> np.ndarray:
        """Return a measured Pauli string, pulled back to the last two-qubit gate, (n, 4) in path order."""
        factors_nP = np.tile([1.0, 0.0, 0.0, 0.0], (self.num_qubits, 1))
        for qubit, letter in enumerate(string):
            factor = factors_nP[self._axis[qubit]]
            if letter != "I":
                # Mean sign that is read for a true 0 and for a true 1.
                zero, one = readout[qubit][0] - readout[qubit][1]
                factor = np.array([zero + one, 0.0, 0.0, zero - one]) / 2
            if letter in _ROTATIONS_TO_Z:
                factor = factor @ self._basis_rotation(qubit, letter)[0]
            if qubit in channels.final:
                factor = factor @ channels.final[qubit][0]
            factors_nP[self._axis[qubit]] = factor
        return factors_nP

    def _basis_rotation(self, qubit: int, letter: str) -> np.ndarray:
        """Return the noisy channel (1, 4, 4) that rotates X or Y to Z."""
        rotation = transfer_matrices(_ROTATIONS_TO_Z[letter].to_matrix()[None])
        error = self.noise.gates.get(("sx", (qubit,)))
        return rotation if error is None else error @ rotation

    def _measure(self, state: PauliVectors, basis: str, readout: np.ndarray) -> np.ndarray:
        """Return the outcome probabilities (B, X) of states in a basis."""
        for qubit, letter in enumerate(basis):
            if letter in _ROTATIONS_TO_Z:
                state.apply(self._basis_rotation(qubit, letter), (self._axis[qubit],))
        probabilities = state.probabilities().reshape(-1, *[2] * self.num_qubits)
        for qubit, axis in self._axis.items():
            probabilities = np.moveaxis(np.tensordot(readout[qubit], probabilities, (1, axis + 1)), 0, axis + 1)
        # From path order to qubit 0 as the lowest bit, which is the last axis.
        axes = [self._axis[qubit] + 1 for qubit in reversed(range(self.num_qubits))]
        flat = probabilities.transpose(0, *axes).reshape(len(probabilities), -1)
        flat = np.clip(flat, 0, None)
        return flat / flat.sum(1, keepdims=True)


def _amplify(unitary: np.ndarray, error: np.ndarray | None, amplification: NoiseAmplification) -> np.ndarray:
    """Return the channel of a two-qubit gate with its scaled error."""
    if error is None:
        return unitary
    if amplification.twirled:
        error = np.diag(np.diag(error))
    if amplification.method == "pea":
        return np.diag(np.diag(error) ** amplification.factor) @ unitary
    gate, inverse = error @ unitary, error @ unitary.transpose(0, 2, 1)
    folded = gate
    for _ in range(int(amplification.factor) // 2):
        folded = gate @ inverse @ folded
    return folded


def _quasi_probability_norm(eigenvalues: np.ndarray) -> float:
    """Return the 1-norm of the Pauli quasi-probabilities of a channel with a diagonal transfer matrix."""
    commutation = np.array([[1, 1, 1, 1], [1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]])
    transform = np.kron(commutation, commutation) if len(eigenvalues) == 16 else commutation
    return float(np.abs(transform @ eigenvalues).sum() / len(eigenvalues))
