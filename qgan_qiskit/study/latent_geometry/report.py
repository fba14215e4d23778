"""The report of a geometry study.

Files: ``table.md``, ``table.csv``, ``results.json``, ``geometry.png`` and ``interpolations.png``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from qgan_qiskit.config.studies import GeometryConfig
from qgan_qiskit.errors import CheckpointError
from qgan_qiskit.study.cell_runs import write_files
from qgan_qiskit.study.cells import Row
from qgan_qiskit.study.latent_geometry.pictures import geometry_picture, interpolations_picture
from qgan_qiskit.study.latent_geometry.plan import labels
from qgan_qiskit.study.latent_geometry.tables import csv_table, markdown_table
from qgan_qiskit.study.study_file import StudyFile


def write_report(study: StudyFile[GeometryConfig], rows: Sequence[Row]) -> list[Path]:
    """Write all files and return their paths.

    Args:
        study: whose runs they are.
        rows: finished runs in the order to be shown, at least one.

    Raises:
        CheckpointError: a picture of a run is missing or damaged.
        StorageError: the disk refused.
    """
    names = labels([row["run"] for row in rows])
    rows = [row | {"label": name} for row, name in zip(rows, names, strict=True)]
    try:
        interpolations = interpolations_picture(study.folder, rows)
    except OSError as error:
        raise CheckpointError(
            f"{study.folder}: a picture of a run cannot be read ({error}); remove its cell.json to do it again"
        ) from None
    return write_files(
        study.folder,
        {
            "table.md": markdown_table(study, rows).encode(),
            "table.csv": csv_table(rows).encode(),
            "results.json": (json.dumps({**study.content(), "runs": rows}, indent=1) + "\n").encode(),
            "geometry.png": geometry_picture(rows),
            "interpolations.png": interpolations,
        },
    )
