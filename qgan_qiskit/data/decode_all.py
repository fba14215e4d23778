"""Decode a whole listing in threads, and account for every file that cannot be read before training starts.

Shape letters: N images, H W height and width, C colour channels.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image
from tqdm import tqdm

from qgan_qiskit.data.decode import Facts, Fit, decode_with_facts
from qgan_qiskit.data.files import Files, UnreadableError, shown
from qgan_qiskit.data.image_set import ImageSet
from qgan_qiskit.data.listing import Listing
from qgan_qiskit.data.room import require_room
from qgan_qiskit.errors import DataError

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
    require_room(len(names), resolution)
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
        require_room(len(good), resolution)
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
