"""HybridQ's sub-generator circuit, and by argument that of MosaiQ."""

from __future__ import annotations

from collections.abc import Iterable

from qiskit.circuit import QuantumCircuit

from qgan_qiskit.circuits.ansatz import Ansatz
from qgan_qiskit.circuits.encodings import ENCODINGS
from qgan_qiskit.circuits.ladders import LADDERS
from qgan_qiskit.circuits.names import numbered_parameters
from qgan_qiskit.circuits.readouts import READOUTS, single_qubit_paulis
from qgan_qiskit.errors import CircuitError

_HYBRIDQ = ("ry", "cx", "z")
_MOSAIQ = ("ry_rx", "cz", "x")


def hybridq_ansatz(
    num_qubits: int = 10, reps: int = 6, *, encoding: str = "ry", entangler: str = "cx", readout: str = "z"
) -> Ansatz:
    """Build encoding, then ``reps`` times [RY(theta) on each qubit, ladder 0-1, 1-2, …], read on each qubit.

    The paper (arXiv 2506.21015v1, section 3.2) names one tunable rotation per qubit and CNOTs on consecutive qubits.
    Axes and observable are our choice; MosaiQ's code has ``encoding="ry_rx", entangler="cz", readout="x"``.

    Args:
        num_qubits: qubits, at least 1 (one qubit has no ladder); also the number of inputs and of observables.
        reps: repetitions of the layer, at least 1.
        encoding: ``ry`` or ``ry_rx``; angles in radians.
        entangler: ``cx`` or ``cz``.
        readout: ``z`` or ``x``; observable i acts on qubit i.

    Returns:
        The ansatz with inputs ``x_000…`` (num_qubits) and weights ``theta_000…`` (reps * num_qubits, layer by layer).

    Raises:
        CircuitError: if a size is below 1 or a name is not one of the choices.
    """
    _check_size("num_qubits", num_qubits)
    _check_size("reps", reps)
    _check_choice("encoding", encoding, ENCODINGS)
    _check_choice("entangler", entangler, LADDERS)
    _check_choice("readout", readout, READOUTS)
    inputs = numbered_parameters("x", num_qubits)
    weights = numbered_parameters("theta", reps * num_qubits)
    name = _name(num_qubits, reps, encoding, entangler, readout)
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
        observables=single_qubit_paulis(READOUTS[readout], num_qubits),
        source=_source(encoding, entangler, readout),
    )


def _name(num_qubits: int, reps: int, encoding: str, entangler: str, readout: str) -> str:
    """Return a name that differs for every choice of arguments; it is also the file name in the cabinet."""
    size = f"q{num_qubits}_r{reps}"
    if (encoding, entangler, readout) == _MOSAIQ:
        return f"mosaiq_{size}"
    if (encoding, entangler, readout) == _HYBRIDQ:
        return f"hybridq_{size}"
    return f"hybridq_{size}_{encoding}_{entangler}_{readout}"


def _source(encoding: str, entangler: str, readout: str) -> str:
    if (encoding, entangler, readout) == _MOSAIQ:
        return "MosaiQ, arXiv 2308.11096, circuit of the authors' mosaiq.py"
    source = "HybridQ, arXiv 2506.21015v1, section 3.2 and figure 2"
    if (encoding, entangler, readout) == _HYBRIDQ:
        return source
    return f"{source}; here with encoding {encoding}, entangler {entangler}, readout {readout}"


def _check_size(argument: str, value: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise CircuitError(f"{argument} is {value!r}; give a whole number of at least 1")


def _check_choice(argument: str, value: str, choices: Iterable[str]) -> None:
    if value not in choices:
        raise CircuitError(f"{argument} is {value!r}; choose one of {', '.join(choices)}")
