"""``study noise``: what shots, a device's noise and mitigation do to a trained generator's images."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from qgan_qiskit.cli.options import collect_changes, config_options, describe_problem, settings_options
from qgan_qiskit.cli.study_options import check_executor, executor_for, refuse_others, show_files, study_options
from qgan_qiskit.config.studies import NoiseChoice, NoiseConfig
from qgan_qiskit.errors import UsageError

# Settings of the real images that the run determines.
_DATA_EXCLUDED = ("class_name", "augment", "resolution", "color")


@click.command()
@click.argument("run", type=click.Path(path_type=Path, exists=True, file_okay=False), required=False)
@settings_options("choice", NoiseChoice)
@settings_options("noise", NoiseConfig, exclude=("evaluation",))
@study_options(Path("studies/noise"))
@config_options("evaluation", exclude=("metrics_every", "metrics_number", "metrics"))
@config_options("data", exclude=_DATA_EXCLUDED)
@click.option(
    "--metrics",
    default="fid",
    show_default=True,
    metavar="LIST",
    help="Metrics: some of fid, kid, is, ssim, ms-ssim, prdc.",
)
@click.pass_context
def command(
    ctx: click.Context,
    run: Path | None,
    metrics: str,
    outdir: Path,
    executor_name: str,
    scheduler: str | None,
    dry_run: bool,
    report_only: bool,
    **options: Any,
) -> None:
    """Run the circuits of RUN with few and many shots and under the noise of devices, and measure the images.

    Every condition makes the same seeds. Metrics compare with the run's real images and with the exact images; the errors of
    the expectation values and their effect on the images are measured, too. Finished conditions are kept: the same command
    resumes an interrupted study, and more shots, devices or levels extend it. At the end, and with --report at any time,
    table.md, table.csv, results.json, noise.png and samples.png are written.
    """
    if report_only:
        refuse_others(ctx)
        from qgan_qiskit.study.noise.run import report

        show_files(report(outdir))
        return
    if run is None:
        raise UsageError("name the RUN to study (or --report)")
    check_executor(executor_name, scheduler)
    changes = collect_changes(options)
    try:
        choice = NoiseChoice.model_validate(changes.get("choice", {}))
        settings = NoiseConfig.model_validate(
            {**changes.get("noise", {}), "evaluation": {**changes.get("evaluation", {}), "metrics": metrics}}
        )
    except ValidationError as error:
        raise UsageError(describe_problem(error, options=True)) from None
    from qgan_qiskit.study.cell_runs import states
    from qgan_qiskit.study.noise.run import noise, prepare

    shown = shlex.join(["python", "-m", "qgan_qiskit.cli", *sys.argv[1:]])
    study, cells = prepare(run, settings, choice, changes.get("data", {}), outdir, shown)
    if dry_run:
        for line in states(cells):
            click.echo(line)
        return
    show_files(noise(study, cells, executor_for(scheduler)))
