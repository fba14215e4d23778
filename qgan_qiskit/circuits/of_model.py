"""The sub-generator circuit that a model's settings ask for."""

from __future__ import annotations

from qgan_qiskit.circuits.ansatz import Ansatz
from qgan_qiskit.circuits.hybridq import hybridq_ansatz
from qgan_qiskit.circuits.mediq import mediq_ansatz
from qgan_qiskit.circuits.names import ParameterNames
from qgan_qiskit.circuits.qasm import read_ansatz
from qgan_qiskit.circuits.qgpatch import qgpatch_ansatz
from qgan_qiskit.config import HybridQConfig, MediqConfig, MosaiqConfig, QgpatchConfig, TransferConfig
from qgan_qiskit.errors import CircuitError


def ansatz_of(config: HybridQConfig | MosaiqConfig | QgpatchConfig | MediqConfig | TransferConfig) -> Ansatz:
    """Return the sub-generator's circuit that a configuration asks for.

    Raises:
        CircuitError: the file given as ``ansatz`` cannot be used.
    """
    if isinstance(config, MediqConfig):
        return mediq_ansatz(
            config.num_qubits, config.reps, readout="mean" if config.quantum_stream == "faithful" else "each"
        )
    if isinstance(config, TransferConfig):
        return hybridq_ansatz(config.num_qubits, config.reps)
    if isinstance(config, QgpatchConfig):
        return qgpatch_ansatz(config.num_qubits, config.reps, num_ancillas=config.num_ancillas)
    if isinstance(config, HybridQConfig) and config.ansatz is not None:
        ansatz = read_ansatz(config.ansatz, names=ParameterNames(config.input_names, config.weight_names))
        if not ansatz.num_inputs:
            raise CircuitError(
                f"{config.ansatz}: has no inputs, so every image would be the same; turn some gates by x_000, x_001, … "
                "(or name inputs with --input-names)"
            )
        return ansatz
    return hybridq_ansatz(
        config.num_qubits, config.reps, encoding=config.encoding, entangler=config.entangler, readout=config.readout
    )
