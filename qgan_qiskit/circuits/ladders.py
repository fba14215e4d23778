"""Entangling layers: two-qubit gates on neighbouring qubits 0-1, 1-2, …, in that order."""

from __future__ import annotations

from collections.abc import Callable

from qiskit.circuit import QuantumCircuit


def cx_ladder(circuit: QuantumCircuit) -> None:
    """Append CX with control i and target i + 1 for each i, as HybridQ's text says (arXiv 2506.21015v1, section 3.2).

    Args:
        circuit: changed in place; one qubit gets no gate.
    """
    for qubit in range(circuit.num_qubits - 1):
        circuit.cx(qubit, qubit + 1)


def cz_ladder(circuit: QuantumCircuit) -> None:
    """Append CZ on i and i + 1 for each i, as MosaiQ's code does (arXiv 2308.11096, mosaiq.py).

    Args:
        circuit: changed in place; one qubit gets no gate.
    """
    for qubit in range(circuit.num_qubits - 1):
        circuit.cz(qubit, qubit + 1)


LADDERS: dict[str, Callable[[QuantumCircuit], None]] = {"cx": cx_ladder, "cz": cz_ladder}
