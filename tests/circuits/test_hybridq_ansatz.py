"""The builder against matrices written by hand with numpy.kron, qubit 0 being the last factor as in Qiskit."""

from functools import reduce

import numpy as np
import pytest
from qiskit.quantum_info import Operator, Statevector

from qgan_qiskit.circuits import hybridq_ansatz
from qgan_qiskit.errors import CircuitError

PAULI = {"x": np.array([[0, 1], [1, 0]]), "z": np.diag([1, -1])}
VARIANTS = [(e, g, r) for e in ("ry", "ry_rx") for g in ("cx", "cz") for r in ("z", "x")]


def ry(angle):
    return np.array([[np.cos(angle / 2), -np.sin(angle / 2)], [np.sin(angle / 2), np.cos(angle / 2)]])


def rx(angle):
    return np.array([[np.cos(angle / 2), -1j * np.sin(angle / 2)], [-1j * np.sin(angle / 2), np.cos(angle / 2)]])


def on_qubits(matrices):
    """Kronecker product with the matrix of qubit 0 on the right."""
    return reduce(np.kron, reversed(matrices))


def on_qubit(matrix, qubit, num_qubits):
    return on_qubits([matrix if index == qubit else np.eye(2) for index in range(num_qubits)])


def entangle(gate, control, target, num_qubits):
    zero, one = np.diag([1, 0]), np.diag([0, 1])
    flip = PAULI["x" if gate == "cx" else "z"]
    return on_qubit(zero, control, num_qubits) + on_qubit(one, control, num_qubits) @ on_qubit(flip, target, num_qubits)


def by_hand(inputs, weights, reps, encoding, gate):
    num_qubits = len(inputs)
    first = [rx(x) @ ry(x) if encoding == "ry_rx" else ry(x) for x in inputs]
    unitary = on_qubits(first)
    for layer in np.reshape(weights, (reps, num_qubits)):
        unitary = on_qubits([ry(angle) for angle in layer]) @ unitary
        for qubit in range(num_qubits - 1):
            unitary = entangle(gate, qubit, qubit + 1, num_qubits) @ unitary
    return unitary


def bound(ansatz, inputs, weights):
    names = [*ansatz.input_parameters, *ansatz.weight_parameters]
    return ansatz.circuit.assign_parameters(dict(zip(names, [*inputs, *weights], strict=True)))


@pytest.mark.parametrize("variant", VARIANTS, ids="-".join)
@pytest.mark.parametrize(("num_qubits", "reps"), [(1, 1), (1, 3), (2, 1), (3, 2), (4, 1)])
def test_unitary_and_expectations_by_hand(num_qubits, reps, variant):
    encoding, gate, readout = variant
    rng = np.random.default_rng([num_qubits, reps])
    inputs, weights = rng.uniform(-3, 3, num_qubits), rng.uniform(-3, 3, reps * num_qubits)
    ansatz = hybridq_ansatz(num_qubits, reps, encoding=encoding, entangler=gate, readout=readout)
    circuit = bound(ansatz, inputs, weights)
    expected = by_hand(inputs, weights, reps, encoding, gate)
    np.testing.assert_allclose(Operator(circuit).data, expected, atol=1e-12)

    state = expected[:, 0]
    by_matrix = [
        np.vdot(state, on_qubit(PAULI[readout], qubit, num_qubits) @ state).real for qubit in range(num_qubits)
    ]
    found = [Statevector(circuit).expectation_value(observable).real for observable in ansatz.observables]
    np.testing.assert_allclose(found, by_matrix, atol=1e-12)


def test_observable_i_acts_on_qubit_i():
    labels = [observable.to_list() for observable in hybridq_ansatz(3, 1).observables]
    assert labels == [[("IIZ", 1)], [("IZI", 1)], [("ZII", 1)]]
    assert hybridq_ansatz(3, 1, readout="x").observables[2].to_list() == [("XII", 1)]


def test_default_sizes_are_the_papers():
    ansatz = hybridq_ansatz()
    assert (ansatz.num_qubits, ansatz.num_inputs, ansatz.num_weights, ansatz.num_observables) == (10, 10, 60, 10)
    assert ansatz.circuit.count_ops() == {"ry": 70, "cx": 54}


@pytest.mark.parametrize(("num_qubits", "reps"), [(10, 6), (3, 1), (8, 130)])
def test_names_sort_by_number(num_qubits, reps):
    ansatz = hybridq_ansatz(num_qubits, reps)
    weights = [parameter.name for parameter in ansatz.weight_parameters]
    assert weights == sorted(weights)
    assert [int(name.removeprefix("theta_")) for name in weights] == list(range(num_qubits * reps))
    assert [parameter.name for parameter in ansatz.input_parameters] == [f"x_{i:03d}" for i in range(num_qubits)]


def test_name_and_source_tell_variants_apart():
    names = {hybridq_ansatz(2, 2, encoding=e, entangler=g, readout=r).name for e, g, r in VARIANTS}
    assert len(names) == len(VARIANTS)
    assert hybridq_ansatz(5, 6, encoding="ry_rx", entangler="cz", readout="x").source.startswith(
        "MosaiQ, arXiv 2308.11096"
    )
    assert hybridq_ansatz(5, 6).source.startswith("HybridQ, arXiv 2506.21015v1, section 3.2")


@pytest.mark.parametrize(
    ("arguments", "pattern"),
    [
        ({"encoding": "rz"}, "encoding is 'rz'; choose one of ry, ry_rx"),
        ({"entangler": "CX"}, "entangler is 'CX'; choose one of cx, cz"),
        ({"readout": "y"}, "readout is 'y'; choose one of z, x"),
        ({"num_qubits": 0}, "num_qubits is 0; give a whole number of at least 1"),
        ({"reps": 0}, "reps is 0; give"),
        ({"reps": 2.0}, "reps is 2.0; give"),
    ],
)
def test_refusals(arguments, pattern):
    with pytest.raises(CircuitError, match=pattern):
        hybridq_ansatz(**arguments)
