"""``study noise``: prepare, run the conditions, report."""

from __future__ import annotations

import functools
import hashlib
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from qgan_qiskit.config.base import first_problem
from qgan_qiskit.config.studies import NoiseChoice, NoiseConfig
from qgan_qiskit.data import absolute_source
from qgan_qiskit.errors import UsageError
from qgan_qiskit.hardware.backends import load_fake_backend
from qgan_qiskit.hardware.generator_circuits import require_circuits
from qgan_qiskit.hardware.packing import find_layouts
from qgan_qiskit.runs import checkpoint
from qgan_qiskit.runs.load import find_run, load_generator
from qgan_qiskit.runs.run_folder import RunFolder
from qgan_qiskit.study.cell_runs import carry_out
from qgan_qiskit.study.cells import Row
from qgan_qiskit.study.executors import Executor
from qgan_qiskit.study.matplotlib_check import check_matplotlib
from qgan_qiskit.study.noise import plan
from qgan_qiskit.study.noise.plan import Cell, Study
from qgan_qiskit.study.noise.report import write_report
from qgan_qiskit.study.noise.work import evaluator_of, work_on
from qgan_qiskit.study.shared_file import known, some_finished

logger = logging.getLogger(__name__)


def prepare(
    source: Path,
    settings: NoiseConfig,
    choice: NoiseChoice,
    changes: dict[str, Any],
    outdir: Path,
    command: str,
) -> tuple[Study, list[Cell]]:
    """Return a study and its conditions; what cannot work is refused, nothing is written.

    Args:
        source: run, of which the newest whole checkpoint counts, or checkpoint.
        settings: what all conditions share.
        choice: shots, devices and levels.
        changes: settings of the real images that differ from the run's own.
        outdir: folder of the study, new or with a study of the same generator and settings.
        command: the command line, for the report.

    Raises:
        QganError: with one line that names the culprit and the remedy.
    """
    folder = RunFolder.open(find_run(source))
    if find_run(source) == source:
        found, _, values, _ = checkpoint.load_newest(folder.checkpoints)
    else:
        found, (_, values) = source, checkpoint.load(source)
    generator, config = load_generator(found)
    _, circuits = require_circuits(generator)
    for name in choice.device_names():
        find_layouts(circuits.ansatz, load_fake_backend(name).target, 1)
    try:
        data = config.updated({"data": changes}).data
    except ValidationError as error:
        raise UsageError(first_problem(error).message) from None
    if data.path is not None:
        data = data.model_copy(update={"path": absolute_source(data.path)})
    settings = settings.model_copy(update={"evaluation": settings.evaluation.with_absolute_weights()})
    digest = hashlib.sha256((found / "ema.safetensors").read_bytes()).hexdigest()
    wanted = plan.begin(outdir, found, int(values["step"]), digest, data, settings, command)
    present = plan.read(outdir)
    if present is not None:
        plan.check_same(present, wanted)
    return wanted, plan.cells(wanted, choice)


def noise(study: Study, cells: Sequence[Cell], executor: Executor) -> list[Path]:
    """Do what is left of the conditions, write the report over all finished ones, and return its files.

    Raises:
        Interrupted: a signal came; finished conditions are kept.
        QganError: a condition could not be done; the others are.
    """
    check_matplotlib()
    for note in evaluator_of(study).notes:
        logger.warning(f"{note}")
    if lacking := study.settings.evaluation.lacking_weights():
        logger.warning(
            f"left out {', '.join(lacking)}: there are no --fid-weights; images are still compared with the exact ones"
        )
    study = plan.join(study)
    logger.info(f"study: {study.folder}")
    mine = [replace(cell, study=study) for cell in cells]
    work = functools.partial(work_on)
    return carry_out(mine, work, executor, _said, lambda: write_report(study, study.rows()))


def report(outdir: Path) -> list[Path]:
    """Write the report from the finished conditions alone.

    Raises:
        CheckpointError: there is no study, or no finished condition.
    """
    check_matplotlib()
    study = known(outdir, plan.read(outdir))
    return write_report(study, some_finished(outdir, study.rows(), "condition"))


def _said(row: Row) -> str:
    parts = [f"{figure['name']} {figure['value']:.4g}" for figure in row["figures"]]
    if "features" in row:
        parts.append(
            f"error of expectations {row['features']['rmse']:.4f}, of images {row['images']['rmse']:.2f} of 255"
        )
    return ", ".join([*parts, f"{row['seconds']:.0f} s"])
