"""Label tables with a row per image: one that the user names, Hugging Face's ``metadata.csv`` and StyleGAN's ``dataset.json``.

Cells name images with or without folders and suffix. What a table and the images do not share is counted in notes; what is
contradictory is an error.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from qgan_qiskit.config import DataConfig
from qgan_qiskit.data.files import PACKED_SUFFIXES, Files, UnreadableError, basename, is_image, printable
from qgan_qiskit.data.layouts.class_folders import parse_split
from qgan_qiskit.data.layouts.listing import Layout, Listing
from qgan_qiskit.data.layouts.tables import Row, decode_text, find_table, load, parse_table, table_error
from qgan_qiskit.errors import DataError

# Columns that are used without being named, if a table has exactly one of them.
IMAGE_COLUMNS = tuple(
    "file_name filename image image_id image_name img_id file path image_path name".split()  # noqa: SIM905
)
LABEL_COLUMNS = ("label", "class", "diagnosis", "dx", "target", "category", "labels", "class_name")


@dataclass(frozen=True)
class LabeledImage:
    """What a row says about one image; ``group`` and ``split`` are ``""`` where unknown."""

    image: str
    label: str
    group: str = ""
    split: str = ""


def list_table(files: Files, config: DataConfig) -> Listing:
    """List the images of ``config.table``, which is a path, or a name inside the source.

    Raises:
        DataError: the table cannot be found or read, lacks a column, or does not fit the images (see :func:`list_rows`).
    """
    named = str(config.table)
    path = Path(named).expanduser()
    try:
        name = str(path) if path.is_file() else named if named in files.names else find_table(files, named)
        if name is None:
            root = printable(str(files.root))
            raise DataError(f"--table {printable(named)}: no such file, neither as a path nor inside {root}")
        content = path.read_bytes() if path.is_file() else files.read(name)
    except (OSError, ValueError, UnreadableError) as error:
        raise DataError(f"--table {printable(named)}: cannot be read ({error})") from error
    if name.lower().endswith(".json"):
        labels = _parse_stylegan(name, content)
        if labels is not None:
            return list_rows(files, name, labels, "table of StyleGAN (dataset.json)")
    return _list_columns(files, config, name, _parse_records(name, content), "table")


def _list_stylegan(files: Files, config: DataConfig) -> Listing | None:
    """List the images of ``dataset.json``, or return None when ``files`` has none with labels."""
    table = find_table(files, "dataset.json")
    if table is None:
        return None
    rows = _parse_stylegan(table, load(files, table))
    return None if rows is None else list_rows(files, table, rows, "StyleGAN")


def _list_huggingface(files: Files, config: DataConfig) -> Listing | None:
    """List the images of all metadata files with a ``file_name``, which is relative to the file's own folder.

    The class is ``config.label_column`` or the only column with a usual name; folders such as ``train`` above a metadata file
    are the source's own splits.
    """
    rows: list[Row] = []
    tables = []
    for name in files.names:
        if basename(name).casefold() not in ("metadata.csv", "metadata.jsonl"):
            continue
        found = _parse_records(name, load(files, name))
        if found and "file_name" in found[0]:
            tables.append(name)
            folder = name.removesuffix(basename(name))
            # With the folder, as images of two splits often have equal names.
            rows += [{**row, "file_name": folder + row.get("file_name", "")} for row in found]
    if not tables:
        return None
    config = config.model_copy(update={"image_column": "file_name"})
    listing = _list_columns(files, config, ", ".join(tables), rows, "Hugging Face")
    if any(listing.splits):
        return listing
    folders_of = [name.split("/")[:-1] for name in listing.names]
    return replace(listing, splits=[next(filter(None, map(parse_split, folders)), "") for folders in folders_of])


HUGGINGFACE = Layout("huggingface", _list_huggingface, columns=("label_column", "group_column", "split_column"))
STYLEGAN = Layout("stylegan", _list_stylegan)


def list_rows(
    files: Files, table: str, rows: Sequence[LabeledImage], layout: str, notes: Sequence[str] = ()
) -> Listing:
    """List the images that rows name by the end of their path, with or without suffix and folders.

    Rows without a file, rows without a label and images without a row are left out and counted in notes. Equal rows count
    once.

    Args:
        files: where the images are looked for.
        table: name of the table, for messages.
        rows: its content.
        layout: title of the layout.
        notes: come first.

    Raises:
        DataError: no image is there, a name fits several files, one image has two labels, groups or splits, a split has an
            unknown name, or two classes differ only in case.
    """
    matches = _Matches(files, table)
    for row in rows:
        matches.add(row)
    row_of = matches.row_of
    if not row_of:
        example = f" (such as {printable(rows[0].image)})" if rows else ""
        raise DataError(
            f"{printable(table)} lists {len(rows):,} images, but none of them{example} with a label is under "
            f"{printable(str(files.root))}: put them there or name another column"
        )
    names = sorted(row_of)
    labels = [row_of[name].label.strip() for name in names]
    classes = tuple(sorted(set(labels), key=_numbers_first))
    clash = [name for name, count in Counter(name.casefold() for name in classes).items() if count > 1]
    if clash:
        both = " and ".join(printable(name) for name in classes if name.casefold() == clash[0])
        raise table_error(table, f"the classes {both} differ only in case: rename one")
    listed = len(rows) - matches.repeated
    coverage = f"{layout}: {len(names):,} of the {listed:,} rows of {printable(table)} have an image and a label"
    return Listing(
        names=names,
        labels=labels,
        groups=[row_of[name].group.strip() for name in names],
        classes=classes,
        notes=(*notes, coverage, *matches.notes()),
        splits=[_check_split(table, row_of[name].split.strip()) for name in names],
        layout=layout,
    )


class _Matches:
    """The images of a source matched with the rows of a table, and counts of what does not match."""

    def __init__(self, files: Files, table: str) -> None:
        self.table = table
        self.row_of: dict[str, LabeledImage] = {}
        self.missing: list[str] = []
        self.unlabeled = self.repeated = 0
        self._images = [name for name in files.names if is_image(name)]
        # Every suffix of an image's path, with and without the file's ending, and the images that have it.
        self._by_path_end: dict[str, list[str]] = {}
        for name in self._images:
            parts = _normalize(name).split("/")
            for start in range(len(parts)):
                end = "/".join(parts[start:])
                for key in {end, _drop_suffix(end)}:
                    self._by_path_end.setdefault(key, []).append(name)

    def add(self, row: LabeledImage) -> None:
        """Match one row; raise DataError if its name fits several images or an earlier row contradicts it."""
        if not row.label.strip():
            self.unlabeled += 1
            return
        path = _normalize(row.image)
        keys = [end for whole in (path, basename(path)) for end in (whole, _drop_suffix(whole))]
        found = next((self._by_path_end[key] for key in keys if key in self._by_path_end), [])
        if not found:
            self.missing.append(row.image)
            return
        if len(found) > 1:
            raise table_error(
                self.table,
                f"{printable(row.image)} may be {printable(found[0])} or {printable(found[1])}: "
                "name images with their folders, or leave some out with --exclude",
            )
        earlier = self.row_of.setdefault(found[0], row)
        if earlier is row:
            return
        if (earlier.label.strip(), earlier.group, earlier.split) != (row.label.strip(), row.group, row.split):
            what = "label" if earlier.label.strip() != row.label.strip() else "group or split"
            raise table_error(
                self.table,
                f"{printable(row.image)} is listed twice with another {what} "
                f"({printable(earlier.label)} and {printable(row.label)}): correct the table",
            )
        self.repeated += 1

    def notes(self) -> list[str]:
        """Return sentences on what was left out."""
        notes = []
        if self.missing:
            notes.append(
                f"{len(self.missing):,} rows name no image that is there, such as {printable(self.missing[0])}"
            )
        if self.unlabeled:
            notes.append(f"{self.unlabeled:,} rows have no label and are left out")
        if self.repeated:
            notes.append(f"{self.repeated:,} rows repeat an earlier one")
        others = sorted(set(self._images) - set(self.row_of))
        if others:
            notes.append(f"left out {len(others):,} images without a row, such as {printable(others[0])}")
        return notes


def _normalize(cell: str) -> str:
    return cell.strip().replace("\\", "/").removeprefix("./").casefold()


def _drop_suffix(name: str) -> str:
    return name.rpartition(".")[0] if is_image(name) else name


def _numbers_first(name: str) -> tuple[int, int, str]:
    return (0, int(name), name) if name.isdecimal() else (1, 0, name)


def _check_split(table: str, cell: str) -> str:
    split = parse_split(cell) if cell else ""
    if split is None:
        raise table_error(
            table,
            f"the split {printable(cell)} is not train, validation or test: correct the column, or omit --split-column",
        )
    return split


def _list_columns(files: Files, config: DataConfig, table: str, rows: list[Row], layout: str) -> Listing:
    """List the images of a table's rows by the columns that settings name."""
    if not rows:
        raise table_error(table, "has no rows: give a table with a row per image")
    columns = list(rows[0])
    image = _column(table, columns, config.image_column, "--image-column", IMAGE_COLUMNS)
    one_hot = _one_hot_columns(columns, config.label_column)
    label = "" if one_hot else _column(table, columns, config.label_column, "--label-column", LABEL_COLUMNS)
    group = config.group_column and _column(table, columns, config.group_column, "--group-column")
    split = config.split_column and _column(table, columns, config.split_column, "--split-column")
    notes = [
        f"{printable(table)}: image from column {printable(image)}, class from {printable(label or str(config.label_column))}"
    ]
    if not group:
        notes.append("no --group-column: each image counts as a patient of its own")
    labeled = [
        LabeledImage(
            image=row.get(image, ""),
            label=_one_hot_label(table, row, one_hot) if one_hot else row.get(label, ""),
            group=row.get(group, "") if group else "",
            split=row.get(split, "") if split else "",
        )
        for row in rows
    ]
    return list_rows(files, table, labeled, layout, notes)


def _column(table: str, columns: list[str], named: str | None, option: str, usual: tuple[str, ...] = ()) -> str:
    """Return the column that an option names, or the only one with a usual name."""
    found = [column for column in columns if column == named]
    if not found:
        wanted = usual if named is None else (named.strip().casefold(),)
        found = [column for column in columns if column.strip().casefold() in wanted]
    if len(found) == 1:
        return found[0]
    has = f"it has {printable(', '.join(columns))}"
    if named is not None:
        raise table_error(table, f"has no column {printable(named)} ({option}); {has}")
    hint = "; name several columns of 0 and 1 with commas between them" if usual is LABEL_COLUMNS else ""
    raise table_error(table, f"which column is it? Give {option}; {has}{hint}")


def _one_hot_columns(columns: list[str], named: str | None) -> list[str]:
    """Return the columns of 0 and 1 that are named together (``MEL,NV,BCC``); none where one column is named."""
    names = [] if named is None or named in columns else [part.strip() for part in named.split(",")]
    return names if len(names) > 1 and set(names) <= set(columns) else []


def _one_hot_label(table: str, row: Row, columns: list[str]) -> str:
    """Return the only column with a 1, ``""`` where all are 0."""
    cells = [row.get(column, "").strip() for column in columns]
    try:
        values = [float(cell or 0) for cell in cells]
    except ValueError:
        values = [2.0]
    if not set(values) <= {0.0, 1.0} or sum(values) > 1:
        raise table_error(
            table,
            f"a row has {printable(','.join(cells))} in {printable(','.join(columns))}, where at most one "
            "may be 1 and the others 0: name one column with --label-column",
        )
    return columns[values.index(1.0)] if 1.0 in values else ""


def _parse_stylegan(name: str, content: bytes) -> list[LabeledImage] | None:
    """Return the labels of StyleGAN's ``dataset.json``, None where it has another form."""
    data = _parse_json(name, decode_text(name, content))
    if not isinstance(data, dict) or "labels" not in data:
        return None
    labels = data["labels"]
    if not isinstance(labels, list) or not labels:
        raise table_error(name, "its labels are no list of names and numbers (StyleGAN writes null without labels)")
    for pair in labels:
        if not (isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str) and type(pair[1]) is int):
            entry = printable(json.dumps(pair)[:80])
            raise table_error(name, f"{entry} is no pair of an image's name and a whole number")
    return [LabeledImage(image, str(label)) for image, label in labels]


def _parse_records(name: str, content: bytes) -> list[Row]:
    """Return the rows of a text table, or of JSON, as text cells."""
    lower = name.lower()
    if lower.endswith((".xlsx", ".xls", ".ods", ".parquet", ".feather", ".arrow")):
        raise DataError(f"{printable(name)} is not a text table: save it as .csv")
    if lower.endswith((".zip", *PACKED_SUFFIXES)):
        raise DataError(f"{printable(name)} is a packed table: unpack it")
    if not lower.endswith((".json", ".jsonl", ".ndjson")):
        return parse_table(name, content)
    text = decode_text(name, content)
    if lower.endswith(".json"):
        data = _parse_json(name, text)
    else:
        data = [_parse_json(name, line) for line in text.splitlines() if line.strip()]
    if not isinstance(data, list) or not all(isinstance(row, dict) for row in data):
        raise table_error(name, "neither a list of rows with named cells nor StyleGAN's labels")
    return [{str(key): "" if cell is None else str(cell) for key, cell in row.items()} for row in data]


def _parse_json(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise table_error(name, f"not JSON ({error})") from error
