"""AdjointEstimatorGradient against Qiskit's own parameter-shift gradient."""

import numpy as np
import pytest
import torch
from qiskit.circuit import QuantumCircuit
from qiskit.primitives import StatevectorEstimator
from qiskit_machine_learning.connectors import TorchConnector
from qiskit_machine_learning.gradients import ParamShiftEstimatorGradient
from qiskit_machine_learning.neural_networks import EstimatorQNN
from qiskit_machine_learning.primitives import QMLEstimator
from random_circuits import random_circuit, random_observables, values

from qgan_qiskit.circuits import hybridq_ansatz
from qgan_qiskit.errors import UsageError
from qgan_qiskit.simulation import AdjointEstimatorGradient, ExactEstimator
from qgan_qiskit.simulation import estimator as module


@pytest.mark.parametrize("seed", range(25))
def test_equals_parameter_shift(seed):
    rng = np.random.default_rng(seed)
    circuit, parameters = random_circuit(rng, max_qubits=3, max_gates=8, real=seed % 2 == 0)
    observables = random_observables(rng, circuit.num_qubits)
    count = len(observables)
    arguments = ([circuit] * count, observables, values(rng, count, len(parameters)))
    # Some results for chosen parameters only, in an order of their own.
    chosen = [None if n % 2 else list(reversed(parameters))[: 1 + n % len(parameters)] for n in range(count)]
    found = AdjointEstimatorGradient().run(*arguments, parameters=chosen).result()
    expected = ParamShiftEstimatorGradient(QMLEstimator()).run(*arguments, parameters=chosen).result()
    for a, b in zip(found.gradients, expected.gradients, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-8)
    assert len(found.metadata) == count


def test_several_circuits_in_one_call():
    rng = np.random.default_rng(7)
    cases = [random_circuit(rng, max_qubits=3, max_gates=6) for _ in range(3)]
    observables = [random_observables(rng, circuit.num_qubits)[0] for circuit, _ in cases]
    bindings = [values(rng, len(parameters)) for _, parameters in cases]
    order = [0, 1, 2, 1, 0]
    arguments = tuple([x[n] for n in order] for x in ([c for c, _ in cases], observables, bindings))
    found = AdjointEstimatorGradient().run(*arguments).result().gradients
    expected = ParamShiftEstimatorGradient(QMLEstimator()).run(*arguments).result().gradients
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-8)


def test_chunks_give_the_same_gradients(monkeypatch):
    ansatz = hybridq_ansatz(3, 2)
    rng = np.random.default_rng(0)
    arguments = ([ansatz.circuit] * 11, [ansatz.observables[n % 3] for n in range(11)], values(rng, 11, 9))
    whole = AdjointEstimatorGradient().run(*arguments).result().gradients
    monkeypatch.setattr(module, "_CHUNK_BYTES", 3_000)
    np.testing.assert_allclose(AdjointEstimatorGradient().run(*arguments).result().gradients, whole, atol=1e-12)


def test_refuses_an_estimator_that_samples():
    with pytest.raises(UsageError, match="ParamShiftEstimatorGradient"):
        AdjointEstimatorGradient(StatevectorEstimator())


def test_drop_in_for_an_estimator_qnn_that_is_not_ours():
    """A user's QNN, default observable, weights before inputs in name order."""
    cases = (random_circuit(np.random.default_rng(seed), max_qubits=3) for seed in range(100))
    circuit, parameters = next(case for case in cases if len(case[1]) >= 3)
    inputs, weights = parameters[1:], parameters[:1]
    rng = np.random.default_rng(12)
    x, w = values(rng, 4, len(inputs)), values(rng, len(weights))
    results = []
    for estimator, gradient in (
        (ExactEstimator(), AdjointEstimatorGradient()),
        (QMLEstimator(), ParamShiftEstimatorGradient(QMLEstimator())),
    ):
        qnn = EstimatorQNN(
            circuit=QuantumCircuit(circuit.num_qubits).compose(circuit),
            input_params=inputs,
            weight_params=weights,
            estimator=estimator,
            gradient=gradient,
            input_gradients=True,
        )
        results.append((qnn.forward(x, w), *qnn.backward(x, w)))
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-8)


def test_a_gradient_penalty_on_a_stock_network_is_an_error():
    ansatz = hybridq_ansatz(2, 1)
    qnn = EstimatorQNN(
        circuit=ansatz.circuit,
        input_params=list(ansatz.input_parameters),
        weight_params=list(ansatz.weight_parameters),
        estimator=ExactEstimator(),
        gradient=AdjointEstimatorGradient(),
        input_gradients=True,
    )
    connector, x = TorchConnector(qnn), torch.rand(3, 2, requires_grad=True)
    connector(x).sum().backward()
    assert torch.isfinite(x.grad).all()
    with pytest.raises(UsageError, match="no second derivative"):
        torch.autograd.grad(connector(x).sum(), x, create_graph=True)
