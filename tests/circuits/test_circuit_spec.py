"""What a circuit spec rejects, by class and key word of the error, and what it keeps."""

import numpy as np
import pytest
from qiskit.circuit import ClassicalRegister, Gate, Parameter, QuantumCircuit, QuantumRegister
from qiskit.circuit.library import DiagonalGate, RVGate, UnitaryGate
from qiskit.quantum_info import Clifford, SparsePauliOp

from qgan_qiskit.circuits import CircuitSpec
from qgan_qiskit.errors import CircuitError, UsageError

X, T = Parameter("x_000"), Parameter("theta_000")
ZZ = SparsePauliOp(["ZZ"])


def circuit_of(change=lambda circuit: None):
    circuit = QuantumCircuit(2)
    circuit.ry(X, 0)
    circuit.ry(T, 1)
    circuit.cx(0, 1)
    change(circuit)
    return circuit


def build_spec(circuit, inputs=(X,), weights=(T,), observables=(ZZ,)):
    return CircuitSpec("test", circuit, inputs, weights, observables)


def gate_with(angle):
    inner = QuantumCircuit(1, name="mine")
    inner.rz(angle, 0)
    return inner.to_gate()


def opaque(circuit):
    circuit.append(Gate("box", 1, [T]), [1])


def instruction_with_reset(circuit):
    inner = QuantumCircuit(1, name="again")
    inner.reset(0)
    circuit.append(inner.to_instruction(), [0])


def root(circuit):
    circuit.append(gate_with(T).power(0.5, annotated=True), [1])


def branch(circuit):
    circuit.add_register(ClassicalRegister(1))
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(0)


def loop(circuit):
    with circuit.for_loop(range(2)):
        circuit.x(0)


REJECTED_GATES = {
    "measure": (lambda c: c.measure_all(), r"'measure' on qubit 0"),
    "reset": (lambda c: c.reset(1), r"'reset' on qubit 1"),
    "inner reset": (instruction_with_reset, r"'reset' on qubit 0 in 'again'"),
    "if": (branch, r"'if_else' on qubit 0 .*control flow"),
    "loop": (loop, r"'for_loop' on qubit 0"),
    "delay": (lambda c: c.delay(10, 0), r"'delay' on qubit 0"),
    "initialize": (lambda c: c.initialize([1, 0], 0), r"'reset' on qubit 0 in 'initialize'"),
    "clbits": (lambda c: c.add_register(ClassicalRegister(3)), r"3 classical bit"),
    "variable": (lambda c: c.add_var("flag", True), r"'store'|classical variable 'flag'"),
    "opaque": (opaque, r"gate 'box' on qubit 1 has no definition"),
    "rv": (lambda c: c.append(RVGate(T, 0, 0), [0]), r"gate 'rv' on qubit 0"),
    "root": (root, r"PowerModifier\(power=0.5\) .* gate 'mine' on qubit 1"),
    "clifford": (lambda c: c.append(Clifford(np.eye(4)), [1, 0]), r"'clifford' on qubit 1, 0 .* to_instruction\(\)"),
    "product": (lambda c: c.rz((X * T).sign(), 1), r"gate 'rz' on qubit 1 .*'sign'"),
    "sine": (lambda c: c.cp(X.sign(), 0, 1), r"gate 'cp' on qubit 0, 1 .*'sign'"),
    "inner": (lambda c: c.append(gate_with(T.sign()), [0]), r"'rz' on qubit 0 in 'mine' .*'sign'"),
    "complex": (lambda c: c.append(Gate("p", 1, [1j * T]), [0]), r"gate 'p' on qubit 0 .*real"),
    "phase": (lambda c: setattr(c, "global_phase", T.sign()), r"global phase .*'sign'"),
}


@pytest.mark.parametrize("case", REJECTED_GATES)
def test_rejected_gates(case):
    change, pattern = REJECTED_GATES[case]
    with pytest.raises(CircuitError, match=pattern) as caught:
        build_spec(circuit_of(change))
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, UsageError)


def test_no_qubits():
    with pytest.raises(CircuitError, match="no qubits"):
        build_spec(QuantumCircuit())


EXTRA = Parameter("extra")


@pytest.mark.parametrize(
    ("inputs", "weights", "pattern"),
    [
        ((X,), (), "no weights"),
        ((), (T,), "'x_000' is neither an input nor a weight"),
        ((X, T), (T,), "'theta_000' is both an input and a weight"),
        ((X, X), (T,), "'x_000' is listed 2 times"),
        ((X,), (T, T), "'theta_000' is listed 2 times"),
        ((X,), (T, EXTRA), "'extra' is not in the circuit"),
        # Qiskit tells parameters apart by identity, not by name.
        ((Parameter("x_000"),), (T,), "'x_000' is not in the circuit"),
    ],
)
def test_rejected_parameters(inputs, weights, pattern):
    with pytest.raises(CircuitError, match=pattern):
        build_spec(circuit_of(), inputs, weights)


def test_weight_of_the_global_phase_alone():
    circuit = circuit_of()
    circuit.global_phase = EXTRA
    with pytest.raises(CircuitError, match=r"'extra' .* global phase"):
        build_spec(circuit, weights=(T, EXTRA))


@pytest.mark.parametrize(
    ("observables", "pattern"),
    [
        ((), "no observables"),
        ((ZZ, SparsePauliOp(["Z"])), r"observable 1 .*1 qubit"),
        ((SparsePauliOp(["ZZ", "XI"], [1, 1j]),), "not Hermitian.* XI"),
        ((SparsePauliOp(["ZZ"], [np.nan]),), "of ZZ.* finite"),
        ((SparsePauliOp(["ZZ"], np.array([T])),), "parameterized coefficient"),
        (("ZZ",), "SparsePauliOp"),
    ],
)
def test_rejected_observables(observables, pattern):
    with pytest.raises(CircuitError, match=pattern):
        build_spec(circuit_of(), observables=observables)


def accepted(circuit):
    circuit.barrier()
    circuit.append(gate_with(2 * T + X + 0.1), [0])
    circuit.append(UnitaryGate(np.eye(4)), [0, 1])
    circuit.ryy(T / 2, 0, 1)
    circuit.append(DiagonalGate([1, -1]), [1])
    circuit.append(gate_with(T).inverse(annotated=True).control(1, annotated=True), [0, 1])
    instruction = QuantumCircuit(1, name="unitary after all")
    instruction.sx(0)
    circuit.append(instruction.to_instruction(), [0])
    circuit.global_phase = X


def test_what_is_kept():
    circuit = QuantumCircuit(QuantumRegister(1, "a"), QuantumRegister(1, "b"))
    circuit.compose(circuit_of(accepted), inplace=True)
    spec = CircuitSpec("mine", circuit, [X], [T], [ZZ, ZZ, ZZ], source="here")
    assert (spec.num_qubits, spec.num_inputs, spec.num_weights, spec.num_observables) == (2, 1, 1, 3)
    assert spec.input_parameters == (X,)
    assert spec.observables == (ZZ, ZZ, ZZ)
    assert spec.source == "here"


def test_a_later_change_of_the_circuit_stays_outside():
    circuit = circuit_of()
    spec = build_spec(circuit)
    circuit.measure_all()
    assert spec.circuit.num_clbits == 0
    assert spec.circuit.count_ops() == {"ry": 2, "cx": 1}


def test_no_inputs_is_fine():
    circuit = QuantumCircuit(2)
    circuit.ry(T, 0)
    assert build_spec(circuit, inputs=()).num_inputs == 0
