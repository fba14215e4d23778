"""Tables that nobody asked for but that name the images: do they contradict the folders?

Without this check a source whose labels are in a table would silently train on folders that mean nothing.
"""

from __future__ import annotations

import csv
import io
import json
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from qgan_qiskit.data.files import MAX_FILE_BYTES, Files, UnreadableError, basename, printable
from qgan_qiskit.data.layouts.label_table import IMAGE_COLUMNS
from qgan_qiskit.data.layouts.listing import Listing
from qgan_qiskit.data.layouts.tables import TABLE_SUFFIXES, Row, decode_text, parse_table, read_content, sibling_tables
from qgan_qiskit.errors import DataError

_TEXT = (*TABLE_SUFFIXES, ".txt", ".json", ".jsonl", ".ndjson")
# Tables whose cells are not read here.
_OPAQUE = (".parquet", ".xls", ".ods", ".feather", ".arrow")
_PACKED = (*(f"{suffix}.gz" for suffix in _TEXT), *(f"{suffix}.zip" for suffix in TABLE_SUFFIXES))
# Fraction of the images, or of the table's rows, that a table must name.
_MIN_FRACTION = 0.5


@dataclass(frozen=True)
class _Table:
    """A table that names the images.

    Attributes:
        name: inside the source, or its path.
        columns: of a text table.
        agrees: whether a column has the class of each image's folder.
        contradicts: an image whose class is another than its folder, in a column that has the folders' names.
    """

    name: str
    columns: tuple[str, ...] = ()
    agrees: bool = False
    contradicts: str = ""

    def remedy(self, layout: str | None) -> str:
        """Return the option that uses the table; ``layout`` is that of its data set, None where there is none."""
        if layout is not None:
            return f"--layout {layout}"
        if not self.name.lower().endswith((*TABLE_SUFFIXES, ".json", ".jsonl")):
            return "--table FILE with the same saved as .csv with a header"
        has = f" (it has {printable(', '.join(self.columns))})" if self.columns else ""
        return f"--table {printable(self.name)} with --image-column and --label-column{has}"


def check_unlisted_tables(
    files: Files, listing: Listing, *, own: bool, siblings_count: bool, find_layout: Callable[[], str | None]
) -> tuple[str, ...]:
    """Reject a table that names the images and was not asked for, or note it where the folders are evidently classes.

    Args:
        files: the source.
        listing: what the folders say.
        own: whether the folders are evidently classes that the user made, so that they take precedence.
        siblings_count: whether a table in the folder that contains the source takes precedence over the folders.
        find_layout: returns the value of ``--layout`` that reads such a table, None where there is none.

    Returns:
        Notes on tables that are not used.

    Raises:
        DataError: naming the table and the options that decide.
    """
    label_of = {_key(name): label for name, label in zip(listing.names, listing.labels, strict=True)}
    inside = [name for name in files.names if name.lower().endswith((*_TEXT, *_PACKED, ".xlsx", *_OPAQUE))]
    notes, rejected = [], []
    for name in [*inside, *sibling_tables(files)]:
        is_inside = name in files.names
        table = _examine(files, name, label_of, only_source=len(listing.classes) == 1 and is_inside)
        if table is None:
            continue
        if table.contradicts:
            image = table.contradicts
            raise DataError(
                f"{printable(name)} gives {printable(image)} another class than its folder {printable(label_of[image])}: "
                f"correct it, or say which counts: {table.remedy(find_layout())}, or --layout folders"
            )
        if own or table.agrees or not (is_inside or siblings_count):
            what = (
                "gives the images the same classes"
                if table.agrees
                else "names the images too, but the folders are used"
            )
            notes.append(f"{printable(name)} {what}: {table.remedy(find_layout())} uses it")
        else:
            rejected.append(table)
    if rejected:
        # A table of names alone (of test images) says less than one with further columns.
        table = max(rejected, key=lambda table: len(table.columns) > 1)
        raise DataError(
            f"{printable(table.name)} names the images, but was not asked for: give {table.remedy(None)}, or "
            "--layout folders (the top folders are classes) or --layout flat (one class)"
        )
    return tuple(notes)


def _examine(files: Files, name: str, label_of: Mapping[str, str], *, only_source: bool) -> _Table | None:
    """Return what a table says about the images, None where it does not name them.

    Args:
        files: the source.
        name: of the table.
        label_of: class of each image, by its name without folder and suffix.
        only_source: whether nothing else says what the images are, so that bare numbers in a column of images, and tables
            whose cells are not read, count too.
    """
    lower = name.lower()
    if lower.endswith(_OPAQUE):
        return _Table(name) if only_source else None
    try:
        content = _decompress(lower, read_content(files, name))
        if lower.endswith(".xlsx"):
            return _Table(name) if _spreadsheet_names(content, label_of) else None
        kind = lower.removesuffix(".gz").removesuffix(".zip")
        is_table = kind.endswith(TABLE_SUFFIXES)
        rows = parse_table(name, content) if is_table else list(_text_cells(kind, decode_text(name, content)))
    except (UnreadableError, DataError, OSError):
        return None
    columns = tuple(rows[0]) if rows and is_table else ()
    for column in rows[0] if rows else ():
        cells = {_key(row[column]) for row in rows if row[column].strip()}
        known = cells & label_of.keys()
        if not known or len(known) < _MIN_FRACTION * min(len(cells), len(label_of)):
            continue
        # Running numbers are everywhere: without a suffix they name images only in a column that says so.
        numbers = all(cell.isdecimal() for cell in known) and not any("." in row[column] for row in rows)
        if not numbers or (only_source and column.strip().casefold() in (*IMAGE_COLUMNS, "id", "image id")):
            return _compare(name, columns, rows, column, label_of)
    return None


def _compare(
    name: str, columns: tuple[str, ...], rows: list[Row], image_column: str, label_of: Mapping[str, str]
) -> _Table:
    """Compare the classes of the folders with each column of a table."""
    rows = [row for row in rows if _key(row[image_column]) in label_of]
    folders = [label_of[_key(row[image_column])].casefold() for row in rows]
    for column in rows[0]:
        cells = [row[column].strip().casefold() for row in rows]
        if column == image_column or not set(folders) <= set(cells) or (len(set(folders)) == 1 < len(set(cells))):
            continue
        wrong = [row for row, cell, folder in zip(rows, cells, folders, strict=True) if cell != folder]
        return _Table(name, columns, agrees=not wrong, contradicts=_key(wrong[0][image_column]) if wrong else "")
    return _Table(name, columns)


def _decompress(name: str, content: bytes) -> bytes:
    """Return the content of a table that was compressed by itself."""
    try:
        if name.endswith(".gz"):
            return zlib.decompressobj(wbits=31).decompress(content, MAX_FILE_BYTES)
        if name.endswith(".zip"):
            with zipfile.ZipFile(io.BytesIO(content)) as archive, archive.open(archive.namelist()[0]) as file:
                return file.read(MAX_FILE_BYTES)
    except (zlib.error, zipfile.BadZipFile, RuntimeError, NotImplementedError, IndexError) as error:
        raise UnreadableError(str(error)) from error
    return content


def _text_cells(name: str, text: str) -> Iterator[Row]:
    """Yield the strings with a dot in a JSON file one by one, or the first cell of each line of a text file."""
    if name.endswith(".txt"):
        for row in csv.reader(io.StringIO(text), delimiter="," if "," in text.partition("\n")[0] else " "):
            if row:
                yield {"": row[0]}
        return
    try:
        stack = [json.loads(text)]
    except (ValueError, RecursionError):
        try:
            stack = [json.loads(line) for line in text.splitlines() if line.strip()]
        except (ValueError, RecursionError):
            return
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            stack += [*item.keys(), *item.values()]
        elif isinstance(item, list):
            stack += item
        elif isinstance(item, str) and "." in basename(item):
            yield {"": item}


def _spreadsheet_names(content: bytes, label_of: Mapping[str, str]) -> bool:
    """Whether a spreadsheet, which is not parsed, contains most of the first images' names."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            xml = b"".join(archive.read(entry) for entry in archive.infolist() if entry.filename.endswith(".xml"))
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, zlib.error):
        return False
    # A short name occurs in any text: look for it with the dot of its suffix.
    xml = xml.lower()
    names = [name if len(name) > 2 else f"{name}." for name in list(label_of)[:200]]
    return bool(names) and sum(name.encode() in xml for name in names) >= _MIN_FRACTION * len(names)


def _key(cell: str) -> str:
    """Return an image's name without folder and suffix, in lower case."""
    last = basename(cell.strip().replace("\\", "/")).casefold()
    head, dot, suffix = last.rpartition(".")
    return head if dot and suffix.isalnum() and len(suffix) <= 4 else last
