"""PAD-UFES-20: ``metadata.csv`` and images in ``images/imgs_part_1`` to ``_3``."""

from __future__ import annotations

from qgan_qiskit.config import DataConfig
from qgan_qiskit.data.files import Files
from qgan_qiskit.data.layouts.listing import Listing, read_headed
from qgan_qiskit.data.layouts.table import Row, list_rows


def list_pad_ufes(files: Files, config: DataConfig) -> Listing | None:
    """List the images of PAD-UFES-20, or return None without its table, which is known by its columns.

    The class is ``diagnostic``; the patient, who may have several lesions, becomes the group.

    Raises:
        DataError: what ``list_rows`` refuses.
    """
    found = read_headed(files, ("patient_id", "diagnostic", "img_id"))
    if found is None:
        return None
    table, rows = found
    said = ["images of a patient are never parted: where notes count lesions, these are patients"]
    listed = [Row(row["img_id"], row["diagnostic"], row["patient_id"]) for row in rows]
    return list_rows(files, table, listed, "PAD-UFES-20", said)
