"""The pattern of all built circuits: an encoding, then layers of one rotation per qubit and a ladder of two-qubit gates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from qiskit.circuit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from qgan_qiskit.circuits.ansatz import Ansatz
from qgan_qiskit.circuits.encodings import ENCODINGS
from qgan_qiskit.circuits.ladders import LADDERS
from qgan_qiskit.circuits.names import numbered_parameters
from qgan_qiskit.errors import CircuitError


def layered_ansatz(
    name: str,
    num_qubits: int,
    reps: int,
    *,
    encoding: str,
    entangler: str,
    observables: Sequence[SparsePauliOp],
    source: str,
) -> Ansatz:
    """Build encoding, then ``reps`` times [RY(theta) on each qubit, ladder 0-1, 1-2, …].

    Args:
        name: of the circuit.
        num_qubits: qubits, at least 1 (one qubit has no ladder); also the number of inputs.
        reps: repetitions of the layer, at least 1.
        encoding: a name of ``ENCODINGS``; angles in radians.
        entangler: a name of ``LADDERS``.
        observables: what is measured.
        source: paper and section.

    Returns:
        The ansatz with inputs ``x_000…`` (num_qubits) and weights ``theta_000…`` (reps * num_qubits, layer by layer).
    """
    inputs = numbered_parameters("x", num_qubits)
    weights = numbered_parameters("theta", reps * num_qubits)
    circuit = QuantumCircuit(num_qubits, name=name)
    ENCODINGS[encoding](circuit, inputs)
    for rep in range(reps):
        for qubit in range(num_qubits):
            circuit.ry(weights[rep * num_qubits + qubit], qubit)
        LADDERS[entangler](circuit)
    return Ansatz(
        name=name,
        circuit=circuit,
        input_parameters=inputs,
        weight_parameters=weights,
        observables=tuple(observables),
        source=source,
    )


def check_size(argument: str, value: int, least: int = 1) -> None:
    """Refuse a number of things that is no whole number of at least ``least``.

    Raises:
        CircuitError: naming the argument.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise CircuitError(f"{argument} is {value!r}; give a whole number of at least {least}")


def check_choice(argument: str, value: str, choices: Iterable[str]) -> None:
    """Refuse a name that is not one of the choices.

    Raises:
        CircuitError: naming the argument and the choices.
    """
    if value not in choices:
        raise CircuitError(f"{argument} is {value!r}; choose one of {', '.join(choices)}")
