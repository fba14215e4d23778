"""Gradient variance: formulas of single turned qubits, light cones, a 2-design, and the fall with qubits."""

from __future__ import annotations

import math

import numpy as np
import pytest
from qiskit.circuit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp, Statevector

from qgan_qiskit.analysis.gradient_variance import fit_decay, gradient_variance, gradients, local_and_global
from qgan_qiskit.circuits import CircuitSpec, hybridq_ansatz, numbered_parameters


def turned(num_qubits, gates="y", reps=1):
    """An ansatz without entanglers: rotations about the axes named, again and again, on each qubit."""
    weights = numbered_parameters("theta", num_qubits * len(gates) * reps)
    circuit = QuantumCircuit(num_qubits)
    for number, weight in enumerate(weights):
        getattr(circuit, f"r{gates[number // num_qubits % len(gates)]}")(weight, number % num_qubits)
    return CircuitSpec("turned", circuit, (), weights, (SparsePauliOp("Z" * num_qubits),))


def variances(ansatz, observable, count, seed=0):
    angles = np.random.default_rng(seed).uniform(0, 2 * np.pi, (count, ansatz.circuit.num_parameters))
    return gradient_variance(gradients(ansatz, observable, angles))


def test_of_one_turned_qubit_it_is_a_half():
    """<Z> = cos(theta), and sin^2 is 1/2 in the mean; exactly so over angles that are evenly spaced."""
    count = 64
    angles = 2 * np.pi * np.arange(count)[:, None] / count
    found = gradients(turned(1), SparsePauliOp("Z"), angles)
    np.testing.assert_allclose(found[:, 0], -np.sin(angles[:, 0]), atol=1e-12)
    variance = gradient_variance(found)
    assert variance["first"] == pytest.approx(0.5 * count / (count - 1))
    assert variance["variance"]["mean"] == variance["largest"] == variance["first"]


@pytest.mark.parametrize("num_qubits", [1, 2, 4])
def test_of_a_global_observable_it_halves_with_every_qubit(num_qubits):
    """<Z…Z> is a product of cosines: sin^2 of one angle and cos^2 of the others, each 1/2 in the mean."""
    observables = local_and_global(num_qubits, "Z")
    found = variances(turned(num_qubits), observables["global"], 6000)
    assert found["variance"]["low"] <= 2.0**-num_qubits <= found["variance"]["high"]
    local = variances(turned(num_qubits), observables["local"], 6000)["variances"]
    for qubit, variance in enumerate(local):
        assert variance == pytest.approx(0.5 if qubit == num_qubits // 2 else 0, abs=0.03)


def test_the_ladder_widens_the_light_cone_of_the_builtin_circuit():
    """Behind one ladder <Z_j> is the product of cos(x_i + theta_i) for i <= j, so weight k has 2^-(j+1) for k <= j, else 0."""
    ansatz = hybridq_ansatz(4, 1)
    found = variances(ansatz, local_and_global(4, "Z")["local"], 6000)["variances"]
    np.testing.assert_allclose(found[:3], 2.0**-3, rtol=0.12)
    assert found[3] == 0


def test_of_a_2_design_on_both_sides_it_is_known():
    """N^2 / (2 (N^2 - 1) (N + 1)) for a Pauli and a rotation by exp(-i theta P / 2) in the middle; 2/9 for a qubit."""
    ansatz = turned(1, "yz", reps=13)
    found = variances(ansatz, SparsePauliOp("X"), 8000)["variances"]
    assert found[12] == pytest.approx(2 / 9, rel=0.06)
    assert found[13] == pytest.approx(2 / 9, rel=0.06)


@pytest.mark.parametrize("pauli", ["X", "Z"])
def test_gradients_against_differences_of_qiskits_expectations(pauli):
    ansatz = hybridq_ansatz(3, 2, encoding="ry_rx", entangler="cz", readout="x")
    row = np.random.default_rng(0).uniform(0, 2 * np.pi, ansatz.circuit.num_parameters)
    place = {parameter: number for number, parameter in enumerate(ansatz.circuit.parameters)}
    for observable in local_and_global(3, pauli).values():
        [found] = gradients(ansatz, observable, row[None])
        for weight, slope in zip(ansatz.weight_parameters, found, strict=True):
            values = []
            for sign in (1, -1):
                moved = row.copy()
                moved[place[weight]] += sign * np.pi / 2
                state = Statevector(ansatz.circuit.assign_parameters(moved))
                values.append(state.expectation_value(observable).real)
            assert slope == pytest.approx((values[0] - values[1]) / 2, abs=1e-10)


def test_local_is_the_middle_qubit_and_global_all():
    found = local_and_global(5, "X")
    assert found["local"].to_list() == [("IIXII", 1)]
    assert found["global"].to_list() == [("XXXXX", 1)]


def test_an_exact_exponential_is_found():
    sizes = [2, 3, 5, 8]
    found = fit_decay(sizes, [3 * math.exp(-0.4 * size) for size in sizes])
    assert found is not None
    assert (found.low, found.rate, found.high) == pytest.approx((0.4, 0.4, 0.4))
    assert found.offset == pytest.approx(math.log(3))


def test_the_interval_of_the_rate_covers():
    random = np.random.default_rng(0)
    sizes = np.arange(2, 10)
    held = 0
    for _ in range(200):
        noisy = np.exp(-0.7 * sizes + 0.2 * random.standard_normal(len(sizes)))
        found = fit_decay(sizes.tolist(), noisy.tolist())
        held += found.low <= 0.7 <= found.high
    assert 180 <= held <= 199


def test_the_fall_of_product_circuits_is_ln_2_per_qubit():
    sizes = [1, 2, 3, 4, 5]
    means = [
        variances(turned(size), local_and_global(size, "Z")["global"], 4000, size)["variance"]["mean"] for size in sizes
    ]
    found = fit_decay(sizes, means)
    assert found.rate == pytest.approx(math.log(2), abs=0.05)
    assert found.low <= math.log(2) <= found.high


@pytest.mark.parametrize("variances_S", [[0.5, 0.25], [0.5, 0.0, 0.1], []])
def test_too_few_sizes_have_no_rate(variances_S):
    assert fit_decay(list(range(2, 2 + len(variances_S))), variances_S) is None
