"""Tables that nobody asked for but that list the images: whether they say something else than the folders do."""

from __future__ import annotations

import csv
import io
import json
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from qgan_qiskit.data.files import MAX_FILE_BYTES, Files, UnreadableError, base, shown
from qgan_qiskit.data.layouts.listing import (
    TABLE_ENDINGS,
    Listing,
    decode_text,
    parse_table,
    table_content,
    tables_beside,
)
from qgan_qiskit.data.layouts.table import IMAGE_COLUMNS
from qgan_qiskit.errors import DataError

_TEXT = (*TABLE_ENDINGS, ".txt", ".json", ".jsonl", ".ndjson")
# Files whose cells cannot be seen: compressed in ways that are not undone here.
_CLOSED = (".parquet", ".xls", ".ods", ".feather", ".arrow")
_TABLES = (
    *_TEXT,
    *(f"{ending}.gz" for ending in _TEXT),
    *(f"{ending}.zip" for ending in TABLE_ENDINGS),
    ".xlsx",
    *_CLOSED,
)
_SHARE = 0.5


@dataclass(frozen=True)
class _Found:
    """A table that lists the images.

    Attributes:
        name: inside the source, or its path.
        columns: of a table of text.
        same: whether it gives the images the classes of their folders.
        other: where its classes have the folders' names, an image that has another of them in it.
    """

    name: str
    columns: tuple[str, ...] = ()
    same: bool = False
    other: str = ""


def check_other_tables(
    files: Files, listing: Listing, *, own: bool, beside: bool, layout_of: Callable[[], str | None]
) -> tuple[str, ...]:
    """Refuse, or note where folders are evidently classes, a table that lists the images and was not asked for.

    Args:
        files: the source.
        listing: what the folders say.
        own: whether the folders are evidently classes that somebody made, so that they win.
        beside: whether a table in the folder that the source lies in decides where the folders do not.
        layout_of: returns the ``--layout`` that reads such a table, None where there is none.

    Returns:
        Notes on tables that are not used.

    Raises:
        DataError: naming the table and the options that decide.
    """
    label_of = {_key(name): label for name, label in zip(listing.names, listing.labels, strict=True)}
    inside = [name for name in files.names if name.lower().endswith(_TABLES)]
    notes = []
    refused = []
    for name in [*inside, *tables_beside(files)]:
        found = _found(files, name, label_of, alone=len(listing.classes) == 1 and name in files.names)
        if found is None:
            continue
        if found.other:
            raise DataError(
                f"{shown(name)} gives {shown(found.other)} another class than its folder {shown(label_of[found.other])} does: "
                f"correct it, or say which counts: {_remedy(found, layout_of())}, or --layout folders"
            )
        if own or found.same or (name not in files.names and not beside):
            gives = "gives the images the same classes" if found.same else "lists the images too, and the folders won"
            notes.append(f"{shown(name)} {gives}: {_remedy(found, layout_of())} uses it")
        else:
            refused.append(found)
    if refused:
        # A table of names alone (of test images) says less than one with further columns.
        first = max(refused, key=lambda found: len(found.columns) > 1)
        raise DataError(
            f"{shown(first.name)} lists the images, and what it says of them is not asked for: give {_remedy(first, None)}, or "
            "--layout folders (the folders at the top are classes) or --layout flat (one class)"
        )
    return tuple(notes)


def _remedy(found: _Found, layout: str | None) -> str:
    if layout is not None:
        return f"--layout {layout}"
    if not found.name.lower().endswith((*TABLE_ENDINGS, ".json", ".jsonl")):
        return "--table FILE with the same saved as .csv with a header"
    has = f" (it has {shown(', '.join(found.columns))})" if found.columns else ""
    return f"--table {shown(found.name)} with --image-column and --label-column{has}"


def _found(files: Files, name: str, label_of: dict[str, str], *, alone: bool) -> _Found | None:
    """Return what a table says of the images, None where it does not list them.

    Args:
        files: where it is.
        name: of the table.
        label_of: class by the image's name without folder and ending.
        alone: whether nothing else says what the images are, so that mere numbers in a column of images, and tables whose
            cells cannot be seen, count too.
    """
    lower = name.lower()
    if lower.endswith(_CLOSED):
        return _Found(name) if alone else None
    try:
        content = _unpacked(name, table_content(files, name))
        if lower.endswith(".xlsx"):
            return _Found(name) if _in_spreadsheet(content, label_of) else None
        kind = lower.removesuffix(".gz").removesuffix(".zip")
        comma = kind.endswith(TABLE_ENDINGS)
        rows = parse_table(name, content) if comma else list(_cells(kind, decode_text(name, content)))
    except (UnreadableError, DataError, OSError):
        return None
    columns = tuple(rows[0]) if rows and comma else ()
    for column in rows[0] if rows else ():
        cells = {_key(row[column]) for row in rows if row[column].strip()}
        known = {cell for cell in cells if cell in label_of}
        if not known or len(known) < _SHARE * min(len(cells), len(label_of)):
            continue
        # Running numbers are everywhere: without an ending they name images only where the column says so.
        numbers = all(cell.isdecimal() for cell in known) and not any("." in row[column] for row in rows)
        if numbers and not (alone and column.strip().casefold() in (*IMAGE_COLUMNS, "id", "image id")):
            continue
        return _compared(name, columns, rows, column, label_of)
    return None


def _compared(
    name: str, columns: tuple[str, ...], rows: list[dict[str, str]], column: str, label_of: dict[str, str]
) -> _Found:
    listed = [row for row in rows if _key(row[column]) in label_of]
    classes = {label_of[_key(row[column])].casefold() for row in listed}
    for other in rows[0]:
        cells = {row[other].strip().casefold() for row in listed}
        if other == column or not classes <= cells or (len(classes) == 1 and len(cells) > 1):
            continue
        wrong = [row for row in listed if row[other].strip().casefold() != label_of[_key(row[column])].casefold()]
        return _Found(name, columns, same=not wrong, other=_key(wrong[0][column]) if wrong else "")
    return _Found(name, columns)


def _unpacked(name: str, content: bytes) -> bytes:
    """Return the content of a table that was compressed by itself."""
    try:
        if name.lower().endswith(".gz"):
            return zlib.decompressobj(wbits=31).decompress(content, MAX_FILE_BYTES)
        if name.lower().endswith(".zip"):
            with zipfile.ZipFile(io.BytesIO(content)) as archive, archive.open(archive.namelist()[0]) as file:
                return file.read(MAX_FILE_BYTES)
    except (zlib.error, zipfile.BadZipFile, RuntimeError, NotImplementedError, IndexError) as error:
        raise UnreadableError(str(error)) from error
    return content


def _cells(name: str, text: str) -> Iterator[dict[str, str]]:
    """Yield the texts in a JSON file, one by one, or the first cells of a text file."""
    if name.endswith(".txt"):
        for row in csv.reader(io.StringIO(text), delimiter="," if "," in text.partition("\n")[0] else " "):
            if row:
                yield {"": row[0]}
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
        elif isinstance(item, str) and "." in base(item):
            yield {"": item}


def _in_spreadsheet(content: bytes, label_of: dict[str, str]) -> bool:
    """Whether most names of images are somewhere in a spreadsheet, which is not read as a table."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            content = b"".join(archive.read(entry) for entry in archive.infolist() if entry.filename.endswith(".xml"))
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, zlib.error):
        return False
    content = content.lower()
    # A short name may be any text's: with the dot of its ending.
    names = [name if len(name) > 2 else f"{name}." for name in list(label_of)[:200]]
    return bool(names) and sum(name.encode() in content for name in names) >= _SHARE * len(names)


def _key(cell: str) -> str:
    last = cell.strip().replace("\\", "/").rpartition("/")[2].casefold()
    head, dot, ending = last.rpartition(".")
    return head if dot and ending.isalnum() and len(ending) <= 4 else last
