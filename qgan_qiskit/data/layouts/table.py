"""Images and the rows of a table that name them: how every table with one row per image becomes a listing.

Labels from a table that the user names: .csv, .tsv, .jsonl or .json, StyleGAN's ``dataset.json`` included.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qgan_qiskit.config import DataConfig
from qgan_qiskit.data.files import PACKED_SUFFIXES, Files, UnreadableError, is_image, shown
from qgan_qiskit.data.layouts.listing import Listing, decode_text, find_table, parse_table
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
    unlabeled = copies = 0
    for row in rows:
        wanted = _plain(row.image)
        found = by_tail.get(wanted) or by_tail.get(_without_ending(wanted)) or by_tail.get(wanted.rpartition("/")[2])
        found = found or by_tail.get(_without_ending(wanted.rpartition("/")[2]))
        if not row.label.strip():
            unlabeled += 1
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
    said += [f"{unlabeled:,} rows have no label and are left out"] if unlabeled else []
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


# Columns that are taken without being named, when a table has just one of them.
IMAGE_COLUMNS = (
    "file_name",
    "filename",
    "image",
    "image_id",
    "image_name",
    "img_id",
    "file",
    "path",
    "image_path",
    "name",
)
LABEL_COLUMNS = ("label", "class", "diagnosis", "dx", "target", "category", "labels", "class_name")


def list_table(files: Files, config: DataConfig) -> Listing:
    """List the images of ``config.table``, which is a path, or a name inside the source.

    Raises:
        DataError: the table cannot be found or read, has no such column, or what ``list_rows`` refuses.
    """
    name, content = _content(files, str(config.table))
    if name.lower().endswith(".json"):
        labels = stylegan_labels(name, content)
        if labels is not None:
            return list_rows(files, name, labels, "table of StyleGAN (dataset.json)")
    rows = _records(name, content)
    return list_records(files, config, name, rows, "table")


def list_records(files: Files, config: DataConfig, name: str, rows: list[dict[str, str]], layout: str) -> Listing:
    """List the images of rows of named cells, by the columns that settings name."""
    if not rows:
        raise DataError(f"{shown(name)} has no rows: give a table with a row for each image")
    columns = list(rows[0])
    image = _column(name, columns, config.image_column, "--image-column", IMAGE_COLUMNS)
    one_hot = _one_hot(columns, config.label_column)
    label = config.label_column if one_hot else _label(name, columns, config.label_column)
    group = _column(name, columns, config.group_column, "--group-column", ())
    split = _column(name, columns, config.split_column, "--split-column", ())
    said = [f"{shown(name)}: image from column {shown(str(image))}, class from {shown(str(label))}"]
    if not group:
        said.append("no --group-column: each image counts as a patient of its own")
    found = [
        Row(
            row.get(str(image), ""),
            _hot(name, row, one_hot) if one_hot else row.get(str(label), ""),
            row.get(group, "") if group else "",
            row.get(split, "") if split else "",
        )
        for row in rows
    ]
    return list_rows(files, name, found, layout, said)


def _label(name: str, columns: list[str], asked: str | None) -> str:
    try:
        return str(_column(name, columns, asked, "--label-column", LABEL_COLUMNS))
    except DataError as error:
        raise DataError(f"{error}; several columns of 0 and 1 are named with commas between them") from None


def _one_hot(columns: list[str], asked: str | None) -> list[str]:
    """Return the columns of 0 and 1 that are asked for together (``MEL,NV,BCC``); none where it is one column."""
    names = [] if asked is None or asked in columns else [part.strip() for part in asked.split(",")]
    return names if len(names) > 1 and set(names) <= set(columns) else []


def _hot(table: str, row: dict[str, str], columns: list[str]) -> str:
    """Return the only column with a 1, nothing where all are 0."""
    try:
        values = [float(row.get(column, "").strip() or 0) for column in columns]
    except ValueError:
        values = [2.0]
    if not set(values) <= {0.0, 1.0} or sum(values) > 1:
        cells = ",".join(row.get(column, "") for column in columns)
        raise DataError(
            f"{shown(table)}: a row has {shown(cells)} in {shown(','.join(columns))}, where at most one may be 1 and the others "
            "0: name one column with --label-column"
        )
    return columns[values.index(1.0)] if 1.0 in values else ""


def stylegan_labels(name: str, content: bytes) -> list[Row] | None:
    """Return the labels of StyleGAN's ``dataset.json``, None where it has another form.

    Raises:
        DataError: it is no JSON, or its labels are not pairs of a name and a whole number.
    """
    data = _json(name, decode_text(name, content))
    if not isinstance(data, dict) or "labels" not in data:
        return None
    labels = data["labels"]
    if not isinstance(labels, list) or not labels:
        raise DataError(
            f"{shown(name)}: its labels are no list of names and numbers (StyleGAN writes null without labels)"
        )
    rows = []
    for pair in labels:
        if not (isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str) and type(pair[1]) is int):
            raise DataError(
                f"{shown(name)}: {shown(json.dumps(pair)[:80])} is no pair of an image's name and a whole number"
            )
        rows.append(Row(pair[0], str(pair[1])))
    return rows


def _content(files: Files, named: str) -> tuple[str, bytes]:
    path = Path(named).expanduser()
    try:
        if path.is_file():
            return str(path), path.read_bytes()
        inside = named if named in files.names else find_table(files, named)
        if inside is None:
            raise DataError(
                f"--table {shown(named)}: there is no such file, neither as a path nor inside {shown(str(files.root))}"
            )
        return inside, files.read(inside)
    except (OSError, ValueError, UnreadableError) as error:
        raise DataError(f"--table {shown(named)}: cannot be read ({error})") from error


def _records(name: str, content: bytes) -> list[dict[str, str]]:
    """Return the rows of a table of text or of JSON as text cells."""
    if name.lower().endswith((".xlsx", ".xls", ".ods", ".parquet", ".feather", ".arrow")):
        raise DataError(f"{shown(name)} is no table of text: save it as .csv")
    if name.lower().endswith((".zip", *PACKED_SUFFIXES)):
        raise DataError(f"{shown(name)} is a packed table: unpack it")
    if not name.lower().endswith((".json", ".jsonl", ".ndjson")):
        return parse_table(name, content)
    text = decode_text(name, content)
    data = (
        _json(name, text)
        if name.lower().endswith(".json")
        else [_json(name, line) for line in text.splitlines() if line.strip()]
    )
    if not isinstance(data, list) or not all(isinstance(row, dict) for row in data):
        raise DataError(f"{shown(name)}: neither a list of rows with named cells nor StyleGAN's labels")
    return [{str(key): "" if cell is None else str(cell) for key, cell in row.items()} for row in data]


def _json(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{shown(name)}: not JSON ({error})") from error


def _column(name: str, columns: list[str], asked: str | None, option: str, usual: tuple[str, ...]) -> str | None:
    """Return the column that is asked for, or the only usual one; None for an optional one that is not asked for."""
    listed = shown(", ".join(columns))
    if asked is not None:
        exact = [column for column in columns if column == asked] or [
            column for column in columns if column.strip().casefold() == asked.strip().casefold()
        ]
        if len(exact) != 1:
            raise DataError(f"{shown(name)} has no column {shown(asked)} ({option}); it has {listed}")
        return exact[0]
    if not usual:
        return None
    found = [column for column in columns if column.strip().casefold() in usual]
    if len(found) != 1:
        raise DataError(f"{shown(name)}: which column is it? Give {option}; it has {listed}")
    return found[0]


def read_records(files: Files, name: str) -> list[dict[str, str]]:
    """Return the rows of a table inside the source as text cells.

    Raises:
        DataError: it cannot be read.
    """
    return _records(*_content(files, name))
