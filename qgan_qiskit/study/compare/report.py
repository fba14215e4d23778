"""The report of a comparison: tables and pictures from the rows of its finished cells, without training anything.

Files: ``table.csv`` (a row per cell), ``results.json`` (everything), ``table.md``, ``curves.png`` and ``samples.png``.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from qgan_qiskit.errors import CheckpointError, StorageError
from qgan_qiskit.study.cells import Row, atomic_write
from qgan_qiskit.study.compare.folder import Study
from qgan_qiskit.study.compare.paper import SOURCE
from qgan_qiskit.study.compare.pictures import curves_picture, samples_picture
from qgan_qiskit.study.compare.summary import summarize
from qgan_qiskit.study.compare.tables import csv_table, markdown_table
from qgan_qiskit.study.matplotlib_check import check_matplotlib

# Beside a cell's result: real images and generated ones, side by side.
REALS, SAMPLES = "reals.png", "samples.png"


def write_report(study: Study, rows: dict[str, Row]) -> list[Path]:
    """Write all files of the report and return their paths.

    Args:
        study: whose cells they are.
        rows: finished cells by the name of their folder, in the order to be shown; at least one.

    Raises:
        UsageError: matplotlib is missing.
        CheckpointError: a picture of a cell is missing or damaged.
        StorageError: the disk refused.
    """
    check_matplotlib()
    cells = list(rows.values())
    summary = summarize(cells)
    settings = study.settings.model_dump(mode="json")
    results = {
        "settings": settings,
        "versions": study.versions,
        "commands": study.commands,
        "printed_fid_source": SOURCE,
        "cells": cells,
        **summary,
    }
    try:
        samples = samples_picture(study.folder, rows, summary, REALS, SAMPLES)
    except OSError as error:
        raise CheckpointError(
            f"{study.folder}: a picture of a cell cannot be read ({error}); remove that cell's cell.json to do it again"
        ) from None
    files = {
        "table.csv": csv_table(cells).encode(),
        "results.json": (json.dumps(_plain(results), indent=1, allow_nan=False) + "\n").encode(),
        "table.md": markdown_table(study, cells, summary).encode(),
        "curves.png": curves_picture(cells, summary),
        "samples.png": samples,
    }
    written = {study.folder / name: data for name, data in files.items() if data is not None}
    for path, data in written.items():
        try:
            atomic_write(path, data)
        except OSError as error:
            raise StorageError(
                f"{path}: not written ({error.strerror or error}); free space and repeat the command with --report"
            ) from None
    return list(written)


def _plain(value: Any) -> Any:
    """Return the same for strict JSON, which has no infinity and no NaN."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
