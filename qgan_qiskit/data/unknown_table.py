"""Tables that nobody asked for but that list the images: whether they say something else than the folders do."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Iterator

from qgan_qiskit.data.files import Files, UnreadableError, shown
from qgan_qiskit.data.listing import Listing, decode_text, header, parse_table
from qgan_qiskit.errors import DataError

_TEXT = (".csv", ".tsv", ".tab", ".txt")
_TABLES = (*_TEXT, ".json", ".jsonl", ".xlsx", ".parquet")
# Enough rows to know what a column holds.
_ROWS = 200
_SHARE = 0.5


def check_no_other_table(files: Files, listing: Listing) -> None:
    """Refuse a table inside the source that lists its images and does not give them the classes of the folders.

    Raises:
        DataError: naming the table and the options that decide.
    """
    label_of: dict[str, str] = {}
    for name, label in zip(listing.names, listing.labels, strict=True):
        label_of[_key(name)] = label
    for name in files.names:
        if name.lower().endswith(_TABLES) and _lists(files, name, label_of):
            raise DataError(
                f"{shown(name)} lists the images, and what it says of them is not asked for: give --table {shown(name)} with "
                f"--image-column and --label-column{_columns(files, name)}, or --layout folders (the folders at the top are "
                "classes) or --layout flat (one class)"
            )


def _lists(files: Files, name: str, label_of: dict[str, str]) -> bool:
    try:
        content = files.read(name)
        if name.lower().endswith((".xlsx", ".parquet")):
            return _in_bytes(content, label_of)
        if name.lower().endswith(_TEXT) and not name.lower().endswith(".txt"):
            rows = [list(row.values()) for row in parse_table(name, content)[:_ROWS]]
        else:
            rows = list(_cells(name, decode_text(name, content)))
    except (UnreadableError, DataError):
        return False
    for column in zip(*rows, strict=False) if rows else ():
        cells = [_key(cell) for cell in column if cell.strip()]
        known = [cell for cell in cells if cell in label_of]
        if not known or len(known) < _SHARE * min(len(cells), len(label_of)):
            continue
        # Running numbers are everywhere: mere numbers are names of images only with their ending.
        if all(cell.isdecimal() for cell in known) and not any("." in cell for cell in column):
            continue
        if not _agrees(rows, column, label_of):
            return True
    return False


def _agrees(rows: list[list[str]], column: tuple[str, ...], label_of: dict[str, str]) -> bool:
    """Whether some column gives every image the class of its folder."""
    for other in zip(*rows, strict=False):
        pairs = [
            (label_of[_key(image)], cell) for image, cell in zip(column, other, strict=True) if _key(image) in label_of
        ]
        if other is not column and pairs and all(label.casefold() == cell.strip().casefold() for label, cell in pairs):
            return True
    return False


def _cells(name: str, text: str) -> Iterator[list[str]]:
    """Yield the texts in a JSON file, one by one, or the cells of a text file."""
    if name.lower().endswith(".txt"):
        for row in list(csv.reader(io.StringIO(text), delimiter="," if "," in text.partition("\n")[0] else " "))[
            :_ROWS
        ]:
            if row:
                yield [row[0]]
        return
    try:
        lines = [json.loads(text)]
    except (ValueError, RecursionError):
        try:
            lines = [json.loads(line) for line in text.splitlines() if line.strip()]
        except (ValueError, RecursionError):
            return
    stack = list(lines)
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            stack += [*item.keys(), *item.values()]
        elif isinstance(item, list):
            stack += item
        elif isinstance(item, str) and "." in item:
            yield [item]


def _in_bytes(content: bytes, label_of: dict[str, str]) -> bool:
    """Whether most names of images are somewhere in a spreadsheet or a Parquet file, which are not read as tables."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            content = b"".join(archive.read(entry) for entry in archive.infolist() if entry.filename.endswith(".xml"))
    except (zipfile.BadZipFile, RuntimeError, OSError, NotImplementedError):
        pass
    content = content.lower()
    names = [name for name in list(label_of)[:_ROWS] if len(name) > 2]
    return bool(names) and sum(name.encode() in content for name in names) >= _SHARE * len(names)


def _columns(files: Files, name: str) -> str:
    found = header(files, name) if name.lower().endswith(_TEXT) else []
    return f" (it has {shown(', '.join(found))})" if found else ""


def _key(cell: str) -> str:
    last = cell.strip().replace("\\", "/").rpartition("/")[2].casefold()
    head, dot, ending = last.rpartition(".")
    return head if dot and ending.isalnum() and len(ending) <= 4 else last
