"""What a classifier trains and is scored on: splits of the real images, few real ones by lesion, and what a condition adds.

Shape letters: N M images · L lesions · H W height and width.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import torch

from qgan_qiskit.config import DataConfig
from qgan_qiskit.data import ImageSet, class_index, class_names, means_all, read_images
from qgan_qiskit.data.splits import split_unit
from qgan_qiskit.errors import DataError, UsageError
from qgan_qiskit.rng import seeded_generator

SPLITS = ("train", "validation", "test")
Kind = Literal["none", "oversample", "traditional", "generated", "traditional+generated"]
# They cost nothing, so generated images have to beat them.
BASELINES: tuple[Kind, ...] = ("none", "oversample", "traditional")


@dataclass(frozen=True)
class Condition:
    """One way to train.

    Attributes:
        kind: ``none``: the real images alone; ``oversample``: images of smaller classes repeated until all classes are equal;
            ``traditional``: standard geometric augmentation; ``generated``: generated images added; ``traditional+generated``:
            both, with augmentation of the generated images too.
        generator: whose images; None without any.
        alpha: their fraction of all training images; None without any.
    """

    kind: Kind
    generator: str | None = None
    alpha: float | None = None

    def __str__(self) -> str:
        return self.kind if self.generator is None else f"{self.kind} {self.generator} {self.alpha:g}"

    @property
    def slug(self) -> str:
        """Its name in folders."""
        return self.kind if self.generator is None else f"{self.kind}-{self.generator}-a{self.alpha:g}"

    @property
    def traditional(self) -> bool:
        """Whether it uses standard geometric augmentation."""
        return self.kind.startswith("traditional")


def match_classes(data: DataConfig, wanted: str | None) -> tuple[str, ...]:
    """Return the classes to tell apart, as the data spell them.

    Args:
        data: the source.
        wanted: a list such as ``MEL,NV,BCC``; None or ``all`` for every class.

    Raises:
        DataError: there is no such class, or no data.
        UsageError: fewer than two classes, or one named twice.
    """
    names = class_names(data)
    if wanted is not None and not means_all(wanted, names):
        names = tuple(names[class_index(names, part.strip())] for part in wanted.split(","))
    if len(set(names)) != len(names):
        raise UsageError(f"--class {wanted} names a class twice; name each once")
    if len(names) < 2:
        raise UsageError(f"--class {wanted or names[0]}: a classifier needs at least two classes")
    return names


@lru_cache(maxsize=4)
def read_split(data: DataConfig, split: str, classes: tuple[str, ...]) -> ImageSet:
    """Return the real images of one split, class after class.

    Args:
        data: the source and its splits.
        split: one of ``SPLITS``.
        classes: as the data spell them.

    Raises:
        DataError: a class has no image in the split, or the data cannot be read.
    """
    sets = [read_class(data, split, name) for name in classes]
    return ImageSet(
        images_NHWC=np.concatenate([images.images_NHWC for images in sets]),
        labels_N=np.repeat(np.arange(len(sets), dtype=np.int64), [len(images) for images in sets]),
        classes=classes,
        names=tuple(name for images in sets for name in images.names),
        groups=tuple(group for images in sets for group in images.groups),
        notes=tuple(dict.fromkeys(note for images in sets for note in images.notes)),
    )


def read_class(data: DataConfig, split: str, class_name: str) -> ImageSet:
    """Return the real images of one class in one split; their digest is the one that a run on them records.

    Raises:
        DataError: see :func:`read_split`.
    """
    one = DataConfig.model_validate({**data.model_dump(), "split": split, "class_name": class_name})
    try:
        return read_images(one).select(class_name)
    except DataError as error:
        raise DataError(f"{split} split, class {class_name}: {error}") from None


def count_shared_pixels(train: ImageSet, other: ImageSet) -> int:
    """Return how many images of another split have exactly the pixels of a train image."""
    known = {_hash_pixels(image) for image in train.images_NHWC}
    return sum(_hash_pixels(image) in known for image in other.images_NHWC)


def _hash_pixels(image_HWC: np.ndarray) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(image_HWC).data).digest()


def lesions_of(images: ImageSet) -> list[str]:
    """Return the lesion of each image; an image of unknown lesion counts as a lesion of its own, by its name."""
    return [split_unit(name, group) for name, group in zip(images.names, images.groups, strict=True)]


def sample_real(images: ImageSet, fraction: float, seed: int) -> np.ndarray:
    """Return the rising rows of a fraction of the images of each class, in whole lesions.

    Lesions are added in random order until the fraction is reached, so a class exceeds it by less than one lesion.

    Args:
        images: the train split.
        fraction: above 0, up to 1.
        seed: of the order of the lesions, which also depends on the class's name but not on the other classes.
    """
    lesion_N = np.array(lesions_of(images))
    sampled = []
    for label, name in enumerate(images.classes):
        rows_M = np.flatnonzero(images.labels_N == label)
        wanted = max(1, round(fraction * len(rows_M)))
        lesions, of_M, sizes_L = np.unique(lesion_N[rows_M], return_inverse=True, return_counts=True)
        order_L = torch.randperm(len(lesions), generator=seeded_generator(seed, "real", name)).numpy()
        enough = int(np.searchsorted(np.cumsum(sizes_L[order_L]), wanted)) + 1
        sampled.append(rows_M[np.isin(of_M, order_L[:enough])])
    return np.sort(np.concatenate(sampled))


def generated_counts(real: Sequence[int], alpha: float, classes: Literal["as-real", "balanced"]) -> list[int]:
    """Return the number of generated images of each class.

    Alpha is the fraction of generated images among all training images (arXiv 2506.21015v1, section 4.1), so R real images get
    R alpha / (1 - alpha) generated ones.

    Args:
        real: real training images of each class.
        alpha: 0 to below 1.
        classes: ``as-real``: all classes grow by the same factor; ``balanced``: each image goes to the class that is smallest
        so
            far.
    """
    if classes == "as-real":
        return [round(number * alpha / (1 - alpha)) for number in real]
    counts = list(real)
    for _ in range(round(sum(real) * alpha / (1 - alpha))):
        counts[counts.index(min(counts))] += 1
    return [after - before for after, before in zip(counts, real, strict=True)]


def training_images(
    condition: Condition, real: ImageSet, generated: Sequence[np.ndarray], seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the images that a condition trains on, uint8 (N, H, W, 3), and their classes (N,).

    Args:
        condition: how to train.
        real: the sampled real images.
        generated: generated images of each class, uint8 (N, H, W, 3), for conditions with a generator.
        seed: of the choice of images that are repeated once more than others.
    """
    if condition.kind == "oversample":
        rows_N = oversample(real.labels_N, seed)
        return real.images_NHWC[rows_N], real.labels_N[rows_N]
    if condition.generator is None:
        return real.images_NHWC, real.labels_N
    labels = [np.full(len(images), label, np.int64) for label, images in enumerate(generated)]
    return np.concatenate([real.images_NHWC, *generated]), np.concatenate([real.labels_N, *labels])


def oversample(labels_N: np.ndarray, seed: int) -> np.ndarray:
    """Return rows that make every class as large as the largest; repeats of a class's rows differ by at most one."""
    largest = int(np.bincount(labels_N).max())
    chosen = []
    for label in np.unique(labels_N):
        rows_M = np.flatnonzero(labels_N == label)
        order_M = torch.randperm(len(rows_M), generator=seeded_generator(seed, "oversample", int(label))).numpy()
        chosen.append(np.resize(rows_M[order_M], largest))
    return np.concatenate(chosen)
