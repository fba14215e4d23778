"""Images that show the same picture: exactly, or saved again in another size, quality, brightness or turn.

A pair must pass two tests. The first is the perceptual hash of Zauner (2010) that the library ``imagehash`` has as ``phash``:
the signs of the 8x8 lowest DCT coefficients about their median. It finds few candidates quickly, but lesions in the middle of
bright skin, or in the same black surround of a dermoscope, look alike to it. The second is the correlation of what is finer
than a few pixels of the 32x32 picture, where the surround does not count: it tells apart what only has the same layout. A
lower correlation is enough where the levels themselves are nearly the same.
The thresholds were set on 18,888 images of ISIC 2019; ``docs/explanation/splits.md`` says what they find and what they miss.

Shape letters: N images, U different ones, P pairs or candidates, B = 64 bits, H W height and width, D pixels of an image, K = 8
lowest frequencies.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
from scipy.fft import dctn
from scipy.ndimage import minimum_filter, uniform_filter
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from tqdm import tqdm

from qgan_qiskit.data.dataset import ImageSet
from qgan_qiskit.data.files import shown

# Side of the pictures that are compared, and lowest frequencies of each direction in the hash.
SIDE, _LOWEST = 32, 8
# Bits of 64 by which the hashes of a candidate may differ.
_MOST_BITS = 10
# Least correlation of the fine detail; of turned pictures more, as seven times as many are compared.
_UPRIGHT, _TURNED = 0.95, 0.97
# Where the levels (0 to 255, without their mean) differ by less on average, a lower correlation is enough: there is little
# detail, or the copy has lost some of it.
_CLOSE, _CLOSE_CORRELATION = 2.5, 0.7
# Darker than this (0 to 255) is the surround of a dermoscope or the background of a radiograph.
_DARK = 20
# Window of the mean that is taken off for the fine detail, and noise (levels squared per pixel) that must not correlate.
_WINDOW, _NOISE = 13, 1.0
# Images that hang together as near duplicates, and share of all, beyond which they are rather pictures of one scene; and pairs
# for each image, beyond which no more are looked for.
_MANY, _MANY_SHARE, _MANY_PAIRS = 100, 0.1, 100
# Images of a block, and pairs that are looked at together.
_BLOCK, _TOGETHER = 512, 16_384
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def find_duplicates(images_NHWC: np.ndarray) -> np.ndarray:
    """Return pairs of rows that show the same picture; chains of them join all that do.

    Args:
        images_NHWC: uint8 of shape (N, 32, 32, 3): whole pictures, brought to a square.

    Returns:
        int64 of shape (P, 2), sorted; the first row of a pair is the smaller one. Not all where there are very many, see
        :func:`believed`.
    """
    first_N = _first_equal(images_NHWC)
    equal = np.flatnonzero(first_N != np.arange(len(first_N)))
    rows_U = np.flatnonzero(first_N == np.arange(len(first_N)))
    pairs = [np.stack([first_N[equal], equal], axis=1), rows_U[_near(images_NHWC[rows_U])]]
    return np.unique(np.concatenate(pairs), axis=0)


def believed(images_NHWC: np.ndarray, pairs_P2: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the pairs to go by: all, or only those of equal pixels where near duplicates would join much of the data.

    Images of one scene or one aligned view can differ by less than a copy does. Kept together they would leave nothing to
    divide.

    Args:
        images_NHWC: as for :func:`find_duplicates`.
        pairs_P2: what that returned.

    Returns:
        The pairs, and a note if some are left out.
    """
    number = len(images_NHWC)
    largest = max(Counter(joined([f"image {row}" for row in range(number)], pairs_P2)).values(), default=0)
    if largest <= max(_MANY, _MANY_SHARE * number) and len(pairs_P2) <= _MANY_PAIRS * number:
        return pairs_P2, ()
    ends_P2 = _first_equal(images_NHWC)[pairs_P2]
    equal_P = ends_P2[:, 0] == ends_P2[:, 1]
    if equal_P.all():
        return pairs_P2, ()
    note = (
        f"{largest:,} of {number:,} images are so alike that near duplicates cannot be told from different pictures: only "
        "those of equal pixels are kept in one part; where there are lesions or patients, name them"
    )
    return pairs_P2[equal_P], (note,)


def joined(units: Sequence[str], pairs_P2: np.ndarray) -> list[str]:
    """Return for each image the unit that stands for all that must not be parted from it.

    Images hang together when they are of one unit or are duplicates, directly or through others. The smallest name stands
    for all of them, a lesion's before that of an image without one, so that an image without duplicates keeps its unit.

    Args:
        units: N names, see ``parts.unit_of``.
        pairs_P2: pairs of rows, see :func:`find_duplicates`.
    """
    numbers = {unit: number for number, unit in enumerate(dict.fromkeys(units))}
    of_N = np.array([numbers[unit] for unit in units], np.int64)
    ends_P2 = of_N[pairs_P2]
    graph = coo_array((np.ones(len(ends_P2)), (ends_P2[:, 0], ends_P2[:, 1])), shape=(len(numbers),) * 2)
    _, component_U = connected_components(graph, directed=False)
    stands_for: dict[int, str] = {}
    for unit, component in zip(numbers, component_U.tolist(), strict=True):
        stands_for[component] = min(stands_for.get(component, unit), unit, key=lambda name: (_nameless(name), name))
    return [stands_for[component] for component in component_U[of_N].tolist()]


def notes_on(
    images: ImageSet, pairs_P2: np.ndarray, units: Sequence[str], splits: Sequence[str] = ()
) -> tuple[str, ...]:
    """Return sentences on pairs of images that show the same picture.

    Args:
        images: the compared images.
        pairs_P2: see :func:`find_duplicates`.
        units: N names, as for :func:`joined`.
        splits: N names of the source's own splits, empty where unknown; none without such.
    """
    pairs = pairs_P2.tolist()
    if not pairs:
        return ()

    def named(row: int) -> str:
        return f"{shown(images.names[row])} ({images.classes[images.labels_N[row]]})"

    of_others = sum(units[first] != units[second] for first, second in pairs)
    alone = [f"image {row}" for row in range(len(units))]
    largest = max(Counter(joined(alone, pairs_P2)).values())
    kept = "the source's own splits are kept as they are" if any(splits) else "they are kept in one part"
    notes = [
        f"{len(pairs):,} pairs of images show the same picture, {of_others:,} of them of different or unknown lesions: {kept} "
        f"(the largest set of such images has {largest:,})"
    ]
    conflicts = [pair for pair in pairs if images.labels_N[pair[0]] != images.labels_N[pair[1]]]
    if conflicts:
        first, second = conflicts[0]
        notes.append(
            f"{len(conflicts):,} pairs of images show the same picture in different classes, such as {named(first)} and "
            f"{named(second)}: check their labels"
        )
    crossing = [pair for pair in pairs if splits and "" != splits[pair[0]] != splits[pair[1]] != ""]
    if crossing:
        first, second = crossing[0]
        notes.append(
            f"{len(crossing):,} pairs of images show the same picture in different splits of the source, such as "
            f"{shown(images.names[first])} ({splits[first]}) and {shown(images.names[second])} ({splits[second]})"
        )
    return tuple(notes)


def _nameless(unit: str) -> bool:
    """Whether a unit is an image whose lesion is unknown."""
    return unit.startswith("image ")


def _first_equal(images_NHWC: np.ndarray) -> np.ndarray:
    """Return for each image the first row with exactly its pixels."""
    first_of: dict[bytes, int] = {}
    digests = (hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest() for image in images_NHWC)
    return np.array([first_of.setdefault(digest, row) for row, digest in enumerate(digests)], np.int64)


def _near(images_UHWC: np.ndarray) -> np.ndarray:
    """Return pairs of rows of near duplicates among images that are all different."""
    gray_UHW = images_UHWC.astype(np.float32) @ _LUMA
    low_UKK = dctn(gray_UHW, axes=(1, 2))[:, :_LOWEST, :_LOWEST]
    fine_UHW = _fine(gray_UHW)
    level_UHW = gray_UHW - gray_UHW.mean((1, 2), keepdims=True)
    signs_UB, fine_UD, level_UD = _signs(low_UKK), _flat(fine_UHW), _flat(level_UHW)
    found, number = [np.zeros((0, 2), np.int64)], 0
    turns = tqdm(product((False, True), repeat=3), "comparing images", 8, leave=False, disable=None)
    for turn in turns:
        turned_fine_UD, turned_level_UD = _flat(_turned(fine_UHW, *turn)), _flat(_turned(level_UHW, *turn))
        for first, second in _candidates(signs_UB, _signs(_turned_frequencies(low_UKK, *turn))):
            alike_P = np.einsum("pd,pd->p", fine_UD[first], turned_fine_UD[second])
            likely = alike_P > _CLOSE_CORRELATION
            first, second, alike_P = first[likely], second[likely], alike_P[likely]
            close_P = np.abs(level_UD[first] - turned_level_UD[second]).mean(1) < _CLOSE
            kept = close_P | (alike_P > (_TURNED if any(turn) else _UPRIGHT))
            found.append(np.stack([first[kept], second[kept]], axis=1))
            number += len(found[-1])
            if number > 2 * _MANY_PAIRS * len(images_UHWC):  # A pair may be found in two turns.
                return np.concatenate(found)
    return np.concatenate(found)


def _flat(images_UHW: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(images_UHW).reshape(len(images_UHW), -1)


def _fine(gray_UHW: np.ndarray) -> np.ndarray:
    """Return the detail around the local mean of what is not dark, scaled to unit length."""
    bright_UHW = (gray_UHW > _DARK).astype(np.float32)
    window, inner = (1, _WINDOW, _WINDOW), (1, 3, 3)
    weight_UHW = uniform_filter(bright_UHW, window, mode="constant")
    mean_UHW = uniform_filter(gray_UHW * bright_UHW, window, mode="constant") / np.maximum(weight_UHW, 1e-3)
    # The edge of the surround is the same in many pictures.
    fine_UHW = (gray_UHW - mean_UHW) * minimum_filter(bright_UHW, inner, mode="nearest")
    return fine_UHW / np.sqrt((fine_UHW**2).sum((1, 2), keepdims=True) + _NOISE * SIDE**2)


def _signs(low_UKK: np.ndarray) -> np.ndarray:
    """Return the bits of the hash as -1 and 1, float32 (U, 64): products of two give 64 - 2 * differing bits."""
    low_UB = low_UKK.reshape(len(low_UKK), -1)
    return np.where(low_UB > np.median(low_UB, axis=1, keepdims=True), np.float32(1), np.float32(-1))


def _turned(images_UHW: np.ndarray, across: bool, upside_down: bool, mirrored: bool) -> np.ndarray:
    """Return squares turned by one of the eight combinations of a reflection on the diagonal and two flips."""
    turned_UHW = images_UHW.transpose(0, 2, 1) if across else images_UHW
    turned_UHW = turned_UHW[:, ::-1] if upside_down else turned_UHW
    return turned_UHW[:, :, ::-1] if mirrored else turned_UHW


def _turned_frequencies(low_UKK: np.ndarray, across: bool, upside_down: bool, mirrored: bool) -> np.ndarray:
    """Return the DCT of :func:`_turned`: a flip changes the sign of the odd frequencies."""
    odd_K = np.where(np.arange(_LOWEST) % 2, -1, 1).astype(np.float32)
    turned_UKK = low_UKK.transpose(0, 2, 1) if across else low_UKK
    turned_UKK = turned_UKK * odd_K[:, None] if upside_down else turned_UKK
    return turned_UKK * odd_K if mirrored else turned_UKK


def _candidates(signs_UB: np.ndarray, others_UB: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield rows of pairs whose hashes differ in few bits, a part at a time; the first is the smaller one."""
    for start in range(0, len(signs_UB), _BLOCK):
        alike = signs_UB[start : start + _BLOCK] @ others_UB[start:].T
        first, second = np.nonzero(alike >= 64 - 2 * _MOST_BITS)
        upper = first < second
        first, second = first[upper] + start, second[upper] + start
        for part in range(0, len(first), _TOGETHER):
            yield first[part : part + _TOGETHER], second[part : part + _TOGETHER]
