"""``study augment``: prepare, generate, train, choose alpha, train on top of traditional augmentation, report."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from qgan_qiskit.config import DataConfig
from qgan_qiskit.config.studies import AugmentConfig
from qgan_qiskit.device import check_device
from qgan_qiskit.errors import QganError, StorageError, UsageError
from qgan_qiskit.study.augment import spec
from qgan_qiskit.study.augment.backbones import build_classifier
from qgan_qiskit.study.augment.cell import make_images, train_cell
from qgan_qiskit.study.augment.conditions import Condition
from qgan_qiskit.study.augment.draw import lesions_of
from qgan_qiskit.study.augment.parts import PARTS, classes_of, read_part, shared_pixels
from qgan_qiskit.study.augment.plan import Cell, Plan, conditions
from qgan_qiskit.study.augment.report import chosen, finished_cells, write_report
from qgan_qiskit.study.augment.sources import open_sources, parse_generators
from qgan_qiskit.study.augment.spec import PARTS_FILE, Study
from qgan_qiskit.study.augment.summary import CHOSEN_BY
from qgan_qiskit.study.cells import Row, atomic_write, result_of, worker_on
from qgan_qiskit.study.executors import Executor, run_all
from qgan_qiskit.study.matplotlib_check import check_matplotlib
from qgan_qiskit.study.shared_file import known
from qgan_qiskit.training.signals import Interrupted, interruptible

logger = logging.getLogger(__name__)


def prepare(
    data: DataConfig, settings: AugmentConfig, classes: str | None, generators: Sequence[str], outdir: Path
) -> Plan:
    """Return a study with its cells; images and weights are read, what cannot work is refused, nothing is written.

    Args:
        data: source and division of the real images.
        settings: of the classifier, alphas and seeds.
        classes: a list such as ``MEL,NV,BCC``; None for all.
        generators: texts such as ``hybridq=RUN,RUN,RUN``.
        outdir: folder of the study, new or with a study that shares the same.

    Raises:
        QganError: with one line that names the culprit and the remedy.
    """
    check_device(settings.device)
    names = classes_of(data, classes)
    build_classifier(settings, len(names), 0)
    sources = {name: open_sources(name, runs, data, names) for name, runs in parse_generators(generators).items()}
    present = spec.read(outdir)
    if not sources and (present is None or not present.generators):
        raise UsageError("nothing to study: name a generator with --generator NAME=RUN,RUN,…")
    return Plan(spec.merged(present, spec.begin(outdir, data, names, settings, sources)))


def states(plan: Plan) -> list[str]:
    """Return a line per cell: finished, in work, begun or to do; changes nothing."""
    lines = []
    for cell in plan.cells(conditions(plan.study)):
        worker = worker_on(cell.folder)
        if result_of(cell.folder) is not None:
            state = "finished"
        elif worker is not None:
            state = f"in work by {worker}"
        else:
            state = "begun" if cell.folder.is_dir() else "to do"
        real, made = sum(plan.real[cell.seed]), sum(cell.counts)
        lines.append(f"{state:10} {cell}: {real:,} real images, {made:,} generated")
    return lines


def augment(plan: Plan, executor: Executor) -> list[Path]:
    """Do what is left of a study and write its report; return the report's files.

    Args:
        plan: from :func:`prepare`.
        executor: where the cells run.

    Raises:
        Interrupted: a signal came; what is done is kept.
        QganError: cells could not be done; the others are, and are in the report.
    """
    check_matplotlib()
    try:
        with interruptible():
            return _augment(plan, executor)
    except Interrupted as stop:
        raise Interrupted(f"{stop}; finished cells are kept; the same command goes on", stop.exit_code - 128) from None


def report(outdir: Path) -> list[Path]:
    """Write the report from the finished cells alone.

    Raises:
        CheckpointError: there is no study, or no finished cell.
    """
    check_matplotlib()
    return write_report(known(outdir, spec.read(outdir)))


def _augment(plan: Plan, executor: Executor) -> list[Path]:
    # Whoever began the study at the same moment gave it its identity, and may have brought more of it.
    study = spec.join(plan.study)
    plan = Plan(study)
    _write_parts(study)
    failed = _run(executor, make_images, list(plan.images.values()), _said_images)
    if failed:
        raise _failure(failed)
    failed = _run(executor, train_cell, plan.cells(conditions(study)), _said_scores)
    best = chosen(study, finished_cells(study))
    for name, alpha in best.items():
        logger.info(f"{name}: alpha {alpha:g} is chosen on the validation part")
    on_top = [Condition("traditional+generated", name, alpha) for name, alpha in best.items()]
    failed += _run(executor, train_cell, plan.cells(on_top), _said_scores)
    files = write_report(study)
    if failed:
        raise _failure(failed)
    return files


def _run(
    executor: Executor, work: Any, cells: Sequence[Any], said: Callable[[Row], str]
) -> list[tuple[Any, QganError]]:
    """Do what is left of some cells; return those that failed."""
    left = [cell for cell in cells if result_of(cell.folder) is None]
    failed: list[tuple[Any, QganError]] = []
    for number, (cell, outcome) in enumerate(run_all(executor, work, left), len(cells) - len(left) + 1):
        if isinstance(outcome, QganError):
            failed.append((cell, outcome))
            logger.info(f"failed: {cell}: {outcome}")
        else:
            logger.info(f"{number} of {len(cells)}: {cell}: {said(outcome)}")
    return failed


def _said_images(row: Row) -> str:
    return f"from step {row['step']}"


def _said_scores(row: Row) -> str:
    return f"validation {CHOSEN_BY.replace('_', ' ')} {row['validation'][CHOSEN_BY]:.4f}, {row['seconds']:.0f} s"


def _failure(failed: Sequence[tuple[Cell, QganError]]) -> QganError:
    """Return one error for all cells that failed, with the exit status of the first."""
    first = failed[0][1]
    error = QganError(
        f"{len(failed)} cells failed ({'; '.join(str(cell) for cell, _ in failed)}); the first: {first}; the same command "
        "tries again"
    )
    error.exit_code = first.exit_code
    return error


def _write_parts(study: Study) -> None:
    """Keep class and lesion of the images that cells are scored on: the report needs nothing else of them."""
    images = {part: read_part(study.data, part, study.classes) for part in PARTS}
    content: dict[str, Any] = {}
    for part, found in images.items():
        lesions = lesions_of(found)
        content[part] = {"counts": found.counts(), "number_of_lesions": len(set(lesions)), "notes": found.notes}
        if part != "train":
            content[part] |= {
                "pixels_in_train": shared_pixels(images["train"], found),
                "labels": found.labels_N.tolist(),
                "lesions": lesions,
            }
    path = study.folder / PARTS_FILE
    try:
        atomic_write(path, (json.dumps(content) + "\n").encode())
    except OSError as error:
        raise StorageError(f"{path}: not written ({error.strerror}); free space and repeat the command") from None
