"""What torch may do with SubGenerators: types, autocast, compiling, copies, second derivatives, odd tensors.

The oracle is the same circuits in double precision, or finite differences.
"""

import copy
import multiprocessing
import pickle
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from qiskit.circuit import ParameterVector, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp
from qiskit_machine_learning.connectors import TorchConnector

from qgan_qiskit.circuits import CircuitSpec, hybridq_ansatz
from qgan_qiskit.errors import UsageError
from qgan_qiskit.qnn import ExactQNN, SubGenerators
from qgan_qiskit.simulation import engine_cache as cache

FUZZ = Path(__file__).with_name("fuzz_calls.py")
ENGINES = ("llvm", "torch")
EXECUTIONS = ("fused", "connectors")


def make(qubits=3, count=2, execution="fused"):
    return SubGenerators(
        hybridq_ansatz(qubits, 2), count, generator=torch.Generator().manual_seed(1), execution=execution
    )


def angles(batch=4, count=2, qubits=3):
    return torch.randn(batch, count, qubits, generator=torch.Generator().manual_seed(2))


@pytest.fixture(params=ENGINES)
def engine(request, monkeypatch):
    monkeypatch.setenv("QGAN_QISKIT_ENGINE", request.param)


@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_real_types_give_the_values_of_double_precision(engine, dtype, execution):
    module = make(execution=execution)
    narrow = angles().to(dtype)
    expected = make()(narrow.double())
    found = module(narrow)
    assert found.dtype == dtype
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=max(1e-6, torch.finfo(dtype).eps))
    leaf = narrow.clone().requires_grad_()
    module(leaf).sum().backward()
    exact = narrow.double().requires_grad_()
    make()(exact).sum().backward()
    torch.testing.assert_close(leaf.grad.double(), exact.grad, rtol=4 * torch.finfo(dtype).eps, atol=1e-4)


@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize(
    "dtype", [torch.int64, torch.int32, torch.int8, torch.uint8, torch.bool, torch.complex64, torch.complex128]
)
def test_other_types_are_refused(engine, dtype, execution):
    with pytest.raises(UsageError, match="angles are real numbers in radians"):
        make(execution=execution)(torch.ones(2, 2, 3, dtype=dtype))


def test_weights_of_other_types():
    for convert in (torch.nn.Module.double, torch.nn.Module.float):
        module = convert(make())
        torch.testing.assert_close(module(angles()), make()(angles()), rtol=0, atol=1e-5)
    for dtype in (torch.float16, torch.bfloat16):
        module = make().to(dtype)
        exact = make()
        with torch.no_grad():
            for mine, parameter in zip(module.parameters(), exact.parameters(), strict=True):
                parameter.copy_(mine)
        torch.testing.assert_close(module(angles()), exact(angles()), rtol=0, atol=1e-5)


@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_computes_circuits_in_single_precision(engine, dtype, execution):
    layer, module = torch.nn.Linear(5, 6), make(execution=execution)
    z = torch.randn(4, 5)
    with torch.autocast("cpu", dtype=dtype):
        narrow = layer(z)
        found = module(narrow.view(4, 2, 3))
        assert (narrow.dtype, found.dtype) == (dtype, torch.float32)
        found.sum().backward()
    torch.testing.assert_close(found.double(), make()(narrow.detach().double().view(4, 2, 3)), rtol=0, atol=1e-5)
    assert all(torch.isfinite(p.grad).all() for p in (*layer.parameters(), *module.parameters()))


def odd_tensors():
    base = angles()
    yield "transposed", base.transpose(0, 2).contiguous().transpose(0, 2)
    yield "strided", torch.stack([base, -base], dim=3)[..., 0]
    yield "expanded", base[:1].expand(4, 2, 3)
    yield "flipped", base.flip(0)
    yield "negative view", torch.complex(base, -base).conj().imag
    yield "offset", torch.cat([base, base])[3:7]
    yield "empty", base[:0]
    yield "parameter", torch.nn.Parameter(base)


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_views_of_any_kind(engine, execution):
    module, exact = make(execution=execution), make()
    for name, odd in odd_tensors():
        found, expected = module(odd), exact(odd.detach().double().contiguous())
        assert found.shape == expected.shape, name
        torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-5, msg=name)
    with torch.inference_mode():
        torch.testing.assert_close(module(angles()), exact(angles()), rtol=0, atol=1e-5)


def test_what_is_no_tensor_of_angles_is_refused():
    module = make()
    for wrong in (angles().tolist(), angles().numpy(), None, 1.0, angles().to("meta"), angles().to_sparse()):
        with pytest.raises(UsageError, match="angles"):
            module(wrong)
    for wrong in (angles()[0], angles()[:, :1], angles()[..., :2], angles()[None]):
        with pytest.raises(UsageError, match="angles have shape"):
            module(wrong)
    for count in (2.0, "2", True, 0, -1, None):
        with pytest.raises(UsageError, match="count of sub-generators"):
            SubGenerators(hybridq_ansatz(2, 1), count)


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_compiled_modules_give_equal_values(execution):
    module = torch.nn.Sequential(torch.nn.Linear(5, 6), torch.nn.Unflatten(1, (2, 3)), make(execution=execution))
    compiled = torch.compile(module, backend="aot_eager")
    for batch in (4, 4, 7):
        z = torch.randn(batch, 5)
        module.zero_grad()
        expected = module(z)
        expected.sum().backward()
        gradients = [p.grad.clone() for p in module.parameters()]
        module.zero_grad()
        found = compiled(z)
        found.sum().backward()
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
        for mine, parameter in zip(gradients, module.parameters(), strict=True):
            torch.testing.assert_close(parameter.grad, mine, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_copies_and_pickles_after_use(tmp_path, execution):
    module = make(execution=execution)
    expected = module(angles())
    torch.save(module, tmp_path / "model.pt")
    copies = [
        copy.deepcopy(module),
        pickle.loads(pickle.dumps(module)),
        torch.load(tmp_path / "model.pt", weights_only=False),
    ]
    for other in copies:
        torch.testing.assert_close(other(angles()), expected, rtol=0, atol=0)
        with torch.no_grad():
            for parameter in other.parameters():
                parameter.add_(0.5)
        assert (other(angles()) - expected).abs().max() > 1e-3
    torch.testing.assert_close(module(angles()), expected, rtol=0, atol=0)


def _evaluate(module, values):
    return module(torch.tensor(values)).tolist()


def test_a_used_module_goes_to_a_spawned_process():
    module = make()
    expected = module(angles()).tolist()
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(_evaluate, (module, angles().tolist())) == expected


def _penalty(module, x):
    (gradient,) = torch.autograd.grad(module(x).sum(), x, create_graph=True)
    (gradient.square().sum() + module(x).sum()).backward()


SECOND = {
    "create_graph": _penalty,
    "hessian": lambda module, x: torch.autograd.functional.hessian(lambda z: module(z).sum(), x.detach()),
    "hvp": lambda module, x: torch.autograd.functional.hvp(lambda z: module(z).sum(), x.detach(), torch.ones_like(x)),
    "jvp": lambda module, x: torch.autograd.functional.jvp(module, x.detach(), torch.ones_like(x)),
    "func.hessian": lambda module, x: torch.func.hessian(lambda z: module(z).sum())(x.detach()),
    "func.jacfwd": lambda module, x: torch.func.jacfwd(module)(x.detach()),
    "func.jvp": lambda module, x: torch.func.jvp(module, (x.detach(),), (torch.ones_like(x),)),
    "grad of grad": lambda module, x: torch.func.grad(lambda z: torch.func.grad(lambda y: module(y).sum())(z).sum())(
        x.detach()
    ),
    "gradgradcheck": lambda module, x: torch.autograd.gradgradcheck(module, (x,)),
}


@pytest.mark.parametrize("form", SECOND)
def test_second_derivatives_and_forward_mode_are_errors(engine, form):
    module = make(2, 1).double()
    x = angles(1, 1, 2).double().requires_grad_()
    with pytest.raises(UsageError, match=r"second derivative|forward mode"):
        SECOND[form](module, x)


@pytest.mark.parametrize("form", ["create_graph", "hessian", "hvp", "jvp", "gradgradcheck"])
def test_second_derivatives_through_connectors_are_errors(form):
    module = make(2, 1, execution="connectors")
    x = angles(1, 1, 2).requires_grad_()
    with pytest.raises((UsageError, RuntimeError), match=r"second derivative|forward mode|once_differentiable"):
        SECOND[form](module, x)


@pytest.mark.parametrize("form", ["create_graph", "hessian", "hvp", "jvp", "gradgradcheck"])
def test_second_derivatives_through_a_connector_of_ones_own_are_errors(form):
    ansatz = hybridq_ansatz(2, 1)
    network = ExactQNN(
        circuit=ansatz.circuit,
        observables=list(ansatz.observables),
        input_params=list(ansatz.input_parameters),
        weight_params=list(ansatz.weight_parameters),
        input_gradients=True,
    )
    connector = TorchConnector(network)
    x = angles(1, 1, 2)[0].requires_grad_()
    with pytest.raises((UsageError, RuntimeError), match=r"second derivative|once_differentiable"):
        SECOND[form](connector, x)
    # A backward of torch's, and a call outside of one, go on as before.
    connector(x).sum().backward()
    torch.testing.assert_close(
        x.grad[0],
        torch.tensor(network.backward(x.detach().numpy(), connector.weight.detach().numpy())[0][0]).sum(0).float(),
    )


def test_a_retained_graph_is_walked_twice_with_equal_results(engine):
    module, x = make(3, 2), angles(2, 2, 3).requires_grad_()
    values = module(x)
    cotangent = angles(*values.shape)
    first, second = (torch.autograd.grad(values, x, cotangent, retain_graph=True)[0] for _ in range(2))
    torch.testing.assert_close(second, first, rtol=0, atol=1e-6)
    with pytest.raises(UsageError, match="jacrev"):
        torch.autograd.grad(values, x, torch.stack([cotangent, -cotangent]), is_grads_batched=True)
    # Without gradients being recorded around them too, those of torch.func are mapped over.
    with torch.no_grad():
        mapped = torch.func.jacrev(module)(x.detach())
    torch.testing.assert_close((mapped * cotangent[..., None, None, None]).sum((0, 1, 2)), first, rtol=0, atol=1e-5)


@pytest.mark.parametrize("reps", [2, 3])
def test_what_was_first_met_in_inference_mode_trains_afterwards(engine, reps, monkeypatch):
    monkeypatch.setattr(cache, "_engines", OrderedDict())
    w, x = ParameterVector("w", 3), ParameterVector("x", 3)
    circuit = QuantumCircuit(3)
    for layer in range(reps):
        for qubit in range(3):
            circuit.ry(x[qubit] * w[qubit] if layer else x[qubit], qubit)
            circuit.rx(w[qubit], qubit)
        circuit.cz(0, 1)
    ansatz = CircuitSpec("products", circuit, tuple(x), tuple(w), (SparsePauliOp("ZZI"), SparsePauliOp("IXZ")))
    module, inputs = SubGenerators(ansatz, 2, generator=torch.Generator().manual_seed(1)), angles(9)
    with torch.inference_mode():
        first = module(inputs).clone()
    values = module(inputs.requires_grad_())
    values.sum().backward()
    torch.testing.assert_close(values.detach(), first.clone(), rtol=0, atol=1e-6)
    monkeypatch.setattr(cache, "_engines", OrderedDict())
    fresh = copy.deepcopy(module)
    fresh.zero_grad()
    leaf = inputs.detach().clone().requires_grad_()
    fresh(leaf).sum().backward()
    torch.testing.assert_close(inputs.grad, leaf.grad, rtol=0, atol=1e-6)


def test_a_penalty_on_weights_alone_is_an_error_too(engine):
    module = make(2, 1)
    weights = list(module.parameters())
    gradients = torch.autograd.grad(module(angles(1, 1, 2)).sum(), weights, create_graph=True)
    with pytest.raises(UsageError, match="second derivative"):
        sum(gradient.square().sum() for gradient in gradients).backward()


def test_first_derivatives_through_torch_func(engine):
    module = make(2, 1).double()
    x = angles(2, 1, 2).double()
    gradient = torch.func.grad(lambda z: module(z).sum())(x)
    step = 1e-6
    for place in torch.ones_like(x).nonzero().tolist():
        one = torch.zeros_like(x)
        one[tuple(place)] = step
        slope = (module(x + one).sum() - module(x - one).sum()) / (2 * step)
        assert abs(gradient[tuple(place)] - slope) < 1e-7
    leaf = x.clone().requires_grad_()
    assert torch.autograd.gradcheck(module, (leaf,))
    torch.testing.assert_close(
        torch.func.jacrev(module)(x), torch.autograd.functional.jacobian(module, x), rtol=0, atol=1e-10
    )


def fuzz(seed, calls):
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", str(FUZZ), str(seed), str(calls)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    assert done.stdout.split()[-1] == str(calls)


def test_random_calls_neither_crash_nor_lie():
    fuzz(0, 200)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 7))
def test_thousands_of_random_calls(seed):
    fuzz(seed, 500)
