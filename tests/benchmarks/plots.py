"""Plots of the figures in ``bench.json``: one PNG for the comparison and one for growth."""

from collections.abc import Callable
from pathlib import Path


def plot(figures: dict, folder: Path) -> list[str]:
    """Draw what there are figures for; return the names of the files.

    Raises:
        ImportError: matplotlib is not installed.
    """
    import matplotlib

    matplotlib.use("Agg")
    drawings: dict[str, Callable] = {"step": _step, "growth": _growth}
    names = [part for part in drawings if part in figures]
    for part in names:
        drawings[part](figures[part]).savefig(folder / f"{part}.png", dpi=100)
    return [f"{part}.png" for part in names]


def _step(part: dict):
    """Bars of the ratios to ours, on a logarithmic scale, with the targets as ticks."""
    from matplotlib.figure import Figure

    rows = [row for row in part["peers"].values() if "missing" not in row]
    rows.sort(key=lambda row: row["ratio"])
    figure = Figure(figsize=(9, 1.2 + 0.4 * len(rows)), layout="constrained")
    axes = figure.subplots()
    bars = axes.barh([row["name"].replace("`", "") for row in rows], [row["ratio"] for row in rows], color="tab:blue")
    axes.bar_label(bars, [f"{row['ratio']:,.3g}x" for row in rows], padding=3)
    for position, row in enumerate(rows):
        if row["target"]:
            axes.plot([row["target"]] * 2, [position - 0.4, position + 0.4], color="tab:red", linewidth=2)
    axes.set_xscale("log")
    marks = [1.0, *(row["ratio"] for row in rows), *(row["target"] for row in rows if row["target"])]
    axes.set_xlim(left=min(marks) / 2, right=20 * max(marks))
    axes.set_xlabel("time of the step / ours (red: target)")
    return figure


def _growth(part: dict):
    """Time above, memory below, one column per factor."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 5.5), layout="constrained")
    grid = figure.subplots(2, len(part["factors"]), sharex="col", sharey="row", squeeze=False)
    for column, (factor, figures) in enumerate(part["factors"].items()):
        points = [point for point in figures["points"] if "missing" not in point]
        for row, (quantity, label) in enumerate([("seconds", "seconds"), ("step_mib", "MiB")]):
            axes = grid[row, column]
            axes.plot([p["value"] for p in points], [p[quantity] for p in points], "o-", markersize=4)
            axes.set_yscale("log")
            if factor != "qubits":
                axes.set_xscale("log", base=2)
            slope = figures["exponents"][quantity]
            law = "2^({:.2f} qubits)" if factor == "qubits" else factor + "^{:.2f}"
            axes.set_title("" if slope is None else law.format(slope), fontsize=9)
            axes.grid(alpha=0.3)
            if column == 0:
                axes.set_ylabel(label)
        grid[1, column].set_xlabel(factor)
    return figure
