"""The two executions: ExactQNN against Qiskit's EstimatorQNN, and training through connectors against the fused path.

Shape letters: B batch · P sub-generators · Q inputs · O observables · K weights.
"""

import math
import warnings

import numpy as np
import pytest
import torch
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.circuit.library import real_amplitudes, zz_feature_map
from qiskit.quantum_info import SparsePauliOp
from qiskit_machine_learning.connectors import TorchConnector
from qiskit_machine_learning.gradients import ParamShiftEstimatorGradient
from qiskit_machine_learning.neural_networks import EstimatorQNN
from qiskit_machine_learning.primitives import QMLEstimator
from tiny_runs import DCGAN, tiny_config

from qgan_qiskit.circuits import hybridq_ansatz
from qgan_qiskit.errors import UsageError
from qgan_qiskit.qnn import ExactQNN, SubGenerators, set_execution
from qgan_qiskit.runs.load import load_generator
from qgan_qiskit.workflows.fit import fit


def parameter_shift(estimator):
    with warnings.catch_warnings():
        # Qiskit Machine Learning warns that no pass manager was given.
        warnings.simplefilter("ignore")
        return ParamShiftEstimatorGradient(estimator)


def random_network(seed):
    """A random circuit with its parameters listed in a shuffled order, and one to three random observables."""
    rng = np.random.default_rng(seed)
    qubits = int(rng.integers(1, 4))
    inputs = [Parameter(f"x{i}") for i in rng.permutation(int(rng.integers(0, 4)))]
    weights = [Parameter(f"w{i}") for i in rng.permutation(int(rng.integers(1, 4)))]
    circuit = QuantumCircuit(qubits)
    for parameter in rng.permutation(np.array([*inputs, *weights, *weights], dtype=object)):
        gate = ("rx", "ry", "rz")[rng.integers(3)]
        getattr(circuit, gate)(float(rng.integers(1, 3)) * parameter, int(rng.integers(qubits)))
        if qubits > 1:
            circuit.cx(*(int(q) for q in rng.permutation(qubits)[:2]))
    labels = ["".join(rng.choice(list("IXYZ"), qubits)) for _ in range(int(rng.integers(1, 4)))]
    observables = [SparsePauliOp([label, "Z" * qubits], rng.normal(size=2)) for label in labels]
    return {"circuit": circuit, "input_params": inputs, "weight_params": weights, "observables": observables}


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("input_gradients", [True, False])
def test_exact_qnn_returns_what_qiskits_network_returns(seed, input_gradients):
    parts = random_network(seed)
    estimator = QMLEstimator()
    stock = EstimatorQNN(
        **parts, estimator=estimator, gradient=parameter_shift(estimator), input_gradients=input_gradients
    )
    ours = ExactQNN(**parts, input_gradients=input_gradients)
    rng = np.random.default_rng(100 + seed)
    inputs_BQ = rng.normal(size=(3, len(parts["input_params"]))) if parts["input_params"] else None
    weights_K = rng.normal(size=len(parts["weight_params"]))
    expected, found = stock.forward(inputs_BQ, weights_K), ours.forward(inputs_BQ, weights_K)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-10)
    for mine, theirs in zip(ours.backward(inputs_BQ, weights_K), stock.backward(inputs_BQ, weights_K), strict=True):
        assert (mine is None) == (theirs is None)
        if mine is not None:
            assert mine.shape == theirs.shape
            np.testing.assert_allclose(mine, theirs, atol=1e-8)


def trained(execution, steps=20):
    """Weights after some steps of a small network of circuits and a layer, in double precision."""
    circuits = SubGenerators(
        hybridq_ansatz(4, 2), 3, generator=torch.Generator().manual_seed(1), execution=execution
    ).double()
    layer = torch.nn.Linear(5, 12).double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2)) / 2)
    parameters = [*layer.parameters(), *circuits.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=0.01)
    draws = torch.Generator().manual_seed(3)
    for _ in range(steps):
        z = torch.randn(8, 5, generator=draws, dtype=torch.float64)
        target = torch.rand(8, 3, 4, generator=draws, dtype=torch.float64)
        optimizer.zero_grad()
        (circuits(layer(z).view(8, 3, 4)) - target).square().mean().backward()
        optimizer.step()
    return torch.cat([parameter.detach().flatten() for parameter in parameters])


def test_twenty_steps_through_connectors_are_those_of_the_fused_path():
    """TorchConnector hands values on in single precision, whatever goes in; 20 steps of Adam stay within 1e-6 all the same."""
    fused, connectors = trained("fused"), trained("connectors")
    assert (fused - trained("fused", 1)).abs().max() > 0.05, "nothing was trained"
    torch.testing.assert_close(connectors, fused, rtol=0, atol=1e-6)


def test_connectors_are_called_only_where_they_are_asked_for(monkeypatch):
    calls = []
    forward = TorchConnector.forward
    monkeypatch.setattr(TorchConnector, "forward", lambda self, x: calls.append(1) or forward(self, x))
    angles = torch.rand(2, 3, 4)
    module = SubGenerators(hybridq_ansatz(4, 1), 3)
    module(angles)
    assert not calls
    set_execution("connectors", torch.nn.Sequential(module))
    module(angles)
    assert len(calls) == 3
    with pytest.raises(UsageError, match="this model has no circuits"):
        set_execution("connectors", torch.nn.Linear(2, 2))


def test_expressions_go_through_connectors_too():
    feature_map, ansatz = zz_feature_map(2), real_amplitudes(2, reps=1)
    parts = {
        "circuit": feature_map.compose(ansatz),
        "input_params": list(feature_map.parameters),
        "weight_params": list(ansatz.parameters),
        "observables": [SparsePauliOp("ZZ")],
    }
    estimator = QMLEstimator()
    stock = EstimatorQNN(**parts, estimator=estimator, gradient=parameter_shift(estimator), input_gradients=True)
    ours = ExactQNN(**parts, input_gradients=True)
    rng = np.random.default_rng(5)
    inputs, weights = rng.normal(size=(4, 2)), rng.normal(size=4)
    np.testing.assert_allclose(ours.forward(inputs, weights), stock.forward(inputs, weights), atol=1e-10)
    for mine, theirs in zip(ours.backward(inputs, weights), stock.backward(inputs, weights), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-8)


def test_a_run_trains_and_generates_through_connectors(tmp_path):
    weights = {}
    for execution in ("fused", "connectors"):
        config = tiny_config(tmp_path / "cache", training={"execution": execution, "steps": 2, "threads": 1})
        [run] = fit(config, tmp_path / execution)
        generator, saved = load_generator(run)
        assert saved.training.execution == execution
        circuits = [module for module in generator.modules() if isinstance(module, SubGenerators)]
        assert [module.execution for module in circuits] == [execution]
        weights[execution] = torch.cat([parameter.flatten() for parameter in generator.parameters()])
    assert math.isfinite(weights["fused"].sum().item())
    torch.testing.assert_close(weights["connectors"], weights["fused"], rtol=0, atol=1e-3)


def test_models_without_circuits_refuse_connectors(tmp_path):
    config = tiny_config(tmp_path / "cache", model=DCGAN, training={"execution": "connectors"})
    with pytest.raises(UsageError, match="--execution connectors: this model has no circuits"):
        fit(config, tmp_path / "runs")
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").iterdir())
