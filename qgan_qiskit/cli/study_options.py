"""What the commands of ``study`` share: where cells run, and what they print."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from qgan_qiskit.errors import UsageError

if TYPE_CHECKING:
    from qgan_qiskit.study.executors import Executor


def study_options(default: Path) -> Callable[[Any], Any]:
    """Add the options that every study has.

    Args:
        default: folder of the study if none is named.
    """
    options = [
        click.option(
            "--outdir",
            type=click.Path(path_type=Path, file_okay=False),
            default=default,
            help=f"Folder of the study; the same command goes on with it, and it may grow. [default: {default}]",
        ),
        click.option(
            "--executor",
            "executor_name",
            type=click.Choice(("process", "dask")),
            default="process",
            show_default=True,
            help="Where the cells run: one after the other here, or on the workers of a Dask cluster.",
        ),
        click.option(
            "--scheduler", default=None, metavar="ADDRESS", help="Of the Dask cluster (tcp://…). [default: none]"
        ),
        click.option("-n", "--dry-run", is_flag=True, help="List the cells and how far each is. [default: off]"),
        click.option(
            "--report",
            "report_only",
            is_flag=True,
            help="Only write the report of the finished cells. [default: off]",
        ),
    ]

    def add(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def check_executor(name: str, scheduler: str | None) -> None:
    """Refuse a scheduler without its executor, and the other way round."""
    if (name == "dask") != (scheduler is not None):
        raise UsageError("--executor dask and --scheduler ADDRESS go together: give both or neither")


def executor_for(scheduler: str | None) -> Executor:
    """Return where the cells run: here, or on the cluster of a scheduler."""
    from qgan_qiskit.study.executors import InProcess

    if scheduler is None:
        return InProcess()
    from qgan_qiskit.study.dask_executor import DaskExecutor

    return DaskExecutor(scheduler)


def show_files(files: list[Path]) -> None:
    """Print what was written, a line each."""
    for path in files:
        click.echo(str(path))


def refuse_others(ctx: click.Context) -> None:
    """Refuse options that --report would silently ignore."""
    others = [
        parameter.opts[-1]
        for parameter in ctx.command.params
        if parameter.name not in ("report_only", "outdir")
        and ctx.get_parameter_source(str(parameter.name)) is ParameterSource.COMMANDLINE
    ]
    if others:
        raise UsageError(f"--report writes what the finished cells say: leave {', '.join(others)} out")
