"""Color images to gray ones.

Shape letters: N images, H W height and width.

One image file of any kind -> an RGB square of the wanted size.

Pixels that already lie in an array -> an image set: how npz archives and CIFAR-10's batches end.

Shape letters: N images, H W height and width, C color channels.

Decode a whole listing in threads, and account for every file that cannot be read before training starts.

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
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError
from tqdm import tqdm

from qgan_qiskit.config import DataConfig
from qgan_qiskit.data.dataset import ImageSet
from qgan_qiskit.data.files import Files, UnreadableError, shown
from qgan_qiskit.data.layouts.listing import Listing
from qgan_qiskit.errors import DataError
from qgan_qiskit.memory import check_memory_for_images

# Weights of red, green and blue in luma (ITU-R 601-2) as 16-bit fractions, as Pillow's convert("L") has them.
_RED, _GREEN, _BLUE, _HALF = 19595, 38470, 7471, 1 << 15
# Images converted at a time, so that the wide integers stay small.
_BLOCK = 256


def to_grayscale(images: ImageSet) -> ImageSet:
    """Return the same images with all three channels equal to their luma; gray images stay as they are."""
    check_memory_for_images(len(images), images.images_NHWC.shape[1])
    gray_NHWC = np.empty_like(images.images_NHWC)
    for start in range(0, len(images), _BLOCK):
        block = images.images_NHWC[start : start + _BLOCK].astype(np.uint32)
        luma_NHW = (_RED * block[..., 0] + _GREEN * block[..., 1] + _BLUE * block[..., 2] + _HALF) >> 16
        gray_NHWC[start : start + _BLOCK] = luma_NHW[..., None]
    return replace(images, images_NHWC=gray_NHWC)


# The formats that are decoded inside this process. EPS and PDF would start another program on the user's file.
# Image.init() registers their decoders once, before threads would do it at the same time.
Image.init()
FORMATS = ("JPEG", "PNG", "BMP", "DIB", "GIF", "TIFF", "WEBP", "PPM")
# Pillow warns beyond this many pixels (a decompression bomb); here it is an error.
MAX_PIXELS = 2**30 // 12
# TIFF tags: bits per channel, and the largest value that is used.
BITS_PER_SAMPLE, LARGEST_VALUE = 258, 281
# EXIF orientation -> the turn that sets the picture upright.
ORIENTATION = 0x0112
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


Fit = Literal["crop", "pad", "stretch"]


@dataclass(frozen=True)
class Facts:
    """What a file says of its pixels.

    Attributes:
        square: whether the file's image is a square itself.
        depth: bits of its values, of which 255 is the largest, where these are more than bytes; 0 for bytes.
        declared: whether the file itself says how many bits it uses.
    """

    square: bool
    depth: int
    declared: bool


# Bits that cameras and scanners give, which are kept in files of 16 bits.
DEPTHS = (8, 10, 12, 14, 16)


def decode(content: bytes, resolution: int, fit: Fit = "crop") -> np.ndarray:
    """Return the pixels of one image file, uint8 of shape (resolution, resolution, 3); see :func:`decode_with_facts`."""
    return decode_with_facts(content, resolution, fit)[0]


def decode_with_facts(content: bytes, resolution: int, fit: Fit = "crop", depth: int = 0) -> tuple[np.ndarray, Facts]:
    """Decode one image file.

    The first frame is taken, turned upright as EXIF says, laid over black where it is transparent (as dermoscopes leave
    their surround black), made a square and brought to ``resolution`` with Pillow's antialiased Lanczos filter. A square that
    has this size already keeps its pixels.

    Of values of 16 bits only the lower 10, 12 or 14 may be used. Some formats say how many; else it is the fewest that hold the
    largest value, but never fewer than ``depth``.

    Args:
        content: the file's bytes.
        resolution: side of the result in pixels.
        fit: cut to the central square, lay on a black square, or stretch.
        depth: fewest bits of values that are more than bytes; a file that says itself how many it uses is believed.

    Returns:
        uint8 of shape (resolution, resolution, 3), 0 to 255, and what the file says of them.

    Raises:
        UnreadableError: the bytes are no whole image of a known format.
    """
    if not content:
        raise UnreadableError("empty file")
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise UnreadableError(f"{width:,} x {height:,} pixels, more than {MAX_PIXELS:,}: a decompression bomb")
            if image.format == "PNG":
                # Loading skips the checksums of the pixel chunks; verify() reads them all but spends its image.
                with Image.open(io.BytesIO(content), formats=("PNG",)) as check:
                    check.verify()
            # JPEG only: decode at 1/2, 1/4 or 1/8 when that leaves at least twice the wanted size to filter from.
            image.draft(None, (2 * resolution, 2 * resolution))
            bits, raw_mode = _declared_bits(image, content), _raw_mode(image)
            image.load()
            turn = _turn(image)
            rgb, found = _to_rgb(image, content, raw_mode, bits or depth)
            upright = rgb if turn is None else rgb.transpose(turn)
            return _square(upright, resolution, fit), Facts(width == height, found, bits > 0)
    except UnreadableError:
        raise
    except UnidentifiedImageError as error:
        raise UnreadableError("not an image of a known format") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UnreadableError("a decompression bomb") from error
    except (
        Exception
    ) as error:  # Pillow's decoders raise nearly anything on damaged bytes: struct.error, SyntaxError, ...
        raise UnreadableError(f"damaged: {' '.join(str(error).split()) or type(error).__name__}") from error


def square_pixels(pixels_HWC: np.ndarray, resolution: int, fit: Fit = "crop") -> np.ndarray:
    """Bring uint8 RGB pixels of shape (H, W, 3) to (resolution, resolution, 3) as :func:`decode` does."""
    return _square(Image.fromarray(pixels_HWC), resolution, fit)


def _turn(image: Image.Image) -> Image.Transpose | None:
    """Return the turn that EXIF asks for; asked after loading, because Pillow turns TIFF images itself."""
    try:
        return TURNS.get(image.getexif().get(ORIENTATION, 1))
    except Exception:  # A broken EXIF block raises nearly anything, and the pixels are good without it.
        return None


def _declared_bits(image: Image.Image, content: bytes) -> int:
    """Return the bits per channel that a file of 16 says it uses, 0 where it does not say so."""
    if image.format == "PPM":
        return DEPTHS[-1]  # Its header has the largest value, and Pillow has scaled by it.
    if image.format == "TIFF":
        bits, largest = image.getexif().get(BITS_PER_SAMPLE, 0), image.getexif().get(LARGEST_VALUE, 0)
        bits, largest = (max(value) if isinstance(value, tuple) else value for value in (bits, largest))
        if 8 < largest.bit_length() < DEPTHS[-1]:
            return largest.bit_length()
        return bits if 8 < bits < DEPTHS[-1] else 0
    if image.format == "PNG":
        # The significant bits stand in a chunk before the pixels: length, name, a byte for each channel.
        place = content.find(b"sBIT", 0, content.find(b"IDAT"))
        bits = content[place + 4] if place > 0 else 0
        return bits if 8 < bits <= DEPTHS[-1] else 0
    return 0


def _raw_mode(image: ImageFile.ImageFile) -> str:
    """Return how Pillow will read the pixels of an image that is not loaded yet."""
    arguments = image.tile[0].args if image.tile else ""
    return str(arguments[0] if isinstance(arguments, tuple) and arguments else arguments)


def _to_rgb(image: Image.Image, content: bytes, raw_mode: str, depth: int) -> tuple[Image.Image, int]:
    """Convert any mode to RGB; also return the bits that values of more than a byte are scaled by."""
    if image.mode == "F":
        raise UnreadableError("floating-point pixels, whose range is not known: save them with 8 or 16 bits")
    if image.mode.startswith("I"):
        values_HW = np.asarray(image).astype(np.int64)
        if values_HW.min() < 0 or values_HW.max() > 65535:
            raise UnreadableError("32-bit pixels outside 0 to 65535: save them with 16 bits")
        depth = max(depth, _fewest_bits(values_HW))
        return Image.fromarray(_scaled(values_HW, depth)).convert("RGB"), depth
    found = 0
    if ";16" in raw_mode and image.mode in ("RGB", "RGBA"):
        # Pillow keeps the upper byte of each value. Where that says little, the lower ones are read as well.
        found, upper_HWC = DEPTHS[-1], np.asarray(image)
        if depth < DEPTHS[-1] and upper_HWC[..., :3].max() < 1 << DEPTHS[-2] - 8:
            values_HWC = upper_HWC[..., :3].astype(np.int64) << 8 | _lower_bytes(content)[..., :3]
            found = max(depth, _fewest_bits(values_HWC))
            rgb = Image.fromarray(_scaled(values_HWC, found))
            if image.mode == "RGBA":
                rgb.putalpha(image.getchannel("A"))
            image = rgb
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, (0, 0, 0, 255)), rgba).convert("RGB"), found
    return image.convert("RGB"), found


def _lower_bytes(content: bytes) -> np.ndarray:
    """Return the lower byte of 16-bit colors as (H, W, 3 or more), by reading them in the other order of bytes."""
    with Image.open(io.BytesIO(content), formats=FORMATS) as image:
        mode = _raw_mode(image)
        # Gray with transparency has no mode of the other order, but the four bytes of a pixel can be read as four channels.
        other = "RGBA" if mode == "LA;16B" else mode[:-1] + ("L" if mode.endswith("B") else "B")
        arguments = image.tile[0].args
        arguments = (other, *arguments[1:]) if isinstance(arguments, tuple) else other
        image.tile = [tile._replace(args=arguments) for tile in image.tile]
        image.load()
        lower_HWC = np.asarray(image)
        return lower_HWC[..., [1, 1, 1]] if mode == "LA;16B" else lower_HWC


def _fewest_bits(values: np.ndarray) -> int:
    """Return the fewest of the usual bits that hold all values from 0 to 65535."""
    return next(bits for bits in DEPTHS if int(values.max()) < 1 << bits)


def _scaled(values: np.ndarray, depth: int) -> np.ndarray:
    """Return values of so many bits as uint8, rounded; the largest becomes 255."""
    most = (1 << depth) - 1
    return ((values * 255 + most // 2) // most).astype(np.uint8)


def _square(rgb: Image.Image, resolution: int, fit: Fit) -> np.ndarray:
    """Make a square of the wanted size; one that has it keeps its pixels."""
    size = (resolution, resolution)
    if fit == "pad" and rgb.width != rgb.height:
        scale = resolution / max(rgb.size)
        width, height = (max(1, round(side * scale)) for side in rgb.size)
        inner = rgb.resize((width, height), Image.Resampling.LANCZOS)
        square = Image.new("RGB", size)
        square.paste(inner, ((resolution - inner.width) // 2, (resolution - inner.height) // 2))
        return np.asarray(square)
    if fit == "crop":
        side = min(rgb.size)
        left, top = (rgb.width - side) // 2, (rgb.height - side) // 2
        rgb = rgb.crop((left, top, left + side, top + side))
    return np.asarray(rgb if rgb.size == size else rgb.resize(size, Image.Resampling.LANCZOS))


def read_rows(pixels_NHWC: np.ndarray, whole: Listing, config: DataConfig) -> ImageSet:
    """Return the images that settings ask for, as squares.

    Args:
        pixels_NHWC: uint8 of shape (N, H, W, 3) or (N, H, W, 1), 0 to 255; row n belongs to name n of ``whole``. Gray is
            repeated to RGB.
        whole: all N images; their names differ.
        config: ``class_name``, ``limit`` and ``resolution`` apply.

    Raises:
        DataError: no such class.
    """
    listing = whole.narrowed(config.class_name, config.limit, config.split_seed)
    row_of = {name: row for row, name in enumerate(whole.names)}
    check_memory_for_images(len(listing.names), config.resolution)
    squares_NHWC = np.empty((len(listing.names), config.resolution, config.resolution, 3), np.uint8)
    for square_HWC, name in zip(squares_NHWC, listing.names, strict=True):
        pixels_HWC = pixels_NHWC[row_of[name]]
        square_HWC[:] = square_pixels(
            np.ascontiguousarray(np.broadcast_to(pixels_HWC, (*pixels_HWC.shape[:2], 3))), config.resolution, config.fit
        )
    labels_N = np.array([listing.classes.index(label) for label in listing.labels], np.int64)
    return ImageSet(
        squares_NHWC,
        labels_N,
        listing.classes,
        tuple(listing.names),
        tuple(listing.groups),
        listing.notes,
        tuple(listing.splits),
        listing.layout,
    )


# Images given to a thread at a time: enough to make the hand-over cheap, few enough for a smooth progress bar.
CHUNK = 64
NAMES_SHOWN = 50


def decode_all(files: Files, listing: Listing, resolution: int, skip_bad: bool, fit: Fit = "crop") -> ImageSet:
    """Decode every image of ``listing``.

    Args:
        files: where the names of the listing are read from.
        listing: names, classes and groups.
        resolution: side of the squares in pixels.
        skip_bad: leave unreadable images out and note each of them.
        fit: how other shapes become squares, see ``decode``.

    Returns:
        The images in the order of the listing.

    Raises:
        DataError: some images cannot be read (all are counted, the first are named) or none is left.
        NoRoomError: the images do not fit into memory.
    """
    names = list(listing.names)
    check_memory_for_images(len(names), resolution)
    images_NHWC = np.zeros((len(names), resolution, resolution, 3), np.uint8)
    facts: dict[int, Facts] = {}

    def decode_row(row: int, depth: int) -> None:
        images_NHWC[row], facts[row] = decode_with_facts(files.read(names[row]), resolution, fit, depth)

    bad = _in_threads(lambda row: decode_row(row, 0), range(len(names)))
    # How bright a value becomes must not depend on the brightest one of its own file.
    depth = max((one.depth for one in facts.values() if not one.declared), default=0)
    darker = [row for row, one in sorted(facts.items()) if 0 < one.depth < depth and not one.declared]
    bad += _in_threads(lambda row: decode_row(row, depth), darker)
    if bad and not skip_bad:
        raise DataError(
            f"{len(bad):,} of {len(names):,} images cannot be read: {_first(names, bad)}; "
            "repair or remove them, or leave them out with --skip-bad"
        )
    reason_of = dict(bad)
    good = [row for row in range(len(names)) if row not in reason_of]
    seen = [facts[row] for row in good]
    if not good:
        source = shown(str(files.root))
        raise DataError(f"none of the {len(names):,} images of {source} can be read: {_first(names, bad)}")
    if bad:
        check_memory_for_images(len(good), resolution)
        images_NHWC = images_NHWC[good]
    labels = [listing.labels[row] for row in good]
    left = set(labels)
    classes = tuple(name for name in listing.classes if name in left)
    lost = [name for name in listing.classes if name not in left]
    index_of = {name: index for index, name in enumerate(classes)}
    good_names = tuple(names[row] for row in good)
    notes = [f"left out {len(bad):,} unreadable images"] if bad else []
    notes += [f"left out {shown(names[row])}: {reason}" for row, reason in bad]
    notes += [f"left out class {shown(name)}: none of its images can be read" for name in lost]
    return ImageSet(
        images_NHWC=images_NHWC,
        labels_N=np.array([index_of[label] for label in labels], np.int64),
        classes=classes,
        names=good_names,
        groups=tuple(listing.groups[row] for row in good),
        notes=(*listing.notes, *notes, *_shapes(seen, fit), *_depths(seen), *_copies(images_NHWC, good_names, labels)),
        splits=tuple(listing.splits[row] for row in good),
        layout=listing.layout,
    )


def _in_threads(decode_row: Callable[[int], None], rows: Sequence[int]) -> list[tuple[int, str]]:
    """Decode rows in threads, which Pillow lets run side by side; return row and reason of the bad ones."""

    def decode_chunk(start: int) -> list[tuple[int, str]]:
        bad = []
        for row in rows[start : start + CHUNK]:
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
        # Pillow's warnings about single files would flood the screen; a bomb is the one that matters.
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for found in pool.map(decode_chunk, range(0, len(rows), CHUNK)):
            bad += found
            bar.update(min(CHUNK, len(rows) - bar.n))
    return bad


def _first(names: list[str], bad: list[tuple[int, str]]) -> str:
    more = f", and {len(bad) - NAMES_SHOWN:,} more" if len(bad) > NAMES_SHOWN else ""
    return ", ".join(f"{shown(names[row])} ({reason})" for row, reason in bad[:NAMES_SHOWN]) + more


def _shapes(facts: Sequence[Facts], fit: Fit) -> list[str]:
    """Return a note on images that are no squares."""
    others = sum(not one.square for one in facts)
    done = {"crop": "cut to their central squares", "pad": "laid on black squares", "stretch": "stretched to squares"}
    return [f"{others:,} images are not square and were {done[fit]} (--fit {fit})"] if others else []


def _depths(facts: Sequence[Facts]) -> list[str]:
    """Return notes on images whose values are more than bytes."""
    notes = []
    for (depth, declared), number in sorted(Counter((one.depth, one.declared) for one in facts).items()):
        if depth:
            why = "as the files say" if declared else "the fewest usual bits that hold all of them"
            notes.append(
                f"{number:,} images have values of 16 or more bits, which were scaled from 0 to {(1 << depth) - 1:,}: "
                f"{depth} bits, {why}"
            )
    return notes


def _copies(images_NHWC: np.ndarray, names: Sequence[str], labels: Sequence[str]) -> list[str]:
    """Return notes when images have exactly the pixels of an earlier one (they are kept)."""
    first_of: dict[bytes, int] = {}
    copies = []
    for row, image_HWC in enumerate(images_NHWC):
        first = first_of.setdefault(hashlib.blake2b(image_HWC.data, digest_size=16).digest(), row)
        if first != row:
            copies.append((row, first))
    notes = []
    if copies:
        row, first = copies[0]
        notes.append(
            f"{len(copies):,} images have exactly the pixels of another and are kept, such as {shown(names[row])} "
            f"and {shown(names[first])}"
        )
    conflicts = [(row, first) for row, first in copies if labels[row] != labels[first]]
    if conflicts:
        row, first = conflicts[0]
        notes.append(
            f"{len(conflicts):,} of these are of another class than their double, such as {shown(names[row])} "
            f"({shown(labels[row])}) and {shown(names[first])} ({shown(labels[first])}): check their labels"
        )
    return notes
