"""Training, validation and test part of any images, divided by lesion.

Shape letters: N images, M chosen ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from qgan_qiskit.config import DataConfig
from qgan_qiskit.data.dataset import ImageSet, unit_of
from qgan_qiskit.data.files import shown
from qgan_qiskit.errors import DataError


def part_of(unit: str, config: DataConfig) -> str:
    """Return the part that a lesion falls into: a pure function of its name, the split seed and the two shares.

    Which other lesions there are, their classes and numbers change nothing, so neither a further download nor a limit moves
    an image from one part to another; raising a share only adds lesions to its part.

    Args:
        unit: name of a lesion, or of an image whose lesion is unknown; see :func:`unit_of`.
        config: ``split_seed``, ``validation_fraction`` and ``test_fraction`` apply.

    Returns:
        ``train``, ``validation`` or ``test``.
    """
    digest = hashlib.sha256(f"{config.split_seed} {unit}".encode("utf-8", "surrogateescape")).digest()
    # 53 bits: as many as a float holds, so that the place is below 1.
    place = (int.from_bytes(digest[:8], "big") >> 11) / 2**53
    # The test part lies at one end of the line and the validation part at the other: neither share moves the other's.
    if place < config.test_fraction:
        return "test"
    return "validation" if place >= 1 - config.validation_fraction else "train"


def select_split(images: ImageSet, config: DataConfig, unit_of_name: Mapping[str, str] | None = None) -> ImageSet:
    """Return the images of ``config.split``, with a note of how many there are; classes without any are left out.

    A source's own splits decide where it has any, else the division by lesion.

    Args:
        images: all images, of one class or of several.
        config: the part, and what the division goes by.
        unit_of_name: what decides the part of an image, by its name, where that is another unit than its own as it shows the
            same picture as that one (``duplicates.joined``). These images get this unit's name as their group.

    Raises:
        DataError: there are none.
    """
    splits = sorted(set(images.splits) - {""})
    if splits:
        return _own_part(images, str(config.split), splits)
    own = [unit_of(name, group) for name, group in zip(images.names, images.groups, strict=True)]
    units = [(unit_of_name or {}).get(name, unit) for name, unit in zip(images.names, own, strict=True)]
    several = {unit for unit, before in zip(units, own, strict=True) if unit != before}
    parts = {unit: part_of(unit, config) for unit in dict.fromkeys(units)}
    rows_M = np.array([row for row, unit in enumerate(units) if parts[unit] == config.split], np.int64)
    chosen = len({units[row] for row in rows_M})
    if not chosen:
        remedy = (
            "set another --split-seed"
            if config.split == "train" or getattr(config, f"{config.split}_fraction")
            else f"raise --{config.split}-fraction"
        )
        raise DataError(
            f"none of the {len(images):,} images ({len(parts):,} lesions) of class {', '.join(images.classes)} is in the "
            f"{config.split} part: {remedy}, or give more images"
        )
    groups = tuple(
        unit.removeprefix("lesion ") if unit in several else group
        for unit, group in zip(units, images.groups, strict=True)
    )
    part = _of_rows(replace(images, groups=groups), rows_M)
    classes = part.classes
    notes = [
        f"{config.split} part: {len(rows_M):,} of {len(images):,} images, {chosen:,} of {len(parts):,} lesions "
        f"(split seed {config.split_seed})"
    ]
    unknown = sum(not group for group in images.groups)
    if unknown:
        notes.append(f"the lesion of {unknown:,} images is unknown: each counts as a lesion of its own")
    lost = [name for name in images.classes if name not in classes]
    notes += [f"class {name} has no images in the {config.split} part" for name in lost]
    return replace(part, notes=(*part.notes, *notes))


def _own_part(images: ImageSet, wanted: str, own: list[str]) -> ImageSet:
    """Return the images that the source itself puts into a part."""
    rows_M = np.array([row for row, split in enumerate(images.splits) if split == wanted], np.int64)
    if not len(rows_M):
        raise DataError(
            f"the source has its own splits ({', '.join(own)}), and the {wanted} part of class "
            f"{', '.join(images.classes)} has no image: give --split {own[0]} or --split all, or another source"
        )
    part = _of_rows(images, rows_M)
    notes = [f"{wanted} part: {len(rows_M):,} of {len(images):,} images, by the source's own splits ({', '.join(own)})"]
    without = sum(not split for split in images.splits)
    if without:
        notes.append(f"{without:,} images are in none of the source's own splits and so in no part")
    splits_of: dict[str, set[str]] = {}
    for group, split in zip(images.groups, images.splits, strict=True):
        if group and split:
            splits_of.setdefault(group, set()).add(split)
    parted = [group for group, found in splits_of.items() if len(found) > 1]
    if parted:
        notes.append(
            f"{len(parted):,} patients or lesions have images in several of the source's own splits, such as {shown(parted[0])}"
        )
    notes += [f"class {name} has no images in the {wanted} part" for name in images.classes if name not in part.classes]
    return replace(part, notes=(*part.notes, *notes))


def _of_rows(images: ImageSet, rows_M: np.ndarray) -> ImageSet:
    """Return the images of some rows and the classes that occur among them."""
    classes = tuple(images.classes[label] for label in np.unique(images.labels_N[rows_M]))
    index_of = {images.classes.index(name): index for index, name in enumerate(classes)}
    labels_M = np.array([index_of[int(label)] for label in images.labels_N[rows_M]], np.int64)
    return images.rows(rows_M, labels_M, classes)
