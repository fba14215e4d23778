"""What is stored and read back is the circuit that was given: generated circuits against Qiskit's operators."""

import numpy as np
import pytest
from qiskit import qasm3
from qiskit.circuit import (
    AnnotatedOperation,
    ControlModifier,
    InverseModifier,
    Parameter,
    ParameterVector,
    PowerModifier,
    QuantumCircuit,
    QuantumRegister,
    Qubit,
)
from qiskit.circuit import library as lib
from qiskit.quantum_info import Operator, SparsePauliOp, random_unitary

from qgan_qiskit.circuits import CircuitSpec, circuit_digest, circuit_spec_to_qasm, exporter_note, read_circuit_spec
from qgan_qiskit.circuits.qasm.gates import STANDARD, decompose_circuit
from qgan_qiskit.circuits.qasm.reader import parse_circuit
from qgan_qiskit.circuits.qasm.writer import check_same
from qgan_qiskit.errors import CircuitError

QUBITS = 3
# Classes with their numbers of angles and of qubits.
GATES = [(gate, angles, qubits) for gate, angles, qubits in STANDARD.values()] + [
    (lib.RGate, 2, 1),
    (lib.SXdgGate, 0, 1),
    (lib.RXXGate, 1, 2),
    (lib.RYYGate, 1, 2),
    (lib.RZZGate, 1, 2),
    (lib.RZXGate, 1, 2),
    (lib.XXPlusYYGate, 2, 2),
    (lib.XXMinusYYGate, 2, 2),
    (lib.CU1Gate, 1, 2),
    (lib.CU3Gate, 3, 2),
    (lib.CSGate, 0, 2),
    (lib.CSdgGate, 0, 2),
    (lib.CSXGate, 0, 2),
    (lib.ECRGate, 0, 2),
    (lib.DCXGate, 0, 2),
    (lib.iSwapGate, 0, 2),
    (lib.CCZGate, 0, 3),
    (lib.RCCXGate, 0, 3),
    (lib.RC3XGate, 0, 4),
    (lib.C3XGate, 0, 4),
    (lib.C3SXGate, 0, 4),
]


def angles(rng, parameters, number):
    """Expressions of few parameters, used again and again and in any order."""
    made = []
    for _ in range(number):
        first, second = rng.choice(len(parameters), 2)
        made.append(
            [
                lambda p, q: p,
                lambda p, q: 2 * p,
                lambda p, q: p / 2 - q + 0.3,
                lambda p, q: -p,
                lambda p, q: float(rng.uniform(-3, 3)),
            ][rng.integers(5)](parameters[first], parameters[second])
        )
    return made


def random_circuit(rng, parameters, qubits, depth, gates):
    """Gates of the library and of one's own: nested, inverted, controlled, repeated, and called with other arguments."""
    circuit = QuantumCircuit(qubits, name=f"own{rng.integers(3)}")
    for _ in range(gates):
        kind = rng.integers(8)
        if kind < 4 or depth == 0:
            gate, number, touched = GATES[rng.integers(len(GATES))]
            if touched > qubits:
                continue
            operation = gate(*angles(rng, parameters, number))
        else:
            touched = int(rng.integers(1, qubits + 1))
            own = (
                ParameterVector(f"p{depth}", 12)
                if rng.integers(2)
                else [Parameter(name + str(depth)) for name in "cab"]
            )
            inner = random_circuit(rng, own, touched, depth - 1, int(rng.integers(1, 4)))
            inner = inner.assign_parameters(
                dict(zip(own, angles(rng, parameters, len(own)), strict=True)), strict=False
            )
            operation = inner.to_instruction() if depth == 3 and kind == 7 else inner.to_gate()
            if kind == 5:
                operation = operation.inverse()
            elif kind == 6 and touched < qubits:
                state = int(rng.integers(2))
                try:
                    operation = operation.control(1, ctrl_state=state, annotated=False)
                    touched += 1
                except Exception:  # Qiskit cannot control every gate with free parameters
                    operation = inner.to_gate()
        circuit.append(operation, list(rng.permutation(qubits)[:touched]))
    if rng.integers(2):
        circuit.global_phase = float(rng.uniform(0, 6))
    return circuit


def registers(rng):
    """Qubits in registers and alone, which Qiskit's exporter would bring into another order."""
    return [
        [QuantumRegister(QUBITS, "q")],
        [QuantumRegister(2, "b"), QuantumRegister(1, "a")],
        [[Qubit(), Qubit()], QuantumRegister(1, "r")],
        [QuantumRegister(1, "r"), [Qubit()], QuantumRegister(1, "q")],
        [[Qubit() for _ in range(QUBITS)]],
    ][rng.integers(5)]


def operator(spec, values):
    parameters = (*spec.input_parameters, *spec.weight_parameters)
    return Operator(spec.circuit.assign_parameters(dict(zip(parameters, values, strict=True))))


@pytest.mark.parametrize("first_seed", range(0, 120, 40))
def test_stored_circuits_are_those_given(tmp_path, first_seed):
    refused = 0
    for seed in range(first_seed, first_seed + 40):
        rng = np.random.default_rng(seed)
        parameters = [Parameter(name) for name in ("w[10]", "w[2]", "alpha", "theta_001", "theta_000", "x")]
        circuit = QuantumCircuit(*registers(rng))
        for number, parameter in enumerate(parameters):
            circuit.ry(parameter, number % QUBITS)
        circuit.compose(random_circuit(rng, parameters, QUBITS, 3, 4), inplace=True)
        order = [parameters[number] for number in rng.permutation(len(parameters))]
        spec = CircuitSpec("given", circuit, order[:2], order[2:], [SparsePauliOp("ZIX")])
        path = tmp_path / "stored.qasm"
        try:
            path.write_text(circuit_spec_to_qasm(spec), encoding="utf-8")
        except CircuitError as error:
            # Qiskit loses track of a parameter in some inverses of controlled gates, and cannot evaluate them either.
            assert "which is not in the circuit" in str(error), seed
            refused += 1
            continue
        back = read_circuit_spec(path)
        values = rng.uniform(-3, 3, len(parameters))
        assert operator(back, values).equiv(operator(spec, values), rtol=0, atol=1e-8), seed
        # The copy in a run has the digest of the user's file.
        same = CircuitSpec("back", back.circuit, back.input_parameters, back.weight_parameters, spec.observables)
        assert circuit_digest(same) == circuit_digest(spec), seed
    assert refused < 8


def written(build, qubits=3):
    """Return a spec of three parameters and its form read back."""
    parameters = [Parameter(name) for name in ("x", "b", "a")]
    circuit = QuantumCircuit(qubits)
    for parameter in parameters:
        circuit.ry(parameter, 0)
    build(circuit, *parameters)
    return CircuitSpec("given", circuit, parameters[:1], parameters[1:], [SparsePauliOp("Z" * qubits)])


def qaoa(circuit, x, b, a):
    spec = lib.qaoa_ansatz(SparsePauliOp(["ZZI", "IZZ"]), reps=1)
    circuit.append(spec.assign_parameters([b, a]).to_gate(), [0, 1, 2])


LIBRARY = {
    "qaoa": qaoa,
    "evolution": lambda c, x, b, a: c.append(
        lib.PauliEvolutionGate(SparsePauliOp(["XXI", "ZZI", "YYI"], [0.3, 1, -2]), time=a), [2, 0, 1]
    ),
    "rzz": lambda c, x, b, a: c.append(lib.RZZGate(2 * x), [0, 1]),
    "efficient su2": lambda c, x, b, a: c.append(
        lib.efficient_su2(2, reps=0).assign_parameters([a, b, x, a]).to_instruction(), [2, 0]
    ),
    "annotated": lambda c, x, b, a: c.append(
        AnnotatedOperation(lib.RYGate(a), [ControlModifier(2, 1), InverseModifier(), PowerModifier(2)]), [0, 1, 2]
    ),
    "qft": lambda c, x, b, a: c.append(lib.QFTGate(3), [2, 0, 1]),
    "isometry": lambda c, x, b, a: c.append(lib.Isometry(random_unitary(8, seed=3).data, 0, 0), [1, 2, 0]),
    "unitary": lambda c, x, b, a: c.append(lib.UnitaryGate(random_unitary(8, seed=4)), [1, 2, 0]),
    "diagonal": lambda c, x, b, a: c.append(lib.DiagonalGate([1, -1, 1j, -1j]), [2, 0]),
    "permutation": lambda c, x, b, a: c.append(lib.PermutationGate([2, 0, 1]), [0, 1, 2]),
    "pauli": lambda c, x, b, a: c.append(lib.PauliGate("XYZ"), [2, 0, 1]),
    "mcx": lambda c, x, b, a: c.mcx([0, 2], 1),
    "mcp": lambda c, x, b, a: c.mcp(a, [0, 2], 1),
    "mcry": lambda c, x, b, a: c.append(lib.RYGate(b).control(2, ctrl_state=1, annotated=False), [2, 1, 0]),
    "open control": lambda c, x, b, a: c.append(lib.CRYGate(b, ctrl_state=0), [2, 1]),
    "circuit": lambda c, x, b, a: c.append(lib.real_amplitudes(2, reps=1).assign_parameters([b, a, x, b]), [1, 0]),
    "barrier": lambda c, x, b, a: c.barrier(0, 2),
    "global phase": lambda c, x, b, a: c.append(lib.GlobalPhaseGate(0.3), []),
}


# What Qiskit's exporter refuses to write, or writes with its arguments in another order (qaoa).
NOT_EXPORTED = {"annotated", "isometry", "diagonal", "permutation", "circuit", "efficient su2", "qaoa"}


@pytest.mark.parametrize("name", LIBRARY)
def test_the_library(tmp_path, name):
    spec = written(LIBRARY[name])
    path = tmp_path / "stored.qasm"
    path.write_text(circuit_spec_to_qasm(spec), encoding="utf-8")
    for values in ((0.3, 1.1, -0.7), (-2.0, 0.4, 2.9)):
        back, given = operator(read_circuit_spec(path), values), operator(spec, values)
        assert back.equiv(given, rtol=0, atol=1e-8)


@pytest.mark.parametrize("name", sorted(set(LIBRARY) - NOT_EXPORTED))
def test_what_qiskit_exports_reads_as_qiskit_means_it(tmp_path, name):
    """Of one call of each gate the exporter writes what it should; several calls are what it mixes up."""
    spec = written(LIBRARY[name])
    names = dict(zip(spec.circuit.parameters, [Parameter(n) for n in ("theta_001", "theta_000", "x_000")], strict=True))
    path = tmp_path / "exported.qasm"
    path.write_text(qasm3.dumps(spec.circuit.assign_parameters(names)), encoding="utf-8")
    values = (0.3, 1.1, -0.7)
    assert operator(read_circuit_spec(path), values).equiv(operator(spec, values), rtol=0, atol=1e-8)


@pytest.mark.parametrize(("build", "noted"), [(qaoa, True), (LIBRARY["rzz"], False), (LIBRARY["pauli"], False)])
def test_a_file_that_the_exporter_may_have_changed_comes_with_a_note(tmp_path, build, noted):
    path = tmp_path / "exported.qasm"
    path.write_text(qasm3.dumps(written(build).circuit), encoding="utf-8")
    note = exporter_note(path)
    assert (note is not None) == noted
    assert not noted or "circuit_spec_to_qasm" in note
    path.write_text(circuit_spec_to_qasm(written(build)), encoding="utf-8")
    assert exporter_note(path) is None


def test_each_gate_that_qiskit_exports_reads_as_qiskit_means_it():
    parameters = [Parameter(f"theta_{number:03d}") for number in range(4)]
    values = dict(zip(parameters, (0.3, 1.1, -0.7, 2.2), strict=True))
    for gate, number, qubits in [*GATES, (lib.CUGate, 4, 2), (lib.C4XGate, 0, 5)]:
        for arguments in (
            parameters,
            [0.3, 0.5, 0.7, 0.9],
            [2 * parameters[0], -parameters[1], 0.1, parameters[2] / 3],
        ):
            circuit = QuantumCircuit(qubits)
            circuit.append(gate(*arguments[:number]), range(qubits))
            back, _ = parse_circuit(qasm3.dumps(circuit), "exported")
            named = {parameter.name: value for parameter, value in values.items()}
            back = back.assign_parameters({p: named[p.name] for p in back.parameters})
            given = circuit.assign_parameters({p: values[p] for p in circuit.parameters})
            assert Operator(back).equiv(Operator(given), rtol=0, atol=1e-8), gate


def test_a_gate_whose_definition_is_another_is_refused():
    # Qiskit applies the exponential of the sum, and defines the gate as a product that approximates it.
    terms = SparsePauliOp(["XXI", "IZZ", "YIY"], [0.3, 1, -2])
    spec = written(lambda c, x, b, a: c.append(lib.PauliEvolutionGate(terms, time=a), [2, 0, 1]))
    with pytest.raises(CircuitError, match=r"PauliEvolution.* on qubit 2, 0, 1"):
        circuit_spec_to_qasm(spec)


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c.rz(0.1, 0),
        lambda c: c.data.reverse(),
        lambda c: c.data.pop(),
        lambda c: setattr(c, "global_phase", 0.1),
    ],
)
def test_a_difference_is_found(change):
    spec = written(lambda c, x, b, a: c.cx(0, 1))
    first, second = decompose_circuit(spec.circuit), decompose_circuit(spec.circuit)
    check_same(first, second)
    change(second)
    with pytest.raises(CircuitError, match="instead of"):
        check_same(first, second)
