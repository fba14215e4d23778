"""The cabinet in the repository, and what the comparison notices."""

import inspect
import json
from pathlib import Path

import numpy as np
import pytest
from qiskit.quantum_info import Statevector

import qgan_qiskit.circuits
from qgan_qiskit.circuits import read_circuit_spec
from qgan_qiskit.circuits import reference as cabinet
from qgan_qiskit.circuits.metadata import circuit_metadata
from qgan_qiskit.errors import CircuitError, StorageError

REPO = Path(__file__).resolve().parents[2]
NAMES = list(cabinet.REFERENCE_CIRCUITS)


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cabinet") / "new" / "circuits"
    cabinet.export(folder)
    return folder


@pytest.fixture
def copy(printed, tmp_path):
    for path in printed.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def test_repository_folder_equals_the_builders():
    assert cabinet.check(REPO / "circuits") == []


def test_repository_folder_holds_no_program():
    assert {path.suffix for path in (REPO / "circuits").iterdir()} == {".qasm", ".txt", ".json", ".md"}


def test_export_makes_three_files_per_drawer_and_matches(printed):
    assert len(list(printed.iterdir())) == 3 * len(NAMES) + 1
    assert cabinet.check(printed) == []
    assert b"\r" not in (printed / "hybridq_q4_r2.txt").read_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_a_drawer_reads_back_as_the_built_ansatz(printed, name):
    built, read = cabinet.drawer(name), read_circuit_spec(printed / f"{name}.qasm")
    assert read.name == built.name == name
    assert read.source == built.source
    assert [o.to_list() for o in read.observables] == [o.to_list() for o in built.observables]
    values = np.random.default_rng(5).uniform(-3, 3, built.num_inputs + built.num_weights)
    states = [
        Statevector(
            each.circuit.assign_parameters(
                dict(zip((*each.input_parameters, *each.weight_parameters), values, strict=True))
            )
        ).data
        for each in (built, read)
    ]
    np.testing.assert_allclose(states[0], states[1], atol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_card_says_what_the_circuit_is(printed, name):
    card = json.loads((printed / f"{name}.json").read_text(encoding="utf-8"))
    ansatz = cabinet.drawer(name)
    two_qubit = [gate for gate in ansatz.circuit.data if len(gate.qubits) == 2]
    assert card == circuit_metadata(ansatz, card["builder"], cabinet.REFERENCE_CIRCUITS[name].arguments)
    assert (card["inputs"], card["weights"], card["qubits"]) == (
        ansatz.num_inputs,
        ansatz.num_weights,
        ansatz.num_qubits,
    )
    assert card["two_qubit_gates"] == len(two_qubit)
    # Every argument of the builder is spelled out.
    builder = getattr(qgan_qiskit.circuits, card["builder"].rpartition(".")[2])
    assert card["arguments"].keys() == inspect.signature(builder).parameters.keys()
    assert "arXiv" in card["source"]


def test_missing_changed_and_surplus_files_are_noticed(copy):
    (copy / "mosaiq_q5_r6.json").unlink()
    drawing = copy / "hybridq_q4_r2.txt"
    drawing.write_text(drawing.read_text(encoding="utf-8").replace("theta_004", "theta_005"), encoding="utf-8")
    with (copy / "mosaiq_q5_r6.qasm").open("a", encoding="utf-8") as file:
        file.write("x q[0];\n")
    (copy / "hybridq_q10_r6.qasm").write_bytes(b"\xff\xff")
    (copy / "stray.py").touch()
    (copy / "old").mkdir()
    (copy / ".DS_Store").touch()
    lines = len((copy / "mosaiq_q5_r6.qasm").read_text(encoding="utf-8").splitlines())
    assert cabinet.check(copy) == [
        f"{copy / 'hybridq_q10_r6.qasm'}: changed at line 1",
        f"{copy / 'hybridq_q4_r2.txt'}: changed at line 2",
        f"{copy / 'mosaiq_q5_r6.json'}: missing",
        f"{copy / 'mosaiq_q5_r6.qasm'}: changed at line {lines}",
        f"{copy / 'old'}: surplus, no builder prints it",
        f"{copy / 'stray.py'}: surplus, no builder prints it",
    ]


def test_a_cut_off_last_line_is_noticed(copy):
    path = copy / "mosaiq_q5_r6.qasm"
    path.write_text(path.read_text(encoding="utf-8").removesuffix("\n"), encoding="utf-8")
    assert len(cabinet.check(copy)) == 1


def test_export_repairs_and_leaves_other_files(copy):
    (copy / "mosaiq_q5_r6.json").write_text("{}", encoding="utf-8")
    (copy / "mine.qasm").write_text("mine", encoding="utf-8")
    cabinet.export(copy)
    assert (copy / "mine.qasm").read_text(encoding="utf-8") == "mine"
    assert cabinet.check(copy) == [f"{copy / 'mine.qasm'}: surplus, no builder prints it"]


def test_errors(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CircuitError, match=r"cannot be read \(No such file.*circuit export"):
        cabinet.check(tmp_path / "nowhere")
    with pytest.raises(StorageError, match=r"file: cannot be written"):
        cabinet.export(tmp_path / "file")
    with pytest.raises(CircuitError, match="no drawer 'hybridq_q9_r9'; choose one of hybridq_q4_r2"):
        cabinet.drawer("hybridq_q9_r9")
