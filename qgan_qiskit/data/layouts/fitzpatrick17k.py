"""Fitzpatrick17k: a table of links and labels; the user fetches the images, named by md5hash or url_alphanum."""

from __future__ import annotations

from qgan_qiskit.config import DataConfig
from qgan_qiskit.data.files import Files, base, is_image, shown, stem
from qgan_qiskit.data.layouts.listing import Listing, check_columns, read_table
from qgan_qiskit.errors import DataError

TABLE = "fitzpatrick17k.csv"


def list_fitzpatrick(files: Files, config: DataConfig) -> Listing | None:
    """List the images of Fitzpatrick17k, or return None when ``files`` has no such table.

    An image is looked for in all subfolders as md5hash (with an image ending or bare), then as url_alphanum.
    ``config.labels`` chooses between the three and the nine classes, which keep the table's names.

    Raises:
        DataError: another header, or no image at all.
    """
    found = read_table(files, TABLE)
    if found is None:
        return None
    table, rows = found
    column = f"{config.labels}_partition_label"
    check_columns(table, rows, ("md5hash", column, "url_alphanum"))
    row_of: dict[str, dict[str, str]] = {}
    for row in rows:
        row_of.setdefault(row["md5hash"], row)
    file_of = _find_files(files, row_of)
    if not file_of:
        if table not in files.names:
            return None  # The table beside an unrelated folder says nothing about it.
        raise DataError(
            f"{shown(table)} lists {len(row_of):,} images, but none of them (such as {shown(rows[0]['md5hash'])}.jpg) "
            f"is under {shown(str(files.root))}: fetch the images by the table's links and put them there"
        )
    chosen = sorted(file_of)
    missing = len(row_of) - len(chosen)
    head = f"Fitzpatrick17k: {len(chosen):,} of the {len(row_of):,} images of {table} are there"
    notes = [head + (f", {missing:,} have no file" if missing else "")]
    if len(row_of) < len(rows):
        notes.append(f"{table} lists {len(rows) - len(row_of):,} images twice (same md5hash); the first row counts")
    labels = [row_of[md5][column] for md5 in chosen]
    return Listing(
        names=[file_of[md5] for md5 in chosen],
        labels=labels,
        groups=[""] * len(chosen),
        classes=tuple(sorted(set(labels))),
        notes=tuple(notes),
        layout="Fitzpatrick17k",
    )


def _find_files(files: Files, row_of: dict[str, dict[str, str]]) -> dict[str, str]:
    """Return the file of each md5hash that has one."""
    by_key: dict[str, str] = {}
    for name in files.names:
        last = base(name)
        if is_image(last) or "." not in last:
            by_key.setdefault(stem(last), name)
        by_key.setdefault(last, name)
    file_of = {}
    for md5, row in row_of.items():
        alphanum = row["url_alphanum"]
        file = by_key.get(md5) or (by_key.get(alphanum) or by_key.get(stem(alphanum)) if alphanum else None)
        if file is not None:
            file_of[md5] = file
    return file_of
