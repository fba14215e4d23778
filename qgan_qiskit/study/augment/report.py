"""The report on augmentation: ``table.md``, ``table.csv`` (a line per cell), ``results.json`` and ``curve.png``.

Shape letters: N images · C classes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qgan_qiskit.errors import CheckpointError
from qgan_qiskit.stats import draw_lesion_counts, t_interval
from qgan_qiskit.study.augment.plan import SPLITS_FILE, AugmentStudy
from qgan_qiskit.study.augment.summary import (
    CHOSEN_BY,
    SCORES,
    Cells,
    Comparison,
    Estimate,
    TestSplit,
    as_json,
    by_condition,
    choose_alphas,
    estimate_validation,
    list_answers,
    questions,
    summarize_answers,
)
from qgan_qiskit.study.augment.training_sets import BASELINES, Condition
from qgan_qiskit.study.report import csv_text, render, results_json, to_png, write_files
from qgan_qiskit.study.study_file import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PREDICTIONS = "predictions.npz"
# Accuracy, precision and recall printed in the HybridQ paper, at each model's best alpha. Its splits, test set, backbone
# weights and choice of alpha are not stated, so the numbers are on no scale of ours: context, not a comparison.
PRINTED_SOURCE = "arXiv 2506.21015v1, Table 2 (another split and test set)"
_ISIC, _FITZPATRICK = ("bcc", "mel", "nv"), ("benign", "malignant", "non-neoplastic")
_PRINTED: dict[str, dict[tuple[str, ...], tuple[float, float, float]]] = {
    "none": {_ISIC: (0.7167, 0.62, 0.56), _FITZPATRICK: (0.5689, 0.56, 0.56)},
    "dcgan": {_ISIC: (0.7367, 0.67, 0.68), _FITZPATRICK: (0.6, 0.60, 0.59)},
    "mosaiq": {_ISIC: (0.7006, 0.56, 0.62), _FITZPATRICK: (0.5125, 0.49, 0.50)},
    "hybridq": {_ISIC: (0.7467, 0.72, 0.70), _FITZPATRICK: (0.6122, 0.62, 0.62)},
}
_COLORS = {"none": "black", "oversample": "tab:olive", "traditional": "tab:purple"}
_MARKERS = "os^Dv<>p*h"
Estimates = Mapping[Condition, Mapping[str, Mapping[str, Estimate]]]


def write_report(study: AugmentStudy, results: dict[str, Row]) -> list[Path]:
    """Write all files and return their paths.

    Args:
        study: of the cells.
        results: of the finished cells; at least one.

    Raises:
        CheckpointError: a file of a cell is missing or damaged.
        StorageError: a file cannot be written.
    """
    cells = by_condition(results.values())
    splits = _read_splits(study.folder)
    labels_N = np.array(splits["test"]["labels"])
    weights_RN = draw_lesion_counts(labels_N, splits["test"]["lesions"], study.settings.bootstrap)
    test = TestSplit(
        labels_N, weights_RN, lambda row: read_predictions(study.folder / "cells" / row["cell"], row)["test"]
    )
    estimates = {
        condition: {
            "validation": {score: estimate_validation(rows, score) for score in SCORES},
            "test": {score: test.estimate(rows, score) for score in SCORES},
        }
        for condition, rows in cells.items()
    }
    chosen = choose_alphas(cells, study.generators, *study.settings.grid())
    first, second = (test.compare(cells, pairs) for pairs in questions(chosen, cells))
    content = {
        "classes": study.classes,
        "data": study.data.model_dump(mode="json"),
        "augment": study.settings.model_dump(mode="json"),
        "versions": study.versions,
        "splits": {
            name: {"counts": split["counts"], "lesions": split["number_of_lesions"]} for name, split in splits.items()
        },
        "chosen_by": f"mean over the seeds of the validation split's {CHOSEN_BY}",
        "chosen_alphas": chosen,
        "headline": summarize_answers(first) if first else None,
        "answers": list_answers([*first, *second]),
        "comparisons": [as_json(one) for one in (*first, *second)],
        "conditions": [
            {
                "condition": str(condition),
                **{split: {score: as_json(one) for score, one in of.items()} for split, of in found.items()},
            }
            for condition, found in estimates.items()
        ],
        "paper": PRINTED_SOURCE,
        "cells": [row for of_seed in cells.values() for row in of_seed.values()],
    }
    return write_files(
        study.folder,
        {
            "table.md": _render_page(study, splits, cells, estimates, chosen, first, second),
            "table.csv": csv_text(list(_lines(cells))),
            "results.json": results_json(content),
            "curve.png": _draw(cells, list(study.generators), study.settings.alpha_values(), chosen),
        },
    )


def read_predictions(folder: Path, row: Row) -> dict[str, np.ndarray]:
    """Return probabilities (N, C) on the validation and the test split of a finished cell.

    Raises:
        CheckpointError: they are missing or not those that its row was made with.
    """
    path = folder / PREDICTIONS
    try:
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != row["predictions_digest"]:
            raise ValueError("not those that cell.json was made with")
        with np.load(BytesIO(content), allow_pickle=False) as arrays:
            return {split: arrays[split] for split in ("validation", "test")}
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path}: cannot be used ({error}); remove the folder to run the cell again") from None


def _read_splits(folder: Path) -> dict[str, Any]:
    path = folder / SPLITS_FILE
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read ({error}); run the study again to write it") from None
    return found


def _lines(cells: Cells) -> Iterator[dict[str, Any]]:
    """Yield the lines of the CSV file: condition, seed, numbers of images, all scores on both splits, seconds."""
    for condition, of_seed in cells.items():
        for seed, row in sorted(of_seed.items()):
            yield {
                "condition": condition.kind,
                "generator": condition.generator or "",
                "alpha": "" if condition.alpha is None else f"{condition.alpha:g}",
                "seed": seed,
                "read_real_images": sum(row["real"].values()),
                "generated_images": sum(row["generated"].values()),
                "trained_on": sum(row["trained_on"].values()),
                **{
                    f"{split}_{score}": f"{row[split][score]:.6f}"
                    for split in ("validation", "test")
                    for score in SCORES
                },
                "seconds": row["seconds"],
            }


def _render_page(
    study: AugmentStudy,
    splits: dict[str, Any],
    cells: Cells,
    estimates: Estimates,
    chosen: Mapping[str, float],
    first: Sequence[Comparison],
    second: Sequence[Comparison],
) -> str:
    """Return ``table.md``: generated images against the baselines first, then on top of geometric augmentation."""
    rows = [row for of_seed in cells.values() for row in of_seed.values()]
    conditions = [Condition(kind) for kind in BASELINES] + [
        Condition(kind, name, alpha)
        for kind in ("generated", "traditional+generated")
        for name, alpha in chosen.items()
    ]
    return render(
        "augment",
        study=study,
        splits=splits,
        cells=cells,
        rows=rows,
        drawn=list(cells.get(Condition("none"), {}).values()),
        conditions=[condition for condition in conditions if condition in estimates],
        curve=[condition for condition in estimates if condition.kind == "generated"],
        estimates=estimates,
        chosen=chosen,
        printed={
            condition: printed_scores(study.classes, _printed_model(study, condition)) for condition in conditions
        },
        printed_source=PRINTED_SOURCE,
        first=first,
        second=second,
        headline=summarize_answers(first),
        answers=list_answers(first),
        scores=SCORES,
        chosen_by=CHOSEN_BY,
        estimate=_format_estimate,
        interval=_format_interval,
        signed=_format_signed,
        generated_mean={
            condition: float(np.mean([sum(row["generated"].values()) for row in of_seed.values()]))
            for condition, of_seed in cells.items()
        },
        seconds_mean={
            condition: float(np.mean([row["seconds"] for row in of_seed.values()]))
            for condition, of_seed in cells.items()
        },
    )


def printed_scores(classes: Sequence[str], model: str) -> tuple[float, float, float] | None:
    """Return accuracy, precision and recall printed for a model at its best alpha, or for no augmentation; None without.

    Args:
        classes: of the study; the paper has MEL, NV and BCC of ISIC 2019, and three of Fitzpatrick17k.
        model: name of the model behind the generated images, or ``none``.
    """
    return _PRINTED.get(model, {}).get(tuple(sorted(name.casefold() for name in classes)))


def _printed_model(study: AugmentStudy, condition: Condition) -> str:
    """Return the paper's name for the images of a condition, empty for those it does not have."""
    if condition.kind == "none":
        return "none"
    if condition.kind != "generated" or condition.generator is None:
        return ""
    sources = [source for of_class in study.generators[condition.generator].values() for source in of_class]
    models = {"" if source.classical_baseline else source.model for source in sources}
    return models.pop() if len(models) == 1 else ""


def _format_estimate(one: Estimate) -> str:
    text = f"{one.mean:.3f}"
    if one.over_seeds is not None:
        text += f" [{_format_interval(one.over_seeds)}]"
    return text if one.over_lesions is None else f"{text} ({_format_interval(one.over_lesions)})"


def _format_interval(one: tuple[float, float] | None, sign: bool = False) -> str:
    if one is None:
        return "–"
    return f"{_format_signed(one[0])} to {_format_signed(one[1])}" if sign else f"{one[0]:.3f} to {one[1]:.3f}"


def _format_signed(value: float) -> str:
    # Adding 0.0 turns -0.0 into 0.0.
    return f"{round(value, 3) + 0.0:+.3f}"


def _draw(cells: Cells, generators: Sequence[str], alphas: Sequence[float], chosen: Mapping[str, float]) -> bytes:
    """Draw a panel per split: a line per generator with 95 % bars over seeds, a dot per cell, and a band per baseline.

    The chosen alphas are circled.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.6), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, split in zip(panels, ("validation", "test"), strict=True):
        _plot_split(axes, split, cells, generators, alphas, chosen)
    panels[0].set_ylabel(SCORES[CHOSEN_BY])
    shown = [row[split][CHOSEN_BY] for of in cells.values() for row in of.values() for split in ("validation", "test")]
    margin = max(0.25 * (max(shown) - min(shown)), 0.01)
    # All cells are visible; a wide interval of two or three seeds may leave the picture rather than flatten it.
    panels[0].set_ylim(min(shown) - margin, max(shown) + margin)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", fontsize=8)
    return to_png(figure)


def _plot_split(
    axes: Axes,
    split: str,
    cells: Cells,
    generators: Sequence[str],
    alphas: Sequence[float],
    chosen: Mapping[str, float],
) -> None:
    for kind in BASELINES:
        values = _values(cells, Condition(kind), split)
        if values:
            color = _COLORS[kind]
            axes.axhline(float(np.mean(values)), color=color, lw=1.3, ls="--", label=kind)
            if len(values) > 1:
                interval = t_interval(values)
                axes.axhspan(interval["low"], interval["high"], color=color, alpha=0.07, lw=0)
                for end in (interval["low"], interval["high"]):
                    axes.axhline(end, color=color, lw=0.7, ls=":")
    # Side by side, so that bars at one alpha do not hide each other.
    shift = 0.012
    for number, name in enumerate(generators):
        offset = shift * (number - (len(generators) - 1) / 2)
        points = [(alpha, _values(cells, Condition("generated", name, alpha), split)) for alpha in alphas]
        points = [(alpha, values) for alpha, values in points if values]
        if not points:
            continue
        color = f"C{number}"
        x = [alpha + offset for alpha, _ in points]
        means = [float(np.mean(values)) for _, values in points]
        bars = [0.0 if len(values) < 2 else (i := t_interval(values))["high"] - i["mean"] for _, values in points]
        axes.errorbar(x, means, bars, color=color, marker=_MARKERS[number % len(_MARKERS)], ms=5, capsize=3, label=name)
        for position, (_, values) in zip(x, points, strict=True):
            axes.plot([position] * len(values), values, ".", color=color, alpha=0.35, ms=4)
        if name in chosen and (best := [i for i, (alpha, _) in enumerate(points) if alpha == chosen[name]]):
            axes.plot(x[best[0]], means[best[0]], "o", ms=13, mfc="none", mec=color, mew=1.5)
    axes.set_title(f"{split} split" + (" (chooses alpha: circles)" if split == "validation" else ""), fontsize=10)
    axes.set_xlabel("alpha: fraction of generated images in the training set")
    axes.grid(alpha=0.3)


def _values(cells: Cells, condition: Condition, split: str) -> list[float]:
    return [row[split][CHOSEN_BY] for row in cells.get(condition, {}).values()]
