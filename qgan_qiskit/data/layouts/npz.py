"""NumPy archives of images and labels: MedMNIST's, or plain ``images`` and ``labels``.

Shape letters: N images, H W height and width, C color channels.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from qgan_qiskit.config import DataConfig
from qgan_qiskit.data.dataset import ImageSet
from qgan_qiskit.data.decoding import read_rows
from qgan_qiskit.data.files import check_size, open_zip, shown
from qgan_qiskit.data.layouts.listing import Listing
from qgan_qiskit.errors import DataError

DERMAMNIST = ("AKIEC", "BCC", "BKL", "DF", "MEL", "NV", "VASC")
MAX_ARRAY_BYTES = 64 * 2**30
# Prefixes of the keys, and the split of the images under them.
SPLITS = {"train_": "train", "val_": "validation", "test_": "test", "": ""}


def list_npz(path: Path) -> Listing:
    """List the images of all splits of an npz archive, reading the labels only; names are ``train_images[7]``.

    Raises:
        DataError: a missing key, or labels of another type or shape; the message names file and key.
    """
    prefixes = _check_archive(path)
    labels_of = {prefix: _labels(path, prefix) for prefix in prefixes}
    values = [int(value) for value in np.unique(np.concatenate(list(labels_of.values())))]
    name_of = {value: str(value) for value in values}
    if (classes := _class_names(path)) and set(values) <= set(range(len(classes))):
        name_of = {value: classes[value] for value in values}
    elif path.name.lower().startswith("dermamnist") and set(values) <= set(range(len(DERMAMNIST))):
        name_of = {value: DERMAMNIST[value] for value in values}
    names, labels, splits = [], [], []
    for prefix, labels_N in labels_of.items():
        names += [f"{prefix}images[{row}]" for row in range(len(labels_N))]
        labels += [name_of[int(value)] for value in labels_N]
        splits += [SPLITS[prefix]] * len(labels_N)
    return Listing(
        names=names,
        labels=labels,
        groups=[""] * len(names),
        classes=tuple(name_of[value] for value in values),
        splits=splits,
        layout="npz of MedMNIST's keys" if "train_" in prefixes else "npz",
    ).settled()


def read_npz(path: Path, config: DataConfig) -> ImageSet:
    """Read the images of an npz archive, those of all its splits.

    Args:
        path: archive with ``train_images`` and ``train_labels`` (and ``val_``, ``test_``), or ``images`` and ``labels``: uint8
            of shape (N, H, W, 3), (N, H, W, 1) or (N, H, W), and integers of shape (N,) or (N, 1). Gray is repeated to RGB.
        config: ``class_name``, ``limit`` and ``resolution`` apply.

    Raises:
        DataError: a missing key, another type or shape, or a damaged file; the message names file and key.
    """
    whole = list_npz(path)
    blocks = []
    for key in dict.fromkeys(name.partition("[")[0] for name in whole.names):
        images_NHWC = _pixels(path, key)
        labeled = sum(name.partition("[")[0] == key for name in whole.names)
        if len(images_NHWC) != labeled:
            raise DataError(f"{shown(str(path))}, {key}: {len(images_NHWC):,} images, but {labeled:,} labels")
        blocks.append(images_NHWC)
    if len({block.shape[1:] for block in blocks}) > 1:
        shapes = ", ".join(str(block.shape) for block in blocks)
        raise DataError(f"{shown(str(path))}: the images of its splits have the shapes {shapes}: save them in one size")
    return read_rows(np.concatenate(blocks) if len(blocks) > 1 else blocks[0], whole, config)


def _labels(path: Path, prefix: str) -> np.ndarray:
    """Return the integer labels of one split, of shape (N,)."""
    labels_N = _array(path, f"{prefix}labels")
    where = f"{shown(str(path))}, {prefix}labels"
    if labels_N.dtype.kind not in "iu":
        raise DataError(f"{where}: labels must be integers, not {labels_N.dtype}")
    if labels_N.ndim == 2 and labels_N.shape[1] == 1:
        labels_N = labels_N[:, 0]
    if labels_N.ndim != 1 or not len(labels_N):
        raise DataError(f"{where}: labels must have the shape (N,) or (N, 1), not {labels_N.shape}")
    return labels_N


def _pixels(path: Path, key: str) -> np.ndarray:
    """Return the uint8 pixels of one split, of shape (N, H, W, C)."""
    images_NHWC = _array(path, key)
    where = f"{shown(str(path))}, {key}"
    if images_NHWC.dtype != np.uint8:
        raise DataError(
            f"{where}: pixels must be uint8 from 0 to 255, not {images_NHWC.dtype}; convert and save them again"
        )
    if images_NHWC.ndim == 3:
        images_NHWC = images_NHWC[..., None]
    if images_NHWC.ndim != 4 or images_NHWC.shape[3] not in (1, 3) or 0 in images_NHWC.shape:
        raise DataError(f"{where}: images must have the shape (N, H, W, 3) or (N, H, W), not {images_NHWC.shape}")
    return images_NHWC


def _check_archive(path: Path) -> list[str]:
    """Return the prefixes of the keys that are used (``train_``, ``val_``, ``test_``, or nothing); refuse a hostile archive."""
    with open_zip(path) as archive:
        for entry in archive.infolist():
            check_size(path, entry, MAX_ARRAY_BYTES)
        keys = [entry.filename.removesuffix(".npy") for entry in archive.infolist()]
    prefixes = [prefix for prefix in SPLITS if prefix and f"{prefix}images" in keys]
    if not prefixes:
        prefixes = [""] if "images" in keys else ["train_"]
    elif "train_" not in prefixes:
        prefixes = ["train_", *prefixes]
    for key in [f"{prefix}{kind}" for prefix in prefixes for kind in ("images", "labels")]:
        if key not in keys:
            raise DataError(
                f"{shown(str(path))} has no array '{key}' (found {shown(', '.join(keys) or 'nothing')}): "
                "save train_images and train_labels, or images and labels"
            )
        if keys.count(key) > 1:
            raise DataError(f"{shown(str(path))} has the array '{key}' twice: save it again")
    return prefixes


def _class_names(path: Path) -> tuple[str, ...]:
    """Return the names in the array ``classes``, which generated images bring along; none without one."""
    with open_zip(path) as archive:
        if "classes.npy" not in archive.namelist():
            return ()
    names = _array(path, "classes")
    texts = names.dtype.kind == "U" and names.ndim == 1 and len(set(names.tolist())) == len(names)
    return tuple(names.tolist()) if texts else ()


def _array(path: Path, key: str) -> np.ndarray:
    """Load one array; nothing that needs pickle is ever loaded."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return archive[key]
    except (ValueError, OSError, EOFError, KeyError, MemoryError, BadZipFile, zlib.error, RuntimeError) as error:
        reason = "it holds Python objects" if "allow_pickle" in str(error) else " ".join(str(error).split())
        raise DataError(f"{shown(str(path))}, {key}: cannot be loaded ({reason}); save or fetch it again") from error
