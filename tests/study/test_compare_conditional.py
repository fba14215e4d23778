"""A conditional model in a comparison: one run for all classes, a row for each, at the same budget per class."""

from __future__ import annotations

import json

import pytest
from PIL import Image
from tiny_study import OPTIONS, add_presets, start_study

from qgan_qiskit.config import PRESETS


@pytest.fixture(autouse=True)
def tiny_presets(monkeypatch):
    for model in ("hybridq", "dcgan", "mediq"):
        monkeypatch.setitem(PRESETS, model, dict(PRESETS[model]))
    add_presets()


@pytest.fixture(scope="module")
def options(image_cache):
    made = ["--cache-dir", image_cache, *OPTIONS, "--models", "mediq:tiny,dcgan:tiny", "--class", "nevus,melanoma"]
    return [str(option) for option in (*made, "--epochs", "2", "--curve-every", "1")]


@pytest.fixture(scope="module")
def study(options, tmp_path_factory):
    folder = tmp_path_factory.mktemp("conditional") / "study"
    process = start_study([*options, "--outdir", folder], folder.with_name("output"))
    process.join(120)
    assert process.exitcode == 0, folder.with_name("output").read_text()
    return folder


def rows(folder):
    return {path.parent.name: json.loads(path.read_text()) for path in folder.glob("cells/*/cell.json")}


def test_one_run_serves_the_cells_of_all_classes(study):
    [run] = (study / "joint").iterdir()
    assert run.name.startswith("mediq-tiny-nevus_melanoma")
    found = rows(study)
    assert sorted(found) == [f"{model}-tiny-{c}-s0" for model in ("dcgan", "mediq") for c in ("melanoma", "nevus")]
    assert not (study / "cells" / "mediq-tiny-nevus-s0" / "run").exists()
    for name in ("nevus", "melanoma"):
        conditional, other = found[f"mediq-tiny-{name}-s0"], found[f"dcgan-tiny-{name}-s0"]
        # Two passes over 20 images of each class: 80 in all, in steps of ten.
        assert (conditional["steps"], conditional["images_seen"]) == (8, 40)
        assert other["images_seen"] == 40
        assert conditional["data_digest"] == other["data_digest"]
        assert conditional["curve"] == []
        assert conditional["figures"][0]["fake_number"] == other["figures"][0]["fake_number"]


def test_rows_are_of_different_images(study):
    pictures = [study / "cells" / f"mediq-tiny-{name}-s0" / "samples.png" for name in ("nevus", "melanoma")]
    first, second = (Image.open(path).tobytes() for path in pictures)
    assert first != second


def test_finished_cells_are_kept_and_the_report_shows_them(study, options, main):
    before = {path: path.stat().st_mtime_ns for path in study.rglob("cell.json")}
    status, _, err = main("study", "compare", *options, "--outdir", study)
    assert status == 0, err
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert (study / "table.md").read_text().count("| mediq:tiny |") == 2


def test_another_set_of_classes_would_be_another_run(study, options, main):
    fewer = [option if option != "nevus,melanoma" else "nevus" for option in options]
    status, _, err = main("study", "compare", *fewer, "--outdir", study)
    assert status == 4
    assert "its run was trained on classes nevus, melanoma together, not on nevus; give --class as before" in err


def test_a_share_of_the_images_is_seen_as_often_and_measured_against_all(options, image_cache, tmp_path):
    asked = [option if option != "mediq:tiny,dcgan:tiny" else "dcgan:tiny,dcgan:tiny@0.5" for option in options]
    process = start_study([*asked, "--outdir", tmp_path / "study"], tmp_path / "output")
    process.join(120)
    assert process.exitcode == 0, (tmp_path / "output").read_text()
    found = rows(tmp_path / "study")
    half, whole = found["dcgan-tiny-of0.5-nevus-s0"], found["dcgan-tiny-nevus-s0"]
    assert (half["fraction"], half["model"]) == (0.5, "dcgan:tiny@0.5")
    for name in ("steps", "images_seen", "images", "data_digest"):
        assert half[name] == whole[name]
    assert half["figures"][0]["real_number"] == whole["figures"][0]["real_number"]
    counts = [
        json.loads((tmp_path / "study" / "cells" / name / "run" / "data.json").read_text())["counts"]["nevus"]
        for name in ("dcgan-tiny-of0.5-nevus-s0", "dcgan-tiny-nevus-s0")
    ]
    assert counts == [10, 20]


@pytest.mark.parametrize(
    ("more", "problem"),
    {
        "no share": (["--models", "dcgan@0.0"], "would train on no images"),
        "share of several classes": (["--models", "mediq@0.5"], "is for models of one class"),
        "both": (["--suite", "data-reduction"], "--suite and --models exclude each other"),
        "form": (["--model-setting", "weights=x"], "not of the form MODEL.SETTING=VALUE"),
        "model": (["--model-setting", "vae.width=1"], "not of the form MODEL.SETTING=VALUE"),
        "setting": (["--model-setting", "dcgan.depth=1"], "dcgan has no such setting"),
        "value": (["--model-setting", "dcgan.latent_size=many"], "--model-setting dcgan.latent_size: "),
        "together": (
            ["--models", "transfer:unfrozen", "--model-setting", "transfer.backbone=resnet18"],
            "--model-setting transfer.backbone: model.trained_stages is 6, and model.backbone resnet18 has 5",
        ),
    }.values(),
)
def test_what_cannot_be_compared_is_refused(more, problem, options, main, tmp_path):
    asked = list(options)
    if more[0] == "--models":
        asked[asked.index("--models") + 1] = more[1]
        more = more[2:]
    status, _, err = main("study", "compare", *asked, *more, "--outdir", tmp_path / "study")
    assert status == 2
    assert problem in err
    assert not (tmp_path / "study").exists()


def test_settings_of_a_model_reach_its_cells(options, main, tmp_path):
    setting = ["--model-setting", "dcgan.latent_size=9", "--dry-run"]
    assert main("study", "compare", *options, *setting, "--outdir", tmp_path / "study")[0] == 0
    process = start_study(
        [*options, "--model-setting", "dcgan.latent-size=9", "--outdir", tmp_path / "study"], tmp_path / "output"
    )
    process.join(120)
    assert process.exitcode == 0, (tmp_path / "output").read_text()
    config = json.loads((tmp_path / "study" / "cells" / "dcgan-tiny-nevus-s0" / "run" / "config.json").read_text())
    assert config["model"]["latent_size"] == 9
    # The study remembers: whoever goes on with it need not say it again.
    status, out, err = main("study", "compare", *options, "--dry-run", "--outdir", tmp_path / "study")
    assert status == 0, err
    assert out.count("finished") == 4


def test_the_suite_of_data_reduction_is_the_four_configurations_on_four_shares():
    from qgan_qiskit.config.studies import SUITES
    from qgan_qiskit.study.compare.variants import parse_variants

    variants = parse_variants(SUITES["data-reduction"])
    assert {variant.fraction for variant in variants} == {1, 0.5, 0.2, 0.1}
    assert {variant.config().model.quantum for variant in variants} == {"none", "generator", "discriminator", "both"}
    assert len(variants) == 16
