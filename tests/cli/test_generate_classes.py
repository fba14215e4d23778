"""Generated images of several classes carry their labels in every form, can be trained on again, and say what they are."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections import Counter
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tiny_runs import MEDIQ

from qgan_qiskit.config import DataConfig
from qgan_qiskit.data import read_images
from qgan_qiskit.rng import seeded_generator
from qgan_qiskit.runs.load import load_generator
from qgan_qiskit.runs.sample import class_folders
from qgan_qiskit.workflows.fit import fit

CLASSES = ("melanoma", "nevus")
SEEDS = range(12)


@pytest.fixture(scope="module")
def run(tiny, tmp_path_factory):
    config = tiny(model=MEDIQ, data={"class_name": ",".join(CLASSES), "synthetic_per_class": 16}, training={"steps": 2})
    return fit(config, tmp_path_factory.mktemp("runs"))[0]


@pytest.fixture(scope="module")
def expected(run):
    """Class and pixels of each seed, by the network and its latents alone."""
    generator, _ = load_generator(run)
    latents = torch.cat([generator.sample_latent(1, seeded_generator(seed, "generate")) for seed in range(32)])
    with torch.no_grad():
        levels = (generator(latents).permute(0, 2, 3, 1).numpy().astype(np.float64) + 1) * 127.5
    return [(CLASSES[int(latents[seed, -1])], levels[seed]) for seed in SEEDS]


def files_of(path):
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            return {name: archive.read(name) for name in archive.namelist()}
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


@pytest.mark.parametrize("form", ["images", "images.zip", "images.npz"])
def test_every_image_has_the_class_that_it_was_made_of(form, run, expected, main, tmp_path, image_cache):
    output = tmp_path / form
    status, _, err = main("generate", run, "-n", len(SEEDS), "--output", output)
    assert status == 0, err
    if form == "images.npz":
        with np.load(output, allow_pickle=False) as arrays:
            found = {
                seed: (str(arrays["classes"][label]), pixels)
                for seed, label, pixels in zip(
                    arrays["seeds"].tolist(), arrays["labels"].tolist(), arrays["images"], strict=True
                )
            }
            assert json.loads(str(arrays["synthetic"]))["qgan:synthetic"] == "true"
    else:
        files = files_of(output)
        rows = list(csv.DictReader(io.StringIO(files["labels.csv"].decode())))
        assert sorted(files) == sorted(["labels.csv", *(row["file"] for row in rows)])
        assert all(row["file"] == f"{row['class']}/seed{int(row['seed']):08d}.png" for row in rows)
        found = {
            int(row["seed"]): (row["class"], np.asarray(Image.open(io.BytesIO(files[row["file"]])))) for row in rows
        }
    assert sorted(found) == list(SEEDS)
    for seed, (name, levels) in enumerate(expected):
        assert found[seed][0] == name
        assert np.abs(found[seed][1] - levels).max() < 0.51
    # And they can be trained on again: the reader of real data sees the same classes.
    again = read_images(DataConfig(path=str(output), resolution=16, cache_dir=str(image_cache)), 0)
    assert again.counts() == dict(Counter(name for name, _ in expected))


def test_a_picture_says_what_it_is_and_the_bytes_are_always_the_same(run, main, tmp_path):
    for name in ("a", "b"):
        assert main("generate", run, "-n", 4, "--output", tmp_path / name, "--grid", tmp_path / f"{name}.png")[0] == 0
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    manifest = json.loads(max((run / "checkpoints").glob("step-*")).joinpath("manifest.json").read_text())
    digest = manifest["files"]["ema.safetensors"]["sha256"]
    for path in (tmp_path / "a").rglob("*.png"):
        with Image.open(path) as image:
            texts = dict(image.text)
        assert texts["Software"].startswith("qgan_qiskit ")
        assert texts["qgan:synthetic"] == "true"
        assert (texts["qgan:model"], texts["qgan:weights"]) == ("mediq", digest)
        assert (texts["qgan:class"], int(texts["qgan:seed"])) == (path.parent.name, int(path.stem[4:]))
        packet = ElementTree.fromstring(texts["XML:com.adobe.xmp"].partition("?>")[2].rpartition("<?")[0])
        types = [
            value for node in packet.iter() for name, value in node.attrib.items() if name.endswith("DigitalSourceType")
        ]
        assert types == ["http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"]
    for path in (tmp_path / "a.png", *run.glob("fakes_*.png")):
        with Image.open(path) as image:
            assert image.text["qgan:synthetic"] == "true"
            assert set(json.loads(image.text["qgan:classes"])) == set(CLASSES)
    with Image.open(run / "reals.png") as image:
        assert "qgan:synthetic" not in getattr(image, "text", {})


def test_a_sheet_is_ordered_by_class(run, main, tmp_path):
    output, sheet = tmp_path / "images.npz", tmp_path / "sheet.png"
    assert main("generate", run, "-n", 12, "--output", output, "--grid", sheet)[0] == 0
    with np.load(output) as arrays, Image.open(sheet) as image:
        pixels, seeds = np.asarray(image), json.loads(image.text["qgan:seeds"])
        top = 0
        for label, name in enumerate(CLASSES):
            members = arrays["images"][arrays["labels"] == label]
            assert seeds[name] == arrays["seeds"][arrays["labels"] == label].tolist()
            # A strip with the name, dark on white, and below it the class's images, four in a row, two pixels apart.
            assert pixels[top : top + 14].min() < 128 < pixels[top : top + 14, 60:].min()
            for number, member in enumerate(members):
                row, column = divmod(number, 4)
                y, x = top + 14 + 2 + 18 * row, 2 + 18 * column
                assert np.array_equal(pixels[y : y + 16, x : x + 16], member)
            top += 14 + 2 + 18 * -(-len(members) // 4)
        assert top == len(pixels)


@pytest.mark.parametrize("asked", ["nevus", "NEVUS, melanoma", "melanoma,nevus"])
def test_chosen_classes_alone_are_made_and_a_number_of_each(asked, run, main, tmp_path):
    names = [name.strip().casefold() for name in asked.split(",")]
    assert main("generate", run, "--class", asked, "-n", 40, "--output", tmp_path / "drawn.npz")[0] == 0
    assert main("generate", run, "--class", asked, "--per-class", 5, "--output", tmp_path / "each.npz")[0] == 0
    with np.load(tmp_path / "drawn.npz") as drawn, np.load(tmp_path / "each.npz") as each:
        counts = Counter(drawn["classes"][drawn["labels"]].tolist())
        assert set(counts) == set(names)
        assert min(counts.values()) >= 40 / len(names) / 3
        assert each["classes"][each["labels"]].tolist() == [name for name in names for _ in range(5)]
        assert each["seeds"].tolist() == [*range(5)] * len(names)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--class", "nevus,carcinoma"], "the run has melanoma, nevus"),
        (["--class", "nevus,Nevus"], "names a class twice"),
        (["--class", ""], "the run has melanoma, nevus"),
        (["--per-class", "2", "-n", "3"], "-n and --per-class"),
        (["--per-class", "2", "--seeds", "3"], "--seeds and --per-class"),
        (["--per-class", "1", "--output", "x.png"], "one PNG for 2 images"),
        (["-n", "2", "--output", "x.png"], "one PNG for 2 images"),
        (["-n", "1", "--output", "x.jpg"], "written as PNG"),
        (["-n", "1", "--output", "X.TIF"], "written as PNG"),
        (["-n", "1", "--output", "x.tar.gz"], "name a folder, .zip or .npz"),
        (["-n", "1", "--output", "x.npy"], "name a folder, .zip or .npz"),
        (["-n", "1", "--output", "x.png/"], "like a file and like a folder"),
        (["-n", "1", "--output", ""], "--output is empty"),
        (["-n", "1", "--output", "there.png"], "exists already"),
        (["-n", "1", "--output", "empty.zip"], "exists already"),
        (["-n", "1", "--output", "link"], "exists already"),
        (["-n", "1", "--grid", "there.png"], "exists already"),
        (["-n", "2", "--interpolation", "there.png"], "exists already"),
        (["-n", "1", "--output", "a.png", "--grid", "./a.png"], "name the same file"),
    ],
)
def test_what_cannot_be_written_is_refused_in_one_line(arguments, problem, run, main, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.png").write_text("mine")
    (tmp_path / "empty.zip").mkdir()
    (tmp_path / "link").symlink_to("nowhere")
    before = sorted(tmp_path.rglob("*"))
    status, _, err = main("generate", run, *arguments)
    assert (status, err.count("\n")) == (2, 1), err
    assert problem in err
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "there.png").read_text() == "mine"


@pytest.mark.parametrize("name", ["lesion.png", "new/folders/LESION.PNG"])
def test_one_image_is_a_file(name, run, main, tmp_path):
    output = tmp_path / name
    assert main("generate", run, "--seeds", "7", "--output", output)[0] == 0
    assert main("generate", run, "--seeds", "7", "--output", tmp_path / "same")[0] == 0
    [same] = (tmp_path / "same").rglob("*.png")
    assert output.read_bytes() == same.read_bytes()
    assert list(output.parent.glob(".*")) == []


@given(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=8, unique=True))
def test_folders_of_classes_are_names_on_any_system_and_differ(classes):
    names = class_folders(classes)
    assert len({name.casefold() for name in names}) == len(classes)
    for own, name in zip(classes, names, strict=True):
        assert name not in (".", "..", "")
        assert not set(name) & set('/\\:*?"<>|\0')
        assert not name.startswith(".")
        assert len(name) <= 110
        if own.isascii() and own.isalnum() and len({c.casefold() for c in classes}) == len(classes):
            reserved = own.casefold()[:3] in ("con", "prn", "aux", "nul", "com", "lpt")
            assert reserved or own == name or any(other != own and other.casefold() == name for other in classes)
