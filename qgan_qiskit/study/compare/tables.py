"""The tables of a comparison: Markdown for people, CSV with a row per cell."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from qgan_qiskit.stats import MAX_EXACT_PAIRS
from qgan_qiskit.study.cells import Row
from qgan_qiskit.study.compare.folder import Study
from qgan_qiskit.study.compare.paper import MOSAIQ_ROW_TWICE, SOURCE
from qgan_qiskit.study.compare.summary import Summary
from qgan_qiskit.study.markdown import NONE, csv_text, number_text, table

_PLAIN_COLUMNS = (
    "model", "class", "seed", "diverged", "epochs", "batch_size", "steps", "images_seen", "left_out", "images", "seconds",
    "seconds_complete", "device", "threads", "data_digest", "config_digest",
)  # fmt: skip


def csv_table(rows: Iterable[Row]) -> str:
    """Return a line per finished cell; each figure has four columns: value, interval and baseline."""
    lines = []
    for row in rows:
        line = {column: row[column] for column in _PLAIN_COLUMNS}
        line |= {f"parameters_{part}": number for part, number in row["parameters"].items()}
        for figure in row["figures"]:
            line[figure["name"]] = figure["value"]
            line |= {f"{figure['name']} {end}": figure[end] for end in ("low", "high", "baseline")}
        lines.append(line)
    return csv_text(lines)


def markdown_table(study: Study, rows: Sequence[Row], summary: Summary) -> str:
    """Return a table per class, the tests, and what a reader must know to judge them."""
    parts = [_class_table(name, summary, rows) for name in summary["classes"]]
    parts.append(_tests(summary))
    parts.append("\n".join(f"- {note}" for note in _notes(study, rows, summary)))
    return "\n\n".join(parts) + "\n"


def _class_table(class_name: str, summary: Summary, rows: Sequence[Row]) -> str:
    lines = [line for line in summary["table"] if line["class"] == class_name]
    figures = [name for name in summary["figures"] if any(name in line["figures"] for line in lines)]
    images = sorted({row["images"] for row in rows if row["class"] == class_name})
    printed = any(line["printed_fid"] is not None for line in lines)
    head = ["model", "parameters (quantum)", "budget: images seen", "seeds", *figures]
    head += ["the paper's FID: another scale ¹"] if printed else []
    body = []
    for line in lines:
        cells = [line["model"], _parameters(line["parameters"]), f"{line['images_seen']:,}", _seeds(line)]
        cells += [_mean(line["figures"].get(name)) for name in figures]
        cells += [_printed(line)] if printed else []
        body.append(cells)
    floors = next(floors["figures"] for floors in summary["floors"] if floors["class"] == class_name)
    if floors:
        body.append(["*real-vs-real baseline*", NONE, NONE, NONE, *(_floor(floors.get(name)) for name in figures)])
        body[-1] += [NONE] if printed else []
    count = " or ".join(f"{number:,}" for number in images)
    return f"## {class_name}: {count} real images\n\n{table(head, body)}"


def _parameters(parts: dict[str, int]) -> str:
    """Return how many there are, and in brackets how many in circuits or in what replaces them."""
    total = f"{parts['generator'] + parts['discriminator']:,}"
    if parts["in_place_of_quantum"]:
        return f"{total} ({parts['quantum']:,}; {parts['in_place_of_quantum']:,} in their place)"
    return f"{total} ({parts['quantum']:,})"


def _seeds(line: dict[str, Any]) -> str:
    """Return the number of seeds, and how many of them diverged."""
    diverged = len(line["diverged"])
    return str(len(line["seeds"])) + (f" ({diverged} diverged)" if diverged else "")


def _mean(figure: dict[str, Any] | None) -> str:
    if figure is None or figure["mean"] is None:
        return NONE
    if figure["low"] is None:
        return f"{number_text(figure['mean'])} ²"
    if figure["interval"] == "t over seeds":
        return f"{number_text(figure['mean'])} ± {number_text(figure['high'] - figure['mean'])}"
    return f"{number_text(figure['mean'])} [{number_text(figure['low'])}, {number_text(figure['high'])}] ²"


def _floor(floor: dict[str, Any] | None) -> str:
    if floor is None:
        return NONE
    return number_text(floor["mean"]) + (f" (n = {floor['number']:,})" if floor["number"] else "")


def _printed(line: dict[str, Any]) -> str:
    if line["printed_fid"] is None:
        return NONE
    return f"*{line['printed_fid']:.2f}*" + (" ³" if line["model"].startswith(MOSAIQ_ROW_TWICE) else "")


def _p(value: float | None) -> str:
    if value is None:
        return NONE
    return "< 0.0001" if value < 1e-4 else f"{value:.4f}"


def _tests(summary: Summary) -> str:
    if not summary["tests"]:
        return "## Tests between models\n\nNothing to compare."
    name = summary["tested"]
    head = ["models", "pairs", f"mean difference of {name}", "ratio", "t-test ⁴", "Holm", "sign flips ⁴", "Holm"]
    body = []
    for test in summary["tests"]:
        plain, log = test["plain"], test["log"]
        difference = "too few" if plain is None else f"{plain['mean']:+.3g}"
        found = [NONE] * 5
        if log is not None:
            keys = ("t_p", "t_p_holm", "flip_p", "flip_p_holm")
            found = [number_text(math.exp(log["mean"])), *(_p(log[key]) for key in keys)]
        body.append([f"{test['first']} – {test['second']}", str(test["pairs"]), difference, *found])
    return f"## Tests between models\n\n{table(head, body)}"


def _notes(study: Study, rows: Sequence[Row], summary: Summary) -> Iterable[str]:
    """Yield what the figures are, in the order of the signs that point to them."""
    figures = [figure for row in rows for figure in row["figures"]]
    yield _sides(study, figures)
    yield from _inception(figures)
    yield (
        f"Budget: {study.settings.epochs} passes over the images of the class, whatever the batch; less than one batch is "
        "left out, as there are no half steps. All other settings are each preset's own."
    )
    yield "± is the half width of the 95 % interval of the mean over seeds (Student's t)."
    if any(line["printed_fid"] is not None for line in summary["table"]):
        yield (
            f"¹ Printed in {SOURCE}, for its simulated models. It names neither Inception layer, number of images, resizing "
            "nor real images, so it is another scale and says nothing about the columns beside it."
        )
    means = [mean for line in summary["table"] for mean in line["figures"].values()]
    if any(len(mean["values"]) == 1 for mean in means):
        yield "² One seed: the interval, if any, is a bootstrap over that cell's images, and says nothing about other seeds."
    if any(line["model"].startswith(MOSAIQ_ROW_TWICE) and line["printed_fid"] is not None for line in summary["table"]):
        yield (
            "³ The paper prints the same three numbers for MosaiQ on ISIC 2019 and on Fitzpatrick17k: a copying error, so "
            "one of the two is not a measurement."
        )
    if summary["tests"]:
        yield (
            f"Difference: first model minus second, of {summary['tested']}, over pairs of cells of the same class and seed; "
            "ratio: geometric mean of first over second."
        )
        yield (
            "⁴ p-values, two-sided, of the differences of logarithms: paired t-test, and test of all sign flips (never below "
            f"2 / 2^pairs; drawn at random beyond {MAX_EXACT_PAIRS} pairs). Holm corrects for the number of lines. Seeds of one "
            "class share its real images, so pairs are less independent than the tests assume. `results.json` has the same "
            "for plain differences."
        )
    if any(floors["figures"] for floors in summary["floors"]):
        yield (
            "*real-vs-real baseline*: two disjoint random sets of the real images, n on each side. Distances are the larger, the "
            "fewer the images: where n is below that of the models, the line is too high."
        )
    yield from _remarks(rows)
    versions = {tuple(sorted(row["versions"].items())) for row in rows}
    if len(versions) > 1:
        yield f"The cells were made with {len(versions)} different sets of versions; `results.json` has them."
    for command in study.commands:
        yield f"Made by `{command}`."


def _sides(study: Study, figures: list[dict[str, Any]]) -> str:
    counts = sorted({(figure["fake_number"], figure["real_number"]) for figure in figures})
    numbers = "; ".join(f"{fake:,} generated and {real:,} real ones" for fake, real in counts) or "no figures yet"
    part = study.settings.data.split
    which = "" if part == "all" else f" (the {part} part)"
    searched = any(figure["metric"] == "memorization" for figure in figures)
    return f"Images on each side: {numbers}. The real ones are those that the models were trained on{which}" + (
        "." if searched else ": a model that copies them is not found out here (the metric memorization would)."
    )


def _inception(figures: list[dict[str, Any]]) -> Iterable[str]:
    for layer, resize, digest in sorted(
        {(f["feature_layer"], f["resize"], f["weights_digest"]) for f in figures if f["feature_layer"] is not None}
    ):
        yield (
            f"Inception features of {layer} numbers, images brought to 299x299 by {resize}, weights of SHA-256 "
            f"`{digest[:16]}…`."
            + (
                ""
                if layer == 2048
                else f" Features of {layer} numbers give distances on another scale than those of 2048, which most papers print."
            )
        )


def _remarks(rows: Sequence[Row]) -> Iterable[str]:
    for row in rows:
        if row["diverged"] is not None:
            yield f"{row['model']}, class {row['class']}, seed {row['seed']} diverged: {row['diverged'].partition(': ')[0]}."
    if len({(row["class"], row["data_digest"]) for row in rows}) > len({row["class"] for row in rows}):
        yield "The images are made anew for every seed, so seeds of a class do not share real images."
