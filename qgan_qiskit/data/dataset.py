"""Labeled images in memory, and a random subset of them that is the same on every machine.

Every source ends in an :class:`ImageSet`. Shape letters: N images, M selected images, H W height and width, C color
channels (red, green, blue).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from PIL import Image

from qgan_qiskit.data.files import stem
from qgan_qiskit.errors import DataError
from qgan_qiskit.memory import check_memory_for_images


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Labeled RGB images of one size.

    Attributes:
        images_NHWC: uint8 of shape (N, H, W, 3), 0 to 255; may be a read-only memory map.
        labels_N: int64 of shape (N,); index into ``classes``.
        classes: class names.
        names: name of each image inside its source (``folder/file.jpg``, ``train_images[7]``, ``synthetic/nevus/7``).
        groups: lesion or patient of each image, whose images always stay in one split; ``""`` where unknown.
        notes: sentences about what was found, left out or assumed.
        splits: the source's own ``train``, ``validation`` or ``test`` of each image, ``""`` where unknown (all, if empty).
        layout: title of the detected layout.

    Raises:
        ValueError: the fields do not fit together (a mistake of the caller, not of the data).
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
        """Return the images of one class (in any case), which becomes the only one; raise DataError if there is none."""
        return self.select_classes([class_name])

    def select_classes(self, class_names: Sequence[str]) -> ImageSet:
        """Return the images of some classes (in any case), numbered in the order given; raise DataError for an unknown one."""
        indices = [class_index(self.classes, name) for name in class_names]
        if indices == list(range(len(self.classes))):
            return self
        new_label = np.full(len(self.classes), -1, np.int64)
        new_label[indices] = np.arange(len(indices))
        rows_M = np.flatnonzero(new_label[self.labels_N] >= 0)
        return self.take(rows_M, new_label[self.labels_N[rows_M]], tuple(self.classes[index] for index in indices))

    def limit(self, n_per_class: int, seed: int = 0) -> ImageSet:
        """Return a random ``n_per_class`` images of each class, see :func:`sample_rows`.

        Raises:
            ValueError: ``n_per_class`` is not positive.
        """
        if n_per_class < 1:
            raise ValueError(f"n_per_class must be at least 1, not {n_per_class}")
        rows_M = sample_rows(self.labels_N, self.names, self.groups, n_per_class, seed)
        return self if len(rows_M) == len(self) else self.take(rows_M)

    def take(
        self, rows_M: np.ndarray, labels_M: np.ndarray | None = None, classes: tuple[str, ...] | None = None
    ) -> ImageSet:
        """Return the images of some rows, with their labels and all classes unless others are given.

        Raises:
            DataError: they do not fit into memory.
        """
        check_memory_for_images(len(rows_M), self.images_NHWC.shape[1])
        rows = rows_M.tolist()
        return replace(
            self,
            images_NHWC=self.images_NHWC[rows_M],
            labels_N=self.labels_N[rows_M] if labels_M is None else labels_M,
            classes=self.classes if classes is None else classes,
            names=tuple(self.names[row] for row in rows),
            groups=tuple(self.groups[row] for row in rows),
            splits=tuple(self.splits[row] for row in rows),
        )

    def without_empty_classes(self) -> ImageSet:
        """Return the same images with only the classes that occur."""
        present, labels_N = np.unique(self.labels_N, return_inverse=True)
        return replace(
            self, labels_N=labels_N.astype(np.int64), classes=tuple(self.classes[label] for label in present)
        )

    def to_grayscale(self) -> ImageSet:
        """Return the same images with all three channels equal to their luma (ITU-R 601-2, rounded)."""
        check_memory_for_images(len(self), self.images_NHWC.shape[1])
        gray_NHWC = np.empty_like(self.images_NHWC)
        for image_HWC, gray_HWC in zip(self.images_NHWC, gray_NHWC, strict=True):
            gray_HWC[:] = np.asarray(Image.fromarray(image_HWC).convert("L"))[..., None]
        return replace(self, images_NHWC=gray_NHWC)

    @cached_property
    def digest(self) -> str:
        """SHA-256 (64 hex digits) of images, labels and class names; names, groups and notes do not count."""
        head = json.dumps([list(self.images_NHWC.shape), list(self.classes)])
        sha = hashlib.sha256(head.encode())
        sha.update(np.ascontiguousarray(self.images_NHWC).data if len(self) else b"")
        sha.update(self.labels_N.astype("<i8").tobytes())
        return sha.hexdigest()


def split_unit(name: str, group: str) -> str:
    """Return the unit that is never divided between splits: an image's group, or where unknown its own stem."""
    return f"lesion {group}" if group else f"image {stem(name)}"


def sample_rows(
    labels_N: np.ndarray, names: Sequence[str], groups: Sequence[str], n_per_class: int, seed: int
) -> np.ndarray:
    """Return a random subset with ``n_per_class`` images of each label, group by group.

    Groups are ordered by a hash of seed and name, so the subset depends neither on other groups, nor on classes, nor on the
    order of the files, and a larger number only adds images. Of the last group some images may be left out (ordered by the
    same kind of hash), since exactly ``n_per_class`` are taken.

    Args:
        labels_N: label of each image.
        names: name of each image; an image without a group counts as a group of its own.
        groups: lesion or patient of each image, empty where unknown.
        n_per_class: images of each label; all of them where there are fewer.
        seed: of the order.

    Returns:
        Increasing row numbers, int64 of shape (M,).
    """
    units = list(map(split_unit, names, groups))
    order_of = {unit: _sampling_hash(seed, unit) for unit in set(units)}
    sampled = [np.zeros(0, np.int64)]
    for label in np.unique(labels_N):
        rows = np.flatnonzero(labels_N == label).tolist()
        if len(rows) > n_per_class:
            rows.sort(key=lambda row: (order_of[units[row]], _sampling_hash(seed, stem(names[row])), names[row]))
        sampled.append(np.array(rows[:n_per_class], np.int64))
    return np.sort(np.concatenate(sampled))


def _sampling_hash(seed: int, name: str) -> bytes:
    """Return the sort key of a name; a different hash from that of the splits, or sampling would favor one of them."""
    return hashlib.sha256(f"draw {seed} {name}".encode("utf-8", "surrogateescape")).digest()


def means_all(class_name: str | None, classes: Sequence[str]) -> bool:
    """Whether ``class_name`` asks for every class: None, or ``all`` where no class has that name."""
    return class_name is None or (class_name.casefold() == "all" and "all" not in {name.casefold() for name in classes})


def class_index(classes: Sequence[str], class_name: str) -> int:
    """Return the index of ``class_name`` (in any case) in ``classes``; raise DataError listing them if it is not there."""
    folded = [name.casefold() for name in classes]
    if class_name.casefold() not in folded:
        raise DataError(f"no class '{class_name}' in the data: choose one of {', '.join(classes)}, or 'all'")
    return folded.index(class_name.casefold())
