"""What a layout finds before any image is decoded: which file has which class."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from qgan_qiskit.data.draw import draw_of_each
from qgan_qiskit.data.files import Files, UnreadableError, base, is_image, shown, stem
from qgan_qiskit.data.image_set import class_index
from qgan_qiskit.errors import DataError


@dataclass(frozen=True)
class Listing:
    """Labelled names of images inside a :class:`Files`.

    Attributes:
        names: N file names in the order the images shall have.
        labels: N class names.
        groups: N group names, ``""`` where unknown.
        classes: every class with at least one image, in the source's order.
        notes: sentences for the user.
    """

    names: Sequence[str]
    labels: Sequence[str]
    groups: Sequence[str]
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def narrowed(self, class_name: str | None, limit: int | None, seed: int) -> Listing:
        """Return the part that a run needs: one class or all, and of each class ``limit`` images drawn at random.

        The draw keeps lesions together. Near duplicates of different lesions are not known yet, as nothing is decoded.

        Args:
            class_name: one of ``classes`` in any case; None or ``all`` for each.
            limit: None for no limit.
            seed: of the draw.

        Raises:
            DataError: no such class.
        """
        index_of = {name: index for index, name in enumerate(self.classes)}
        labels_N = np.array([index_of[label] for label in self.labels], np.int64)
        classes, kept_M = self.classes, np.arange(len(labels_N))
        if class_name is not None and class_name.casefold() != "all":
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
        text = content.decode("utf-8-sig")
    except (UnreadableError, OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read the label table {shown(name or '')}: {error}") from error
    return name, list(_rows(name, text))


def _rows(name: str, text: str) -> Iterator[dict[str, str]]:
    first_line = text.partition("\n")[0]
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter="\t" if "\t" in first_line else ",")
    try:
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
