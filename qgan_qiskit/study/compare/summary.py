"""Means, intervals and tests of a comparison: a pure function of its finished rows, in dicts and lists as for JSON."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from qgan_qiskit.stats import PairedTest, holm, paired_test, t_interval
from qgan_qiskit.study.study_file import Row

Summary = dict[str, Any]

# FIDs printed in the HybridQ paper. They are on no scale of ours: it names Inception v3 but neither layer, number of images,
# resizing nor real images (section 4.1).
PRINTED_SOURCE = "arXiv 2506.21015v1, Table 1"
# The same row for ISIC 2019 and for Fitzpatrick17k: at least one of the two is a copying error.
MODEL_PRINTED_TWICE = "mosaiq"
_PRINTED_CLASSES = ("MEL", "NV", "BCC", "benign", "malignant", "non-neoplastic")
_PRINTED = {
    "dcgan": (21.23, 16.51, 19.60, 25.16, 28.42, 26.56),
    "mosaiq": (36.22, 53.39, 43.00, 36.22, 53.39, 43.00),
    "hybridq": (14.93, 21.76, 13.29, 18.34, 13.29, 9.99),
}


def printed_fid(model: str, class_name: str, classical_baseline: bool) -> float | None:
    """Return the FID printed for a simulated model (not on hardware) on a class, None if there is none."""
    if classical_baseline or model not in _PRINTED or class_name not in _PRINTED_CLASSES:
        return None
    return _PRINTED[model][_PRINTED_CLASSES.index(class_name)]


def summarize(rows: Sequence[Row]) -> Summary:
    """Return the mean of every metric over the seeds by class and model, the real-vs-real baselines, and tests between models.

    Args:
        rows: of finished cells, in the order in which models and classes are to be shown.
    """
    models, classes = (list(dict.fromkeys(row[key] for row in rows)) for key in ("model", "class"))
    groups = {
        key: [row for row in rows if (row["class"], row["model"]) == key] for key in itertools.product(classes, models)
    }
    names = list(dict.fromkeys(result["name"] for row in rows for result in row["figures"]))
    return {
        "models": models,
        "classes": classes,
        "figures": names,
        "table": [_summarize_group(group) for group in groups.values() if group],
        "real_vs_real": {name: _real_vs_real([row for row in rows if row["class"] == name]) for name in classes},
        # The first metric is the one that the curves follow.
        "tested": names[0] if names else None,
        "tests": _test_pairs(models, rows, names[0]) if names else [],
    }


def value_of(row: Row, metric: str) -> float | None:
    """Return a cell's value of a metric, None if it was not measured or is not finite."""
    for result in row["figures"]:
        if result["name"] == metric:
            value: float = result["value"]
            return value if math.isfinite(value) else None
    return None


def _summarize_group(rows: list[Row]) -> dict[str, Any]:
    """Return the summary of one model on one class over its seeds."""
    first = rows[0]
    names = dict.fromkeys(result["name"] for row in rows for result in row["figures"])
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
        "figures": {name: _average(rows, name) for name in names},
        "printed_fid": printed_fid(first["name"], first["class"], first["classical_baseline"]),
    }


def _average(rows: list[Row], name: str) -> dict[str, Any]:
    """Return the mean of a metric with its interval: over the seeds, or for one seed over resampled images."""
    values = {row["seed"]: value for row in rows if (value := value_of(row, name)) is not None}
    mean = {"seeds": list(values), "values": list(values.values())}
    if len(values) > 1:
        return mean | t_interval(mean["values"]) | {"interval": "t over seeds"}
    if not values:
        return mean | {"mean": None, "low": None, "high": None, "interval": None}
    (result,) = [
        result for row in rows for result in row["figures"] if result["name"] == name and row["seed"] in values
    ]
    kind = None if result["low"] is None else "bootstrap of one cell"
    return mean | {"mean": result["value"], "low": result["low"], "high": result["high"], "interval": kind}


def _real_vs_real(rows: list[Row]) -> dict[str, Any]:
    """Return the real-vs-real baseline of each metric: the same for all cells, unless seeds have images of their own."""
    found: dict[str, set[tuple[float, int | None]]] = {}
    for row in rows:
        for result in row["figures"]:
            if result["baseline"] is not None:
                found.setdefault(result["name"], set()).add((result["baseline"], result["baseline_number"]))
    return {
        name: {
            "mean": float(np.mean([value for value, _ in values])),
            "number": max(number or 0 for _, number in values) or None,
        }
        for name, values in found.items()
    }


def _test_pairs(models: list[str], rows: Sequence[Row], metric: str) -> list[dict[str, Any]]:
    """Return paired tests of a metric between all pairs of models, over the cells (class, seed) that both have."""
    values = {
        (row["model"], row["class"], row["seed"]): value for row in rows if (value := value_of(row, metric)) is not None
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
        # On logarithms a factor of two counts the same on every class, however hard the class is.
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
