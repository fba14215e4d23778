"""``study compare``: models x classes x seeds at an equal budget, with a report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from qgan_qiskit.cli.generate import parse_seeds
from qgan_qiskit.cli.options import collect_changes, config_options
from qgan_qiskit.cli.study_options import StudyRun, command_line, show_files, study_options, validate
from qgan_qiskit.config import PRESETS
from qgan_qiskit.config.studies import SUITES, CompareChoice, CompareConfig
from qgan_qiskit.errors import UsageError

_DEFAULT = CompareConfig()
_FIELDS = CompareConfig.model_fields


def _own_option(name: str, kind: click.ParamType) -> Callable[..., Any]:
    """Return the option of one of the study's own settings."""
    text = _FIELDS[name].description or ""
    if "[default" not in text:
        text += f" [default: {_FIELDS[name].default}]"
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
@_own_option("epochs", click.IntRange(min=1))
@_own_option("curve_every", click.IntRange(min=0))
@_own_option("curve_number", click.IntRange(min=2))
@_own_option("augment", click.Choice(("none", "flip", "dihedral")))
@_own_option("device", click.STRING)
@_own_option("threads", click.IntRange(1, 1024))
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
@config_options("data", "evaluation", exclude=("class_name", "augment", "metrics", "metrics_every"))
@click.pass_context
def command(
    ctx: click.Context,
    models: str,
    suite: str | None,
    classes: str | None,
    seeds: str,
    metrics: str,
    model_settings: tuple[str, ...],
    run: StudyRun,
    **options: Any,
) -> None:
    """Compare models at an equal number of images seen.

    Cells are models x classes x seeds. Learning rates, losses and batch sizes are those of each model's preset. Finished
    cells are kept: the same command resumes after a stop, two that run at once share the cells, and more models, classes or
    seeds extend the study. At the end, and with --report at any time, table.md, table.csv, results.json, curves.png and
    samples.png are written.
    """
    if run.report_only:
        from qgan_qiskit.study.compare.cells import report

        show_files(report(run.outdir))
        return
    from qgan_qiskit.study.compare.variants import parse_variants

    if suite is not None:
        if ctx.get_parameter_source("models") is ParameterSource.COMMANDLINE:
            raise UsageError("--suite and --models exclude each other: give one")
        models = SUITES[suite]
    settings = _settings(metrics, options | {"model_settings": _parse_model_settings(model_settings) or None})
    variants, seed_list = parse_variants(models), parse_seeds(seeds)
    # Importing these takes longer than refusing an option.
    from qgan_qiskit.study.compare.plan import prepare

    wanted = None if classes is None else [part.strip() for part in classes.split(",")]
    study, cells = prepare(settings, variants, wanted, seed_list, run.outdir, command_line())
    run.finish(study, cells, _run)


def _run(*arguments: Any) -> list[Path]:
    # Listing cells need not wait for torch.
    from qgan_qiskit.study.compare.cells import run

    return run(*arguments)


def _parse_model_settings(texts: tuple[str, ...]) -> dict[str, dict[str, str]]:
    """Return the settings of each model from texts such as ``transfer.weights=FILE``."""
    found: dict[str, dict[str, str]] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        model, dot, field = name.partition(".")
        if not (equals and dot and model in PRESETS):
            raise UsageError(
                f"--model-setting '{text}': not of the form MODEL.SETTING=VALUE with a model of {', '.join(PRESETS)}"
            )
        found.setdefault(model, {})[field.replace("-", "_")] = value
    return found


def _settings(metrics: str, options: dict[str, Any]) -> CompareConfig:
    """Return the study's settings: options over defaults."""
    content: dict[str, Any] = {name: value for name in _FIELDS if (value := options.pop(name, None)) is not None}
    changes = collect_changes(options)
    content["data"] = changes.get("data", {})
    content["evaluation"] = {**changes.get("evaluation", {}), "metrics": metrics}
    return validate(CompareConfig, content)
