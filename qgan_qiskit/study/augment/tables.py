"""The tables of a report: a line per condition, per comparison and per point of the curves."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from io import StringIO

import numpy as np

from qgan_qiskit.study.augment.conditions import BASELINES, Condition
from qgan_qiskit.study.augment.paper import SOURCE, printed_scores
from qgan_qiskit.study.augment.scores import SCORES
from qgan_qiskit.study.augment.spec import Study
from qgan_qiskit.study.augment.summary import CHOSEN_BY, Comparison, Estimate
from qgan_qiskit.study.cells import Row

Cells = Mapping[Condition, Mapping[int, Row]]
Estimates = Mapping[Condition, Mapping[str, Mapping[str, Estimate]]]


def csv_table(cells: Cells) -> str:
    """Return a line per cell: condition, seed, images, all scores on both parts, seconds."""
    parts = [(part, score) for part in ("validation", "test") for score in SCORES]
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    head = ["condition", "generator", "alpha", "seed", "real_images", "generated_images", "trained_on"]
    writer.writerow([*head, *(f"{part}_{score}" for part, score in parts), "seconds"])
    for condition, of_seed in cells.items():
        for seed, row in sorted(of_seed.items()):
            alpha = "" if condition.alpha is None else f"{condition.alpha:g}"
            counts = [sum(row[key].values()) for key in ("real", "generated", "trained_on")]
            scores = [f"{row[part][score]:.6f}" for part, score in parts]
            writer.writerow([condition.kind, condition.generator or "", alpha, seed, *counts, *scores, row["seconds"]])
    return text.getvalue()


def conditions_table(study: Study, cells: Cells, estimates: Estimates, chosen: Mapping[str, float]) -> list[str]:
    """Return the baselines, and each generator at its chosen alpha, with all scores on the test part."""
    wanted = [Condition(kind) for kind in BASELINES]
    for kind in ("generated", "traditional+generated"):
        wanted += [Condition(kind, name, alpha) for name, alpha in chosen.items()]
    printed = {condition: printed_scores(study.classes, _model(study, condition)) for condition in wanted}
    paper = any(printed.values())
    head = ["trained on", "seeds", *SCORES.values(), "seconds a cell"]
    if paper:
        head.append("paper ¹: accuracy · precision · recall")
    lines = [_line(head), _line(["---"] * len(head))]
    for condition in wanted:
        if condition not in estimates:
            continue
        found, rows = estimates[condition]["test"], cells[condition].values()
        texts = [str(condition), str(len(rows)), *(_estimate(found[score]) for score in SCORES)]
        texts.append(f"{np.mean([row['seconds'] for row in rows]):.0f}")
        if paper:
            one = printed[condition]
            texts.append("–" if one is None else f"{one.accuracy:.3f} · {one.precision:.2f} · {one.recall:.2f}")
        lines.append(_line(texts))
    lines += ["", "Mean over the seeds, and intervals of 95 %: [over seeds], (over test lesions)."]
    return [*lines, "", f"¹ {SOURCE}; its best alpha, chosen by means it does not state."] if paper else lines


def comparisons_table(comparisons: Sequence[Comparison]) -> list[str]:
    """Return a line per pair and score."""
    head = [
        "",
        "against",
        "score",
        "difference",
        "over seeds",
        "over test lesions",
        "p, t",
        "p, sign flips",
        "p, Holm",
        "",
    ]
    lines = [_line(head), _line(["---"] * len(head))]
    for one in comparisons:
        found = one.difference
        lines.append(
            _line(
                [
                    str(one.condition),
                    str(one.baseline),
                    SCORES[one.score],
                    _signed(found.mean),
                    _interval(found.over_seeds, sign=True),
                    _interval(found.over_lesions, sign=True),
                    *(_p(p) for p in (one.t_p, one.flip_p, one.holm_p)),
                    one.verdict,
                ]
            )
        )
    return lines


def curve_table(cells: Cells, estimates: Estimates, chosen: Mapping[str, float]) -> list[str]:
    """Return a line per generator and alpha, on both parts."""
    head = ["generator", "alpha", "generated images", f"{SCORES[CHOSEN_BY]}, validation", "the same, test", ""]
    lines = [_line(head), _line(["---"] * len(head))]
    for condition, found in estimates.items():
        if condition.kind != "generated" or condition.generator is None:
            continue
        numbers = [sum(row["generated"].values()) for row in cells[condition].values()]
        lines.append(
            _line(
                [
                    condition.generator,
                    f"{condition.alpha:g}",
                    f"{np.mean(numbers):,.0f}",
                    *(_estimate(found[part][CHOSEN_BY]) for part in ("validation", "test")),
                    "chosen" if chosen.get(condition.generator) == condition.alpha else "",
                ]
            )
        )
    return lines


def _model(study: Study, condition: Condition) -> str:
    """Return what the paper calls the images of a condition; nothing for what it does not have."""
    if condition.kind == "none":
        return "none"
    if condition.kind != "generated" or condition.generator is None:
        return ""
    sources = [source for of_class in study.generators[condition.generator].values() for source in of_class]
    models = {"" if source.classical_baseline else source.model for source in sources}
    return models.pop() if len(models) == 1 else ""


def _estimate(one: Estimate) -> str:
    text = f"{one.mean:.3f}"
    if one.over_seeds is not None:
        text += f" [{_interval(one.over_seeds)}]"
    return text if one.over_lesions is None else f"{text} ({_interval(one.over_lesions)})"


def _interval(one: tuple[float, float] | None, sign: bool = False) -> str:
    if one is None:
        return "–"
    return f"{_signed(one[0])} to {_signed(one[1])}" if sign else f"{one[0]:.3f} to {one[1]:.3f}"


def _signed(value: float) -> str:
    # Adding 0.0 turns -0.0 into 0.0.
    return f"{round(value, 3) + 0.0:+.3f}"


def _p(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _line(texts: Sequence[str]) -> str:
    return f"| {' | '.join(texts)} |"
