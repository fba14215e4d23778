"""The pictures of a comparison: curves of the figure that is followed while training, and samples side by side.

Shape letters: H W C image.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from qgan_qiskit.study.cells import Row
from qgan_qiskit.study.compare.summary import Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Inches: of a panel, and of the labels beside samples, which are an inch each.
_PANEL, _LABEL = 4.2, 1.7


def curves_picture(rows: Sequence[Row], summary: Summary) -> bytes | None:
    """Draw a panel per class: a line per model, the mean over its seeds, in a band from the lowest to the highest.

    Returns:
        A PNG; None if no cell has a curve.
    """
    from matplotlib.figure import Figure

    if not any(row["curve"] for row in rows):
        return None
    columns = min(3, len(summary["classes"]))
    lines = math.ceil(len(summary["classes"]) / columns)
    figure = Figure(figsize=(_PANEL * columns + 1.5, _PANEL * 0.85 * lines), layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False).flat
    for name, axes in zip(summary["classes"], panels, strict=False):
        _panel(axes, name, summary["models"], [row for row in rows if row["class"] == name])
    for axes in list(panels):
        axes.set_axis_off()
    handles = {
        label: handle for axes in figure.axes for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles.keys(), loc="outside right upper", fontsize=8)
    return _png(figure)


def _panel(axes: Axes, class_name: str, models: list[str], rows: Sequence[Row]) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    figures = [figure for row in rows for point in row["curve"] for figure in point["figures"][:1]]
    for number, model in enumerate(models):
        curves = [row["curve"] for row in rows if row["model"] == model and row["curve"]]
        # A run that diverged has a shorter curve: where it has no points, the mean is of the others.
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
    floors = {figure["baseline"] for figure in figures if figure["baseline"] is not None}
    if floors:
        axes.axhline(float(np.mean(list(floors))), color="black", lw=1, ls="--", label="real-vs-real baseline")
    numbers = sorted({figure["fake_number"] for figure in figures})
    axes.set_title(f"{class_name} (n = {', '.join(f'{number:,}' for number in numbers)})", fontsize=10)
    axes.set_xlabel("epochs (images seen / images of the class)")
    axes.set_ylabel(figures[0]["name"] if figures else "")
    if figures and figures[0]["better"] == "lower" and all(figure["value"] > 0 for figure in figures):
        axes.set_yscale("log")
        # Plain numbers at 1, 2, 3, 5: a curve often stays within one power of ten.
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(alpha=0.3, which="both")


def samples_picture(folder: Path, rows: dict[str, Row], summary: Summary, reals: str, samples: str) -> bytes:
    """Draw, for each class, a few real images above a row of generated ones per model, of its first seed that has any.

    Args:
        folder: of the study.
        rows: finished cells by the name of their folder.
        summary: of them.
        reals: file name of a cell's real images side by side.
        samples: file name of its generated ones.

    Returns:
        A PNG.
    """
    from matplotlib.figure import Figure

    strips: list[tuple[str, np.ndarray]] = []
    for class_name in summary["classes"]:
        of_class = {name: row for name, row in rows.items() if row["class"] == class_name}
        strips.append((f"{class_name}: real", _strip(folder / "cells" / next(iter(of_class)) / reals)))
        for model in summary["models"]:
            good = [(name, row) for name, row in of_class.items() if row["model"] == model and row["diverged"] is None]
            if good:
                name, row = good[0]
                strips.append((f"{model}\nseed {row['seed']}", _strip(folder / "cells" / name / samples)))
    # Inches: a row of images is one high, with a little space below.
    shapes = [pixels_HWC.shape[1] / pixels_HWC.shape[0] for _, pixels_HWC in strips]
    width, height = _LABEL + max(shapes), 1.06 * len(strips)
    figure = Figure(figsize=(width, height))
    for number, ((label, pixels_HWC), shape) in enumerate(zip(strips, shapes, strict=True)):
        bottom = 1 - (1.06 * number + 1) / height
        axes = figure.add_axes((_LABEL / width, bottom, shape / width, 1 / height))
        axes.imshow(pixels_HWC, interpolation="nearest")
        axes.set_axis_off()
        weight = "bold" if label.endswith(": real") else "normal"
        figure.text(
            (_LABEL - 0.1) / width, bottom + 0.5 / height, label, ha="right", va="center", fontsize=8, weight=weight
        )
    return _png(figure)


def _strip(path: Path) -> np.ndarray:
    """Read images that lie side by side, and return them with white lines between them."""
    with Image.open(path) as image:
        pixels_HWC = np.array(image.convert("RGB"))
    side = len(pixels_HWC)
    gap = np.full((side, max(1, side // 24), 3), 255, np.uint8)
    squares = np.split(pixels_HWC, pixels_HWC.shape[1] // side, axis=1)
    return np.concatenate([part for square in squares for part in (square, gap)], axis=1)


def _png(figure: Figure) -> bytes:
    buffer = BytesIO()
    # Without the name and version of the library: the same cells give the same bytes.
    metadata: dict[str, Any] = {"Software": None}
    figure.savefig(buffer, format="png", dpi=110, metadata=metadata)
    return buffer.getvalue()
