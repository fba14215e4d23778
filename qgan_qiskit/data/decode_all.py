"""Decode a whole listing in threads, and account for every file that cannot be read before training starts.

Shape letters: N images, H W height and width, C colour channels.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image
from tqdm import tqdm

from qgan_qiskit.data.decode import decode
from qgan_qiskit.data.files import Files, UnreadableError, shown
from qgan_qiskit.data.image_set import ImageSet
from qgan_qiskit.data.listing import Listing
from qgan_qiskit.errors import DataError

# Images given to a thread at a time: enough to make the hand-over cheap, few enough for a smooth progress bar.
CHUNK = 64
NAMES_SHOWN = 50


def decode_all(files: Files, listing: Listing, resolution: int, skip_bad: bool) -> ImageSet:
    """Decode every image of ``listing``.

    Args:
        files: where the names of the listing are read from.
        listing: names, classes and groups.
        resolution: side of the squares in pixels.
        skip_bad: leave unreadable images out and note each of them.

    Returns:
        The images in the order of the listing.

    Raises:
        DataError: some images cannot be read (all are counted, the first are named) or none is left.
    """
    names = list(listing.names)
    images_NHWC, bad = _decode_names(files, names, resolution)
    if bad and not skip_bad:
        raise DataError(
            f"{len(bad):,} of {len(names):,} images cannot be read: {_first(names, bad)}; "
            "repair or remove them, or leave them out with --skip-bad"
        )
    reason_of = dict(bad)
    good = [row for row in range(len(names)) if row not in reason_of]
    if not good:
        source = shown(str(files.root))
        raise DataError(f"none of the {len(names):,} images of {source} can be read: {_first(names, bad)}")
    if bad:
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
        notes=(*listing.notes, *notes, *_copies(images_NHWC, good_names)),
        splits=tuple(listing.splits[row] for row in good),
        layout=listing.layout,
    )


def _decode_names(files: Files, names: list[str], resolution: int) -> tuple[np.ndarray, list[tuple[int, str]]]:
    """Decode in threads, which Pillow lets run side by side; return all images, and row and reason of the bad ones."""
    images_NHWC = np.zeros((len(names), resolution, resolution, 3), np.uint8)

    def decode_chunk(start: int) -> list[tuple[int, str]]:
        bad = []
        for row in range(start, min(start + CHUNK, len(names))):
            try:
                images_NHWC[row] = decode(files.read(names[row]), resolution)
            except UnreadableError as error:
                bad.append((row, str(error)))
        return bad

    bad: list[tuple[int, str]] = []
    with (
        warnings.catch_warnings(),
        ThreadPoolExecutor(min(os.cpu_count() or 1, 16)) as pool,
        tqdm(total=len(names), desc="reading images", unit="", leave=False, disable=None) as bar,
    ):
        # Pillow's warnings about single files would flood the screen; a bomb is the one that matters.
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for found in pool.map(decode_chunk, range(0, len(names), CHUNK)):
            bad += found
            bar.update(min(CHUNK, len(names) - bar.n))
    return images_NHWC, bad


def _first(names: list[str], bad: list[tuple[int, str]]) -> str:
    more = f", and {len(bad) - NAMES_SHOWN:,} more" if len(bad) > NAMES_SHOWN else ""
    return ", ".join(f"{shown(names[row])} ({reason})" for row, reason in bad[:NAMES_SHOWN]) + more


def _copies(images_NHWC: np.ndarray, names: Sequence[str]) -> list[str]:
    """Return a note when images have exactly the pixels of an earlier one (they are kept)."""
    first_of: dict[bytes, int] = {}
    copies = []
    for row, image_HWC in enumerate(images_NHWC):
        first = first_of.setdefault(hashlib.blake2b(image_HWC.data, digest_size=16).digest(), row)
        if first != row:
            copies.append((row, first))
    if not copies:
        return []
    row, first = copies[0]
    return [
        f"{len(copies):,} images have exactly the pixels of another and are kept, such as {shown(names[row])} "
        f"and {shown(names[first])}"
    ]
