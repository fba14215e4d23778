"""CIFAR-10's binary version: every pixel, label and name as another reading of the bytes has them; damage is refused."""

import json
import random
import zipfile

import numpy as np
import pytest
from data_sources import MemoryFiles
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from qgan_qiskit.config import DataConfig
from qgan_qiskit.data import ImageSet, class_names, read_images
from qgan_qiskit.data.decoding import decode_listing
from qgan_qiskit.data.layouts import arrays
from qgan_qiskit.errors import DataError

NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
# The original ends in an empty line.
META = "".join(f"{name}\n" for name in NAMES).encode() + b"\n"
BATCHES = [f"data_batch_{number}.bin" for number in (1, 2, 3, 4, 5)] + ["test_batch.bin"]
RECORD = 3073


def read_cifar(files: MemoryFiles, config: DataConfig) -> ImageSet:
    return decode_listing(files, arrays.list_cifar10(files, config), config)


def records(labels: list[int], seed: int) -> bytes:
    """Return records with these labels and random pixels."""
    rng = random.Random(seed)
    return b"".join(bytes([label]) + rng.randbytes(RECORD - 1) for label in labels)


def whole(size: int = 8, seed: int = 0) -> dict[str, bytes]:
    """Return all files, with ``size`` records a batch."""
    rng = random.Random(seed)
    files = {name: records(rng.choices(range(10), k=size), seed + number) for number, name in enumerate(BATCHES)}
    return {**files, "batches.meta.txt": META}


def parsed(files: dict[str, bytes]) -> list[tuple[str, str, Image.Image]] | None:
    """Return name, class and picture of each image, put together by Pillow; None where the files must be refused."""
    try:
        names = [line.strip() for line in files["batches.meta.txt"].decode("utf-8-sig").split("\n")]
    except (KeyError, UnicodeDecodeError):
        return None
    names = [name for name in names if name]
    if len(names) != 10 or len({name.casefold() for name in names}) != 10 or not all(map(str.isprintable, names)):
        return None
    found = []
    for batch in [name for name in BATCHES if name in files]:
        content = files[batch]
        if len(content) % RECORD or not content:
            return None
        for row in range(len(content) // RECORD):
            record = content[row * RECORD : (row + 1) * RECORD]
            if record[0] > 9:
                return None
            red, green, blue = (
                Image.frombytes("L", (32, 32), record[start : start + 1024]) for start in (1, 1025, 2049)
            )
            found.append((f"{batch}[{row}]", names[record[0]], Image.merge("RGB", (red, green, blue))))
    return found


def assert_equal(images, expected) -> None:
    assert images.names == tuple(name for name, _, _ in expected)
    assert [images.classes[label] for label in images.labels_N] == [label for _, label, _ in expected]
    np.testing.assert_array_equal(images.images_NHWC, np.stack([np.asarray(image) for _, _, image in expected]))
    assert images.groups == ("",) * len(expected)


@given(
    sizes=st.lists(st.integers(0, 4), min_size=6, max_size=6).filter(any),
    seed=st.integers(0, 2**32),
    folder=st.sampled_from(["", "cifar-10-batches-bin/", "a/b/"]),
)
def test_a_random_set_comes_back_exactly(sizes, seed, folder):
    rng = random.Random(seed)
    files = {
        name: records(rng.choices(range(10), k=size), rng.getrandbits(32))
        for name, size in zip(BATCHES, sizes, strict=True)
        if size
    }
    names = rng.sample(NAMES, 10)
    files["batches.meta.txt"] = "\n".join(names).encode()
    inside = MemoryFiles({folder + name: content for name, content in files.items()})
    expected = parsed(files)
    images = read_cifar(inside, DataConfig(resolution=32))
    assert_equal(images, expected)
    present = {label for _, label, _ in expected}
    assert images.classes == tuple(name for name in names if name in present)
    listing = arrays.list_cifar10(inside, DataConfig())
    assert tuple(listing.names) == images.names and listing.classes == images.classes
    assert listing.notes == images.notes


def damaged(files: dict[str, bytes], rng: random.Random) -> dict[str, bytes]:
    """Return the files with one of them cut, lengthened, changed, emptied or gone."""
    name = rng.choice(sorted(files))
    content = files[name]
    at = rng.randrange(len(content))
    label = RECORD * rng.randrange(max(len(content) // RECORD, 1))
    changed = [
        content[:at],
        content[: label + RECORD],
        content + rng.randbytes(rng.choice([1, RECORD, RECORD + 1])),
        content[:at] + rng.randbytes(1) + content[at + 1 :],
        content[:label] + rng.randbytes(1) + content[label + 1 :],
        content[:at] + b"\n" + content[at:],
        rng.randbytes(len(content)),
        b"",
        None,
    ]
    new = rng.choice(changed)
    return {key: value for key, value in {**files, name: new}.items() if value is not None}


def test_random_damage_is_refused_or_gives_the_images_that_the_bytes_hold():
    rng = random.Random(7)
    outcomes = {"refused": 0, "read": 0}
    for case in range(100):
        files = damaged(whole(2, seed=case), rng)
        expected = parsed(files)
        try:
            images = read_cifar(MemoryFiles(files), DataConfig(resolution=32))
        except DataError as error:
            assert expected is None, f"case {case}: {error}"
            assert "\n" not in str(error) and "unpack cifar-10-binary.tar.gz again" in str(error)
            assert any(name in str(error) for name in (*BATCHES, "batches.meta.txt"))
            outcomes["refused"] += 1
        else:
            assert expected is not None, f"case {case} was not refused"
            assert_equal(images, expected)
            outcomes["read"] += 1
    assert min(outcomes.values()) > 15, outcomes


BAD = {
    "a cut batch": ({"data_batch_3.bin": records([1], 0)[:-1]}, r"data_batch_3\.bin has 3,072 bytes"),
    "an empty batch": ({"test_batch.bin": b""}, r"test_batch\.bin has 0 bytes"),
    "a label beyond 9": (
        {"data_batch_2.bin": records([1, 9, 10], 0)},
        r"data_batch_2\.bin\[2\] has the label 10, not 0",
    ),
    "no names": ({"batches.meta.txt": None}, r"batches\.meta\.txt is missing under .*source"),
    "too few names": ({"batches.meta.txt": META[:-8]}, r"names 9 different classes in 9 lines, not 10"),
    "an empty file of names": ({"batches.meta.txt": b""}, "names 0 different classes in 0 lines"),
    "too many names": ({"batches.meta.txt": META + b"lorry\n"}, "names 11 different classes"),
    "a name twice": ({"batches.meta.txt": META.replace(b"truck", b"Ship")}, "names 9 different classes in 10 lines"),
    "names of no text": ({"batches.meta.txt": b"\xff" + META}, r"cannot read .*batches\.meta\.txt"),
    "a control character": ({"batches.meta.txt": META.replace(b"dog", b"d\x1bg")}, "names 9 different"),
}


@pytest.mark.parametrize("case", BAD)
def test_damage_is_refused_in_one_line_by_both_questions(case, tree, settings):
    change, reason = BAD[case]
    files = {name: content for name, content in {**whole(2), **change}.items() if content is not None}
    root = tree({f"cifar-10-batches-bin/{name}": content for name, content in files.items()})
    for ask in (read_images, class_names):
        with pytest.raises(DataError, match=reason) as caught:
            ask(settings(root, split="all"))
        assert "\n" not in str(caught.value) and "cifar-10-batches-bin/" in str(caught.value)


def test_a_batch_that_cannot_be_opened_is_named(tree, settings, tmp_path):
    root = tree(whole(2))
    (root / "data_batch_4.bin").unlink()
    (root / "data_batch_4.bin").symlink_to(tmp_path / "gone")
    with pytest.raises(DataError, match=r"cannot read data_batch_4\.bin: broken link; unpack"):
        read_images(settings(root, split="all"))


def test_missing_batches_are_noted_as_long_as_one_is_there(tree, settings):
    files = whole(3)
    root = tree(files)
    images = read_images(settings(root, split="all", resolution=32))
    assert images.notes[0] == "CIFAR-10: 18 images of 6 of its 6 batches" and len(images) == 18
    for name in ("data_batch_2.bin", "test_batch.bin"):
        (root / name).unlink()
        del files[name]
    images = read_images(settings(root, split="all", resolution=32))
    assert images.notes[0] == "CIFAR-10: 12 images of 4 of its 6 batches; not there: data_batch_2.bin, test_batch.bin"
    assert_equal(images, parsed(files))
    for name in BATCHES:
        (root / name).unlink(missing_ok=True)
    with pytest.raises(DataError, match=r"looked for .*data_batch_1\.bin of CIFAR-10.*such as batches\.meta\.txt"):
        read_images(settings(root, split="all"))


def test_another_number_of_images_than_the_original_is_noted(tree, settings, monkeypatch):
    files = whole(3)
    files["data_batch_5.bin"] += records([3], 0)
    root = tree(files)
    monkeypatch.setattr(arrays, "CIFAR_OFFICIAL_RECORDS", 3)
    images = read_images(settings(root, split="all"))
    assert images.notes[1:] == ("a cut or edited copy: 4 in data_batch_5.bin, where the original has 3",)
    (root / "data_batch_5.bin").write_bytes(files["data_batch_5.bin"][: 3 * RECORD])
    assert len(read_images(settings(root, split="all")).notes) == 1


def test_the_folder_the_one_above_and_a_zip_are_the_same(tree, settings, tmp_path):
    files = whole()
    root = tree({f"cifar-10-batches-bin/{name}": content for name, content in files.items()})
    (root / "cifar-10-batches-bin" / "readme.html").write_text("by somebody")
    with zipfile.ZipFile(tmp_path / "cifar.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(f"data/cifar-10-batches-bin/{name}", content)
    for path in (root, root / "cifar-10-batches-bin", tmp_path / "cifar.zip"):
        images = read_images(settings(path, split="all", resolution=32))
        assert_equal(images, parsed(files))
        assert class_names(settings(path)) == images.classes


def test_of_several_copies_the_least_deep_one_is_read():
    near, far = whole(2, seed=1), whole(3, seed=2)
    del near["data_batch_1.bin"]
    files = {f"folder_of_the_batches/{name}": content for name, content in near.items()}
    files |= {f"a/b/{name}": content for name, content in far.items()}
    assert_equal(read_cifar(MemoryFiles(files), DataConfig(resolution=32)), parsed(near))


def test_classes_limits_and_sizes(tree, settings):
    files = whole(12)
    root = tree(files)
    everything = parsed(files)
    for asked in ("cat", "Truck"):
        own = [image for image in everything if image[1] == asked.casefold()]
        one = read_images(settings(root, split="all", class_name=asked, resolution=32))
        assert one.classes == (asked.casefold(),) and one.labels_N.tolist() == [0] * len(own)
        assert_equal(one, own)
        limited = read_images(settings(root, split="all", class_name=asked, resolution=32, limit=2))
        assert limited.names == one.limit(2).names
    limited = read_images(settings(root, split="all", limit=2))
    assert set(limited.counts().values()) == {2}
    with pytest.raises(DataError, match="no class 'lorry' in the data: choose one of airplane"):
        read_images(settings(root, split="all", class_name="lorry"))
    pictures = {name: image for name, _, image in everything}
    for side in (16, 64):
        images = read_images(settings(root, split="all", limit=2, resolution=side))
        for name, image_HWC in zip(images.names, images.images_NHWC, strict=True):
            resized = pictures[name].resize((side, side), Image.Resampling.LANCZOS)
            np.testing.assert_array_equal(image_HWC, np.asarray(resized))
    gray = read_images(settings(root, split="all", resolution=32, limit=2, color="grayscale"))
    for name, image_HWC in zip(gray.names, gray.images_NHWC, strict=True):
        np.testing.assert_array_equal(image_HWC[..., 0], np.asarray(pictures[name].convert("L")))


def test_splits_are_the_batches_own(tree, settings):
    files = whole(30)
    root = tree(files)
    names = [name for name, _, _ in parsed(files)]
    own = {"train": [n for n in names if n.startswith("data")], "test": [n for n in names if n.startswith("test")]}
    for split, expected in own.items():
        images = read_images(settings(root, split=split))
        assert list(images.names) == expected
        assert read_images(settings(root, split=split, class_name="dog")).names == images.select("dog").names
    assert list(read_images(settings(root)).names) == own["train"]
    with pytest.raises(DataError, match=r"own splits \(test, train\), and the validation split .* has no image"):
        read_images(settings(root, split="validation"))


def test_the_cache_is_used_and_notices_a_change(tree, settings):
    root = tree(whole())
    config = settings(root, split="all", resolution=32)
    first, second = read_images(config), read_images(config)
    assert isinstance(second.images_NHWC, np.memmap) and not isinstance(first.images_NHWC, np.memmap)
    assert (first.digest, first.names, first.notes) == (second.digest, second.names, second.notes)
    files = whole(9, seed=1)
    for name, content in files.items():
        (root / name).write_bytes(content)
    assert_equal(read_images(config), parsed(files))


def test_the_pickles_and_the_archive_are_refused_with_the_remedy(tree, settings):
    pickled = ["cifar-10-batches-py/batches.meta", "cifar-10-batches-py/data_batch_1"]
    python = tree(dict.fromkeys(pickled, b"\x80\x02"))
    with pytest.raises(DataError, match="pickles of CIFAR-10's Python version are never loaded"):
        read_images(settings(python))
    archive = tree({"cifar-10-binary.tar.gz": b"\x1f\x8b"}, "archive")
    with pytest.raises(DataError, match=r"; unpack cifar-10-binary\.tar\.gz$"):
        read_images(settings(archive))
    with pytest.raises(DataError, match=r"cifar-10-binary\.tar\.gz is neither .*: unpack it and name the folder$"):
        read_images(settings(archive / "cifar-10-binary.tar.gz"))


def test_a_table_beside_the_batches_still_decides(tree, settings, png):
    table = "lesion_id,image_id,dx\nL1,I1,nv\n"
    files = {f"cifar-10-batches-bin/{name}": content for name, content in whole(2).items()}
    root = tree({"HAM10000_metadata.csv": table, "ham/I1.jpg": png(1), **files})
    assert class_names(settings(root, split="all")) == read_images(settings(root, split="all")).classes == ("NV",)


def test_a_gan_trains_on_a_class_from_the_command_line(tree, main, tiny_options, tmp_path):
    files = whole(4)
    files["data_batch_1.bin"] = records([3] * 9 + [5], 1)
    root = tree({f"cifar-10-batches-bin/{name}": content for name, content in files.items()})
    options = [
        *tiny_options,
        "--data",
        root,
        "--class",
        "CAT",
        "--limit",
        9,
        "--steps",
        1,
        "--outdir",
        tmp_path / "out",
    ]
    status, _, err = main("fit", *options)
    assert status == 0, err
    (run,) = (tmp_path / "out").iterdir()
    assert run.name == "00000-hybridq-default-cat"
    assert json.loads((run / "data.json").read_text())["counts"] == {"cat": 9}
    (root / "cifar-10-batches-bin" / "batches.meta.txt").unlink()
    status, out, err = main("fit", *options)
    assert (status, out) == (3, "") and err.startswith("error: cifar-10-batches-bin/batches.meta.txt is missing")
