"""The pictures of a geometry study: spectra, path lengths and fidelities of all runs, and images between latents."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from qgan_qiskit.study.cells import Row
from qgan_qiskit.study.latent_geometry.work import INTERPOLATION

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def geometry_picture(rows: Sequence[Row]) -> bytes:
    """Draw the spectra of Jacobians and of the feature matrix, and how path lengths and fidelities are distributed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 8.4), layout="constrained")
    image, features, matrix, paths, fidelities, last = figure.subplots(2, 3).flat
    for axes, part, title in ((image, "image", "latent to image"), (features, "features", "latent to features")):
        _spectra(axes, [(number, row["label"], row["jacobian"][part]) for number, row in enumerate(rows)])
        axes.set_title(f"{title}: Jacobian", fontsize=10)
        axes.set_ylabel("singular value (mean, 5 to 95 % of latents)")
    for number, row in enumerate(rows):
        if row["features"] is not None:
            values = _shown(row["features"]["spectrum"])
            matrix.plot(np.arange(1, len(values) + 1), values, color=f"C{number}", label=row["label"])
        _distribution(paths, row["paths"]["pixels"], number, row["label"])
        found = row["fidelity"]
        if found is not None and "left_out" not in found:
            _distribution(fidelities, found["sub_generator"], number, row["label"])
    matrix.set_title("features of many latents, centered", fontsize=10)
    matrix.set_ylabel("standard deviation along principal axis")
    matrix.set_xlabel("place")
    paths.set_xlabel("path length, pixels")
    fidelities.set_xlabel("fidelity of a sub-generator's states for two latents")
    for axes in (paths, fidelities):
        axes.set_ylabel("share of pairs below")
        axes.set_xscale("log")
    for axes in (image, features, matrix):
        axes.set_yscale("log")
    _effective_ranks(last, rows)
    for axes in (image, features, matrix, paths, fidelities):
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=7)
        else:
            axes.set_visible(False)
    return _png(figure)


def interpolations_picture(folder: Path, rows: Sequence[Row]) -> bytes:
    """Draw the interpolations of all runs below each other.

    Raises:
        OSError: a run's picture cannot be read.
    """
    from matplotlib.figure import Figure

    pictures = []
    for row in rows:
        with Image.open(folder / "cells" / row["cell"] / INTERPOLATION) as opened:
            pictures.append(np.asarray(opened.convert("RGB")))
    heights = [9.0 * picture.shape[0] / picture.shape[1] for picture in pictures]
    figure = Figure(figsize=(9.2, sum(heights) + 0.4 * len(rows)), layout="constrained")
    places = figure.subplots(len(rows), 1, squeeze=False, height_ratios=heights).flat
    for axes, row, picture in zip(places, rows, pictures, strict=True):
        axes.imshow(picture)
        axes.set_title(f"{row['label']} ({row['model']}): from seed to seed", fontsize=9)
        axes.axis("off")
    return _png(figure)


def _spectra(axes: Axes, runs: Sequence[tuple[int, str, dict[str, Any] | None]]) -> None:
    for number, label, found in runs:
        if found is not None:
            low, mean, high = (_shown(found["spectrum"][name]) for name in ("low", "mean", "high"))
            x = np.arange(1, len(mean) + 1)
            axes.plot(x, mean, color=f"C{number}", label=label)
            axes.fill_between(x, low, high, color=f"C{number}", alpha=0.2, lw=0)
    axes.set_xlabel("place")


def _shown(values: Sequence[float]) -> np.ndarray:
    """Leave out what is rounding, which would stretch a logarithmic axis."""
    found = np.array(values)
    return np.where(found > 1e-10 * found.max(), found, np.nan)


def _distribution(axes: Axes, found: dict[str, Any], number: int, label: str) -> None:
    axes.plot(found["percentiles"], np.arange(101) / 100, color=f"C{number}", label=label)
    axes.axvline(found["mean"], color=f"C{number}", ls=":", lw=1)


def _effective_ranks(axes: Axes, rows: Sequence[Row]) -> None:
    """Draw the effective ranks with their intervals, a line of points for each run."""
    kinds = {
        "image's Jacobian": lambda row: (row["jacobian"]["image"] or {}).get("effective_rank", {}).get("per_latent"),
        "features' Jacobian": lambda row: (
            (row["jacobian"]["features"] or {}).get("effective_rank", {}).get("per_latent")
        ),
        "features": lambda row: (row["features"] or {}).get("effective_rank"),
    }
    for number, row in enumerate(rows):
        for place, figure_of in enumerate(kinds.values()):
            found = figure_of(row)
            if found is not None:
                y = place + 0.15 * (number - (len(rows) - 1) / 2)
                axes.plot(found["mean"], y, "o", ms=5, color=f"C{number}")
                axes.hlines(y, found["low"], found["high"], color=f"C{number}")
    axes.set_yticks(range(len(kinds)), list(kinds))
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel("effective rank")
    axes.grid(axis="x", alpha=0.3)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()
