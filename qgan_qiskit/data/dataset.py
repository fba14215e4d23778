"""What must stay together, and a random choice among it that is the same everywhere.

Shape letters: N images, M chosen ones.

The one form every source of images ends in: decoded squares, their classes and where each came from.

Shape letters: N images, H W height and width, C color channels (red, green, blue).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from qgan_qiskit.data.files import stem
from qgan_qiskit.errors import DataError
from qgan_qiskit.memory import check_memory_for_images


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


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Labeled RGB images of one size.

    Attributes:
        images_NHWC: uint8 of shape (N, H, W, 3), 0 to 255; may be a read-only memory map.
        labels_N: int64 of shape (N,); index into ``classes``.
        classes: class names.
        names: name of each image inside its source (``folder/file.jpg``, ``train_images[7]``, ``made/nevus/7``).
        groups: what each image must not be split from (the lesion_id of ISIC and HAM10000, the patient of ODIR-5k); ``""`` where
            unknown.
        notes: sentences about what was found, left out or assumed while reading.
        splits: the source's own ``train``, ``validation`` or ``test`` of each image, ``""`` where unknown (all, when empty).
        layout: what the source was recognized as.

    Raises:
        ValueError: when the parts do not fit together (a mistake of the caller, not of the data).
    """

    images_NHWC: np.ndarray
    labels_N: np.ndarray
    classes: tuple[str, ...]
    names: tuple[str, ...]
    groups: tuple[str, ...]
    notes: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()
    layout: str = ""

    def __post_init__(self) -> None:
        if not self.splits:
            object.__setattr__(self, "splits", ("",) * len(self.names))
        images, labels = self.images_NHWC, self.labels_N
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
            raise ValueError(f"images_NHWC must be uint8 of shape (N, H, W, 3), not {images.dtype} {images.shape}")
        if labels.dtype != np.int64 or labels.shape != images.shape[:1]:
            raise ValueError(f"labels_N must be int64 of shape {images.shape[:1]}, not {labels.dtype} {labels.shape}")
        if not len(self.names) == len(self.groups) == len(images):
            raise ValueError(f"{len(images)} images, but {len(self.names)} names and {len(self.groups)} groups")
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(self.classes):
            raise ValueError(f"labels_N runs from {labels.min()} to {labels.max()} with {len(self.classes)} classes")

    def __len__(self) -> int:
        return len(self.images_NHWC)

    def counts(self) -> dict[str, int]:
        """Return the number of images of each class, in the order of ``classes``."""
        numbers = np.bincount(self.labels_N, minlength=len(self.classes))
        return {name: int(number) for name, number in zip(self.classes, numbers, strict=True)}

    def select(self, class_name: str) -> ImageSet:
        """Return the images of one class, whose name then is the only one in ``classes``.

        Args:
            class_name: a name of ``classes``; upper and lower case are not told apart.

        Raises:
            DataError: no such class; the message lists those there are.
        """
        index = class_index(self.classes, class_name)
        if len(self.classes) == 1:
            return self
        rows_M = np.flatnonzero(self.labels_N == index)
        return self.rows(rows_M, np.zeros(len(rows_M), np.int64), (self.classes[index],))

    def select_several(self, class_names: Sequence[str]) -> ImageSet:
        """Return the images of some classes, which are numbered in the order given.

        Raises:
            DataError: no such class; the message lists those there are.
        """
        indices = [class_index(self.classes, name) for name in class_names]
        if indices == list(range(len(self.classes))):
            return self
        new = np.full(len(self.classes), -1, np.int64)
        new[indices] = np.arange(len(indices))
        rows_M = np.flatnonzero(new[self.labels_N] >= 0)
        return self.rows(rows_M, new[self.labels_N[rows_M]], tuple(self.classes[index] for index in indices))

    def limit(self, n_per_class: int, seed: int = 0) -> ImageSet:
        """Return ``n_per_class`` images of each class, drawn at random in whole lesions; see ``draw.draw_of_each``.

        Raises:
            ValueError: ``n_per_class`` is not positive.
        """
        if n_per_class < 1:
            raise ValueError(f"n_per_class must be at least 1, not {n_per_class}")
        rows_M = draw_of_each(self.labels_N, self.names, self.groups, n_per_class, seed)
        return self if len(rows_M) == len(self) else self.rows(rows_M, self.labels_N[rows_M], self.classes)

    @cached_property
    def digest(self) -> str:
        """SHA-256 (64 hex digits) of images, labels and class names; names, groups and notes do not count."""
        head = json.dumps([list(self.images_NHWC.shape), list(self.classes)])
        sha = hashlib.sha256(head.encode())
        sha.update(np.ascontiguousarray(self.images_NHWC).data if len(self) else b"")
        sha.update(self.labels_N.astype("<i8").tobytes())
        return sha.hexdigest()

    def rows(self, rows_M: np.ndarray, labels_M: np.ndarray, classes: tuple[str, ...]) -> ImageSet:
        """Return the images of some rows, with these labels and classes.

        Raises:
            DataError: they do not fit into memory.
        """
        check_memory_for_images(len(rows_M), self.images_NHWC.shape[1])
        names = tuple(self.names[row] for row in rows_M.tolist())
        groups = tuple(self.groups[row] for row in rows_M.tolist())
        splits = tuple(self.splits[row] for row in rows_M.tolist())
        return ImageSet(self.images_NHWC[rows_M], labels_M, classes, names, groups, self.notes, splits, self.layout)


def means_all(class_name: str | None, classes: Sequence[str]) -> bool:
    """Whether ``class_name`` asks for every class: None, or ``all`` where no class has that name."""
    return class_name is None or (class_name.casefold() == "all" and "all" not in {name.casefold() for name in classes})


def class_index(classes: tuple[str, ...], class_name: str) -> int:
    """Return the index of ``class_name`` in ``classes``, in any case.

    Raises:
        DataError: no such class; the message lists those there are.
    """
    folded = [name.casefold() for name in classes]
    if class_name.casefold() not in folded:
        raise DataError(f"no class '{class_name}' in the data: choose one of {', '.join(classes)}, or 'all'")
    return folded.index(class_name.casefold())
