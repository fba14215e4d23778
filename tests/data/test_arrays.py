"""Images in arrays: npz archives (hostile ones are rejected without running code), MedMNIST and scikit-learn's digits."""

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from qgan_qiskit.config import DataConfig
from qgan_qiskit.data import absolute_source, class_names, read_images
from qgan_qiskit.errors import DataError


def _npz(path: Path, **arrays: np.ndarray) -> Path:
    np.savez_compressed(path, **arrays)
    return path


IMAGES = np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3), dtype=np.uint8)
LABELS = np.array([0, 1, 0, 1, 4, 4])


class _Trap:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


def _objects(path: Path) -> Path:
    images = np.empty(6, object)
    images[:] = [_Trap(path.with_name("trap"))] * 6
    return _npz(path, train_images=images, train_labels=LABELS)


def _pickled(path: Path) -> Path:
    path.write_bytes(pickle.dumps(_Trap(path.with_name("trap"))))
    return path


def _header_of_more(path: Path) -> Path:
    stream = io.BytesIO()
    np.save(stream, IMAGES)
    more = stream.getvalue().replace(b"(6, 16, 16, 3)", b"(9, 99, 99, 3)")
    labels = io.BytesIO()
    np.save(labels, LABELS)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images.npy", more)
        archive.writestr("labels.npy", labels.getvalue())
    return path


NPZ = {
    "object images": (_objects, "train_images: cannot be loaded (it holds Python objects)"),
    "object labels": (
        lambda p: _npz(p, images=IMAGES, labels=np.array(list("ababcc"), object)),
        "labels: cannot be loaded (it holds Python objects)",
    ),
    "pickle": (_pickled, "not a complete .npz"),
    "no train split": (lambda p: _npz(p, test_images=IMAGES, test_labels=LABELS), "no array 'train_images'"),
    "no labels": (lambda p: _npz(p, images=IMAGES), "no array 'labels' (found images)"),
    "nothing": (lambda p: _npz(p), "found nothing"),
    "float images": (lambda p: _npz(p, images=IMAGES / 255, labels=LABELS), "must be uint8 from 0 to 255, not float64"),
    "NaN pixels": (
        lambda p: _npz(p, images=np.full(IMAGES.shape, np.nan, np.float32), labels=LABELS),
        "must be uint8 from 0 to 255, not float32",
    ),
    "wide integers": (lambda p: _npz(p, images=IMAGES.astype(int), labels=LABELS), "not int64"),
    "two dimensions": (lambda p: _npz(p, images=IMAGES[:, 0, :, 0], labels=LABELS), "not (6, 16)"),
    "five dimensions": (lambda p: _npz(p, images=IMAGES[None], labels=LABELS), "not (1, 6, 16, 16, 3)"),
    "channels first": (lambda p: _npz(p, images=IMAGES.transpose(0, 3, 1, 2), labels=LABELS), "not (6, 3, 16, 16)"),
    "four channels": (lambda p: _npz(p, images=np.repeat(IMAGES[..., :1], 4, 3), labels=LABELS), "not (6, 16, 16, 4)"),
    "no images": (lambda p: _npz(p, images=IMAGES[:0], labels=LABELS[:0]), "not (0,)"),
    "labels too short": (lambda p: _npz(p, images=IMAGES, labels=LABELS[:5]), "images: 6 images, but 5 labels"),
    "float labels": (lambda p: _npz(p, images=IMAGES, labels=LABELS / 2), "labels must be integers, not float64"),
    "many labels each": (lambda p: _npz(p, images=IMAGES, labels=np.zeros((6, 3), int)), "not (6, 3)"),
    "truncated": (
        lambda p: p.write_bytes(_npz(p, images=IMAGES, labels=LABELS).read_bytes()[:-50]),
        "not a complete .npz",
    ),
    "empty": (lambda p: p.write_bytes(b""), "not a complete .npz"),
    "bomb": (lambda p: _npz(p, images=np.zeros((6, 512, 512, 3), np.uint8), labels=LABELS), "over 1,000 times"),
    "header promises more": (_header_of_more, "images: cannot be loaded"),
}


@pytest.mark.parametrize("case", NPZ)
def test_bad_npz_is_refused_in_one_line_without_running_code(case, tmp_path, settings):
    make, reason = NPZ[case]
    make(tmp_path / "data.npz")
    with pytest.raises(DataError) as caught:
        read_images(settings(tmp_path / "data.npz"))
    assert reason in str(caught.value) and "data.npz" in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "trap").exists()


def test_the_trap_would_spring(tmp_path):
    np.load(_objects(tmp_path / "data.npz"), allow_pickle=True)["train_images"]
    assert (tmp_path / "trap").exists()


def test_medmnist_layout_reads_the_training_split_only(tmp_path, settings):
    path = _npz(
        tmp_path / "bloodmnist.npz",
        train_images=IMAGES,
        train_labels=LABELS[:, None].astype(np.uint8),
        val_images=IMAGES[:2],
        val_labels=LABELS[:2],
    )
    images = read_images(settings(path))
    np.testing.assert_array_equal(images.images_NHWC, IMAGES)
    assert images.classes == ("0", "1", "4") and images.labels_N.tolist() == [0, 1, 0, 1, 2, 2]
    assert images.names[5] == "train_images[5]" and images.groups == ("",) * 6
    assert images.notes[0] == "train split: 6 of 8 images, by the source's own splits (train, validation)"
    # The two validation images are training images too, which no division of ours would do.
    assert images.notes[1].startswith("2 pairs of images show the same picture")
    four = read_images(settings(path, class_name="4", limit=2))
    assert four.names == ("train_images[4]", "train_images[5]") and four.classes == ("4",)
    np.testing.assert_array_equal(four.images_NHWC, IMAGES[4:])


def test_dermamnist_has_the_short_names_of_its_classes(tmp_path, settings):
    path = _npz(tmp_path / "dermamnist_64.npz", train_images=IMAGES, train_labels=LABELS)
    assert class_names(settings(path)) == ("AKIEC", "BCC", "MEL")
    assert read_images(settings(path)).counts() == {"AKIEC": 2, "BCC": 2, "MEL": 2}


@pytest.mark.parametrize("shape", [(6, 16, 16), (6, 16, 16, 1)])
def test_gray_is_repeated_to_three_channels(shape, tmp_path, settings):
    gray = IMAGES[..., 0]
    images = read_images(settings(_npz(tmp_path / "gray.npz", images=gray.reshape(shape), labels=LABELS)))
    np.testing.assert_array_equal(images.images_NHWC, np.stack([gray] * 3, -1))


def test_other_sizes_are_resized_from_the_central_square(tmp_path, settings):
    wide = np.zeros((2, 32, 64, 3), np.uint8)
    wide[:, :, 16:48] = 200
    images = read_images(settings(_npz(tmp_path / "wide.npz", images=wide, labels=np.array([0, 0]))))
    assert images.images_NHWC.shape == (2, 16, 16, 3) and (images.images_NHWC == 200).all()


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


def test_grades_limits_splits_and_sizes(retina, settings):
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
    splits = [read_images(settings(path, split=split)) for split in ("train", "validation", "test")]
    for key, split in zip(SPLITS, splits, strict=True):
        assert set(split.names) == {f"{key}_images[{row}]" for row in range(len(split))}
        with np.load(path) as arrays:
            np.testing.assert_array_equal(split.labels_N, arrays[f"{key}_labels"][:, 0])
    assert len(read_images(settings(path, split="all"))) == sum(map(len, splits))


def config(**fields: object) -> DataConfig:
    return DataConfig(**{"path": "sklearn:digits", "resolution": 8, **fields})


def test_all_digits_with_their_labels():
    images, table = read_images(config()), load_digits()
    assert images.images_NHWC.shape == (1797, 8, 8, 3)
    assert images.classes == class_names(config()) == tuple("0123456789")
    np.testing.assert_array_equal(images.labels_N, table.target)
    for channel in range(3):
        np.testing.assert_allclose(images.images_NHWC[..., channel] * (16 / 255), table.images, atol=0.04)
    assert set(np.unique(images.images_NHWC)) == {round(level * 255 / 16) for level in range(17)}
    assert len(set(images.names)) == 1797
    assert images.digest == read_images(config(path="sklearn:digits", augment="none")).digest


def test_one_class_and_a_limit():
    whole = read_images(config())
    for name in ("0", "7"):
        one = read_images(config(class_name=name))
        assert one.classes == (name,)
        assert one.names == whole.select(name).names
        np.testing.assert_array_equal(one.images_NHWC, whole.select(name).images_NHWC)
        assert read_images(config(class_name=name, limit=5)).names == one.limit(5).names
    assert read_images(config(limit=3)).counts() == dict.fromkeys("0123456789", 3)
    assert read_images(config(class_name="all")).digest == whole.digest


def test_other_sizes_are_resized_as_files_are():
    small, large = read_images(config(limit=2)), read_images(config(limit=2, resolution=20))
    for image_HWC, expected_HWC in zip(large.images_NHWC, small.images_NHWC, strict=True):
        resized = Image.fromarray(expected_HWC).resize((20, 20), Image.Resampling.LANCZOS)
        np.testing.assert_array_equal(image_HWC, np.asarray(resized))


def test_unknown_names_are_refused():
    with pytest.raises(DataError, match="no class 'zero' in the data: choose one of 0, 1, 2"):
        read_images(config(class_name="zero"))
    with pytest.raises(
        DataError, match=r"no data at sklearn:faces: name a folder, \.zip or \.npz of images, or sklearn:digits"
    ):
        read_images(config(path="sklearn:faces"))


def test_the_name_is_no_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert absolute_source("sklearn:digits") == "sklearn:digits"
    assert absolute_source("images") == str(tmp_path / "images")
    assert absolute_source("~/images") == str(Path.home() / "images")
    assert absolute_source("./sklearn:digits") == str(tmp_path / "sklearn:digits")
