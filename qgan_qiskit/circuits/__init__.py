"""Trainable circuits in plain Qiskit: builders, checks, OpenQASM 3 files, drawings and the cabinet of references."""

from qgan_qiskit.circuits.circuit_spec import CircuitSpec
from qgan_qiskit.circuits.drawing import draw
from qgan_qiskit.circuits.families import build_circuit_spec, hybridq_ansatz, mediq_ansatz, qgpatch_ansatz
from qgan_qiskit.circuits.metadata import CircuitResources, circuit_resources
from qgan_qiskit.circuits.parameter_expressions import affine_form
from qgan_qiskit.circuits.qasm.files import (
    circuit_digest,
    circuit_spec_to_qasm,
    exporter_note,
    read_circuit,
    read_circuit_spec,
)
from qgan_qiskit.circuits.qasm.parameter_names import ParameterNames

__all__ = [
    "CircuitResources",
    "CircuitSpec",
    "ParameterNames",
    "affine_form",
    "build_circuit_spec",
    "circuit_digest",
    "circuit_resources",
    "circuit_spec_to_qasm",
    "draw",
    "exporter_note",
    "hybridq_ansatz",
    "mediq_ansatz",
    "qgpatch_ansatz",
    "read_circuit",
    "read_circuit_spec",
]
