"""The whole study at a tiny size: what it writes, that it repeats, goes on, grows, and refuses."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from test_augment_weights import small_mobilenet
from tiny_augment import options, train_runs
from torchvision.models._api import BUILTIN_MODELS

from qgan_qiskit.runs.load import load_generator
from qgan_qiskit.runs.sample import sample_uint8
from qgan_qiskit.study.augment import cells
from qgan_qiskit.study.augment.report import read_predictions
from qgan_qiskit.study.augment.summary import scores

CONDITIONS = ("none", "oversample", "traditional", "generated-g-a0.3", "generated-g-a0.6")


@pytest.fixture(autouse=True)
def small_networks(monkeypatch):
    monkeypatch.setitem(BUILTIN_MODELS, "mobilenet_v2", small_mobilenet)


@pytest.fixture(scope="module")
def runs(tiny, tmp_path_factory):
    """Two GANs of each class."""
    folder = tmp_path_factory.mktemp("runs")
    return [*train_runs(tiny, folder), *train_runs(tiny, folder, seed=1)]


def generator(runs, name="g"):
    return f"{name}={','.join(str(run) for run in runs)}"


@pytest.fixture(scope="module")
def finished(runs, image_cache, tmp_path_factory):
    """The folder of a study that is done, made once; tests that change it take a copy."""
    from qgan_qiskit.cli.__main__ import main as entry

    folder = tmp_path_factory.mktemp("study") / "s"
    patch = pytest.MonkeyPatch()
    patch.setitem(BUILTIN_MODELS, "mobilenet_v2", small_mobilenet)
    words = ["study", "augment", "--generator", generator(runs), *options(image_cache, folder)]
    patch.setattr(sys, "argv", ["qgan-qiskit", *words])
    with pytest.raises(SystemExit) as ended:
        entry()
    patch.undo()
    assert not ended.value.code
    return folder


@pytest.fixture
def study(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "s")


def contents(folder, *, of=("cells/*/cell.json", "cells/*/predictions.npz", "generated/*/*")):
    """Digest of every file that a cell leaves; times of cells are left out."""
    found = {}
    for path in sorted(path for pattern in of for path in folder.glob(pattern) if path.is_file()):
        data = path.read_bytes()
        if path.name == "cell.json":
            row = json.loads(data)
            row.pop("seconds", None)
            data = json.dumps(row).encode()
        found[str(path.relative_to(folder))] = hashlib.sha256(data).hexdigest()
    return found


def results(folder):
    return json.loads((folder / "results.json").read_text())


def test_it_writes_every_cell_and_a_report(finished):
    both = f"traditional+generated-g-a{results(finished)['chosen_alphas']['g']:g}"
    expected = {f"{name}-s{seed}" for name in (*CONDITIONS, both) for seed in (0, 1)}
    assert {path.parent.name for path in finished.glob("cells/*/cell.json")} == expected
    rows = list(csv.DictReader((finished / "table.csv").open()))
    assert len(rows) == 12
    for row in rows:
        alpha = float(row["alpha"] or 0)
        real, made = int(row["read_real_images"]), int(row["generated_images"])
        assert made == pytest.approx(real * alpha / (1 - alpha), abs=1)
        assert 0 <= float(row["test_auc"]) <= 1 and float(row["test_macro_recall"]) == float(
            row["test_balanced_accuracy"]
        )
    text = (finished / "table.md").read_text()
    for piece in (
        "from scratch",
        "real training images: 50%",
        "4 steps of 8",
        "sign-flip p can be below 0.5",
        "chosen",
    ):
        assert piece in text
    # Synthetic lesions are not in the paper.
    assert "paper" not in text
    with Image.open(finished / "curve.png") as picture:
        assert (
            picture.width > 600
            and len(np.unique(np.asarray(picture).reshape(-1, picture.mode.count("") - 1), axis=0)) > 20
        )


def test_scores_are_those_of_the_predictions_on_the_test_part(finished):
    splits = json.loads((finished / "splits.json").read_text())
    for row in results(finished)["cells"]:
        found = read_predictions(finished / "cells" / row["cell"], row)
        for split in ("validation", "test"):
            labels = np.array(splits[split]["labels"])
            assert row[split] == pytest.approx(scores(labels, found[split]))
            assert np.bincount(labels).tolist() == list(splits[split]["counts"].values())
        assert np.array(row["confusion"]).sum() == len(splits["test"]["labels"])
        assert np.trace(row["confusion"]) / np.sum(row["confusion"]) == pytest.approx(row["test"]["accuracy"])


def test_alpha_comes_from_the_validation_part(finished):
    found = results(finished)
    means = {}
    for row in found["cells"]:
        if row["condition"] == "generated":
            means.setdefault(row["alpha"], []).append(row["validation"]["balanced_accuracy"])
    best = max(means, key=lambda alpha: (np.mean(means[alpha]), -alpha))
    assert found["chosen_alphas"] == {"g": best}
    asked = {(one["condition"], one["baseline"]) for one in found["comparisons"]}
    ours, both = f"generated g {best:g}", f"traditional+generated g {best:g}"
    assert asked == {(ours, "none"), (ours, "oversample"), (ours, "traditional"), (both, "traditional")}
    assert len(found["answers"]) == 4
    assert found["headline"].startswith(f"{ours}: ") and found["headline"] in (finished / "table.md").read_text()


def test_a_seed_gives_every_condition_the_same_real_images_and_its_own_runs(finished, runs):
    rows = results(finished)["cells"]
    for seed in (0, 1):
        of_seed = [row for row in rows if row["seed"] == seed]
        assert len({json.dumps(row["real"]) for row in of_seed}) == 1
        # The runs take turns: nevus and melanoma of GAN seed 0, then of GAN seed 1.
        expected = [str(run / "checkpoints" / "step-00000002") for run in runs[2 * seed : 2 * seed + 2]]
        assert all(row["checkpoints"] == (expected if row["generator"] else []) for row in of_seed)


def test_generated_images_are_those_of_the_first_seeds(finished):
    for folder in (finished / "generated").iterdir():
        row = json.loads((folder / "cell.json").read_text())
        pixels = np.load(folder / "images.npy")
        assert hashlib.sha256((folder / "images.npy").read_bytes()).hexdigest() == row["digest"]
        network, config = load_generator(finished.__class__(row["checkpoint"]))
        assert config.data.class_name == row["class"]
        assert np.array_equal(pixels, sample_uint8(network, row["number"]))


def test_a_second_study_has_the_same_bytes(finished, runs, image_cache, main, tmp_path):
    status, out, err = main(
        "study", "augment", "--generator", generator(runs), *options(image_cache, tmp_path / "again")
    )
    assert status == 0, err
    assert contents(tmp_path / "again") == contents(finished)
    assert out.split() == [
        str(tmp_path / "again" / name) for name in ("table.md", "table.csv", "results.json", "curve.png")
    ]


def test_the_same_command_does_only_what_is_missing(study, main, monkeypatch):
    before = contents(study)
    for name in ("oversample-s1", "generated-g-a0.6-s0"):
        (study / "cells" / name / "cell.json").unlink()
    trained = []
    monkeypatch.setattr(cells, "train_classifier", counted(cells.train_classifier, trained))
    # Nothing but the folder: everything else is in study.json.
    status, _, err = main("study", "augment", "--outdir", study)
    assert status == 0, err
    assert len(trained) == 2
    assert contents(study) == before
    assert main("study", "augment", "--outdir", study)[0] == 0
    assert len(trained) == 2


def counted(function, calls):
    def call(*arguments, **more):
        calls.append(1)
        return function(*arguments, **more)

    return call


def test_it_grows_by_seeds_alphas_and_generators(study, runs, main):
    before = contents(study)
    status, _, err = main(
        "study",
        "augment",
        "--outdir",
        study,
        "--seeds",
        "2",
        "--alphas",
        "0.1",
        "--generator",
        generator(runs[:2], "h"),
    )
    assert status == 0, err
    found = results(study)
    assert found["augment"]["seeds"] == "0,1,2" and found["augment"]["alphas"] == "0.1,0.3,0.6"
    grid = {(row["condition"], row["generator"], row["alpha"], row["seed"]) for row in found["cells"]}
    for name in ("g", "h"):
        assert {("generated", name, alpha, seed) for alpha in (0.1, 0.3, 0.6) for seed in (0, 1, 2)} <= grid
    assert {name: digest for name, digest in contents(study).items() if name in before} == before
    assert set(found["chosen_alphas"]) == {"g", "h"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 5}, "augment.steps is 5 and was 4"),
        ({"split_seed": 9}, "by other fractions or another seed|data.split_seed is 9 and was 4"),
        ({"generated_classes": "balanced"}, "augment.generated_classes is 'balanced' and was 'as-real'"),
        ({"class": "nevus,keratosis"}, "classes is"),
    ],
    ids=str,
)
def test_cells_of_other_settings_are_refused(changes, message, study, main, image_cache):
    before = contents(study)
    status, out, err = main("study", "augment", *options(image_cache, study, **changes))
    assert (status, out) == (2, "")
    assert err.count("\n") == 1 and any(piece in err for piece in message.split("|")), err
    assert contents(study) == before


def test_a_generator_of_that_name_must_be_the_same(study, runs, main):
    status, _, err = main("study", "augment", "--outdir", study, "--generator", generator(runs[:2]))
    assert status == 2 and "--generator g is" in err and err.count("\n") == 1


def test_the_report_alone_trains_nothing(study, main, monkeypatch):
    monkeypatch.setattr(cells, "train_classifier", None)
    kept = (study / "table.md").read_text()
    for name in ("table.md", "table.csv", "results.json", "curve.png"):
        (study / name).unlink()
    status, out, err = main("study", "augment", "--report", "--outdir", study)
    assert (status, err) == (0, "") and len(out.split()) == 4
    assert (study / "table.md").read_text() == kept
    # With a cell missing there is no choice yet, and the report says so.
    (study / "cells" / "generated-g-a0.3-s1" / "cell.json").unlink()
    assert main("study", "augment", "--report", "--outdir", study)[0] == 0
    assert "Not answered yet" in (study / "table.md").read_text()
    status, _, err = main("study", "augment", "--report", "--outdir", study, "--steps", "3")
    assert status == 2 and "leave --steps out" in err
    status, _, err = main("study", "augment", "--report", "--outdir", study / "nowhere")
    assert status == 4 and "no study" in err


def test_a_dry_run_lists_the_cells_and_writes_nothing(study, runs, main, image_cache, tmp_path):
    (study / "cells" / "none-s1" / "cell.json").unlink()
    before = sorted(study.rglob("*"))
    status, out, _ = main("study", "augment", "--outdir", study, "-n")
    lines = out.splitlines()
    assert status == 0 and len(lines) == 10 and sorted(study.rglob("*")) == before
    assert [line for line in lines if not line.startswith("finished")] == [
        line for line in lines if "none, seed 1" in line and line.startswith("begun")
    ]
    new = tmp_path / "new"
    status, out, _ = main("study", "augment", "-n", "--generator", generator(runs), *options(image_cache, new))
    assert status == 0 and out.count("to do") == 10 and not new.exists()


def test_damage_is_found(study, main):
    (study / "cells" / "none-s0" / "predictions.npz").write_bytes(b"x")
    status, _, err = main("study", "augment", "--report", "--outdir", study)
    assert status == 4 and "predictions.npz: cannot be used" in err
    pixels = next((study / "generated").glob("*/images.npy"))
    pixels.write_bytes(pixels.read_bytes()[:-1] + b"x")
    (study / "cells" / "generated-g-a0.3-s0" / "cell.json").unlink()
    (study / "cells" / "generated-g-a0.3-s1" / "cell.json").unlink()
    status, _, err = main("study", "augment", "--outdir", study)
    assert status == 4 and "images.npy: cannot be used" in err
    (study / "study.json").write_text("{")
    status, _, err = main("study", "augment", "--report", "--outdir", study)
    assert status == 4 and "study.json: cannot be read" in err and err.count("\n") == 1


WRONG = {
    "no generator": ([], "name a generator"),
    "one class": (["--class", "nevus", "--generator", "g=x"], "at least two classes"),
    "no such class": (["--class", "nevus,abc", "--generator", "g=x"], "no class 'abc'"),
    "an alpha of 0": (["--alphas", "0,0.5"], "--alphas: a list of numbers between 0 and 1"),
    "an alpha of 1": (["--alphas", "1"], "--alphas: a list of numbers between 0 and 1"),
    "words for alphas": (["--alphas", "some"], "--alphas: a list of numbers"),
    "an alpha twice": (["--alphas", "0.5,0.50"], "twice"),
    "negative seeds": (["--seeds", "-1"], "'-1' is not a seed"),
    "too many seeds": (["--seeds", "0-20"], "at most 20"),
    "a share of 0": (["--real-share", "0"], "--real-share"),
    "a share above 1": (["--real-share", "1.5"], "--real-share"),
    "no steps": (["--steps", "0"], "--steps"),
    "strides of mobilenet": (
        ["--resnet-stride", "conv1", "--backbone", "mobilenet_v2"],
        "has no effect on mobilenet_v2",
    ),
    "dask without an address": (["--executor", "dask"], "go together"),
    "an address without dask": (["--scheduler", "tcp://x:1"], "go together"),
    "weights that are not there": (["--weights", "nowhere.pth", "--generator", "g=x"], "nowhere.pth: cannot be read"),
    "a run that is not there": (["--generator", "g=nowhere"], "nowhere: not a run folder"),
    "no parts": (["--test-fraction", "0.5", "--validation-fraction", "0.5"], "together they"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_work_ends_in_one_line_before_anything_is_written(what, main, image_cache, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments, message = WRONG[what]
    base = ["--resolution", "16", "--synthetic-per-class", "40", "--cache-dir", image_cache]
    status, out, err = main("study", "augment", *base, "--outdir", tmp_path / "s", *arguments)
    assert status in (2, 3, 4) and out == ""
    assert message in err and err.count("\n") == 1, err
    assert not (tmp_path / "s").exists()


def test_a_refused_option_does_not_wait_for_torch():
    program = (
        "import sys\nfrom qgan_qiskit.cli.__main__ import main\n"
        "sys.argv = ['x', 'study', 'augment', '--alphas', '2']\n"
        "try:\n    main()\nexcept SystemExit as ended:\n    print(ended.code, 'torch' in sys.modules, 'numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "2 False False\n"
