"""``study augment``: do generated images help a classifier that has few real ones?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from qgan_qiskit.cli.generate import parse_seeds
from qgan_qiskit.cli.options import collect_changes, config_options, describe_problem, settings_options
from qgan_qiskit.cli.study_options import check_executor, executor_for, refuse_others, show_files, study_options
from qgan_qiskit.config import DataConfig
from qgan_qiskit.config.studies import AugmentConfig
from qgan_qiskit.errors import UsageError


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
@study_options(Path("studies/augment"))
@config_options("data", exclude=("class_name", "split", "augment"))
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
    part, and all are tested on the test part. Runs must be trained with fit --split train and the same shares and split seed.
    What is finished is kept: the same command goes on after a stop, and with more seeds, alphas or generators the study
    grows. At the end, and with --report at any time, table.md, table.csv, results.json and curve.png are written.
    """
    if report_only:
        refuse_others(ctx)
        from qgan_qiskit.study.augment.protocol import report

        show_files(report(outdir))
        return
    check_executor(executor_name, scheduler)
    changes = collect_changes(options)
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
    show_files(augment(plan, executor_for(scheduler)))


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
        raise UsageError(describe_problem(error, options=True)) from None
