"""The engine against the slow reference and against other people's simulators, on 350 generated circuits.

300 random circuits of up to 6 qubits hold every standard gate of Qiskit; 50 have the shapes of our models.

Shape letters: B images · P instances · Q inputs · K weights · O observables.
"""

import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pytest
import torch
from oracles import (
    aer_values,
    assert_close,
    engine_values,
    parameter_shift,
    slope_along,
    statevector_values,
    stock_qnn_values,
)
from qiskit.circuit import (
    ControlledGate,
    Parameter,
    ParameterExpression,
    ParameterVector,
    QuantumCircuit,
)
from qiskit.circuit import library as gates
from qiskit.quantum_info import SparsePauliOp, Statevector
from random_circuits import LIBRARY, STANDARD, any_gate_circuit, random_observables, split, values

from qgan_qiskit.circuits import hybridq_ansatz
from qgan_qiskit.simulation._reference import ReferenceEngine
from qgan_qiskit.simulation.engine_cache import engine_for
from qgan_qiskit.simulation.torch_engine import TorchEngine

pytestmark = pytest.mark.filterwarnings("ignore::scipy.sparse.SparseEfficiencyWarning")

RANDOM, OURS = 300, 50
NAMES = (*STANDARD, *LIBRARY)
BATCHES, INSTANCES = (1, 3, 17), (1, 2, 3)


@dataclass(frozen=True)
class Case:
    number: int
    circuit: QuantumCircuit
    inputs: list[Parameter]
    weights: list[Parameter]
    observables: list[SparsePauliOp]
    x_BPQ: np.ndarray
    w_PK: np.ndarray

    @cached_property
    def parts(self):
        return self.circuit, self.inputs, self.weights, self.observables

    @cached_property
    def engine(self):
        return engine_for(*self.parts)

    @cached_property
    def reference(self):
        return ReferenceEngine(*self.parts)

    def pairs(self, count):
        """Images and instances to look at: first, last, and others that differ from case to case."""
        every = list(np.ndindex(self.x_BPQ.shape[:2]))
        shuffled = np.random.default_rng(self.number).permutation(len(every))
        return list(dict.fromkeys([every[0], every[-1], *(every[n] for n in shuffled)]))[:count]

    def only(self, b, p):
        """Angles of one image and one instance, with their axes."""
        return self.x_BPQ[b : b + 1, p : p + 1], self.w_PK[p : p + 1]


def case_of(number):
    """Build case ``number``, the same every time: 1, 3 or 17 images of 1 to 3 instances."""
    rng = np.random.default_rng(number)
    shape = random_shape(rng, number) if number < RANDOM else our_shape(number - RANDOM)
    circuit, inputs, weights, observables = shape
    batch, instances = BATCHES[number % 3], INSTANCES[number // 3 % 3]
    x_BPQ, w_PK = values(rng, batch, instances, len(inputs)), values(rng, instances, len(weights))
    return Case(number, circuit, list(inputs), list(weights), list(observables), x_BPQ, w_PK)


def random_shape(rng, number):
    circuit, parameters = any_gate_circuit(rng, NAMES[number % len(NAMES)])
    return circuit, *split(rng, parameters), random_observables(rng, circuit.num_qubits)


def our_shape(number):
    """2 to 10 qubits and depth 1 to 8 of ``hybridq_ansatz``, in all its forms; every fifth is a shape beyond it."""
    qubits, reps = 2 + number % 9, 1 + number % 8
    encoding, entangler, readout = (
        ("ry", "ry_rx")[number % 2],
        ("cx", "cz")[number // 2 % 2],
        ("z", "x")[number // 4 % 2],
    )
    if number % 5 == 4:
        return reuploading(min(qubits, 8), min(reps, 4), entangler)
    if number == 0:
        # MediQ-GAN's form, in which amplitudes are complex, at the largest size.
        qubits, reps, encoding, entangler, readout = 10, 8, "ry_rx", "cz", "x"
    ansatz = hybridq_ansatz(qubits, reps, encoding=encoding, entangler=entangler, readout=readout)
    return ansatz.circuit, ansatz.input_parameters, ansatz.weight_parameters, ansatz.observables


def reuploading(qubits, reps, entangler):
    """Scaled inputs again before each layer, three rotations per qubit, rings of growing stride, sums read out."""
    inputs, weights = ParameterVector("x", qubits), ParameterVector("theta", 3 * reps * qubits)
    circuit, angles = QuantumCircuit(qubits), iter(weights)
    for rep in range(reps):
        for qubit in range(qubits):
            circuit.ry(inputs[qubit] / (rep + 1) + 0.1 * rep, qubit)
            circuit.rz(next(angles), qubit)
            circuit.ry(next(angles), qubit)
            circuit.rx(next(angles), qubit)
        for qubit in range(qubits):
            getattr(circuit, entangler)(qubit, (qubit + 1 + rep % (qubits - 1)) % qubits)
        circuit.barrier()
    terms = [[("ZZ", [q, (q + 1) % qubits], 1.0), ("X", [q], 0.5)] for q in range(qubits)]
    return circuit, inputs, weights, [SparsePauliOp.from_sparse_list(term, qubits) for term in terms]


# Of module scope, so that pytest runs all tests of one case, and then of the next.
@pytest.fixture(scope="module", params=range(RANDOM + OURS))
def case(request):
    return case_of(request.param)


def engine_gradients(engine, x_BPQ, w_PK, cotangent_BPO):
    """Gradients of sum(cotangent * values) by inputs and weights, zeros where nothing depends on them."""
    angles = [torch.tensor(values, requires_grad=True) for values in (x_BPQ, w_PK)]
    found = engine.expectations(*angles)
    gradients = torch.autograd.grad(
        found, angles, torch.tensor(cotangent_BPO), allow_unused=True, materialize_grads=True
    )
    return [gradient.numpy() for gradient in gradients]


def check_values(case):
    found_BPO = engine_values(case.engine, case.x_BPQ, case.w_PK)
    assert found_BPO.dtype == np.float64
    assert found_BPO.shape == (*case.x_BPQ.shape[:2], len(case.observables))
    for b, p in case.pairs(3):
        assert_close(found_BPO[b, p], case.reference.expectations(case.x_BPQ[b, p], case.w_PK[p]), 1e-10)
    for b, p in case.pairs(2):
        assert_close(found_BPO[b, p], statevector_values(*case.parts, *case.only(b, p))[0, 0], 1e-10)


def check_gradients(case):
    # A gradient by weights sums over images: a cotangent that is zero elsewhere leaves those that the reference differentiates.
    rng = np.random.default_rng(case.number)
    cotangent_BPO = np.zeros((*case.x_BPQ.shape[:2], len(case.observables)))
    expected_x, expected_w = np.zeros_like(case.x_BPQ), np.zeros_like(case.w_PK)
    for b, p in case.pairs(2):
        cotangent_BPO[b, p] = rng.normal(size=len(case.observables))
        by_inputs_OQ, by_weights_OK = case.reference.jacobian(case.x_BPQ[b, p], case.w_PK[p])
        expected_x[b, p] = cotangent_BPO[b, p] @ by_inputs_OQ
        expected_w[p] += cotangent_BPO[b, p] @ by_weights_OK
    found_x, found_w = engine_gradients(case.engine, case.x_BPQ, case.w_PK, cotangent_BPO)
    assert_close(found_x, expected_x, 1e-8)
    assert_close(found_w, expected_w, 1e-8)


def test_values_equal_the_reference_and_statevector(case):
    check_values(case)


def test_gradients_equal_the_reference(case):
    check_gradients(case)


def test_single_precision_equals_the_reference(case):
    found_BPO = engine_values(engine_for(*case.parts, torch.float32), case.x_BPQ, case.w_PK)
    assert found_BPO.dtype == np.float32
    for b, p in case.pairs(6):
        assert_close(found_BPO[b, p], case.reference.expectations(case.x_BPQ[b, p], case.w_PK[p]), 1e-5)


@pytest.mark.parametrize("number", range(3, RANDOM + OURS, 5))
def test_torch_engine_equals_the_reference(number, monkeypatch):
    monkeypatch.setenv("QGAN_QISKIT_ENGINE", "torch")
    case = case_of(number)
    assert isinstance(case.engine, TorchEngine)
    check_values(case)
    check_gradients(case)
    single_BPO = engine_values(engine_for(*case.parts, torch.float32), case.x_BPQ, case.w_PK)
    assert_close(single_BPO, engine_values(case.engine, case.x_BPQ, case.w_PK), 1e-5)


@pytest.mark.parametrize("number", range(0, RANDOM + OURS, 3))
def test_gradients_equal_finite_differences(number):
    """Of all images and instances at once, along a random direction."""
    case, rng = case_of(number), np.random.default_rng(number)
    cotangent_BPO = rng.normal(size=(*case.x_BPQ.shape[:2], len(case.observables)))
    direction_x, direction_w = rng.normal(size=case.x_BPQ.shape), rng.normal(size=case.w_PK.shape)
    found_x, found_w = engine_gradients(case.engine, case.x_BPQ, case.w_PK, cotangent_BPO)
    along = (found_x * direction_x).sum() + (found_w * direction_w).sum()

    def loss(x_BPQ, w_PK):
        return float((engine_values(case.engine, x_BPQ, w_PK) * cotangent_BPO).sum())

    slope = slope_along(loss, case.x_BPQ, case.w_PK, direction_x, direction_w)
    assert along == pytest.approx(slope, rel=0, abs=1e-8 * max(1.0, np.abs(cotangent_BPO).sum()))


@pytest.mark.parametrize("number", [*range(0, RANDOM, 10), *range(RANDOM + 9, RANDOM + OURS, 9)])
def test_gradients_equal_parameter_shift(number):
    case = case_of(number)
    b, p = case.pairs(3)[-1]
    cotangent_BPO = np.zeros((*case.x_BPQ.shape[:2], len(case.observables)))
    cotangent_BPO[b, p] = np.random.default_rng(number).normal(size=len(case.observables))
    found_x, found_w = engine_gradients(case.engine, case.x_BPQ, case.w_PK, cotangent_BPO)
    one = cotangent_BPO[b : b + 1, p : p + 1]
    expected_x, expected_w = parameter_shift(*case.parts, *case.only(b, p), one)
    assert_close(found_x[b, p], expected_x[0, 0], 1e-8)
    assert_close(found_w[p], expected_w[0], 1e-8)


@pytest.mark.parametrize("number", range(0, RANDOM + OURS, 5))
def test_values_equal_the_stock_estimator_qnn(number):
    pytest.importorskip("qiskit_machine_learning", reason="EstimatorQNN needs qiskit-machine-learning")
    case = case_of(number)
    found_BPO = engine_values(case.engine, case.x_BPQ, case.w_PK)
    assert_close(found_BPO[-2:, -1:], stock_qnn_values(*case.parts, case.x_BPQ[-2:, -1:], case.w_PK[-1:]), 1e-10)


@pytest.mark.parametrize("number", range(1, RANDOM + OURS, 5))
def test_values_equal_aer(number):
    pytest.importorskip("qiskit_aer", reason="its EstimatorV2 needs qiskit-aer")
    case = case_of(number)
    found_BPO = engine_values(case.engine, case.x_BPQ, case.w_PK)
    assert_close(found_BPO[-2:, -1:], aer_values(*case.parts, case.x_BPQ[-2:, -1:], case.w_PK[-1:]), 1e-10)


@pytest.mark.parametrize("number", range(0, RANDOM, 10))
def test_state_of_the_reference_is_the_circuits_up_to_its_phase(number):
    case = case_of(number)
    x_Q, w_K = case.x_BPQ[0, 0], case.w_PK[0]
    found_D = case.reference.state(x_Q, w_K)
    bound = case.circuit.assign_parameters(dict(zip([*case.inputs, *case.weights], [*x_Q, *w_K], strict=True)))
    assert abs(np.vdot(found_D, Statevector(bound).data)) == pytest.approx(1, abs=1e-10)
    assert np.linalg.norm(found_D) == pytest.approx(1, abs=1e-10)


def test_random_circuits_hold_every_standard_gate():
    turned_by, controls, classes, traits = set(), set(), set(), set()
    for number in range(RANDOM):
        circuit, inputs, weights, observables = case_of(number).parts
        places = dict.fromkeys([*inputs, *weights], 0)
        for gate in (item.operation for item in circuit.data):
            classes.add(gate.base_class)
            free = {p for angle in gate.params if isinstance(angle, ParameterExpression) for p in angle.parameters}
            turned_by.add((gate.base_class, bool(free)))
            if isinstance(gate, ControlledGate):
                controls.add((gate.base_class, gate.ctrl_state == 2**gate.num_ctrl_qubits - 1))
            for parameter in free:
                places[parameter] += 1
        traits |= {("input used", min(places[p], 3)) for p in inputs} | {
            ("weight used", min(places[p], 3)) for p in weights
        }
        traits.add(("phase turns", isinstance(circuit.global_phase, ParameterExpression)))
        traits |= {("qubits", circuit.num_qubits), ("no inputs", not inputs), ("no weights", not weights)}
        traits |= {("letter", letter) for o in observables for label in o.paulis.to_labels() for letter in label}
    for name, gate in STANDARD.items():
        assert (gate.base_class, False) in turned_by, f"{name} with numbers"
        if gate.params:
            assert (gate.base_class, True) in turned_by, f"{name} with parameters"
        if isinstance(gate, ControlledGate):
            assert {(gate.base_class, True), (gate.base_class, False)} <= controls, (
                f"{name} with open and closed controls"
            )
    assert {gates.C3XGate, gates.C4XGate, gates.MCXGate, gates.MCPhaseGate, gates.Barrier} <= classes
    expected = {(f"{kind} used", times) for kind in ("input", "weight") for times in (1, 2, 3)}
    expected |= {(what, flag) for what in ("phase turns", "no inputs", "no weights") for flag in (True, False)}
    expected |= {("letter", letter) for letter in "IXYZ"} | {("qubits", n) for n in range(1, 7)}
    assert expected <= traits


def test_our_shapes_hold_every_size_and_choice():
    names = {our_shape(number)[0].name for number in range(OURS) if number % 5 != 4}
    assert len(names) == 40
    assert {int(re.search(r"_q(\d+)", name)[1]) for name in names} == set(range(2, 11))
    assert {int(re.search(r"_r(\d+)", name)[1]) for name in names} == set(range(1, 9))
    assert len({re.sub(r"_q\d+_r\d+", "", name) for name in names}) == 8
