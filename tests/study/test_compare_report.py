"""The report of made-up cells whose means, intervals and tests are known."""

import csv
import itertools
import json
import math

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from qgan_qiskit.config.studies import CompareConfig
from qgan_qiskit.study.compare.plan import make_study
from qgan_qiskit.study.compare.report import write_report
from qgan_qiskit.study.compare.summary import printed_fid, summarize

CLASSES = ("MEL", "NV")
# Model, class, seed -> FID.
FIDS = {
    ("hybridq", "MEL"): [0.5, 0.6, 0.7],
    ("hybridq", "NV"): [1.0, 1.3, 1.9],
    ("dcgan", "MEL"): [1.0, 1.2, 1.3],
    ("dcgan", "NV"): [2.2, 2.4, 3.9],
    ("hybridq+baseline", "MEL"): [0.45],
    ("mosaiq", "MEL"): [8.0, None],
}
FLOOR = {"MEL": 0.11, "NV": 0.07}


def figure(metric, name, value, floor):
    return {
        "metric": metric, "name": name, "value": value, "low": value - 0.1, "high": value + 0.2, "baseline": floor,
        "baseline_number": 500, "better": "lower" if metric == "fid" else "higher", "real_number": 1000, "fake_number": 1000,
        "feature_layer": 768, "resize": "bilinear", "weights_digest": "ab" * 32, "seed": 0,
    }  # fmt: skip


def row(model, class_name, seed, fid):
    figures = [] if fid is None else [
        figure("fid", "FID, 768-d", fid, FLOOR[class_name]),
        figure("prdc", "precision, k = 5", 0.5 + 0.01 * seed, None),
    ]  # fmt: skip
    curve = [{"step": 10 * n, "images_seen": 640 * n, "epochs": 5.0 * n, "figures": figures[:1]} for n in (1, 2) if fid]
    classical_baseline = model.endswith("+baseline")
    quantum = 600 if "hybridq" in model else 0
    return {
        "model": model, "name": model.partition("+")[0], "preset": "default", "classical_baseline": classical_baseline,
        "class": class_name,
        "seed": seed, "diverged": None if fid else "a loss is nan at step 3: nothing was updated", "figures": figures,
        "curve": curve, "epochs": 30, "batch_size": 64, "steps": 20, "images_seen": 1280, "left_out": 3, "images": 1283,
        "parameters": {
            "generator": 1000, "discriminator": 500, "quantum": 0 if classical_baseline else quantum,
            "in_place_of_quantum": quantum if classical_baseline else 0,
        },
        "seconds": 12.5, "seconds_complete": True, "device": "cpu", "threads": 1, "data_digest": class_name * 4,
        "data_notes": [], "config_digest": "c0", "versions": {"torch": "1"},
    }  # fmt: skip


def all_rows():
    return [row(model, name, seed, fid) for (model, name), fids in FIDS.items() for seed, fid in enumerate(fids)]


@pytest.fixture
def rows():
    return all_rows()


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Return the folder of a report."""
    folder = tmp_path_factory.mktemp("report")
    study = make_study(folder, CompareConfig(), [], CLASSES, [], "python -m qgan_qiskit.cli study compare")
    folders = {f"cell{number}": one for number, one in enumerate(all_rows())}
    for name in folders:
        (folder / "cells" / name).mkdir(parents=True)
        for picture in ("reals.png", "samples.png"):
            pixels = np.random.default_rng(0).integers(0, 256, (16, 128, 3), np.uint8)
            Image.fromarray(pixels).save(folder / "cells" / name / picture)
    files = write_report(study, folders)
    assert {path.name for path in files} == {path.name for path in study.folder.iterdir()} - {"cells"}
    return study.folder


def test_means_and_intervals(rows):
    lines = {(line["model"], line["class"]): line for line in summarize(rows)["table"]}
    assert set(lines) == set(FIDS)
    for key, fids in FIDS.items():
        found = lines[key]["figures"]["FID, 768-d"]
        known = [fid for fid in fids if fid is not None]
        assert found["values"] == known
        assert found["mean"] == pytest.approx(np.mean(known))
        if len(known) > 1:
            low, high = stats.t.interval(0.95, len(known) - 1, np.mean(known), stats.sem(known))
            assert (found["low"], found["high"]) == pytest.approx((low, high))
            assert found["interval"] == "t over seeds"
        else:
            assert (found["low"], found["high"]) == pytest.approx((known[0] - 0.1, known[0] + 0.2))
            assert found["interval"] == "bootstrap of one cell"
    assert lines["mosaiq", "MEL"]["diverged"] == [1]
    assert lines["hybridq", "NV"]["printed_fid"] == 21.76


def test_tests_pair_cells_of_the_same_class_and_seed(rows):
    summary = summarize(rows)
    tests = {(test["first"], test["second"]): test for test in summary["tests"]}
    assert summary["tested"] == "FID, 768-d"
    assert len(tests) == 6
    ours, theirs = (FIDS[model, "MEL"] + FIDS[model, "NV"] for model in ("hybridq", "dcgan"))
    found = tests["hybridq", "dcgan"]
    assert found["pairs"] == 6
    assert found["plain"]["mean"] == pytest.approx(np.mean(np.subtract(ours, theirs)))
    assert found["log"]["mean"] == pytest.approx(np.mean(np.log(ours)) - np.mean(np.log(theirs)))
    assert found["plain"]["t_p"] == pytest.approx(stats.ttest_rel(ours, theirs).pvalue)
    assert found["log"]["t_p"] == pytest.approx(stats.ttest_rel(np.log(ours), np.log(theirs)).pvalue)
    # All six differences have one sign: only the two equal sign patterns are as far from 0.
    assert found["log"]["flip_p"] == found["plain"]["flip_p"] == 2 / 2**6
    for pair in itertools.combinations(("hybridq", "dcgan", "hybridq+baseline", "mosaiq"), 2):
        if pair != ("hybridq", "dcgan"):
            assert tests[pair]["pairs"] == 1
            assert tests[pair]["plain"] is tests[pair]["log"] is None
    # One test with pairs: nothing to correct for.
    assert found["log"]["t_p_holm"] == found["log"]["t_p"]


def test_holm_over_the_pairs_of_models():
    """Three models on four cells: the corrected p-values are those of Holm's steps."""
    rng = np.random.default_rng(3)
    fids = {model: rng.uniform(1, 3, 4) for model in "abc"}
    rows = [row(model, "MEL", seed, fid) for model, values in fids.items() for seed, fid in enumerate(values)]
    tests = summarize(rows)["tests"]
    for scale, kind in itertools.product(("plain", "log"), ("t_p", "flip_p")):
        p_values = sorted(test[scale][kind] for test in tests)
        steps = np.minimum(1, np.maximum.accumulate(np.array(p_values) * (3, 2, 1)))
        assert sorted(test[scale][f"{kind}_holm"] for test in tests) == pytest.approx(list(steps))


def test_markdown(written):
    table = (written / "table.md").read_text()
    mel, nv = table.split("## ")[1:3]
    half = stats.t.ppf(0.975, 2) * 0.1 / math.sqrt(3)
    assert "| hybridq | 1,500 (600) | 1,280 | 3 | " in mel
    assert f"| 0.600 ± {half:.3f} | " in mel
    assert "| hybridq+baseline | 1,500 (0; 600 in their place) | 1,280 | 1 | 0.450 [0.350, 0.650] ² |" in mel
    assert "| mosaiq | 1,500 (0) | 1,280 | 2 (1 diverged) | 8.00 [7.90, 8.20] ² |" in mel
    assert "| *real-vs-real baseline* | – | – | – | 0.110 (n = 500) | – | – |" in mel
    # The paper's values stand in a column of their own, which says so, and only where the paper has any.
    assert "| the paper's FID: another scale ¹ |" in mel
    for cell in ("*14.93* |", "*21.23* |", "*36.22* ³ |"):
        assert cell in mel
    assert "*16.51* |" in nv
    for words in (
        "¹ Printed in arXiv 2506.21015v1, Table 1",
        "³ The paper prints the same three numbers for MosaiQ on ISIC 2019 and on Fitzpatrick17k",
        "The real ones are those that the models were trained on",
        "1,000 generated and 1,000 real ones",
        "Features of 768 numbers give distances on another scale than those of 2048",
        "`abababababababab…`",
        "mosaiq, class MEL, seed 1 diverged: a loss is nan at step 3.",
        "Made by `python -m qgan_qiskit.cli study compare`.",
        "| hybridq – mosaiq | 1 | too few | – |",
    ):
        assert words in table
    assert all(line.count("|") == table.split("\n")[2].count("|") for line in mel.splitlines() if line.startswith("|"))


def test_machine_readable_files(written, rows):
    results = json.loads((written / "results.json").read_text(), parse_constant=pytest.fail)
    assert results["cells"] == rows
    assert results["printed_fid_source"].startswith("arXiv 2506.21015v1")
    assert results["settings"]["epochs"] == 30
    with (written / "table.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == len(rows)
    for line, one in zip(lines, rows, strict=True):
        assert (line["model"], line["class"], int(line["seed"])) == (one["model"], one["class"], one["seed"])
        if one["figures"]:
            assert float(line["FID, 768-d"]) == one["figures"][0]["value"]
            assert float(line["FID, 768-d baseline"]) == FLOOR[one["class"]]
        else:
            assert (line["FID, 768-d"], line["diverged"] != "") == ("", True)


def test_infinite_figures_are_none(rows):
    """A figure that is not finite is missing in the means, and null in the JSON."""
    rows[0]["figures"][0]["value"] = math.inf
    line = summarize(rows)["table"][0]
    assert line["figures"]["FID, 768-d"]["values"] == [0.6, 0.7]


def test_pictures(written):
    with Image.open(written / "samples.png") as samples, Image.open(written / "curves.png") as curves:
        assert samples.width > 900
        # A row of real images and one per model: 5 of MEL, 3 of NV.
        assert samples.height / samples.width == pytest.approx(8 * 1.06 / (1.7 + 8), rel=0.1)
        assert curves.width > 600


def test_the_same_cells_give_the_same_bytes(written, rows):
    before = {path.name: path.read_bytes() for path in written.iterdir() if path.is_file()}
    study = make_study(written, CompareConfig(), [], CLASSES, [], "python -m qgan_qiskit.cli study compare")
    write_report(study, {f"cell{number}": one for number, one in enumerate(rows)})
    assert {path.name: path.read_bytes() for path in written.iterdir() if path.is_file()} == before


def test_the_papers_values():
    """Spot checks against the printed table."""
    assert printed_fid("hybridq", "BCC", False) == printed_fid("hybridq", "malignant", False) == 13.29
    assert printed_fid("dcgan", "non-neoplastic", False) == 26.56
    assert [printed_fid("mosaiq", name, False) for name in ("MEL", "NV", "BCC")] == [36.22, 53.39, 43.00]
    assert printed_fid("hybridq", "MEL", True) is None
    assert printed_fid("qgpatch", "MEL", False) is None
    assert printed_fid("dcgan", "nevus", False) is None
