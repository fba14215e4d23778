"""StyleGAN's data sets: ``dataset.json`` with the labels beside the numbered folders of images.

Hugging Face's image folders: ``metadata.csv`` or ``metadata.jsonl`` with a ``file_name`` relative to its own folder.
"""

from __future__ import annotations

from dataclasses import replace

from qgan_qiskit.config import DataConfig
from qgan_qiskit.data.files import Files, UnreadableError, base, shown
from qgan_qiskit.data.layouts.listing import Listing, find_table
from qgan_qiskit.data.layouts.table import list_records, list_rows, read_records, stylegan_labels
from qgan_qiskit.data.split_names import split_of
from qgan_qiskit.errors import DataError

TABLE = "dataset.json"


def list_stylegan(files: Files, config: DataConfig) -> Listing | None:
    """List the images of ``dataset.json``, or return None when ``files`` has none with labels.

    Raises:
        DataError: the file cannot be read, or its labels are not pairs of a name and a whole number.
    """
    table = find_table(files, TABLE)
    if table is None:
        return None
    try:
        rows = stylegan_labels(table, files.read(table))
    except UnreadableError as error:
        raise DataError(f"cannot read {shown(table)}: {error}") from error
    return None if rows is None else list_rows(files, table, rows, "StyleGAN")


TABLES = ("metadata.csv", "metadata.jsonl")


def list_huggingface(files: Files, config: DataConfig) -> Listing | None:
    """List the images of all metadata files with a ``file_name``, or return None when there is none.

    The class is ``config.label_column`` or the only usual column (``label``, ``class``, ...); folders such as ``train`` above a
    metadata file are the source's own splits.

    Raises:
        DataError: a metadata file cannot be read or does not fit the images.
    """
    rows: list[dict[str, str]] = []
    tables = [name for name in files.names if base(name).casefold() in TABLES]
    used = []
    for name in tables:
        found = read_records(files, name)
        if not found or "file_name" not in found[0]:
            continue
        used.append(name)
        folder = name.removesuffix(base(name))
        for row in found:
            # The folder's own name, as images of two splits often have equal names.
            rows.append({**row, "file_name": folder + row.get("file_name", "")})
    if not used:
        return None
    listing = list_records(
        files, config.model_copy(update={"image_column": "file_name"}), ", ".join(used), rows, "Hugging Face"
    )
    if any(listing.splits):
        return listing
    splits = [next((s for part in name.split("/")[:-1] if (s := split_of(part))), "") for name in listing.names]
    return replace(listing, splits=splits)
