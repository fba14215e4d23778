"""RetinaMNIST is a npz of MedMNIST like any other: a file of its layout and numbers is read as NumPy reads it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from qgan_qiskit.data import class_names, read_images
from qgan_qiskit.errors import DataError

SPLITS = {"train": 1080, "val": 120, "test": 400}
GRADES = ("0", "1", "2", "3", "4")


@pytest.fixture(params=[("retinamnist.npz", 28), ("retinamnist_64.npz", 64), ("retinamnist_128.npz", 128)], ids=str)
def retina(request, tmp_path):
    """A file with the keys, types and shapes of MedMNIST's; the larger ones with a tenth of the images."""
    name, side = request.param
    rng = np.random.default_rng(side)
    arrays = {}
    for split, count in SPLITS.items():
        number = count if side == 28 else count // 10
        arrays[f"{split}_images"] = rng.integers(0, 256, (number, side, side, 3), dtype=np.uint8)
        arrays[f"{split}_labels"] = rng.permutation(np.arange(number) % 5).astype(np.uint8)[:, None]
    np.savez_compressed(tmp_path / name, **arrays)
    return tmp_path / name, side


def test_the_training_images_come_back_exactly(retina, settings):
    path, side = retina
    config = settings(path, resolution=side)
    images = read_images(config)
    with np.load(path) as arrays:
        np.testing.assert_array_equal(images.images_NHWC, arrays["train_images"])
        np.testing.assert_array_equal(images.labels_N, arrays["train_labels"][:, 0])
    assert images.classes == class_names(config) == GRADES
    assert images.names[7] == "train_images[7]" and set(images.groups) == {""}
    whole = sum(SPLITS.values()) if side == 28 else sum(SPLITS.values()) // 10
    own = "by the source's own splits (test, train, validation)"
    assert images.notes == (f"train split: {len(images):,} of {whole:,} images, {own}",)
    again = read_images(config)
    assert isinstance(read_images(config.model_copy(update={"split": "all"})).images_NHWC, np.memmap)
    assert again.digest == images.digest


def test_grades_limits_parts_and_sizes(retina, settings):
    path, _ = retina
    images = read_images(settings(path))
    with np.load(path) as arrays:
        picture = Image.fromarray(arrays["train_images"][0])
    resized = np.asarray(picture.resize((16, 16), Image.Resampling.LANCZOS))
    np.testing.assert_array_equal(images.images_NHWC[0], resized)
    four = read_images(settings(path, class_name="4", limit=6))
    assert four.classes == ("4",) and four.names == images.select("4").limit(6).names
    with pytest.raises(DataError, match="no class '5' in the data: choose one of 0, 1, 2, 3, 4, or 'all'"):
        read_images(settings(path, class_name="5"))
    parts = [read_images(settings(path, split=part)) for part in ("train", "validation", "test")]
    for key, part in zip(SPLITS, parts, strict=True):
        assert set(part.names) == {f"{key}_images[{row}]" for row in range(len(part))}
        with np.load(path) as arrays:
            np.testing.assert_array_equal(part.labels_N, arrays[f"{key}_labels"][:, 0])
    assert len(read_images(settings(path, split="all"))) == sum(map(len, parts))


def test_a_gan_trains_on_a_grade_from_the_command_line(retina, main, tiny_options, tmp_path):
    path, _ = retina
    options = [*tiny_options, "--data", path, "--class", "2", "--limit", 9, "--steps", 1, "--outdir", tmp_path / "out"]
    status, _, err = main("fit", *options)
    assert status == 0, err
    (run,) = (tmp_path / "out").iterdir()
    assert run.name == "00000-hybridq-default-2"
    assert json.loads((run / "data.json").read_text())["counts"] == {"2": 9}
