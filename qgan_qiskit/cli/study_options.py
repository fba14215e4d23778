"""What the commands of ``study`` share: where cells run, and what they print."""

from __future__ import annotations

import functools
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource
from pydantic import BaseModel, ValidationError

from qgan_qiskit.cli.options import describe_problem
from qgan_qiskit.errors import UsageError

if TYPE_CHECKING:
    from qgan_qiskit.study.executors import Executor

SettingsT = TypeVar("SettingsT", bound=BaseModel)


@dataclass(frozen=True)
class StudyRun:
    """The options that every study has.

    Attributes:
        outdir: folder of the study.
        report_only: whether to write nothing but the report.
        dry_run: whether to list the cells instead of running them.
        scheduler: address of a Dask cluster, None for this process.
    """

    outdir: Path
    report_only: bool
    dry_run: bool
    scheduler: str | None

    def finish(self, study: Any, cells: Sequence[Any], run: Callable[[Any, Any, Executor], list[Path]]) -> None:
        """List the cells, or run them and print the files of the report."""
        if self.dry_run:
            from qgan_qiskit.study.engine import list_cells

            for line in list_cells(cells):
                click.echo(line)
        else:
            show_files(run(study, cells, _executor(self.scheduler)))


def study_options(default: Path) -> Callable[[Any], Any]:
    """Add the options that every study has; the command gets them as ``run``, a :class:`StudyRun`.

    Args:
        default: folder of the study if none is named.
    """
    options = [
        click.option(
            "--outdir",
            type=click.Path(path_type=Path, file_okay=False),
            default=default,
            help=f"Folder of the study; the same command resumes it, more cells extend it. [default: {default}]",
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
        click.option("-n", "--dry-run", is_flag=True, help="List the cells and their states. [default: off]"),
        click.option(
            "--report", "report_only", is_flag=True, help="Only write the report of the finished cells. [default: off]"
        ),
    ]

    def decorate(command: Any) -> Any:
        @functools.wraps(command)
        def checked(
            outdir: Path, executor_name: str, scheduler: str | None, dry_run: bool, report_only: bool, **rest: Any
        ) -> Any:
            if report_only:
                _refuse_others(click.get_current_context())
            elif (executor_name == "dask") != (scheduler is not None):
                raise UsageError("--executor dask and --scheduler ADDRESS go together: give both or neither")
            return command(run=StudyRun(outdir, report_only, dry_run, scheduler), **rest)

        for option in reversed(options):
            checked = option(checked)
        return checked

    return decorate


def validate(settings: type[SettingsT], values: dict[str, Any]) -> SettingsT:
    """Return settings made of options.

    Raises:
        UsageError: naming the option that is wrong.
    """
    try:
        return settings.model_validate(values)
    except ValidationError as error:
        raise UsageError(describe_problem(error, options=True)) from None


def command_line() -> str:
    """Return this process's command line, for the report."""
    return shlex.join(["python", "-m", "qgan_qiskit.cli", *sys.argv[1:]])


def show_files(files: Sequence[Path]) -> None:
    """Print what was written, a line each."""
    for path in files:
        click.echo(str(path))


def _executor(scheduler: str | None) -> Executor:
    from qgan_qiskit.study.executors import DaskExecutor, InProcess

    return InProcess() if scheduler is None else DaskExecutor(scheduler)


def _refuse_others(ctx: click.Context) -> None:
    """Refuse options that --report would silently ignore."""
    others = [
        parameter.opts[-1]
        for parameter in ctx.command.params
        if parameter.name not in ("report_only", "outdir")
        and ctx.get_parameter_source(str(parameter.name)) is ParameterSource.COMMANDLINE
    ]
    if others:
        raise UsageError(f"--report only writes the report of the finished cells: leave {', '.join(others)} out")
