"""The engine of every study: runs cells of work exactly once, across interruptions, processes and machines.

A cell has a folder of its own. Its result is written atomically when its work is done: a finished cell is read and never run
again, a killed one starts over (training runs inside it resume from their checkpoint). A file lock, which the operating system
releases when its process dies, keeps two processes off the same cell.
"""

from __future__ import annotations

import functools
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

from qgan_qiskit.errors import CheckpointError, QganError, StorageError
from qgan_qiskit.storage import FileLock, HeldError, holder_of
from qgan_qiskit.study.executors import Executor, Outcome
from qgan_qiskit.study.report import check_matplotlib
from qgan_qiskit.study.study_file import Row, Study, read_result, write_result
from qgan_qiskit.training.signals import Interrupted, interruptible

_LOCK = ".lock"
logger = logging.getLogger(__name__)
StudyT = TypeVar("StudyT", bound=Study)


class CellLocked(QganError):  # noqa: N818 - a state, not a mistake
    """Another process is working on the cell."""


@dataclass(frozen=True)
class Cell(ABC):
    """One unit of work, pickled for workers on other machines.

    Attributes:
        study: folder of the study, absolute.
        identity: of the study; a worker uses it to check that it sees the same folder.
    """

    study: Path
    identity: str

    @property
    @abstractmethod
    def name(self) -> str:
        """Name of the cell's folder."""

    @property
    def folder(self) -> Path:
        """Where the cell keeps its result."""
        return self.study / "cells" / self.name

    @property
    def detail(self) -> str:
        """What a dry run says about the cell."""
        return ""

    def __str__(self) -> str:
        return self.name

    def check(self, row: Row) -> None:  # noqa: B027 - not every cell has something to check
        """Refuse a stored result that does not belong to this cell.

        Raises:
            CheckpointError: naming what differs.
        """

    def result(self) -> Row | None:
        """Return the stored result, None if the cell is not finished.

        Raises:
            CheckpointError: it is damaged, or not of this cell.
        """
        row = read_result(self.folder)
        if row is not None:
            self.check(row)
        return row

    def open_study(self, kind: type[StudyT]) -> StudyT:
        """Return the study of this cell as a worker sees it.

        Raises:
            StorageError: this machine does not see the study's folder.
        """
        study = kind.read(self.study)
        if study is None or study.identity != self.identity:
            raise StorageError(
                f"{self.study}: this machine does not see the study; mount its folder, the images and the weights under the "
                "same paths on all machines"
            )
        return study


CellT = TypeVar("CellT", bound=Cell)
AnyCell = TypeVar("AnyCell")
AnyCellIn = TypeVar("AnyCellIn", contravariant=True)
Failures = list[tuple[Any, QganError]]


class Work(Protocol[AnyCellIn]):
    """The work of a cell. Must be importable by name, and safe to repeat."""

    def __call__(self, cell: AnyCellIn, /, *, wait: bool) -> Row:
        """Return the cell's result.

        Raises:
            CellLocked: another process is working on the cell and ``wait`` is off.
        """


def run_once(folder: Path, work: Callable[[Path], Row], wait: bool = True) -> Row:
    """Return a cell's result, doing its work only if no process has done it yet.

    Args:
        folder: the cell's own folder, created if missing; the same for all processes on all machines.
        work: works in the folder and returns a result that can be stored as JSON.
        wait: whether to wait while another process works on the cell.

    Raises:
        CellLocked: another process is working on the cell and ``wait`` is off.
        StorageError: the folder cannot be written.
        QganError: raised by ``work``; no result is stored then.
    """
    lock = FileLock(folder / _LOCK, wait=wait)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except HeldError as error:
        # The other process may have finished since.
        row = read_result(folder)
        if row is None:
            raise CellLocked(f"{folder}: {error} is working on it; wait for it or stop it") from None
        return row
    except OSError as error:
        raise StorageError(
            f"{folder}: cannot be written ({error.strerror or error}); choose another --outdir"
        ) from None
    try:
        row = read_result(folder)
        if row is None:
            row = work(folder)
            write_result(folder, row)
        return row
    finally:
        lock.release()


def worker_of(folder: Path) -> str | None:
    """Return the process that is working on a cell, None if there is none."""
    return holder_of(folder / _LOCK)


def list_cells(cells: Sequence[Cell]) -> list[str]:
    """Return a line per cell: ``finished``, ``in work by …``, ``begun`` or ``to do``, name and detail."""
    lines = []
    for cell in cells:
        worker = worker_of(cell.folder)
        if cell.result() is not None:
            state = "finished"
        elif worker is not None:
            state = f"in work by {worker}"
        else:
            state = "begun" if cell.folder.is_dir() else "to do"
        lines.append(f"{state:10} {cell}" + (f": {cell.detail}" if cell.detail else ""))
    return lines


def run_study(
    study: StudyT,
    cells: Sequence[CellT],
    work: Work[CellT],
    executor: Executor,
    describe: Callable[[Row], str],
    write_report: Callable[[StudyT, dict[str, Row]], list[Path]],
    check: Callable[[list[CellT]], None] | None = None,
) -> list[Path]:
    """Join the study in its folder, run unfinished cells, write the report on all finished ones, and return its files.

    Args:
        study: what the cells share.
        cells: all cells asked for.
        work: does one.
        executor: where they run.
        describe: a result in a few words, for the log.
        write_report: writes the report from the finished cells by name.
        check: refuses unfinished cells that cannot work, before anything is written.

    Raises:
        Interrupted: a signal arrived; finished cells are kept.
        QganError: cells failed; the others are finished and in the report.
    """
    check_matplotlib()
    with resumable(cells):
        if check is not None:
            check([cell for cell in cells if cell.result() is None])
        study = study.join()
        logger.info(f"study: {study.folder}")
        # A process that started at the same moment may have given the study its identity.
        rows, failures = run_cells([replace(cell, identity=study.identity) for cell in cells], work, executor, describe)
        finished = study.rows(rows)
        files = write_report(study, finished) if finished else []
        raise_failures(failures, len(cells))
    return files


def rewrite_report(
    kind: type[StudyT], folder: Path, write_report: Callable[[StudyT, dict[str, Row]], list[Path]]
) -> list[Path]:
    """Write the report on the finished cells of a folder, run nothing, and return its files.

    Raises:
        CheckpointError: there is no study or no finished cell.
    """
    check_matplotlib()
    study = kind.read(folder)
    if study is None:
        raise CheckpointError(f"{folder}: no study here (there is no study.json); choose another --outdir")
    rows = study.rows()
    if not rows:
        raise CheckpointError(f"{folder}: no cell is finished yet; run the study first")
    return write_report(study, rows)


@contextmanager
def resumable(cells: Sequence[Cell]) -> Iterator[None]:
    """Turn SIGINT and SIGTERM into one line that says how much is finished.

    Raises:
        Interrupted: a signal arrived.
    """
    try:
        with interruptible():
            yield
    except Interrupted as stop:
        finished = sum(read_result(cell.folder) is not None for cell in cells)
        # A training run's own advice would resume that run alone.
        message = f"{str(stop).partition('; ')[0]}; {finished} of {len(cells)} cells are finished"
        raise Interrupted(f"{message}; repeat the command to resume", stop.exit_code - 128) from None


def run_cells(
    cells: Sequence[CellT], work: Work[CellT], executor: Executor, describe: Callable[[Row], str]
) -> tuple[dict[str, Row], Failures]:
    """Run unfinished cells; return the results of all finished ones by name, and the failures."""
    rows = {cell.name: row for cell in cells if (row := cell.result()) is not None}
    logger.info(f"{len(cells)} cells, {len(rows)} finished before")
    failures: Failures = []
    for cell, outcome in run_all(executor, work, [cell for cell in cells if cell.name not in rows]):
        if isinstance(outcome, QganError):
            failures.append((cell, outcome))
            logger.info(f"failed: {cell}: {outcome}")
        else:
            rows[cell.name] = outcome
            logger.info(f"{len(rows)} of {len(cells)}: {cell}: {describe(outcome)}")
    return rows, failures


def run_all(executor: Executor, work: Work[AnyCell], cells: Sequence[AnyCell]) -> Iterator[tuple[AnyCell, Outcome]]:
    """Yield each cell with its result or error, leaving cells that another process is working on for the end.

    This lets several processes with the same cells share them instead of waiting for each other.
    """
    locked = []
    for cell, outcome in executor.run(functools.partial(work, wait=False), cells):
        if isinstance(outcome, CellLocked):
            locked.append(cell)
        else:
            yield cell, outcome
    if locked:
        yield from executor.run(functools.partial(work, wait=True), locked)


def raise_failures(failures: Failures, total: int) -> None:
    """Raise one error for all failed cells, with the exit status of the first; do nothing if there are none."""
    if failures:
        first = failures[0][1]
        error = QganError(
            f"{len(failures)} of {total} cells failed ({'; '.join(str(cell) for cell, _ in failures)}); the first: {first}; "
            "repeat the command to try again"
        )
        error.exit_code = first.exit_code
        raise error
