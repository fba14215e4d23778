"""The engine against Qiskit's Statevector, parameter shifts and finite differences, on generated circuits."""

import numpy as np
import pytest
import torch
from oracles import parameter_shift, slope_along, statevector_values
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp
from random_circuits import random_circuit, random_observables, split, values

from qgan_qiskit.circuits import hybridq_ansatz
from qgan_qiskit.errors import CircuitError, UsageError
from qgan_qiskit.simulation.engine_cache import engine_for, engine_for_spec

CPU = torch.device("cpu")


@pytest.fixture(params=["llvm", "torch"])
def either_engine(request, monkeypatch):
    """Run a test on both engines."""
    monkeypatch.setenv("QGAN_QISKIT_ENGINE", request.param)


def random_case(seed):
    rng = np.random.default_rng(seed)
    real = seed % 4 == 0
    circuit, parameters = random_circuit(rng, real=real)
    observables = random_observables(rng, circuit.num_qubits, "IXZ" if real else "IXYZ")
    inputs, weights = split(rng, parameters)
    # 2 images are kept first in memory, 9 last: both layouts are walked.
    x, w = values(rng, 2 if seed % 3 else 9, 2, len(inputs)), values(rng, 2, len(weights))
    return rng, circuit, inputs, weights, observables, x, w


def evaluate(circuit, inputs, weights, observables, x, w, dtype):
    engine = engine_for(circuit, inputs, weights, observables, dtype)
    return engine, engine.expectations(torch.tensor(x, dtype=dtype), torch.tensor(w, dtype=dtype))


@pytest.mark.usefixtures("either_engine")
@pytest.mark.parametrize("seed", range(100))
def test_values_equal_statevector(seed):
    _, circuit, inputs, weights, observables, x, w = random_case(seed)
    expected = statevector_values(circuit, inputs, weights, observables, x, w)
    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-5)):
        engine, found = evaluate(circuit, inputs, weights, observables, x, w, dtype)
        assert found.dtype == dtype
        np.testing.assert_allclose(found.numpy(), expected, atol=tolerance)
    if seed % 4 == 0:
        assert engine.real, "RY, H, X, Z, CX, CZ, SWAP and CRY keep amplitudes real"


@pytest.mark.usefixtures("either_engine")
@pytest.mark.parametrize("seed", range(100))
def test_gradients_equal_finite_differences(seed):
    rng, circuit, inputs, weights, observables, x, w = random_case(seed)
    x = x[:2] if seed % 3 else x
    engine = engine_for(circuit, inputs, weights, observables)
    x_t, w_t = (torch.tensor(v, requires_grad=True) for v in (x, w))
    found = engine.expectations(x_t, w_t)
    cotangent = torch.tensor(rng.normal(size=found.shape))
    found.backward(cotangent)

    def loss(x_value, w_value):
        with torch.no_grad():
            return float((engine.expectations(torch.tensor(x_value), torch.tensor(w_value)) * cotangent).sum())

    direction_x, direction_w = rng.normal(size=x.shape), rng.normal(size=w.shape)
    slope = slope_along(loss, x, w, direction_x, direction_w)
    along = float((x_t.grad.numpy() * direction_x).sum() if x.size else 0) + float(
        (w_t.grad.numpy() * direction_w).sum() if w.size else 0
    )
    assert along == pytest.approx(slope, abs=1e-7 * max(1.0, float(cotangent.abs().sum())))


@pytest.mark.usefixtures("either_engine")
@pytest.mark.parametrize("seed", range(80))
def test_gradients_equal_parameter_shift(seed):
    rng = np.random.default_rng(10_000 + seed)
    circuit, parameters = random_circuit(rng, max_qubits=4, max_gates=10, real=seed % 4 == 0)
    observables = random_observables(rng, circuit.num_qubits)
    inputs, weights = split(rng, parameters)
    x, w = values(rng, 1 if seed % 3 else 8, 1, len(inputs)), values(rng, 1, len(weights))
    engine = engine_for(circuit, inputs, weights, observables)
    x_t, w_t = (torch.tensor(v, requires_grad=True) for v in (x, w))
    found = engine.expectations(x_t, w_t)
    cotangent = rng.normal(size=found.shape)
    found.backward(torch.tensor(cotangent))
    grad_x, grad_w = parameter_shift(circuit, inputs, weights, observables, x, w, cotangent)
    if x.size:
        np.testing.assert_allclose(x_t.grad.numpy(), grad_x, atol=1e-8)
    if w.size:
        np.testing.assert_allclose(w_t.grad.numpy(), grad_w, atol=1e-8)


@pytest.mark.usefixtures("either_engine")
@pytest.mark.parametrize("encoding", ["ry", "ry_rx"])
@pytest.mark.parametrize("entangler", ["cx", "cz"])
@pytest.mark.parametrize("readout", ["z", "x"])
@pytest.mark.parametrize(("qubits", "batch"), [(1, 1), (2, 8), (5, 3), (7, 8), (10, 8), (11, 2)])
def test_our_shapes_equal_statevector(qubits, batch, encoding, entangler, readout):
    ansatz = hybridq_ansatz(qubits, 3, encoding=encoding, entangler=entangler, readout=readout)
    rng = np.random.default_rng(qubits)
    x, w = values(rng, batch, 2, ansatz.num_inputs), values(rng, 2, ansatz.num_weights)
    engine = engine_for_spec(ansatz, torch.float64, CPU)
    assert engine.real == (encoding == "ry")
    found = engine.expectations(torch.tensor(x), torch.tensor(w)).numpy()
    rows = [0, batch - 1]
    expected = statevector_values(
        ansatz.circuit, ansatz.input_parameters, ansatz.weight_parameters, ansatz.observables, x[rows], w
    )
    np.testing.assert_allclose(found[rows], expected, atol=1e-10)


@pytest.mark.usefixtures("either_engine")
def test_second_backward_through_a_retained_graph_is_the_same():
    ansatz = hybridq_ansatz(4, 2)
    engine = engine_for_spec(ansatz, torch.float64, CPU)
    x = torch.rand(3, 2, 4, dtype=torch.float64, requires_grad=True)
    w = torch.rand(2, ansatz.num_weights, dtype=torch.float64, requires_grad=True)
    total = engine.expectations(x, w).square().sum()
    first = torch.autograd.grad(total, (x, w), retain_graph=True)
    # Other work in between takes and gives the same buffers.
    engine.expectations(torch.rand_like(x), w).sum().backward()
    second = torch.autograd.grad(total, (x, w))
    for a, b in zip(first, second, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-14)


@pytest.mark.usefixtures("either_engine")
def test_two_forwards_before_their_backwards_keep_their_states():
    ansatz = hybridq_ansatz(4, 2)
    engine = engine_for_spec(ansatz, torch.float64, CPU)
    w = torch.rand(2, ansatz.num_weights, dtype=torch.float64)
    xs = [torch.rand(9, 2, 4, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    alone = [torch.autograd.grad(engine.expectations(x, w).sum(), x)[0] for x in xs]
    outputs = [engine.expectations(x, w).sum() for x in xs]
    together = [torch.autograd.grad(total, x)[0] for total, x in zip(outputs, xs, strict=True)]
    for a, b in zip(alone, together, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


@pytest.mark.usefixtures("either_engine")
def test_batch_of_zero_images():
    ansatz = hybridq_ansatz(3, 1)
    engine = engine_for_spec(ansatz, torch.float32, CPU)
    assert engine.expectations(torch.zeros(0, 2, 3), torch.zeros(2, 3)).shape == (0, 2, 3)


@pytest.mark.parametrize("kind", ["llvm", "torch"])
@pytest.mark.parametrize(
    ("inputs", "weights"),
    [
        ((2, 2, 4), (2, 3)),
        ((2, 2, 3), (2, 4)),
        ((2, 2, 3), (3, 3)),
        ((2, 3), (2, 3)),
        ((2, 2, 3), (3,)),
        ((2, 2, 2, 3), (2, 3)),
        ((), ()),
    ],
)
def test_refuses_shapes_that_do_not_fit(inputs, weights, kind, monkeypatch):
    monkeypatch.setenv("QGAN_QISKIT_ENGINE", kind)
    engine = engine_for_spec(hybridq_ansatz(3, 1), torch.float64, CPU)
    with pytest.raises(UsageError) as error:
        engine.expectations(torch.zeros(inputs).double(), torch.zeros(weights).double())
    assert f"inputs have shape {inputs} and weights {weights}" in str(error.value)


@pytest.mark.parametrize("kind", ["llvm", "torch"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_refuses_another_precision(dtype, kind, monkeypatch):
    monkeypatch.setenv("QGAN_QISKIT_ENGINE", kind)
    engine = engine_for_spec(hybridq_ansatz(3, 1), dtype, CPU)
    for inputs, weights in ((torch.float64, torch.float32), (torch.float32, torch.float64)):
        with pytest.raises(UsageError) as error:
            engine.expectations(torch.zeros(2, 2, 3, dtype=inputs), torch.zeros(2, 3, dtype=weights))
        assert f"inputs are {inputs} and weights {weights}" in str(error.value)
    for other in (torch.int64, torch.bool, torch.complex128):
        with pytest.raises(UsageError, match=f"inputs are {other}, and angles are real numbers in radians"):
            engine.expectations(torch.zeros(2, 2, 3, dtype=other), torch.zeros(2, 3, dtype=dtype))


def refused(build):
    circuit = QuantumCircuit(2, 1)
    build(circuit)
    with pytest.raises(CircuitError) as error:
        engine_for(circuit, (), circuit.parameters, [SparsePauliOp("ZZ")])
    return str(error.value)


def test_refuses_what_is_not_unitary_or_differentiable_naming_it():
    p = Parameter("t_000")
    assert "measure" in refused(lambda qc: qc.measure(0, 0))
    assert "reset" in refused(lambda qc: qc.reset(1))
    assert "initialize" in refused(lambda qc: qc.initialize([1, 0], 0))
    assert "t_000" in refused(lambda qc: qc.ry(p.sign(), 0))
    assert "t_000" in refused(lambda qc: qc.rz(1j * p, 0))

    def conditioned(qc):
        with qc.if_test((0, 1)):
            qc.x(1)

    assert "if_else" in refused(conditioned)


def test_refuses_observables_that_do_not_fit():
    circuit = QuantumCircuit(2)
    with pytest.raises(CircuitError, match=r"3 qubit\(s\)"):
        engine_for(circuit, (), (), [SparsePauliOp("ZZZ")])
    with pytest.raises(CircuitError, match="Hermitian"):
        engine_for(circuit, (), (), [SparsePauliOp("ZZ", 1j)])
    free = Parameter("loose")
    circuit.rx(free, 0)
    with pytest.raises(CircuitError, match="loose"):
        engine_for(circuit, (), (), [SparsePauliOp("ZZ")])


def test_two_user_gates_of_one_name_are_not_confused():
    found = []
    for rotate in (True, False):
        inner = QuantumCircuit(1, name="mine")
        if rotate:
            inner.x(0)
        else:
            inner.id(0)
        circuit = QuantumCircuit(1)
        circuit.append(inner.to_gate(), [0])
        engine = engine_for(circuit, (), (), [SparsePauliOp("Z")])
        found.append(float(engine.expectations(torch.zeros(1, 1, 0).double(), torch.zeros(1, 0).double())))
    assert found == [-1.0, 1.0]


@pytest.mark.parametrize("name", ["ry", "rz", "p", "id", "u"])
def test_a_user_gate_named_like_a_standard_one_counts_by_what_it_is_made_of(name):
    angle = Parameter("t_000")
    inner = QuantumCircuit(1, name=name)
    inner.rx(2 * angle, 0)
    circuit = QuantumCircuit(1)
    circuit.append(inner.to_gate(), [0])
    engine = engine_for(circuit, (), (angle,), [SparsePauliOp("Z"), SparsePauliOp("Y")])
    found = engine.expectations(torch.zeros(1, 1, 0).double(), torch.tensor([[0.3]]).double())
    np.testing.assert_allclose(found.flatten().numpy(), [np.cos(0.6), -np.sin(0.6)], atol=1e-12)
