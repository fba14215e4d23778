"""The report as a page: the answer first, then what was done, then every table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from qgan_qiskit.study.augment.conditions import Condition
from qgan_qiskit.study.augment.spec import Study
from qgan_qiskit.study.augment.summary import Comparison, answers, headline
from qgan_qiskit.study.augment.tables import Cells, Estimates, comparisons_table, conditions_table, curve_table


def markdown(
    study: Study,
    parts: dict[str, Any],
    cells: Cells,
    estimates: Estimates,
    alphas: Mapping[str, float],
    first: Sequence[Comparison],
    second: Sequence[Comparison],
) -> str:
    """Return the page.

    Args:
        study: what was studied.
        parts: content of ``parts.json``.
        cells: finished cells by condition and seed.
        estimates: condition -> part -> score -> estimate.
        alphas: chosen alpha of each generator.
        first: generated images against the baselines.
        second: generated images on top of traditional augmentation.
    """
    lines = ["## Do generated images help?", ""]
    if not first:
        lines.append("Not answered yet: every generator has unfinished cells.")
    else:
        lines += [headline(first), "", *(f"- {line}" for line in answers(first))]
        seeds, smallest = first[0].difference.seeds, first[0].smallest_p
        lines += [
            "",
            "Higher or lower is said when both intervals exclude zero. Macro recall and balanced accuracy are the same number "
            f"here, since every class is tested. With {seeds} seeds no sign-flip p can be below {smallest:.3g}.",
        ]
    lines += ["", "## What was done", "", *_setting(study, parts, cells)]
    lines += ["", "## Scores on the test part", "", *conditions_table(study, cells, estimates, alphas)]
    if first:
        lines += ["", "## Generated images against what costs nothing", "", *comparisons_table(first)]
    if second:
        lines += ["", "## Generated images on top of traditional augmentation", "", *comparisons_table(second)]
    if study.generators:
        lines += ["", "## The curve over alpha (curve.png)", "", *curve_table(cells, estimates, alphas)]
    return "\n".join(lines) + "\n"


def _setting(study: Study, parts: dict[str, Any], cells: Cells) -> list[str]:
    settings = study.settings
    row = next(iter(next(iter(cells.values())).values()))
    start = row["start"]
    rows = [one for of_seed in cells.values() for one in of_seed.values()]
    lines = [
        f"- {name} part: {_counts(part['counts'])}, {part['number_of_lesions']:,} lesions"
        for name, part in parts.items()
    ]
    for name, of_class in study.generators.items():
        sources = [source for found in of_class.values() for source in found]
        models = sorted(
            {source.model + (" (classical baseline)" if source.classical_baseline else "") for source in sources}
        )
        steps = sorted({source.step for source in sources})
        lines.append(
            f"- {name}: {len(sources)} runs of {', '.join(models)} on the train part, step {', '.join(map(str, steps))}"
        )
    drawn = [f"seed {one['seed']}: {_counts(one['real'])}" for one in cells.get(Condition("none"), {}).values()]
    lines += [
        f"- real training images: {settings.real_share:.0%} of the train part of each class, whole lesions, drawn for each seed "
        f"({'; '.join(drawn)})",
        f"- generated images: alpha is their share of all training images; classes {settings.generated_classes}; alpha is "
        "chosen by the validation part's balanced accuracy, mean over the seeds; test and validation images are all real",
        f"- classifier: {start['backbone']}, {start['parameters']:,} parameters, weights "
        + (
            f"from {start['weights']}; from scratch: {', '.join(start['from_scratch'])}"
            if start["weights"]
            else "from scratch"
        )
        + (
            f"; {start['folded']} batch norms, folded in the file, measured on the training images"
            if start["folded"]
            else ""
        ),
        f"- training: {settings.steps} steps of {settings.batch_size} images under every condition, Adam at {settings.lr:g} "
        f"falling to 0 along a cosine, last weights; normalization {settings.normalization}, input "
        f"{settings.input_size or study.data.resolution} x {settings.input_size or study.data.resolution}",
        f"- {len(rows)} cells, {sum(one['seconds'] for one in rows) / 60:.1f} minutes of training and scoring",
    ]
    shared = {name: part["pixels_in_train"] for name, part in parts.items() if part.get("pixels_in_train")}
    lines += [
        f"- {number} images of the {name} part have the pixels of a train image" for name, number in shared.items()
    ]
    return lines


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {number:,}" for name, number in counts.items())
