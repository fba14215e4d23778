"""The reference circuits in the repository, and what the comparison notices."""

import inspect
import json
from pathlib import Path

import numpy as np
import pytest
from qiskit.quantum_info import Statevector

import qgan_qiskit.circuits
from qgan_qiskit.circuits import circuit_metadata, read_circuit_spec
from qgan_qiskit.circuits.reference import (
    REFERENCE_CIRCUITS,
    build_reference,
    compare_references,
    export_references,
)
from qgan_qiskit.errors import CircuitError, StorageError

REPO = Path(__file__).resolve().parents[2]
NAMES = list(REFERENCE_CIRCUITS)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("references") / "new" / "circuits"
    export_references(folder)
    return folder


@pytest.fixture
def copy(exported, tmp_path):
    for path in exported.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def test_repository_folder_equals_the_builders():
    assert compare_references(REPO / "circuits") == []


def test_repository_folder_holds_no_program():
    assert {path.suffix for path in (REPO / "circuits").iterdir()} == {".qasm", ".txt", ".json", ".md"}


def test_export_makes_three_files_per_reference_and_matches(exported):
    assert len(list(exported.iterdir())) == 3 * len(NAMES) + 1
    assert compare_references(exported) == []
    assert b"\r" not in (exported / "hybridq_q4_r2.txt").read_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_a_file_reads_back_as_the_built_circuit(exported, name):
    built, read = build_reference(name), read_circuit_spec(exported / f"{name}.qasm")
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
def test_metadata_describe_the_circuit(exported, name):
    metadata = json.loads((exported / f"{name}.json").read_text(encoding="utf-8"))
    spec = build_reference(name)
    two_qubit = [gate for gate in spec.circuit.data if len(gate.qubits) == 2]
    assert metadata == circuit_metadata(spec, metadata["builder"], REFERENCE_CIRCUITS[name].arguments)
    assert (metadata["inputs"], metadata["weights"], metadata["qubits"]) == (
        spec.num_inputs,
        spec.num_weights,
        spec.num_qubits,
    )
    assert metadata["two_qubit_gates"] == len(two_qubit)
    # Every argument of the builder is spelled out.
    builder = getattr(qgan_qiskit.circuits, metadata["builder"].rpartition(".")[2])
    assert metadata["arguments"].keys() == inspect.signature(builder).parameters.keys()
    assert "arXiv" in metadata["source"]


def test_missing_changed_and_extra_files_are_noticed(copy):
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
    assert compare_references(copy) == [
        f"{copy / 'hybridq_q10_r6.qasm'}: changed at line 1",
        f"{copy / 'hybridq_q4_r2.txt'}: changed at line 2",
        f"{copy / 'mosaiq_q5_r6.json'}: missing",
        f"{copy / 'mosaiq_q5_r6.qasm'}: changed at line {lines}",
        f"{copy / 'old'}: extra, no builder writes it",
        f"{copy / 'stray.py'}: extra, no builder writes it",
    ]


def test_a_cut_off_last_line_is_noticed(copy):
    path = copy / "mosaiq_q5_r6.qasm"
    path.write_text(path.read_text(encoding="utf-8").removesuffix("\n"), encoding="utf-8")
    assert len(compare_references(copy)) == 1


def test_export_repairs_and_leaves_other_files(copy):
    (copy / "mosaiq_q5_r6.json").write_text("{}", encoding="utf-8")
    (copy / "mine.qasm").write_text("mine", encoding="utf-8")
    export_references(copy)
    assert (copy / "mine.qasm").read_text(encoding="utf-8") == "mine"
    assert compare_references(copy) == [f"{copy / 'mine.qasm'}: extra, no builder writes it"]


def test_errors(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CircuitError, match=r"cannot be read \(No such file.*circuit export"):
        compare_references(tmp_path / "nowhere")
    with pytest.raises(StorageError, match=r"file: cannot be written"):
        export_references(tmp_path / "file")
    with pytest.raises(CircuitError, match="hybridq_q9_r9"):
        build_reference("hybridq_q9_r9")
