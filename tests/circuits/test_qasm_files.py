"""Circuit files: round trips that keep the state, and one-line errors for a user's file and its metadata."""

import json

import numpy as np
import pytest
from qiskit import qasm3
from qiskit.circuit import Parameter, QuantumCircuit, QuantumRegister
from qiskit.circuit.library import UnitaryGate
from qiskit.quantum_info import Operator, SparsePauliOp, Statevector, random_unitary

from qgan_qiskit.circuits import (
    CircuitSpec,
    circuit_metadata,
    circuit_spec_to_qasm,
    hybridq_ansatz,
    metadata_text,
    read_circuit_spec,
)
from qgan_qiskit.errors import CircuitError

HEAD = 'OPENQASM 3.0;\ninclude "stdgates.inc";\ninput float[64] x_000;\ninput float[64] theta_000;\nqubit[2] q;\n'
BODY = "ry(x_000) q[0];\nry(theta_000) q[1];\ncx q[0], q[1];\n"


def written(tmp_path, text, name="mine.qasm"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def bound(spec, inputs, weights):
    """Bind by the spec's own lists, as training does."""
    parameters = (*spec.input_parameters, *spec.weight_parameters)
    return spec.circuit.assign_parameters(dict(zip(parameters, (*inputs, *weights), strict=True)))


@pytest.mark.parametrize(
    ("num_qubits", "reps", "variant"),
    [
        (1, 1, {}),
        (3, 5, {}),
        (10, 6, {}),
        (4, 3, {"encoding": "ry_rx", "entangler": "cz", "readout": "x"}),
        (2, 501, {"entangler": "cz"}),
    ],
)
def test_round_trip_keeps_order_and_state(tmp_path, num_qubits, reps, variant):
    spec = hybridq_ansatz(num_qubits, reps, **variant)
    back = read_circuit_spec(written(tmp_path, circuit_spec_to_qasm(spec)))
    rng = np.random.default_rng(num_qubits)
    inputs, weights = rng.uniform(-3, 3, spec.num_inputs), rng.uniform(-3, 3, spec.num_weights)
    states = [Statevector(bound(each, inputs, weights)).data for each in (spec, back)]
    np.testing.assert_allclose(states[0], states[1], atol=1e-9)
    assert [p.name for p in back.weight_parameters] == [p.name for p in spec.weight_parameters]


def test_parameters_of_other_names_come_back_in_the_order_of_the_lists(tmp_path):
    weights = [Parameter(f"w[{number}]") for number in range(12)]
    swapped = [Parameter("theta_001"), Parameter("theta_000")]
    circuit = QuantumCircuit(1)
    for weight in (*reversed(weights), *swapped):
        circuit.rx(weight, 0)
        circuit.rz(2 * weight + 0.1, 0)
    spec = CircuitSpec("odd", circuit, (), [*weights, *swapped], [SparsePauliOp("Z")])
    back = read_circuit_spec(written(tmp_path, circuit_spec_to_qasm(spec)))
    values = np.random.default_rng(0).uniform(-3, 3, 14)
    assert Operator(bound(back, (), values)).equiv(Operator(bound(spec, (), values)))
    assert [p.name for p in back.weight_parameters] == [f"theta_{number:03d}" for number in range(14)]


def user_gates():
    x, weights = Parameter("x_000"), [Parameter(f"theta_{number:03d}") for number in range(2)]
    circuit = QuantumCircuit(QuantumRegister(1, "a"), QuantumRegister(2, "b"))
    for number, weight in enumerate(weights):
        inner = QuantumCircuit(2, name="block")
        inner.ry(weight / 2 + x, 0)
        inner.rzz(weight, 0, 1)
        circuit.append(inner.to_gate(), [2 - number, 1 - number])
    circuit.append(UnitaryGate(random_unitary(4, seed=1)), [0, 2])
    circuit.append(UnitaryGate(random_unitary(4, seed=2)), [2, 1])
    return CircuitSpec("gates", circuit, [x], weights, [SparsePauliOp("ZII")])


def test_user_defined_gates_and_several_registers(tmp_path):
    spec = user_gates()
    back = read_circuit_spec(written(tmp_path, circuit_spec_to_qasm(spec)))
    values = (0.7, -1.2, 2.3)
    # Up to the global phase, which Qiskit does not write.
    assert Operator(bound(back, values[:1], values[1:])).equiv(Operator(bound(spec, values[:1], values[1:])))


def test_a_user_file(tmp_path):
    text = HEAD.replace("theta_000", "theta_1000") + (
        "input float[64] theta_007;\ninput angle theta_999;\n"
        "gate twist(a, b) p, r { ry(a/2) p; ctrl @ rz(-b) p, r; }\n"
        "twist(theta_999, x_000) q[0], q[1];\nU(theta_007, pi/2, 2*theta_1000 - 0.5) q[1];\ngphase(theta_007);\n"
    )
    spec = read_circuit_spec(written(tmp_path, text, "own.qasm"))
    assert spec.name == "own"
    assert [p.name for p in spec.weight_parameters] == ["theta_007", "theta_999", "theta_1000"]
    assert [p.name for p in spec.input_parameters] == ["x_000"]
    assert [o.to_list() for o in spec.observables] == [[("IZ", 1)], [("ZI", 1)]]
    expected = QuantumCircuit(2, global_phase=0.3)
    expected.ry(0.2, 0)
    expected.crz(-0.9, 0, 1)
    expected.u(0.3, np.pi / 2, 2 * 0.6 - 0.5, 1)
    np.testing.assert_allclose(Operator(bound(spec, [0.9], [0.3, 0.4, 0.6])).data, Operator(expected).data, atol=1e-12)


def test_byte_order_mark_is_passed_over(tmp_path):
    path = tmp_path / "bom.qasm"
    path.write_text(HEAD + BODY, encoding="utf-8-sig")
    assert read_circuit_spec(path).num_weights == 1


REJECTED = {
    "name": (
        HEAD + "input float alpha;\n" + BODY + "rz(alpha) q[0];",
        r"'alpha' is neither",
    ),
    "twice": (
        HEAD + "input float x_0000;\n" + BODY + "rz(x_0000) q[0];",
        r"'x_000\d?' and 'x_000\d?' have the same number",
    ),
    "unused": (HEAD + "input float theta_001;\n" + BODY, r"parameter 'theta_001' is not in the circuit"),
    "measure": (HEAD + BODY + "bit c;\nc = measure q[0];", r"line 9: .*(bit|measurement)"),
    "reset": (HEAD + BODY + "reset q[1];", r"line 9: .*reset"),
    "if": (HEAD + BODY + "if (true) { x q[0]; }", r"line 9: .*branching"),
    "bit": (HEAD + BODY + "bit[2] c;", r"line 9: .*bit"),
    "semicolon": (HEAD + BODY + "rz(0.1) q[0]", r"line 9:\d+ missing ';'"),
    "bracket": (HEAD + BODY + "rz(0.1 q[0];", r"line 9:\d+ "),
    "words": ("once upon a time", r"line 1:\d+ "),
    "no include": ("qubit q; ry(0.1) q;", r"gate 'ry' is not defined.*stdgates.inc"),
    "qasm 2": ('OPENQASM 2.0;\ninclude "qelib1.inc";\nqreg q[1];', r"OpenQASM 2"),
    "index": (HEAD + BODY + "x q[4];", r"out of range"),
    "deep": (HEAD + "rz(" + "(" * 4000, r"line 6:4003 |recursion"),
    "nul": ("\0", r"is no text \(byte 0 is 0\)"),
    "physical": ('include "stdgates.inc"; input float theta_000; ry(theta_000) $2;', r"physical qubits such as \$2"),
    "empty": ("OPENQASM 3.0;\n", r"no circuit"),
    "no weights": (HEAD.replace("theta_000", "x_001") + "ry(x_000) q[0]; ry(x_001) q[1];", r"no weights"),
}


@pytest.mark.parametrize("case", REJECTED)
def test_errors_are_one_line_with_the_file(tmp_path, capfd, case):
    text, pattern = REJECTED[case]
    path = written(tmp_path, text)
    with pytest.raises(CircuitError, match=pattern) as caught:
        read_circuit_spec(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert len(message.removeprefix(str(path))) < 300
    assert capfd.readouterr() == ("", "")  # the parser would print complaints of its own


@pytest.mark.parametrize("angle", ["x_000*theta_000", "sin(x_000)*theta_000", "exp(x_000/4) - theta_000**2"])
def test_angles_that_are_not_affine_are_read_and_written(tmp_path, angle):
    spec = read_circuit_spec(written(tmp_path, HEAD + BODY + f"rz({angle}) q[0]; ry({angle}) q[0];"))
    back = read_circuit_spec(written(tmp_path, circuit_spec_to_qasm(spec)))
    x, theta = 0.7, -1.2
    value = {"x": x * theta, "s": np.sin(x) * theta, "e": np.exp(x / 4) - theta**2}[angle[0]]
    one, other = (Operator(bound(each, [x], [theta])) for each in (spec, back))
    assert one.equiv(other)
    angles = [float(gate.operation.params[0]) for gate in bound(back, [x], [theta]).data if gate.operation.params]
    assert sum(abs(found - value) < 1e-12 for found in angles) == 2


def test_products_of_parameters_are_read_inside_gates_too(tmp_path):
    inner = QuantumCircuit(1)
    x, weight = Parameter("x_000"), Parameter("theta_000")
    inner.ry(x * weight, 0)
    circuit = QuantumCircuit(1)
    circuit.append(inner.to_gate(), [0])
    spec = read_circuit_spec(written(tmp_path, qasm3.dumps(circuit)))
    expected = QuantumCircuit(1)
    expected.ry(0.7 * -1.2, 0)
    assert Operator(bound(spec, [0.7], [-1.2])).equiv(Operator(expected))


@pytest.mark.parametrize(
    ("content", "pattern"),
    [(None, "cannot be read \\(No such file"), (b"\xff\xfe\x00q", "is not UTF-8 text \\(byte 0\\)")],
)
def test_files_that_are_no_text(tmp_path, content, pattern):
    path = tmp_path / "mine.qasm"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CircuitError, match=pattern):
        read_circuit_spec(path)


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(CircuitError, match=r"cannot be read \(Is a directory\)"):
        read_circuit_spec(tmp_path)


def test_observables_given_by_the_caller_win(tmp_path):
    path = written(tmp_path, HEAD + BODY)
    written(tmp_path, "not metadata", "mine.json")
    given = (SparsePauliOp(["XX", "ZI"], [0.5, -1]),)
    assert read_circuit_spec(path, given).observables == given


def test_metadata_give_observables_and_source(tmp_path):
    spec = CircuitSpec(
        "mine", *_parts(hybridq_ansatz(2, 2)), (SparsePauliOp(["XX", "ZI"], [0.5, -1]), SparsePauliOp("IY")), "paper"
    )
    path = written(tmp_path, circuit_spec_to_qasm(spec))
    written(tmp_path, metadata_text(circuit_metadata(spec)), "mine.json")
    back = read_circuit_spec(path)
    assert back.source == "paper"
    assert [o.to_list() for o in back.observables] == [[("XX", 0.5), ("ZI", -1)], [("IY", 1)]]


def _parts(spec):
    return spec.circuit, spec.input_parameters, spec.weight_parameters


@pytest.mark.parametrize(
    ("metadata", "pattern"),
    [
        ("{", r"mine\.json: .*JSON"),
        ("[]", r"mine\.json: .*object"),
        ({}, r"no observables"),
        ({"observables": []}, r"no observables"),
        ({"observables": [{}]}, r"observables 0.*\{\}"),
        ({"observables": ["ZI"]}, r"observables 0.*'ZI'"),
        ({"observables": [{"ZI": 1}, {"Z0": 1}]}, r"observables 1.*'Z0'"),
        ({"observables": [{"ZI": 1, "Z": 1}]}, r"labels of different lengths"),
        ({"observables": [{"ZI": "1"}]}, r"ZI.*'1'"),
        ({"observables": [{"ZI": True}]}, r"ZI.*True"),
        ('{"observables": [{"ZI": NaN}]}', r"ZI.*finite"),
        ('{"observables": [{"ZI": 1e999}]}', r"ZI.*finite"),
        ({"observables": [{"ZI": 10**400}]}, r"ZI.*1000"),
        ({"observables": [{"ZI": 1}], "qubits": 10**30}, r"mine\.json: .*10{30} qubits"),
        ({"observables": [{"ZII": 1}]}, r"3 qubit"),
        ({"observables": [{"ZI": 1}], "weights": 5}, r"mine\.json: .*5 weights"),
        ({"observables": [{"ZI": 1}], "format": 2}, r"format.* 2"),
    ],
)
def test_rejected_metadata(tmp_path, metadata, pattern):
    path = written(tmp_path, HEAD + BODY)
    written(tmp_path, metadata if isinstance(metadata, str) else json.dumps(metadata), "mine.json")
    with pytest.raises(CircuitError, match=pattern) as caught:
        read_circuit_spec(path)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)
