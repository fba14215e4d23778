"""Trainable circuits in plain Qiskit: builders, checks, OpenQASM 3 files, drawings and the cabinet of references."""

from qgan_qiskit.circuits.affine import affine_form
from qgan_qiskit.circuits.ansatz import Ansatz
from qgan_qiskit.circuits.draw import draw
from qgan_qiskit.circuits.hybridq import hybridq_ansatz
from qgan_qiskit.circuits.mediq import mediq_ansatz
from qgan_qiskit.circuits.metrics import CircuitMetrics, circuit_metrics
from qgan_qiskit.circuits.names import ParameterNames
from qgan_qiskit.circuits.of_model import ansatz_of
from qgan_qiskit.circuits.qasm import ansatz_to_qasm, circuit_digest, exporter_note, read_ansatz, read_circuit
from qgan_qiskit.circuits.qgpatch import qgpatch_ansatz

__all__ = [
    "Ansatz",
    "CircuitMetrics",
    "ParameterNames",
    "affine_form",
    "ansatz_of",
    "ansatz_to_qasm",
    "circuit_digest",
    "circuit_metrics",
    "draw",
    "exporter_note",
    "hybridq_ansatz",
    "mediq_ansatz",
    "qgpatch_ansatz",
    "read_ansatz",
    "read_circuit",
]
