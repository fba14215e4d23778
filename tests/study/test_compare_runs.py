"""``study compare`` as a user meets it: equal budgets, stops and kills, growth, two at once, what is refused."""

import json
import os
import random
import re
import shutil
import signal
import time

import pytest
import tiny_study
from child_runs import lines, wait_for
from tiny_study import OPTIONS, add_presets, cells_of, start_study

from qgan_qiskit.config import PRESETS

MODELS = "hybridq:tiny,dcgan:tiny"
# What two runs of the same cell need not have in common.
VARYING = ("seconds", "seconds_complete")


@pytest.fixture(autouse=True)
def tiny_presets(monkeypatch):
    for model in ("hybridq", "dcgan", "mediq"):
        monkeypatch.setitem(PRESETS, model, dict(PRESETS[model]))
    add_presets()


@pytest.fixture(scope="module")
def options(image_cache):
    """Return options of a study of four cells in which every cell has 30 images to see."""
    made = ["--cache-dir", image_cache, *OPTIONS, "--models", MODELS, "--class", "nevus,melanoma"]
    return [str(option) for option in (*made, "--epochs", "2", "--curve-every", "1")]


@pytest.fixture(scope="module")
def uncut(options, tmp_path_factory):
    folder = tmp_path_factory.mktemp("uncut") / "study"
    process = start_study([*options, "--outdir", folder], folder.with_name("output"))
    process.join(120)
    assert process.exitcode == 0, folder.with_name("output").read_text()
    return folder


def rows_of(study):
    """Return the finished cells without what may vary."""
    return {
        path.parent.name: {key: value for key, value in json.loads(path.read_text()).items() if key not in VARYING}
        for path in study.glob("cells/*/cell.json")
    }


def report_of(study):
    """Return the report without places and times."""
    content = json.loads((study / "results.json").read_text())
    for row in (*content["cells"], *content["table"]):
        for key in VARYING:
            del row[key]
    table = (study / "table.md").read_text()
    return (
        {key: value for key, value in content.items() if key != "commands"},
        re.sub(r"Made by .*", "", table),
        (study / "samples.png").read_bytes(),
        (study / "curves.png").read_bytes(),
    )


def test_every_model_sees_as_many_images(uncut):
    """20 images x 2 epochs: 5 steps of 8, or 8 of 5; nothing but less than a batch is left out."""
    rows = rows_of(uncut)
    assert sorted(rows) == [
        "dcgan-tiny-melanoma-s0",
        "dcgan-tiny-nevus-s0",
        "hybridq-tiny-melanoma-s0",
        "hybridq-tiny-nevus-s0",
    ]
    for name, row in rows.items():
        assert (row["batch_size"], row["steps"]) == ((8, 5) if "hybridq" in name else (5, 8))
        assert (row["images_seen"], row["left_out"], row["images"]) == (40, 0, 20)
        stats = (uncut / "cells" / name / "run" / "stats.jsonl").read_text().splitlines()
        assert [json.loads(line)["step"] for line in stats] == list(range(1, row["steps"] + 1))
        assert [point["epochs"] for point in row["curve"]] == ([0.8, 1.6, 2.0] if "hybridq" in name else [1.0, 2.0])
        assert [figure["metric"] for figure in row["figures"]] == ["ssim"]
        config = json.loads((uncut / "cells" / name / "run" / "config.json").read_text())
        assert config["training"]["batch_size"] == row["batch_size"]
        assert config["data"]["class_name"] == row["class"]


def test_the_figure_is_that_of_the_newest_weights(uncut):
    """Measured again with the metric's own function, from images of ``generate``."""
    from pathlib import Path

    from qgan_qiskit.data import read_images
    from qgan_qiskit.metrics.memorization import find_nearest_by_pixels
    from qgan_qiskit.metrics.ssim import ssim
    from qgan_qiskit.runs.load import load_generator
    from qgan_qiskit.runs.sample import sample_uint8

    for name, row in rows_of(uncut).items():
        generator, config = load_generator(Path(uncut / "cells" / name / "run"))
        fake = sample_uint8(generator, 20)
        real = read_images(config.data, config.training.seed).select(row["class"]).images_NHWC
        nearest, _ = find_nearest_by_pixels(fake, real, 64)
        assert row["figures"][0]["value"] == pytest.approx(ssim(fake, real[nearest]).mean(), rel=1e-9)
        assert row["curve"][-1]["figures"][0]["value"] == pytest.approx(row["figures"][0]["value"], rel=1e-9)


def test_the_same_command_again_touches_no_cell(uncut, options, main):
    before, report = cells_of(uncut), report_of(uncut)
    assert len(before) == 4
    status, out, err = main("study", "compare", *options, "--outdir", uncut)
    assert status == 0, err
    assert "4 cells, 4 finished before" in err
    assert cells_of(uncut) == before
    assert report_of(uncut) == report
    assert [line.rpartition("/")[2] for line in out.splitlines()] == [
        "table.csv",
        "results.json",
        "table.md",
        "curves.png",
        "samples.png",
    ]


def test_killed_again_and_again_it_is_the_study_that_was_not(uncut, options, tmp_path):
    """SIGKILL at random moments; finished cells are not touched, begun ones go on, and the table is the same."""
    moments = random.Random(11)
    study, text = tmp_path / "study", tmp_path / "output"

    def steps_done():
        """Steps that are in a log, which a run that goes on from a checkpoint may have again."""
        return sum(lines(path) for path in study.glob("cells/*/run/stats.jsonl"))

    kills, finished = 0, {}
    while True:
        before, more = steps_done(), moments.randint(3, 6)
        process = start_study([*options, "--outdir", study], text, slow_step=0.05)
        wait_for(lambda before=before, more=more: steps_done() >= before + more, process)
        time.sleep(moments.uniform(0, 0.1))
        if len(finished) == 4 or not process.is_alive():
            break
        process.kill()
        process.join(20)
        kills += 1
        now = cells_of(study)
        assert {name: now[name] for name in finished} == finished
        finished = now
        assert kills < 40, text.read_text()
    process.join(60)
    assert process.exitcode == 0, text.read_text()
    print(f"{kills} kills")
    assert kills >= 3
    assert rows_of(study) == rows_of(uncut)
    assert report_of(study) == report_of(uncut)
    killed = [json.loads((cell / "cell.json").read_text()) for cell in (study / "cells").iterdir()]
    assert not all(row["seconds_complete"] for row in killed)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_says_how_to_go_on(number, options, tmp_path):
    study, text = tmp_path / "study", tmp_path / "output"
    process = start_study([*options, "--outdir", study], text, slow_step=0.3)
    wait_for(lambda: any(lines(path) > 2 for path in study.glob("cells/*/run/stats.jsonl")), process)
    os.kill(process.pid, number)
    process.join(30)
    said = text.read_text()
    assert process.exitcode == 128 + number, said
    assert re.fullmatch(
        r"stopped at step \d, saved [^;]*; 0 of 4 cells are finished; repeat the command to resume",
        said.splitlines()[-1],
    ), said
    assert "Traceback" not in said
    checkpoints = list(study.glob("cells/*/run/checkpoints/step-*"))
    assert checkpoints


def test_two_at_once_share_the_cells(uncut, options, tmp_path):
    study = tmp_path / "study"
    both = [start_study([*options, "--outdir", study], tmp_path / f"output{n}", slow_step=0.1) for n in range(2)]
    for process in both:
        process.join(120)
    said = [(tmp_path / f"output{n}").read_text() for n in range(2)]
    assert [process.exitcode for process in both] == [0, 0], said
    assert rows_of(study) == rows_of(uncut)
    assert report_of(study) == report_of(uncut)
    # Every cell was trained by one of them, and both trained some.
    trained = [re.findall(r"done: .*/cells/([^/]*)/run", text) for text in said]
    assert sorted(trained[0] + trained[1]) == sorted(rows_of(study))
    assert all(trained)


def test_a_study_grows_and_does_not_change(uncut, options, main, tmp_path):
    """More seeds and a diverging model; then the cells that were there are as before."""
    study = tmp_path / "study"
    few = [*options, "--class", "nevus", "--outdir", study]
    assert main("study", "compare", *few)[0] == 0
    before = cells_of(study)
    status, _, err = main("study", "compare", *few, "--seeds", "0,1", "--models", "dcgan:tiny,dcgan:breaking")
    assert status == 0, err
    assert "4 cells, 1 finished before" in err
    now = cells_of(study)
    assert {name: now[name] for name in before} == before
    table = (study / "table.md").read_text()
    assert [line.split(" | ")[0] for line in table.splitlines() if line.startswith("| ")][1:6] == [
        "| ---",
        "| hybridq:tiny",
        "| dcgan:tiny",
        "| dcgan:breaking",
        "| *real-vs-real baseline*",
    ]
    assert "2 (2 diverged)" in table
    assert (
        "dcgan:breaking, class nevus, seed 1 diverged: a gradient of the discriminator is not finite at step" in table
    )
    rows = rows_of(study)
    assert rows["dcgan-breaking-nevus-s0"]["figures"] == []
    assert rows["hybridq-tiny-nevus-s0"] == rows_of(uncut)["hybridq-tiny-nevus-s0"]
    assert table.count("Made by `") == 2


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (("--epochs", "3"), "epochs is 3 and was 2"),
        (("--curve-every", "0"), "curve_every is 0 and was 1"),
        (("--augment", "none"), "augment is 'none' and was None"),
        (("--synthetic-per-class", "21"), "data.synthetic_per_class is 21 and was 20"),
        (("--bootstrap", "0"), "evaluation.bootstrap is 0 and was 20"),
        (("--metrics", "ms-ssim"), "evaluation.metrics is 'ms-ssim' and was 'ssim'"),
        (("--threads", "2"), "threads is 2 and was 1"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_other_settings_are_refused(changed, said, uncut, options, main):
    before = {path: path.stat().st_mtime_ns for path in uncut.rglob("*")}
    status, out, err = main("study", "compare", *options, "--outdir", uncut, *changed)
    assert (status, out) == (2, "")
    assert err.startswith(f"error: {uncut}: {said} when this study began; ")
    assert {path: path.stat().st_mtime_ns for path in uncut.rglob("*")} == before


@pytest.mark.parametrize("there_are", ["runs and settings", "settings"])
def test_a_changed_preset_is_refused(there_are, uncut, options, main, monkeypatch, tmp_path):
    """What a cell was made with is known from its result, also where its run was not published."""
    without = [] if "runs" in there_are else ["run"]
    uncut = shutil.copytree(uncut, tmp_path / "study", ignore=shutil.ignore_patterns(*without))
    assert main("study", "compare", *options, "--outdir", uncut, "-n")[0] == 0
    config = tiny_study.tiny_dcgan()
    monkeypatch.setitem(PRESETS["dcgan"], "tiny", lambda: config.updated({"training": {"beta1": 0.4}}))
    status, _, err = main("study", "compare", *options, "--outdir", uncut)
    assert status == 4
    assert "was made with training.beta1 0.5, which is 0.4 now" in err


def test_settings_of_a_cell_that_this_version_does_not_know_are_refused(uncut, options, main, tmp_path):
    uncut = shutil.copytree(uncut, tmp_path / "study", ignore=shutil.ignore_patterns("run"))
    path = uncut / "cells" / "dcgan-tiny-nevus-s0" / "cell.json"
    row = json.loads(path.read_text())
    row["settings"]["model"]["gone"] = 1
    path.write_text(json.dumps(row))
    status, _, err = main("study", "compare", *options, "--outdir", uncut)
    assert status == 4
    assert f"{path}: model.dcgan.gone: " in err
    assert err.count("\n") == 1


def test_dry_run_lists_and_writes_nothing(uncut, options, main, tmp_path):
    status, out, _ = main("study", "compare", *options, "--outdir", tmp_path / "new", "-n")
    assert status == 0
    assert len(out.splitlines()) == 4
    assert all(line.startswith("to do ") for line in out.splitlines())
    assert "dcgan:tiny, class nevus, seed 0: 8 steps of 5, 40 images seen" in out
    assert not (tmp_path / "new").exists()
    before = {path: path.stat().st_mtime_ns for path in uncut.rglob("*")}
    status, out, _ = main("study", "compare", *options, "--outdir", uncut, "-n", "--epochs", "2", "--seeds", "0,7")
    assert [line.split()[0] for line in out.splitlines()] == ["finished"] * 2 + ["to"] * 2 + ["finished"] * 2 + [
        "to"
    ] * 2
    assert {path: path.stat().st_mtime_ns for path in uncut.rglob("*")} == before


def test_dry_run_of_a_study_in_work(options, main, tmp_path):
    study = tmp_path / "study"
    process = start_study([*options, "--outdir", study], tmp_path / "output", slow_step=30.0)
    wait_for(lambda: any(study.glob("cells/*/run/fakes_init.png")), process)
    _, out, _ = main("study", "compare", *options, "--outdir", study, "-n")
    process.kill()
    process.join(20)
    assert out.splitlines()[0].startswith(f"in work by process {process.pid} on ")
    _, out, _ = main("study", "compare", *options, "--outdir", study, "-n")
    assert out.splitlines()[0].startswith("begun ")


def test_report_alone(uncut, main):
    report = report_of(uncut)
    for name in ("table.md", "results.json", "samples.png", "curves.png"):
        (uncut / name).unlink()
    status, _, err = main("study", "compare", "--report", "--outdir", uncut)
    assert (status, err) == (0, "")
    assert report_of(uncut) == report


def test_a_cell_that_cannot_be_done_stops_no_other(options, main, tmp_path):
    """A folder that cannot be written: the others are finished and reported, the last line names it."""
    study = tmp_path / "study"
    (study / "cells" / "hybridq-tiny-nevus-s0").mkdir(parents=True)
    (study / "cells" / "hybridq-tiny-nevus-s0" / "run").write_text("in the way")
    status, _, err = main("study", "compare", *options, "--class", "nevus", "--outdir", study)
    assert status == 6
    assert err.splitlines()[-1].startswith(
        "error: 1 of 2 cells failed (hybridq:tiny, class nevus, seed 0); the first: "
    )
    assert list(rows_of(study)) == ["dcgan-tiny-nevus-s0"]
    assert "dcgan:tiny" in (study / "table.md").read_text()
