"""Duplicates: found however they were saved again, few others, kept in one split, named when their labels differ."""

import io
from collections import defaultdict

import numpy as np
import pytest
from data_sources import encoded
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from qgan_qiskit.config import DataConfig
from qgan_qiskit.data import ImageSet, make_synthetic_lesions, read_images
from qgan_qiskit.data.dataset import split_unit
from qgan_qiskit.data.duplicates import SIDE, describe_duplicates, find_duplicates, merge_units
from qgan_qiskit.data.splits import assign_split
from qgan_qiskit.errors import DataError

LANCZOS = Image.Resampling.LANCZOS


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return Image.open(stream).convert("RGB")


COPIES = {
    "same": lambda image: image,
    "jpeg": lambda image: jpeg(image, 75),
    "half": lambda image: image.resize((32, 32), LANCZOS),
    "double": lambda image: image.resize((128, 128), Image.Resampling.BICUBIC),
    "brighter": lambda image: image.point(lambda level: round(level * 1.03)),
    "darker": lambda image: image.point(lambda level: round(level * 0.97)),
    "grayscale": lambda image: image.convert("L").convert("RGB"),
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "upside down": lambda image: image.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
    "turned": lambda image: image.transpose(Image.Transpose.ROTATE_90),
    "turned back": lambda image: image.transpose(Image.Transpose.ROTATE_270),
    "upended": lambda image: image.transpose(Image.Transpose.ROTATE_180),
    "transposed": lambda image: image.transpose(Image.Transpose.TRANSPOSE),
}


@pytest.fixture(scope="module")
def lesions() -> ImageSet:
    return make_synthetic_lesions(100, 64, 0)


def small(images: list[Image.Image]) -> np.ndarray:
    return np.stack([np.asarray(image.convert("RGB").resize((SIDE, SIDE), LANCZOS)) for image in images])


def test_no_two_synthetic_lesions_are_duplicates(lesions):
    assert len(find_duplicates(small([Image.fromarray(image) for image in lesions.images_NHWC]))) == 0


@pytest.mark.parametrize("kind", COPIES)
def test_a_copy_is_found_however_it_was_saved(lesions, kind):
    originals = [Image.fromarray(image) for image in lesions.images_NHWC[::3]]
    pairs = find_duplicates(small([*originals, *map(COPIES[kind], originals)]))
    wanted = {(row, row + len(originals)) for row in range(len(originals))}
    found = set(map(tuple, pairs.tolist()))
    assert found <= wanted
    assert len(found) >= 0.95 * len(wanted)


def test_flat_and_black_images_are_duplicates_only_when_equal():
    levels = [0, 0, 3, 90, 90, 91, 255]
    pairs = find_duplicates(np.stack([np.full((SIDE, SIDE, 3), level, np.uint8) for level in levels]))
    assert pairs.tolist() == [[0, 1], [3, 4]]


def test_images_of_one_scene_are_not_all_merge_units(tree, settings):
    """A fixed camera: the same background with another small spot in each; two files are equal."""
    rng = np.random.default_rng(0)
    scene = rng.integers(30, 220, (32, 32, 3))
    files = {}
    for row in range(150):
        image = scene.copy()
        image[row % 30 : row % 30 + 2, row // 30 : row // 30 + 2] = rng.integers(0, 256, 3)
        files[f"x/{row}.png"] = encoded(Image.fromarray(image.astype(np.uint8)))
    files["x/equal.png"] = files["x/7.png"]
    root = tree(files)
    splits = [read_images(settings(root, split=split, test_fraction=0.3)) for split in ("train", "test")]
    assert all(len(split) > 20 for split in splits)
    assert [{"x/7.png", "x/equal.png"} <= set(split.names) for split in splits].count(True) == 1
    assert any("151 of 151 images are so alike" in note for note in splits[0].notes)
    assert any("1 pairs of images show the same picture, 1 of them" in note for note in splits[0].notes)


def test_one_image_has_no_duplicate():
    assert find_duplicates(np.zeros((1, SIDE, SIDE, 3), np.uint8)).shape == (0, 2)


def merge_by_hand(units: list[str], pairs: list[tuple[int, int]]) -> list[set[int]]:
    """Merge sets of rows until nothing changes: no library, no clever structure."""
    rows_of = defaultdict(set)
    for row, unit in enumerate(units):
        rows_of[unit].add(row)
    sets = [*rows_of.values(), *({first, second} for first, second in pairs)]
    changed = True
    while changed:
        changed = False
        for one in sets:
            for other in sets:
                if one is not other and one & other:
                    one |= other
                    sets.remove(other)
                    changed = True
                    break
            if changed:
                break
    return sets


@given(
    data=st.data(),
    units=st.lists(st.sampled_from(["lesion A", "lesion B", "image x", "image y", "image z"]), min_size=1),
)
def test_groups_are_the_connected_components(data, units):
    rows = st.integers(0, len(units) - 1)
    pairs = data.draw(st.lists(st.tuples(rows, rows), max_size=6))
    found = merge_units(units, np.array(pairs, np.int64).reshape(-1, 2))
    by_unit = defaultdict(set)
    for row, unit in enumerate(found):
        by_unit[unit].add(row)
    assert sorted(map(sorted, by_unit.values())) == sorted(map(sorted, merge_by_hand(units, pairs)))
    for unit, rows_of in by_unit.items():
        own = {units[row] for row in rows_of}
        assert unit in own
        if len(own) == 1:
            assert own == {unit}
        if any(name.startswith("lesion") for name in own):
            assert unit == min(name for name in own if name.startswith("lesion"))


@pytest.fixture
def source(tree, lesions):
    """Two classes; each image of a lies again, as JPEG, in b or in a."""
    files = {}
    for row, image in enumerate(lesions.images_NHWC[:60]):
        original = Image.fromarray(image)
        files[f"a/original{row}.png"] = encoded(original)
        files[f"{'ab'[row % 2]}/copy{row}.png"] = encoded(jpeg(original, 80))
    return tree(files)


def test_duplicates_are_in_one_split_whatever_is_read(source, settings):
    fractions = {"validation_fraction": 0.3, "test_fraction": 0.3}
    split_of_name = {}
    for split in ("train", "validation", "test"):
        images = read_images(settings(source, split=split, **fractions))
        split_of_name |= dict.fromkeys(images.names, split)
        for fields in ({"resolution": 64}, {"fit": "pad"}, {"color": "grayscale"}):
            assert read_images(settings(source, split=split, **fractions, **fields)).names == images.names
        for name in "ab":
            assert (
                read_images(settings(source, split=split, class_name=name, **fractions)).names
                == images.select(name).names
            )
        limited = read_images(settings(source, split=split, limit=5, **fractions))
        assert set(limited.names) < set(images.names)
        assert any("60 pairs of images show the same picture, 60 of them" in note for note in images.notes)
        assert any("30 pairs of images show the same picture in different classes" in note for note in images.notes)
    assert len(split_of_name) == 120
    for row in range(60):
        assert split_of_name[f"a/original{row}.png"] == split_of_name[f"{'ab'[row % 2]}/copy{row}.png"]


def test_images_without_duplicates_stay_where_they_were(source, settings, tree, lesions):
    """Only the pair of files below moves, to the split of the smaller name; all others stay."""
    alone = {f"a/{row}.png": encoded(Image.fromarray(image)) for row, image in enumerate(lesions.images_NHWC[60:160])}
    doubled = alone | {"a/second.png": encoded(jpeg(Image.fromarray(lesions.images_NHWC[60]), 90))}
    root = tree(doubled, "doubled")
    config = DataConfig(test_fraction=0.4, validation_fraction=0.2)
    for split in ("train", "validation", "test"):
        images = read_images(settings(root, split=split, test_fraction=0.4, validation_fraction=0.2))
        expected = {name for name in alone if assign_split(split_unit(name, ""), config) == split}
        assert set(images.names) - {"a/second.png"} == expected
        assert ("a/second.png" in images.names) == ("a/0.png" in images.names)


def test_damaged_cache_of_pairs_is_found_again(source, settings, tmp_path):
    config = settings(source, split="train")
    before = read_images(config)
    (file,) = (tmp_path / "cache").glob("*.json")
    for damage in ("", "x", file.read_text()[:-3]):
        file.write_text(damage)
        assert read_images(config).names == before.names
    assert read_images(config).notes == before.notes


def test_equal_pixels_with_two_labels_are_named(tree, settings, png):
    root = tree({"a/1.png": png(1), "a/2.png": png(1), "b/3.png": png(1), "b/4.png": png(4)})
    notes = read_images(settings(root)).notes
    assert "2 images have exactly the pixels of another and are kept, such as a/2.png and a/1.png" in notes
    assert (
        "1 of these are of another class than their duplicate, such as b/3.png (b) and a/1.png (a): check their labels"
        in notes
    )


def test_duplicates_across_splits_of_the_source_are_counted():
    images = ImageSet(np.zeros((4, 8, 8, 3), np.uint8), np.zeros(4, np.int64), ("a",), tuple("wxyz"), ("",) * 4)
    pairs = np.array([[0, 1], [0, 2], [1, 3]])
    notes = describe_duplicates(images, pairs, [f"image {name}" for name in "wxyz"], ["train", "train", "test", ""])
    assert (
        notes[-1]
        == "1 pairs of images show the same picture in different splits of the source, such as w (train) and y (test)"
    )
    assert "the source's own splits are used unchanged" in notes[0]
    assert (
        len(describe_duplicates(images, pairs, list("wxyz"))) == 1
        and describe_duplicates(images, pairs[:0], list("wxyz")) == ()
    )


def test_a_split_of_unreadable_images_is_refused(tree, settings):
    with pytest.raises(DataError, match="can be read"):
        read_images(settings(tree({"a/1.png": b"x", "a/2.png": b"y"}), split="train"))


def test_known_pairs_of_isic_are_found(shared):
    """The pairs without a common lesion_id that ISIC's users have reported, and two from different lesions."""
    folder = shared / "isic2019_64_8classes" / "ISIC_2019_Training_Input"
    names = ["ISIC_0012290", "ISIC_0013594", "ISIC_0015986", "ISIC_0015987", "ISIC_0025226", "ISIC_0030074"]
    known = [next(folder.glob(f"{name}*.jpg")) for name in names]
    others = sorted(folder.iterdir())[::40]
    files = [*known, *(path for path in others if path not in known)]
    pairs = find_duplicates(small([Image.open(path) for path in files])).tolist()
    assert [pair for pair in pairs if pair[1] < 6] == [[0, 1], [2, 3], [4, 5]]
    assert len(pairs) <= 5
