"""QGPatch's circuit against matrices written by hand in the tutorial's order of qubits, and its observables against states."""

from functools import reduce

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qiskit.quantum_info import Statevector

from qgan_qiskit.circuits import qgpatch_ansatz
from qgan_qiskit.circuits.building_blocks import projected_parities
from qgan_qiskit.errors import CircuitError


def ry(angle):
    return np.array([[np.cos(angle / 2), -np.sin(angle / 2)], [np.sin(angle / 2), np.cos(angle / 2)]])


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


def bound(ansatz, inputs, weights):
    names = [*ansatz.input_parameters, *ansatz.weight_parameters]
    return Statevector(ansatz.circuit.assign_parameters(dict(zip(names, [*inputs, *weights], strict=True))))


@pytest.mark.parametrize(
    ("qubits", "ancillas", "reps"), [(5, 1, 5), (5, 1, 6), (3, 2, 1), (4, 0, 2), (2, 1, 3), (1, 0, 1)]
)
def test_first_probabilities_are_the_tutorials_with_wires_from_the_other_end(qubits, ancillas, reps):
    rng = np.random.default_rng([qubits, ancillas, reps])
    inputs, weights = rng.uniform(0, np.pi, qubits), rng.uniform(-np.pi, np.pi, (reps, qubits))
    shown = 2 ** (qubits - ancillas)
    expected = tutorial_probabilities(inputs[::-1], weights[:, ::-1])[:shown]  # as its partial measurement cuts them
    state = bound(qgpatch_ansatz(qubits, reps, num_ancillas=ancillas), inputs, weights.ravel())
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


def test_sizes_and_names():
    ansatz = qgpatch_ansatz()
    assert (ansatz.num_inputs, ansatz.num_weights, ansatz.num_observables) == (5, 25, 16)
    assert ansatz.circuit.count_ops() == {"ry": 30, "cz": 20}
    sizes = [(q, r, a) for q in (2, 3) for r in (1, 2) for a in (0, 1)]
    assert len({qgpatch_ansatz(q, r, num_ancillas=a).name for q, r, a in sizes}) == len(sizes)
    assert "arXiv 2010.06201" in ansatz.source


@pytest.mark.parametrize(
    ("arguments", "pattern"),
    [
        ({"num_qubits": 0}, "num_qubits is 0; give a whole number of at least 1"),
        ({"reps": 0}, "reps is 0"),
        ({"num_ancillas": -1}, "num_ancillas is -1; give a whole number of at least 0"),
        ({"num_ancillas": 5}, "num_ancillas is 5 of 5 qubits; leave at least one for pixels"),
    ],
)
def test_refusals(arguments, pattern):
    with pytest.raises(CircuitError, match=pattern):
        qgpatch_ansatz(**arguments)
