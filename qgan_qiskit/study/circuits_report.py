"""The report on circuits: ``table.md``, ``table.csv``, ``results.json`` and ``circuits.png``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qgan_qiskit.analysis.expressibility import BINNINGS
from qgan_qiskit.analysis.gradient_variance import fit_decay
from qgan_qiskit.study.report import add_legend, csv_text, interval_columns, render, results_json, to_png, write_files
from qgan_qiskit.study.study_file import Row, Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes


Decays = Sequence[dict[str, Any]]
_OBSERVABLES = ("local", "global")
_COLUMNS = ("circuit", "family", "num_qubits", "reps", "num_inputs", "num_weights", "two_qubit_gates", "seconds")


def write_report(study: Study, results: dict[str, Row]) -> list[Path]:
    """Write all files and return their paths.

    Args:
        study: of the circuits.
        results: of the finished circuits, at least one.

    Raises:
        StorageError: a file cannot be written.
    """
    rows = sorted(
        results.values(), key=lambda row: (row["reps"] is None, row["family"], row["reps"] or 0, row["num_qubits"])
    )
    decays = fit_decays(rows)
    return write_files(
        study.folder,
        {
            "table.md": render("circuits", study=study, rows=rows, decays=decays, binnings=BINNINGS),
            "table.csv": csv_text([_columns(row) for row in rows]),
            "results.json": results_json({**study.content(), "circuits": rows, "decays": decays}),
            "circuits.png": _draw(rows, decays),
        },
    )


def fit_decays(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Fit the decay of the gradient variance with qubits, for each family, depth and observable with three sizes or more."""
    groups: dict[tuple[str, int], list[Row]] = {}
    for row in rows:
        if row["reps"] is not None:
            groups.setdefault((row["family"], row["reps"]), []).append(row)
    decays = []
    for (family, reps), members in groups.items():
        sizes = [row["num_qubits"] for row in members]
        for observable in _OBSERVABLES:
            decay = fit_decay(sizes, [row["gradients"][observable]["variance"]["mean"] for row in members])
            if decay is not None:
                decays.append(
                    {"family": family, "reps": reps, "observable": observable, "qubits": sizes, **asdict(decay)}
                )
    return decays


def _columns(row: Row) -> dict[str, Any]:
    """Return a circuit's line of the CSV file."""
    line: dict[str, Any] = {name: row[name] for name in _COLUMNS}
    for binning in BINNINGS:
        found, name = row["expressibility"][binning], f"expressibility {binning}"
        line |= interval_columns(name, found)
        line |= {f"{name} {key}": found[key] for key in ("haar", "haar_real", "largest")}
    line |= interval_columns("entangling", row["entangling"])
    line |= {f"entangling {key}": row["entangling"][key] for key in ("haar", "haar_real")}
    for observable in _OBSERVABLES:
        found, name = row["gradients"][observable], f"{observable} gradient variance"
        line |= interval_columns(name, found["variance"])
        line |= {f"{name} {key}": found[key] for key in ("first", "largest")}
    return line


def _draw(rows: Sequence[Row], decays: Decays) -> bytes:
    """Draw expressibility in both binnings, entangling capability, and gradient variances with their fits."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 8.4), layout="constrained")
    panels = figure.subplots(2, 3)
    for axes, binning, title in (
        (panels[0, 0], "equal_width", "expressibility"),
        (panels[0, 1], "equal_probability", "expressibility, equal bins"),
    ):
        _plot_by_depth(axes, rows, [row["expressibility"][binning] for row in rows])
        # With many qubits all fidelities may lie in the first bin: then the value is 0.
        if any(row["expressibility"][binning]["mean"] > 0 for row in rows):
            axes.set_yscale("log")
        axes.set_ylabel(f"{title} (nats)")
    _plot_by_depth(panels[0, 2], rows, [row["entangling"] for row in rows])
    panels[0, 2].set_ylabel("entangling capability")
    for axes, observable in zip(panels[1], _OBSERVABLES, strict=False):
        _plot_by_qubits(axes, rows, decays, observable)
    _add_shared_legend(panels[1, 2], panels[0, 0])
    return to_png(figure, dpi=100)


def _plot_by_depth(axes: Axes, rows: Sequence[Row], estimates: Sequence[dict[str, float]]) -> None:
    """Plot the rows' estimates with intervals, a line per family and number of qubits; Haar states dotted and dashed."""
    groups: dict[tuple[str, int], list[tuple[float, dict[str, float]]]] = {}
    for row, estimate in zip(rows, estimates, strict=True):
        depth = row["num_weights"] / row["num_qubits"]
        groups.setdefault((row["family"], row["num_qubits"]), []).append((depth, estimate))
    for number, ((family, qubits), members) in enumerate(groups.items()):
        color = f"C{number % 10}"
        x, found = zip(*sorted(members, key=lambda member: member[0]), strict=True)
        values = np.array([estimate["mean"] for estimate in found])
        # A jackknife interval may reach below 0, which a logarithmic axis cannot show.
        low = np.maximum([estimate["low"] for estimate in found], values / 100)
        high = np.array([estimate["high"] for estimate in found])
        axes.errorbar(
            x, values, (values - low, high - values), marker="o", ms=4, color=color, label=f"{family}, {qubits} qubits"
        )
        axes.axhline(found[0]["haar"], ls=":", lw=1, color=color)
        axes.axhline(found[0]["haar_real"], ls="--", lw=0.7, color=color)
    axes.set_xlabel("weights per qubit")
    axes.grid(alpha=0.3)


def _plot_by_qubits(axes: Axes, rows: Sequence[Row], decays: Decays, observable: str) -> None:
    groups: dict[tuple[str, int | None], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["family"], row["reps"]), []).append(row)
    for number, ((family, reps), members) in enumerate(groups.items()):
        color = f"C{number % 10}"
        x = [row["num_qubits"] for row in members]
        label = family if reps is None else f"{family}, {reps} reps"
        for decay in decays:
            if (decay["family"], decay["reps"], decay["observable"]) == (family, reps, observable):
                line = np.linspace(min(x), max(x), 50)
                axes.plot(line, np.exp(decay["offset"] - decay["rate"] * line), lw=1, color=color)
                label += f": {decay['rate']:.2f} per qubit"
        means = [row["gradients"][observable]["variance"]["mean"] for row in members]
        axes.plot(x, means, "o", ms=4, color=color, label=label)
    axes.set_yscale("log")
    axes.set_xlabel("qubits")
    axes.set_ylabel(f"variance of the gradient, {observable}")
    axes.grid(alpha=0.3)
    add_legend(axes)


def _add_shared_legend(axes: Axes, source: Axes) -> None:
    axes.axis("off")
    axes.legend(*source.get_legend_handles_labels(), fontsize=8, loc="upper left", ncols=1 + (len(source.lines) > 40))
    axes.text(0, 0, "dotted: Haar states   dashed: real Haar states", fontsize=8, transform=axes.transAxes)
