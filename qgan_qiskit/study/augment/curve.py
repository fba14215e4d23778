"""The picture of a study: balanced accuracy against alpha, on the validation and on the test part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from qgan_qiskit.stats import t_interval
from qgan_qiskit.study.augment.conditions import BASELINES, Condition
from qgan_qiskit.study.augment.scores import SCORES
from qgan_qiskit.study.augment.summary import CHOSEN_BY
from qgan_qiskit.study.cells import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BASELINE_COLORS = {"none": "black", "oversample": "tab:olive", "traditional": "tab:purple"}
_MARKERS = "os^Dv<>p*h"
Cells = Mapping[Condition, Mapping[int, Row]]


def curve_picture(
    cells: Cells, generators: Sequence[str], alphas: Sequence[float], chosen: Mapping[str, float]
) -> bytes:
    """Draw a panel per part: a line per generator with bars of 95 % over seeds, a dot per cell, and a band per baseline.

    Args:
        cells: finished cells by condition and seed.
        generators: names in the order of the study.
        alphas: rising.
        chosen: alpha of each generator; circled.

    Returns:
        A PNG.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.6), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, part in zip(panels, ("validation", "test"), strict=True):
        _panel(axes, part, cells, generators, alphas, chosen)
    panels[0].set_ylabel(SCORES[CHOSEN_BY])
    shown = [row[part][CHOSEN_BY] for of in cells.values() for row in of.values() for part in ("validation", "test")]
    margin = max(0.25 * (max(shown) - min(shown)), 0.01)
    # All cells are in the picture; a wide interval of two or three seeds runs out of it rather than flatten it.
    panels[0].set_ylim(min(shown) - margin, max(shown) + margin)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", fontsize=8)
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()


def _panel(
    axes: Axes,
    part: str,
    cells: Cells,
    generators: Sequence[str],
    alphas: Sequence[float],
    chosen: Mapping[str, float],
) -> None:
    for kind in BASELINES:
        values = _values(cells, Condition(kind), part)
        if values:
            color = _BASELINE_COLORS[kind]
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
        points = [(alpha, _values(cells, Condition("generated", name, alpha), part)) for alpha in alphas]
        points = [(alpha, values) for alpha, values in points if values]
        if not points:
            continue
        color = f"C{number}"
        x = [alpha + offset for alpha, _ in points]
        means = [float(np.mean(values)) for _, values in points]
        bars = [0.0 if len(values) < 2 else (i := t_interval(values))["high"] - i["mean"] for _, values in points]
        axes.errorbar(x, means, bars, color=color, marker=_MARKERS[number % len(_MARKERS)], ms=5, capsize=3, label=name)
        for place, (_, values) in zip(x, points, strict=True):
            axes.plot([place] * len(values), values, ".", color=color, alpha=0.35, ms=4)
        if name in chosen and (best := [i for i, (alpha, _) in enumerate(points) if alpha == chosen[name]]):
            axes.plot(x[best[0]], means[best[0]], "o", ms=13, mfc="none", mec=color, mew=1.5)
    axes.set_title(f"{part} part" + (" (chooses alpha: circles)" if part == "validation" else ""), fontsize=10)
    axes.set_xlabel("alpha: share of generated images in the training set")
    axes.grid(alpha=0.3)


def _values(cells: Cells, condition: Condition, part: str) -> list[float]:
    return [row[part][CHOSEN_BY] for row in cells.get(condition, {}).values()]
