"""Values of 10, 12 and 14 bits in files of 16, against arithmetic on the numbers that were written."""

import struct
import zlib

import numpy as np
import pytest
from data_sources import MemoryFiles, decode, encoded
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from qgan_qiskit.config import DataConfig
from qgan_qiskit.data import read_images
from qgan_qiskit.data.decoding import decode_listing
from qgan_qiskit.data.layouts.class_folders import list_class_folders

COLORS = {1: 0, 2: 4, 3: 2, 4: 6}


def png16(values: np.ndarray, significant: int = 0) -> bytes:
    """Write a 16-bit PNG of (H, W, channels), which Pillow cannot."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    height, width, channels = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", width, height, 16, COLORS[channels], 0, 0, 0)
    bits = chunk(b"sBIT", bytes([significant] * channels)) if significant else b""
    body = chunk(b"IHDR", head) + bits + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def values_up_to(most: int, channels: int, seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).integers(0, most + 1, (16, 16, channels))
    values[0, 0] = most
    return values


def scaled(values: np.ndarray, bits: int) -> np.ndarray:
    return np.rint(values * (255 / (2**bits - 1)))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_the_fewest_bits_that_hold_the_values_are_white(bits, channels):
    values = values_up_to(2**bits - 1, channels)
    if channels in (2, 4):
        values[..., -1] = 65535
    found = decode(png16(values), 16).astype(int)
    colors = values[..., : 3 if channels > 2 else 1]
    # Of colors that use all 16 bits Pillow takes the upper byte.
    assert np.abs(found - scaled(colors, bits)).max() <= (bits == 16 and channels > 1)


@given(most=st.integers(0, 65535))
def test_gray_values_are_scaled_by_the_bits_that_hold_them(most):
    values = values_up_to(most, 1)
    bits = next(bits for bits in (8, 10, 12, 14, 16) if most < 2**bits)
    np.testing.assert_array_equal(decode(png16(values), 16), np.repeat(scaled(values, bits), 3, axis=2))


@pytest.mark.parametrize(
    "content",
    [
        lambda values: png16(values, significant=12),
        lambda values: b"P5 16 16 4095\n" + values.astype(">u2").tobytes(),
        lambda values: encoded(Image.fromarray(values[..., 0].astype(np.uint16)), "TIFF", tiffinfo={281: 4095}),
    ],
    ids=["sBIT", "PGM", "MaxSampleValue"],
)
def test_a_file_that_says_its_bits_is_believed(content):
    values = values_up_to(900, 1)
    assert np.abs(decode(content(values), 16) - scaled(values, 12)).max() <= 1


@pytest.mark.parametrize("kind", [np.uint16, np.int32])
def test_one_depth_for_all_files_of_a_source(kind, tree, settings):
    """A dark image of 12 bits must not become as bright as the others: the largest value of all decides."""
    all_values = [values_up_to(most, 1, most) for most in (3900, 4095, 900, 60)]
    files = {
        f"x/{row}.tif": encoded(Image.fromarray(values[..., 0].astype(kind)), "TIFF")
        for row, values in enumerate(all_values)
    }
    images = read_images(settings(tree(files)))
    for image, values in zip(images.images_NHWC, all_values, strict=True):
        np.testing.assert_array_equal(image, np.repeat(scaled(values, 12), 3, axis=2))
    (note,) = images.notes
    assert note.startswith("4 images have values of 16 or more bits, which were scaled from 0 to 4,095: 12 bits")


def test_files_of_bytes_have_no_note_and_keep_their_values(tree, settings, png):
    images = read_images(settings(tree({"x/1.png": png(1), "x/2.png": png16(values_up_to(4095, 1))})))
    assert len(images.notes) == 1 and images.notes[0].startswith("1 images have values of 16")
    np.testing.assert_array_equal(images.images_NHWC[0], decode(png(1), 16))


FITS = ("crop", "pad", "stretch")


@pytest.mark.parametrize("fit", FITS)
def test_other_shapes_become_squares_as_asked(fit, tree, settings, png):
    root = tree({"x/high.png": png(1, (20, 40)), "x/square.png": png(2), "x/wide.png": png(3, (48, 16))})
    images = read_images(settings(root, fit=fit))
    pictures = [Image.open(root / name).convert("RGB") for name in images.names]
    high, square, wide = images.images_NHWC
    np.testing.assert_array_equal(square, np.asarray(pictures[1]))
    lanczos = Image.Resampling.LANCZOS
    if fit == "crop":
        np.testing.assert_array_equal(high, pictures[0].crop((0, 10, 20, 30)).resize((16, 16), lanczos))
        np.testing.assert_array_equal(wide, np.asarray(pictures[2])[:, 16:32])
    elif fit == "stretch":
        np.testing.assert_array_equal(high, pictures[0].resize((16, 16), lanczos))
        np.testing.assert_array_equal(wide, pictures[2].resize((16, 16), lanczos))
    else:
        np.testing.assert_array_equal(high[:, 4:12], pictures[0].resize((8, 16), lanczos))
        np.testing.assert_array_equal(wide[5:10], pictures[2].resize((16, 5), lanczos))
        assert not high[:, :4].any() and not high[:, 12:].any() and not wide[:5].any() and not wide[10:].any()
    (note,) = images.notes
    assert note.startswith("2 images") and f"--fit {fit}" in note
    # The second start reads the same from the cache, and other settings do not.
    again = read_images(settings(root, fit=fit))
    assert again.digest == images.digest and again.notes == images.notes


@given(
    width=st.integers(1, 90),
    height=st.integers(1, 90),
    value=st.integers(1, 255),
    fit=st.sampled_from(["pad", "stretch"]),
)
def test_any_shape_is_whole_in_its_square(width, height, value, fit):
    square = decode(encoded(Image.new("L", (width, height), value)), 16, fit)
    inner = (square == value).all(axis=2)
    rows, columns = inner.any(axis=1).sum(), inner.any(axis=0).sum()
    expected = (
        (16, 16) if fit == "stretch" else tuple(max(1, round(16 * s / max(width, height))) for s in (height, width))
    )
    assert (rows, columns) == expected and inner.sum() == rows * columns and not square[~inner].any()


def test_depths_of_a_listing_are_found_in_several_threads():
    content = {f"x/{row:03}.png": png16(values_up_to(4095 if row == 150 else 700, 1, row)) for row in range(200)}
    files = MemoryFiles(content)
    images = decode_listing(files, list_class_folders(files, DataConfig()), DataConfig(resolution=16))
    assert images.images_NHWC[150].max() == 255
    assert images.images_NHWC[0].max() == round(700 * 255 / 4095)
