"""The tables of a geometry study: Markdown for people, CSV with a line per run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from qgan_qiskit.analysis.spectrum import FIGURES, RANK_TOLERANCE
from qgan_qiskit.config.studies import GeometryConfig
from qgan_qiskit.study.cells import Row
from qgan_qiskit.study.markdown import NONE, csv_text, spread_columns, spread_text, table
from qgan_qiskit.study.study_file import StudyFile

_SHARED = ("label", "model", "preset", "class", "step", "circuits", "latent_size", "latent_deviation")


def csv_table(rows: Sequence[Row]) -> str:
    """Return a line per run; each figure has three columns: value and interval."""
    return csv_text([{name: row[name] for name in _SHARED} | dict(_columns(row)) for row in rows])


def _columns(row: Row) -> Iterator[tuple[str, Any]]:
    for part in ("image", "features"):
        found = row["jacobian"][part]
        if found is not None:
            for name in ("largest", "condition_number"):
                yield from spread_columns(f"{part} jacobian {name}", found[name]).items()
            for name in FIGURES:
                yield from spread_columns(f"{part} jacobian {name}", found[name]["per_latent"]).items()
                yield from spread_columns(f"{part} jacobian {name} of mean", found[name]["of_mean"]).items()
    if row["features"] is not None:
        for name in ("size", "number", "variance", "first_share"):
            yield f"features {name}", row["features"][name]
        for name in FIGURES:
            yield from spread_columns(f"features {name}", row["features"][name]).items()
    for name in ("pixels", "pixels_per_latent", "inception"):
        yield from spread_columns(f"path {name}", row["paths"].get(name)).items()
    for name in ("sub_generator", "together", "trace_distance"):
        yield from spread_columns(f"fidelity {name}", (row["fidelity"] or {}).get(name)).items()
    for name, value in row["seconds"].items():
        yield f"seconds {name}", value


def markdown_table(study: StudyFile[GeometryConfig], rows: Sequence[Row]) -> str:
    """Return a table for each measurement, and what a reader must know."""
    parts = [
        _runs(rows),
        _jacobian(rows, "image", "From latent to image: the Jacobian's singular values"),
        _jacobian(rows, "features", "From latent to features: the Jacobian's singular values"),
        _features(rows),
        _paths(rows),
        _fidelities(rows),
        _notes(study, rows),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _runs(rows: Sequence[Row]) -> str:
    head = ["run", "model", "preset", "class", "step", "circuits", "numbers of a latent", "their standard deviation"]
    body = [
        [
            row["label"],
            row["model"],
            row["preset"],
            str(row["class"]),
            f"{row['step']:,}",
            "yes" if row["circuits"] else "no",
            str(row["latent_size"]),
            f"{row['latent_deviation']:.3f}",
        ]
        for row in rows
    ]
    return "## Runs\n\n" + table(head, body)


def _jacobian(rows: Sequence[Row], part: str, title: str) -> str:
    body = []
    for row in rows:
        found = row["jacobian"][part]
        if found is not None:
            cells = [row["label"], " x ".join(f"{size:,}" for size in found["shape"]), spread_text(found["largest"])]
            for name in FIGURES:
                cells.append(spread_text(found[name]["per_latent"], ".4g"))
            cells += [spread_text(found["effective_rank"]["of_mean"], ".4g"), spread_text(found["condition_number"])]
            body.append(cells)
    head = [
        "run", "shape", "largest", "effective rank", "participation ratio", "rank", "effective rank of the mean spectrum",
        "condition number",
    ]  # fmt: skip
    return f"## {title}\n\n" + table(head, body) if body else ""


def _features(rows: Sequence[Row]) -> str:
    body = []
    for row in rows:
        found = row["features"]
        if found is not None:
            cells = [row["label"], f"{found['number']:,}", str(found["size"])]
            cells += [spread_text(found[name], ".4g") for name in FIGURES]
            body.append([*cells, f"{found['first_share']:.1%}", f"{found['variance']:.4f}"])
    head = [
        "run", "latents", "features", "effective rank", "participation ratio", "rank", "share of the first axis",
        "variance of a feature",
    ]  # fmt: skip
    return "## Features of many latents, centered\n\n" + table(head, body) if body else ""


def _paths(rows: Sequence[Row]) -> str:
    inception = any("inception" in row["paths"] for row in rows)
    head = ["run", "pairs", "pixels", "median", "pixels, per squared latent step", *["Inception features"] * inception]
    body = []
    for row in rows:
        found = row["paths"]
        cells = [row["label"], str(found["number"]), spread_text(found["pixels"])]
        cells.append(f"{found['pixels']['percentiles'][50]:.3g}")
        cells.append(spread_text(found["pixels_per_latent"]))
        body.append([*cells, *[spread_text(found.get("inception"))] * inception])
    return "## Path length\n\n" + table(head, body)


def _fidelities(rows: Sequence[Row]) -> str:
    body = []
    for row in rows:
        found = row["fidelity"]
        if found is None:
            continue
        if "left_out" in found:
            body.append([row["label"], f"left out: {found['left_out']}", *[NONE] * 5])
            continue
        middle = found["sub_generator"]["percentiles"]
        body.append(
            [
                row["label"],
                NONE if row["latent_high"] is None else f"{row['latent_high']:.3f}",
                str(found["number"]),
                spread_text(found["sub_generator"]),
                f"{middle[50]:.3g} ({middle[5]:.2g} to {middle[95]:.2g})",
                spread_text(found["trace_distance"]),
                spread_text(found["together"], ".2e"),
            ]
        )
    head = [
        "run", "noise up to", "pairs", "mean, one sub-generator", "median (5 to 95 %)", "mean of sqrt(1 - F)",
        "geometric mean, all together",
    ]  # fmt: skip
    return "## Fidelity of the circuits' states for two latents\n\n" + table(head, body) if body else ""


def _notes(study: StudyFile[GeometryConfig], rows: Sequence[Row]) -> str:
    settings = study.settings
    notes = [
        "In brackets: 95 % intervals over latents or pairs of the one trained generator; another training run is another matter.",
        f"Jacobians at the latents of seeds 0 to {settings.number - 1:,}, per unit of the latent (radians for circuits). "
        "Effective rank: exp of the entropy of s / sum s (Roy and Vetterli 2007). Participation ratio: (sum s^2)^2 / sum s^4. "
        f"Rank: singular values above {RANK_TOLERANCE:g} of the largest. Condition number: largest over smallest of these. Of it "
        "and of the largest value the geometric mean is shown. "
        "Figures but the largest value do not depend on the latent's scale.",
        "Features: what circuits (or the classical baseline's layer) give for the latents of seeds 0 to "
        f"{settings.feature_number - 1:,}. "
        "Fewer latents give lower figures; compare equal numbers.",
        "Path length (Karras et al. 2019, with straight ways between latents): mean squared difference of images in [-1, 1] for "
        f"a step of {settings.path_step:g} of the way between two latents, over the step squared; also over the squared length "
        "of the step.",
        "Fidelity: |<psi(x)|psi(y)>|^2 of the states for two latents; layers that follow the last input do not change it. All "
        "together: the product over sub-generators.",
        "Of a conditional model the class and the seed of the decoder's noise are no numbers of the latent here: they are held "
        "on the way from one latent to another.",
    ]
    for row in rows:
        network = row["paths"].get("network")
        if network is not None:
            notes.append(
                f"{row['label']}: Inception layer {network['feature_layer']}, {network['resize']} to 299x299, weights of SHA-256 "
                f"`{network['weights_digest'][:16]}…`."
            )
    notes += [f"Made by `{command}`." for command in study.commands]
    return "\n".join(f"- {note}" for note in notes)
