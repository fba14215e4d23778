"""Images whose pixels lie in arrays: npz archives (MedMNIST's or plain ones), CIFAR-10's binary batches, scikit-learn's digits.

Names of images are an array's name and a row (``train_images[7]``). Nothing that needs pickle is ever loaded. Shape letters:
N images, H W height and width, C color channels.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from qgan_qiskit.config import DataConfig
from qgan_qiskit.data.files import Files, basename, check_entry_size, open_zip, printable
from qgan_qiskit.data.layouts.listing import Layout, Listing
from qgan_qiskit.data.layouts.tables import load
from qgan_qiskit.errors import DataError

_MAX_ARRAY_BYTES = 64 * 2**30
# Prefixes of the keys of an npz, and the split of the images below them.
_NPZ_SPLITS = {"train_": "train", "val_": "validation", "test_": "test", "": ""}
_DERMAMNIST_CLASSES = ("AKIEC", "BCC", "BKL", "DF", "MEL", "NV", "VASC")


def list_npz(path: Path) -> Listing:
    """List the images of all splits of an npz archive; only labels are read until the pixels are asked for.

    Args:
        path: archive with ``train_images`` and ``train_labels`` (and ``val_``, ``test_``), or ``images`` and ``labels``: uint8
            of shape (N, H, W, 3), (N, H, W, 1) or (N, H, W), and integers of shape (N,) or (N, 1).

    Raises:
        DataError: a missing key, another type or shape, or a damaged file; the message names file and key.
    """
    labels_of = {prefix: _npz_labels(path, prefix) for prefix in _npz_prefixes(path)}
    values = np.unique(np.concatenate(list(labels_of.values()))).tolist()
    classes = _npz_class_names(path, values)
    name_of = dict(zip(values, classes, strict=True))
    rows = [(prefix, row) for prefix, labels_N in labels_of.items() for row in range(len(labels_N))]
    return Listing(
        names=[f"{prefix}images[{row}]" for prefix, row in rows],
        labels=[name_of[value] for labels_N in labels_of.values() for value in labels_N.tolist()],
        groups=[],
        classes=tuple(classes),
        splits=[_NPZ_SPLITS[prefix] for prefix, _ in rows],
        layout="npz of MedMNIST's keys" if "train_" in labels_of else "npz",
        load_pixels=lambda: _npz_pixels(path, {prefix: len(labels_N) for prefix, labels_N in labels_of.items()}),
    ).drop_trivial_splits()


def _npz_prefixes(path: Path) -> list[str]:
    """Return the prefixes of the keys that are there (``train_``, ``val_``, ``test_``, or none); reject a hostile archive."""
    with open_zip(path) as archive:
        for entry in archive.infolist():
            check_entry_size(path, entry, _MAX_ARRAY_BYTES)
        keys = [entry.filename.removesuffix(".npy") for entry in archive.infolist()]
    prefixes = [prefix for prefix in _NPZ_SPLITS if prefix and f"{prefix}images" in keys]
    if not prefixes:
        prefixes = [""] if "images" in keys else ["train_"]
    elif "train_" not in prefixes:
        prefixes = ["train_", *prefixes]
    for key in [f"{prefix}{kind}" for prefix in prefixes for kind in ("images", "labels")]:
        if key not in keys:
            found = printable(", ".join(keys) or "nothing")
            remedy = "save train_images and train_labels, or images and labels"
            raise _npz_error(path, f"no array '{key}' (found {found}): {remedy}")
        if keys.count(key) > 1:
            raise _npz_error(path, f"the array '{key}' appears twice: save it again")
    return prefixes


def _npz_labels(path: Path, prefix: str) -> np.ndarray:
    """Return the integer labels of one split, of shape (N,)."""
    labels_N = _load_array(path, f"{prefix}labels")
    if labels_N.dtype.kind not in "iu":
        raise _npz_error(path, f"{prefix}labels must be integers, not {labels_N.dtype}")
    if labels_N.ndim == 2 and labels_N.shape[1] == 1:
        labels_N = labels_N[:, 0]
    if labels_N.ndim != 1 or not len(labels_N):
        raise _npz_error(path, f"{prefix}labels must have the shape (N,) or (N, 1), not {labels_N.shape}")
    return labels_N


def _npz_class_names(path: Path, values: list[int]) -> list[str]:
    """Return the names of the label values: from the array ``classes``, DermaMNIST's own, or the values themselves."""
    with open_zip(path) as archive:
        has_names = "classes.npy" in archive.namelist()
    if has_names:
        names = _load_array(path, "classes")
        texts = names.tolist() if names.dtype.kind == "U" and names.ndim == 1 else []
        if len(set(texts)) == len(texts) and set(values) <= set(range(len(texts))):
            return [texts[value] for value in values]
    if path.name.lower().startswith("dermamnist") and set(values) <= set(range(len(_DERMAMNIST_CLASSES))):
        return [_DERMAMNIST_CLASSES[value] for value in values]
    return [str(value) for value in values]


def _npz_pixels(path: Path, counts: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Return the pixels of all splits by name; ``counts`` has the number of labels of each prefix."""
    arrays = {f"{prefix}images": _npz_images(path, f"{prefix}images") for prefix in counts}
    for (key, images_NHWC), count in zip(arrays.items(), counts.values(), strict=True):
        if len(images_NHWC) != count:
            raise _npz_error(path, f"{key}: {len(images_NHWC):,} images, but {count:,} labels")
    if len({images_NHWC.shape[1:] for images_NHWC in arrays.values()}) > 1:
        shapes = ", ".join(str(images_NHWC.shape) for images_NHWC in arrays.values())
        raise _npz_error(path, f"the images of its splits have the shapes {shapes}: save them in one size")
    return {f"{key}[{row}]": image for key, images_NHWC in arrays.items() for row, image in enumerate(images_NHWC)}


def _npz_images(path: Path, key: str) -> np.ndarray:
    """Return the uint8 pixels of one split, of shape (N, H, W, C)."""
    images_NHWC = _load_array(path, key)
    if images_NHWC.dtype != np.uint8:
        raise _npz_error(
            path, f"{key} must be uint8 from 0 to 255, not {images_NHWC.dtype}; convert and save them again"
        )
    if images_NHWC.ndim == 3:
        images_NHWC = images_NHWC[..., None]
    if images_NHWC.ndim != 4 or images_NHWC.shape[3] not in (1, 3) or 0 in images_NHWC.shape:
        raise _npz_error(path, f"{key} must have the shape (N, H, W, 3) or (N, H, W), not {images_NHWC.shape}")
    return images_NHWC


def _load_array(path: Path, key: str) -> np.ndarray:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return archive[key]
    except (ValueError, OSError, EOFError, KeyError, MemoryError, BadZipFile, zlib.error, RuntimeError) as error:
        reason = "it holds Python objects" if "allow_pickle" in str(error) else " ".join(str(error).split())
        raise _npz_error(path, f"{key}: cannot be loaded ({reason}); save or download it again") from error


def _npz_error(path: Path, reason: str) -> DataError:
    return DataError(f"{printable(str(path))}: {reason}")


CIFAR_BATCHES = (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin")
CIFAR_OFFICIAL_RECORDS = 10_000
_CIFAR_META = "batches.meta.txt"
_CIFAR_CLASSES = 10
_CIFAR_REMEDY = "; unpack cifar-10-binary.tar.gz again"
_CIFAR_SIDE = 32
# One byte for the label and three color planes.
_CIFAR_RECORD_BYTES = 1 + 3 * _CIFAR_SIDE**2


def list_cifar10(files: Files, config: DataConfig) -> Listing | None:
    """List the images of the binary version of CIFAR-10, or return None when there is no batch.

    Training batches come first, then the test batch; a batch that is not there is a note. The classes are those of
    batches.meta.txt, in its order. Of several folders with batches the least nested one counts.

    Source: A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images (2009); layout of cifar-10-binary.tar.gz.

    Raises:
        DataError: no batches.meta.txt with ten names next to the batches, a batch that is no whole number of records, or a
            label above 9; the message names the file.
    """
    found = [name for name in files.names if basename(name) in CIFAR_BATCHES]
    if not found:
        return None
    nearest = min(found, key=lambda name: (name.count("/"), name))
    folder = nearest.removesuffix(basename(nearest))
    classes = _cifar_classes(files, folder)
    batches = {batch: _cifar_records(files, folder + batch) for batch in CIFAR_BATCHES if folder + batch in files.names}
    names = [f"{batch}[{row}]" for batch, records in batches.items() for row in range(len(records))]
    records_NR = np.concatenate(list(batches.values()))
    images_NHWC = records_NR[:, 1:].reshape(-1, 3, _CIFAR_SIDE, _CIFAR_SIDE).transpose(0, 2, 3, 1)
    return Listing(
        names=names,
        labels=[classes[label] for label in records_NR[:, 0].tolist()],
        groups=[],
        classes=tuple(classes[label] for label in np.unique(records_NR[:, 0]).tolist()),
        notes=_cifar_notes({batch: len(records) for batch, records in batches.items()}),
        splits=["test" if name.startswith("test_batch") else "train" for name in names],
        layout="CIFAR-10",
        load_pixels=lambda: dict(zip(names, images_NHWC, strict=True)),
    ).drop_trivial_splits()


def _cifar_records(files: Files, name: str) -> np.ndarray:
    """Return the records of one batch: uint8 of shape (records, 3073), the label first."""
    content = load(files, name, _CIFAR_REMEDY)
    if not content or len(content) % _CIFAR_RECORD_BYTES:
        size = f"{len(content):,} bytes, not one or more records of {_CIFAR_RECORD_BYTES:,} bytes"
        raise _cifar_error(f"{printable(name)} has {size}")
    records = np.frombuffer(content, np.uint8).reshape(-1, _CIFAR_RECORD_BYTES)
    wrong = np.flatnonzero(records[:, 0] >= _CIFAR_CLASSES)
    if len(wrong):
        label = f"the label {records[wrong[0], 0]}, not 0 to {_CIFAR_CLASSES - 1}"
        raise _cifar_error(f"{printable(name)}[{wrong[0]}] has {label}")
    return records


def _cifar_classes(files: Files, folder: str) -> list[str]:
    """Return the ten names of batches.meta.txt."""
    name = folder + _CIFAR_META
    if name not in files.names:
        root = printable(str(files.root))
        raise _cifar_error(f"{printable(name)} is missing under {root}: it names the classes of the batches there")
    try:
        text = load(files, name, _CIFAR_REMEDY).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _cifar_error(f"cannot read {printable(name)}: {error}") from error
    names = [line.strip() for line in text.split("\n") if line.strip()]
    distinct = {name.casefold() for name in names if name.isprintable()}
    if not len(names) == len(distinct) == _CIFAR_CLASSES:
        found = f"{len(distinct)} different classes in {len(names)} lines"
        raise _cifar_error(f"{printable(name)} names {found}, not {_CIFAR_CLASSES} in {_CIFAR_CLASSES}")
    return names


def _cifar_error(reason: str) -> DataError:
    return DataError(reason + _CIFAR_REMEDY)


def _cifar_notes(counts: Mapping[str, int]) -> tuple[str, ...]:
    """Return what is there, and what differs from the original."""
    missing = [batch for batch in CIFAR_BATCHES if batch not in counts]
    head = f"CIFAR-10: {sum(counts.values()):,} images of {len(counts)} of its {len(CIFAR_BATCHES)} batches"
    notes = [head + (f"; not there: {', '.join(missing)}" if missing else "")]
    other = [f"{count:,} in {batch}" for batch, count in counts.items() if count != CIFAR_OFFICIAL_RECORDS]
    if other:
        notes.append(f"a cut or edited copy: {', '.join(other)}, where the original has {CIFAR_OFFICIAL_RECORDS:,}")
    return tuple(notes)


CIFAR_10 = Layout("cifar10", list_cifar10)

DIGITS = "sklearn:digits"
DIGIT_CLASSES = tuple("0123456789")
# The brightest of the digits' levels, which start at 0.
_DIGITS_WHITE = 16


def list_digits() -> Listing:
    """List the 1,797 handwritten digits of 8x8 pixels that come with scikit-learn, white on black; nothing is downloaded.

    They are the test set of UCI's optical recognition of handwritten digits.
    """
    from sklearn.datasets import load_digits

    table = load_digits()
    names = [f"{DIGITS}[{row}]" for row in range(len(table.target))]
    gray_NHWC = np.rint(table.images * (255 / _DIGITS_WHITE)).astype(np.uint8)[..., None]
    return Listing(
        names=names,
        labels=[str(label) for label in table.target],
        groups=[],
        classes=DIGIT_CLASSES,
        notes=("the 8x8 digits that come with scikit-learn",),
        load_pixels=lambda: dict(zip(names, gray_NHWC, strict=True)),
    )
