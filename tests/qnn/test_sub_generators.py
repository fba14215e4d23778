"""SubGenerators: fused evaluation against the connectors one by one, on our and on Qiskit's estimators."""

import math

import pytest
import torch
from qiskit.primitives import StatevectorEstimator
from qiskit_machine_learning.connectors import TorchConnector
from qiskit_machine_learning.gradients import ParamShiftEstimatorGradient
from qiskit_machine_learning.neural_networks import EstimatorQNN
from qiskit_machine_learning.primitives import QMLEstimator

from qgan_qiskit.circuits import hybridq_ansatz
from qgan_qiskit.errors import UsageError
from qgan_qiskit.qnn import SubGenerators
from qgan_qiskit.simulation import ExactEstimator

SHAPES = [(2, 1, "ry", "cx", "z"), (3, 2, "ry_rx", "cz", "x"), (4, 2, "ry", "cz", "x")]


def make(shape, count=3, estimator=None, **options):
    qubits, reps, encoding, entangler, readout = shape
    ansatz = hybridq_ansatz(qubits, reps, encoding=encoding, entangler=entangler, readout=readout)
    return SubGenerators(ansatz, count, estimator, generator=torch.Generator().manual_seed(5), **options)


def run(module, angles, cotangent):
    angles = angles.clone().requires_grad_()
    output = module(angles)
    output.backward(cotangent.to(output.dtype))
    gradients = [p.grad.clone() for p in module.parameters()]
    module.zero_grad()
    return output.detach(), angles.grad, torch.stack(gradients)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("batch", [1, 2, 9])
def test_fused_equals_connectors_on_qiskits_estimator(shape, batch):
    fused, stock = make(shape), make(shape, estimator=QMLEstimator())
    assert fused.fused
    assert not stock.fused
    generator = torch.Generator().manual_seed(1)
    angles = torch.rand(batch, 3, shape[0], generator=generator) * math.pi
    cotangent = torch.randn(batch, 3, shape[0], generator=generator)
    for a, b in zip(run(fused, angles, cotangent), run(stock, angles, cotangent), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_connectors_on_the_exact_estimator_equal_the_fused_path(shape):
    fused = make(shape)
    one_by_one = make(shape, gradient=ParamShiftEstimatorGradient)
    assert not one_by_one.fused, "another gradient than ours must be used, not passed over"
    angles, cotangent = torch.rand(2, 3, shape[0]), torch.randn(2, 3, shape[0])
    for a, b in zip(run(fused, angles, cotangent), run(one_by_one, angles, cotangent), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-5)


def test_holds_qiskit_objects_and_lists_each_weight_once():
    module = make(SHAPES[0])
    assert all(isinstance(c, TorchConnector) for c in module.connectors)
    assert all(isinstance(c.neural_network, EstimatorQNN) for c in module.connectors)
    assert len(list(module.parameters())) == 3
    weights = module.weights_PK()
    assert weights.shape == (3, 2)
    assert (weights.abs() <= math.pi).all()
    assert len({tuple(row) for row in weights.tolist()}) == 3


def test_weights_come_from_the_generator_alone():
    state = torch.get_rng_state()
    a, b = make(SHAPES[1]), make(SHAPES[1])
    assert torch.equal(a.weights_PK(), b.weights_PK())
    assert torch.equal(torch.get_rng_state(), state)


def test_double_precision_in_double_precision_out():
    module = make(SHAPES[2])
    angles = torch.rand(2, 3, 4, dtype=torch.float64)
    found = module(angles)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, module(angles.float()).double(), rtol=0, atol=1e-5)


def test_an_estimator_with_shots_gives_noisy_values_around_the_exact_ones():
    exact = make(SHAPES[0], count=1)
    sampled = make(SHAPES[0], count=1, estimator=StatevectorEstimator(seed=3), precision=0.05)
    angles = torch.rand(40, 1, 2)
    error = (sampled(angles) - exact(angles)).detach()
    assert 0 < error.abs().max() < 0.05 * 6
    assert error.std() == pytest.approx(0.05, rel=0.5)


def test_trains_by_gradient_descent():
    module = make(SHAPES[2])
    angles, wanted = torch.rand(8, 3, 4), torch.full((8, 3, 4), -0.5)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.1)
    losses = []
    for _ in range(30):
        loss = (module(angles) - wanted).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]


def test_refusals():
    with pytest.raises(UsageError, match="at least 1"):
        SubGenerators(hybridq_ansatz(2, 1), 0)
    with pytest.raises(UsageError, match=r"\(batch, 3, 2\)"):
        make(SHAPES[0])(torch.zeros(4, 2, 3))
    assert isinstance(make(SHAPES[0]).estimator, ExactEstimator)
