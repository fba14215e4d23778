"""StyleGAN's data sets: ``dataset.json`` with the labels beside the numbered folders of images."""

from __future__ import annotations

from qgan_qiskit.config import DataConfig
from qgan_qiskit.data.files import Files, UnreadableError, shown
from qgan_qiskit.data.listing import Listing, find_table
from qgan_qiskit.data.table import stylegan_labels
from qgan_qiskit.data.tabled import list_rows
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
