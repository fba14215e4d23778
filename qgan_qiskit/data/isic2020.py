"""ISIC 2020: a table of patients and diagnoses, and a folder of images."""

from __future__ import annotations

from qgan_qiskit.config import DataConfig
from qgan_qiskit.data.files import Files, shown
from qgan_qiskit.data.listing import Listing, headed, read_headed
from qgan_qiskit.data.tabled import Row, list_rows
from qgan_qiskit.errors import DataError

_COLUMNS = ("image_name", "patient_id", "diagnosis", "benign_malignant")
_LABELS = ("benign_malignant", "diagnosis", "target")


def list_isic2020(files: Files, config: DataConfig) -> Listing | None:
    """List the images of ISIC 2020, or return None without its table, which is known by its columns.

    The class is ``benign_malignant``, as most diagnoses of this set are ``unknown``; ``config.label_column`` takes
    ``diagnosis`` or ``target`` in its place. The patient becomes the group.

    Raises:
        DataError: another label column, or what ``list_rows`` refuses.
    """
    # The second version of the table names the lesions too; both may lie there.
    found = read_headed(files, (*_COLUMNS, "lesion_id")) or read_headed(files, _COLUMNS)
    if found is None:
        return None
    table, rows = found
    column = config.label_column or _LABELS[0]
    if rows and (column not in _LABELS or column not in rows[0]):
        raise DataError(f"{shown(table)}: --label-column {shown(column)} is not one of {', '.join(_LABELS)}")
    said = [
        f"classes are those of {column}; --label-column {' or '.join(name for name in _LABELS if name != column)} takes others",
        "images of a patient are never parted: where notes count lesions, these are patients",
    ]
    others = [name for name in headed(files, _COLUMNS) if name != table]
    said += [f"{shown(table)} is used, and not {shown(name)}, which is of the same kind" for name in others]
    listed = [Row(row["image_name"], row[column], row["patient_id"]) for row in rows]
    return list_rows(files, table, listed, "ISIC 2020", said)
