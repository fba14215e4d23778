"""Fault list F8: hostile or damaged archives are refused in one line, nothing is written, no pickle is ever loaded."""

from __future__ import annotations

import io
import pickle
import stat
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from pictures import encoded, picture

from qgan_qiskit.data import class_names, read_images
from qgan_qiskit.errors import DataError

PNG = encoded(picture(1))


def _zip(path: Path, entries: list[tuple[str | zipfile.ZipInfo, bytes]]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return path


def _special(name: str, kind: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.create_system = 3
    entry.external_attr = (kind | 0o777) << 16
    return entry


def _patched(path: Path, *changes: tuple[bytes, int, bytes]) -> Path:
    """Overwrite bytes at an offset from every occurrence of a signature."""
    content = bytearray(path.read_bytes())
    for signature, offset, new in changes:
        at = content.find(signature)
        while at >= 0:
            content[at + offset : at + offset + len(new)] = new
            at = content.find(signature, at + 4)
    path.write_bytes(content)
    return path


LOCAL, CENTRAL = b"PK\3\4", b"PK\1\2"
GOOD = [("a/1.png", PNG), ("b/1.png", PNG)]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def _twice(path: Path) -> Path:
    return _zip(path, [*GOOD, ("a/1.png", PNG)])


ZIPS = {
    "parent": (lambda p: _zip(p, [*GOOD, ("../evil.png", PNG)]), "leads out"),
    "inner parent": (lambda p: _zip(p, [*GOOD, ("a/../../evil.png", PNG)]), "leads out"),
    "absolute": (lambda p: _zip(p, [*GOOD, ("/tmp/evil.png", PNG)]), "leads out"),
    "backslashes": (lambda p: _zip(p, [*GOOD, ("..\\evil.png", PNG)]), "leads out"),
    "drive": (lambda p: _zip(p, [*GOOD, ("C:\\evil.png", PNG)]), "leads out"),
    "link": (lambda p: _zip(p, [*GOOD, (_special("a/l.png", stat.S_IFLNK), b"/etc/passwd")]), "is a link"),
    "device": (lambda p: _zip(p, [*GOOD, (_special("a/d.png", stat.S_IFCHR), b"")]), "is a link or another special"),
    "encrypted": (lambda p: _patched(_zip(p, GOOD), (LOCAL, 6, b"\1\0"), (CENTRAL, 8, b"\1\0")), "is encrypted"),
    "bomb": (lambda p: _zip(p, [*GOOD, ("a/b.png", bytes(5 * 2**20))]), "over 1,000 times"),
    "huge": (
        lambda p: _patched(_zip(p, GOOD), (CENTRAL, 24, struct.pack("<I", 257 * 2**20))),
        "unpacks to 269,484,032 bytes",
    ),
    "twice": (_twice, "appears twice"),
    "twice in disguise": (lambda p: _zip(p, [*GOOD, ("a//./1.png", PNG)]), "appears twice"),
    "empty file": (lambda p: p.write_bytes(b""), "not a complete .zip"),
    "text": (lambda p: p.write_text("not a zip"), "not a complete .zip"),
    "truncated": (lambda p: p.write_bytes(_zip(p, GOOD).read_bytes()[:-30]), "not a complete .zip"),
    "no entries": (lambda p: _zip(p, []), "found no files"),
    "no images": (lambda p: _zip(p, [("read me.txt", b"hello")]), "such as read me.txt"),
    "nested": (lambda p: _zip(p, [("inner.zip", b"PK")]), "unpack inner.zip"),
    "class case clash": (
        lambda p: _zip(p, [("MEL/1.png", PNG), ("mel/2.png", PNG)]),
        "MEL and mel differ only in case",
    ),
    "damaged entry": (lambda p: _patched(_zip(p, GOOD), (b"IDAT", 30, b"\xff\xff")), "damaged in the archive"),
    "unknown compression": (
        lambda p: _patched(_zip(p, GOOD), (LOCAL, 8, b"\x63\0"), (CENTRAL, 10, b"\x63\0")),
        "compression",
    ),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("case", ZIPS)
def test_bad_zip_is_refused_in_one_line_and_nothing_is_written(case, tmp_path, settings):
    make, reason = ZIPS[case]
    folder = tmp_path / "in"
    folder.mkdir()
    make(folder / "data.zip")
    if case == "damaged entry":  # The bytes in a deflated entry move about: store it instead.
        with zipfile.ZipFile(folder / "data.zip", "w") as archive:
            archive.writestr("a/1.png", PNG)
        _patched(folder / "data.zip", (b"IDAT", 30, b"\xff\xff"))
    with pytest.raises(DataError) as caught:
        read_images(settings(folder / "data.zip"))
    assert reason in str(caught.value) and "\n" not in str(caught.value)
    assert "data.zip" in str(caught.value) or "a/1.png" in str(caught.value)
    assert [path.name for path in folder.iterdir()] == ["data.zip"]
    assert not list((tmp_path / "cache").rglob("*.npy"))


def test_a_good_zip_equals_its_folder(tree, tmp_path, settings, png):
    files = {f"{name}/{number}.png": png(10 * ord(name) + number) for name in "ab" for number in range(3)}
    root = tree(files)
    archive = _zip(tmp_path / "source.zip", [*files.items(), ("__MACOSX/a/._1.png", b"junk"), (".DS_Store", b"junk")])
    inside, unpacked = read_images(settings(archive)), read_images(settings(root))
    assert inside.digest == unpacked.digest and inside.names == unpacked.names
    assert class_names(settings(archive)) == ("a", "b")


def test_names_that_differ_only_in_case_inside_a_class_are_two_images(tmp_path, settings, png):
    archive = _zip(tmp_path / "case.zip", [("a/X.png", png(1)), ("a/x.png", png(2))])
    assert read_images(settings(archive)).names == ("a/X.png", "a/x.png")


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
    return _zip(path, [("images.npy", more), ("labels.npy", labels.getvalue())])


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


def test_the_fault_lists_are_long_enough():
    assert len(ZIPS) + len(NPZ) >= 16


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


@pytest.mark.parametrize("name", ["gone", "photo.jpg", "table.csv", "nul\0byte"])
def test_a_path_that_is_no_source_is_refused(name, tmp_path, settings):
    if name != "gone" and "\0" not in name:
        (tmp_path / name).write_bytes(PNG)
    with pytest.raises(DataError) as caught:
        read_images(settings(tmp_path / name))
    assert "\n" not in str(caught.value) and name.partition(".")[0].partition("\0")[0] in str(caught.value)
