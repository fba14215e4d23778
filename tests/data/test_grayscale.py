"""Gray images: Pillow's luma to the level, three equal channels, one channel for the networks."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from qgan_qiskit.config import DataConfig
from qgan_qiskit.data import Batches, ImageSet, read_images, to_uint8


def set_of(images_NHWC: np.ndarray) -> ImageSet:
    count = len(images_NHWC)
    return ImageSet(images_NHWC, np.zeros(count, np.int64), ("x",), ("n",) * count, ("",) * count, ("a note",))


@given(count=st.integers(0, 3), side=st.integers(1, 9), seed=st.integers(0, 1000))
def test_equals_pillows(count, side, seed):
    images = np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    gray = set_of(images).to_grayscale()
    assert gray.images_NHWC.shape == images.shape
    for image_HWC, gray_HWC in zip(images, gray.images_NHWC, strict=True):
        luma_HW = np.asarray(Image.fromarray(image_HWC).convert("L"))
        np.testing.assert_array_equal(gray_HWC, np.repeat(luma_HW[..., None], 3, axis=2))
    np.testing.assert_array_equal(gray.to_grayscale().images_NHWC, gray.images_NHWC)
    assert gray.notes == ("a note",)


def test_every_color_of_a_coarse_cube():
    levels = np.arange(0, 256, 5, dtype=np.uint8)
    cube = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, len(levels), 3)
    luma_HW = np.asarray(Image.fromarray(cube[0]).convert("L"))
    np.testing.assert_array_equal(set_of(cube).to_grayscale().images_NHWC[0, ..., 1], luma_HW)


def test_more_images_than_are_converted_at_a_time():
    images = np.random.default_rng(0).integers(0, 256, (600, 2, 2, 3), dtype=np.uint8)
    gray = set_of(images).to_grayscale().images_NHWC
    np.testing.assert_array_equal(gray[:, 0, :, 0], np.asarray(Image.fromarray(images[:, 0]).convert("L")))


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
