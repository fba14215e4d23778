"""What must stay together, and a random choice among it that is the same everywhere.

Shape letters: N images, M chosen ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from qgan_qiskit.data.files import stem


def unit_of(name: str, group: str) -> str:
    """Return what decides an image's part: its lesion, or where unknown its own name without folders and ending."""
    return f"lesion {group}" if group else f"image {stem(name)}"


def draw_of_each(
    labels_N: np.ndarray, names: Sequence[str], groups: Sequence[str], n_per_class: int, seed: int
) -> np.ndarray:
    """Draw images of each label at random, whole lesions one after the other until there are enough.

    The order of the lesions is that of a hash of seed and name. So which others there are, their classes and the order of the
    files change nothing, and a larger number only adds images. Of the last lesion some images may be left out, by the same
    kind of order, as exactly ``n_per_class`` are drawn.

    Args:
        labels_N: label of each image.
        names: its name; the images of an unknown lesion are drawn each on its own.
        groups: its lesion or patient, empty where unknown.
        n_per_class: images of each label, fewer where there are not so many.
        seed: of the order.

    Returns:
        Rising row numbers, int64 of shape (M,).
    """
    place_of = {unit: _place(seed, unit) for unit in map(unit_of, names, groups)}
    kept = []
    for label in np.unique(labels_N):
        rows = np.flatnonzero(labels_N == label).tolist()
        if len(rows) > n_per_class:
            rows.sort(
                key=lambda row: (place_of[unit_of(names[row], groups[row])], _place(seed, stem(names[row])), names[row])
            )
        kept.append(np.array(rows[:n_per_class], np.int64))
    return np.sort(np.concatenate(kept)) if kept else np.zeros(0, np.int64)


def _place(seed: int, name: str) -> bytes:
    """Return where a name stands in the order; another hash than that of the parts, which would prefer some of them."""
    return hashlib.sha256(f"draw {seed} {name}".encode("utf-8", "surrogateescape")).digest()
