"""HybridQ's sub-generator circuit, and by argument that of MosaiQ."""

from __future__ import annotations

from qgan_qiskit.circuits.ansatz import Ansatz
from qgan_qiskit.circuits.encodings import ENCODINGS
from qgan_qiskit.circuits.ladders import LADDERS
from qgan_qiskit.circuits.layers import check_choice, check_size, layered_ansatz
from qgan_qiskit.circuits.readouts import READOUTS, single_qubit_paulis

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
    check_size("num_qubits", num_qubits)
    check_size("reps", reps)
    check_choice("encoding", encoding, ENCODINGS)
    check_choice("entangler", entangler, LADDERS)
    check_choice("readout", readout, READOUTS)
    return layered_ansatz(
        _name(num_qubits, reps, encoding, entangler, readout),
        num_qubits,
        reps,
        encoding=encoding,
        entangler=entangler,
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
