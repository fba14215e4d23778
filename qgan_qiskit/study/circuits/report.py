"""The report of a study of circuits: ``table.md``, ``table.csv``, ``results.json`` and ``circuits.png``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from qgan_qiskit.analysis.gradient_variance import fitted_decay
from qgan_qiskit.config.studies import CircuitsConfig
from qgan_qiskit.study.cell_runs import write_files
from qgan_qiskit.study.cells import Row
from qgan_qiskit.study.circuits.pictures import circuits_picture
from qgan_qiskit.study.circuits.tables import csv_table, markdown_table
from qgan_qiskit.study.study_file import StudyFile


def write_report(study: StudyFile[CircuitsConfig], rows: Sequence[Row]) -> list[Path]:
    """Write all files and return their paths.

    Args:
        study: whose circuits they are.
        rows: finished circuits, at least one.

    Raises:
        StorageError: the disk refused.
    """
    rows = sorted(rows, key=lambda row: (row["reps"] is None, row["family"], row["reps"] or 0, row["num_qubits"]))
    decays = fits(rows)
    results = {**study.content(), "circuits": rows, "decays": decays}
    return write_files(
        study.folder,
        {
            "table.md": markdown_table(study, rows, decays).encode(),
            "table.csv": csv_table(rows).encode(),
            "results.json": (json.dumps(results, indent=1) + "\n").encode(),
            "circuits.png": circuits_picture(rows, decays),
        },
    )


def fits(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return how the gradient variance falls with qubits, for each family, depth and observable with three sizes or more."""
    groups: dict[tuple[str, int], list[Row]] = {}
    for row in rows:
        if row["reps"] is not None:
            groups.setdefault((row["family"], row["reps"]), []).append(row)
    found = []
    for (family, reps), members in groups.items():
        sizes = [row["num_qubits"] for row in members]
        for observable in ("local", "global"):
            decay = fitted_decay(sizes, [row["gradients"][observable]["variance"]["mean"] for row in members])
            if decay is not None:
                found.append(
                    {"family": family, "reps": reps, "observable": observable, "qubits": sizes, **asdict(decay)}
                )
    return found
