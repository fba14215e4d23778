"""The pictures of a noise study: figures under shots and devices, errors of features and images, and samples by condition."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from qgan_qiskit.study.cells import Row
from qgan_qiskit.study.noise.work import SAMPLES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def noise_picture(rows: Sequence[Row]) -> bytes | None:
    """Draw the first figure by condition, errors of images against errors of expectations, and errors by sub-generator."""
    from matplotlib.figure import Figure

    noisy = [row for row in rows if "features" in row]
    if not noisy:
        return None
    measured = bool(noisy[0]["figures"])
    figure = Figure(figsize=(5 * (2 + measured), 4.2), layout="constrained")
    panels = list(figure.subplots(1, 2 + measured, squeeze=False).flat)
    if measured:
        _by_condition(panels.pop(0), rows)
    _absorbed(panels[0], noisy)
    _by_sub_generator(panels[1], noisy)
    return _png(figure)


def samples_picture(folder: Path, rows: Sequence[Row]) -> bytes:
    """Draw a row of the same seeds for each condition, with its name.

    Raises:
        OSError: a condition's picture cannot be read.
    """
    from matplotlib.figure import Figure

    pictures = []
    for row in rows:
        with Image.open(folder / "cells" / row["condition"] / SAMPLES) as opened:
            pictures.append(np.asarray(opened.convert("RGB")))
    height, width = pictures[0].shape[:2]
    scale = 9.0 / width
    figure = Figure(figsize=(9.0 + 1.4, len(rows) * height * scale), layout="constrained")
    for axes, row, picture in zip(figure.subplots(len(rows), 1, squeeze=False).flat, rows, pictures, strict=True):
        axes.imshow(picture)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_ylabel(row["condition"], rotation=0, ha="right", va="center", fontsize=8)
        for spine in axes.spines.values():
            spine.set_visible(False)
    return _png(figure)


def _by_condition(axes: Axes, rows: Sequence[Row]) -> None:
    names = [row["condition"] for row in rows]
    for kind, label, marker in (("figures", "as read", "o"), ("figures_recalibrated", "recalibrated", "x")):
        places = [place for place, row in enumerate(rows) if row.get(kind)]
        found = [rows[place][kind][0] for place in places]
        values = [figure["value"] for figure in found]
        axes.plot(values, places, marker, label=label, markersize=5)
        if kind == "figures" and all(figure["low"] is not None for figure in found):
            axes.hlines(places, [f["low"] for f in found], [f["high"] for f in found], color="C0", lw=1)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel(rows[0]["figures"][0]["name"])
    axes.grid(axis="x", alpha=0.3)
    axes.legend(fontsize=8)


def _absorbed(axes: Axes, noisy: Sequence[Row]) -> None:
    x = [row["features"]["rmse"] for row in noisy]
    for name, label, marker in (
        ("rmse", "as read", "o"),
        ("rmse_recalibrated", "recalibrated", "x"),
        ("rmse_of_random_errors", "random errors of that size", "."),
    ):
        axes.plot(x, [row["images"][name] for row in noisy], marker, label=label)
    axes.set_xlabel("error of expectations (rms)")
    axes.set_ylabel("error of images (rms, of 255)")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)


def _by_sub_generator(axes: Axes, noisy: Sequence[Row]) -> None:
    for row in noisy:
        if row["kind"] == "aer":
            axes.plot(row["features"]["rmse_of_sub_generators"], marker="o", markersize=3, label=row["condition"])
    axes.set_xlabel("sub-generator")
    axes.set_ylabel("error of expectations (rms)")
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=7)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
