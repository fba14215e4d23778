"""Real images of the study's classes, part by part; validation and test part are real and whole.

Shape letters: N images.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np

from qgan_qiskit.config import DataConfig
from qgan_qiskit.data import ImageSet, class_index, class_names, means_all, read_images
from qgan_qiskit.errors import DataError, UsageError

PARTS = ("train", "validation", "test")


def classes_of(data: DataConfig, wanted: str | None) -> tuple[str, ...]:
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
def read_part(data: DataConfig, part: str, classes: tuple[str, ...]) -> ImageSet:
    """Return the images of one part, class after class.

    Args:
        data: the source and how it is divided.
        part: one of ``PARTS``.
        classes: as the data spell them.

    Raises:
        DataError: a class has no image in the part, or something about the data is wrong.
    """
    sets = [_read_class(data, part, name) for name in classes]
    return ImageSet(
        images_NHWC=np.concatenate([images.images_NHWC for images in sets]),
        labels_N=np.repeat(np.arange(len(sets), dtype=np.int64), [len(images) for images in sets]),
        classes=classes,
        names=tuple(name for images in sets for name in images.names),
        groups=tuple(group for images in sets for group in images.groups),
        notes=tuple(dict.fromkeys(note for images in sets for note in images.notes)),
    )


def digest_of_class(data: DataConfig, part: str, class_name: str) -> str:
    """Return the digest of a class's images in a part, as a run on them records it."""
    return _read_class(data, part, class_name).digest


def shared_pixels(train: ImageSet, other: ImageSet) -> int:
    """Return how many images of another part have exactly the pixels of one of the train part."""
    known = {_pixels(image) for image in train.images_NHWC}
    return sum(_pixels(image) in known for image in other.images_NHWC)


def _read_class(data: DataConfig, part: str, class_name: str) -> ImageSet:
    one = DataConfig.model_validate({**data.model_dump(), "split": part, "class_name": class_name})
    try:
        return read_images(one).select(class_name)
    except DataError as error:
        raise DataError(f"{part} part, class {class_name}: {error}") from None


def _pixels(image_HWC: np.ndarray) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(image_HWC).data).digest()
