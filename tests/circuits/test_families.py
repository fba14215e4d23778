"""The builders against matrices made with numpy alone; qubit 0 is the last Kronecker factor, as in Qiskit."""

from functools import reduce

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qiskit.quantum_info import Operator, Statevector

from qgan_qiskit.circuits import hybridq_ansatz, qgpatch_ansatz
from qgan_qiskit.circuits.families import projected_parities
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


def tutorial_probabilities(inputs, weights):
    """Return PennyLane's probabilities: wire 0 is the most significant bit, CZ on even pairs, then on odd pairs."""
    count = len(inputs)
    bits = (np.arange(2**count)[:, None] >> np.arange(count)[::-1]) & 1
    state = reduce(np.kron, [ry(angle) for angle in inputs])[:, 0]
    for layer in weights:
        state = reduce(np.kron, [ry(angle) for angle in layer]) @ state
        for pairs in (range(0, count - 1, 2), range(1, count - 1, 2)):
            for wire in pairs:
                state = state * np.where(bits[:, wire] & bits[:, wire + 1], -1, 1)
    return np.abs(state) ** 2


@pytest.mark.parametrize(
    ("qubits", "ancillas", "reps"), [(5, 1, 5), (5, 1, 6), (3, 2, 1), (4, 0, 2), (2, 1, 3), (1, 0, 1)]
)
def test_first_probabilities_are_the_tutorials_with_wires_from_the_other_end(qubits, ancillas, reps):
    rng = np.random.default_rng([qubits, ancillas, reps])
    inputs, weights = rng.uniform(0, np.pi, qubits), rng.uniform(-np.pi, np.pi, (reps, qubits))
    shown = 2 ** (qubits - ancillas)
    expected = tutorial_probabilities(inputs[::-1], weights[:, ::-1])[:shown]  # as its partial measurement cuts them
    state = Statevector(bound(qgpatch_ansatz(qubits, reps, num_ancillas=ancillas), inputs, weights.ravel()))
    np.testing.assert_allclose(state.probabilities()[:shown], expected, atol=1e-12)


@given(st.integers(1, 5), st.integers(0, 3), st.integers(0, 2**32 - 1))
def test_parities_are_the_walsh_hadamard_transform_of_the_probabilities(shown, ancillas, seed):
    state = np.random.default_rng(seed).normal(size=(2 ** (shown + ancillas), 2)) @ [1, 1j]
    state = Statevector(state / np.linalg.norm(state))
    # Qubit 0 is the last character of a label, and the ancillas are the first ones.
    joint = [state.probabilities_dict().get(f"{j:0{shown + ancillas}b}", 0.0) for j in range(2**shown)]
    expected = [sum((-1) ** (j & s).bit_count() * p for j, p in enumerate(joint)) for s in range(2**shown)]
    found = [state.expectation_value(o).real for o in projected_parities(shown + ancillas, ancillas)]
    np.testing.assert_allclose(found, expected, atol=1e-10)


def test_all_observables_together_have_as_many_strings_as_basis_states():
    for qubits, ancillas in ((5, 1), (4, 0), (4, 3)):
        labels = [label for o in projected_parities(qubits, ancillas) for label in o.paulis.to_labels()]
        assert len(labels) == len(set(labels)) == 2**qubits
        assert set("".join(labels)) == {"I", "Z"}


def test_qgpatch_sizes_and_names():
    ansatz = qgpatch_ansatz()
    assert (ansatz.num_inputs, ansatz.num_weights, ansatz.num_observables) == (5, 25, 16)
    assert ansatz.circuit.count_ops() == {"ry": 30, "cz": 20}
    sizes = [(q, r, a) for q in (2, 3) for r in (1, 2) for a in (0, 1)]
    assert len({qgpatch_ansatz(q, r, num_ancillas=a).name for q, r, a in sizes}) == len(sizes)
    assert "arXiv 2010.06201" in ansatz.source


@pytest.mark.parametrize(
    ("build", "arguments", "culprit"),
    [
        (hybridq_ansatz, {"encoding": "rz"}, "encoding is 'rz'"),
        (hybridq_ansatz, {"entangler": "CX"}, "entangler is 'CX'"),
        (hybridq_ansatz, {"readout": "y"}, "readout is 'y'"),
        (hybridq_ansatz, {"num_qubits": 0}, "num_qubits is 0"),
        (hybridq_ansatz, {"reps": 0}, "reps is 0"),
        (hybridq_ansatz, {"reps": 2.0}, "reps is 2.0"),
        (qgpatch_ansatz, {"num_qubits": 0}, "num_qubits is 0"),
        (qgpatch_ansatz, {"reps": True}, "reps is True"),
        (qgpatch_ansatz, {"num_ancillas": -1}, "num_ancillas is -1"),
        (qgpatch_ansatz, {"num_ancillas": 5}, "num_ancillas is 5 of 5"),
    ],
)
def test_invalid_arguments(build, arguments, culprit):
    with pytest.raises(CircuitError, match=culprit):
        build(**arguments)
