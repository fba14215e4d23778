"""NumPy archives of images and labels: MedMNIST's, or plain ``images`` and ``labels``.

Shape letters: N images, H W height and width, C colour channels.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from qgan_qiskit.config import DataConfig
from qgan_qiskit.data.archive import check_size, open_zip
from qgan_qiskit.data.arrays import read_rows
from qgan_qiskit.data.files import shown
from qgan_qiskit.data.image_set import ImageSet
from qgan_qiskit.data.listing import Listing
from qgan_qiskit.errors import DataError

DERMAMNIST = ("AKIEC", "BCC", "BKL", "DF", "MEL", "NV", "VASC")
MAX_ARRAY_BYTES = 64 * 2**30


def list_npz(path: Path) -> Listing:
    """List the training images of an npz archive, reading the labels only; names are ``train_images[7]``.

    Raises:
        DataError: a missing key, or labels of another type or shape; the message names file and key.
    """
    prefix, notes = _check_archive(path)
    labels_N = _array(path, f"{prefix}labels")
    where = f"{shown(str(path))}, {prefix}labels"
    if labels_N.dtype.kind not in "iu":
        raise DataError(f"{where}: labels must be integers, not {labels_N.dtype}")
    if labels_N.ndim == 2 and labels_N.shape[1] == 1:
        labels_N = labels_N[:, 0]
    if labels_N.ndim != 1 or not len(labels_N):
        raise DataError(f"{where}: labels must have the shape (N,) or (N, 1), not {labels_N.shape}")
    values = [int(value) for value in np.unique(labels_N)]
    name_of = {value: str(value) for value in values}
    if prefix == "" and (classes := _class_names(path)) and set(values) <= set(range(len(classes))):
        name_of = {value: classes[value] for value in values}
    elif path.name.lower().startswith("dermamnist") and set(values) <= set(range(len(DERMAMNIST))):
        name_of = {value: DERMAMNIST[value] for value in values}
    return Listing(
        names=[f"{prefix}images[{row}]" for row in range(len(labels_N))],
        labels=[name_of[int(value)] for value in labels_N],
        groups=[""] * len(labels_N),
        classes=tuple(name_of[value] for value in values),
        notes=notes,
    )


def read_npz(path: Path, config: DataConfig) -> ImageSet:
    """Read the training images of an npz archive (of MedMNIST's splits only ``train`` is used).

    Args:
        path: archive with ``train_images`` and ``train_labels``, or ``images`` and ``labels``: uint8 of shape
            (N, H, W, 3), (N, H, W, 1) or (N, H, W), and integers of shape (N,) or (N, 1). Grey is repeated to RGB.
        config: ``class_name``, ``limit`` and ``resolution`` apply.

    Raises:
        DataError: a missing key, another type or shape, or a damaged file; the message names file and key.
    """
    whole = list_npz(path)
    key = whole.names[0].partition("[")[0]
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
    if len(images_NHWC) != len(whole.names):
        raise DataError(f"{where}: {len(images_NHWC):,} images, but {len(whole.names):,} labels")
    return read_rows(images_NHWC, whole, config)


def _check_archive(path: Path) -> tuple[str, tuple[str, ...]]:
    """Return the prefix of the keys that are used (``train_`` or nothing) and notes; refuse an exploding archive."""
    with open_zip(path) as archive:
        for entry in archive.infolist():
            check_size(path, entry, MAX_ARRAY_BYTES)
        keys = [entry.filename.removesuffix(".npy") for entry in archive.infolist()]
    prefix = "" if "images" in keys and "train_images" not in keys else "train_"
    for key in (f"{prefix}images", f"{prefix}labels"):
        if key not in keys:
            raise DataError(
                f"{shown(str(path))} has no array '{key}' (found {shown(', '.join(keys) or 'nothing')}): "
                "save train_images and train_labels, or images and labels"
            )
        if keys.count(key) > 1:
            raise DataError(f"{shown(str(path))} has the array '{key}' twice: save it again")
    others = [key for key in ("val_images", "test_images") if prefix and key in keys]
    return prefix, ((f"of {path.name} only train_images is used, not {' and '.join(others)}",) if others else ())


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
