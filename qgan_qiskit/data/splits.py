"""Training, validation and test split: the source's own, or else one by lesion that no other image influences.

Shape letters: N images, M selected images.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from qgan_qiskit.config import DataConfig
from qgan_qiskit.data.dataset import ImageSet, split_unit
from qgan_qiskit.data.files import printable
from qgan_qiskit.errors import DataError


def assign_split(unit: str, config: DataConfig) -> str:
    """Return the split of a lesion: a pure function of its name, the split seed and the two fractions.

    Other lesions, classes and numbers change nothing, so neither a further download nor a limit moves an image to another
    split; raising a fraction only adds lesions to its split.

    Args:
        unit: a lesion, or an image whose lesion is unknown; see :func:`split_unit`.
        config: ``split_seed``, ``validation_fraction`` and ``test_fraction`` apply.

    Returns:
        ``train``, ``validation`` or ``test``.
    """
    digest = hashlib.sha256(f"{config.split_seed} {unit}".encode("utf-8", "surrogateescape")).digest()
    # 53 bits, as many as a float holds, so that the number is below 1.
    number = (int.from_bytes(digest[:8], "big") >> 11) / 2**53
    # Test is at one end of the interval and validation at the other: neither fraction moves the other split.
    if number < config.test_fraction:
        return "test"
    return "validation" if number >= 1 - config.validation_fraction else "train"


def select_split(images: ImageSet, config: DataConfig, unit_of: Mapping[str, str] | None = None) -> ImageSet:
    """Return the images of ``config.split``, with a note on how many there are; empty classes are left out.

    The source's own splits decide where it has any, otherwise :func:`assign_split`.

    Args:
        images: all images, of one class or of several.
        config: the split and its settings.
        unit_of: the unit of an image, by its name, where near-duplicates make it another than its own
            (``duplicates.merge_units``). These images get that unit as their group.

    Raises:
        DataError: the split has no image.
    """
    if any(images.splits):
        return _select_own_split(images, str(config.split))
    own = [split_unit(name, group) for name, group in zip(images.names, images.groups, strict=True)]
    units = [(unit_of or {}).get(name, unit) for name, unit in zip(images.names, own, strict=True)]
    merged = {unit for unit, before in zip(units, own, strict=True) if unit != before}
    split_of = {unit: assign_split(unit, config) for unit in dict.fromkeys(units)}
    rows_M = np.array([row for row, unit in enumerate(units) if split_of[unit] == config.split], np.int64)
    if not len(rows_M):
        fraction = config.split == "train" or getattr(config, f"{config.split}_fraction")
        remedy = "set another --split-seed" if fraction else f"raise --{config.split}-fraction"
        raise DataError(
            f"none of the {len(images):,} images ({len(split_of):,} lesions) of class {', '.join(images.classes)} is in the "
            f"{config.split} split: {remedy}, or give more images"
        )
    groups = tuple(
        unit.removeprefix("lesion ") if unit in merged else group
        for unit, group in zip(units, images.groups, strict=True)
    )
    lesions = len({units[row] for row in rows_M})
    notes = [
        f"{config.split} split: {len(rows_M):,} of {len(images):,} images, {lesions:,} of {len(split_of):,} lesions "
        f"(split seed {config.split_seed})"
    ]
    unknown = images.groups.count("")
    if unknown:
        notes.append(f"the lesion of {unknown:,} images is unknown: each counts as a lesion of its own")
    return _take_split(replace(images, groups=groups), rows_M, str(config.split), notes)


def _select_own_split(images: ImageSet, split: str) -> ImageSet:
    """Return the images that the source itself puts into a split."""
    own = sorted(set(images.splits) - {""})
    rows_M = np.array([row for row, each in enumerate(images.splits) if each == split], np.int64)
    if not len(rows_M):
        raise DataError(
            f"the source has its own splits ({', '.join(own)}), and the {split} split of class "
            f"{', '.join(images.classes)} has no image: give --split {own[0]} or --split all, or another source"
        )
    notes = [f"{split} split: {len(rows_M):,} of {len(images):,} images, by the source's own splits ({', '.join(own)})"]
    without = images.splits.count("")
    if without:
        notes.append(f"{without:,} images are in none of the source's own splits and are not used")
    splits_of: dict[str, set[str]] = {}
    for group, each in zip(images.groups, images.splits, strict=True):
        if group and each:
            splits_of.setdefault(group, set()).add(each)
    divided = [group for group, found in splits_of.items() if len(found) > 1]
    if divided:
        notes.append(
            f"{len(divided):,} patients or lesions have images in several of the source's own splits, such as "
            f"{printable(divided[0])}"
        )
    return _take_split(images, rows_M, split, notes)


def _take_split(images: ImageSet, rows_M: np.ndarray, split: str, notes: list[str]) -> ImageSet:
    """Return some rows without empty classes, with notes."""
    selected = images.take(rows_M).without_empty_classes()
    lost = [name for name in images.classes if name not in selected.classes]
    notes = [*notes, *(f"class {name} has no images in the {split} split" for name in lost)]
    return replace(selected, notes=(*selected.notes, *notes))
