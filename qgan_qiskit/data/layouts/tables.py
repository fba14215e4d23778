"""Label tables as text: found inside a source or in the folder that contains it, decoded, and split into rows."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from qgan_qiskit.data.files import Files, UnreadableError, basename, is_image, printable, stem
from qgan_qiskit.errors import DataError

TABLE_SUFFIXES = (".csv", ".tsv", ".tab")
# Label tables are far smaller; larger files next to the source are not read.
_MAX_SIBLING_BYTES = 32 * 2**20

Row = dict[str, str]


def find_table(files: Files, *table_names: str) -> str | None:
    """Return the least nested table inside ``files`` with one of the names (in any case), or None."""
    wanted = [name.casefold() for name in table_names]
    found = [name for name in files.names if basename(name).casefold() in wanted]
    return min(found, key=lambda name: (name.count("/"), name), default=None)


def read_table(files: Files, *table_names: str, header_contains: str = "") -> tuple[str, list[Row]] | None:
    """Return name and rows of a table in ``files`` or in the folder that contains them, None when there is none.

    Args:
        files: where to look.
        table_names: names of the file, in any case.
        header_contains: ASCII text without which the first line belongs to another table of that name, which is ignored.

    Raises:
        DataError: the table cannot be read or parsed.
    """
    name = find_table(files, *table_names)
    if name is None:
        siblings = (files.parent_folder / table_name for table_name in table_names)
        name = next((str(path) for path in siblings if path.is_file()), None)
    if name is None:
        return None
    content = load(files, name)
    if header_contains.encode() not in content.partition(b"\n")[0]:
        return None
    return name, parse_table(name, content)


def read_table_with(files: Files, columns: Sequence[str], *, not_named: str = "") -> tuple[str, list[Row]] | None:
    """Read the least nested table that has some columns, whatever its name; see :func:`find_tables_with`.

    Raises:
        DataError: the table cannot be read, or two tables at the same depth have these columns and differ.
    """
    found = find_tables_with(files, columns, not_named=not_named)
    if not found:
        return None
    depth = min(name.count("/") for name in found)
    contents = {name: read_content(files, name) for name in found if name.count("/") == depth}
    first, *others = contents
    if len(set(contents.values())) > 1:
        raise DataError(
            f"{printable(first)} and {printable(others[0])} are tables of one kind: name one with --table, or remove one"
        )
    return first, parse_table(first, contents[first])


def find_tables_with(files: Files, columns: Sequence[str], *, not_named: str = "") -> list[str]:
    """Return all tables inside ``files`` that have some columns, else those next to the source that name one of its images.

    The first of the columns names the images. Tables whose name starts with ``not_named``, in any case, are ignored.
    """
    inside = [name for name in files.names if name.lower().endswith(TABLE_SUFFIXES)]
    found = [name for name in inside if _has_columns(files, name, columns, not_named)]
    if found:
        return found
    stems = {stem(name).casefold() for name in files.names if is_image(name)}
    siblings = [name for name in sibling_tables(files) if _has_columns(files, name, columns, not_named)]
    return [
        name
        for name in siblings
        if any(stem(row[columns[0]]).casefold() in stems for row in parse_table(name, read_content(files, name)))
    ]


def _has_columns(files: Files, name: str, columns: Sequence[str], not_named: str) -> bool:
    if not_named and basename(name).casefold().startswith(not_named):
        return False
    try:
        first = decode_text(name, read_content(files, name)).lstrip("\n\r").partition("\n")[0].strip("\r")
    except (UnreadableError, DataError):
        return False
    header = next(csv.reader([first], delimiter=_delimiter(first)), [])
    return set(columns) <= {cell.strip() for cell in header}


def sibling_tables(files: Files) -> list[str]:
    """Return the paths of the text tables, of reasonable size, in the folder that contains the source."""
    folder = files.parent_folder
    if folder == files.root:
        return []
    try:
        found = sorted(path for path in folder.iterdir() if path.name.lower().endswith(TABLE_SUFFIXES))
        return [str(path) for path in found if path.is_file() and path.stat().st_size <= _MAX_SIBLING_BYTES]
    except OSError:
        return []


def read_content(files: Files, name: str) -> bytes:
    """Return the content of a file inside ``files``, or else at the path ``name``; raise UnreadableError with the reason."""
    if name in files.names:
        return files.read(name)
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise UnreadableError((error.strerror or str(error)).lower()) from error


def load(files: Files, name: str, remedy: str = "") -> bytes:
    """Return what :func:`read_content` does, but raise DataError, which ends in ``remedy``."""
    try:
        return read_content(files, name)
    except UnreadableError as error:
        raise DataError(f"cannot read {printable(name)}: {error}{remedy}") from error


def decode_text(name: str, content: bytes) -> str:
    """Decode UTF-8 with or without a byte order mark, or UTF-16 with one; raise DataError for anything else."""
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    if encoding == "utf-8-sig" and b"\0" in content:
        raise table_error(name, "not text, or UTF-16 without a byte order mark: save it as UTF-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise DataError(f"cannot read {printable(name)}: {error}; save it as UTF-8") from error
    # Excel's own first line, which names the delimiter.
    return text.partition("\n")[2] if text[:4].casefold() == "sep=" else text


def parse_table(name: str, content: bytes) -> list[Row]:
    """Return the rows of a text table with commas, semicolons or tabs between cells.

    Raises:
        DataError: the text cannot be decoded, two columns have one name, or a row has another number of cells.
    """
    return list(_parse_rows(name, decode_text(name, content)))


def _parse_rows(name: str, text: str) -> Iterator[Row]:
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=_delimiter(text.partition("\n")[0]))
    try:
        columns = list(reader.fieldnames or ())
        if len(set(columns)) < len(columns):
            header = printable(",".join(columns))
            raise table_error(name, f"two columns of one name in its header {header}: rename one")
        for row in reader:
            # DictReader files surplus cells under None and gives None for missing ones.
            if None in row or None in row.values():
                raise DataError(f"{printable(name)}, line {reader.line_num}: not {len(columns)} cells")
            yield row
    except csv.Error as error:
        raise DataError(f"{printable(name)}, line {reader.line_num}: {error}") from error


def _delimiter(first_line: str) -> str:
    return max("\t;,", key=first_line.count) if any(mark in first_line for mark in "\t;,") else ","


def table_error(name: str, reason: str, *, original: bool = False) -> DataError:
    """Return an error about a table; ``original`` says that it is a known data set's, to be downloaded again."""
    return DataError(f"{printable(name)}: {reason}" + ("; download the original table" if original else ""))


def check_columns(table: str, rows: list[Row], needed: Iterable[str], *, no_others: bool = False) -> None:
    """Raise DataError for a table without rows or without the needed columns (or, with ``no_others``, with further ones)."""
    if not rows:
        raise table_error(table, "has no rows", original=True)
    needed, found = list(needed), list(rows[0])
    if not set(needed) <= set(found) or (no_others and not set(found) <= set(needed)):
        columns = f"expected the columns {','.join(needed)}, found {printable(','.join(found))}"
        raise table_error(table, columns, original=True)


def index_rows(table: str, rows: list[Row], column: str) -> dict[str, Row]:
    """Return the rows by the stem of the image that a column names; raise DataError if one is listed twice."""
    row_of = {stem(row[column]): row for row in rows}
    if len(row_of) < len(rows):
        raise table_error(table, f"lists {len(rows) - len(row_of):,} images twice", original=True)
    return row_of
