"""The reader of OpenQASM 3 against matrices made with numpy alone, from the text's meaning and not from Qiskit's importer."""

import math
import re

import numpy as np
import pytest
from qiskit.quantum_info import Operator

from qgan_qiskit.circuits import read_circuit_spec
from qgan_qiskit.circuits.qasm.reader import parse_circuit
from qgan_qiskit.errors import CircuitError

HEAD = 'OPENQASM 3.0;\ninclude "stdgates.inc";\n'


def rotation(axis, angle):
    pauli = {"x": [[0, 1], [1, 0]], "y": [[0, -1j], [1j, 0]], "z": [[1, 0], [0, -1]]}[axis]
    return math.cos(angle / 2) * np.eye(2) - 1j * math.sin(angle / 2) * np.array(pauli)


def u(theta, phi, lam):
    cos, sin = math.cos(theta / 2), math.sin(theta / 2)
    return np.array([[cos, -np.exp(1j * lam) * sin], [np.exp(1j * phi) * sin, np.exp(1j * (phi + lam)) * cos]])


MATRICES = {
    "rx": (1, lambda a: rotation("x", a)),
    "ry": (1, lambda a: rotation("y", a)),
    "rz": (1, lambda a: rotation("z", a)),
    "p": (1, lambda a: np.diag([1, np.exp(1j * a)])),
    "U": (3, u),
    "u3": (3, u),
    "u2": (2, lambda phi, lam: u(math.pi / 2, phi, lam)),
    "x": (0, lambda: np.array([[0, 1], [1, 0]])),
    "y": (0, lambda: np.array([[0, -1j], [1j, 0]])),
    "z": (0, lambda: np.diag([1, -1])),
    "h": (0, lambda: np.array([[1, 1], [1, -1]]) / math.sqrt(2)),
    "s": (0, lambda: np.diag([1, 1j])),
    "sdg": (0, lambda: np.diag([1, -1j])),
    "t": (0, lambda: np.diag([1, np.exp(0.25j * math.pi)])),
    "sx": (0, lambda: np.array([[1 + 1j, 1 - 1j], [1 - 1j, 1 + 1j]]) / 2),
    "id": (0, lambda: np.eye(2)),
}
SWAP = np.eye(4)[[0, 2, 1, 3]]


def on(matrix, qubits, total):
    """A matrix on some qubits of all; its first qubit is the least significant one, as in Qiskit."""
    whole = np.zeros((2**total, 2**total), dtype=complex)
    for column in range(2**total):
        local = sum((column >> qubit & 1) << place for place, qubit in enumerate(qubits))
        rest = column & ~sum(1 << qubit for qubit in qubits)
        for row in range(len(matrix)):
            target = rest | sum((row >> place & 1) << qubit for place, qubit in enumerate(qubits))
            whole[target, column] += matrix[row, local]
    return whole


def controlled(matrix, on_one):
    """The controlled matrix, whose control is the first qubit."""
    whole = np.eye(2 * len(matrix), dtype=complex)
    which = [2 * number + on_one for number in range(len(matrix))]
    whole[np.ix_(which, which)] = matrix
    return whole


class Made:
    """A program with gates of its own, as text and as what each gate does by numpy."""

    def __init__(self, rng):
        self.rng = rng
        self.gates = {}  # name: parameters, qubits, function of the angles' values
        self.text = HEAD

    def expression(self, names, values):
        """An expression as text, and its value."""
        one, other = self.rng.choice(len(names), 2)
        a, b, x, y = names[one], names[other], values[one], values[other]
        return [
            (a, x),
            (f"2*{a}", 2 * x),
            (f"-{a} + {b}/2", -x + y / 2),
            (f"{a} - ({b} - pi/4)", x - (y - math.pi / 4)),
            ("0.37", 0.37),
            ("3*pi/4", 0.75 * math.pi),
            ("sin(0.4) + 2**3/sqrt(5.0)", math.sin(0.4) + 8 / math.sqrt(5)),
            (f"-({a}*0.5)", -x / 2),
        ][self.rng.integers(8)]

    def call(self, names, values, qubits, places):
        """A call with modifiers, as text, and its matrix on ``qubits`` qubits; ``places`` are how they are called."""
        own = [name for name, gate in self.gates.items() if gate[1] <= qubits]
        if own and self.rng.integers(2):
            name = own[self.rng.integers(len(own))]
            parameters, touched, matrix_of = self.gates[name]
        else:
            name = list(MATRICES)[self.rng.integers(len(MATRICES))]
            (number, matrix_of), touched = MATRICES[name], 1
            parameters = range(number)
        angles = [self.expression(names, values) for _ in parameters]
        matrix = matrix_of(*[value for _, value in angles])
        text = name + (f"({', '.join(shown for shown, _ in angles)})" if angles else "")
        for _ in range(self.rng.integers(3)):
            modifier = self.rng.integers(4)
            if modifier == 0:
                text, matrix = f"inv @ {text}", matrix.conj().T
            elif modifier == 1:
                text, matrix = f"pow(2) @ {text}", matrix @ matrix
            elif touched < qubits:
                closed = modifier == 2
                text, matrix = f"{'ctrl' if closed else 'negctrl'} @ {text}", controlled(matrix, closed)
                touched += 1
        chosen = list(self.rng.permutation(qubits)[:touched])
        return f"{text} {', '.join(places[qubit] for qubit in chosen)};", on(matrix, chosen, qubits)

    def define(self, number):
        # Names whose alphabetical order is not that of the definition, and more than nine.
        names = [f"p{n}" for n in self.rng.permutation(12)[: self.rng.integers(1, 12)]]
        qubits = int(self.rng.integers(1, 3))
        places = [f"w{n}" for n in range(qubits)]
        seed, calls = int(self.rng.integers(2**31)), int(self.rng.integers(1, 4))
        known = dict(self.gates)

        def body(values):
            inner = Made(np.random.default_rng(seed))
            inner.gates = known
            return [inner.call(names, values, qubits, places) for _ in range(calls)]

        def matrix_of(*values):
            matrix = np.eye(2**qubits)
            for _, each in body(values):
                matrix = each @ matrix
            return matrix

        lines = [line for line, _ in body([0.0] * len(names))]
        self.text += f"gate g{number}({', '.join(names)}) {', '.join(places)} {{ {' '.join(lines)} }}\n"
        self.gates[f"g{number}"] = (names, qubits, matrix_of)


@pytest.mark.parametrize("first_seed", range(0, 120, 40))
def test_generated_programs_against_numpy(first_seed):
    for seed in range(first_seed, first_seed + 40):
        made = Made(np.random.default_rng(seed))
        names, values = ["theta_010", "x_000", "theta_002"], made.rng.uniform(-3, 3, 3)
        for number in range(4):
            made.define(number)
        made.text += "".join(f"input float[64] {name};\n" for name in names) + "qubit b;\nqubit[2] a;\n"
        expected = np.eye(8)
        for _ in range(4):
            line, matrix = made.call(names, values, 3, ["b", "a[0]", "a[1]"])
            made.text += line + "\n"
            expected = matrix @ expected
        circuit, declared = parse_circuit(made.text, "made")
        assert [parameter.name for parameter in declared] == names
        bound = circuit.assign_parameters(dict(zip(declared, values, strict=True)), strict=False)
        # With the global phase, which matters under controls.
        np.testing.assert_allclose(Operator(bound).data, expected, atol=1e-9, err_msg=f"seed {seed}\n{made.text}")


def matrix_of(text, values=()):
    circuit, declared = parse_circuit(HEAD + text, "mine")
    return Operator(circuit.assign_parameters(dict(zip(declared, values, strict=True)))).data


def test_a_call_with_twice_the_angle_turns_twice():
    text = (
        "input float[64] theta_000;\ngate rzz(p0) a, b { cx a, b; rz(p0) b; cx a, b; }\nqubit[2] q;\n"
        "rzz(2*theta_000) q[0], q[1];"
    )
    angle = 0.7
    expected = np.diag(np.exp(-1j * angle * np.array([1, -1, -1, 1])))
    np.testing.assert_allclose(matrix_of(text, [angle]), expected, atol=1e-12)


def test_arguments_go_by_the_definition_and_not_by_name():
    text = "gate g(b, a) w { rz(b) w; rx(a) w; }\nqubit q;\ng(0.3, 1.1) q;"
    np.testing.assert_allclose(matrix_of(text), rotation("x", 1.1) @ rotation("z", 0.3), atol=1e-12)


@pytest.mark.parametrize(
    ("statement", "same"),
    [
        ("h q;", "h q[0]; h q[1]; h q[2];"),
        ("cx q[0:1], q[{2, 2}];", "cx q[0], q[2]; cx q[1], q[2];"),
        ("ry(0.1) q[-1];", "ry(0.1) q[2];"),
        ("x q[2:-1:0];", "x q[2]; x q[1]; x q[0];"),
        ("let r = q[1:2] ++ q[0]; cry(0.2) r[0], r[2];", "cry(0.2) q[1], q[0];"),
        ("CX q[0], q[1]; phase(0.3) q[0]; cphase(0.4) q[0], q[1];", "cx q[0], q[1]; p(0.3) q[0]; cp(0.4) q[0], q[1];"),
        ("const float[64] a = pi/3; rx(2*a) q[0];", "rx(2*pi/3) q[0];"),
        ("pow(0.5) @ rx(0.8) q[0];", "rx(0.4) q[0];"),
        ("pow(0.5) @ x q[0];", "sx q[0];"),
        ("pow(-2) @ t q[0];", "sdg q[0];"),
        ("ctrl @ gphase(0.3) q[1];", "p(0.3) q[1];"),
        ("ctrl(2) @ x q[2], q[0], q[1];", "ccx q[2], q[0], q[1];"),
        ("ctrl @ swap q[0], q[1], q[2];", "cswap q[0], q[1], q[2];"),
        (
            "ctrl @ cu(0.1, 0.2, 0.3, 0.4) q[0], q[1], q[2];",
            "ctrl(2) @ U(0.1, 0.2, 0.3) q[0], q[1], q[2]; cp(0.4) q[0], q[1];",
        ),
        ("gate pauli(_gate_p_0) a, b { x a; z b; } pauli(XZ) q[0], q[1];", "x q[0]; z q[1];"),
        ("gate g a { barrier a; h a; } g q[0]; barrier q; barrier q[0], q[1]; barrier;", "h q[0];"),
        (
            "gate prepared(_gate_p_0, _gate_p_1) a { h a; } prepared(0.6, 0.8j) q[0]; prepared(+, r) q[1];",
            "h q[0]; h q[1];",
        ),
        ("gate used(_gate_p_0) a { rx(_gate_p_0) a; } used(0.3) q[0];", "rx(0.3) q[0];"),
        ("gate global_phase(p0) {\n}\nglobal_phase(0.3) ;", "gphase(0.3);"),
    ],
)
def test_other_ways_of_writing(statement, same):
    np.testing.assert_allclose(matrix_of(f"qubit[3] q; {statement}"), matrix_of(f"qubit[3] q; {same}"), atol=1e-10)


def test_an_array_of_inputs():
    text = "input array[float[64], 11] theta;\nqubit q;\n" + "".join(
        f"rx(theta[{n}]) q; rz({n}) q;\n" for n in range(11)
    )
    circuit, declared = parse_circuit(HEAD + text, "mine")
    assert [parameter.name for parameter in declared] == [f"theta[{number}]" for number in range(11)]
    assert [i.operation.params[0].name for i in circuit.data if i.operation.name == "rx"] == [p.name for p in declared]


REJECTED = {
    "x q[0]; for int i in [0:1] { h q[i]; }": "line 5: .*for in loop",
    "while (true) { h q[0]; }": "line 5: .*while loop",
    "def f(qubit a) { h a; }": "line 5: .*subroutine",
    "foo q[0];": "line 5: gate 'foo' is not defined",
    "ry(0.1, 0.2) q[0];": "'ry' .*2 are given",
    "cx q[0];": "'cx' .*1 are given",
    "cx q[0], q[0];": "acts twice on one qubit",
    "qubit[1000000000] r;": "'r' is 1000000000",
    "qubit[99999999999999999999] r;": "'r' is 1e\\+20",
    "ry(1e999) q[0];": "line 5: an angle is inf",
    "ry(1/2) q[0];": "1/2 .*write 1.0/2",
    "ry(10**10**10) q[0];": "line 5: an angle has no value",
    "ry(sqrt(-1)) q[0];": "line 5: an angle has no value",
    "ry(theta_000/0) q[0];": "line 5: an angle has no value",
    "ry(alpha) q[0];": "'alpha' is not defined",
    "h q[2];": "index of 'q' is 2",
    "h r[0];": "'r' is not a declared qubit",
    "input float[64] theta_000;": "'theta_000' is already defined",
    "gate ry(t) a { rx(t) a; }": "'ry' is already defined",
    "gate g a { g a; }": "gate 'g' is not defined",
    "gate g a { h q[0]; }": "'q' is no qubit of the gate",
    'include "mine.inc";': "'mine.inc'",
    "ctrl(5) @ x q[0];": "5 control",
    "pow(1e9) @ h q[0];": "more than 100,000 gates",
    "pow(0.5) @ U(theta_000, 0, 0) q[0];": "has no closed form",
    "reset q;": "quantum reset",
    "measure q[0];": "quantum measurement",
    "int i = 1;": "variable of type int",
    "input int n;": "input 'n'",
}


@pytest.mark.parametrize("line", REJECTED)
def test_errors_are_one_line_with_the_culprit(line):
    with pytest.raises(CircuitError, match=REJECTED[line]) as caught:
        parse_circuit(f"{HEAD}input float[64] theta_000;\nqubit[2] q;\n{line}", "mine")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("first", "body", "pattern"),
    [
        ("gate g0 a { h a; h a; }", "g{0} a; g{0} a;", "more than 100,000 gates"),
        ("gate g0 a { }", "g{0} a; g{0} a;", "more than 100,000 gates"),
        ("gate g0 a { h a; }", "ctrl @ x a, a;", "twice on one qubit"),
    ],
)
def test_gates_in_gates_end(first, body, pattern):
    text = (
        HEAD
        + first
        + "\n"
        + "".join(f"gate g{n + 1} a {{ {body.format(n)} }}\n" for n in range(29))
        + "qubit q; g29 q;"
    )
    with pytest.raises(CircuitError, match=pattern):
        parse_circuit(text, "mine")


def test_angles_in_gates_end():
    text = HEAD + "gate g0(a) w { rx(a) w; }\ninput float x_000;\n"
    text += "".join(f"gate g{n + 1}(a) w {{ g{n}(sin(a)*cos(a)) w; }}\n" for n in range(40)) + "qubit q; g40(x_000) q;"
    with pytest.raises(CircuitError, match="grows without bound"):
        parse_circuit(text, "mine")


INPUTS = "input float[64] x_000;\ninput float[64] theta_000;\nqubit[2] q;\nry(theta_000) q[0];\n"


@pytest.mark.parametrize(
    "angle", ["1e308*x_000", "1e308*x_000 + 1e308*x_000", "1e300/x_000", "x_000 - 1e17", "1e999*x_000", "-1e20*x_000"]
)
def test_angles_without_digits(tmp_path, angle):
    path = tmp_path / "mine.qasm"
    path.write_text(f"{HEAD}{INPUTS}ry({angle}) q[0];")
    with pytest.raises(CircuitError, match=r"mine\.qasm: .*(reaches|is inf|not a finite)") as caught:
        read_circuit_spec(path)
    assert len(re.sub(r"^.*qasm: ", "", str(caught.value))) < 200


@pytest.mark.parametrize(
    ("data", "pattern"),
    [
        (b"", "is empty"),
        (b" \n\t\n", "is empty"),
        (b"// a comment\n/* and\n another */", "is empty"),
        ((HEAD + INPUTS).encode("utf-16"), "is UTF-16"),
        (b"\x89PNG\r\n", "is not UTF-8 text"),
        (b"OPENQASM\0", "is no text"),
        (b"x" * 2_000_001, "has 2,000,001 bytes"),
        (b"OPENQASM 2.0;\nqreg q[100000000];", "more than 1,000 qubits"),
        (b"OPENQASM 2.0;\nqreg q[1;", "is not OpenQASM 2"),
        (b"OPENQASM 2.0;\nqreg q[1];", "no free parameters to train"),
        (b"OPENQASM 4.0;\nqubit q;", "is OpenQASM 4.0"),
    ],
)
def test_files_that_are_something_else(tmp_path, data, pattern):
    path = tmp_path / "mine.qasm"
    path.write_bytes(data)
    with pytest.raises(CircuitError, match=rf"mine\.qasm: .*{pattern}"):
        read_circuit_spec(path)


def test_a_pipe_is_not_waited_for(tmp_path):
    import os

    os.mkfifo(tmp_path / "mine.qasm")
    with pytest.raises(CircuitError, match="is no regular file"):
        read_circuit_spec(tmp_path / "mine.qasm")
