"""The LLVM engine where it differs from the torch engine: angles, memory, threads, widths, compilation."""

import warnings

import numpy as np
import pytest
import torch
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp
from random_circuits import random_circuit, random_observables, split, values

from qgan_qiskit import memory
from qgan_qiskit.circuits import hybridq_ansatz
from qgan_qiskit.errors import MemoryNeededError, UsageError
from qgan_qiskit.qnn import SubGenerators
from qgan_qiskit.simulation import engine_cache as cache
from qgan_qiskit.simulation import llvm
from qgan_qiskit.simulation._reference import ReferenceEngine
from qgan_qiskit.simulation.engine_cache import engine_for, engine_for_spec
from qgan_qiskit.simulation.llvm import bytecode, target
from qgan_qiskit.simulation.llvm import engine as llvm_engine

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def llvm_only(monkeypatch):
    monkeypatch.setenv("QGAN_QISKIT_ENGINE", "llvm")


def case(seed, batch=3, instances=2):
    rng = np.random.default_rng(seed)
    circuit, parameters = random_circuit(rng, max_qubits=5)
    inputs, weights = split(rng, parameters)
    observables = random_observables(rng, circuit.num_qubits)
    return (
        circuit,
        inputs,
        weights,
        observables,
        values(rng, batch, instances, len(inputs)),
        values(rng, instances, len(weights)),
    )


def value_and_gradients(engine, x, w):
    x, w = (torch.tensor(v, dtype=engine.dtype, requires_grad=True) for v in (x, w))
    found = engine.expectations(x, w)
    cotangent = torch.linspace(-1, 1, found.numel(), dtype=engine.dtype).view(found.shape)
    gradients = torch.autograd.grad((found * cotangent).sum(), (x, w), allow_unused=True)
    return [found.detach(), *gradients]


def assert_close(found, expected, tolerance=1e-12):
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=tolerance)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("angle", [np.pi, -np.pi, np.pi - 1e-7, 3 * np.pi, 2 * np.pi, 0.0, 1e4])
def test_angles_where_tangents_are_infinite(angle, dtype):
    ansatz = hybridq_ansatz(5, 4)
    x, w = np.full((9, 2, 5), angle), np.full((2, ansatz.num_weights), angle)
    engine = engine_for_spec(ansatz, dtype, CPU)
    found, by_input, by_weight = value_and_gradients(engine, x, w)
    # What the engine is given is the angle as its type rounds it.
    x, w = (np.asarray(torch.tensor(v, dtype=dtype), dtype=float) for v in (x, w))
    slow = ReferenceEngine(ansatz.circuit, ansatz.input_parameters, ansatz.weight_parameters, ansatz.observables)
    tolerance = 1e-10 if dtype == torch.float64 else 1e-5 if abs(angle) < 100 else 1e-2
    np.testing.assert_allclose(found[0, 0], slow.expectations(x[0, 0], w[0]), atol=tolerance)
    cotangent = np.linspace(-1, 1, found.numel()).reshape(found.shape)
    by_inputs, by_weights = slow.jacobian(x[0, 0], w[0])
    np.testing.assert_allclose(by_input[4, 1], cotangent[4, 1] @ by_inputs, atol=100 * tolerance)
    np.testing.assert_allclose(by_weight[1], cotangent[:, 1].sum(axis=0) @ by_weights, atol=100 * tolerance)


def test_both_ways_to_rotate_are_used():
    ansatz = hybridq_ansatz(4, 3)
    engine = engine_for_spec(ansatz, torch.float32, CPU)
    for angle, tangents in ((0.3, True), (np.pi, False)):
        chosen, _ = engine.make_operands(np.zeros((4, 1, 16), np.float32), np.full((12, 1), angle, np.float32))
        assert chosen.tangents == tangents


@pytest.mark.parametrize("seed", range(12))
def test_states_made_again_give_the_same_gradients(seed, monkeypatch):
    *circuit, x, w = case(seed)
    engine = engine_for(*circuit)
    kept = value_and_gradients(engine, x, w)
    monkeypatch.setattr(llvm_engine, "_MAX_SAVED_BYTES", 0)
    assert_close(value_and_gradients(engine, x, w), kept, 0)


def test_backward_twice_through_one_graph():
    *circuit, x, w = case(3)
    x, w = (torch.tensor(v, requires_grad=True) for v in (x, w))
    total = engine_for(*circuit).expectations(x, w).sum()
    first = torch.autograd.grad(total, (x, w), retain_graph=True)
    second = torch.autograd.grad(total, (x, w))
    assert_close(second, first, 0)


@pytest.mark.parametrize("seed", range(6))
def test_threads_change_nothing(seed):
    *circuit, x, w = case(seed, batch=50)
    engine = engine_for(*circuit)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = value_and_gradients(engine, x, w)
        torch.set_num_threads(3)
        assert_close(value_and_gradients(engine, x, w), alone, 0)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("batch", [1, 2, 7, 8, 16, 17, 32, 33])
def test_any_number_of_images(batch, dtype):
    *circuit, x, w = case(5, batch=40, instances=3)
    engine = engine_for(*circuit, dtype)
    many, by_input, _ = value_and_gradients(engine, x, w)
    few = engine.expectations(torch.tensor(x[:batch], dtype=dtype), torch.tensor(w, dtype=dtype))
    torch.testing.assert_close(few, many[:batch], rtol=0, atol=1e-12 if dtype == torch.float64 else 2e-6)
    assert by_input.shape == x.shape


@pytest.mark.parametrize("unit", [target.VectorUnit(32, 16), target.VectorUnit(16, 16), target.VectorUnit(16, 32)])
@pytest.mark.parametrize("seed", range(8))
def test_processors_with_other_vectors(unit, seed, monkeypatch):
    """Kernels for narrower vectors and fewer registers run on this processor too."""
    *circuit, x, w = case(seed, batch=9)
    here = value_and_gradients(engine_for(*circuit), x, w)
    for module in (llvm_engine, bytecode):
        monkeypatch.setattr(module, "vector_unit", lambda: unit)
    monkeypatch.setattr(cache, "_engines", type(cache._engines)())
    assert_close(value_and_gradients(engine_for(*circuit), x, w), here)


@pytest.mark.parametrize("chunks", [(1 << 9, 1 << 8), (1 << 10, 1 << 7)])
@pytest.mark.parametrize("encoding", ["ry", "ry_rx"])
def test_blocks_within_blocks_within_blocks(chunks, encoding, monkeypatch):
    """Small caches, so that small states need all levels."""
    ansatz = hybridq_ansatz(8, 4, encoding=encoding, entangler="cz" if encoding == "ry_rx" else "cx")
    rng = np.random.default_rng(0)
    x, w = values(rng, 3, 2, 8), values(rng, 2, ansatz.num_weights)
    expected = value_and_gradients(engine_for_spec(ansatz, torch.float64, CPU), x, w)
    monkeypatch.setattr(bytecode, "_CACHE_BYTES", chunks)
    monkeypatch.setattr(cache, "_engines", type(cache._engines)())
    assert_close(value_and_gradients(engine_for_spec(ansatz, torch.float64, CPU), x, w), expected)


def test_machine_code_is_kept_and_made_again_when_damaged(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    compiled = []
    compile_ = target._compile
    monkeypatch.setattr(target, "_compile", lambda name, build: compiled.append(name) or compile_(name, build))

    def fresh():
        monkeypatch.setattr(target, "_addresses", {})
        monkeypatch.setattr(target, "_compiler", target.functools.cache(target._compiler.__wrapped__))
        monkeypatch.setattr(cache, "_engines", type(cache._engines)())
        compiled.clear()
        *circuit, x, w = case(7)
        found = value_and_gradients(engine_for(*circuit), x, w)
        return found, list(compiled)

    first, names = fresh()
    assert names
    kept, none = fresh()
    assert not none
    assert_close(kept, first, 0)
    for number, name in enumerate(names):
        file = tmp_path / "qgan_qiskit" / "kernels" / name
        content = file.read_bytes()
        file.write_bytes(content[: len(content) // 2] if number % 2 else content[:40] + b"x" + content[41:])
    again, renamed = fresh()
    assert sorted(renamed) == sorted(names)
    assert_close(again, first, 0)


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(target, "_addresses", {})
    monkeypatch.setattr(target, "_compiler", target.functools.cache(target._compiler.__wrapped__))
    monkeypatch.setattr(cache, "_engines", type(cache._engines)())
    *circuit, x, w = case(8)
    value_and_gradients(engine_for(*circuit), x, w)


@pytest.mark.parametrize("kind", ["llvm", "torch"])
def test_too_little_memory_is_said_before_it_is_taken(kind, monkeypatch):
    monkeypatch.setenv("QGAN_QISKIT_ENGINE", kind)
    monkeypatch.setattr(memory, "available_memory", lambda _device=CPU: 1 << 26)
    circuit = QuantumCircuit(22)
    angle = Parameter("a")
    circuit.ry(angle, 21)
    with pytest.raises(
        MemoryNeededError, match=r"needs [\d,]{9,} bytes .* of memory, 67,108,864 bytes .* are available"
    ):
        engine_for(circuit, (), [angle], [SparsePauliOp("Z" * 22)]).expectations(
            torch.zeros(4, 1, 0, dtype=torch.float64), torch.zeros(1, 1, dtype=torch.float64)
        )


@pytest.mark.parametrize("kind", ["llvm", "torch"])
@pytest.mark.parametrize("qubits", [36, 60, 100])
def test_circuits_beyond_any_machine_are_refused(kind, qubits, monkeypatch):
    monkeypatch.setenv("QGAN_QISKIT_ENGINE", kind)
    circuit = QuantumCircuit(qubits)
    angle = Parameter("a")
    circuit.ry(angle, 0)
    for qubit in range(qubits - 1):
        circuit.cx(qubit, qubit + 1)
        circuit.cz(qubit, qubit + 1)
    with pytest.raises(MemoryNeededError, match="use fewer qubits"):
        engine_for(circuit, (), [angle], [SparsePauliOp("X" * qubits)]).expectations(
            torch.zeros(1, 1, 0, dtype=torch.float64), torch.zeros(1, 1, dtype=torch.float64)
        )


@pytest.mark.parametrize("enabled", [True, False])
def test_states_are_kept_for_gradients_only(enabled, monkeypatch):
    kept = []
    pool = llvm_engine._buffer_pool
    acquire = pool.acquire
    monkeypatch.setattr(pool, "acquire", lambda *a: kept.append(1) or acquire(*a))
    module = SubGenerators(hybridq_ansatz(4, 2), 2)
    with torch.set_grad_enabled(enabled):
        assert module(torch.zeros(5, 2, 4)).requires_grad == enabled
    assert bool(kept) == enabled


def test_memory_does_not_grow_with_depth():
    needed = [engine_for_spec(hybridq_ansatz(10, d), torch.float32, CPU).bytes_needed(10, 64, True) for d in (6, 60)]
    states = 640 * 1024 * 4
    assert needed[0] > states
    assert needed[1] < needed[0] + states * 54 * 0.2, "angles and their coefficients only"


def test_without_a_compiler_it_warns_and_uses_the_torch_engine(monkeypatch):
    monkeypatch.delenv("QGAN_QISKIT_ENGINE")
    monkeypatch.setattr(llvm, "is_available", target.functools.cache(llvm.is_available.__wrapped__))
    monkeypatch.setitem(__import__("sys").modules, "qgan_qiskit.simulation.llvm.interpreter", None)
    with pytest.warns(UserWarning, match="plain torch.*pip install llvmlite"):
        assert type(engine_for_spec(hybridq_ansatz(3, 1), torch.float32, CPU)).__name__ == "TorchEngine"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        engine_for_spec(hybridq_ansatz(3, 2), torch.float32, CPU)


def test_insisting_on_kernels_where_there_is_no_compiler_is_refused(monkeypatch):
    monkeypatch.setattr(llvm, "is_available", target.functools.cache(llvm.is_available.__wrapped__))
    monkeypatch.setitem(__import__("sys").modules, "qgan_qiskit.simulation.llvm.interpreter", None)
    with pytest.warns(UserWarning), pytest.raises(UsageError, match=r"kernels .* pip install llvmlite"):
        engine_for_spec(hybridq_ansatz(3, 1), torch.float32, CPU)


def test_an_unknown_engine_is_refused(monkeypatch):
    monkeypatch.setenv("QGAN_QISKIT_ENGINE", "fast")
    with pytest.raises(UsageError, match="QGAN_QISKIT_ENGINE is 'fast'"):
        engine_for_spec(hybridq_ansatz(3, 1), torch.float32, CPU)
