"""What a layout finds before any image is decoded: which file has which class."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from qgan_qiskit.data.dataset import class_index, draw_of_each, means_all
from qgan_qiskit.data.files import Files, UnreadableError, base, is_image, shown, stem
from qgan_qiskit.errors import DataError

TABLE_ENDINGS = (".csv", ".tsv", ".tab")
# Tables of labels are far smaller; whatever else lies beside the source is not read.
_MAX_BESIDE = 32 * 2**20


@dataclass(frozen=True)
class Listing:
    """Labeled names of images inside a :class:`Files`.

    Attributes:
        names: N file names in the order the images shall have.
        labels: N class names.
        groups: N group names, ``""`` where unknown.
        classes: every class with at least one image, in the source's order.
        notes: sentences for the user.
        splits: N times the source's own ``train``, ``validation`` or ``test``, ``""`` where unknown; empty for all unknown.
        layout: what the source was recognized as.
    """

    names: Sequence[str]
    labels: Sequence[str]
    groups: Sequence[str]
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()
    splits: Sequence[str] = ()
    layout: str = ""

    def __post_init__(self) -> None:
        if not self.splits:
            object.__setattr__(self, "splits", [""] * len(self.names))

    def settled(self, *notes: str) -> Listing:
        """Return the whole listing with further notes; training images alone are no division and lose their split."""
        splits = [] if set(self.splits) <= {"train", ""} else self.splits
        return replace(self, splits=splits, notes=(*self.notes, *notes))

    def take(self, rows: Sequence[int], order: Sequence[str], *notes: str) -> Listing:
        """Return some rows, with the classes that occur among them in the order given, and further notes."""
        labels = [self.labels[row] for row in rows]
        return replace(
            self,
            names=[self.names[row] for row in rows],
            labels=labels,
            groups=[self.groups[row] for row in rows],
            classes=tuple(name for name in order if name in set(labels)),
            notes=(*self.notes, *notes),
            splits=[self.splits[row] for row in rows],
        )

    def narrowed(self, class_name: str | None, limit: int | None, seed: int) -> Listing:
        """Return the part that a run needs: one class or all, and of each class ``limit`` images drawn at random.

        The draw keeps lesions together. Near duplicates of different lesions are not known yet, as nothing is decoded.

        Args:
            class_name: one of ``classes`` in any case; None, or ``all`` where no class has that name, for each.
            limit: None for no limit.
            seed: of the draw.

        Raises:
            DataError: no such class.
        """
        index_of = {name: index for index, name in enumerate(self.classes)}
        labels_N = np.array([index_of[label] for label in self.labels], np.int64)
        classes, kept_M = self.classes, np.arange(len(labels_N))
        if class_name is not None and not means_all(class_name, classes):
            index = class_index(self.classes, class_name)
            classes, kept_M = (self.classes[index],), np.flatnonzero(labels_N == index)
        if limit is not None:
            names = [self.names[row] for row in kept_M.tolist()]
            groups = [self.groups[row] for row in kept_M.tolist()]
            kept_M = kept_M[draw_of_each(labels_N[kept_M], names, groups, limit, seed)]
        kept = kept_M.tolist()
        return replace(
            self,
            names=[self.names[row] for row in kept],
            labels=[self.labels[row] for row in kept],
            groups=[self.groups[row] for row in kept],
            classes=classes,
            splits=[self.splits[row] for row in kept],
        )


def find_table(files: Files, *table_names: str) -> str | None:
    """Return the name of a label table inside ``files`` (the least deep one), or None."""
    wanted = [name.casefold() for name in table_names]
    found = [name for name in files.names if base(name).casefold() in wanted]
    return min(found, key=lambda name: (name.count("/"), name), default=None)


def read_table(files: Files, *table_names: str, header_has: str = "") -> tuple[str, list[dict[str, str]]] | None:
    """Read a comma- or tab-separated table from ``files`` or from the folder that they lie in.

    Args:
        files: where to look.
        table_names: names of the file, in any case.
        header_has: ASCII text of the first line without which the file is another table of that name, and does not count.

    Returns:
        Its file name and its rows, or None when there is no such table.

    Raises:
        DataError: the table cannot be read, has no header or rows longer than the header.
    """
    name = find_table(files, *table_names)
    try:
        if name is not None:
            content = files.read(name)
        else:
            outer = next((path for path in (files.outer_folder / n for n in table_names) if path.is_file()), None)
            if outer is None:
                return None
            name, content = str(outer), outer.read_bytes()
        if header_has.encode() not in content.partition(b"\n")[0]:
            return None
    except (UnreadableError, OSError) as error:
        raise DataError(f"cannot read the label table {shown(name or '')}: {error}") from error
    return name, parse_table(name, content)


def read_headed(files: Files, columns: Sequence[str], *, leave: str = "") -> tuple[str, list[dict[str, str]]] | None:
    """Read the table whose header has some columns, whatever its name is, or return None; see :func:`headed`.

    Raises:
        DataError: the table cannot be read, or two of the same depth have these columns and differ.
    """
    found = headed(files, columns, leave=leave)
    if not found:
        return None
    least = min(name.count("/") for name in found)
    contents = {name: table_content(files, name) for name in found if name.count("/") == least}
    first, *others = contents
    if len(set(contents.values())) > 1:
        raise DataError(
            f"{shown(first)} and {shown(others[0])} are tables of one kind: name one with --table, or remove one"
        )
    return first, parse_table(first, contents[first])


def headed(files: Files, columns: Sequence[str], *, leave: str = "") -> list[str]:
    """Return the names of all tables inside ``files`` with some columns, or of those beside them that name one of the images.

    Args:
        files: where to look.
        columns: the first of them names the images.
        leave: tables whose name begins so, in any case, do not count.
    """
    inside = [
        name for name in files.names if name.lower().endswith(TABLE_ENDINGS) and _fits(files, name, columns, leave)
    ]
    if inside:
        return inside
    stems = {stem(name).casefold() for name in files.names if is_image(name)}
    found = []
    for name in tables_beside(files):
        if _fits(files, name, columns, leave):
            rows = parse_table(name, table_content(files, name))
            if any(stem(row[columns[0]]).casefold() in stems for row in rows):
                found.append(name)
    return found


def _fits(files: Files, name: str, columns: Sequence[str], leave: str) -> bool:
    if leave and base(name).casefold().startswith(leave):
        return False
    try:
        return set(columns) <= set(_header(name, table_content(files, name)))
    except (UnreadableError, DataError):
        return False


def tables_beside(files: Files) -> list[str]:
    """Return the paths of the tables of text, of no unusual size, in the folder that the source lies in."""
    outer = files.outer_folder
    if outer == files.root:
        return []
    try:
        found = sorted(path for path in outer.iterdir() if path.name.lower().endswith(TABLE_ENDINGS))
        return [str(path) for path in found if path.is_file() and path.stat().st_size <= _MAX_BESIDE]
    except OSError:
        return []


def table_content(files: Files, name: str) -> bytes:
    """Return the content of a table inside ``files`` or of one of :func:`tables_beside`.

    Raises:
        UnreadableError: with the reason.
    """
    if name in files.names:
        return files.read(name)
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise UnreadableError((error.strerror or str(error)).lower()) from error


def _header(name: str, content: bytes) -> list[str]:
    """Return the columns of a table of text."""
    first = decode_text(name, content).lstrip("\n\r").partition("\n")[0].strip("\r")
    return [cell.strip() for cell in next(csv.reader([first], delimiter=_delimiter(first)), [])]


def decode_text(name: str, content: bytes) -> str:
    """Decode the text of a table: UTF-8 or UTF-16, with or without a byte order mark for the first.

    Raises:
        DataError: it is neither.
    """
    kind = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    if kind == "utf-8-sig" and b"\0" in content:
        raise DataError(f"{shown(name)} is no text, or UTF-16 without a byte order mark: save it as UTF-8")
    try:
        text = content.decode(kind)
        # Excel's own first line, which says what stands between cells.
        return text.partition("\n")[2] if text[:4].casefold() == "sep=" else text
    except UnicodeDecodeError as error:
        raise DataError(f"cannot read the label table {shown(name)}: {error}; save it as UTF-8") from error


def parse_table(name: str, content: bytes) -> list[dict[str, str]]:
    """Return the rows of a table of text with a comma, semicolon or tab between cells.

    Raises:
        DataError: the text cannot be decoded, two columns have one name, or a row has another number of cells.
    """
    return list(_rows(name, decode_text(name, content)))


def _delimiter(first_line: str) -> str:
    return max("\t;,", key=first_line.count) if any(mark in first_line for mark in "\t;,") else ","


def _rows(name: str, text: str) -> Iterator[dict[str, str]]:
    first_line = text.partition("\n")[0]
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=_delimiter(first_line))
    try:
        columns = list(reader.fieldnames or ())
        if len(set(columns)) < len(columns):
            raise DataError(
                f"{shown(name)} has two columns of one name in its header {shown(','.join(columns))}: rename one"
            )
        for row in reader:
            # DictReader files surplus cells under None and gives None for missing ones.
            if None in row or None in row.values():
                raise DataError(f"{shown(name)}, line {reader.line_num}: not {len(reader.fieldnames or ())} cells")
            yield row
    except csv.Error as error:
        raise DataError(f"{shown(name)}, line {reader.line_num}: {error}") from error


def check_columns(table: str, rows: list[dict[str, str]], needed: Iterable[str], *, no_others: bool = False) -> None:
    """Refuse a table without rows or with another header than expected.

    Raises:
        DataError: naming the table and the columns that are missing (or, with ``no_others``, too many).
    """
    if not rows:
        raise DataError(f"{shown(table)} has no rows: fetch the original table")
    needed, found = list(needed), list(rows[0])
    wrong = [c for c in needed if c not in found] or ([c for c in found if c not in needed] if no_others else [])
    if wrong:
        raise DataError(
            f"{shown(table)} is not the original table: expected the columns {','.join(needed)}, "
            f"found {shown(','.join(found))}; fetch the original"
        )


def images_by_stem(files: Files) -> tuple[dict[str, str], tuple[str, ...]]:
    """Map the name without folder and ending to the file; of several files the first by name is taken, with a note."""
    by_stem: dict[str, str] = {}
    doubles = 0
    for name in files.names:
        if is_image(name) and by_stem.setdefault(stem(name), name) != name:
            doubles += 1
    note = f"{doubles:,} image files have the name of another in a different folder; the first by path is used"
    return by_stem, ((note,) if doubles else ())


def not_listed(by_stem: dict[str, str], listed: Iterable[str]) -> tuple[str, ...]:
    """Return a note on image files that a table does not list."""
    others = sorted(set(by_stem) - set(listed))
    return (
        (f"left out {len(others):,} images that the table does not list, such as {shown(others[0])}",) if others else ()
    )
