"""How data enters a circuit: one angle per qubit, written by one or two rotations."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from qiskit.circuit import Parameter, QuantumCircuit


def encode_ry(circuit: QuantumCircuit, inputs: Sequence[Parameter]) -> None:
    """Append RY(x_i) on qubit i. HybridQ (arXiv 2506.21015v1, section 3.2) names angle encoding but no axis.

    Args:
        circuit: circuit of at least ``len(inputs)`` qubits; changed in place.
        inputs: one angle in radians per qubit.
    """
    for qubit, angle in enumerate(inputs):
        circuit.ry(angle, qubit)


def encode_ry_rx(circuit: QuantumCircuit, inputs: Sequence[Parameter]) -> None:
    """Append RY(x_i), then RX(x_i) of the same angle, on qubit i, as MosaiQ's code does (arXiv 2308.11096, mosaiq.py).

    Args:
        circuit: circuit of at least ``len(inputs)`` qubits; changed in place.
        inputs: one angle in radians per qubit.
    """
    for qubit, angle in enumerate(inputs):
        circuit.ry(angle, qubit)
        circuit.rx(angle, qubit)


ENCODINGS: dict[str, Callable[[QuantumCircuit, Sequence[Parameter]], None]] = {"ry": encode_ry, "ry_rx": encode_ry_rx}
