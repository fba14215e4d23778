"""``study augment``: do generated images help a classifier that has few real ones?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource
from pydantic import ValidationError

from qgan_qiskit.cli.generate import parse_seeds
from qgan_qiskit.cli.options import config_options, first_problem, given, settings_options
from qgan_qiskit.cli.say import say
from qgan_qiskit.config import DataConfig
from qgan_qiskit.config.augment import AugmentConfig
from qgan_qiskit.errors import UsageError

if TYPE_CHECKING:
    from qgan_qiskit.study.executors import Executor


@click.command()
@click.option(
    "--generator",
    "generators",
    multiple=True,
    metavar="NAME=RUN,RUN,…",
    help="Whose images: a name, and run folders or checkpoints, at least one of every class; several of a class take turns "
    "over the seeds. May be given several times. [default: those of the study in --outdir]",
)
@click.option(
    "--class", "classes", default=None, metavar="LIST", help="Classes to tell apart, such as MEL,NV,BCC. [default: all]"
)
@settings_options("augment", AugmentConfig)
@click.option(
    "--outdir",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("studies/augment"),
    help="Folder of the study; the same command goes on with it, and it may grow. [default: studies/augment]",
)
@click.option(
    "--executor",
    "executor_name",
    type=click.Choice(("process", "dask")),
    default="process",
    show_default=True,
    help="Where the cells run: one after the other here, or on the workers of a Dask cluster.",
)
@click.option("--scheduler", default=None, metavar="ADDRESS", help="Of the Dask cluster (tcp://…). [default: none]")
@click.option("-n", "--dry-run", is_flag=True, help="List the cells and how far each is. [default: off]")
@click.option(
    "--report", "report_only", is_flag=True, help="Only write the report of the finished cells. [default: off]"
)
@config_options("data", exclude=("class_name", "part", "augment"))
@click.pass_context
def command(
    ctx: click.Context,
    generators: tuple[str, ...],
    classes: str | None,
    outdir: Path,
    executor_name: str,
    scheduler: str | None,
    dry_run: bool,
    report_only: bool,
    **options: Any,
) -> None:
    """Find out whether generated images help a classifier that has few real ones.

    Every classifier trains on --real-share of the train part, as it is (none), with small classes repeated (oversample),
    turned, cropped and flipped (traditional), or with a share alpha of generated images; alpha is chosen on the validation
    part, and all are tested on the test part. Runs must be trained with fit --part train and the same shares and split seed.
    What is finished is kept: the same command goes on after a stop, and with more seeds, alphas or generators the study
    grows. At the end, and with --report at any time, table.md, table.csv, results.json and curve.png are written.
    """
    if report_only:
        _refuse_others(ctx)
        from qgan_qiskit.study.augment.protocol import report

        _show(report(outdir))
        return
    if (executor_name == "dask") != (scheduler is not None):
        raise UsageError("--executor dask and --scheduler ADDRESS go together: give both or neither")
    changes = given(options)
    if "seeds" in (asked := changes.get("augment", {})):
        # Ranges are for the command line; study.json names every seed.
        asked["seeds"] = ",".join(str(seed) for seed in parse_seeds(asked["seeds"]))
    # Before torch is imported, which takes longer than to refuse an option.
    _settings(DataConfig(), AugmentConfig(), changes)
    from qgan_qiskit.study.augment import spec
    from qgan_qiskit.study.augment.protocol import augment, prepare, states

    present = spec.read(outdir)
    base = (DataConfig(), AugmentConfig()) if present is None else (present.data, present.settings)
    if classes is None and present is not None:
        classes = ",".join(present.classes)
    plan = prepare(*_settings(*base, changes), classes, generators, outdir)
    if dry_run:
        for line in states(plan):
            click.echo(line)
        return
    _show(augment(plan, _executor(scheduler), say))


def _settings(
    data: DataConfig, augment: AugmentConfig, changes: dict[str, dict[str, Any]]
) -> tuple[DataConfig, AugmentConfig]:
    """Return settings with the options that were given."""
    try:
        return (
            DataConfig.model_validate({**data.model_dump(), **changes.get("data", {})}),
            AugmentConfig.model_validate({**augment.model_dump(), **changes.get("augment", {})}),
        )
    except ValidationError as error:
        raise UsageError(first_problem(error, options=True)) from None


def _executor(scheduler: str | None) -> Executor:
    from qgan_qiskit.study.executors import InProcess

    if scheduler is None:
        return InProcess()
    from qgan_qiskit.study.dask_executor import DaskExecutor

    return DaskExecutor(scheduler, say)


def _show(files: list[Path]) -> None:
    for path in files:
        click.echo(str(path))


def _refuse_others(ctx: click.Context) -> None:
    """Refuse options that --report would silently ignore."""
    others = [
        parameter.opts[-1]
        for parameter in ctx.command.params
        if parameter.name not in ("report_only", "outdir")
        and ctx.get_parameter_source(str(parameter.name)) is ParameterSource.COMMANDLINE
    ]
    if others:
        raise UsageError(f"--report writes what the finished cells say: leave {', '.join(others)} out")
