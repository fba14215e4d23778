"""Fault list F7: files that are odd but good come out as the right pixels, bad ones are all named before training."""

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from data_sources import decode, encoded, picture
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from qgan_qiskit.data import read_images
from qgan_qiskit.data.decoding import MAX_PIXELS
from qgan_qiskit.data.files import UnreadableError
from qgan_qiskit.errors import DataError

GOOD = picture(1)
PIXELS = np.asarray(GOOD)


def _png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _png_of_size(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _png_chunk(b"IHDR", header)
        + _png_chunk(b"IDAT", zlib.compress(b""))
        + _png_chunk(b"IEND", b"")
    )


def _gray16() -> tuple[bytes, np.ndarray]:
    values = np.arange(256, dtype=np.uint16).reshape(16, 16) * 257
    return encoded(Image.fromarray(values)), np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, 2)


def _palette() -> tuple[bytes, np.ndarray]:
    image = GOOD.quantize(16)
    return encoded(image), np.asarray(image.convert("RGB"))


def _palette_with_alpha() -> tuple[bytes, np.ndarray]:
    image = Image.fromarray(np.tile(np.arange(16, dtype=np.uint8), (16, 1)), "L").convert("P")
    image.putpalette([value for index in range(16) for value in (10 * index, 255, 0)])
    expected = np.stack([np.tile(10 * np.arange(16), (16, 1)), np.full((16, 16), 255), np.zeros((16, 16))], -1)
    expected[:, 3] = 0  # entry 3 is transparent: the black below shows
    return encoded(image, transparency=3), expected.astype(np.uint8)


def _rgba() -> tuple[bytes, np.ndarray]:
    alpha = np.zeros((16, 16, 1), np.uint8)
    alpha[:, 8:] = 255
    return encoded(Image.fromarray(np.concatenate([PIXELS, alpha], 2))), PIXELS * (alpha > 0)


def _gray_alpha() -> tuple[bytes, np.ndarray]:
    gray_alpha = np.zeros((16, 16, 2), np.uint8)
    gray_alpha[:8] = (90, 255)
    gray_alpha[8:] = (90, 0)
    expected = np.zeros((16, 16, 3), np.uint8)
    expected[:8] = 90
    return encoded(Image.fromarray(gray_alpha, "LA")), expected


def _cmyk() -> tuple[bytes, np.ndarray]:
    # Ink levels 0 or full have an exact color: cyan 255 -> no red.
    ink = np.zeros((16, 16, 4), np.uint8)
    ink[..., 0] = 255
    return encoded(Image.fromarray(ink, "CMYK"), "TIFF"), np.tile(np.array([0, 255, 255], np.uint8), (16, 16, 1))


def _turned(kind: str) -> tuple[bytes, np.ndarray]:
    # Orientation 6: the stored rows are the upright picture's columns; show it turned by 90 degrees clockwise.
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(GOOD, kind, exif=exif), np.rot90(PIXELS, -1)


def _animated() -> tuple[bytes, np.ndarray]:
    first = GOOD.quantize(8)
    rest = [picture(2).quantize(8)]
    return encoded(first, "GIF", save_all=True, append_images=rest), np.asarray(first.convert("RGB"))


def _big_endian_tiff16() -> tuple[bytes, np.ndarray]:
    values = (np.arange(256, dtype=np.uint16).reshape(16, 16) * 257).astype(">u2")
    image = Image.frombytes("I;16B", (16, 16), values.tobytes())
    return encoded(image, "TIFF"), np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, 2)


def _broken_exif() -> tuple[bytes, np.ndarray]:
    return encoded(GOOD, exif=b"Exif\0\0MM\0*\xff\xff\xff\xff"), PIXELS


ODD = {
    "rgb.png": lambda: (encoded(GOOD), PIXELS),
    "png named jpg.jpg": lambda: (encoded(GOOD), PIXELS),
    "UPPER.PNG": lambda: (encoded(GOOD), PIXELS),
    "one bit.png": lambda: (encoded(GOOD.convert("1")), np.asarray(GOOD.convert("1").convert("RGB"))),
    "gray.png": lambda: (encoded(GOOD.convert("L")), np.repeat(np.asarray(GOOD.convert("L"))[..., None], 3, 2)),
    "gray16.png": _gray16,
    "gray16 big endian.tif": _big_endian_tiff16,
    "gray alpha.png": _gray_alpha,
    "palette.png": _palette,
    "palette alpha.png": _palette_with_alpha,
    "rgba.png": _rgba,
    "cmyk.tif": _cmyk,
    "turned.png": lambda: _turned("PNG"),
    "turned.tif": lambda: _turned("TIFF"),
    "turned.webp": lambda: (encoded(GOOD, "WEBP", lossless=True, exif=_exif(3)), np.rot90(PIXELS, 2)),
    "broken exif.png": _broken_exif,
    "animated.gif": _animated,
    "bmp.bmp": lambda: (encoded(GOOD, "BMP"), PIXELS),
    "one pixel.png": lambda: (encoded(Image.new("RGB", (1, 1), (1, 2, 3))), np.tile(np.uint8([1, 2, 3]), (16, 16, 1))),
    "one row.png": lambda: (encoded(Image.new("RGB", (400, 1), (9, 8, 7))), np.tile(np.uint8([9, 8, 7]), (16, 16, 1))),
    "wide.png": lambda: (encoded(picture(5, (40, 16))), np.asarray(picture(5, (40, 16)))[:, 12:28]),
    "high.png": lambda: (encoded(picture(6, (16, 31))), np.asarray(picture(6, (16, 31)))[7:23]),
    "läsion\nzwei '; rm.png": lambda: (encoded(GOOD), PIXELS),
}


def _exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def _bad_crc() -> bytes:
    content = bytearray(encoded(GOOD))
    content[content.index(b"IEND") - 5] ^= 1  # last byte of the checksum of the pixel chunk
    return bytes(content)


def _damaged_pixels() -> bytes:
    content = bytearray(encoded(picture(3, (64, 64))))
    content[len(content) // 2] ^= 0x10
    return bytes(content)


BAD = {
    "empty.jpg": (lambda: b"", "empty file"),
    "one byte.png": (lambda: b"\x89", "not an image"),
    "text.jpg": (lambda: b"<html>404 Not Found</html>", "not an image"),
    "zeros.png": (lambda: bytes(1000), "not an image"),
    "truncated.jpg": (lambda: encoded(picture(1, (64, 64)), "JPEG")[:-400], "truncated"),
    "header only.jpg": (lambda: encoded(picture(1, (64, 64)), "JPEG")[:300], ""),
    "truncated.png": (lambda: encoded(picture(1, (64, 64)))[:-400], ""),
    "truncated.gif": (lambda: encoded(GOOD, "GIF")[:60], ""),
    "truncated.tif": (lambda: encoded(GOOD, "TIFF")[:100], ""),
    "truncated.webp": (lambda: encoded(GOOD, "WEBP", lossless=True)[:100], ""),
    "crc.png": (_bad_crc, ""),
    "pixels.png": (_damaged_pixels, ""),
    "bomb.png": (lambda: _png_of_size(40_000, 40_000), "bomb"),
    "warned bomb.png": (lambda: _png_of_size(MAX_PIXELS // 1000 + 1, 1000), "bomb"),
    "postscript.png": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 16 16\n", "not an image"),
    "float.tif": (lambda: encoded(Image.new("F", (16, 16), 0.5), "TIFF"), "floating-point"),
    "int32.tif": (lambda: encoded(Image.new("I", (16, 16), 70_000), "TIFF"), "32-bit"),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_image_gives_the_right_pixels(name, tree, settings):
    content, expected = ODD[name]()
    images = read_images(settings(tree({name: content})))
    assert images.names == (name,)
    np.testing.assert_array_equal(images.images_NHWC[0], expected)


@pytest.mark.parametrize("name", BAD)
def test_bad_image_is_named_in_one_line_with_its_reason(name, tree, settings, png):
    make, reason = BAD[name]
    root = tree({"a good.png": png(1), name: make(), "z good.png": png(2)})
    with pytest.raises(DataError) as caught:
        read_images(settings(root))
    message = str(caught.value)
    assert message.startswith(f"1 of 3 images cannot be read: {name} (") and reason in message
    assert "--skip-bad" in message and "\n" not in message

    images = read_images(settings(root, skip_bad=True))
    assert images.names == ("a good.png", "z good.png")
    np.testing.assert_array_equal(images.images_NHWC, [np.asarray(picture(1)), np.asarray(picture(2))])
    assert any(name in note and reason in note for note in images.notes)


def test_the_fault_list_is_long_enough():
    assert len(ODD) + len(BAD) >= 24


def test_all_bad_files_are_counted_and_the_first_named(tree, settings, png):
    files = {f"c/{number:03}.png": b"" if number % 2 else png(number) for number in range(140)}
    with pytest.raises(
        DataError, match=r"^70 of 140 .* c/001\.png .*c/099\.png \(empty file\), and 20 more; "
    ) as caught:
        read_images(settings(tree(files)))
    assert "c/101.png" not in str(caught.value)


def test_a_strange_name_of_a_bad_file_stays_on_one_line(tree, settings):
    with pytest.raises(DataError) as caught:
        read_images(settings(tree({"two\nlines.png": b""})))
    assert "\n" not in str(caught.value) and r"two\nlines.png" in str(caught.value)


def test_a_name_that_is_no_text_is_read_and_cached(tree, settings, png):
    root = tree({})
    try:
        Path(root, os.fsdecode(b"\xff\xfe.png")).write_bytes(png(1))
    except OSError:
        pytest.skip("this file system takes no such names")
    first, second = (read_images(settings(root)) for _ in range(2))
    assert first.names == second.names and len(first) == 1


def test_broken_link_and_pipe_are_bad_files(tree, settings, png):
    root = tree({"good.png": png(1)})
    (root / "link.png").symlink_to(root / "gone.png")
    os.mkfifo(root / "pipe.png")
    with pytest.raises(DataError, match=r"2 of 3 .*link\.png \(broken link\), pipe\.png \(not a regular file\)"):
        read_images(settings(root))
    assert read_images(settings(root, skip_bad=True)).names == ("good.png",)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_a_bad_file_until_it_has_it(tree, settings, png):
    root = tree({"good.png": png(1), "shut.png": png(2)})
    (root / "shut.png").chmod(0)
    with pytest.raises(DataError, match=r"1 of 2 .*shut\.png \(permission denied\)"):
        read_images(settings(root))
    assert len(read_images(settings(root, skip_bad=True))) == 1
    (root / "shut.png").chmod(0o644)
    assert len(read_images(settings(root, skip_bad=True))) == 2


def test_links_to_files_and_folders_are_followed_and_loops_end(tree, settings, png):
    outside = tree({"x.png": png(1)}, "outside")
    root = tree({"a/1.png": png(2)})
    (root / "a" / "again").symlink_to(root)
    (root / "b").symlink_to(outside)
    assert read_images(settings(root)).counts() == {"a": 1, "b": 1}


def test_nothing_is_left_when_all_are_bad(tree, settings):
    with pytest.raises(DataError, match="none of the 1 images"):
        read_images(settings(tree({"a.png": b""}), skip_bad=True))


def test_a_class_without_readable_images_is_left_out_with_a_note(tree, settings, png):
    images = read_images(settings(tree({"a/1.png": png(1), "b/1.png": b"", "c/1.png": png(2)}), skip_bad=True))
    assert images.counts() == {"a": 1, "c": 1}
    assert "left out class b: none of its images can be read" in images.notes


def test_exact_copies_are_noted_and_kept(tree, settings, png):
    images = read_images(settings(tree({"a/1.png": png(1), "b/2.png": png(1), "b/3.png": png(2)})))
    assert len(images) == 3
    assert any(
        "1 images have exactly the pixels of another" in note and "b/2.png and a/1.png" in note for note in images.notes
    )


def test_a_bomb_is_refused_even_where_pillow_was_told_not_to_look(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    with pytest.raises(UnreadableError, match="40,000 x 40,000 pixels"):
        decode(_png_of_size(40_000, 40_000), 16)


def test_resizing_averages_instead_of_picking():
    # A chequerboard of single pixels has mean gray 127.5; picking pixels would give 0 or 255.
    board = np.indices((256, 256)).sum(0) % 2 * 255
    square = decode(encoded(Image.fromarray(board.astype(np.uint8))), 16)
    assert np.abs(square.astype(float) - 127.5).max() <= 2


def test_decoding_a_large_jpeg_at_part_size_changes_little():
    axis = np.linspace(0, 4 * np.pi, 512)
    waves = 127.5 + 100 * np.sin(axis)[:, None] * np.cos(axis)[None, :]
    content = encoded(Image.fromarray(waves.astype(np.uint8)).convert("RGB"), "JPEG", quality=95)
    whole = Image.open(io.BytesIO(content)).resize((32, 32), Image.Resampling.LANCZOS)
    assert np.abs(decode(content, 32).astype(int) - np.asarray(whole)).max() <= 4


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(1, 70), height=st.integers(1, 70), resolution=st.sampled_from([16, 32]), value=st.integers(0, 255)
)
def test_any_size_gives_a_square_of_the_same_even_color(width, height, resolution, value):
    square = decode(encoded(Image.new("L", (width, height), value)), resolution)
    assert square.shape == (resolution, resolution, 3) and square.dtype == np.uint8
    assert (square == value).all()


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_any_damage_is_refused_or_gives_a_square(data):
    kind = data.draw(st.sampled_from(["PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP"]))
    content = bytearray(encoded(GOOD, kind))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    del content[data.draw(st.integers(1, len(content))) :]
    try:
        assert decode(bytes(content), 16).shape == (16, 16, 3)
    except UnreadableError as error:
        assert str(error) and "\n" not in str(error)
