"""The report on latent geometry: ``table.md``, ``table.csv``, ``results.json``, ``geometry.png`` and ``interpolations.png``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qgan_qiskit.analysis.spectrum import MEASURES, RANK_TOLERANCE
from qgan_qiskit.study.report import (
    csv_text,
    interval_columns,
    read_picture,
    render,
    results_json,
    to_png,
    write_files,
)
from qgan_qiskit.study.study_file import Row, Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INTERPOLATION = "interpolation.png"
_COLUMNS = ("label", "model", "preset", "class", "step", "circuits", "latent_size", "latent_deviation")


def write_report(study: Study, results: dict[str, Row]) -> list[Path]:
    """Write all files and return their paths.

    Args:
        study: of the runs.
        results: of the finished runs, in the order to be shown; at least one.

    Raises:
        CheckpointError: a picture of a run is missing or damaged.
        StorageError: a file cannot be written.
    """
    labels = label_runs([row["run"] for row in results.values()])
    rows = [row | {"label": label} for row, label in zip(results.values(), labels, strict=True)]
    return write_files(
        study.folder,
        {
            "table.md": render("geometry", study=study, rows=rows, rank_tolerance=RANK_TOLERANCE, measures=MEASURES),
            "table.csv": csv_text([{name: row[name] for name in _COLUMNS} | dict(_columns(row)) for row in rows]),
            "results.json": results_json({**study.content(), "runs": rows}),
            "geometry.png": _draw(rows),
            "interpolations.png": _draw_interpolations(study.folder, rows),
        },
    )


def label_runs(sources: Sequence[str]) -> list[str]:
    """Return short names of runs and checkpoints: as many trailing parts of their paths as it takes to tell them apart."""
    parts = [[part for part in Path(source).parts if part not in ("checkpoints", "run")] for source in sources]
    for count in range(1, max(len(part) for part in parts) + 1):
        # A checkpoint's step alone does not identify it.
        labels = ["/".join(part[-count - (part[-1].startswith("step-")) :]) for part in parts]
        if len(set(labels)) == len(set(sources)):
            return labels
    return list(sources)


def _columns(row: Row) -> Iterator[tuple[str, Any]]:
    """Yield a run's columns of the CSV file; each estimate has three: value and both ends of its interval."""
    for target in ("image", "features"):
        found = row["jacobian"][target]
        if found is not None:
            for name in ("largest", "condition_number"):
                yield from interval_columns(f"{target} jacobian {name}", found[name]).items()
            for name in MEASURES:
                yield from interval_columns(f"{target} jacobian {name}", found[name]["per_latent"]).items()
                yield from interval_columns(f"{target} jacobian {name} of mean", found[name]["of_mean"]).items()
    if row["features"] is not None:
        for name in ("size", "number", "variance", "first_share"):
            yield f"features {name}", row["features"][name]
        for name in MEASURES:
            yield from interval_columns(f"features {name}", row["features"][name]).items()
    for name in ("pixels", "pixels_per_latent", "inception"):
        yield from interval_columns(f"path {name}", row["paths"].get(name)).items()
    for name in ("sub_generator", "together", "trace_distance"):
        yield from interval_columns(f"fidelity {name}", (row["fidelity"] or {}).get(name)).items()
    for name, value in row["seconds"].items():
        yield f"seconds {name}", value


def _draw(rows: Sequence[Row]) -> bytes:
    """Draw the spectra of Jacobians and of the feature matrix, and how path lengths and fidelities are distributed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 8.4), layout="constrained")
    image, features, matrix, paths, fidelities, last = figure.subplots(2, 3).flat
    for axes, target, title in ((image, "image", "latent to image"), (features, "features", "latent to features")):
        _plot_spectra(axes, [(number, row["label"], row["jacobian"][target]) for number, row in enumerate(rows)])
        axes.set_title(f"{title}: Jacobian", fontsize=10)
        axes.set_ylabel("singular value (mean, 5 to 95 % of latents)")
    for number, row in enumerate(rows):
        if row["features"] is not None:
            values = _without_rounding(row["features"]["spectrum"])
            matrix.plot(np.arange(1, len(values) + 1), values, color=f"C{number}", label=row["label"])
        _plot_distribution(paths, row["paths"]["pixels"], number, row["label"])
        found = row["fidelity"]
        if found is not None and "left_out" not in found:
            _plot_distribution(fidelities, found["sub_generator"], number, row["label"])
    matrix.set_title("features of many latents, centered", fontsize=10)
    matrix.set_ylabel("standard deviation along principal axis")
    matrix.set_xlabel("rank of the value")
    paths.set_xlabel("path length, pixels")
    fidelities.set_xlabel("fidelity of a sub-generator's states for two latents")
    for axes in (paths, fidelities):
        axes.set_ylabel("fraction of pairs below")
        axes.set_xscale("log")
    for axes in (image, features, matrix):
        axes.set_yscale("log")
    _plot_effective_ranks(last, rows)
    for axes in (image, features, matrix, paths, fidelities):
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=7)
        else:
            axes.set_visible(False)
    return to_png(figure, dpi=100)


def _draw_interpolations(folder: Path, rows: Sequence[Row]) -> bytes:
    """Draw the interpolations of all runs below each other."""
    from matplotlib.figure import Figure

    pictures = [read_picture(folder / "cells" / row["cell"] / INTERPOLATION) for row in rows]
    heights = [9.0 * picture.shape[0] / picture.shape[1] for picture in pictures]
    figure = Figure(figsize=(9.2, sum(heights) + 0.4 * len(rows)), layout="constrained")
    panels = figure.subplots(len(rows), 1, squeeze=False, height_ratios=heights).flat
    for axes, row, picture in zip(panels, rows, pictures, strict=True):
        axes.imshow(picture)
        axes.set_title(f"{row['label']} ({row['model']}): from seed to seed", fontsize=9)
        axes.axis("off")
    return to_png(figure, dpi=100)


def _plot_spectra(axes: Axes, runs: Sequence[tuple[int, str, dict[str, Any] | None]]) -> None:
    for number, label, found in runs:
        if found is not None:
            low, mean, high = (_without_rounding(found["spectrum"][name]) for name in ("low", "mean", "high"))
            x = np.arange(1, len(mean) + 1)
            axes.plot(x, mean, color=f"C{number}", label=label)
            axes.fill_between(x, low, high, color=f"C{number}", alpha=0.2, lw=0)
    axes.set_xlabel("rank of the value")


def _without_rounding(values: Sequence[float]) -> np.ndarray:
    """Return values with rounding errors as nan: they would stretch a logarithmic axis."""
    found = np.array(values)
    return np.where(found > 1e-10 * found.max(), found, np.nan)


def _plot_distribution(axes: Axes, found: dict[str, Any], number: int, label: str) -> None:
    axes.plot(found["percentiles"], np.arange(101) / 100, color=f"C{number}", label=label)
    axes.axvline(found["mean"], color=f"C{number}", ls=":", lw=1)


def _plot_effective_ranks(axes: Axes, rows: Sequence[Row]) -> None:
    """Plot the effective ranks of each run with their intervals."""
    kinds = {
        "image's Jacobian": lambda row: (row["jacobian"]["image"] or {}).get("effective_rank", {}).get("per_latent"),
        "features' Jacobian": lambda row: (
            (row["jacobian"]["features"] or {}).get("effective_rank", {}).get("per_latent")
        ),
        "features": lambda row: (row["features"] or {}).get("effective_rank"),
    }
    for number, row in enumerate(rows):
        for position, estimate_of in enumerate(kinds.values()):
            found = estimate_of(row)
            if found is not None:
                y = position + 0.15 * (number - (len(rows) - 1) / 2)
                axes.plot(found["mean"], y, "o", ms=5, color=f"C{number}")
                axes.hlines(y, found["low"], found["high"], color=f"C{number}")
    axes.set_yticks(range(len(kinds)), list(kinds))
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel("effective rank")
    axes.grid(axis="x", alpha=0.3)
