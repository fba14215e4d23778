"""Batches: pure functions of seed and step, exact conversion, augmentation that only turns and flips."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qgan_qiskit.data import Batches, ImageSet, to_uint8, to_unit
from qgan_qiskit.errors import DataError


def make(count: int, side: int = 4) -> ImageSet:
    images = np.random.default_rng(count).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    images[:, 0, 0, 0] = np.arange(count)  # tells the images apart
    return ImageSet(images, np.zeros(count, np.int64), ("x",), ("",) * count, ("",) * count)


def test_all_levels_survive_there_and_back():
    levels = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3)
    unit_BCHW = to_unit(levels)
    assert unit_BCHW.dtype == torch.float32 and unit_BCHW.shape == (1, 3, 16, 16) and unit_BCHW.is_contiguous()
    assert unit_BCHW.min() == -1 and unit_BCHW.max() == 1
    torch.testing.assert_close(unit_BCHW[0, 1].flatten(), torch.linspace(-1, 1, 256), atol=1e-6, rtol=0)
    np.testing.assert_array_equal(to_uint8(unit_BCHW), levels)
    np.testing.assert_array_equal(to_uint8(unit_BCHW.double()), levels)


def test_channels_keep_their_places():
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 5, 3), dtype=np.uint8)
    unit_BCHW = to_unit(images)
    for b, h, w, c in np.ndindex(images.shape):
        assert unit_BCHW[b, c, h, w] == pytest.approx(images[b, h, w, c] / 127.5 - 1, abs=1e-6)


def test_values_outside_are_clamped_and_nan_is_refused():
    fake_BCHW = (
        torch.tensor([-9.0, -1.001, 0.0, 1.2, float("inf"), float("-inf")]).reshape(1, 1, 1, 6).repeat(1, 3, 1, 1)
    )
    fake_BCHW.requires_grad_()
    assert to_uint8(fake_BCHW)[0, 0, :, 0].tolist() == [0, 0, 128, 255, 255, 0]
    fake_BCHW = fake_BCHW.detach().clone()
    fake_BCHW[0, 2, 0, 3] = float("nan")
    with pytest.raises(ValueError, match="1 of 18 pixel values are NaN"):
        to_uint8(fake_BCHW)


@settings(deadline=None)
@given(count=st.integers(1, 30), batch=st.integers(1, 30), seed=st.integers(0, 2**63 - 1), epoch=st.integers(0, 10**6))
def test_an_epoch_uses_each_image_at_most_once(count, batch, seed, epoch):
    if batch > count:
        with pytest.raises(
            DataError, match=f"a batch of {batch} does not fit {count} images of class x: lower --batch-size"
        ):
            Batches(make(count), batch, seed)
        return
    batches = Batches(make(count), batch, seed, "none")
    assert batches.steps_per_epoch == count // batch
    first = epoch * batches.steps_per_epoch
    rows = np.concatenate([batches.indices(first + step) for step in range(batches.steps_per_epoch)])
    assert len(rows) == len(set(rows.tolist())) == count // batch * batch and set(rows.tolist()) <= set(range(count))


@pytest.mark.parametrize("augment", ["none", "flip", "dihedral"])
def test_any_step_can_be_asked_for_on_its_own(augment):
    images = make(50)
    forwards = Batches(images, 8, 7, augment)
    stream = [forwards.batch(step) for step in range(40)]
    assert forwards.steps_per_epoch == 6
    for step in (39, 0, 17, 6, 5, 38):
        assert torch.equal(Batches(images, 8, 7, augment).batch(step), stream[step])
        assert torch.equal(forwards.batch(step), stream[step])


def test_epochs_seeds_and_sizes_give_different_orders():
    orders = [Batches(make(60), 60, seed, "none").indices(epoch).tolist() for seed in range(5) for epoch in range(5)]
    assert len({tuple(order) for order in orders}) == 25


def test_the_order_is_uniform():
    # 3,000 epochs of 6 images: each image is first about 500 times; 5 sigma of the binomial is 102.
    batches = Batches(make(6), 6, 11, "none")
    first = np.bincount([batches.indices(epoch)[0] for epoch in range(3000)], minlength=6)
    assert np.abs(first - 500).max() < 102


EIGHT = [lambda x, k=k, f=f: np.rot90(x[:, ::-1] if f else x, k) for k in range(4) for f in (False, True)]


@pytest.mark.parametrize(
    ("augment", "allowed"),
    [("none", EIGHT[:1]), ("flip", EIGHT[:2]), ("dihedral", EIGHT)],
    ids=["none", "flip", "dihedral"],
)
def test_augmentation_samples_each_symmetry_equally_often_and_nothing_else(augment, allowed):
    images = make(40)
    batches = Batches(images, 40, 3, augment)
    drawn = np.zeros(len(allowed), int)
    for step in range(40):
        for image_HWC, row in zip(to_uint8(batches.batch(step)), batches.indices(step), strict=True):
            (turn,) = [
                n for n, turned in enumerate(allowed) if np.array_equal(turned(images.images_NHWC[row]), image_HWC)
            ]
            drawn[turn] += 1
    expected = 1600 / len(allowed)
    assert np.abs(drawn - expected).max() < 5 * np.sqrt(expected) + 1e-9 * len(allowed)


def test_the_images_themselves_stay_as_they_are():
    images = make(16)
    images.images_NHWC.flags.writeable = False  # as the cache's memory map
    before = images.images_NHWC.copy()
    Batches(images, 16, 0, "dihedral").batch(0)
    np.testing.assert_array_equal(images.images_NHWC, before)
