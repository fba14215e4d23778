"""CIFAR-10 in its binary version: batches of records, each a label byte and the three color planes of 32x32 pixels.

Source: A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images (2009); the layout as the data set's page has
it (cifar-10-binary.tar.gz).

Shape letters: N records, H W height and width, C color channels (red, green, blue).
"""

from __future__ import annotations

import numpy as np

from qgan_qiskit.config import DataConfig
from qgan_qiskit.data.dataset import ImageSet
from qgan_qiskit.data.decoding import read_rows
from qgan_qiskit.data.files import Files, UnreadableError, base, shown
from qgan_qiskit.data.layouts.listing import Listing
from qgan_qiskit.errors import DataError

BATCHES = (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin")
NAMES = "batches.meta.txt"
NUMBER_OF_CLASSES = 10
LAYOUT = "CIFAR-10"
OFFICIAL_RECORDS = 10_000
_SIDE = 32
_RECORD_BYTES = 1 + 3 * _SIDE**2
_REMEDY = "unpack cifar-10-binary.tar.gz again"


def has_batches(files: Files) -> bool:
    """Whether ``files`` holds a batch of CIFAR-10's binary version."""
    return any(base(name) in BATCHES for name in files.names)


def list_cifar(files: Files) -> Listing:
    """List the images of all batches that are there; names are ``data_batch_1.bin[17]``.

    The classes have the names of batches.meta.txt, in its order. First come the images of the training batches, then those
    of the test batch; a batch that is not there is a note. No image has a group.

    Raises:
        DataError: no batches.meta.txt beside the batches or not ten names in it, a batch that is no whole number of records,
            or a label beyond 9; the message names the file.
    """
    return _read(files)[0]


def read_cifar(files: Files, config: DataConfig) -> ImageSet:
    """Read the images of :func:`list_cifar`.

    Args:
        files: where the batches lie, in any folder; of several folders the least deep one counts.
        config: ``class_name``, ``limit`` and ``resolution`` apply; 32 keeps the pixels, other sizes are resized as files are.

    Raises:
        DataError: as above, or no such class.
    """
    whole, pixels_NHWC = _read(files)
    return read_rows(pixels_NHWC, whole, config)


def _read(files: Files) -> tuple[Listing, np.ndarray]:
    """Return all labeled names, and uint8 pixels of shape (N, 32, 32, 3)."""
    nearest = min((n for n in files.names if base(n) in BATCHES), key=lambda name: (name.count("/"), name))
    folder = nearest.removesuffix(base(nearest))
    class_names = _class_names(files, folder)
    records = {batch: _records(files, folder + batch) for batch in BATCHES if folder + batch in files.names}
    names = [f"{batch}[{row}]" for batch, rows in records.items() for row in range(len(rows))]
    records_NR = np.concatenate(list(records.values()))
    labels_N = records_NR[:, 0]
    present = np.unique(labels_N).tolist()
    listing = Listing(
        names=names,
        labels=[class_names[label] for label in labels_N.tolist()],
        groups=[""] * len(names),
        classes=tuple(class_names[label] for label in present),
        notes=_notes({batch: len(rows) for batch, rows in records.items()}),
        splits=["test" if name.startswith("test_batch") else "train" for name in names],
        layout=LAYOUT,
    ).settled()
    return listing, records_NR[:, 1:].reshape(-1, 3, _SIDE, _SIDE).transpose(0, 2, 3, 1)


def _records(files: Files, name: str) -> np.ndarray:
    """Return the records of one batch: uint8 of shape (records, 3073), the label first."""
    content = _content(files, name)
    if not content or len(content) % _RECORD_BYTES:
        raise DataError(
            f"{shown(name)} has {len(content):,} bytes, not one or more records of {_RECORD_BYTES:,} bytes: {_REMEDY}"
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, _RECORD_BYTES)
    wrong = np.flatnonzero(records[:, 0] >= NUMBER_OF_CLASSES)
    if len(wrong):
        raise DataError(
            f"{shown(name)}[{wrong[0]}] has the label {records[wrong[0], 0]}, not 0 to {NUMBER_OF_CLASSES - 1}: {_REMEDY}"
        )
    return records


def _class_names(files: Files, folder: str) -> list[str]:
    """Return the ten names of batches.meta.txt."""
    name = folder + NAMES
    if name not in files.names:
        raise DataError(
            f"{shown(name)} is missing under {shown(str(files.root))}: it names the classes of the batches there; {_REMEDY}"
        )
    try:
        text = _content(files, name).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"cannot read {shown(name)}: {error}; {_REMEDY}") from error
    names = [line.strip() for line in text.split("\n") if line.strip()]
    distinct = {name.casefold() for name in names if name.isprintable()}
    if len(names) != NUMBER_OF_CLASSES or len(distinct) != NUMBER_OF_CLASSES:
        raise DataError(
            f"{shown(name)} names {len(distinct)} different classes in {len(names)} lines, not {NUMBER_OF_CLASSES} in "
            f"{NUMBER_OF_CLASSES}: {_REMEDY}"
        )
    return names


def _content(files: Files, name: str) -> bytes:
    try:
        return files.read(name)
    except UnreadableError as error:
        raise DataError(f"cannot read {shown(name)}: {error}; {_REMEDY}") from error


def _notes(counts: dict[str, int]) -> tuple[str, ...]:
    """Return what is there, and what is not as in the original."""
    missing = [batch for batch in BATCHES if batch not in counts]
    head = f"CIFAR-10: {sum(counts.values()):,} images of {len(counts)} of its {len(BATCHES)} batches"
    notes = [head + (f"; not there: {', '.join(missing)}" if missing else "")]
    other = [f"{count:,} in {batch}" for batch, count in counts.items() if count != OFFICIAL_RECORDS]
    if other:
        notes.append(f"a cut or edited copy: {', '.join(other)}, where the original has {OFFICIAL_RECORDS:,}")
    return tuple(notes)
