"""How many images of which class a training set gets."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qgan_qiskit.data import ImageSet
from qgan_qiskit.study.augment.amounts import generated_counts
from qgan_qiskit.study.augment.conditions import Condition, oversampled, training_images

COUNTS = st.lists(st.integers(1, 400), min_size=2, max_size=6)


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
    rows = oversampled(labels, seed)
    assert np.bincount(labels[rows]).tolist() == [max(counts)] * len(counts)
    times = np.bincount(rows, minlength=len(labels))
    for label in range(len(counts)):
        found = times[labels == label]
        assert found.min() >= 1 and found.max() - found.min() <= 1
    assert rows.tolist() == oversampled(labels, seed).tolist()


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
