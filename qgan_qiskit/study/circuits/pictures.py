"""The picture of a study of circuits: states against depth, gradient variances against qubits."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from qgan_qiskit.study.cells import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def circuits_picture(rows: Sequence[Row], decays: Sequence[dict[str, Any]]) -> bytes:
    """Draw expressibility in both binnings, entangling capability, and gradient variances with their fits."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 8.4), layout="constrained")
    panels = figure.subplots(2, 3)
    for axes, binning, title in (
        (panels[0, 0], "equal_width", "expressibility"),
        (panels[0, 1], "equal_probability", "expressibility, equal bins"),
    ):
        _against_depth(axes, rows, lambda row, binning=binning: row["expressibility"][binning])
        # Of many qubits all fidelities may lie in the first bin: then the figure is 0.
        if any(row["expressibility"][binning]["mean"] > 0 for row in rows):
            axes.set_yscale("log")
        axes.set_ylabel(f"{title} (nats)")
    _against_depth(panels[0, 2], rows, lambda row: row["entangling"])
    panels[0, 2].set_ylabel("entangling capability")
    for axes, observable in ((panels[1, 0], "local"), (panels[1, 1], "global")):
        _against_qubits(axes, rows, decays, observable)
    _legend(panels[1, 2], panels[0, 0])
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


def _against_depth(axes: Axes, rows: Sequence[Row], figure_of: Any) -> None:
    """Draw a figure with its interval, a line per family and number of qubits; dashed what Haar's states have."""
    groups: dict[tuple[str, int], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["family"], row["num_qubits"]), []).append(row)
    for number, ((family, qubits), members) in enumerate(groups.items()):
        color = f"C{number % 10}"
        members = sorted(members, key=_depth)
        x, found = [_depth(row) for row in members], [figure_of(row) for row in members]
        values = np.array([figure["mean"] for figure in found])
        # A jackknife's interval may reach below 0, which a logarithmic axis cannot show.
        low = np.maximum([figure["low"] for figure in found], values / 100)
        high = np.array([figure["high"] for figure in found])
        axes.errorbar(
            x, values, (values - low, high - values), marker="o", ms=4, color=color, label=f"{family}, {qubits} qubits"
        )
        axes.axhline(found[0]["haar"], ls=":", lw=1, color=color)
        axes.axhline(found[0]["haar_real"], ls="--", lw=0.7, color=color)
    axes.set_xlabel("weights per qubit")
    axes.grid(alpha=0.3)


def _against_qubits(axes: Axes, rows: Sequence[Row], decays: Sequence[dict[str, Any]], observable: str) -> None:
    groups: dict[tuple[str, int | None], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["family"], row["reps"]), []).append(row)
    for number, ((family, reps), members) in enumerate(groups.items()):
        color = f"C{number % 10}"
        x = [row["num_qubits"] for row in members]
        found = [row["gradients"][observable]["variance"] for row in members]
        fits = [
            decay
            for decay in decays
            if (decay["family"], decay["reps"], decay["observable"]) == (family, reps, observable)
        ]
        label = family if reps is None else f"{family}, {reps} reps"
        for decay in fits:
            line = np.linspace(min(x), max(x), 50)
            axes.plot(line, np.exp(decay["offset"] - decay["rate"] * line), lw=1, color=color)
            label += f": {decay['rate']:.2f} per qubit"
        axes.plot(x, [figure["mean"] for figure in found], "o", ms=4, color=color, label=label)
    axes.set_yscale("log")
    axes.set_xlabel("qubits")
    axes.set_ylabel(f"variance of the gradient, {observable}")
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=7)


def _depth(row: Row) -> float:
    return float(row["num_weights"] / row["num_qubits"])


def _legend(axes: Axes, source: Axes) -> None:
    axes.axis("off")
    axes.legend(*source.get_legend_handles_labels(), fontsize=8, loc="upper left", ncols=1 + (len(source.lines) > 40))
    axes.text(0, 0, "dotted: Haar states   dashed: real Haar states", fontsize=8, transform=axes.transAxes)
