"""ExactEstimator and AdjointEstimatorGradient against Qiskit's estimators and gradients, through Qiskit's interfaces."""

import numpy as np
import pytest
import torch
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.primitives import BaseEstimatorV2, StatevectorEstimator
from qiskit.quantum_info import SparsePauliOp
from qiskit_machine_learning.connectors import TorchConnector
from qiskit_machine_learning.gradients import ParamShiftEstimatorGradient
from qiskit_machine_learning.neural_networks import EstimatorQNN, SamplerQNN
from qiskit_machine_learning.primitives import QMLEstimator
from random_circuits import random_circuit, random_observables, values

from qgan_qiskit.circuits import hybridq_ansatz
from qgan_qiskit.errors import CircuitError, UsageError
from qgan_qiskit.simulation import AdjointEstimatorGradient, ExactEstimator
from qgan_qiskit.simulation import estimator as module


@pytest.mark.parametrize("seed", range(24))
def test_pubs_equal_statevector_estimator(seed):
    rng = np.random.default_rng(seed)
    pubs = []
    for _ in range(int(rng.integers(1, 4))):
        circuit, parameters = random_circuit(rng, max_qubits=4, max_gates=12)
        observables = random_observables(rng, circuit.num_qubits)
        # Shapes that broadcast: observables (O, 1) against bindings (3,), or both (O,), or a single binding.
        shape = [(3, len(parameters)), (len(observables), len(parameters)), (len(parameters),)][seed % 3]
        obs = [[o] for o in observables] if seed % 3 == 0 else observables
        pubs.append((circuit, obs, values(rng, *shape)))
    exact = ExactEstimator().run(pubs).result()
    reference = StatevectorEstimator().run(pubs).result()
    for found, expected in zip(exact, reference, strict=True):
        assert found.data.evs.shape == expected.data.evs.shape
        np.testing.assert_allclose(found.data.evs, expected.data.evs, atol=1e-10)
        assert (found.data.stds == 0).all()
        assert found.data.evs.dtype == np.float64


def test_is_an_estimator_with_metadata_and_ignores_precision():
    assert isinstance(ExactEstimator(), BaseEstimatorV2)
    circuit = QuantumCircuit(1, metadata={"who": "me"})
    circuit.h(0)
    job = ExactEstimator().run([(circuit, "X"), (circuit, "Z", None, 0.5)], precision=0.1)
    first, second = job.result()
    assert job.done()
    assert float(first.data.evs) == pytest.approx(1, abs=1e-12)
    assert float(second.data.evs) == pytest.approx(0, abs=1e-12)
    assert first.metadata == {"target_precision": 0.1, "circuit_metadata": {"who": "me"}}
    assert second.metadata["target_precision"] == 0.5


def test_projectors_and_sums():
    circuit = QuantumCircuit(2)
    circuit.ry(0.7, 0)
    circuit.cx(0, 1)
    observables = [{"11": 2.0, "ZI": 1.0}, {"+r": 1.0}, {"0-": 0.5, "II": -1.0}]
    found = ExactEstimator().run([(circuit, observables)]).result()[0].data.evs
    zero, one = np.cos(0.35) ** 2, np.sin(0.35) ** 2
    minus_and_zero = zero / 2
    np.testing.assert_allclose(found[[0, 2]], [2 * one + zero - one, 0.5 * minus_and_zero - 1], atol=1e-12)
    # |<+|<r|psi>|**2 with amplitudes (c, 0, 0, s): |c - i s|**2 / 4.
    assert found[1] == pytest.approx(0.25, abs=1e-12)


def test_pubs_of_one_circuit_and_binding_are_simulated_once(monkeypatch):
    calls = []
    original = module.expectation_values
    monkeypatch.setattr(module, "expectation_values", lambda *a: calls.append(len(a[1])) or original(*a))
    circuit, parameters = random_circuit(np.random.default_rng(1), max_qubits=3)
    binding = np.ones(len(parameters))
    operators = [SparsePauliOp(label * circuit.num_qubits) for label in "XYZ"]
    ExactEstimator().run([(circuit, o, binding) for o in operators] + [(circuit, operators[0], binding * 2)]).result()
    assert sorted(calls) == [1, 3]


def test_chunks_give_the_same_values(monkeypatch):
    rng = np.random.default_rng(3)
    circuit, parameters = random_circuit(rng, max_qubits=4)
    pub = (circuit, SparsePauliOp("Z" * circuit.num_qubits), values(rng, 37, len(parameters)))
    whole = ExactEstimator().run([pub]).result()[0].data.evs
    monkeypatch.setattr(module, "_CHUNK_BYTES", 20_000)
    np.testing.assert_allclose(ExactEstimator().run([pub]).result()[0].data.evs, whole, atol=1e-12)


def test_what_cannot_be_simulated_is_named():
    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)
    with pytest.raises(CircuitError, match="measure"):
        ExactEstimator().run([(circuit, "Z")]).result()


def test_pubs_with_equal_gates_and_another_order_of_parameters_and_no_qubits():
    first, second, angle = (Parameter(name) for name in ("A0", "b", "a"))
    pubs = [(QuantumCircuit(0), "")]
    for phase in (first, second):
        circuit = QuantumCircuit(1, global_phase=phase)
        circuit.ry(angle, 0)
        pubs.append((circuit, "Z", [0.1, 0.9]))
    exact, reference = ExactEstimator().run(pubs).result(), StatevectorEstimator().run(pubs).result()
    for found, expected in zip(exact, reference, strict=True):
        np.testing.assert_allclose(found.data.evs, expected.data.evs, atol=1e-12)


def test_a_sampler_network_with_our_objects_is_refused_in_words():
    x, w = Parameter("x"), Parameter("w")
    circuit = QuantumCircuit(1)
    circuit.ry(x + w, 0)
    parts = {"circuit": circuit, "input_params": [x], "weight_params": [w]}
    with pytest.raises(UsageError, match="it is no sampler; use EstimatorQNN"):
        SamplerQNN(**parts, sampler=ExactEstimator()).forward([0.1], [0.2])
    with pytest.raises(UsageError, match="as a SamplerQNN calls it: use it with EstimatorQNN"):
        SamplerQNN(**parts, gradient=AdjointEstimatorGradient()).backward([0.1], [0.2])


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
