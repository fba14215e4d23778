"""Small jobs for tests, and the key and the devices of the service that the fixtures start."""

from __future__ import annotations

from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp
from qiskit_ibm_runtime.executor_estimator import Estimator

CANARY = "canary-0123456789abcdef"
DEVICES = {"ibm_testchain": "FakeFez:5", "ibm_testfez": "FakeFez"}


def flip(num_qubits: int = 5) -> tuple:
    """Return a PUB that any device runs as it is: X on qubit 0, whose ⟨Z⟩ is -1."""
    circuit = QuantumCircuit(num_qubits)
    circuit.x(0)
    return circuit, SparsePauliOp("I" * (num_qubits - 1) + "Z")


def estimator(mode: object, *tags: str, shots: int = 32, level: int = 0, **environment: object) -> Estimator:
    """Return an Estimator whose jobs carry tags; ``environment`` as in its options."""
    environment = {"job_tags": list(tags), **environment}
    return Estimator(mode, options={"resilience_level": level, "default_shots": shots, "environment": environment})
