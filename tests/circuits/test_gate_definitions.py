"""User-defined gates written out, and the counts taken on the result."""

import numpy as np
import pytest
from qiskit.circuit import AnnotatedOperation, ControlModifier, Parameter, QuantumCircuit
from qiskit.circuit.library import RYGate, XGate
from qiskit.quantum_info import Operator

from qgan_qiskit.circuits import CircuitResources, circuit_resources, hybridq_ansatz
from qgan_qiskit.circuits.gate_definitions import expand_gates, is_elementary

T = Parameter("theta_000")


def nested():
    inner = QuantumCircuit(2, name="inner", global_phase=0.4)
    inner.ry(T / 2, 0)
    inner.cx(0, 1)
    outer = QuantumCircuit(3, name="outer", global_phase=0.3)
    outer.append(inner.to_gate(), [2, 0])
    outer.append(RYGate(T).control(2, annotated=False), [0, 1, 2])
    outer.append(AnnotatedOperation(RYGate(T), ControlModifier(1, 0)), [2, 1])
    outer.append(XGate().control(1, ctrl_state=0), [1, 2])
    circuit = QuantumCircuit(4)
    circuit.append(outer.to_gate(), [3, 1, 0])
    circuit.barrier()
    circuit.rzz(T, 0, 3)
    return circuit


def test_same_unitary_from_elementary_gates():
    circuit = nested()
    flat = expand_gates(circuit)
    assert all(is_elementary(instruction.operation) for instruction in flat.data)
    assert set(flat.parameters) == {T}
    bound = [each.assign_parameters({T: 0.83}) for each in (circuit, flat)]
    np.testing.assert_allclose(Operator(bound[0]).data, Operator(bound[1]).data, atol=1e-12)


def test_a_user_gate_named_like_a_standard_one_is_written_out():
    mine = QuantumCircuit(1, name="ry")
    mine.rx(T, 0)
    circuit = QuantumCircuit(1)
    circuit.append(mine.to_gate(), [0])
    assert expand_gates(circuit).count_ops() == {"rx": 1}


@pytest.mark.parametrize(
    ("num_qubits", "reps", "expected"),
    [
        # A ladder of n - 1 gates is a chain; each further one is two layers behind the last.
        (10, 6, CircuitResources(qubits=10, gates=124, two_qubit_gates=54, depth=26, two_qubit_depth=19)),
        (4, 2, CircuitResources(qubits=4, gates=18, two_qubit_gates=6, depth=8, two_qubit_depth=5)),
        (1, 3, CircuitResources(qubits=1, gates=4, two_qubit_gates=0, depth=4, two_qubit_depth=0)),
    ],
)
def test_counts_of_the_builder(num_qubits, reps, expected):
    assert circuit_resources(hybridq_ansatz(num_qubits, reps).circuit) == expected


def test_counts_look_into_gates_and_past_barriers():
    pair = QuantumCircuit(3, name="pair")
    pair.cx(0, 1)
    pair.cz(1, 2)
    circuit = QuantumCircuit(3)
    circuit.h(0)
    circuit.barrier(0, 1)
    circuit.append(pair.to_gate(), [0, 1, 2])
    assert circuit_resources(circuit) == CircuitResources(
        qubits=3, gates=3, two_qubit_gates=2, depth=3, two_qubit_depth=2
    )
