"""MediQ-GAN's sub-generator circuit."""

from __future__ import annotations

from qiskit.quantum_info import SparsePauliOp

from qgan_qiskit.circuits.ansatz import Ansatz
from qgan_qiskit.circuits.layers import check_choice, check_size, layered_ansatz
from qgan_qiskit.circuits.readouts import single_qubit_paulis


def mediq_ansatz(num_qubits: int = 16, reps: int = 8, *, readout: str = "mean") -> Ansatz:
    """Build RY then RX of each input, then ``reps`` times [RY(theta) on each qubit, CZ on 0-1, 1-2, …], and read X.

    The circuit of the authors' mediq-gan.py (arXiv 2506.21015v2), which is MosaiQ's with more qubits and layers. They average
    the qubits' expectations at once, so ``mean`` has that average as its only observable.

    Args:
        num_qubits: qubits, at least 1; also the number of inputs, angles in radians.
        reps: repetitions of the layer, at least 1.
        readout: ``mean``, or ``each`` for an observable per qubit.

    Returns:
        The ansatz with inputs ``x_000…`` (num_qubits) and weights ``theta_000…`` (reps * num_qubits, layer by layer).

    Raises:
        CircuitError: if a size is below 1 or a name is not one of the choices.
    """
    check_size("num_qubits", num_qubits)
    check_size("reps", reps)
    check_choice("readout", readout, ("mean", "each"))
    paulis = single_qubit_paulis("X", num_qubits)
    mean = SparsePauliOp.sum(list(paulis)).simplify() / num_qubits
    return layered_ansatz(
        f"mediq_q{num_qubits}_r{reps}" + ("" if readout == "mean" else "_each"),
        num_qubits,
        reps,
        encoding="ry_rx",
        entangler="cz",
        observables=(mean,) if readout == "mean" else paulis,
        source="MediQ-GAN, arXiv 2506.21015v2, circuit of the authors' mediq-gan.py",
    )
