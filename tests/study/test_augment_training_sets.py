"""Splits of real images, samples of them by lesion, and the numbers of generated and repeated images."""

from __future__ import annotations

import csv
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from qgan_qiskit.config import DataConfig
from qgan_qiskit.data import ImageSet
from qgan_qiskit.errors import DataError, UsageError
from qgan_qiskit.study.augment.training_sets import (
    SPLITS,
    Condition,
    count_shared_pixels,
    generated_counts,
    lesions_of,
    match_classes,
    oversample,
    read_split,
    sample_real,
    training_images,
)

CLASSES = ("MEL", "NV", "BCC")


@st.composite
def image_sets(draw):
    """Classes of lesions of one to five images; some images have no lesion."""
    groups, labels = [], []
    for label in range(draw(st.integers(1, 3))):
        for lesion, size in enumerate(draw(st.lists(st.integers(0, 5), min_size=1, max_size=12))):
            groups += [f"l{label}-{lesion}"] * size or [""]
            labels += [label] * max(size, 1)
    order = draw(st.permutations(range(len(groups))))
    return ImageSet(
        np.zeros((len(groups), 1, 1, 3), np.uint8),
        np.array(labels, np.int64)[list(order)],
        CLASSES[: max(labels) + 1],
        tuple(f"image{number}.png" for number in range(len(groups))),
        tuple(groups[place] for place in order),
    )


@settings(max_examples=30)
@given(image_sets(), st.floats(0.01, 1), st.integers(0, 2**62))
def test_a_draw_has_whole_lesions_and_its_share_of_every_class(images, share, seed):
    rows = sample_real(images, share, seed)
    assert sorted(set(rows.tolist())) == rows.tolist()
    lesions = np.array(lesions_of(images))
    assert not set(lesions[rows]) & set(np.delete(lesions, rows))
    for label in range(len(images.classes)):
        there = int((images.labels_N == label).sum())
        drawn = int((images.labels_N[rows] == label).sum())
        # At most what is left of the lesion in which the share was reached: lesions have up to five images.
        assert max(1, round(share * there)) <= drawn <= max(1, round(share * there)) + 4
    assert rows.tolist() == sample_real(images, share, seed).tolist()


@settings(max_examples=20)
@given(image_sets(), st.integers(0, 2**62))
def test_a_class_is_drawn_alike_whatever_other_classes_there_are(images, seed):
    whole = sample_real(images, 0.4, seed)
    of_class = np.flatnonzero(images.labels_N == 0)
    alone = sample_real(images.take(of_class), 0.4, seed)
    assert of_class[alone].tolist() == [row for row in whole.tolist() if images.labels_N[row] == 0]


def test_seeds_draw_different_images_and_each_image_about_equally_often():
    images = ImageSet(
        np.zeros((300, 1, 1, 3), np.uint8),
        np.zeros(300, np.int64),
        ("NV",),
        tuple(f"{number}.png" for number in range(300)),
        tuple(f"l{number // 3}" for number in range(300)),
    )
    drawn = np.zeros(300)
    for seed in range(400):
        drawn[sample_real(images, 0.1, seed)] += 1
    # Binomial with n = 400 and p = 0.1: 40 +- 6; six standard deviations around it.
    assert drawn.min() > 4 and drawn.max() < 76
    assert abs(drawn.mean() - 40) < 0.5


@pytest.fixture(scope="module")
def isic(tmp_path_factory):
    """A folder in the layout of ISIC 2019 with 240 images of 120 lesions."""
    root = tmp_path_factory.mktemp("isic")
    numbers = np.random.default_rng(0)
    truth, metadata = [], []
    (root / "ISIC_2019_Training_Input").mkdir()
    for number in range(240):
        name, label = f"ISIC_{number:07d}", (number // 2) % 3
        pixels = numbers.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / "ISIC_2019_Training_Input" / f"{name}.png")
        others = ["0.0"] * 6
        truth.append([name, *("1.0" if label == place else "0.0" for place in range(3)), *others])
        # Images of one lesion do not lie beside each other, and one lesion in six is unknown.
        lesion = (number * 7) % 240 // 2
        metadata.append([name, "50", "back", "" if lesion % 6 == 0 else f"L{label}-{number // 6 // 2}", "male"])
    for name, head, rows in (
        ("GroundTruth", "image,MEL,NV,BCC,AK,BKL,DF,VASC,SCC,UNK", truth),
        ("Metadata", "image,age_approx,anatom_site_general,lesion_id,sex", metadata),
    ):
        with (root / f"ISIC_2019_Training_{name}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(head.split(","))
            writer.writerows(rows)
    return root


def test_the_parts_share_no_lesion_and_together_are_everything(isic, tmp_path):
    data = DataConfig(
        path=str(isic),
        resolution=16,
        validation_fraction=0.25,
        test_fraction=0.25,
        cache_dir=str(tmp_path),
        class_name=None,
    )
    classes = match_classes(data, "nv,MEL , bcc")
    assert classes == ("NV", "MEL", "BCC")
    parts = {part: read_split(data, part, classes) for part in SPLITS}
    lesions = {part: set(lesions_of(images)) for part, images in parts.items()}
    assert all(lesions.values())
    assert not any(lesions[a] & lesions[b] for a in SPLITS for b in SPLITS if a < b)
    names = [name for images in parts.values() for name in images.names]
    assert len(names) == len(set(names)) == 240
    for images in parts.values():
        assert images.classes == classes
        for name, label in zip(images.names, images.labels_N.tolist(), strict=True):
            number = int(name[-11:-4])
            assert classes[label] == CLASSES[(number // 2) % 3]
    for seed in range(20):
        train = parts["train"]
        drawn = {lesions_of(train)[row] for row in sample_real(train, 0.3, seed)}
        assert not drawn & (lesions["validation"] | lesions["test"])
    assert count_shared_pixels(parts["train"], parts["test"]) == 0
    assert count_shared_pixels(parts["train"], parts["train"]) == len(parts["train"])


def test_what_cannot_be_divided_or_told_apart_is_refused(isic, tmp_path):
    data = DataConfig(path=str(isic), resolution=16, cache_dir=str(tmp_path), test_fraction=0)
    with pytest.raises(UsageError, match="at least two classes"):
        match_classes(data, "MEL")
    with pytest.raises(UsageError, match="names a class twice"):
        match_classes(data, "MEL,mel")
    with pytest.raises(DataError, match="no class 'ABC'"):
        match_classes(data, "MEL,ABC")
    with pytest.raises(DataError, match=r"test split, class MEL: .*--test-fraction"):
        read_split(data, "test", CLASSES)


COUNTS = st.lists(st.integers(1, 400), min_size=2, max_size=6)


@settings(max_examples=30)
@given(COUNTS, st.floats(0, 0.95))
def test_alpha_is_the_share_of_generated_images_and_classes_keep_their_shares(real, alpha):
    made = generated_counts(real, alpha, "as-real")
    for ours, theirs in zip(made, real, strict=True):
        assert abs(ours - theirs * alpha / (1 - alpha)) <= 0.5
    # Each class is rounded, by at most half an image.
    wanted = sum(real) * alpha / (1 - alpha)
    assert abs(sum(made) - wanted) <= len(real) / 2


@settings(max_examples=40)
@given(st.lists(st.integers(1, 6), min_size=2, max_size=3), st.sampled_from([0.1, 0.3, 0.5]))
def test_balanced_is_the_most_even_of_all_ways_to_give_as_many(real, alpha):
    made = generated_counts(real, alpha, "balanced")
    total = round(sum(real) * alpha / (1 - alpha))
    assert sum(made) == total and min(made) >= 0
    ways = [way for way in itertools.product(range(total + 1), repeat=len(real)) if sum(way) == total]
    spread = min(np.var(np.add(way, real)) for way in ways)
    assert np.var(np.add(made, real)) == pytest.approx(spread)


def test_the_paper_counts_and_a_balanced_half():
    assert generated_counts([411, 1142, 332], 0.5, "as-real") == [411, 1142, 332]
    assert generated_counts([411, 1142, 332], 0.0, "as-real") == [0, 0, 0]
    assert generated_counts([10, 30], 0.5, "balanced") == [30, 10]


@settings(max_examples=30)
@given(COUNTS, st.integers(0, 2**62))
def test_oversampling_makes_all_classes_equal_and_repeats_evenly(counts, seed):
    labels = np.repeat(np.arange(len(counts)), counts)
    rows = oversample(labels, seed)
    assert np.bincount(labels[rows]).tolist() == [max(counts)] * len(counts)
    times = np.bincount(rows, minlength=len(labels))
    for label in range(len(counts)):
        found = times[labels == label]
        assert found.min() >= 1 and found.max() - found.min() <= 1
    assert rows.tolist() == oversample(labels, seed).tolist()


def test_a_condition_decides_what_is_trained_on():
    numbers = np.random.default_rng(0)
    real = ImageSet(
        numbers.integers(0, 256, (5, 2, 2, 3), dtype=np.uint8),
        np.array([0, 0, 0, 1, 1]),
        ("a", "b"),
        tuple("12345"),
        ("",) * 5,
    )
    made = [numbers.integers(0, 256, (count, 2, 2, 3), dtype=np.uint8) for count in (2, 1)]
    for kind in ("none", "traditional"):
        images, labels = training_images(Condition(kind), real, [], 0)
        assert np.array_equal(images, real.images_NHWC) and labels.tolist() == [0, 0, 0, 1, 1]
    images, labels = training_images(Condition("oversample"), real, [], 0)
    assert np.bincount(labels).tolist() == [3, 3]
    known = {pixels.tobytes() for pixels in real.images_NHWC}
    assert {pixels.tobytes() for pixels in images} == known
    for kind in ("generated", "traditional+generated"):
        images, labels = training_images(Condition(kind, "g", 0.4), real, made, 0)
        assert labels.tolist() == [0, 0, 0, 1, 1, 0, 0, 1]
        assert np.array_equal(images[5:7], made[0]) and np.array_equal(images[7], made[1][0])
    assert Condition("traditional").traditional and Condition("traditional+generated", "g", 0.4).traditional
    assert not Condition("generated", "g", 0.4).traditional
    slugs = [
        Condition(kind, "g", alpha).slug for kind in ("generated", "traditional+generated") for alpha in (0.1, 0.25)
    ]
    assert len(set(slugs)) == 4
