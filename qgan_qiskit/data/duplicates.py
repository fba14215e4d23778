"""Images that show the same picture: exactly, or saved again in another size, quality, brightness or orientation.

A pair must pass two tests. The first is the perceptual hash of Zauner (2010), ``phash`` in the library ``imagehash``: the
signs of the 8x8 lowest DCT coefficients about their median. It yields few candidates quickly, but confuses lesions in the
middle of bright skin or in the same black surround of a dermoscope. The second is the correlation of detail finer than a few
pixels of the 32x32 image, without the surround; a lower correlation suffices where the gray levels are nearly the same.
Thresholds were set on 18,888 images of ISIC 2019; ``docs/explanation/splits.md`` says what they find and miss.

Shape letters: N images, U distinct ones, P pairs or candidates, B = 64 bits, H W height and width, D pixels of an image, K = 8
lowest frequencies.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
from scipy.fft import dctn
from scipy.ndimage import minimum_filter, uniform_filter
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from tqdm import tqdm

from qgan_qiskit.data.dataset import ImageSet
from qgan_qiskit.data.decoding import first_equal
from qgan_qiskit.data.files import printable

# Side of the compared images, and number of lowest frequencies in each direction of the hash.
SIDE, _LOWEST = 32, 8
# Bits of 64 by which the hashes of candidates may differ.
_MAX_BITS = 10
# Least correlation of fine detail; higher for turned images, of which seven times as many are compared.
_UPRIGHT, _TURNED = 0.95, 0.97
# Where gray levels (0 to 255, mean removed) differ by less on average, a lower correlation suffices: there is little detail,
# or the copy has lost some.
_CLOSE, _CLOSE_CORRELATION = 2.5, 0.7
# Darker pixels (0 to 255) are the surround of a dermoscope or the background of a radiograph.
_DARK = 20
# Window of the local mean that is removed, and noise (levels squared per pixel) that must not correlate.
_WINDOW, _NOISE = 13, 1.0
# A connected set of near-duplicates larger than this number and this fraction of all images is rather one scene; and pairs
# per image beyond which the search stops.
_MANY, _MANY_FRACTION, _MAX_PAIRS = 100, 0.1, 100
# Images per block of hash comparisons, and candidates that are confirmed together.
_BLOCK, _BATCH = 512, 16_384
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def find_duplicates(images_NHWC: np.ndarray) -> np.ndarray:
    """Return pairs of rows that show the same picture; connected components of them join all that do.

    Args:
        images_NHWC: uint8 of shape (N, 32, 32, 3): whole images, resized to a square.

    Returns:
        int64 of shape (P, 2), sorted, the smaller row first. Incomplete where there are very many, see
        :func:`discard_doubtful`.
    """
    first_N = first_equal(images_NHWC)
    is_first_N = first_N == np.arange(len(first_N))
    equal, rows_U = np.flatnonzero(~is_first_N), np.flatnonzero(is_first_N)
    pairs = [np.stack([first_N[equal], equal], axis=1), rows_U[_find_near_duplicates(images_NHWC[rows_U])]]
    return np.unique(np.concatenate(pairs), axis=0)


def discard_doubtful(images_NHWC: np.ndarray, pairs_P2: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return all pairs, or only those of equal pixels where near-duplicates would join much of the data.

    Images of one scene or one aligned view can differ by less than a copy does; joined, they would leave nothing to split.

    Args:
        images_NHWC: as for :func:`find_duplicates`.
        pairs_P2: what that returned.

    Returns:
        The pairs, and a note if some are left out.
    """
    number, largest = len(images_NHWC), _largest_component(len(images_NHWC), pairs_P2)
    if largest <= max(_MANY, _MANY_FRACTION * number) and len(pairs_P2) <= _MAX_PAIRS * number:
        return pairs_P2, ()
    first_P2 = first_equal(images_NHWC)[pairs_P2]
    equal_P = first_P2[:, 0] == first_P2[:, 1]
    if equal_P.all():
        return pairs_P2, ()
    note = (
        f"{largest:,} of {number:,} images are so alike that near-duplicates cannot be told from different images: only "
        "those with equal pixels are kept in one split; if there are lesions or patients, name them"
    )
    return pairs_P2[equal_P], (note,)


def merge_units(units: Sequence[str], pairs_P2: np.ndarray) -> list[str]:
    """Return for each image the unit that represents all images which must stay in its split.

    Images belong together if they are of one unit or are duplicates, directly or through others. The smallest name represents
    them, a lesion's before that of an image without one, so an image without duplicates keeps its unit.

    Args:
        units: N names, see ``dataset.split_unit``.
        pairs_P2: pairs of rows, see :func:`find_duplicates`.
    """
    index_of = {unit: index for index, unit in enumerate(dict.fromkeys(units))}
    unit_N = np.array([index_of[unit] for unit in units], np.int64)
    component_U = _components(len(index_of), unit_N[pairs_P2])
    representative: dict[int, str] = {}
    # Sorted so that the first one wins: lesions, then images of unknown lesion.
    for unit in sorted(index_of, key=lambda unit: (unit.startswith("image "), unit)):
        representative.setdefault(int(component_U[index_of[unit]]), unit)
    return [representative[component] for component in component_U[unit_N].tolist()]


def _components(number: int, pairs_P2: np.ndarray) -> np.ndarray:
    """Return the connected component of each of ``number`` nodes."""
    graph = coo_array((np.ones(len(pairs_P2)), (pairs_P2[:, 0], pairs_P2[:, 1])), shape=(number, number))
    return connected_components(graph, directed=False)[1]


def _largest_component(number: int, pairs_P2: np.ndarray) -> int:
    return int(np.bincount(_components(number, pairs_P2)).max()) if number else 0


def describe_duplicates(
    images: ImageSet, pairs_P2: np.ndarray, units: Sequence[str], splits: Sequence[str] = ()
) -> tuple[str, ...]:
    """Return sentences on pairs of images that show the same picture.

    Args:
        images: the compared images.
        pairs_P2: see :func:`find_duplicates`.
        units: N names, as for :func:`merge_units`.
        splits: the source's own split of each image, empty where unknown; none without any.
    """
    pairs = pairs_P2.tolist()
    if not pairs:
        return ()
    names = [printable(name) for name in images.names]
    labels = [images.classes[label] for label in images.labels_N]
    across_units = sum(units[first] != units[second] for first, second in pairs)
    kept = "the source's own splits are used unchanged" if any(splits) else "they are kept in one split"
    same = "pairs of images show the same picture"
    notes = [
        f"{len(pairs):,} {same}, {across_units:,} of them of different or unknown lesions: {kept} "
        f"(the largest set of such images has {_largest_component(len(images), pairs_P2):,})"
    ]
    for what, values, remedy in (("classes", labels, ": check their labels"), ("splits of the source", splits, "")):
        differing = [(a, b) for a, b in pairs if values and "" != values[a] != values[b] != ""]
        if differing:
            a, b = differing[0]
            notes.append(
                f"{len(differing):,} {same} in different {what}, such as "
                f"{names[a]} ({values[a]}) and {names[b]} ({values[b]}){remedy}"
            )
    return tuple(notes)


def _find_near_duplicates(images_UHWC: np.ndarray) -> np.ndarray:
    """Return pairs of rows of near-duplicates among distinct images."""
    gray_UHW = images_UHWC.astype(np.float32) @ _LUMA
    low_UKK = dctn(gray_UHW, axes=(1, 2))[:, :_LOWEST, :_LOWEST]
    detail_UHW = _fine_detail(gray_UHW)
    level_UHW = gray_UHW - gray_UHW.mean((1, 2), keepdims=True)
    signs_UB, detail_UD, level_UD = _hash_signs(low_UKK), _flatten(detail_UHW), _flatten(level_UHW)
    found, number = [np.zeros((0, 2), np.int64)], 0
    for turn in tqdm(product((False, True), repeat=3), "comparing images", 8, leave=False, disable=None):
        turned_detail_UD, turned_level_UD = _flatten(_turn(detail_UHW, *turn)), _flatten(_turn(level_UHW, *turn))
        for first, second in _candidates(signs_UB, _hash_signs(_turn_frequencies(low_UKK, *turn))):
            correlation_P = np.einsum("pd,pd->p", detail_UD[first], turned_detail_UD[second])
            likely = correlation_P > _CLOSE_CORRELATION
            first, second, correlation_P = first[likely], second[likely], correlation_P[likely]
            close_P = np.abs(level_UD[first] - turned_level_UD[second]).mean(1) < _CLOSE
            confirmed = close_P | (correlation_P > (_TURNED if any(turn) else _UPRIGHT))
            found.append(np.stack([first[confirmed], second[confirmed]], axis=1))
            number += len(found[-1])
            if number > 2 * _MAX_PAIRS * len(images_UHWC):  # A pair may be found in two turns.
                return np.concatenate(found)
    return np.concatenate(found)


def _flatten(images_UHW: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(images_UHW).reshape(len(images_UHW), -1)


def _fine_detail(gray_UHW: np.ndarray) -> np.ndarray:
    """Return the difference to the local mean of pixels that are not dark, scaled to unit length."""
    bright_UHW = (gray_UHW > _DARK).astype(np.float32)
    window, inner = (1, _WINDOW, _WINDOW), (1, 3, 3)
    weight_UHW = uniform_filter(bright_UHW, window, mode="constant")
    mean_UHW = uniform_filter(gray_UHW * bright_UHW, window, mode="constant") / np.maximum(weight_UHW, 1e-3)
    # The edge of the surround is the same in many images.
    detail_UHW = (gray_UHW - mean_UHW) * minimum_filter(bright_UHW, inner, mode="nearest")
    return detail_UHW / np.sqrt((detail_UHW**2).sum((1, 2), keepdims=True) + _NOISE * SIDE**2)


def _hash_signs(low_UKK: np.ndarray) -> np.ndarray:
    """Return the bits of the hash as -1 and 1, float32 (U, 64): inner products are 64 - 2 * differing bits."""
    low_UB = low_UKK.reshape(len(low_UKK), -1)
    return np.where(low_UB > np.median(low_UB, axis=1, keepdims=True), np.float32(1), np.float32(-1))


def _turn(images_UHW: np.ndarray, transpose: bool, flip_rows: bool, flip_columns: bool) -> np.ndarray:
    """Return squares after one of the eight combinations of a transposition and two flips."""
    turned_UHW = images_UHW.transpose(0, 2, 1) if transpose else images_UHW
    turned_UHW = turned_UHW[:, ::-1] if flip_rows else turned_UHW
    return turned_UHW[:, :, ::-1] if flip_columns else turned_UHW


def _turn_frequencies(low_UKK: np.ndarray, transpose: bool, flip_rows: bool, flip_columns: bool) -> np.ndarray:
    """Return the DCT of :func:`_turn`: a flip changes the sign of the odd frequencies."""
    odd_K = np.where(np.arange(_LOWEST) % 2, -1, 1).astype(np.float32)
    turned_UKK = low_UKK.transpose(0, 2, 1) if transpose else low_UKK
    turned_UKK = turned_UKK * odd_K[:, None] if flip_rows else turned_UKK
    return turned_UKK * odd_K if flip_columns else turned_UKK


def _candidates(signs_UB: np.ndarray, others_UB: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield batches of rows of pairs whose hashes differ in few bits; the first row is the smaller one."""
    for start in range(0, len(signs_UB), _BLOCK):
        products = signs_UB[start : start + _BLOCK] @ others_UB[start:].T
        first, second = np.nonzero(products >= 64 - 2 * _MAX_BITS)
        upper = first < second
        first, second = first[upper] + start, second[upper] + start
        for batch in range(0, len(first), _BATCH):
            yield first[batch : batch + _BATCH], second[batch : batch + _BATCH]
