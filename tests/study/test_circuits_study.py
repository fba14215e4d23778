"""The study of circuits from the command line: a grid of sizes, files, growing, and what is refused."""

from __future__ import annotations

import csv
import json
import math
import pickle
import shutil
from pathlib import Path

import pytest
from PIL import Image

from qgan_qiskit.config.studies import CircuitsChoice
from qgan_qiskit.study.circuits import cells_of_family, cells_of_files

FILES = ["table.md", "table.csv", "results.json", "circuits.png"]
GRID = ["--num-qubits", "1,2,3", "--reps", "1,2", "--samples", "400", "--gradient-samples", "100", "--bins", "20"]
GHZ = """OPENQASM 3.0;
include "stdgates.inc";
input float[64] theta_000;
qubit[3] q;
h q[0];
cx q[0], q[1];
cx q[1], q[2];
rz(theta_000) q[0];
"""


@pytest.fixture(scope="module")
def finished(main_once, tmp_path_factory):
    """Return the folder of the grid's study and what the command printed."""
    folder = tmp_path_factory.mktemp("circuits") / "study"
    return folder, main_once("study", "circuits", *GRID, "--outdir", folder)


@pytest.fixture
def folder(finished, tmp_path):
    """Return a copy of that study, which a test may change."""
    return shutil.copytree(finished[0], tmp_path / "study")


@pytest.fixture
def ghz(tmp_path):
    path = tmp_path / "ghz.qasm"
    path.write_text(GHZ)
    return path


def results(folder):
    return json.loads((folder / "results.json").read_text())


def test_a_grid_of_the_builtin_family(finished):
    folder, out = finished
    assert [line.rpartition("/")[2] for line in out.split()] == FILES
    found = results(folder)
    assert [(row["reps"], row["num_qubits"]) for row in found["circuits"]] == [
        (r, n) for r in (1, 2) for n in (1, 2, 3)
    ]
    for row in found["circuits"]:
        assert row["num_weights"] == row["reps"] * row["num_qubits"]
        assert row["expressibility"]["equal_width"]["largest"] == pytest.approx(
            (2 ** row["num_qubits"] - 1) * math.log(20)
        )
        # One qubit has nothing to be entangled with.
        assert (row["entangling"]["mean"] > 0.05) == (row["num_qubits"] > 1)
        assert row["entangling"]["low"] <= row["entangling"]["mean"] <= row["entangling"]["high"]
        if row["num_qubits"] == 1:
            assert row["gradients"]["local"] == row["gradients"]["global"]
            assert row["gradients"]["local"]["variance"]["mean"] == pytest.approx(0.5, abs=0.1)
    assert {(decay["reps"], decay["observable"]) for decay in found["decays"]} == {
        (reps, observable) for reps in (1, 2) for observable in ("local", "global")
    }
    with (folder / "table.csv").open() as file:
        assert [line["circuit"] for line in csv.DictReader(file)] == [row["circuit"] for row in found["circuits"]]
    with Image.open(folder / "circuits.png") as picture:
        picture.verify()
    assert "nan" not in (folder / "table.md").read_text()


def test_it_grows_by_sizes_other_gates_and_files(folder, ghz, main):
    before = {path: path.stat().st_mtime_ns for path in folder.glob("cells/*/cell.json")}
    shared = ["--samples", "400", "--gradient-samples", "100", "--bins", "20", "--outdir", folder]
    status, _, err = main("study", "circuits", "--num-qubits", "2,4", "--reps", "1", *shared)
    assert status == 0, err
    assert "2 cells, 1 finished before" in err
    mosaiq = ["--encoding", "ry_rx", "--entangler", "cz", "--readout", "x", "--num-qubits", "2", "--reps", "1"]
    assert main("study", "circuits", *mosaiq, *shared)[0] == 0
    status, out, _ = main("study", "circuits", "--ansatz", ghz, *shared, "--dry-run")
    assert out.split()[:2] == ["to", "do"]
    status, _, err = main("study", "circuits", "--ansatz", ghz, *shared)
    assert status == 0, err
    assert {path: path.stat().st_mtime_ns for path in before} == before
    rows = {row["circuit"]: row for row in results(folder)["circuits"]}
    assert len(rows) == 9
    assert {"hybridq_q4_r1", "mosaiq_q2_r1"} <= set(rows)
    [found] = [row for name, row in rows.items() if name.startswith("ghz-")]
    assert found["entangling"]["mean"] == pytest.approx(1)
    # Its one angle makes GHZ states of all phases, and no Pauli on one qubit or ZZZ feels it.
    assert found["gradients"]["global"]["largest"] == found["gradients"]["local"]["largest"] == 0
    fits = {(d["family"], d["reps"], d["observable"]): d["qubits"] for d in results(folder)["decays"]}
    assert fits["ry_cx_z", 1, "local"] == [1, 2, 3, 4]
    assert not any(family.startswith("ghz") for family, _, _ in fits)


def test_cells_travel_to_other_machines(folder, ghz):
    cells = cells_of_family(folder, CircuitsChoice()) + cells_of_files(folder, [ghz])
    assert len(cells) == 21
    for cell in cells:
        again = pickle.loads(pickle.dumps(cell))
        assert again == cell
        assert again.build().num_qubits == cell.build().num_qubits


def test_a_files_gradients_are_of_the_pauli_that_it_measures(folder, ghz):
    reference = Path(__file__).parents[2] / "circuits"
    names = {"mosaiq_q5_r6": "X", "mediq_q16_r8": "X", "hybridq_q4_r2": "Z"}
    cells = cells_of_files(folder, [*(reference / f"{name}.qasm" for name in names), ghz])
    assert [cell.pauli for cell in cells] == [*names.values(), "Z"]


def test_the_report_is_written_again_and_the_figures_are_the_same(folder, main, tmp_path):
    (folder / "table.md").unlink()
    assert main("study", "circuits", "--report", "--outdir", folder)[0] == 0
    assert (folder / "table.md").is_file()
    assert main("study", "circuits", *GRID, "--outdir", tmp_path)[0] == 0
    first = {row["circuit"]: row | {"seconds": 0} for row in results(folder)["circuits"]}
    for row in results(tmp_path)["circuits"]:
        assert row | {"seconds": 0} == first[row["circuit"]]


def test_what_cannot_be_done_is_refused_in_one_line(folder, ghz, main, tmp_path):
    constant = tmp_path / "constant.qasm"
    constant.write_text('OPENQASM 3.0;\ninclude "stdgates.inc";\nqubit[1] q;\nh q[0];\n')
    large = tmp_path / "large.qasm"
    large.write_text(GHZ.replace("qubit[3]", "qubit[20]"))
    for arguments, problem in (
        (["--num-qubits", "0"], "--num-qubits: qubits are between 1 and 16"),
        (["--num-qubits", "2,17"], "--num-qubits: qubits are between 1 and 16"),
        (["--reps", "a few"], "--reps"),
        (["--samples", "1"], "--samples"),
        (["--bins", "21"], "bins is 21 and was 20"),
        (["--ansatz", ghz, "--reps", "2"], "leave --reps out"),
        (["--ansatz", ghz, "--ansatz", ghz], "named twice"),
        (["--ansatz", constant], "no weights"),
        (["--ansatz", large], "up to 16"),
        (["--ansatz", tmp_path / "missing.qasm"], "missing.qasm"),
        (["--report", "--reps", "2"], "leave --reps out"),
    ):
        shared = [] if "--bins" in arguments or "--report" in arguments else ["--bins", "20"]
        options = shared if "--report" in arguments else ["--gradient-samples", "100", *shared]
        if "--samples" not in arguments and "--report" not in arguments:
            options += ["--samples", "400"]
        status, _, err = main("study", "circuits", *arguments, *options, "--outdir", folder)
        assert status == 2, arguments
        assert problem in err
        assert len(err.splitlines()) == 1
    status, _, err = main("study", "circuits", "--report", "--outdir", tmp_path / "nothing")
    assert status == 4
    assert "no study" in err
