"""The report of a noise study, from the rows of its finished conditions.

Files: ``table.md``, ``table.csv``, ``results.json``, ``noise.png`` and ``samples.png``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from qgan_qiskit.errors import CheckpointError, StorageError
from qgan_qiskit.study.cells import Row, atomic_write
from qgan_qiskit.study.noise import paper
from qgan_qiskit.study.noise.pictures import noise_picture, samples_picture
from qgan_qiskit.study.noise.plan import Study
from qgan_qiskit.study.noise.tables import csv_table, markdown_table


def write_report(study: Study, rows: Sequence[Row]) -> list[Path]:
    """Write all files and return their paths.

    Args:
        study: whose conditions they are.
        rows: finished conditions in the order to be shown, at least one.

    Raises:
        CheckpointError: a picture of a condition is missing or damaged.
        StorageError: the disk refused.
    """
    results = {
        "study": {name: value for name, value in asdict(study).items() if name not in ("data", "settings", "folder")},
        "data": study.data.model_dump(mode="json"),
        "settings": study.settings.model_dump(mode="json"),
        "printed_fid": {"source": paper.SOURCE, "simulator_and_brisbane": paper.PRINTED},
        "conditions": list(rows),
    }
    try:
        samples = samples_picture(study.folder, rows)
    except OSError as error:
        raise CheckpointError(
            f"{study.folder}: a picture of a condition cannot be read ({error}); remove its cell.json to do it again"
        ) from None
    files = {
        "table.md": markdown_table(study, rows).encode(),
        "table.csv": csv_table(rows).encode(),
        "results.json": (json.dumps(results, indent=1, default=str) + "\n").encode(),
        "noise.png": noise_picture(rows),
        "samples.png": samples,
    }
    written = {study.folder / name: content for name, content in files.items() if content is not None}
    for path, content in written.items():
        try:
            atomic_write(path, content)
        except OSError as error:
            raise StorageError(
                f"{path}: not written ({error.strerror or error}); free space and repeat the command with --report"
            ) from None
    return list(written)
