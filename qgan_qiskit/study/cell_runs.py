"""Doing what is left of a study's cells: messages, the report at the end, and what happens when one fails."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from qgan_qiskit.errors import QganError, StorageError
from qgan_qiskit.study.cells import Row, atomic_write, result_of, worker_on
from qgan_qiskit.study.executors import Executor, Work, run_all
from qgan_qiskit.training.signals import Interrupted, interruptible

logger = logging.getLogger(__name__)


class CellToDo(Protocol):
    """A cell of any study; its text is its name."""

    @property
    def folder(self) -> Path:
        """Where its result is kept."""


CellT = TypeVar("CellT", bound=CellToDo)


def states(cells: Sequence[CellToDo]) -> list[str]:
    """Return a line per cell: finished, in work, begun or to do; changes nothing."""
    lines = []
    for cell in cells:
        worker = worker_on(cell.folder)
        if result_of(cell.folder) is not None:
            state = "finished"
        elif worker is not None:
            state = f"in work by {worker}"
        else:
            state = "begun" if cell.folder.is_dir() else "to do"
        lines.append(f"{state:10} {cell}")
    return lines


def carry_out(
    cells: Sequence[CellT],
    work: Work[CellT],
    executor: Executor,
    said: Callable[[Row], str],
    report: Callable[[], list[Path]],
) -> list[Path]:
    """Do what is left of the cells, write the report over all finished ones, and return its files.

    Args:
        cells: all that were asked for.
        work: does one.
        executor: where.
        said: a cell's result in a few words.
        report: writes the report of what is finished.

    Raises:
        Interrupted: a signal came; finished cells are kept.
        QganError: a cell could not be done; the others are.
    """
    try:
        with interruptible():
            return _carry_out(cells, work, executor, said, report)
    except Interrupted as stop:
        raise Interrupted(f"{stop}; finished cells are kept; the same command goes on", stop.exit_code - 128) from None


def _carry_out(
    cells: Sequence[CellT],
    work: Work[CellT],
    executor: Executor,
    said: Callable[[Row], str],
    report: Callable[[], list[Path]],
) -> list[Path]:
    left = [cell for cell in cells if result_of(cell.folder) is None]
    done = len(cells) - len(left)
    logger.info(f"{len(cells)} cells, {done} finished before")
    failed: list[tuple[CellT, QganError]] = []
    for number, (cell, outcome) in enumerate(run_all(executor, work, left), done + 1):
        if isinstance(outcome, QganError):
            failed.append((cell, outcome))
            logger.info(f"failed: {cell}: {outcome}")
        else:
            logger.info(f"{number} of {len(cells)}: {cell}: {said(outcome)}")
    files = report() if len(failed) < len(cells) else []
    if failed:
        first = failed[0][1]
        error = QganError(
            f"{len(failed)} cells failed ({'; '.join(str(cell) for cell, _ in failed)}); the first: {first}; the same "
            "command tries again"
        )
        error.exit_code = first.exit_code
        raise error
    return files


def write_files(folder: Path, files: dict[str, bytes]) -> list[Path]:
    """Write the files of a report and return their paths.

    Raises:
        StorageError: the disk refused.
    """
    for name, content in files.items():
        try:
            atomic_write(folder / name, content)
        except OSError as error:
            raise StorageError(
                f"{folder / name}: not written ({error.strerror or error}); free space and repeat the command with --report"
            ) from None
    return [folder / name for name in files]
