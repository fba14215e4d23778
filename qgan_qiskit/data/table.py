"""Labels from a table that the user names: .csv, .tsv, .jsonl or .json, StyleGAN's ``dataset.json`` included."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from qgan_qiskit.config import DataConfig
from qgan_qiskit.data.files import PACKED_SUFFIXES, Files, UnreadableError, shown
from qgan_qiskit.data.listing import Listing, decode_text, find_table, parse_table
from qgan_qiskit.data.tabled import Row, list_rows
from qgan_qiskit.errors import DataError

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
