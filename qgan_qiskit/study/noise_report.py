"""The report on noise: ``table.md``, ``table.csv``, ``results.json``, ``noise.png`` and ``samples.png``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qgan_qiskit.study.report import add_legend, csv_text, read_picture, render, results_json, to_png, write_files
from qgan_qiskit.study.study_file import Row, Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SAMPLES = "samples.png"
# Class: FID on the simulator and on IBM Brisbane (127 qubits). The paper names neither Inception layer nor number of images,
# so its scale is not ours: only the ratio can be set beside ours.
PRINTED_SOURCE = "arXiv 2506.21015v1, Table 1"
PRINTED = {
    "MEL": (14.93, 23.25),
    "NV": (21.76, 24.76),
    "BCC": (13.29, 15.59),
    "benign": (18.34, 21.65),
    "malignant": (13.29, 18.75),
    "non-neoplastic": (9.99, 10.25),
}
# Metric results of a row, and what their CSV columns end in.
_RESULTS = {"figures": "", "figures_recalibrated": " recalibrated", "figures_to_exact": " to exact"}


def write_report(study: Study, results: dict[str, Row]) -> list[Path]:
    """Write all files and return their paths.

    Args:
        study: of the conditions.
        results: of the finished conditions, in the order to be shown; at least one.

    Raises:
        CheckpointError: a picture of a condition is missing or damaged.
        StorageError: a file cannot be written.
    """
    rows = list(results.values())
    content = study.content()
    data, settings = content.pop("data"), content.pop("settings")
    everything = {
        "study": content,
        "data": data,
        "settings": settings,
        "printed_fid": {"source": PRINTED_SOURCE, "simulator_and_brisbane": PRINTED},
        "conditions": rows,
    }
    return write_files(
        study.folder,
        {
            "table.md": render_page(study, rows),
            "table.csv": csv_text([_columns(row) for row in rows]),
            "results.json": results_json(everything),
            "noise.png": _draw(rows),
            "samples.png": _draw_samples(study.folder, rows),
        },
    )


def render_page(study: Study, rows: Sequence[Row]) -> str:
    """Return ``table.md``."""
    results = [result for row in rows for result in row["figures"]]
    return render(
        "noise",
        study=study,
        rows=rows,
        # Condition -> kind of result -> metric -> result.
        results={
            row["condition"]: {kind: {one["name"]: one for one in row.get(kind, [])} for kind in _RESULTS}
            for row in rows
        },
        metrics=list(dict.fromkeys(result["name"] for result in results)),
        baselines={result["name"]: result["baseline"] for result in results},
        inception=next((result for result in results if result["weights_digest"]), None),
        printed_source=PRINTED_SOURCE,
        printed=PRINTED,
    )


def _columns(row: Row) -> dict[str, Any]:
    """Return a condition's line of the CSV file."""
    line: dict[str, Any] = {name: row[name] for name in ("condition", "shots", "number", "seconds")}
    for kind, suffix in _RESULTS.items():
        for result in row.get(kind, []):
            line[result["name"] + suffix] = result["value"]
            if not suffix:
                line |= {f"{result['name']} {end}": result[end] for end in ("low", "high", "baseline")}
    for group in ("features", "images"):
        for name, value in row.get(group, {}).items():
            if not isinstance(value, list):
                line[f"{group} {name}"] = value
    return line


def _draw(rows: Sequence[Row]) -> bytes | None:
    """Draw the first metric by condition, errors of images against errors of expectations, and errors by sub-generator."""
    from matplotlib.figure import Figure

    noisy = [row for row in rows if "features" in row]
    if not noisy:
        return None
    measured = bool(noisy[0]["figures"])
    figure = Figure(figsize=(5 * (2 + measured), 4.2), layout="constrained")
    panels = list(figure.subplots(1, 2 + measured, squeeze=False).flat)
    if measured:
        _plot_metric(panels.pop(0), rows)
    _plot_errors(panels[0], noisy)
    _plot_sub_generators(panels[1], noisy)
    return to_png(figure)


def _draw_samples(folder: Path, rows: Sequence[Row]) -> bytes:
    """Draw a row of images per condition, of the same seeds."""
    from matplotlib.figure import Figure

    pictures = [read_picture(folder / "cells" / row["condition"] / SAMPLES) for row in rows]
    height, width = pictures[0].shape[:2]
    figure = Figure(figsize=(9.0 + 1.4, len(rows) * height * 9.0 / width), layout="constrained")
    for axes, row, picture in zip(figure.subplots(len(rows), 1, squeeze=False).flat, rows, pictures, strict=True):
        axes.imshow(picture)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_ylabel(row["condition"], rotation=0, ha="right", va="center", fontsize=8)
        axes.spines[:].set_visible(False)
    return to_png(figure)


def _plot_metric(axes: Axes, rows: Sequence[Row]) -> None:
    for kind, label, marker in (("figures", "as measured", "o"), ("figures_recalibrated", "recalibrated", "x")):
        y = [number for number, row in enumerate(rows) if row.get(kind)]
        found = [rows[number][kind][0] for number in y]
        axes.plot([result["value"] for result in found], y, marker, label=label, markersize=5)
        if kind == "figures" and all(result["low"] is not None for result in found):
            axes.hlines(y, [r["low"] for r in found], [r["high"] for r in found], color="C0", lw=1)
    axes.set_yticks(range(len(rows)), [row["condition"] for row in rows], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel(rows[0]["figures"][0]["name"])
    axes.grid(axis="x", alpha=0.3)
    axes.legend(fontsize=8)


def _plot_errors(axes: Axes, noisy: Sequence[Row]) -> None:
    x = [row["features"]["rmse"] for row in noisy]
    for name, label, marker in (
        ("rmse", "as measured", "o"),
        ("rmse_recalibrated", "recalibrated", "x"),
        ("rmse_of_random_errors", "random errors of that size", "."),
    ):
        axes.plot(x, [row["images"][name] for row in noisy], marker, label=label)
    axes.set_xlabel("error of expectations (rms)")
    axes.set_ylabel("error of images (rms, of 255)")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)


def _plot_sub_generators(axes: Axes, noisy: Sequence[Row]) -> None:
    for row in noisy:
        if row["kind"] == "aer":
            axes.plot(row["features"]["rmse_of_sub_generators"], marker="o", markersize=3, label=row["condition"])
    axes.set_xlabel("sub-generator")
    axes.set_ylabel("error of expectations (rms)")
    axes.grid(alpha=0.3)
    add_legend(axes)
