"""A run of a user's circuit keeps the file as it was, trains what it says, and goes on from its own copy."""

import json

import numpy as np
import pytest
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp, Statevector
from test_resume_exact import Killed, cut_before
from tiny_runs import fingerprint

from qgan_qiskit.circuits import CircuitSpec, ParameterNames, circuit_digest, circuit_spec_to_qasm, read_circuit_spec
from qgan_qiskit.errors import CheckpointError, CircuitError
from qgan_qiskit.simulation import ExactEstimator
from qgan_qiskit.workflows.fit import fit, fit_into, resume

# Own gates called twice, with twice the angle and with the arguments in another order; qubits in several registers.
TEXT = """OPENQASM 3.0;
include "stdgates.inc";
input float[64] _x_0_;
input float[64] _θ_10_;
input float[64] _θ_2_;
gate rzz(p0) a, b { cx a, b; rz(p0) b; cx a, b; }
gate block(p10, p2) a, b { ry(p10) a; rzz(2*p2) b, a; }
qubit alone;
qubit[2] q;
ry(_x_0_) alone;
h q;
block(_θ_2_, _θ_10_) q[0], alone;
block(_θ_10_, _x_0_) q[1], q[0];
"""
CARD = '{"observables": [{"IIX": 1.0}, {"ZYI": 0.5}]}\n'
NAMES = {"input_names": "_x_*", "weight_names": "_θ_*"}


def given(x, first, second):
    """The same circuit in Qiskit, its weights in the order 2, 10."""
    circuit = QuantumCircuit(3)
    circuit.ry(x, 0)
    circuit.h([1, 2])
    circuit.ry(first, 1)
    circuit.rzz(2 * second, 0, 1)
    circuit.ry(second, 2)
    circuit.rzz(2 * x, 1, 2)
    return circuit


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.qasm"
    path.write_bytes(TEXT.encode("utf-8-sig").replace(b"\n", b"\r\n"))
    path.with_suffix(".json").write_text(CARD)
    return path


def only_run(folder):
    (run,) = folder.iterdir()
    return run


def test_what_is_trained_is_what_was_given(tiny, file, tmp_path, logged):
    config = tiny(model={"ansatz": str(file), **NAMES}, training={"steps": 1})
    fit(config, tmp_path / "out")
    assert "weights in order: _θ_2_, _θ_10_" in logged()
    run = only_run(tmp_path / "out")
    assert (run / "circuit_original.qasm").read_bytes() == file.read_bytes()
    assert (run / "circuit_original.json").read_text() == CARD
    model = json.loads((run / "config.json").read_text())["model"]
    assert (model["ansatz"], model["input_names"], model["weight_names"]) == ("circuit.qasm", None, None)
    card = json.loads((run / "circuit.json").read_text())
    assert card["original_weight_names"] == ["_θ_2_", "_θ_10_"]
    trained = read_circuit_spec(run / "circuit.qasm")
    values = np.random.default_rng(0).uniform(-3, 3, 3)
    parameters = (*trained.input_parameters, *trained.weight_parameters)
    bound = trained.circuit.assign_parameters(dict(zip(parameters, values, strict=True)))
    found = ExactEstimator().run([(bound, list(trained.observables))]).result()[0].data.evs
    state = Statevector(given(*values))
    expected = [state.expectation_value(SparsePauliOp(["IIX"])).real]
    expected.append(state.expectation_value(SparsePauliOp(["ZYI"], [0.5])).real)
    np.testing.assert_allclose(np.asarray(found).ravel(), expected, atol=1e-9)
    assert circuit_digest(trained) == circuit_digest(
        read_circuit_spec(file, names=ParameterNames(NAMES["input_names"], NAMES["weight_names"]))
    )


def test_a_cut_run_goes_on_from_its_copy(tiny, file, tmp_path, monkeypatch):
    config = tiny(model={"ansatz": str(file), **NAMES})
    fit(config, tmp_path / "uncut")
    with monkeypatch.context() as patch, pytest.raises(Killed):
        cut_before(3, patch)
        fit(config, tmp_path / "cut")
    file.write_text("gone")
    run = only_run(tmp_path / "cut")
    resume(run, {})
    assert fingerprint(run) == fingerprint(only_run(tmp_path / "uncut"))


def test_the_same_command_goes_on_with_the_users_file(tiny, file, tmp_path, monkeypatch):
    config = tiny(model={"ansatz": str(file), **NAMES})
    with monkeypatch.context() as patch, pytest.raises(Killed):
        cut_before(3, patch)
        fit_into(config, tmp_path / "run")
    fit_into(config, tmp_path / "run")
    file.with_suffix(".json").write_text(CARD.replace("0.5", "0.6"))
    with pytest.raises(CheckpointError, match=r"model\.ansatz is "):
        fit_into(config, tmp_path / "run")


@pytest.mark.parametrize("mode", ["image", "latent", "fusion"])
def test_a_circuit_without_inputs_is_refused_before_a_folder_is_made(tiny, tmp_path, mode):
    weights = [Parameter("theta_000"), Parameter("theta_001")]
    circuit = QuantumCircuit(2)
    circuit.ry(weights[0], 0)
    circuit.ry(weights[1], 1)
    path = tmp_path / "mine.qasm"
    path.write_text(circuit_spec_to_qasm(CircuitSpec("mine", circuit, (), weights, [SparsePauliOp("ZZ")])))
    with pytest.raises(CircuitError, match=r"mine\.qasm: has no inputs, so every image would be the same"):
        fit(tiny(model={"ansatz": str(path), "mode": mode}), tmp_path / "out")
    assert not (tmp_path / "out").exists()
