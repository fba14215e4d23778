"""Trainable circuits in plain Qiskit: specs, published builders, OpenQASM 3 files, drawings and reference circuits.

Never imports torch. Other packages import names from here, except the simulator, which also uses ``gate_definitions`` and
``parameter_expressions``.
"""

from qgan_qiskit.circuits.circuit_spec import (
    CircuitSpec,
    ParameterNames,
    check_listed_once,
    check_observables,
    numbered_parameters,
    single_qubit_paulis,
)
from qgan_qiskit.circuits.drawing import draw
from qgan_qiskit.circuits.families import build_circuit_spec, hybridq_ansatz, mediq_ansatz, qgpatch_ansatz
from qgan_qiskit.circuits.gate_definitions import CircuitResources, circuit_resources
from qgan_qiskit.circuits.parameter_expressions import affine_form
from qgan_qiskit.circuits.qasm import circuit_metadata, exporter_note, metadata_text, read_circuit, read_circuit_spec
from qgan_qiskit.circuits.qasm.writer import circuit_digest, circuit_spec_to_qasm

__all__ = [
    "CircuitResources",
    "CircuitSpec",
    "ParameterNames",
    "affine_form",
    "build_circuit_spec",
    "check_listed_once",
    "check_observables",
    "circuit_digest",
    "circuit_metadata",
    "circuit_resources",
    "circuit_spec_to_qasm",
    "draw",
    "exporter_note",
    "hybridq_ansatz",
    "mediq_ansatz",
    "metadata_text",
    "numbered_parameters",
    "qgpatch_ansatz",
    "read_circuit",
    "read_circuit_spec",
    "single_qubit_paulis",
]
