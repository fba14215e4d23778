"""Expressibility and entangling capability: known states, Haar's, and Qiskit's."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.circuit.library import UnitaryGate
from qiskit.quantum_info import Statevector, partial_trace, random_unitary
from scipy import integrate

from qgan_qiskit.analysis.entanglement import haar_entangling, meyer_wallach
from qgan_qiskit.analysis.expressibility import (
    BINNINGS,
    divergence,
    expressibility,
    haar_log_probabilities,
    largest_divergence,
)
from qgan_qiskit.analysis.state_fidelity import fidelities
from qgan_qiskit.circuits import hybridq_ansatz
from qgan_qiskit.config.studies import MOST_QUBITS
from qgan_qiskit.errors import CircuitError


def angles(count, circuit, seed=0):
    return np.random.default_rng(seed).uniform(0, 2 * np.pi, (count, circuit.num_parameters))


def haar_states(count, dimension, seed=0, *, real=False):
    random = np.random.default_rng(seed)
    states = random.standard_normal((count, dimension)) + (0 if real else 1j) * random.standard_normal(
        (count, dimension)
    )
    return states / np.linalg.norm(states, axis=1, keepdims=True)


def haar_fidelities(count, dimension, seed=0, *, real=False):
    first, second = (haar_states(count, dimension, 2 * seed + number, real=real) for number in range(2))
    return np.abs((first.conj() * second).sum(axis=1)) ** 2


def entanglement_of(states_ND):
    """Q of any states, from their reduced density matrices."""
    count = states_ND.shape[1].bit_length() - 1
    purities = []
    for qubit in range(count):
        split = np.moveaxis(states_ND.reshape(-1, *(2,) * count), 1 + qubit, 1).reshape(len(states_ND), 2, -1)
        rho = split @ split.conj().transpose(0, 2, 1)
        purities.append((np.abs(rho) ** 2).sum(axis=(1, 2)))
    return 2 * (1 - np.mean(purities, axis=0))


def mixed_circuit():
    """A circuit with every kind of gate, complex amplitudes, a parameter used twice and one that comes last."""
    a, b, c = (Parameter(name) for name in "bca")
    circuit = QuantumCircuit(3)
    circuit.h(0)
    circuit.rx(a, 0)
    circuit.cx(0, 1)
    circuit.crz(2 * b - 0.3, 1, 2)
    circuit.ry(a, 2)
    circuit.swap(0, 2)
    circuit.rzz(c, 0, 1)
    circuit.t(1)
    circuit.rx(b, 1)
    return circuit


@pytest.mark.parametrize("circuit", [mixed_circuit(), hybridq_ansatz(4, 2).circuit, hybridq_ansatz(1, 1).circuit])
def test_fidelities_are_those_of_qiskits_states(circuit):
    first, second = angles(6, circuit, 1), angles(6, circuit, 2)
    expected = [
        abs(Statevector(circuit.assign_parameters(x)).inner(Statevector(circuit.assign_parameters(y)))) ** 2
        for x, y in zip(first, second, strict=True)
    ]
    np.testing.assert_allclose(fidelities(circuit, first, second), expected, atol=1e-12)


def test_a_circuit_too_large_is_refused():
    with pytest.raises(CircuitError, match=f"up to {MOST_QUBITS}"):
        fidelities(QuantumCircuit(MOST_QUBITS + 1), np.zeros((1, 0)), np.zeros((1, 0)))


@pytest.mark.parametrize("dimension", [2, 4, 32])
@pytest.mark.parametrize("bins", [2, 75])
def test_shares_of_haars_fidelities_are_the_integrals_of_their_density(dimension, bins):
    def density(fidelity):
        return (dimension - 1) * (1 - fidelity) ** (dimension - 2)

    shares = np.exp(haar_log_probabilities(dimension, bins))
    expected = [integrate.quad(density, number / bins, (number + 1) / bins)[0] for number in range(bins)]
    np.testing.assert_allclose(shares, expected, rtol=1e-8, atol=1e-14)
    assert shares.sum() == pytest.approx(1)
    assert np.exp(haar_log_probabilities(dimension, bins, "equal_probability")).sum() == pytest.approx(1)


def test_shares_of_many_qubits_do_not_vanish():
    """(1 / 75)^1023 is no number of double precision; its logarithm is."""
    assert haar_log_probabilities(1024, 75)[-1] == pytest.approx(-1023 * math.log(75))


@pytest.mark.parametrize("num_qubits", [1, 2, 4])
@pytest.mark.parametrize("binning", BINNINGS)
def test_haar_states_have_no_more_than_the_bias_of_a_histogram(num_qubits, binning):
    """About (bins - 1) / (2 samples) where all bins are met: the divergence of a histogram from its own distribution."""
    dimension, samples, bins = 1 << num_qubits, 4000, 20
    found = divergence(haar_fidelities(samples, dimension), dimension, bins, binning)
    bias = (bins - 1) / (2 * samples)
    assert 0 <= found < 3 * bias
    if num_qubits == 1 or binning == "equal_probability":
        assert found > bias / 3
    reference = expressibility(haar_fidelities(samples, dimension, 1), dimension, bins, 0)[binning]
    assert (
        reference["low"] < reference["haar"] < reference["high"]
        or abs(reference["mean"] - reference["haar"]) < 2 * bias
    )


@pytest.mark.parametrize("binning", BINNINGS)
def test_real_states_stay_away_from_haars(binning):
    found = expressibility(haar_fidelities(4000, 8, 3, real=True), 8, 20, 0)[binning]
    assert found["haar_real"] > 5 * found["haar"]
    assert found["mean"] == pytest.approx(found["haar_real"], rel=0.25)


@pytest.mark.parametrize("num_qubits", [1, 3, 10])
@pytest.mark.parametrize("bins", [10, 75])
def test_a_circuit_that_always_makes_one_state_has_the_largest_figure(num_qubits, bins):
    dimension = 1 << num_qubits
    x = Parameter("x")
    circuit = QuantumCircuit(num_qubits)
    # It turns the phase of |0…0>, which is the same state.
    circuit.rz(x, 0)
    found = expressibility(fidelities(circuit, angles(100, circuit), angles(100, circuit, 1)), dimension, bins, 0)
    assert found["equal_width"]["mean"] == pytest.approx((dimension - 1) * math.log(bins))
    assert found["equal_probability"]["mean"] == pytest.approx(math.log(bins))
    for binning in BINNINGS:
        assert (
            found[binning]["mean"]
            == pytest.approx(found[binning]["largest"])
            == pytest.approx(largest_divergence(dimension, bins, binning))
        )
        assert found[binning]["haar"] < found[binning]["mean"]


def test_one_turned_qubit():
    """F = cos^2 of a uniform angle: bins of the arcsine distribution, against the flat one of a qubit's Haar states."""
    x = Parameter("x")
    circuit = QuantumCircuit(1)
    circuit.ry(x, 0)
    found = divergence(fidelities(circuit, angles(20_000, circuit), angles(20_000, circuit, 1)), 2, 10)
    edges = 2 / np.pi * np.arcsin(np.sqrt(np.linspace(0, 1, 11)))
    share = np.diff(edges)
    assert found == pytest.approx((share * np.log(10 * share)).sum(), abs=0.01)


def test_deeper_circuits_come_nearer():
    found = []
    for reps in (1, 2, 6):
        circuit = hybridq_ansatz(4, reps, encoding="ry_rx", entangler="cz").circuit
        found.append(divergence(fidelities(circuit, angles(3000, circuit), angles(3000, circuit, 1)), 16, 30))
    assert found == sorted(found, reverse=True)
    assert found[-1] < 0.1 * found[0]


@settings(max_examples=25)
@given(st.integers(1, 4), st.integers(0, 10**6))
def test_product_states_are_not_entangled(num_qubits, seed):
    random = np.random.default_rng(seed)
    circuit = QuantumCircuit(num_qubits)
    for qubit in range(num_qubits):
        circuit.u(*random.uniform(0, 2 * np.pi, 3), qubit)
    assert meyer_wallach(circuit, np.zeros((1, 0)))[0] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("num_qubits", [2, 3, 5])
def test_ghz_states_are_fully_entangled_and_w_states_less(num_qubits):
    ghz = QuantumCircuit(num_qubits)
    ghz.h(0)
    for qubit in range(1, num_qubits):
        ghz.cx(0, qubit)
    assert meyer_wallach(ghz, np.zeros((1, 0)))[0] == pytest.approx(1)
    w = QuantumCircuit(num_qubits)
    w.x(0)
    for qubit in range(1, num_qubits):
        w.cry(2 * math.acos(math.sqrt(1 / (num_qubits - qubit + 1))), qubit - 1, qubit)
        w.cx(qubit, qubit - 1)
    # Each qubit is 1 with probability 1/n, and its Bloch vector has no other part.
    assert meyer_wallach(w, np.zeros((1, 0)))[0] == pytest.approx(1 - (1 - 2 / num_qubits) ** 2)


def test_entanglement_against_qiskits_density_matrices():
    circuit = mixed_circuit()
    values = angles(5, circuit, 4)
    for row, found in zip(values, meyer_wallach(circuit, values), strict=True):
        state = Statevector(circuit.assign_parameters(row))
        purities = [
            partial_trace(state, [other for other in range(3) if other != qubit]).purity().real for qubit in range(3)
        ]
        assert found == pytest.approx(2 * (1 - np.mean(purities)), abs=1e-12)
        assert found == pytest.approx(entanglement_of(state.data[None])[0], abs=1e-12)


@pytest.mark.parametrize("real", [False, True])
@pytest.mark.parametrize("num_qubits", [1, 2, 3, 5])
def test_the_mean_entanglement_of_haar_states(num_qubits, real):
    found = entanglement_of(haar_states(20_000, 1 << num_qubits, 5, real=real))
    error = 5 * found.std() / math.sqrt(len(found)) + 1e-12
    assert haar_entangling(1 << num_qubits, real=real) == pytest.approx(found.mean(), abs=error)


def test_circuits_that_are_haar_random_have_haars_entangling_capability():
    found = []
    for seed in range(60):
        circuit = QuantumCircuit(2)
        circuit.append(UnitaryGate(random_unitary(4, seed=seed)), [0, 1])
        found.append(meyer_wallach(circuit, np.zeros((1, 0)))[0])
    assert np.mean(found) == pytest.approx(2 / 5, abs=4 * np.std(found) / math.sqrt(60))
