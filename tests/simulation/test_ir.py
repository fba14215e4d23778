"""What the engines accept and refuse: gates of every kind, user gates, annotated operations, evolutions, observables."""

import numpy as np
import pytest
import torch
from oracles import (
    assert_close,
    engine_values,
    statevector_values,
)
from qiskit.circuit import (
    AnnotatedOperation,
    ControlModifier,
    Gate,
    Instruction,
    InverseModifier,
    Parameter,
    PowerModifier,
    QuantumCircuit,
)
from qiskit.circuit import library as gates
from qiskit.quantum_info import Clifford, SparsePauliOp, Statevector
from random_circuits import LIBRARY

from qgan_qiskit.errors import CircuitError
from qgan_qiskit.simulation._reference import ReferenceEngine
from qgan_qiskit.simulation.engine_cache import engine_for


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
