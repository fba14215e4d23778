"""Angles that are not affine: values against Statevector, gradients against Qiskit's derivatives and parameter shifts."""

import numpy as np
import pytest
import torch
from oracles import parameter_shift, statevector_values
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.circuit.library import CUGate, real_amplitudes, zz_feature_map
from qiskit.quantum_info import SparsePauliOp

from qgan_qiskit.errors import CircuitError
from qgan_qiskit.simulation._reference import ReferenceEngine
from qgan_qiskit.simulation.engine_cache import ExpressionEngine, engine_for

X = [Parameter("x[0]"), Parameter("x[1]")]
W = [Parameter("w[0]"), Parameter("θ")]
OBSERVABLES = [SparsePauliOp("ZX"), SparsePauliOp(["XY", "IZ"], [0.4, -0.7])]


def expression(rng, depth):
    """A random expression that is smooth and finite where all parameters are in (0.2, 0.9)."""
    if depth == 0:
        return (*X, *W)[rng.integers(4)] * float(rng.uniform(0.3, 1.5))
    a, b = expression(rng, depth - 1), expression(rng, depth - 1)
    positive = 1.1 + a.sin()
    makers = [
        lambda: a * b, lambda: a + b.sin(), lambda: a.cos() - b, lambda: a / positive, lambda: positive.log(),
        lambda: (a.sin() * 0.7).arcsin(), lambda: (b.cos() * 0.7).arccos(), lambda: a.arctan(), lambda: (a.sin()).exp(),
        lambda: positive**0.5, lambda: positive ** b.sin(), lambda: a.sin() ** 3, lambda: (0.5 * a.sin()).tan(),
        lambda: (a.sin() + 1.5).abs(), lambda: a**1 + b, lambda: a.sin() ** 2 + a.cos() ** 2, lambda: a.conjugate(),
    ]  # fmt: skip
    return makers[rng.integers(len(makers))]()


def circuit_of(angles):
    circuit = QuantumCircuit(2, global_phase=angles[0])
    circuit.h([0, 1])
    circuit.ry(angles[0], 0)
    circuit.cry(angles[1], 0, 1)
    own = QuantumCircuit(1, name="own")
    own.rx(angles[2], 0)
    circuit.append(own.to_gate(), [1])
    circuit.rzz(angles[3], 0, 1)
    circuit.append(CUGate(angles[0], 0.3, angles[1], angles[2]), [1, 0])
    return circuit


@pytest.mark.parametrize("seed", range(80))
def test_generated_expressions(seed, monkeypatch):
    rng = np.random.default_rng(seed)
    # 320 expressions in all, each in a rotation, and most in a controlled or an own gate.
    circuit = circuit_of([expression(rng, int(rng.integers(1, 3))) for _ in range(4)])
    x, w = rng.uniform(0.2, 0.9, (1, 1, 2)), rng.uniform(0.2, 0.9, (1, 2))
    cotangent = rng.normal(size=(1, 1, 2))
    expected = statevector_values(circuit, *_used(circuit), OBSERVABLES, *_kept(circuit, x, w))
    directions = rng.normal(size=x.shape), rng.normal(size=w.shape)
    slope = _slope(circuit, x, w, directions, cotangent)
    for kind in ("llvm", "torch"):
        monkeypatch.setenv("QGAN_QISKIT_ENGINE", kind)
        tensors = [torch.tensor(values, requires_grad=True) for values in (x, w)]
        found = engine_for(circuit, X, W, OBSERVABLES).expectations(*tensors)
        np.testing.assert_allclose(found.detach(), expected, atol=1e-10)
        total = (found * torch.tensor(cotangent)).sum()
        gradients = torch.autograd.grad(total, tensors, allow_unused=True, materialize_grads=True)
        along = sum(float((g.numpy() * d).sum()) for g, d in zip(gradients, directions, strict=True))
        assert along == pytest.approx(slope, abs=1e-8, rel=1e-8)


def _used(circuit):
    return [p for p in X if p in circuit.parameters], [p for p in W if p in circuit.parameters]


def _kept(circuit, x, w):
    return x[..., [p in circuit.parameters for p in X]], w[..., [p in circuit.parameters for p in W]]


def _slope(circuit, x, w, directions, cotangent):
    h, total = 4e-3, 0.0
    for k, factor in ((1, 672), (2, -168), (3, 32), (4, -3)):
        for sign in (1, -1):
            moved = [v + sign * k * h * d / 2 for v, d in zip((x, w), directions, strict=True)]
            values = statevector_values(circuit, *_used(circuit), OBSERVABLES, *_kept(circuit, *moved))
            total += sign * factor * (values * cotangent).sum()
    return total / (840 * h / 2)


def test_feature_map_against_parameter_shift_and_slow_engine():
    rng = np.random.default_rng(0)
    feature_map, ansatz = zz_feature_map(3), real_amplitudes(3, reps=1)
    circuit, inputs, weights = feature_map.compose(ansatz), list(feature_map.parameters), list(ansatz.parameters)
    observables = [SparsePauliOp("ZXZ")]
    x, w = rng.normal(size=(2, 1, 3)), rng.normal(size=(1, len(weights)))
    tensors = [torch.tensor(values, requires_grad=True) for values in (x, w)]
    found = engine_for(circuit, inputs, weights, observables).expectations(*tensors)
    arguments = circuit, inputs, weights, observables, x, w
    np.testing.assert_allclose(found.detach(), statevector_values(*arguments), atol=1e-10)
    gradients = torch.autograd.grad(found.sum(), tensors)
    expected = parameter_shift(*arguments, np.ones((2, 1, 1)))
    slow = ReferenceEngine(circuit, inputs, weights, observables)
    by_slow = [slow.jacobian(x[b, 0], w[0]) for b in range(2)]
    for found_gradient, by_shift in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(found_gradient, by_shift, atol=1e-8)
    np.testing.assert_allclose([jacobian[0][0] for jacobian in by_slow], expected[0][:, 0], atol=1e-8)
    np.testing.assert_allclose(sum(jacobian[1][0] for jacobian in by_slow), expected[1][0], atol=1e-8)


@pytest.mark.parametrize(
    ("angle", "value", "message"),
    [
        (X[0].arcsin(), 2.0, "not a finite"),
        (X[0].log(), -1.0, "not a finite"),
        (1 / X[0], 0.0, "not a finite"),
        (X[0].sin() ** 0.5, 0.0, "no finite derivative"),
        (X[0].sign(), 1.0, "sign"),
        (1j * X[0], 1.0, "not a finite real"),
    ],
)
def test_angles_without_value_or_derivative_are_named(angle, value, message):
    circuit = QuantumCircuit(1)
    circuit.ry(angle, 0)
    x = torch.full((1, 1, 1), value, dtype=torch.float64, requires_grad=True)
    with pytest.raises(CircuitError, match=message) as caught:
        engine = engine_for(circuit, X[:1], (), [SparsePauliOp("Z")])
        engine.expectations(x, torch.zeros(1, 0, dtype=torch.float64)).sum().backward()
    assert "\n" not in str(caught.value)


def test_affine_circuits_do_not_meet_the_outer_engine():
    circuit = QuantumCircuit(1)
    circuit.ry(2 * X[0] + W[0], 0)
    assert not isinstance(engine_for(circuit, X[:1], W[:1], [SparsePauliOp("Z")]), ExpressionEngine)
