"""The geometry study from the command line: circuit, classical baseline and DCGAN side by side, growing, and refusals."""

from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_runs import DCGAN, MEDIQ

from qgan_qiskit.analysis.jacobian import jacobians
from qgan_qiskit.metrics.inception import _STAGES
from qgan_qiskit.runs.load import load_generator
from qgan_qiskit.runs.sample import interpolate, sample_latents, sample_uint8
from qgan_qiskit.study.latent_geometry_report import label_runs
from qgan_qiskit.workflows.fit import fit

FILES = ["table.md", "table.csv", "results.json", "geometry.png", "interpolations.png"]
SIZES = ["--number", "4", "--feature-number", "50", "--pairs", "6", "--rows", "2", "--frames", "3"]


@pytest.fixture(scope="module")
def runs(tiny, tmp_path_factory):
    """Return trained runs; all have the name that a run of HybridQ's default preset has, but the last."""
    found = {}
    for name, model in {"circuits": {}, "classical_baseline": {"classical_baseline": True}, "dcgan": DCGAN}.items():
        [found[name]] = fit(tiny(model=model), tmp_path_factory.mktemp(name))
    return found


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Return a file of random Inception weights up to the first tap."""
    torch.manual_seed(0)
    layers = torch.nn.ModuleDict({name: make() for name, make in _STAGES[64].items()})
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.save(layers.state_dict(), path)
    return path


def asked(runs, *names):
    return ["study", "geometry", *[runs[name] for name in names], *SIZES]


@pytest.fixture(scope="module")
def finished(runs, main_once, tmp_path_factory):
    """Return the folder of a study of all three runs, which no test changes."""
    folder = tmp_path_factory.mktemp("geometry") / "study"
    main_once(*asked(runs, "circuits", "classical_baseline", "dcgan"), "--outdir", folder)
    return folder


@pytest.fixture
def folder(finished, tmp_path):
    """Return a copy of that study, which a test may change."""
    return shutil.copytree(finished, tmp_path / "study")


def results(folder):
    return json.loads((folder / "results.json").read_text())


def test_a_study_of_a_run_and_its_twin_grows_by_a_dcgan(runs, tmp_path, main):
    folder = tmp_path / "study"
    status, out, err = main(*asked(runs, "circuits", "classical_baseline"), "--outdir", folder)
    assert status == 0, err
    assert [line.rpartition("/")[2] for line in out.split()] == FILES
    before = {path: path.stat().st_mtime_ns for path in folder.glob("cells/*/*") if path.name != ".lock"}
    assert len(before) == 6
    grown = [*asked(runs, "circuits", "classical_baseline", "dcgan"), "--outdir", folder]
    status, out, _ = main(*grown, "--dry-run")
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()] == ["finished", "finished", "to"]
    status, _, err = main(*grown)
    assert status == 0, err
    assert "3 cells, 2 finished before" in err
    assert {path: path.stat().st_mtime_ns for path in before} == before
    rows = results(folder)["runs"]
    assert [row["model"] for row in rows] == ["hybridq", "hybridq+baseline", "dcgan"]
    assert len({row["label"] for row in rows}) == 3
    with (folder / "table.csv").open() as file:
        assert [line["label"] for line in csv.DictReader(file)] == [row["label"] for row in rows]
    for name in ("geometry.png", "interpolations.png"):
        with Image.open(folder / name) as picture:
            picture.verify()


def test_figures_are_those_of_the_measurements(folder, runs):
    circuits, classical_baseline, dcgan = results(folder)["runs"]
    generator, _ = load_generator(runs["circuits"])
    spectra = [
        torch.linalg.svdvals(jacobians(generator, z).image_DS).numpy() for z in sample_latents(generator, range(4))
    ]
    np.testing.assert_allclose(circuits["jacobian"]["image"]["spectrum"]["mean"], np.mean(spectra, axis=0), rtol=1e-6)
    assert circuits["jacobian"]["image"]["shape"] == [16 * 16 * 3, 6]
    assert circuits["jacobian"]["features"]["shape"] == [6, 6]
    assert circuits["features"]["number"] == 50
    assert 0 < circuits["fidelity"]["sub_generator"]["mean"] < 1
    assert len(circuits["fidelity"]["sub_generators"]) == 2
    # Six weights for three inputs and three outputs: one hidden unit in each of two parts.
    assert classical_baseline["jacobian"]["features"]["rank"]["per_latent"]["mean"] == 2
    assert classical_baseline["features"]["rank"]["mean"] > 2, "the features lie on a curved surface, not on a plane"
    assert classical_baseline["fidelity"] is None
    assert dcgan["features"] is dcgan["fidelity"] is dcgan["jacobian"]["features"] is None
    assert dcgan["jacobian"]["image"]["shape"] == [16 * 16 * 3, 8]
    for row in (circuits, classical_baseline, dcgan):
        assert row["paths"]["pixels"]["low"] < row["paths"]["pixels"]["mean"] < row["paths"]["pixels"]["high"]
        assert "inception" not in row["paths"]
    assert dcgan["latent_deviation"] == pytest.approx(1, abs=0.1)
    assert circuits["latent_deviation"] == pytest.approx(np.pi / np.sqrt(12), rel=0.1)


def test_the_table_names_every_run_and_leaves_out_what_it_does_not_have(folder):
    text = (folder / "table.md").read_text()
    assert "nan" not in text
    text = "\n".join(line for line in text.splitlines() if not line.startswith("- "))
    labels = [row["label"] for row in results(folder)["runs"]]
    parts = {part.splitlines()[0]: part for part in text.split("## ")[1:]}
    assert [sum(label in part for label in labels) for part in parts.values()] == [3, 3, 2, 2, 3, 1]


def test_interpolations_begin_and_end_with_the_images_of_generate(folder, runs):
    [row] = [row for row in results(folder)["runs"] if row["model"] == "hybridq"]
    generator, _ = load_generator(runs["circuits"])
    with Image.open(folder / "cells" / row["cell"] / "interpolation.png") as picture:
        shown = np.asarray(picture).astype(int)
    assert shown.shape == (2 * 18 + 2, 3 * 18 + 2, 3)
    first, second, third = sample_uint8(generator, 3)
    middle = interpolate(generator, (0, 1), 2)[1]
    for (y, x), image in {(0, 0): first, (0, 2): second, (1, 0): second, (1, 2): third}.items():
        assert np.abs(shown[2 + 18 * y : 18 + 18 * y, 2 + 18 * x : 18 + 18 * x] - image).max() <= 1
    expected = ((middle.permute(1, 2, 0).numpy() + 1) * 127.5).round()
    assert np.abs(shown[2:18, 20:36] - expected).max() <= 1


def test_the_report_is_written_again(folder, main):
    written = {name: (folder / name).read_bytes() for name in FILES}
    (folder / "table.md").unlink()
    status, out, _ = main("study", "geometry", "--report", "--outdir", folder)
    assert status == 0
    assert len(out.split()) == len(FILES)
    assert (folder / "table.md").read_bytes() == written["table.md"]
    assert (folder / "results.json").read_bytes() == written["results.json"]


def test_the_same_command_gives_the_same_figures(runs, folder, main, tmp_path):
    assert main(*asked(runs, "circuits"), "--outdir", tmp_path / "again")[0] == 0
    [again], first = results(tmp_path / "again")["runs"], results(folder)["runs"][0]
    for row in (again, first):
        row.pop("seconds")
        row.pop("label")
    assert again == first


def test_inception_features_and_checkpoints(runs, weights, main, tmp_path):
    checkpoint = min((runs["dcgan"] / "checkpoints").glob("step-*"))
    options = [*SIZES, "--fid-weights", weights, "--outdir", tmp_path / "study"]
    status, _, err = main("study", "geometry", runs["dcgan"], checkpoint, *options)
    assert status == 0, err
    newest, early = results(tmp_path / "study")["runs"]
    assert early["step"] < newest["step"]
    assert early["label"].endswith(f"/{checkpoint.name}")
    for row in (newest, early):
        assert row["paths"]["inception"]["mean"] > 0
        assert row["paths"]["network"]["feature_layer"] == 64
    assert "Inception features" in (tmp_path / "study" / "table.md").read_text()
    status, _, err = main("study", "geometry", runs["dcgan"], *SIZES, "--outdir", tmp_path / "study")
    assert status == 2
    assert "fid_weights is 'none' and was 'a file'" in err


def test_a_conditional_model_stays_in_one_class_on_the_way(tiny, main, tmp_path):
    classes = {"class_name": "nevus,melanoma"}
    [run] = fit(tiny(model=MEDIQ, data=classes, training={"precision": "fp32"}), tmp_path)
    status, _, err = main("study", "geometry", run, *SIZES, "--outdir", tmp_path / "study")
    assert status == 0, err
    [row] = results(tmp_path / "study")["runs"]
    assert (row["model"], row["class"], row["circuits"]) == ("mediq", "nevus,melanoma", True)
    assert row["latent_size"] == row["jacobian"]["image"]["shape"][1] == MEDIQ["latent_size"]
    assert row["latent_deviation"] == pytest.approx(1, abs=0.1)
    # A way across a class or another noise would be a jump: 1 / step^2 times larger than any slope.
    assert row["paths"]["pixels"]["percentiles"][-1] < 1e3
    assert len(row["fidelity"]["sub_generators"]) == 3


@pytest.mark.parametrize(
    ("changes", "problem"),
    {
        "settings": (["--pairs", "7"], "pairs is 7 and was 6"),
        "range": (["--number", "1"], "--number"),
        "step": (["--path-step", "0"], "--path-step"),
        "frames": (["--frames", "1"], "--frames"),
        "pointless": (["--feature-layer", "64"], "--feature-layer has no effect without --fid-weights"),
        "cluster": (["--executor", "dask"], "--scheduler"),
    }.values(),
)
def test_what_cannot_be_done_is_refused_in_one_line(changes, problem, runs, folder, main):
    status, _, err = main(*asked(runs, "circuits"), *changes, "--outdir", folder)
    assert status == 2
    assert problem in err
    assert len(err.splitlines()) == 1


def test_runs_that_are_not_there_are_refused_in_one_line(runs, main, tmp_path):
    for arguments, problem in (
        ([tmp_path / "nothing"], "does not exist"),
        ([], "name the RUN"),
        ([runs["dcgan"], runs["dcgan"]], "named twice"),
        ([runs["dcgan"], "--report"], "leave runs out"),
    ):
        status, _, err = main("study", "geometry", *arguments, "--outdir", tmp_path / "study")
        assert status == 2, arguments
        assert problem in err
        assert len(err.splitlines()) == 1
    for arguments in ([tmp_path], ["--report"]):
        status, _, err = main("study", "geometry", *arguments, "--outdir", tmp_path / "study")
        assert status == 4
        assert len(err.splitlines()) == 1


def test_the_folder_of_another_study_is_left_alone(runs, main, tmp_path):
    (tmp_path / "study.json").write_text('{"format": 2, "settings": {}}')
    status, _, err = main(*asked(runs, "dcgan"), "--outdir", tmp_path)
    assert status == 4
    assert "not of a study of geometry" in err
    (tmp_path / "study.json").write_text("{")
    assert main(*asked(runs, "dcgan"), "--outdir", tmp_path)[0] == 4
    assert [path.name for path in tmp_path.iterdir()] == ["study.json"]


def test_runs_are_called_by_what_tells_them_apart():
    assert label_runs(["/a/b/r0", "/a/b/r1"]) == ["r0", "r1"]
    assert label_runs(["/a/x/r0", "/a/y/r0"]) == ["x/r0", "y/r0"]
    assert label_runs(["/a/r0/checkpoints/step-0004", "/a/r0"]) == ["r0/step-0004", "r0"]
    assert label_runs(["/a/r0/checkpoints/step-0004"]) == ["r0/step-0004"]
    assert label_runs(["/s/cells/hybridq/run", "/s/cells/dcgan/run"]) == ["hybridq", "dcgan"]
