"""ImageSet: selecting, counting, grayscale, random subsets, and a digest that changes exactly with what it stands for."""

import csv
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qgan_qiskit.config import DataConfig
from qgan_qiskit.data import Batches, ImageSet, read_images, to_uint8
from qgan_qiskit.data.dataset import sample_rows, split_unit
from qgan_qiskit.errors import DataError


def make(labels: list[int], classes: tuple[str, ...] = ("NV", "Mel", "bcc")) -> ImageSet:
    images = np.random.default_rng(len(labels)).integers(0, 256, (len(labels), 4, 4, 3), dtype=np.uint8)
    names = tuple(f"image {row}" for row in range(len(labels)))
    return ImageSet(images, np.array(labels, np.int64), classes, names, tuple(f"g{row}" for row in labels), ("a note",))


@given(labels=st.lists(st.integers(0, 2), max_size=20), wanted=st.sampled_from(["nv", "NV", "mel", "MEL", "Bcc"]))
def test_select_keeps_the_images_of_the_class_in_order(labels, wanted):
    whole = make(labels)
    index = [name.lower() for name in whole.classes].index(wanted.lower())
    rows = [row for row, label in enumerate(labels) if label == index]
    selected = whole.select(wanted)
    assert selected.classes == (whole.classes[index],) and selected.labels_N.tolist() == [0] * len(rows)
    assert selected.names == tuple(f"image {row}" for row in rows) and selected.groups == (f"g{index}",) * len(rows)
    np.testing.assert_array_equal(selected.images_NHWC, whole.images_NHWC[rows])
    assert whole.counts()[whole.classes[index]] == len(selected) == sum(selected.counts().values())


@given(labels=st.lists(st.integers(0, 2), max_size=20), limit=st.integers(1, 6))
def test_limit_keeps_so_many_of_each_class_in_order(labels, limit):
    whole = make(labels)
    selected = whole.limit(limit)
    assert list(selected.counts().values()) == [min(number, limit) for number in whole.counts().values()]
    rows = [int(name.removeprefix("image ")) for name in selected.names]
    assert rows == sorted(rows)
    assert selected.labels_N.tolist() == [labels[row] for row in rows] and selected.classes == ("NV", "Mel", "bcc")
    np.testing.assert_array_equal(selected.images_NHWC, whole.images_NHWC[rows])


@given(
    labels=st.lists(st.integers(0, 2), max_size=20),
    order=st.permutations(["bcc", "nv", "MEL"]),
    count=st.integers(1, 3),
)
def test_several_classes_are_numbered_in_the_order_asked_for(labels, order, count):
    whole, wanted = make(labels), order[:count]
    selected = whole.select_classes(wanted)
    assert [name.lower() for name in selected.classes] == [name.lower() for name in wanted]
    kept = [row for row, label in enumerate(labels) if whole.classes[label].lower() in map(str.lower, wanted)]
    assert selected.names == tuple(f"image {row}" for row in kept)
    assert [selected.classes[label] for label in selected.labels_N] == [whole.classes[labels[row]] for row in kept]
    np.testing.assert_array_equal(selected.images_NHWC, whole.images_NHWC[kept])


def test_an_unknown_class_is_refused_with_those_there_are():
    with pytest.raises(DataError, match=r"no class 'SCC' in the data: choose one of NV, Mel, bcc, or 'all'"):
        make([0, 1]).select("SCC")


def test_digest_stands_for_images_labels_and_class_names():
    whole = make([0, 1, 2, 0])
    other_pixel = whole.images_NHWC.copy()
    other_pixel[3, 3, 3, 2] ^= 1
    changed = [
        replace(whole, images_NHWC=other_pixel),
        replace(whole, images_NHWC=whole.images_NHWC.reshape(4, 2, 8, 3)),
        replace(whole, labels_N=np.array([0, 1, 2, 1])),
        replace(whole, classes=("NV", "Mel", "BCC")),
        whole.limit(1),
    ]
    assert len({images.digest for images in [whole, *changed]}) == 6
    same = [
        replace(whole, names=("w", "x", "y", "z"), groups=("",) * 4, notes=()),
        replace(whole, images_NHWC=np.asfortranarray(whole.images_NHWC)),
    ]
    assert {images.digest for images in same} == {whole.digest}
    assert len(whole.digest) == 64 and int(whole.digest, 16) >= 0


@pytest.mark.parametrize(
    "fields",
    [
        {"images_NHWC": np.zeros((2, 4, 4, 3), np.float32)},
        {"images_NHWC": np.zeros((2, 4, 4, 4), np.uint8)},
        {"images_NHWC": np.zeros((3, 4, 4, 3), np.uint8)},
        {"labels_N": np.array([0, 3])},
        {"labels_N": np.array([0, -1])},
        {"labels_N": np.array([0, 1], np.int32)},
        {"names": ("one",)},
        {"groups": ()},
    ],
)
def test_fields_that_do_not_fit_are_rejected(fields):
    with pytest.raises(ValueError, match=r"images|labels"):
        replace(make([0, 1]), **fields)


def test_limit_zero_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        make([0]).limit(0)


def set_of(images_NHWC: np.ndarray) -> ImageSet:
    count = len(images_NHWC)
    return ImageSet(images_NHWC, np.zeros(count, np.int64), ("x",), ("n",) * count, ("",) * count, ("a note",))


def luma(images_NHWC: np.ndarray) -> np.ndarray:
    """Return the rounded luma, of shape (N, H, W), by 16-bit weights."""
    red, green, blue = np.moveaxis(images_NHWC.astype(np.int64), -1, 0)
    return (19595 * red + 38470 * green + 7471 * blue + (1 << 15)) >> 16


@given(count=st.integers(0, 3), side=st.integers(1, 9), seed=st.integers(0, 1000))
def test_equals_the_formula(count, side, seed):
    images = np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    gray = set_of(images).to_grayscale()
    assert gray.images_NHWC.shape == images.shape
    np.testing.assert_array_equal(gray.images_NHWC, np.repeat(luma(images)[..., None], 3, axis=3))
    np.testing.assert_array_equal(gray.to_grayscale().images_NHWC, gray.images_NHWC)
    assert gray.notes == ("a note",)


def test_every_color_of_a_coarse_cube():
    levels = np.arange(0, 256, 5, dtype=np.uint8)
    cube = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, len(levels), 3)
    np.testing.assert_array_equal(set_of(cube).to_grayscale().images_NHWC[..., 1], luma(cube))


def test_reading_gray_shares_the_cache_of_color(tree, png, settings):
    source = tree({f"{number}.png": png(number) for number in range(4)})
    color = read_images(settings(source))
    gray = read_images(settings(source, color="grayscale"))
    assert isinstance(read_images(settings(source)).images_NHWC, np.memmap)
    np.testing.assert_array_equal(gray.images_NHWC, color.to_grayscale().images_NHWC)
    assert gray.names == color.names
    assert gray.digest != color.digest
    assert len(list((source.parent / "cache").iterdir())) == 1


def test_batches_of_one_channel_and_back_to_pictures():
    config = DataConfig(path="sklearn:digits", resolution=8, color="grayscale")
    images = read_images(config)
    assert config.channels == 1
    for augment in ("none", "dihedral"):
        one = Batches(images, 16, 3, augment, config.channels)
        three = Batches(images, 16, 3, augment)
        batch = one.batch(5)
        assert batch.shape == (16, 1, 8, 8)
        assert batch.is_contiguous()
        assert torch.equal(batch.expand(-1, 3, -1, -1), three.batch(5))
        np.testing.assert_array_equal(to_uint8(batch), to_uint8(three.batch(5)))
    rows = one.indices(5)
    np.testing.assert_array_equal(to_uint8(Batches(images, 16, 3, "none", 1).batch(5)), images.images_NHWC[rows])


SETS = st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["", "L1", "L2", "L3", "L4"])), min_size=1, max_size=40)


def sample(rows, limit: int, seed: int) -> set[str]:
    """Return the names sampled from (number, label, group)."""
    names = [f"folder/{number}.png" for number, _, _ in rows]
    labels = np.array([label for _, label, _ in rows], np.int64)
    kept = sample_rows(labels, names, [group for _, _, group in rows], limit, seed)
    assert kept.dtype == np.int64 and kept.tolist() == sorted(set(kept.tolist()))
    return {names[row] for row in kept}


@given(rows=SETS, limit=st.integers(1, 10), seed=st.integers(0, 2**63 - 1), data=st.data())
def test_numbers_nesting_lesions_and_independence(rows, limit, seed, data):
    rows = [(number, *row) for number, row in enumerate(rows)]
    found = sample(rows, limit, seed)
    of_class = Counter(label for _, label, _ in rows)
    class_of = {f"folder/{number}.png": label for number, label, _ in rows}
    assert Counter(class_of[name] for name in found) == {c: min(n, limit) for c, n in of_class.items()}
    # A larger number only adds, the order and the other classes change nothing, folders neither.
    assert found <= sample(rows, limit + data.draw(st.integers(0, 5)), seed)
    assert sample(data.draw(st.permutations(rows)), limit, seed) == found
    for label in of_class:
        own = [row for row in rows if row[1] == label]
        assert sample(own, limit, seed) == {name for name in found if class_of[name] == label}
        # At most one lesion is there in part.
        split = 0
        for unit in {split_unit(str(number), group) for number, _, group in own}:
            members = {f"folder/{number}.png" for number, _, group in own if split_unit(str(number), group) == unit}
            split += bool(members & found) and not members <= found
        assert split <= 1


def test_every_image_is_about_as_likely():
    names = [f"{row}.png" for row in range(100)]
    counts = np.zeros(100)
    for seed in range(400):
        counts[sample_rows(np.zeros(100, np.int64), names, [""] * 100, 25, seed)] += 1
    assert counts.sum() == 400 * 25
    # Five standard deviations of the binomial.
    assert np.abs(counts - 100).max() <= 5 * np.sqrt(400 * 0.25 * 0.75)


def test_the_subset_is_no_cut_by_collection(tree, settings, png):
    """Names sort by collection, as in ISIC: a cut by name takes one of them alone."""
    collections = {"MSK": 40, "HAM": 80, "BCN": 120}
    names = [f"{first}{name}_{row:04}" for first, (name, n) in enumerate(collections.items()) for row in range(n)]
    root = tree({f"mel/{name}.png": png(0, (8, 8)) for name in names})
    found = Counter(name[5:8] for name in read_images(settings(root, limit=60)).names)
    assert sum(found.values()) == 60
    for name, number in collections.items():
        assert abs(found[name] - number / 4) <= 4 * np.sqrt(number / 4 * 0.75)
    small, large = (set(read_images(settings(root, limit=limit)).names) for limit in (20, 60))
    assert small < large
    assert set(read_images(settings(root, limit=20, split_seed=1)).names) != small


def test_melanoma_of_isic_is_sampled_from_all_cameras(shared, settings):
    with (shared / "isic2019_64" / "collections.csv").open() as file:
        rows = list(csv.DictReader(file))
    of_image = {row["image"]: row["collection"] for row in rows}
    whole = Counter(row["collection"] for row in rows if row["class"] == "MEL")
    images = read_images(settings(shared / "isic2019_64", class_name="MEL", limit=400))
    found = Counter(of_image[name.rpartition("/")[2].removesuffix(".jpg")] for name in images.names)
    for name, number in whole.items():
        fraction = number / sum(whole.values())
        # Images of a lesion come together, which widens the spread.
        assert abs(found[name] / 400 - fraction) < 0.1
