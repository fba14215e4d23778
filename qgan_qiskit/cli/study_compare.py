"""``study compare``: models x classes x seeds at an equal budget, with a report."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from qgan_qiskit.cli.generate import parse_seeds
from qgan_qiskit.cli.options import collect_changes, config_options, describe_problem
from qgan_qiskit.cli.study_options import check_executor, executor_for, refuse_others, show_files, study_options
from qgan_qiskit.config import PRESETS
from qgan_qiskit.config.studies import SUITES, CompareChoice, CompareConfig
from qgan_qiskit.errors import UsageError

if TYPE_CHECKING:
    from qgan_qiskit.study.compare.plan import Cell

_DEFAULT = CompareConfig()
# Options of the sections below that a study has in a form of its own, or not at all.
_OWN = ("data__class_name", "data__augment", "evaluation__metrics", "evaluation__metrics_every")
_FIELDS = CompareConfig.model_fields


def _own_option(field: FieldInfo, name: str, kind: click.ParamType) -> Callable[..., Any]:
    """Return an option of a field of the study's own settings."""
    text = field.description or ""
    if "[default" not in text:
        text += f" [default: {field.default}]"
    return click.option(f"--{name.replace('_', '-')}", name, type=kind, default=None, help=text)


@click.command()
@click.option(
    "--models",
    default=CompareChoice().models,
    show_default=True,
    metavar="LIST",
    help=f"{CompareChoice.model_fields['models'].description} There are "
    + "; ".join(f"{model}: {', '.join(names)}" for model, names in PRESETS.items())
    + ".",
)
@click.option(
    "--suite",
    type=click.Choice(tuple(SUITES)),
    default=None,
    help="A list of models instead: data-reduction is the four configurations of transfer on 100, 50, 20 and 10 % of the "
    "images. [default: none]",
)
@click.option("--class", "classes", default=None, metavar="LIST", help="Classes, such as MEL,NV. [default: all]")
@click.option(
    "--seeds",
    default=CompareChoice().seeds,
    show_default=True,
    metavar="LIST",
    help=CompareChoice.model_fields["seeds"].description,
)
@_own_option(_FIELDS["epochs"], "epochs", click.IntRange(min=1))
@_own_option(_FIELDS["curve_every"], "curve_every", click.IntRange(min=0))
@_own_option(_FIELDS["curve_number"], "curve_number", click.IntRange(min=2))
@_own_option(_FIELDS["augment"], "augment", click.Choice(("none", "flip", "dihedral")))
@_own_option(_FIELDS["device"], "device", click.STRING)
@_own_option(_FIELDS["threads"], "threads", click.IntRange(1, 1024))
@click.option(
    "--metrics",
    default=_DEFAULT.evaluation.metrics,
    show_default=True,
    metavar="LIST",
    help="What to measure at the end: all, or some of fid, kid, is, ssim, ms-ssim, prdc, memorization. The first of them, in "
    "this order, makes the curves.",
)
@click.option(
    "--model-setting",
    "model_settings",
    multiple=True,
    metavar="MODEL.SETTING=VALUE",
    help=_FIELDS["model_settings"].description,
)
@study_options(Path("studies/compare"))
@config_options("data", "evaluation")
@click.pass_context
def command(
    ctx: click.Context,
    models: str,
    suite: str | None,
    classes: str | None,
    seeds: str,
    metrics: str,
    model_settings: tuple[str, ...],
    outdir: Path,
    executor_name: str,
    scheduler: str | None,
    dry_run: bool,
    report_only: bool,
    **options: Any,
) -> None:
    """Compare models: models x classes x seeds, all with the same number of images seen.

    Learning rates, losses and batch sizes are those of each model's preset. What is finished is kept: the same command goes on
    after a stop, two that run at once share the cells out, and with more models, classes or seeds the study grows. At the end,
    and with --report at any time, table.md, table.csv, results.json, curves.png and samples.png are written.
    """
    if report_only:
        refuse_others(ctx)
        from qgan_qiskit.study.compare.run import report

        show_files(report(outdir))
        return
    check_executor(executor_name, scheduler)
    from qgan_qiskit.study.compare.entries import parse_entries

    if suite is not None:
        if ctx.get_parameter_source("models") is ParameterSource.COMMANDLINE:
            raise UsageError("--suite and --models exclude each other: give one")
        models = SUITES[suite]
    settings, entries, seed_list = (
        _settings(metrics, options | {"model_settings": _parsed(model_settings) or None}),
        parse_entries(models),
        parse_seeds(seeds),
    )
    # Here, as what is refused above need not wait for it.
    from qgan_qiskit.study.compare.run import compare, prepare, states

    wanted = None if classes is None else [part.strip() for part in classes.split(",")]
    shown = shlex.join(["python", "-m", "qgan_qiskit.cli", *sys.argv[1:]])
    study, cells = prepare(settings, entries, wanted, seed_list, outdir, shown)
    if dry_run:
        for cell, state in states(cells):
            click.echo(_line(cell, state))
        return
    show_files(compare(study, cells, executor_for(scheduler)))


def _parsed(texts: tuple[str, ...]) -> dict[str, dict[str, str]]:
    """Return settings of models, of texts such as ``transfer.weights=FILE``."""
    found: dict[str, dict[str, str]] = {}
    for text in texts:
        place, equals, value = text.partition("=")
        model, dot, field = place.partition(".")
        if not (equals and dot and model in PRESETS):
            raise UsageError(
                f"--model-setting '{text}': not of the form MODEL.SETTING=VALUE with a model of {', '.join(PRESETS)}"
            )
        found.setdefault(model, {})[field.replace("-", "_")] = value
    return found


def _settings(metrics: str, options: dict[str, Any]) -> CompareConfig:
    """Defaults, then options."""
    content: dict[str, Any] = {name: value for name in _FIELDS if (value := options.pop(name, None)) is not None}
    changes = collect_changes(options)
    content["data"] = changes.get("data", {})
    content["evaluation"] = {**changes.get("evaluation", {}), "metrics": metrics}
    try:
        return CompareConfig.model_validate(content)
    except ValidationError as error:
        raise UsageError(describe_problem(error, options=True)) from None


def _line(cell: Cell, state: str) -> str:
    rest = f", {cell.left_out} left out" if cell.left_out else ""
    return (
        f"{state:10} {cell.name}: {cell.steps} steps of {cell.config.training.batch_size}, "
        f"{cell.images_seen:,} images seen{rest}"
    )


command.params = [parameter for parameter in command.params if parameter.name not in _OWN]
