"""Trainable circuits in plain Qiskit: builders, checks, OpenQASM 3 files, drawings and the cabinet of references."""

from qgan_qiskit.circuits.circuit_spec import Ansatz
from qgan_qiskit.circuits.drawing import draw
from qgan_qiskit.circuits.families import ansatz_of, hybridq_ansatz, mediq_ansatz, qgpatch_ansatz
from qgan_qiskit.circuits.metadata import CircuitMetrics, circuit_metrics
from qgan_qiskit.circuits.parameter_expressions import affine_form
from qgan_qiskit.circuits.qasm.files import ansatz_to_qasm, circuit_digest, exporter_note, read_ansatz, read_circuit
from qgan_qiskit.circuits.qasm.parameter_names import ParameterNames

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
