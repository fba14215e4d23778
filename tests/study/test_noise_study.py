"""The noise study: what it says of errors whose kind is known, its folder, and what it refuses."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from PIL import Image
from tiny_runs import DCGAN

from qgan_qiskit.analysis.noise_response import error_response, recalibrate
from qgan_qiskit.runs.load import load_generator
from qgan_qiskit.runs.sample import sample_uint8
from qgan_qiskit.workflows.fit import fit

CONDITIONS = ["exact", "shots-64", "shots-4096", "manila-level0", "manila-level1"]


@pytest.fixture(scope="module")
def exact_NPO():
    return np.random.default_rng(0).uniform(-0.8, 0.8, (60, 3, 4))


def mean_of(evs_NPO):
    """Decode to an "image" of one number: 100 times the mean of the first sub-generator."""
    return 100 * evs_NPO[:, :1].mean(axis=(1, 2))


def test_errors_that_are_straight_lines_are_undone(exact_NPO):
    slope_PO = np.random.default_rng(1).uniform(0.3, 1.2, (3, 4))
    noisy_NPO = 0.1 + slope_PO * exact_NPO
    undone_NPO, found_PO = recalibrate(exact_NPO, noisy_NPO)
    np.testing.assert_allclose(found_PO, slope_PO, atol=1e-10)
    np.testing.assert_allclose(undone_NPO, exact_NPO, atol=1e-10)
    found = error_response(exact_NPO, noisy_NPO, np.zeros_like(exact_NPO), mean_of, 0)
    assert found["features"]["scatter"] == pytest.approx(0, abs=1e-10)
    assert found["images"]["rmse_recalibrated"] == pytest.approx(0, abs=1e-8)
    assert found["features"]["slope"] == pytest.approx(slope_PO.mean())
    assert found["features"]["rmse"] == pytest.approx(np.sqrt(((noisy_NPO - exact_NPO) ** 2).mean()))
    assert found["images"]["rmse"] == pytest.approx(
        np.sqrt(np.mean((mean_of(noisy_NPO) - mean_of(exact_NPO)) ** 2)), rel=1e-9
    )


def test_errors_that_are_scatter_stay(exact_NPO):
    noisy_NPO = exact_NPO + 0.05 * np.random.default_rng(2).standard_normal(exact_NPO.shape)
    found = error_response(exact_NPO, noisy_NPO, np.full_like(exact_NPO, 0.05), mean_of, 0)
    assert found["features"]["rmse_of_shots"] == pytest.approx(0.05)
    assert found["features"]["scatter"] == pytest.approx(0.05, rel=0.1)
    assert found["features"]["slope"] == pytest.approx(1, abs=0.03)
    # The errors are random ones themselves.
    assert found["images"]["rmse"] == pytest.approx(found["images"]["rmse_of_random_errors"], rel=0.3)
    assert found["images"]["rmse_recalibrated"] > 0.7 * found["images"]["rmse"]


def test_a_feature_that_says_nothing_any_more_keeps_its_mean(exact_NPO):
    noisy_NPO = exact_NPO.copy()
    noisy_NPO[:, 1, 2] = 0.3
    undone_NPO, slope_PO = recalibrate(exact_NPO, noisy_NPO)
    assert slope_PO[1, 2] == pytest.approx(0, abs=1e-9)
    np.testing.assert_allclose(undone_NPO[:, 1, 2], exact_NPO[:, 1, 2].mean())


@pytest.fixture(scope="module")
def run(tiny, tmp_path_factory):
    [path] = fit(tiny(), tmp_path_factory.mktemp("runs"))
    return path


@pytest.fixture(scope="module")
def options(run, image_cache):
    names = ["--number", "12", "--shots", "4096,64", "--devices", "fake_manila,MANILA", "--levels", "1,0"]
    more = ["--metrics", "ssim", "--processes", "1", "--cache-dir", image_cache]
    return ["study", "noise", run, *names, *more]


@pytest.fixture(scope="module")
def study(options, main_once, tmp_path_factory):
    folder = tmp_path_factory.mktemp("noise") / "study"
    out = main_once(*options, "--outdir", folder)
    assert [line.rpartition("/")[2] for line in out.split()] == [
        "table.md", "table.csv", "results.json", "noise.png", "samples.png",
    ]  # fmt: skip
    return folder


def results(folder):
    return json.loads((folder / "results.json").read_text())


def test_every_condition_has_a_row_in_order(study):
    rows = results(study)["conditions"]
    assert [row["condition"] for row in rows] == CONDITIONS
    with (study / "table.csv").open() as file:
        assert [line["condition"] for line in csv.DictReader(file)] == CONDITIONS
    text = (study / "table.md").read_text()
    assert all(f"| {name} |" in text for name in CONDITIONS)
    assert "IBM Brisbane" in text
    for name in ("noise.png", "samples.png"):
        with Image.open(study / name) as picture:
            picture.verify()


def test_more_shots_and_less_noise_mean_smaller_errors(study):
    rows = {row["condition"]: row for row in results(study)["conditions"]}
    assert "features" not in rows["exact"]
    error = {name: rows[name]["features"]["rmse"] for name in CONDITIONS[1:]}
    assert error["shots-64"] > 4 * error["shots-4096"]
    assert error["manila-level0"] > 2 * error["shots-4096"]
    assert error["manila-level1"] < error["manila-level0"]
    assert rows["shots-64"]["features"]["rmse_of_shots"] == pytest.approx(error["shots-64"], rel=0.3)
    assert rows["shots-64"]["images"]["rmse"] > rows["shots-4096"]["images"]["rmse"]


def test_exact_images_are_those_of_generate(study, run):
    [row] = [row for row in results(study)["conditions"] if row["condition"] == "exact"]
    generator, _ = load_generator(run)
    assert len(row["figures"]) == 1
    with np.load(study / "cells" / "exact" / "expectations.npz") as file:
        assert file["evs"].shape[0] == 12
        assert not file["stds"].any()
    with Image.open(study / "cells" / "exact" / "samples.png") as picture:
        shown = np.asarray(picture)
    first = sample_uint8(generator, 1)[0]
    assert np.abs(shown[2 : 2 + first.shape[0], 2 : 2 + first.shape[1]].astype(int) - first).max() <= 1


def test_finished_conditions_are_kept_and_the_study_grows(study, options, main):
    before = {path: path.stat().st_mtime_ns for path in study.glob("cells/*/cell.json")}
    grown = [{"4096,64": "4096,64,128"}.get(str(option), option) for option in options]
    status, out, _ = main(*grown, "--outdir", study, "--dry-run")
    assert status == 0
    assert sorted(line.split()[0] for line in out.splitlines()) == ["finished"] * 5 + ["to"]
    status, _, err = main(*grown, "--outdir", study)
    assert status == 0, err
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert [row["condition"] for row in results(study)["conditions"]][1:4] == ["shots-64", "shots-128", "shots-4096"]
    (study / "table.md").unlink()
    assert main("study", "noise", "--report", "--outdir", study)[0] == 0
    assert "shots-128" in (study / "table.md").read_text()


@pytest.mark.parametrize(
    ("changes", "problem"),
    {
        "settings": ({"--number": "13"}, "number is 13 and was 12"),
        "device": ({"--devices": "nowhere"}, "no device snapshot is called 'nowhere'"),
        "shots": ({"--shots": "0"}, "--shots: shots are between 1 and 1000000"),
        "list": ({"--shots": "a few"}, "--shots"),
        "levels": ({"--levels": "3"}, "--levels"),
    }.values(),
)
def test_what_cannot_be_done_is_refused_in_one_line(changes, problem, study, options, main):
    asked = list(options)
    for name, value in changes.items():
        asked[asked.index(name) + 1] = value
    status, _, err = main(*asked, "--outdir", study)
    assert status == 2
    assert problem in err
    assert len(err.splitlines()) == 1


def test_generators_without_circuits_and_missing_runs_are_refused(tiny, main, tmp_path):
    [classical] = fit(tiny(model=DCGAN), tmp_path)
    status, _, err = main("study", "noise", classical, "--outdir", tmp_path / "study")
    assert status == 2
    assert "has no circuits" in err
    status, _, err = main("study", "noise")
    assert status == 2
    assert "name the RUN" in err
    status, _, err = main("study", "noise", "--report", "--outdir", tmp_path / "nothing")
    assert status != 0
    assert "no study" in err
