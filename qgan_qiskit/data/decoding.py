"""Image files and arrays to RGB squares of one size; every unreadable file is found and named before training starts.

Shape letters: N images, H W height and width, C color channels.
"""

from __future__ import annotations

import hashlib
import io
import os
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError
from tqdm import tqdm

from qgan_qiskit.config import DataConfig
from qgan_qiskit.data.dataset import ImageSet
from qgan_qiskit.data.files import Files, UnreadableError, printable
from qgan_qiskit.data.layouts.listing import Listing
from qgan_qiskit.errors import DataError
from qgan_qiskit.memory import check_memory_for_images

# Registers all decoders once, before several threads would.
Image.init()
# Formats that are decoded in this process. EPS and PDF would start another program on the user's file.
FORMATS = ("JPEG", "PNG", "BMP", "DIB", "GIF", "TIFF", "WEBP", "PPM")
# Beyond this many pixels Pillow warns of a decompression bomb; here it is an error.
MAX_PIXELS = 2**30 // 12
# Bits per value that cameras and scanners use in files of 16 bits.
_DEPTHS = (8, 10, 12, 14, 16)
_TIFF_BITS_PER_SAMPLE, _TIFF_MAX_SAMPLE_VALUE, _EXIF_ORIENTATION = 258, 281, 0x0112
# EXIF orientation -> the operation that makes the image upright.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Images per task of a thread: enough to make the hand-over cheap, few enough for a smooth progress bar.
_CHUNK = 64
_MAX_NAMES = 50

Fit = Literal["crop", "pad", "stretch"]


@dataclass(frozen=True)
class PixelFormat:
    """What a file says about its pixels.

    Attributes:
        square: whether the stored image is square.
        depth: bits by which values wider than a byte were scaled to 0..255; 0 for bytes.
        declared: whether the file itself declares its number of bits.
    """

    square: bool
    depth: int
    declared: bool


def decode_listing(files: Files | None, listing: Listing, config: DataConfig) -> ImageSet:
    """Decode every image of ``listing``, in its order.

    Args:
        files: what the names of the listing are read from; None if its pixels lie in arrays.
        listing: names, classes, groups and splits.
        config: ``resolution``, ``fit`` and ``skip_bad`` apply.

    Raises:
        DataError: images cannot be read (all are counted, the first are named), none is left, or they do not fit into
            memory.
    """
    check_memory_for_images(len(listing.names), config.resolution)
    if files is not None and listing.load_pixels is None:
        return _decode_files(files, listing, config)
    assert listing.load_pixels is not None
    pixels_of = listing.load_pixels()
    images_NHWC = np.empty((len(listing.names), config.resolution, config.resolution, 3), np.uint8)
    for image_HWC, name in zip(images_NHWC, listing.names, strict=True):
        pixels_HWC = pixels_of[name]
        rgb_HWC = np.ascontiguousarray(np.broadcast_to(pixels_HWC, (*pixels_HWC.shape[:2], 3)))
        image_HWC[:] = _to_square(Image.fromarray(rgb_HWC), config.resolution, config.fit)
    return _to_image_set(listing, images_NHWC)


def _to_image_set(listing: Listing, images_NHWC: np.ndarray) -> ImageSet:
    return ImageSet(
        images_NHWC=images_NHWC,
        labels_N=listing.label_indices(),
        classes=listing.classes,
        names=tuple(listing.names),
        groups=tuple(listing.groups),
        notes=listing.notes,
        splits=tuple(listing.splits),
        layout=listing.layout,
    )


def _decode_files(files: Files, listing: Listing, config: DataConfig) -> ImageSet:
    names, resolution = list(listing.names), config.resolution
    images_NHWC = np.zeros((len(names), resolution, resolution, 3), np.uint8)
    formats: dict[int, PixelFormat] = {}

    def decode_row(row: int, min_depth: int) -> None:
        images_NHWC[row], formats[row] = decode_image(files.read(names[row]), resolution, config.fit, min_depth)

    bad = _run_threads(lambda row: decode_row(row, 0), range(len(names)))
    # One scale for all files: brightness must not depend on the largest value of a file.
    depth = max((each.depth for each in formats.values() if not each.declared), default=0)
    darker = [row for row, each in sorted(formats.items()) if 0 < each.depth < depth and not each.declared]
    bad += _run_threads(lambda row: decode_row(row, depth), darker)
    reason_of = dict(bad)
    good = [row for row in range(len(names)) if row not in reason_of]
    if bad and not config.skip_bad:
        raise DataError(
            f"{len(bad):,} of {len(names):,} images cannot be read: {_join_bad(names, bad)}; "
            "repair or remove them, or leave them out with --skip-bad"
        )
    if not good:
        root = printable(str(files.root))
        raise DataError(f"none of the {len(names):,} images of {root} can be read: {_join_bad(names, bad)}")
    kept = listing
    if bad:
        check_memory_for_images(len(good), resolution)
        images_NHWC, kept = images_NHWC[good], listing.take(good)
    notes = [f"left out {len(bad):,} unreadable images"] if bad else []
    notes += [f"left out {printable(names[row])}: {reason}" for row, reason in bad]
    lost = [name for name in listing.classes if name not in kept.classes]
    notes += [f"left out class {printable(name)}: none of its images can be read" for name in lost]
    found = [formats[row] for row in good]
    notes += [*_note_formats(found, config.fit), *_note_equal_pixels(images_NHWC, kept)]
    return _to_image_set(kept.with_notes(*notes), images_NHWC)


def _run_threads(decode_row: Callable[[int], None], rows: Sequence[int]) -> list[tuple[int, str]]:
    """Decode rows in threads (Pillow releases the GIL); return row and reason of each unreadable image."""

    def decode_chunk(start: int) -> list[tuple[int, str]]:
        bad = []
        for row in rows[start : start + _CHUNK]:
            try:
                decode_row(row)
            except UnreadableError as error:
                bad.append((row, str(error)))
        return bad

    bad: list[tuple[int, str]] = []
    with (
        warnings.catch_warnings(),
        ThreadPoolExecutor(min(os.cpu_count() or 1, 16)) as pool,
        tqdm(total=len(rows), desc="reading images", unit="", leave=False, disable=None) as bar,
    ):
        # Pillow's warnings about single files would flood the screen; only that about bombs matters.
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for found in pool.map(decode_chunk, range(0, len(rows), _CHUNK)):
            bad += found
            bar.update(min(_CHUNK, len(rows) - bar.n))
    return bad


def _join_bad(names: list[str], bad: list[tuple[int, str]]) -> str:
    more = f", and {len(bad) - _MAX_NAMES:,} more" if len(bad) > _MAX_NAMES else ""
    return ", ".join(f"{printable(names[row])} ({reason})" for row, reason in bad[:_MAX_NAMES]) + more


def _note_formats(formats: Sequence[PixelFormat], fit: Fit) -> list[str]:
    others = sum(not each.square for each in formats)
    what = {"crop": "cropped to their central squares", "pad": "padded with black", "stretch": "stretched to squares"}
    notes = [f"{others:,} images are not square and were {what[fit]} (--fit {fit})"] if others else []
    for (depth, declared), number in sorted(Counter((each.depth, each.declared) for each in formats).items()):
        if depth:
            why = "as the files declare" if declared else "the fewest usual bits that hold all of them"
            notes.append(
                f"{number:,} images have values of 16 or more bits, which were scaled from 0 to {(1 << depth) - 1:,}: "
                f"{depth} bits, {why}"
            )
    return notes


def _note_equal_pixels(images_NHWC: np.ndarray, listing: Listing) -> list[str]:
    """Return notes on images that have exactly the pixels of an earlier one (they are kept)."""
    names, labels = listing.names, listing.labels
    first_N = first_equal(images_NHWC).tolist()
    pairs = [(row, first) for row, first in enumerate(first_N) if first != row]
    conflicts = [(row, first) for row, first in pairs if labels[row] != labels[first]]
    notes = []
    if pairs:
        row, first = pairs[0]
        notes.append(
            f"{len(pairs):,} images have exactly the pixels of another and are kept, such as {printable(names[row])} "
            f"and {printable(names[first])}"
        )
    if conflicts:
        row, first = conflicts[0]
        notes.append(
            f"{len(conflicts):,} of these are of another class than their duplicate, such as {printable(names[row])} "
            f"({printable(labels[row])}) and {printable(names[first])} ({printable(labels[first])}): check their labels"
        )
    return notes


def first_equal(images_NHWC: np.ndarray) -> np.ndarray:
    """Return for each image the first row with exactly its pixels, int64 of shape (N,)."""
    first_of: dict[bytes, int] = {}
    digests = (hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest() for image in images_NHWC)
    return np.array([first_of.setdefault(digest, row) for row, digest in enumerate(digests)], np.int64)


def decode_image(
    content: bytes, resolution: int, fit: Fit = "crop", min_depth: int = 0
) -> tuple[np.ndarray, PixelFormat]:
    """Decode one image file.

    The first frame is turned upright by its EXIF orientation, laid over black where it is transparent (dermoscopes leave
    their surround black), made square and resized with Pillow's antialiased Lanczos filter. A square of the wanted size keeps
    its pixels.

    Files of 16 bits often use only the lower 10, 12 or 14. Some formats declare how many; otherwise it is the fewest that hold
    the largest value, but never fewer than ``min_depth``.

    Args:
        content: the file's bytes.
        resolution: side of the result in pixels.
        fit: crop to the central square, pad with black, or stretch.
        min_depth: fewest bits of values wider than a byte, for files that do not declare their bits.

    Returns:
        uint8 of shape (resolution, resolution, 3), 0 to 255, and what the file says about its pixels.

    Raises:
        UnreadableError: the bytes are not a complete image of a known format.
    """
    if not content:
        raise UnreadableError("empty file")
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise UnreadableError(f"{width:,} x {height:,} pixels, more than {MAX_PIXELS:,}: a decompression bomb")
            if image.format == "PNG":
                # Loading skips the checksums of the pixel chunks; verify() reads them all but makes its image unusable.
                with Image.open(io.BytesIO(content), formats=("PNG",)) as check:
                    check.verify()
            # JPEG only: decode at 1/2, 1/4 or 1/8 if that leaves at least twice the wanted size to filter from.
            image.draft(None, (2 * resolution, 2 * resolution))
            bits, raw_mode = _declared_bits(image, content), _raw_mode(image)
            image.load()
            turn = _orientation(image)
            rgb, depth = _to_rgb(image, content, raw_mode, bits or min_depth)
            upright = rgb if turn is None else rgb.transpose(turn)
            return _to_square(upright, resolution, fit), PixelFormat(width == height, depth, bits > 0)
    except UnreadableError:
        raise
    except UnidentifiedImageError as error:
        raise UnreadableError("not an image of a known format") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UnreadableError("a decompression bomb") from error
    # On damaged bytes Pillow's decoders raise nearly anything: struct.error, SyntaxError, ...
    except Exception as error:
        raise UnreadableError(f"damaged: {' '.join(str(error).split()) or type(error).__name__}") from error


def _orientation(image: Image.Image) -> Image.Transpose | None:
    """Return the operation that EXIF asks for; to be called after loading, as Pillow turns TIFF images itself."""
    try:
        return _UPRIGHT.get(image.getexif().get(_EXIF_ORIENTATION, 1))
    except Exception:  # A broken EXIF block raises nearly anything, and the pixels are good without it.
        return None


def _declared_bits(image: Image.Image, content: bytes) -> int:
    """Return the bits per value that a file of 16 declares to use, 0 where it does not."""
    if image.format == "PPM":
        return _DEPTHS[-1]  # Its header has the largest value, and Pillow has scaled by it.
    if image.format == "TIFF":
        tags = image.getexif()
        bits, largest = tags.get(_TIFF_BITS_PER_SAMPLE, 0), tags.get(_TIFF_MAX_SAMPLE_VALUE, 0)
        bits, largest = (max(value) if isinstance(value, tuple) else value for value in (bits, largest))
        if 8 < largest.bit_length() < _DEPTHS[-1]:
            return largest.bit_length()
        return bits if 8 < bits < _DEPTHS[-1] else 0
    if image.format == "PNG":
        # Significant bits are in a chunk before the pixels: length, name, one byte per channel.
        chunk = content.find(b"sBIT", 0, content.find(b"IDAT"))
        bits = content[chunk + 4] if chunk > 0 else 0
        return bits if 8 < bits <= _DEPTHS[-1] else 0
    return 0


def _raw_mode(image: ImageFile.ImageFile) -> str:
    """Return how Pillow will read the pixels of an image that is not loaded yet."""
    arguments = image.tile[0].args if image.tile else ""
    return str(arguments[0] if isinstance(arguments, tuple) and arguments else arguments)


def _to_rgb(image: Image.Image, content: bytes, raw_mode: str, min_depth: int) -> tuple[Image.Image, int]:
    """Convert any mode to RGB; also return the bits by which values wider than a byte were scaled, 0 for bytes."""
    if image.mode == "F":
        raise UnreadableError("floating-point pixels, whose range is not known: save them with 8 or 16 bits")
    if image.mode.startswith("I"):
        values_HW = np.asarray(image).astype(np.int64)
        if values_HW.min() < 0 or values_HW.max() > 65535:
            raise UnreadableError("32-bit pixels outside 0 to 65535: save them with 16 bits")
        depth = max(min_depth, _min_bits(values_HW))
        return Image.fromarray(_to_bytes(values_HW, depth)).convert("RGB"), depth
    depth = 0
    if ";16" in raw_mode and image.mode in ("RGB", "RGBA"):
        # Pillow keeps the upper byte of each value. Where that is small, the lower ones are read as well.
        depth, upper_HWC = _DEPTHS[-1], np.asarray(image)
        if min_depth < _DEPTHS[-1] and upper_HWC[..., :3].max() < 1 << _DEPTHS[-2] - 8:
            values_HWC = upper_HWC[..., :3].astype(np.int64) << 8 | _read_lower_bytes(content)[..., :3]
            depth = max(min_depth, _min_bits(values_HWC))
            rgb = Image.fromarray(_to_bytes(values_HWC, depth))
            if image.mode == "RGBA":
                rgb.putalpha(image.getchannel("A"))
            image = rgb
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, (0, 0, 0, 255)), rgba)
    return image.convert("RGB"), depth


def _read_lower_bytes(content: bytes) -> np.ndarray:
    """Return the lower byte of 16-bit colors as (H, W, 3 or more), by reading them in the other byte order."""
    with Image.open(io.BytesIO(content), formats=FORMATS) as image:
        mode = _raw_mode(image)
        # Gray with transparency has no mode of the other byte order, but a pixel's four bytes can be read as four channels.
        other = "RGBA" if mode == "LA;16B" else mode[:-1] + ("L" if mode.endswith("B") else "B")
        arguments = image.tile[0].args
        arguments = (other, *arguments[1:]) if isinstance(arguments, tuple) else other
        image.tile = [tile._replace(args=arguments) for tile in image.tile]
        image.load()
        lower_HWC = np.asarray(image)
        return lower_HWC[..., [1, 1, 1]] if mode == "LA;16B" else lower_HWC


def _min_bits(values: np.ndarray) -> int:
    """Return the fewest of the usual bits that hold all values from 0 to 65535."""
    return next(bits for bits in _DEPTHS if int(values.max()) < 1 << bits)


def _to_bytes(values: np.ndarray, depth: int) -> np.ndarray:
    """Scale values of ``depth`` bits to uint8, rounded; the largest possible one becomes 255."""
    largest = (1 << depth) - 1
    return ((values * 255 + largest // 2) // largest).astype(np.uint8)


def _to_square(rgb: Image.Image, resolution: int, fit: Fit) -> np.ndarray:
    """Make a square of the wanted size; one that has it keeps its pixels."""
    size = (resolution, resolution)
    if fit == "pad" and rgb.width != rgb.height:
        scale = resolution / max(rgb.size)
        width, height = (max(1, round(side * scale)) for side in rgb.size)
        square = Image.new("RGB", size)
        inner = rgb.resize((width, height), Image.Resampling.LANCZOS)
        square.paste(inner, ((resolution - width) // 2, (resolution - height) // 2))
        return np.asarray(square)
    if fit == "crop":
        side = min(rgb.size)
        left, top = (rgb.width - side) // 2, (rgb.height - side) // 2
        rgb = rgb.crop((left, top, left + side, top + side))
    return np.asarray(rgb if rgb.size == size else rgb.resize(size, Image.Resampling.LANCZOS))
