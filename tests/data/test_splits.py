"""Training, validation and test splits: by lesion, the same whatever else there is, of about the right size."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qgan_qiskit.config import DataConfig
from qgan_qiskit.data import ImageSet, class_names, read_images
from qgan_qiskit.data.dataset import split_unit
from qgan_qiskit.data.splits import assign_split, select_split
from qgan_qiskit.errors import DataError

SPLITS = ("train", "validation", "test")


def make(labels: list[int], groups: list[str]) -> ImageSet:
    images = np.zeros((len(labels), 2, 2, 3), np.uint8)
    images[:, 0, 0, 0] = np.arange(len(labels))
    names = tuple(f"folder/{row}.png" for row in range(len(labels)))
    return ImageSet(images, np.array(labels, np.int64), ("a", "b"), names, tuple(groups))


def names_of(images: ImageSet, **fields: object) -> dict[str, set[str]]:
    """Return the names in each split; of an empty split none."""
    found = {}
    for split in SPLITS:
        try:
            found[split] = set(select_split(images, DataConfig(split=split, **fields)).names)
        except DataError:
            found[split] = set()
    return found


SETS = st.lists(st.tuples(st.integers(0, 1), st.sampled_from(["", "L1", "L2", "L3", "L4"])), min_size=1, max_size=30)
FRACTIONS = st.tuples(st.floats(0, 0.49), st.floats(0, 0.49))


@given(rows=SETS, seed=st.integers(0, 2**63 - 1), fractions=FRACTIONS)
def test_every_image_is_in_one_split_and_every_lesion_too(rows, seed, fractions):
    images = make([label for label, _ in rows], [group for _, group in rows])
    fields = {"split_seed": seed, "validation_fraction": fractions[0], "test_fraction": fractions[1]}
    found = names_of(images, **fields)
    assert sum(len(names) for names in found.values()) == len(images)
    assert set.union(*found.values()) == set(images.names)
    group_of = dict(zip(images.names, images.groups, strict=True))
    groups = {split: {group_of[name] for name in names} - {""} for split, names in found.items()}
    assert sum(len(own) for own in groups.values()) == len(set.union(*groups.values()))


@given(rows=SETS, seed=st.integers(0, 100), data=st.data())
def test_the_split_of_an_image_does_not_depend_on_the_others_or_on_its_class(rows, seed, data):
    images = make([label for label, _ in rows], [group for _, group in rows])
    fields = {"split_seed": seed, "validation_fraction": 0.3, "test_fraction": 0.3}
    whole = names_of(images, **fields)
    kept = np.array(data.draw(st.lists(st.sampled_from(range(len(rows))), unique=True, min_size=1)))
    labels = np.array(data.draw(st.lists(st.integers(0, 1), min_size=len(kept), max_size=len(kept))), np.int64)
    fewer = names_of(images.take(kept, labels, images.classes), **fields)
    present = {images.names[row] for row in kept}
    assert fewer == {split: names & present for split, names in whole.items()}


@given(seed=st.integers(0, 2**63 - 1), fractions=FRACTIONS)
def test_fractions_are_about_right_and_a_larger_one_only_adds(seed, fractions):
    config = DataConfig(split_seed=seed, validation_fraction=fractions[0], test_fraction=fractions[1])
    splits = {f"lesion {number}": assign_split(f"lesion {number}", config) for number in range(2000)}
    counts = Counter(splits.values())
    for split, fraction in (("validation", fractions[0]), ("test", fractions[1])):
        # Five standard deviations of the binomial.
        assert abs(counts[split] - 2000 * fraction) <= 5 * np.sqrt(2000 * fraction * (1 - fraction)) + 1e-9
        larger = config.model_copy(update={f"{split}_fraction": fraction + 0.01})
        for unit, before in splits.items():
            after = assign_split(unit, larger)
            assert after == before or (after, before) == (split, "train")


def test_seeds_divide_differently():
    divisions = [
        tuple(assign_split(f"lesion {number}", DataConfig(split_seed=seed, test_fraction=0.4)) for number in range(50))
        for seed in range(20)
    ]
    assert len(set(divisions)) == 20


def test_without_fractions_everything_is_for_training():
    config = DataConfig(validation_fraction=0, test_fraction=0)
    assert {assign_split(f"lesion {number}", config) for number in range(5000)} == {"train"}


def test_the_division_is_that_of_earlier_versions():
    """Whoever changes the hash moves images from training to test. By sha256sum: f0c0…, 6905…, 3fea…, 4c33…, 24f9…, 09a1…"""
    config = DataConfig(validation_fraction=0.2, test_fraction=0.2)
    found = [assign_split(f"lesion HAM_000000{number}", config) for number in range(6)]
    assert found == ["validation", "train", "train", "train", "test", "test"]


def test_an_unknown_lesion_is_named_by_its_image_without_folders_and_ending():
    assert split_unit("one/two/ISIC_1.jpg", "") == split_unit("ISIC_1.png", "") == "image ISIC_1"
    assert split_unit("one/two/ISIC_1.jpg", "HAM_1") == "lesion HAM_1"
    assert split_unit("HAM_1.jpg", "") != split_unit("other.jpg", "HAM_1")


def test_notes_say_how_many_and_classes_without_images_are_left_out():
    groups = [f"L{number}" for number in range(40)]
    images = make([0] * 40, groups)
    config = DataConfig(split="test", test_fraction=0.2)
    split = select_split(images, config)
    assert split.notes == (
        f"test split: {len(split)} of 40 images, {len(split)} of 40 lesions (split seed 0)",
        "class b has no images in the test split",
    )
    assert split.classes == ("a",)
    assert split.images_NHWC[:, 0, 0, 0].tolist() == [int(name[7:-4]) for name in split.names]
    only_b = replace(images, labels_N=np.ones(40, np.int64))
    assert select_split(only_b, config).classes == ("b",)
    assert select_split(only_b, config).labels_N.tolist() == [0] * len(split)


def test_an_empty_split_is_refused_with_the_remedy():
    images = make([0, 1, 1], ["L", "L", ""])
    with pytest.raises(
        DataError, match=r"none of the 3 images \(2 lesions\) of class a, b .* test split: raise --test-fraction"
    ):
        select_split(images, DataConfig(split="test", test_fraction=0))
    with pytest.raises(DataError, match="validation split: set another --split-seed, or give more images"):
        select_split(images, DataConfig(split="validation", validation_fraction=1e-9))


@pytest.fixture
def source(tree, png):
    return tree({f"{name}/{number}.png": png(100 * (name == "b") + number) for name in "ab" for number in range(30)})


def test_splits_of_a_folder_are_decoded_once_and_limited_afterwards(source, settings, monkeypatch):
    fractions = {"validation_fraction": 0.3, "test_fraction": 0.3}
    whole = read_images(settings(source))
    read_images(settings(source, split="train", **fractions))  # compares small versions of all
    monkeypatch.setattr("qgan_qiskit.data.source.decode_listing", None)  # whoever decodes again, fails
    splits = {split: read_images(settings(source, split=split, **fractions)) for split in SPLITS}
    assert sorted(name for images in splits.values() for name in images.names) == sorted(whole.names)
    pixels = dict(zip(whole.names, whole.images_NHWC, strict=True))
    for split, images in splits.items():
        for name, image_HWC in zip(images.names, images.images_NHWC, strict=True):
            np.testing.assert_array_equal(image_HWC, pixels[name])
        limited = read_images(settings(source, split=split, limit=2, **fractions))
        assert limited.names == images.limit(2).names
    assert splits["test"].notes[-2].startswith("test split: ")


def test_one_class_has_the_same_division_as_all_classes(source, settings):
    fractions = {"split": "validation", "validation_fraction": 0.4}
    both = read_images(settings(source, **fractions))
    for name in "ab":
        assert read_images(settings(source, class_name=name, **fractions)).names == both.select(name).names


def test_every_source_can_be_split(settings, tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "a.npz", images=rng.integers(0, 256, (60, 16, 16), dtype=np.uint8), labels=np.arange(60) % 2)
    for path in (str(tmp_path / "a.npz"), "sklearn:digits", None):
        fields = {"synthetic_per_class": 30, "validation_fraction": 0.3, "test_fraction": 0.3}
        config = settings(path, **fields) if path else settings("", **fields).model_copy(update={"path": None})
        whole = read_images(config)
        names = []
        for split in SPLITS:
            images = read_images(config.model_copy(update={"split": split}))
            assert 0 < len(images) < len(whole)
            assert images.classes == class_names(config)
            names += images.names
        assert sorted(names) == sorted(whole.names)


def test_isic_is_divided_by_its_lesions(shared):
    table = (shared / "isic2019_64" / "collections.csv").read_text().splitlines()
    rows = [line.split(",") for line in table[1:]]
    config = DataConfig(validation_fraction=0.05, test_fraction=0.05)
    part_of_image = {image: assign_split(split_unit(image, lesion), config) for image, _, lesion, _ in rows}
    splits_of_lesion: dict[str, set[str]] = {}
    for image, _, lesion, _ in rows:
        if lesion:
            splits_of_lesion.setdefault(lesion, set()).add(part_of_image[image])
    assert len(splits_of_lesion) > 5000
    assert all(len(splits) == 1 for splits in splits_of_lesion.values())
    counts = Counter(part_of_image.values())
    assert 0.03 < counts["test"] / len(rows) < 0.07
    assert 0.03 < counts["validation"] / len(rows) < 0.07
