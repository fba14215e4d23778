"""``study compare``: models x classes x seeds at an equal budget, resumable, with a report."""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from qgan_qiskit.config.studies import CompareConfig
from qgan_qiskit.errors import QganError, UsageError
from qgan_qiskit.study.cells import worker_on
from qgan_qiskit.study.compare import folder as study_folder
from qgan_qiskit.study.compare.entries import Entry
from qgan_qiskit.study.compare.folder import Study
from qgan_qiskit.study.compare.plan import Cell, absolute, classes_of, plan
from qgan_qiskit.study.compare.report import write_report
from qgan_qiskit.study.executors import Executor, run_all
from qgan_qiskit.study.matplotlib_check import check_matplotlib
from qgan_qiskit.study.shared_file import known, some_finished
from qgan_qiskit.training.signals import Interrupted, interruptible

logger = logging.getLogger(__name__)


def prepare(
    settings: CompareConfig,
    entries: Sequence[Entry],
    classes: Sequence[str] | None,
    seeds: Sequence[int],
    outdir: Path,
    command: str,
) -> tuple[Study, list[Cell]]:
    """Return a study and the cells asked for; images are read, what cannot work is refused, nothing is written.

    Args:
        settings: what all cells share.
        entries: models.
        classes: class names in any case; None for all classes of the data.
        seeds: seeds of the runs.
        outdir: folder of the study, new or with a study of the same settings.
        command: the command line, for the report.

    Raises:
        QganError: with one line that names the culprit and the remedy.
    """
    _check_weights(settings)
    settings = absolute(settings)
    wanted = study_folder.begin(outdir, settings)
    present = study_folder.read(outdir)
    if present is not None:
        study_folder.check_same(present, wanted)
        # The present identity, with the places that were named now: data and weights may have moved.
        joined = present.joined_by(wanted)
        wanted = replace(
            joined, settings=settings.model_copy(update={"model_settings": joined.settings.model_settings})
        )
    names = classes_of(settings, classes)
    study = wanted.grown([str(entry) for entry in entries], names, seeds, [command])
    return study, plan(study, entries, names, seeds)


def states(cells: Sequence[Cell]) -> list[tuple[Cell, str]]:
    """Return each cell with ``finished``, ``in work by …``, ``begun`` or ``to do``; changes nothing."""
    found = []
    for cell in cells:
        worker = worker_on(cell.folder)
        if cell.result() is not None:
            state = "finished"
        elif worker is not None:
            state = f"in work by {worker}"
        else:
            state = "begun" if cell.folder.is_dir() else "to do"
        found.append((cell, state))
    return found


def compare(study: Study, cells: Sequence[Cell], executor: Executor) -> list[Path]:
    """Do what is left of the cells, write the report over all finished cells of the folder, and return its files.

    Args:
        study: from :func:`prepare`, with its cells.
        cells: what to do.
        executor: where to do it.

    Raises:
        Interrupted: a signal came; what is done is kept.
        QganError: cells could not be done; the others are, and are in the report.
    """
    check_matplotlib()
    finished: dict[str, object] = {}
    try:
        with interruptible():
            return _compare(study, cells, executor, finished)
    except Interrupted as stop:
        stopped = str(stop).partition("; go on")[0]
        message = f"{stopped}; {len(finished)} of {len(cells)} cells are finished; the same command goes on"
        raise Interrupted(message, stop.exit_code - 128) from None


def report(outdir: Path) -> list[Path]:
    """Write the report from the finished cells alone.

    Raises:
        CheckpointError: there is no study, or no finished cell.
    """
    study = known(outdir, study_folder.read(outdir))
    return write_report(study, some_finished(outdir, study.rows()))


def _compare(study: Study, cells: Sequence[Cell], executor: Executor, finished: dict[str, object]) -> list[Path]:
    # Here, as importing torch takes longer than to refuse an option or to list the cells.
    from qgan_qiskit.study.compare.work import check_training, evaluator_of, work_on

    rows = {cell.name: row for cell in cells if (row := cell.result()) is not None}
    finished.update(rows)
    # What cannot be trained or measured is refused before anything is trained.
    to_do = [cell for cell in cells if cell.name not in rows]
    # Seeds change nothing that could be refused.
    for cell in {(str(cell.entry), cell.class_name): cell for cell in to_do}.values():
        check_training(cell)
    # The class that comes first is looked at last, so that its evaluator is the one that is kept.
    first_cells = {cell.class_name: cell for cell in reversed(to_do)}
    for note in dict.fromkeys(note for cell in first_cells.values() for note in evaluator_of(cell).notes):
        logger.warning(f"{note}")
    study = study_folder.join(study)
    # Whoever began the study at the same moment gave it its identity.
    left = [replace(cell, identity=study.identity) for cell in cells if cell.name not in rows]
    logger.info(f"{study.folder}: {len(cells)} cells, {len(rows)} finished before")
    failed: list[tuple[Cell, QganError]] = []
    for cell, outcome in run_all(executor, functools.partial(work_on), left):
        if isinstance(outcome, QganError):
            failed.append((cell, outcome))
            logger.info(f"failed: {cell}: {outcome}")
            continue
        rows[cell.name] = finished[cell.name] = outcome
        logger.info(f"{len(rows)} of {len(cells)}: {cell}: {_result(outcome)}")
    files = []
    # What workers returned wins over what this machine may not see yet.
    known = study.rows() | rows
    if known:
        files = write_report(study, {name: known[name] for name in [*study.rows(), *rows]})
    if failed:
        raise _failure(failed, len(cells))
    return files


def _result(row: dict[str, object]) -> str:
    figures = row["figures"]
    assert isinstance(figures, list)
    if row["diverged"] is not None:
        return f"diverged ({row['diverged']})"
    return ", ".join(f"{figure['name']} {figure['value']:.4g}" for figure in figures)


def _failure(failed: list[tuple[Cell, QganError]], number: int) -> QganError:
    """Return one error for all cells that failed, with the exit status of the first."""
    names = "; ".join(str(cell) for cell, _ in failed)
    first = failed[0][1]
    error = QganError(
        f"{len(failed)} of {number} cells failed ({names}); the first: {first}; the same command tries again"
    )
    error.exit_code = first.exit_code
    return error


def _check_weights(settings: CompareConfig) -> None:
    """Refuse figures that need a network without its weights, in the words of the options."""
    evaluation = settings.evaluation
    if not evaluation.names():
        raise UsageError("--metrics none leaves nothing to compare: name a metric")
    needing = [name for name in evaluation.names() if name not in ("ssim", "ms-ssim")]
    if needing and evaluation.fid_weights is None:
        raise UsageError(
            f"--metrics {','.join(needing)} needs --fid-weights, a file of Inception weights; --metrics ssim needs none"
        )
