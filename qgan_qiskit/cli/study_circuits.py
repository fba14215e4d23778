"""``study circuits``: expressibility, entangling capability and gradient variance of circuits."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from qgan_qiskit.cli.options import collect_changes, describe_problem, option_name, settings_options
from qgan_qiskit.cli.study_options import check_executor, executor_for, refuse_others, show_files, study_options
from qgan_qiskit.config import HybridQConfig
from qgan_qiskit.config.studies import CircuitsChoice, CircuitsConfig
from qgan_qiskit.errors import UsageError


@click.command()
@settings_options("choice", CircuitsChoice)
@click.option(
    "--ansatz",
    "files",
    type=click.Path(path_type=Path, dir_okay=False),
    multiple=True,
    metavar="FILE",
    help="OpenQASM 3 file of your own circuit instead of the built-in family; may be given again. [default: none]",
)
@click.option(
    "--input-names",
    metavar="PATTERN",
    help=str(HybridQConfig.model_fields["input_names"].description),
)
@click.option(
    "--weight-names",
    metavar="PATTERN",
    help=str(HybridQConfig.model_fields["weight_names"].description),
)
@settings_options("circuits", CircuitsConfig)
@study_options(Path("studies/circuits"))
@click.pass_context
def command(
    ctx: click.Context,
    files: tuple[Path, ...],
    input_names: str | None,
    weight_names: str | None,
    outdir: Path,
    executor_name: str,
    scheduler: str | None,
    dry_run: bool,
    report_only: bool,
    **options: Any,
) -> None:
    """Measure circuits with random angles: how near their states come to Haar's, how entangled they are, how gradients fall.

    The built-in family is HybridQ's circuit, one for each number of qubits and of repetitions. What is finished is kept: the same
    command goes on after a stop, and with more sizes or files the study grows. At the end, and with --report at any time,
    table.md, table.csv, results.json and circuits.png are written.
    """
    if report_only:
        refuse_others(ctx)
        from qgan_qiskit.study.circuits.run import report

        show_files(report(outdir))
        return
    check_executor(executor_name, scheduler)
    changes = collect_changes(options)
    choice_given = changes.get("choice", {})
    if files and choice_given:
        names = ", ".join(option_name(name) for name in choice_given)
        raise UsageError(f"--ansatz brings the whole circuit: leave {names} out")
    if not files and (input_names is not None or weight_names is not None):
        raise UsageError("--input-names and --weight-names name parameters of files: give --ansatz too")
    try:
        choice = CircuitsChoice.model_validate(choice_given)
        settings = CircuitsConfig.model_validate(changes.get("circuits", {}))
    except ValidationError as error:
        raise UsageError(describe_problem(error, options=True)) from None
    from qgan_qiskit.circuits import ParameterNames
    from qgan_qiskit.study.cell_runs import states
    from qgan_qiskit.study.circuits.run import circuits, prepare

    shown = shlex.join(["python", "-m", "qgan_qiskit.cli", *sys.argv[1:]])
    study, cells = prepare(files, choice, settings, outdir, shown, ParameterNames(input_names, weight_names))
    if dry_run:
        for line in states(cells):
            click.echo(line)
        return
    show_files(circuits(study, cells, executor_for(scheduler)))
