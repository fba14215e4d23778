"""The tables of a noise study: Markdown for people, CSV with a line per condition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qgan_qiskit.study.cells import Row
from qgan_qiskit.study.markdown import NONE, csv_text, number_text, table
from qgan_qiskit.study.noise import paper
from qgan_qiskit.study.noise.plan import Study


def csv_table(rows: Sequence[Row]) -> str:
    """Return a line per condition; each figure has four columns: value, interval and baseline."""
    lines = []
    for row in rows:
        line: dict[str, Any] = {name: row[name] for name in ("condition", "shots", "number", "seconds")}
        for kind, suffix in (
            ("figures", ""),
            ("figures_recalibrated", " recalibrated"),
            ("figures_to_exact", " to exact"),
        ):
            for figure in row.get(kind, []):
                line[figure["name"] + suffix] = figure["value"]
                if not suffix:
                    line |= {f"{figure['name']} {end}": figure[end] for end in ("low", "high", "baseline")}
        for part in ("features", "images"):
            for name, value in row.get(part, {}).items():
                if not isinstance(value, list):
                    line[f"{part} {name}"] = value
        lines.append(line)
    return csv_text(lines)


def markdown_table(study: Study, rows: Sequence[Row]) -> str:
    """Return the table of conditions, that of the errors, the paper's, and what a reader must know."""
    parts = [_figures(rows), _errors(rows), _printed()]
    return "\n\n".join(part for part in [*parts, _notes(study, rows)] if part) + "\n"


def _figures(rows: Sequence[Row]) -> str:
    names = list(dict.fromkeys(figure["name"] for row in rows for figure in row["figures"]))
    if not names:
        return ""
    head = ["condition", "shots"]
    for name in names:
        head += [name, f"{name}, recalibrated", f"{name}, to the exact images"]
    body = []
    for row in rows:
        cells = [row["condition"], NONE if row["shots"] is None else f"{row['shots']:,}"]
        for name in names:
            for kind in ("figures", "figures_recalibrated", "figures_to_exact"):
                found = [figure for figure in row.get(kind, []) if figure["name"] == name]
                cells.append(_value(found[0], interval=kind == "figures") if found else NONE)
        body.append(cells)
    floors = {figure["name"]: figure["baseline"] for row in rows for figure in row["figures"]}
    if any(floor is not None for floor in floors.values()):
        cells = ["*real-vs-real baseline*", NONE]
        for name in names:
            cells += [NONE if floors[name] is None else number_text(floors[name]), NONE, NONE]
        body.append(cells)
    return "## Images against real ones\n\n" + table(head, body)


def _errors(rows: Sequence[Row]) -> str:
    body = []
    for row in rows:
        if "features" not in row:
            continue
        features, images = row["features"], row["images"]
        body.append(
            [
                row["condition"],
                f"{features['rmse']:.4f}",
                f"{features['rmse_of_shots']:.4f}",
                f"{features['scatter']:.4f}",
                f"{features['slope']:.3f}",
                f"{features['rmse'] / features['spread']:.2f}",
                f"{images['rmse']:.2f}",
                f"{images['rmse_recalibrated']:.2f}",
                f"{images['rmse_of_random_errors']:.2f}",
            ]
        )
    head = [
        "condition", "error of expectations", "of it shots", "of it scatter", "slope", "error / spread",
        "error of images", "recalibrated", "random errors of that size",
    ]  # fmt: skip
    return "## Errors of expectations and of images\n\n" + table(head, body) if body else ""


def _printed() -> str:
    lines = [
        [name, f"{paper.PRINTED[name][0]:.2f}", f"{paper.PRINTED[name][1]:.2f}", f"+{difference:.2f}", f"{ratio:.2f}"]
        for name, difference, ratio in paper.differences()
    ]
    head = ["class", "simulator", "IBM Brisbane", "difference", "ratio"]
    return f"## What the paper measured ({paper.SOURCE}; another scale)\n\n" + table(head, lines)


def _notes(study: Study, rows: Sequence[Row]) -> str:
    notes = [
        f"{study.settings.number:,} images of each condition (seeds 0 to {study.settings.number - 1:,}) of the generator "
        f"`{study.digest[:12]}` at step {study.step:,}; devices with {study.settings.device_shots:,} shots for each "
        "circuit, image and noise factor.",
        "exact: no shots, no noise. shots-N: an ideal device. NAME-levelL: the noise of IBM's snapshot of that device as "
        "qiskit-aer reads its calibration (no cross-talk, no drift), at resilience level L: 0 nothing, 1 readout "
        "mitigation, 2 also gate twirling and ZNE.",
        "Recalibrated: for each feature a straight line from exact to noisy expectations is undone, as a linear layer "
        "trained on the device could.",
        "Errors are root mean squares: of expectations over images, sub-generators and observables; of images against the "
        "exact ones in values of 255. Of it shots: the standard errors that the device states. Of it scatter: what the "
        "straight lines leave. Error / spread: against the standard deviation of a feature over images. Random errors of "
        "that size: normal ones, independent for each feature, in the place of the device's.",
    ]
    figures = [figure for row in rows for figure in row["figures"] if figure["weights_digest"]]
    if figures:
        first = figures[0]
        notes.append(
            f"Inception: feature layer {first['feature_layer']}, {first['resize']} to 299x299, weights of SHA-256 "
            f"`{first['weights_digest'][:16]}…`, {first['real_number']:,} real images."
        )
    notes += [f"Made by `{command}`." for command in study.commands]
    return "\n".join(f"- {note}" for note in notes)


def _value(figure: dict[str, Any], interval: bool) -> str:
    text = number_text(figure["value"])
    if interval and figure["low"] is not None:
        text += f" [{number_text(figure['low'])}, {number_text(figure['high'])}]"
    return text
