"""The report of a comparison: ``table.md``, ``table.csv``, ``results.json``, ``curves.png`` and ``samples.png``.

Shape letters: H W C image.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qgan_qiskit.stats import MAX_EXACT_PAIRS
from qgan_qiskit.study.compare.summary import MODEL_PRINTED_TWICE, PRINTED_SOURCE, Summary, summarize
from qgan_qiskit.study.report import csv_text, read_picture, render, results_json, to_png, write_files
from qgan_qiskit.study.study_file import Row, Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Beside a cell's result: real images and generated ones, side by side.
REALS, SAMPLES = "reals.png", "samples.png"
_COLUMNS = (
    "model", "class", "seed", "diverged", "epochs", "batch_size", "steps", "images_seen", "left_out", "images", "seconds",
    "seconds_complete", "device", "threads", "data_digest", "config_digest",
)  # fmt: skip
# Inches: width of a panel, and of the labels beside samples, which are an inch each.
_PANEL, _LABEL = 4.2, 1.7


def write_report(study: Study, results: dict[str, Row]) -> list[Path]:
    """Write all files and return their paths.

    Args:
        study: of the cells.
        results: of the finished cells by name, in the order to be shown; at least one.

    Raises:
        CheckpointError: a picture of a cell is missing or damaged.
        StorageError: a file cannot be written.
    """
    rows = list(results.values())
    summary = summarize(rows)
    content = study.content()
    everything = {name: content[name] for name in ("settings", "versions", "commands")}
    everything |= {"printed_fid_source": PRINTED_SOURCE, "cells": rows, **summary}
    return write_files(
        study.folder,
        {
            "table.csv": csv_text([_columns(row) for row in rows]),
            "results.json": results_json(everything),
            "table.md": _render_page(study, rows, summary),
            "curves.png": _draw_curves(rows, summary),
            "samples.png": _draw_samples(study.folder, results, summary),
        },
    )


def _columns(row: Row) -> dict[str, Any]:
    """Return a cell's line of the CSV file; each metric has four columns: value, interval and real-vs-real baseline."""
    line = {column: row[column] for column in _COLUMNS}
    line |= {f"parameters_{part}": number for part, number in row["parameters"].items()}
    for result in row["figures"]:
        line[result["name"]] = result["value"]
        line |= {f"{result['name']} {end}": result[end] for end in ("low", "high", "baseline")}
    return line


def _render_page(study: Study, rows: Sequence[Row], summary: Summary) -> str:
    results = [result for row in rows for result in row["figures"]]
    classes = []
    for name in summary["classes"]:
        lines = [line for line in summary["table"] if line["class"] == name]
        classes.append(
            {
                "name": name,
                "lines": lines,
                "metrics": [
                    metric for metric in summary["figures"] if any(metric in line["figures"] for line in lines)
                ],
                "images": sorted({row["images"] for row in rows if row["class"] == name}),
                "printed": any(line["printed_fid"] is not None for line in lines),
                "real_vs_real": summary["real_vs_real"][name],
            }
        )
    estimates = [estimate for line in summary["table"] for estimate in line["figures"].values()]
    printed = [line["model"] for line in summary["table"] if line["printed_fid"] is not None]
    return render(
        "compare",
        study=study,
        rows=rows,
        summary=summary,
        classes=classes,
        sides=sorted({(result["fake_number"], result["real_number"]) for result in results}),
        memorization=any(result["metric"] == "memorization" for result in results),
        inceptions=sorted(
            {(r["feature_layer"], r["resize"], r["weights_digest"]) for r in results if r["feature_layer"] is not None}
        ),
        one_seed=any(len(estimate["values"]) == 1 for estimate in estimates),
        printed=bool(printed),
        printed_twice=any(model.startswith(MODEL_PRINTED_TWICE) for model in printed),
        model_printed_twice=MODEL_PRINTED_TWICE,
        printed_source=PRINTED_SOURCE,
        most_exact=MAX_EXACT_PAIRS,
        # Seeds of a class with images of their own.
        own_images=len({(row["class"], row["data_digest"]) for row in rows}) > len({row["class"] for row in rows}),
        version_sets=len({tuple(sorted(row["versions"].items())) for row in rows}),
        exp=math.exp,
    )


def _draw_curves(rows: Sequence[Row], summary: Summary) -> bytes | None:
    """Draw a panel per class: per model the mean over seeds, in a band from lowest to highest; None without curves."""
    from matplotlib.figure import Figure

    if not any(row["curve"] for row in rows):
        return None
    columns = min(3, len(summary["classes"]))
    lines = math.ceil(len(summary["classes"]) / columns)
    figure = Figure(figsize=(_PANEL * columns + 1.5, _PANEL * 0.85 * lines), layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False).flat
    for name, axes in zip(summary["classes"], panels, strict=False):
        _plot_curves(axes, name, summary["models"], [row for row in rows if row["class"] == name])
    for axes in list(panels):
        axes.set_axis_off()
    handles = {
        label: handle for axes in figure.axes for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles.keys(), loc="outside right upper", fontsize=8)
    return to_png(figure)


def _plot_curves(axes: Axes, class_name: str, models: list[str], rows: Sequence[Row]) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    results = [result for row in rows for point in row["curve"] for result in point["figures"][:1]]
    for number, model in enumerate(models):
        curves = [row["curve"] for row in rows if row["model"] == model and row["curve"]]
        # The curve of a diverged run is shorter: beyond its end, the mean is of the others.
        epochs = sorted({point["epochs"] for curve in curves for point in curve})
        if not epochs:
            continue
        values = [
            [p["figures"][0]["value"] for curve in curves for p in curve if p["epochs"] == epoch and p["figures"]]
            for epoch in epochs
        ]
        means = [float(np.mean(v)) for v in values]
        axes.plot(epochs, means, marker="o", markersize=3, color=f"C{number}", label=model)
        axes.fill_between(
            epochs, [min(v) for v in values], [max(v) for v in values], color=f"C{number}", alpha=0.15, lw=0
        )
    baselines = {result["baseline"] for result in results if result["baseline"] is not None}
    if baselines:
        axes.axhline(float(np.mean(list(baselines))), color="black", lw=1, ls="--", label="real-vs-real baseline")
    numbers = sorted({result["fake_number"] for result in results})
    axes.set_title(f"{class_name} (n = {', '.join(f'{number:,}' for number in numbers)})", fontsize=10)
    axes.set_xlabel("epochs (images seen / images of the class)")
    axes.set_ylabel(results[0]["name"] if results else "")
    if results and results[0]["better"] == "lower" and all(result["value"] > 0 for result in results):
        axes.set_yscale("log")
        # Plain numbers at 1, 2, 3, 5: a curve often stays within one power of ten.
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(alpha=0.3, which="both")


def _draw_samples(folder: Path, results: dict[str, Row], summary: Summary) -> bytes:
    """Draw, for each class, a few real images above a row of generated ones per model, from its first seed that has any."""
    from matplotlib.figure import Figure

    strips: list[tuple[str, np.ndarray]] = []
    for class_name in summary["classes"]:
        of_class = {name: row for name, row in results.items() if row["class"] == class_name}
        strips.append((f"{class_name}: real", _read_strip(folder / "cells" / next(iter(of_class)) / REALS)))
        for model in summary["models"]:
            trained = [(n, row) for n, row in of_class.items() if row["model"] == model and row["diverged"] is None]
            if trained:
                name, row = trained[0]
                strips.append((f"{model}\nseed {row['seed']}", _read_strip(folder / "cells" / name / SAMPLES)))
    # A row of images is one inch high, with a little space below.
    aspects = [pixels_HWC.shape[1] / pixels_HWC.shape[0] for _, pixels_HWC in strips]
    width, height = _LABEL + max(aspects), 1.06 * len(strips)
    figure = Figure(figsize=(width, height))
    for number, ((label, pixels_HWC), aspect) in enumerate(zip(strips, aspects, strict=True)):
        bottom = 1 - (1.06 * number + 1) / height
        axes = figure.add_axes((_LABEL / width, bottom, aspect / width, 1 / height))
        axes.imshow(pixels_HWC, interpolation="nearest")
        axes.set_axis_off()
        weight = "bold" if label.endswith(": real") else "normal"
        figure.text(
            (_LABEL - 0.1) / width, bottom + 0.5 / height, label, ha="right", va="center", fontsize=8, weight=weight
        )
    return to_png(figure)


def _read_strip(path: Path) -> np.ndarray:
    """Read images that lie side by side, and return them with white lines between them."""
    pixels_HWC = read_picture(path)
    side = len(pixels_HWC)
    gap = np.full((side, max(1, side // 24), 3), 255, np.uint8)
    squares = np.split(pixels_HWC, pixels_HWC.shape[1] // side, axis=1)
    return np.concatenate([part for square in squares for part in (square, gap)], axis=1)
