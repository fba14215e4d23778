"""Images and the rows of a table that name them: how every table with one row per image becomes a listing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from qgan_qiskit.data.files import Files, is_image, shown
from qgan_qiskit.data.listing import Listing
from qgan_qiskit.data.split_names import split_of
from qgan_qiskit.errors import DataError


@dataclass(frozen=True)
class Row:
    """What a table says of one image; ``group`` and ``split`` are ``""`` where unknown."""

    image: str
    label: str
    group: str = ""
    split: str = ""


def list_rows(files: Files, table: str, rows: Sequence[Row], layout: str, notes: Sequence[str] = ()) -> Listing:
    """List the images that rows name: by their path's end, with or without ending and folders.

    Rows without a file, rows without a label and images without a row are left out and counted in notes. Equal rows count
    once.

    Args:
        files: where the images are looked for.
        table: its name, for messages.
        rows: what it says.
        layout: for :attr:`Listing.layout`.
        notes: come first.

    Raises:
        DataError: no image is there, a name fits several files, one image has two labels, groups or splits, a split has an
            unknown name, or two classes differ only in case or outer spaces.
    """
    by_tail = _tails(files)
    row_of: dict[str, Row] = {}
    absent: list[str] = []
    unlabelled = copies = 0
    for row in rows:
        wanted = _plain(row.image)
        found = by_tail.get(wanted) or by_tail.get(_without_ending(wanted)) or by_tail.get(wanted.rpartition("/")[2])
        found = found or by_tail.get(_without_ending(wanted.rpartition("/")[2]))
        if not row.label.strip():
            unlabelled += 1
            continue
        if not found:
            absent.append(row.image)
            continue
        if len(found) > 1:
            raise DataError(
                f"{shown(table)}: {shown(row.image)} may be {shown(found[0])} or {shown(found[1])}: name images with their "
                "folders, or leave some out with --exclude"
            )
        before = row_of.setdefault(found[0], row)
        if before is not row:
            if (before.label.strip(), before.group, before.split) != (row.label.strip(), row.group, row.split):
                what = "label" if before.label.strip() != row.label.strip() else "group or split"
                raise DataError(
                    f"{shown(table)}: {shown(row.image)} is listed twice with another {what} "
                    f"({shown(before.label)} and {shown(row.label)}): correct the table"
                )
            copies += 1
    if not row_of:
        example = f" (such as {shown(rows[0].image)})" if rows else ""
        raise DataError(
            f"{shown(table)} lists {len(rows):,} images, but none of them{example} with a label is under "
            f"{shown(str(files.root))}: put them there or name another column"
        )
    names = sorted(row_of)
    labels = [row_of[name].label.strip() for name in names]
    classes = tuple(sorted(set(labels), key=_number_first))
    clash = [name for name, count in Counter(each.casefold() for each in classes).items() if count > 1]
    if clash:
        both = " and ".join(shown(name) for name in classes if name.casefold() == clash[0])
        raise DataError(f"{shown(table)}: the classes {both} differ only in case: make them one")
    splits = [_split(table, row_of[name].split) for name in names]
    others = sorted({name for name in files.names if is_image(name)} - set(names))
    said = [f"{layout}: {len(names):,} of the {len(rows) - copies:,} rows of {shown(table)} have an image and a label"]
    said += [f"{len(absent):,} rows name no image that is there, such as {shown(absent[0])}"] if absent else []
    said += [f"{unlabelled:,} rows have no label and are left out"] if unlabelled else []
    said += [f"{copies:,} rows say the same as an earlier one"] if copies else []
    said += [f"left out {len(others):,} images without a row, such as {shown(others[0])}"] if others else []
    return Listing(
        names, labels, [row_of[name].group.strip() for name in names], classes, (*notes, *said), splits, layout
    )


def _tails(files: Files) -> dict[str, list[str]]:
    """Map every end of an image's path, with and without its ending, to the images that have it."""
    by_tail: dict[str, list[str]] = {}
    for name in files.names:
        if is_image(name):
            parts = _plain(name).split("/")
            for start in range(len(parts)):
                tail = "/".join(parts[start:])
                for each in {tail, _without_ending(tail)}:
                    by_tail.setdefault(each, []).append(name)
    return by_tail


def _plain(cell: str) -> str:
    return cell.strip().replace("\\", "/").removeprefix("./").casefold()


def _without_ending(name: str) -> str:
    return name.rpartition(".")[0] if is_image(name) else name


def _number_first(name: str) -> tuple[int, float, str]:
    return (0, int(name), name) if name.isdecimal() else (1, 0.0, name)


def _split(table: str, cell: str) -> str:
    if not cell.strip():
        return ""
    split = split_of(cell.strip())
    if split is None:
        raise DataError(
            f"{shown(table)}: the split {shown(cell.strip())} is not train, validation or test: correct the column, or leave "
            "--split-column out"
        )
    return split
