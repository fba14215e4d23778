"""``study geometry``: in how many directions the features and images of trained generators vary."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from qgan_qiskit.cli.options import collect_changes, config_options, describe_problem, settings_options
from qgan_qiskit.cli.study_options import check_executor, executor_for, refuse_others, show_files, study_options
from qgan_qiskit.config import EvaluationConfig
from qgan_qiskit.config.studies import GeometryConfig
from qgan_qiskit.errors import UsageError

# Of measurements, only which Inception network reads images.
_LEFT_OUT = tuple(
    name for name in EvaluationConfig.model_fields if name not in ("fid_weights", "feature_layer", "resize")
)


@click.command()
@click.argument("runs", metavar="RUN...", type=click.Path(path_type=Path, exists=True, file_okay=False), nargs=-1)
@settings_options("geometry", GeometryConfig, exclude=("evaluation",))
@study_options(Path("studies/geometry"))
@config_options("evaluation", exclude=_LEFT_OUT)
@click.pass_context
def command(
    ctx: click.Context,
    runs: tuple[Path, ...],
    outdir: Path,
    executor_name: str,
    scheduler: str | None,
    dry_run: bool,
    report_only: bool,
    **options: Any,
) -> None:
    """Look into the trained generators of RUN, run folders or checkpoints, side by side; quantum or not.

    Measured are the singular values of the Jacobians from latent to image and to features, the spread of the features over many
    latents, the path length between latents, and how distinguishable the circuits' states for two latents are. What is finished
    is kept: the same command goes on after a stop, and with more runs the study grows. At the end, and with --report at any time,
    table.md, table.csv, results.json, geometry.png and interpolations.png are written.
    """
    if report_only:
        refuse_others(ctx)
        from qgan_qiskit.study.latent_geometry.run import report

        show_files(report(outdir))
        return
    if not runs:
        raise UsageError("name the RUN whose generator is to be looked into, or several (or --report)")
    check_executor(executor_name, scheduler)
    changes = collect_changes(options)
    try:
        settings = GeometryConfig.model_validate(
            {**changes.get("geometry", {}), "evaluation": changes.get("evaluation", {})}
        )
    except ValidationError as error:
        raise UsageError(describe_problem(error, options=True)) from None
    from qgan_qiskit.study.cell_runs import states
    from qgan_qiskit.study.latent_geometry.run import geometry, prepare

    shown = shlex.join(["python", "-m", "qgan_qiskit.cli", *sys.argv[1:]])
    study, cells = prepare(runs, settings, outdir, shown)
    if dry_run:
        for line in states(cells):
            click.echo(line)
        return
    show_files(geometry(study, cells, executor_for(scheduler)))
