"""What the finished cells of a comparison say: a pure function of their rows.

The result is made of dicts and lists, as it goes into ``results.json``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from qgan_qiskit.stats import PairedTest, holm, paired_test, t_interval
from qgan_qiskit.study.cells import Row
from qgan_qiskit.study.compare.paper import printed_fid

Summary = dict[str, Any]


def summarize(rows: Sequence[Row]) -> Summary:
    """Return per class and model the mean of every figure over the seeds, the floors, and tests between models.

    Args:
        rows: finished cells, in the order in which models and classes are to be shown.
    """
    models, classes = (list(dict.fromkeys(row[key] for row in rows)) for key in ("model", "class"))
    groups = {
        key: [row for row in rows if (row["class"], row["model"]) == key] for key in itertools.product(classes, models)
    }
    figures = list(dict.fromkeys(figure["name"] for row in rows for figure in row["figures"]))
    return {
        "models": models,
        "classes": classes,
        "figures": figures,
        "table": [_line(group) for group in groups.values() if group],
        "floors": [_floors(name, [row for row in rows if row["class"] == name]) for name in classes],
        # The first figure is the one that the study is about, and that its curves follow.
        "tested": figures[0] if figures else None,
        "tests": _tests(models, rows, figures[0] if figures else None),
    }


def value_of(row: Row, figure: str) -> float | None:
    """Return a figure of a cell by its name, None if it was not measured or is not finite."""
    for measured in row["figures"]:
        if measured["name"] == figure:
            return _finite(measured["value"])
    return None


def _line(rows: list[Row]) -> dict[str, Any]:
    """Return what the seeds of one model on one class give."""
    first = rows[0]
    names = dict.fromkeys(figure["name"] for row in rows for figure in row["figures"])
    return {
        "class": first["class"],
        "model": first["model"],
        "parameters": first["parameters"],
        "seeds": [row["seed"] for row in rows],
        "diverged": [row["seed"] for row in rows if row["diverged"] is not None],
        "images_seen": first["images_seen"],
        "batch_size": first["batch_size"],
        "left_out": first["left_out"],
        "seconds": float(np.mean([row["seconds"] for row in rows])),
        "seconds_complete": all(row["seconds_complete"] for row in rows),
        "figures": {name: _mean(rows, name) for name in names},
        "printed_fid": printed_fid(first["name"], first["class"], first["classical_baseline"]),
    }


def _mean(rows: list[Row], name: str) -> dict[str, Any]:
    """Return the mean of a figure with its interval: over the seeds, or with one seed over resampled images."""
    values = {row["seed"]: value for row in rows if (value := value_of(row, name)) is not None}
    mean = {"seeds": list(values), "values": list(values.values())}
    if len(values) > 1:
        return mean | t_interval(mean["values"]) | {"interval": "t over seeds"}
    if not values:
        return mean | {"mean": None, "low": None, "high": None, "interval": None}
    (measured,) = [
        figure for row in rows for figure in row["figures"] if figure["name"] == name and row["seed"] in values
    ]
    known = measured["low"] is not None
    kind = "bootstrap of one cell" if known else None
    return mean | {"mean": measured["value"], "low": measured["low"], "high": measured["high"], "interval": kind}


def _floors(class_name: str, rows: list[Row]) -> dict[str, Any]:
    """Return what real images reach against other real images: the same for all cells, unless seeds have images of their own."""
    found: dict[str, set[tuple[float, int | None]]] = {}
    for row in rows:
        for figure in row["figures"]:
            if figure["baseline"] is not None:
                found.setdefault(figure["name"], set()).add((figure["baseline"], figure["baseline_number"]))
    return {
        "class": class_name,
        "figures": {
            name: {
                "mean": float(np.mean([floor for floor, _ in floors])),
                "number": max(number or 0 for _, number in floors) or None,
            }
            for name, floors in found.items()
        },
    }


def _tests(models: list[str], rows: Sequence[Row], figure: str | None) -> list[dict[str, Any]]:
    """Return paired tests of a figure between all pairs of models, over the cells (class, seed) that both have."""
    if figure is None:
        return []
    values = {
        (row["model"], row["class"], row["seed"]): value for row in rows if (value := value_of(row, figure)) is not None
    }
    tests: list[dict[str, Any]] = []
    for first, second in itertools.combinations(models, 2):
        cells = [key[1:] for key in values if key[0] == first and (second, *key[1:]) in values]
        columns = [[values[model, *cell] for cell in cells] for model in (first, second)]
        positive = all(value > 0 for column in columns for value in column)
        test: dict[str, Any] = {
            "first": first,
            "second": second,
            "pairs": len(cells),
            "plain": _as_dict(paired_test(*columns)),
        }
        # Of logarithms: a model that is twice as far off counts the same on every class, however hard the class is.
        logs = [[math.log(value) for value in column] for column in columns] if positive else [[], []]
        tests.append(test | {"log": _as_dict(paired_test(*logs))})
    for scale, kind in itertools.product(("plain", "log"), ("t_p", "flip_p")):
        done = [test[scale] for test in tests if test[scale] is not None]
        for found, p in zip(done, holm([found[kind] for found in done]), strict=True):
            found[f"{kind}_holm"] = p
    return tests


def _as_dict(test: PairedTest | None) -> dict[str, Any] | None:
    if test is None:
        return None
    return {key: value for key, value in asdict(test).items() if key != "pairs"}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
