"""The report of an augmentation study, from its finished cells, without training anything.

Files: ``table.md``, ``table.csv`` (a line per cell), ``results.json`` (everything) and ``curve.png``.

Shape letters: N images.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from qgan_qiskit.errors import CheckpointError, StorageError
from qgan_qiskit.stats import draw_lesion_counts
from qgan_qiskit.study.augment.cell import predictions_of
from qgan_qiskit.study.augment.conditions import BASELINES, Condition
from qgan_qiskit.study.augment.curve import curve_picture
from qgan_qiskit.study.augment.markdown import markdown
from qgan_qiskit.study.augment.paper import SOURCE
from qgan_qiskit.study.augment.scores import SCORES
from qgan_qiskit.study.augment.spec import PARTS_FILE, Study
from qgan_qiskit.study.augment.summary import (
    CHOSEN_BY,
    Comparison,
    Estimate,
    TestPart,
    answers,
    as_json,
    by_condition,
    chosen_alphas,
    headline,
    questions,
    validation_estimate,
)
from qgan_qiskit.study.augment.tables import csv_table
from qgan_qiskit.study.cells import Row, atomic_write, result_of
from qgan_qiskit.study.shared_file import some_finished

Cells = dict[Condition, dict[int, Row]]


def finished_cells(study: Study) -> Cells:
    """Return the finished cells of a study by condition and seed: baselines first, then by generator and alpha.

    Raises:
        CheckpointError: the result of a cell is damaged.
    """
    rows = [result_of(path) for path in sorted((study.folder / "cells").glob("*"))]
    cells = by_condition(row for row in rows if row is not None)
    order = [Condition(kind) for kind in BASELINES]
    for kind in ("generated", "traditional+generated"):
        order += [Condition(kind, name, alpha) for name in study.generators for alpha in study.settings.alpha_values()]
    return {condition: dict(sorted(cells[condition].items())) for condition in order if condition in cells}


def chosen(study: Study, cells: Cells) -> dict[str, float]:
    """Return the alpha of each generator whose cells are all finished."""
    settings = study.settings
    return chosen_alphas(cells, study.generators, settings.alpha_values(), len(settings.seed_values()))


def write_report(study: Study) -> list[Path]:
    """Write all files of the report and return their paths.

    Raises:
        CheckpointError: no cell is finished, or a file of a cell is damaged.
        StorageError: the disk refused.
    """
    cells = some_finished(study.folder, finished_cells(study))
    parts = _parts(study)
    labels_N = np.array(parts["test"]["labels"])
    weights_RN = draw_lesion_counts(labels_N, parts["test"]["lesions"], study.settings.bootstrap)
    test = TestPart(labels_N, weights_RN, lambda row: predictions_of(study.folder / "cells" / row["cell"], row)["test"])
    estimates = {
        condition: {
            "validation": {score: validation_estimate(rows, score) for score in SCORES},
            "test": {score: test.estimate(rows, score) for score in SCORES},
        }
        for condition, rows in cells.items()
    }
    alphas = chosen(study, cells)
    first, second = (test.compare(cells, pairs) for pairs in questions(alphas, cells))
    content = _results(study, parts, cells, estimates, alphas, first, second)
    files = {
        "table.md": markdown(study, parts, cells, estimates, alphas, first, second).encode(),
        "table.csv": csv_table(cells).encode(),
        "results.json": (json.dumps(content, indent=1, allow_nan=False) + "\n").encode(),
        "curve.png": curve_picture(cells, list(study.generators), study.settings.alpha_values(), alphas),
    }
    for name, data in files.items():
        try:
            atomic_write(study.folder / name, data)
        except OSError as error:
            raise StorageError(
                f"{study.folder / name}: not written ({error.strerror or error}); free space and repeat with --report"
            ) from None
    return [study.folder / name for name in files]


def _parts(study: Study) -> dict[str, Any]:
    path = study.folder / PARTS_FILE
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read ({error}); run the study again to write it") from None
    return found


def _results(
    study: Study,
    parts: dict[str, Any],
    cells: Cells,
    estimates: Mapping[Condition, Mapping[str, Mapping[str, Estimate]]],
    alphas: Mapping[str, float],
    first: Sequence[Comparison],
    second: Sequence[Comparison],
) -> dict[str, Any]:
    return {
        "classes": study.classes,
        "data": study.data.model_dump(mode="json"),
        "augment": study.settings.model_dump(mode="json"),
        "versions": study.versions,
        "parts": {
            name: {"counts": part["counts"], "lesions": part["number_of_lesions"]} for name, part in parts.items()
        },
        "chosen_by": f"mean over the seeds of the validation part's {CHOSEN_BY}",
        "chosen_alphas": alphas,
        "headline": headline(first) if first else None,
        "answers": answers([*first, *second]),
        "comparisons": [as_json(one) for one in (*first, *second)],
        "conditions": [
            {
                "condition": str(condition),
                **{part: {score: as_json(one) for score, one in of.items()} for part, of in found.items()},
            }
            for condition, found in estimates.items()
        ],
        "paper": SOURCE,
        "cells": [row for of_seed in cells.values() for row in of_seed.values()],
    }
