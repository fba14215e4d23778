"""What the test service learns of a layer's noise is that of its chip, against the same channels multiplied out as matrices."""

from __future__ import annotations

import numpy as np
import pytest
from cloud.devices import snapshot
from cloud.learner import true_map
from qiskit import QuantumCircuit, QuantumRegister
from qiskit.circuit import BoxOp, CircuitInstruction
from qiskit.circuit.library import CXGate, CZGate, ECRGate
from qiskit.quantum_info import PTM, Operator, QubitSparsePauli, SuperOp, pauli_basis
from qiskit_aer.noise import depolarizing_error

# Qubits that are twirled together, in the order in which a layer may name them.
QUBITS = (4, 1, 2)


@pytest.mark.parametrize(
    ("gate", "between"), [(CXGate(), (1, 2)), (CXGate(), (2, 1)), (ECRGate(), (2, 1)), (CZGate(), (1, 4))]
)
def test_noise_of_a_layer_is_that_of_its_gate_and_of_the_twirl_before_it(gate, between):
    device = snapshot("ibm_any", "FakeFez:5")
    device.configuration["gates"] = [{"name": gate.name, "coupling_map": [list(between)]}]
    infidelity = {qubit: 0.003 * (1 + qubit) for qubit in QUBITS}
    device.gate_errors.clear()
    device.gate_errors |= {("sx", (qubit,)): value for qubit, value in infidelity.items()}
    device.gate_errors[gate.name, between] = 0.05
    body = QuantumCircuit(3)
    body.append(gate, [QUBITS.index(qubit) for qubit in between])
    chip = QuantumRegister(5, "q")
    found = true_map(CircuitInstruction(BoxOp(body), [chip[qubit] for qubit in QUBITS]), device, noise=True)

    rising = sorted(QUBITS)
    places = [rising.index(qubit) for qubit in between]
    noisy = SuperOp(np.eye(64))
    for qubit in QUBITS:
        for _ in range(2):
            noisy = noisy.compose(SuperOp(depolarizing_error(2 * infidelity[qubit], 1)), [rising.index(qubit)])
    noisy = noisy.compose(SuperOp(Operator(gate)), places)
    noisy = noisy.compose(SuperOp(depolarizing_error(0.05 * 4 / 3, 2)), places)
    error = SuperOp(np.eye(64)).compose(SuperOp(Operator(gate).adjoint()), places).compose(noisy)
    matrix = np.real(PTM(error).data)
    fidelities = [found.pauli_fidelity(QubitSparsePauli(label)) for label in pauli_basis(3).to_labels()]
    np.testing.assert_allclose(fidelities, np.diag(matrix), atol=1e-12)
    assert min(fidelities) < 0.9
    # It is a Pauli channel: nothing beside the diagonal.
    np.testing.assert_allclose(matrix, np.diag(np.diag(matrix)), atol=1e-12)


def test_chip_without_noise_has_none_and_a_mock_has_some():
    body = QuantumCircuit(2)
    body.cz(0, 1)
    chip = QuantumRegister(5, "q")
    layer = CircuitInstruction(BoxOp(body), chip[:2])
    assert true_map(layer, snapshot("ibm_any", "FakeFez:5"), noise=False).gamma() == 1
    assert true_map(layer, snapshot("mock_any", "FakeFez:5", mock=True), noise=False).inverse().gamma() > 1
