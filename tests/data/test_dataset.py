"""ImageSet: choosing, counting, and a digest that changes exactly with what it stands for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qgan_qiskit.data import ImageSet
from qgan_qiskit.errors import DataError


def made(labels: list[int], classes: tuple[str, ...] = ("NV", "Mel", "bcc")) -> ImageSet:
    images = np.random.default_rng(len(labels)).integers(0, 256, (len(labels), 4, 4, 3), dtype=np.uint8)
    names = tuple(f"image {row}" for row in range(len(labels)))
    return ImageSet(images, np.array(labels, np.int64), classes, names, tuple(f"g{row}" for row in labels), ("a note",))


@given(labels=st.lists(st.integers(0, 2), max_size=20), wanted=st.sampled_from(["nv", "NV", "mel", "MEL", "Bcc"]))
def test_select_keeps_the_images_of_the_class_in_order(labels, wanted):
    whole = made(labels)
    index = [name.lower() for name in whole.classes].index(wanted.lower())
    rows = [row for row, label in enumerate(labels) if label == index]
    part = whole.select(wanted)
    assert part.classes == (whole.classes[index],) and part.labels_N.tolist() == [0] * len(rows)
    assert part.names == tuple(f"image {row}" for row in rows) and part.groups == (f"g{index}",) * len(rows)
    np.testing.assert_array_equal(part.images_NHWC, whole.images_NHWC[rows])
    assert whole.counts()[whole.classes[index]] == len(part) == sum(part.counts().values())


@given(labels=st.lists(st.integers(0, 2), max_size=20), limit=st.integers(1, 6))
def test_limit_keeps_so_many_of_each_class_in_order(labels, limit):
    whole = made(labels)
    part = whole.limit(limit)
    assert list(part.counts().values()) == [min(number, limit) for number in whole.counts().values()]
    rows = [int(name.removeprefix("image ")) for name in part.names]
    assert rows == sorted(rows)
    assert part.labels_N.tolist() == [labels[row] for row in rows] and part.classes == ("NV", "Mel", "bcc")
    np.testing.assert_array_equal(part.images_NHWC, whole.images_NHWC[rows])


@given(
    labels=st.lists(st.integers(0, 2), max_size=20),
    order=st.permutations(["bcc", "nv", "MEL"]),
    count=st.integers(1, 3),
)
def test_several_classes_are_numbered_in_the_order_asked_for(labels, order, count):
    whole, wanted = made(labels), order[:count]
    part = whole.select_classes(wanted)
    assert [name.lower() for name in part.classes] == [name.lower() for name in wanted]
    kept = [row for row, label in enumerate(labels) if whole.classes[label].lower() in map(str.lower, wanted)]
    assert part.names == tuple(f"image {row}" for row in kept)
    assert [part.classes[label] for label in part.labels_N] == [whole.classes[labels[row]] for row in kept]
    np.testing.assert_array_equal(part.images_NHWC, whole.images_NHWC[kept])


def test_an_unknown_class_is_refused_with_those_there_are():
    with pytest.raises(DataError, match=r"no class 'SCC' in the data: choose one of NV, Mel, bcc, or 'all'"):
        made([0, 1]).select("SCC")


def test_digest_stands_for_images_labels_and_class_names():
    whole = made([0, 1, 2, 0])
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
def test_parts_that_do_not_fit_are_refused(fields):
    with pytest.raises(ValueError, match=r"images|labels"):
        replace(made([0, 1]), **fields)


def test_limit_zero_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        made([0]).limit(0)
