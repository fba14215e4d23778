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
from oracles import aer_values, parameter_shift, slope_along, statevector_values, stock_qnn_values
from qiskit.circuit import (
    AnnotatedOperation,
    ControlledGate,
    ControlModifier,
    Gate,
    Instruction,
    InverseModifier,
    Parameter,
    ParameterExpression,
    ParameterVector,
    PowerModifier,
    QuantumCircuit,
)
from qiskit.circuit import library as gates
from qiskit.quantum_info import Clifford, SparsePauliOp, Statevector
from random_circuits import LIBRARY, STANDARD, any_gate_circuit, random_observables, split, values

from qgan_qiskit.circuits import hybridq_ansatz
from qgan_qiskit.errors import CircuitError
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


def engine_values(engine, x_BPQ, w_PK):
    with torch.no_grad():
        return engine.expectations(*(torch.tensor(angles, dtype=engine.dtype) for angles in (x_BPQ, w_PK))).numpy()


def engine_gradients(engine, x_BPQ, w_PK, cotangent_BPO):
    """Gradients of sum(cotangent * values) by inputs and weights, zeros where nothing depends on them."""
    angles = [torch.tensor(values, requires_grad=True) for values in (x_BPQ, w_PK)]
    found = engine.expectations(*angles)
    gradients = torch.autograd.grad(
        found, angles, torch.tensor(cotangent_BPO), allow_unused=True, materialize_grads=True
    )
    return [gradient.numpy() for gradient in gradients]


def assert_close(found, expected, tolerance):
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


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


def refused(build, observable="ZZ"):
    """Return the message with which the engine refuses a circuit of two qubits and a classical bit."""
    circuit = QuantumCircuit(2, 1)
    build(circuit)
    with pytest.raises(CircuitError) as error:
        engine_for(circuit, (), circuit.parameters, [SparsePauliOp(observable)])
    return str(error.value)


def test_refusals_name_what_and_where():
    assert "'measure' on qubits [1]: remove measurements" in refused(lambda qc: qc.measure(1, 0))
    assert "'reset' on qubits [0]: a reset is not unitary" in refused(lambda qc: qc.reset(0))
    assert "'mystery' on qubits [1, 0]: the gate has no definition" in refused(
        lambda qc: qc.append(Gate("mystery", 2, []), [1, 0])
    )
    assert "'mystery' on qubits [1]: the gate has no definition" in refused(
        lambda qc: qc.append(Instruction("mystery", 1, 0, []), [1])
    )
    inner = QuantumCircuit(1, name="inner")
    inner.h(0)
    inner.reset(0)
    assert "'reset' on qubits [1]" in refused(lambda qc: qc.append(inner.to_instruction(), [1]))


@pytest.mark.parametrize("block", ["if_test", "for_loop", "while_loop", "switch"])
def test_refuses_classical_control(block):
    arguments = {"if_test": [(0, 1)], "for_loop": [range(2)], "while_loop": [(0, 1)], "switch": [0]}[block]

    def build(circuit):
        register = [circuit.clbits[0] if a == 0 else (circuit.clbits[0], 1) if a == (0, 1) else a for a in arguments]
        with getattr(circuit, block)(*register) as inside:
            if block == "switch":
                with inside(1):
                    circuit.x(1)
            else:
                circuit.x(1)

    assert "classical control is not supported" in refused(build)


@pytest.mark.parametrize(
    "angle",
    [lambda a, b: a**2, lambda a, b: a.sin(), lambda a, b: a * b, lambda a, b: a.exp(), lambda a, b: b / (a + 1)],
)
@pytest.mark.parametrize("gate", ["rx", "crz", "rzz"])
def test_angles_that_are_not_affine_give_the_values_of_statevector(gate, angle):
    a, b = Parameter("alpha"), Parameter("beta")
    circuit = QuantumCircuit(2)
    circuit.h([0, 1])
    getattr(circuit, gate)(angle(a, b), *range(1 if gate == "rx" else 2))
    circuit.rx(0.3, [0, 1])
    observable = SparsePauliOp(["ZZ", "YI", "IX"], [1.0, 0.7, -0.2])
    numbers = {parameter: {"alpha": 0.7, "beta": -0.4}[parameter.name] for parameter in circuit.parameters}
    expected = Statevector(circuit.assign_parameters(numbers)).expectation_value(observable).real
    engine = engine_for(circuit, (), tuple(numbers), [observable])
    found = engine.expectations(
        torch.zeros(1, 1, 0).double(), torch.tensor([list(numbers.values())], dtype=torch.float64)
    )
    assert abs(found.item() - expected) < 1e-10


def test_reference_refuses_what_the_engine_refuses():
    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)
    with pytest.raises(CircuitError, match="remove measurements"):
        ReferenceEngine(circuit, [], [], [SparsePauliOp("Z")]).expectations([], [])


ENGINES = ["llvm", "torch"]


@pytest.mark.parametrize("kind", ENGINES)
@pytest.mark.parametrize("label", ["Z", "X", "ZZZ", "IIZ", "XXX"])
def test_refuses_observables_on_another_number_of_qubits(label, kind, monkeypatch):
    monkeypatch.setenv("QGAN_QISKIT_ENGINE", kind)
    expected = f"observable 0 acts on {len(label)} qubit(s), the circuit has 2"
    assert expected in refused(lambda qc: qc.h(0), label)


def times(coefficient, label):
    operator = SparsePauliOp(label)
    operator.coeffs = np.array([coefficient])
    return operator


@pytest.mark.parametrize("kind", ENGINES)
@pytest.mark.parametrize(
    ("operators", "message"),
    [
        ([SparsePauliOp("XX"), SparsePauliOp(["XX", "IX"], [1.0, 1e-3j])], "observable 1 is not Hermitian: .* of IX"),
        ([SparsePauliOp("YX", 1j)], "observable 0 is not Hermitian: the coefficient of YX is 1j"),
        ([times(np.nan, "XX")], "observable 0 has the coefficient .*nan.* of XX; use finite numbers"),
        ([times(np.inf, "ZX")], "observable 0 has the coefficient .*inf.* of ZX; use finite numbers"),
        ([SparsePauliOp("XX", np.array([Parameter("alpha")]))], "observable 0 has a parameterized coefficient"),
        ([], "there are no observables; give at least one"),
    ],
)
def test_refuses_observables_in_the_users_words(operators, message, kind, monkeypatch):
    monkeypatch.setenv("QGAN_QISKIT_ENGINE", kind)
    with pytest.raises(CircuitError, match=message) as error:
        engine_for(QuantumCircuit(2), (), (), operators)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", ENGINES)
def test_rounded_coefficients_are_fine(kind, monkeypatch):
    monkeypatch.setenv("QGAN_QISKIT_ENGINE", kind)
    engine = engine_for(QuantumCircuit(1), (), (), [SparsePauliOp("Z", 0.5 + 1e-17j)])
    assert engine_values(engine, np.zeros((1, 1, 0)), np.zeros((1, 0))).item() == 0.5


@pytest.mark.parametrize("kind", ENGINES)
@pytest.mark.parametrize(
    ("inputs", "weights", "message"),
    [
        ((0,), (0,), "'a' is both an input and a weight; list it once"),
        ((0, 0), (), "'a' is listed 2 times; list it once"),
        ((), (1, 0, 1), "'b' is listed 2 times; list it once"),
        ((0,), (), "'b' is neither an input nor a weight"),
    ],
)
def test_refuses_lists_that_do_not_split_the_parameters(inputs, weights, message, kind, monkeypatch):
    monkeypatch.setenv("QGAN_QISKIT_ENGINE", kind)
    parameters, circuit = (Parameter("a"), Parameter("b")), QuantumCircuit(1)
    for parameter in parameters:
        circuit.ry(parameter, 0)
        circuit.rz(parameter, 0)
    with pytest.raises(CircuitError, match=message):
        engine_for(circuit, [parameters[i] for i in inputs], [parameters[i] for i in weights], [SparsePauliOp("Z")])


ALPHA = Parameter("alpha")


def annotated_inside(alpha):
    inner = QuantumCircuit(2, name="inner", global_phase=0.3)
    inner.append(AnnotatedOperation(gates.RYGate(2 * alpha), ControlModifier(1, 0)), [1, 0])
    return inner.to_gate()


OWN = LIBRARY["own"][1](lambda: ALPHA, None)
ANNOTATED = {
    name: AnnotatedOperation(gate, modifiers)
    for name, gate, modifiers in [
        ("control", gates.RXGate(ALPHA), [ControlModifier(1)]),
        ("open control", gates.RXGate(ALPHA), [ControlModifier(1, 0)]),
        ("two controls", gates.RYGate(ALPHA), [ControlModifier(2, 1)]),
        ("no angles", gates.HGate(), [ControlModifier(2, 2)]),
        ("phase", gates.PhaseGate(ALPHA), [ControlModifier(2)]),
        ("inverse", OWN, [InverseModifier()]),
        ("own", OWN, [ControlModifier(1)]),
        ("square", gates.RXGate(ALPHA), [ControlModifier(1), PowerModifier(2)]),
        ("cube", gates.RXGate(ALPHA), [ControlModifier(1), PowerModifier(3)]),
        ("root", gates.RZGate(ALPHA), [PowerModifier(0.5), ControlModifier(1)]),
        ("root of numbers", gates.iSwapGate(), [PowerModifier(0.3), ControlModifier(1)]),
        (
            "annotated base",
            AnnotatedOperation(gates.UGate(0.3, 0.4, 0.5), [InverseModifier()]),
            [ControlModifier(1, 0), PowerModifier(2), ControlModifier(1), ControlModifier(0)],
        ),
    ]
}
ANNOTATED["inside"] = annotated_inside(ALPHA)


@pytest.mark.parametrize("name", ANNOTATED)
def test_annotated_operations(name):
    """Qiskit's Statevector applies the modifiers to matrices, not to gates."""
    gate, circuit = ANNOTATED[name], QuantumCircuit(3)
    for qubit in range(3):
        circuit.u(0.5 + 0.3 * qubit, 0.2, 0.7, qubit)
    circuit.append(gate, [2, 0, 1][: gate.num_qubits])
    circuit.ry(ALPHA / 3, 0)
    observables = [SparsePauliOp(label) for label in ("XYZ", "ZIX", "IYI", "YZY")]
    weights = np.array([[0.4], [-1.9]])
    found = engine_values(engine_for(circuit, (), [ALPHA], observables), np.zeros((1, 2, 0)), weights)
    expected = statevector_values(circuit, (), [ALPHA], observables, np.zeros((1, 2, 0)), weights)
    assert_close(found, expected, 1e-10)


def test_refuses_modifiers_that_cannot_be_applied():
    message = refused(lambda qc: qc.append(OWN.power(0.5, annotated=True), [1, 0]))
    assert "PowerModifier(power=0.5) cannot be applied to gate 'outer' on qubits [1, 0]" in message
    assert message.endswith("write it out in standard gates")
    mystery = Gate("mystery", 1, []).control(1, annotated=True)
    assert "cannot be applied to gate 'mystery' on qubits [0, 1]" in refused(lambda qc: qc.append(mystery, [0, 1]))


def test_refuses_operations_that_are_no_instructions():
    message = refused(lambda qc: qc.append(Clifford(np.eye(4)), [0, 1]))
    assert "'clifford' on qubits [0, 1] is not written out in gates; append its to_instruction()" in message


def test_refuses_a_gate_that_cannot_be_written_out_before_its_angles_are_numbers():
    message = refused(lambda qc: qc.append(gates.RVGate(Parameter("alpha"), 0.2, 0.3), [1]))
    assert "gate 'rv' on qubits [1] has no definition (The rv gate cannot be decomposed" in message
    assert message.endswith("use numbers or standard gates")

    class Mine(Gate):
        def _define(self):
            raise TypeError("not\nnow")

    message = refused(lambda qc: qc.append(Mine("mine", 1, []), [1]))
    assert "gate 'mine' on qubits [1] has no definition (not now)" in message


class Matrix(Gate):
    """A gate given by its matrix, with a definition that says nothing of it, or none."""

    def __init__(self, name, matrix, definition=None, params=()):
        super().__init__(name, 1, list(params))
        self.matrix, self._definition = matrix, definition

    def __array__(self, dtype=None, copy=None):
        return self.matrix


class Turned(gates.RYGate):
    """A subclass of a standard gate that has its name and is another one."""

    def __init__(self, angle, axis):
        super().__init__(angle)
        self.axis = axis

    def __array__(self, dtype=None, copy=None):
        return np.array((gates.RXGate if self.axis == "x" else gates.RYGate)(*self.params))

    def _define(self):
        self.definition = QuantumCircuit(1)
        getattr(self.definition, f"r{self.axis}")(self.params[0], 0)


NOT, SAME = np.array([[0, 1], [1, 0]]), np.eye(2)


def values_of(gate, *letters):
    circuit = QuantumCircuit(1)
    circuit.append(gate, [0])
    weights = np.full((1, len(circuit.parameters)), 0.3)
    engine = engine_for(circuit, (), circuit.parameters, [SparsePauliOp(letter) for letter in letters])
    return engine_values(engine, np.zeros((1, 1, 0)), weights).ravel().tolist()


@pytest.mark.parametrize("name", ["mine", "id", "ry", "u2"])
@pytest.mark.parametrize("definition", [None, QuantumCircuit(1)])
def test_two_gates_of_one_name_and_different_matrices_are_not_confused(name, definition):
    found = [values_of(Matrix(name, matrix, definition, [0.3]), "Z") for matrix in (SAME, NOT, SAME)]
    assert found == [[1.0], [-1.0], [1.0]]


@pytest.mark.parametrize("angle", [0.3, ALPHA])
def test_two_subclasses_of_a_standard_gate_are_not_confused(angle):
    found = [values_of(gate, "X", "Y") for gate in (gates.RYGate(angle), Turned(angle, "x"), Turned(angle, "y"))]
    assert_close(np.array(found), np.array([[np.sin(0.3), 0], [0, -np.sin(0.3)], [np.sin(0.3), 0]]), 1e-12)


@pytest.mark.parametrize("unit", ["dt", "ns"])
def test_a_delay_does_nothing(unit):
    circuit = QuantumCircuit(2)
    circuit.ry(ALPHA, 0)
    circuit.delay(100, 0, unit)
    circuit.delay(Parameter("duration"), 1, unit)
    engine = engine_for(circuit, (), circuit.parameters, [SparsePauliOp("IZ"), SparsePauliOp("ZI")])
    assert_close(
        engine_values(engine, np.zeros((1, 1, 0)), np.array([[0.3, 7]])), np.array([[[np.cos(0.3), 1]]]), 1e-12
    )


def test_an_evolution_of_terms_that_do_not_commute_is_its_exponential_or_refused():
    for letters in ("X", "XX"):
        operator = SparsePauliOp([letters, letters[1:] + "Z"], [1.0, 0.6])
        observables, circuit = [SparsePauliOp(letter * len(letters)) for letter in "XZ"], QuantumCircuit(len(letters))
        circuit.ry(0.4, 0)
        evolved, free = circuit.copy(), circuit.copy()
        evolved.append(gates.PauliEvolutionGate(operator, 0.7), circuit.qubits)
        free.append(gates.PauliEvolutionGate(operator, ALPHA), circuit.qubits)
        found = engine_values(engine_for(evolved, (), (), observables), np.zeros((1, 1, 0)), np.zeros((1, 0)))[0, 0]
        expected = Statevector(evolved)
        assert_close(found, np.array([expected.expectation_value(o).real for o in observables]), 1e-10)
        with pytest.raises(CircuitError, match="LieTrotter"):
            engine_for(free, (), free.parameters, observables)


@pytest.mark.parametrize("form", ["own", "inverse", "power", "control", "annotated control", "annotated inverse"])
def test_an_evolution_inside_other_gates_is_its_exponential_too(form):
    evolution = gates.PauliEvolutionGate(SparsePauliOp(["ZZ", "XI"], [1.0, -0.4]), 0.7)
    inner = QuantumCircuit(2)
    inner.append(evolution, [0, 1])
    own = inner.to_gate()
    gate = {
        "own": lambda: own,
        "inverse": own.inverse,
        "power": lambda: own.power(2),
        "control": lambda: own.control(1),
        "annotated control": lambda: AnnotatedOperation(own, ControlModifier(1)),
        "annotated inverse": lambda: AnnotatedOperation(own, InverseModifier()),
    }[form]()
    circuit = QuantumCircuit(3)
    circuit.h([0, 1, 2])
    circuit.ry(0.3, 0)
    circuit.append(gate, range(gate.num_qubits))
    circuit.rx(0.4, [0, 1])
    observable = SparsePauliOp(["ZZI", "XIX", "IYZ"], [1.0, 0.5, 0.3])
    found = engine_values(engine_for(circuit, (), (), [observable]), np.zeros((1, 1, 0)), np.zeros((1, 0)))[0, 0, 0]
    assert abs(found - Statevector(circuit).expectation_value(observable).real) < 1e-10
