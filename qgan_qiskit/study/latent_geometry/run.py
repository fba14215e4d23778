"""``study geometry``: prepare, look at the runs, report."""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence
from pathlib import Path

from qgan_qiskit.config.studies import GeometryConfig
from qgan_qiskit.study import study_file
from qgan_qiskit.study.cell_runs import carry_out
from qgan_qiskit.study.cells import Row
from qgan_qiskit.study.executors import Executor
from qgan_qiskit.study.latent_geometry import plan
from qgan_qiskit.study.latent_geometry.plan import KIND, Cell
from qgan_qiskit.study.latent_geometry.report import write_report
from qgan_qiskit.study.latent_geometry.work import check_network, work_on
from qgan_qiskit.study.matplotlib_check import check_matplotlib
from qgan_qiskit.study.shared_file import known, some_finished
from qgan_qiskit.study.study_file import StudyFile

logger = logging.getLogger(__name__)


Study = StudyFile[GeometryConfig]


def prepare(sources: Sequence[Path], settings: GeometryConfig, outdir: Path, command: str) -> tuple[Study, list[Cell]]:
    """Return a study and its runs; what cannot work is refused, nothing is written.

    Args:
        sources: runs, of which the newest whole checkpoint counts, or checkpoints; at least one.
        settings: what is measured.
        outdir: folder of the study, new or with a study of the same settings.
        command: the command line, for the report.

    Raises:
        QganError: with one line that names the culprit and the remedy.
    """
    check_network(settings)
    settings = settings.model_copy(update={"evaluation": settings.evaluation.with_absolute_weights()})
    root = outdir.absolute()
    cells = plan.cells(root, sources, settings)
    return study_file.begin(KIND, root, settings, [cell.name for cell in cells], command), cells


def geometry(study: Study, cells: Sequence[Cell], executor: Executor) -> list[Path]:
    """Do what is left of the runs, write the report over all finished ones, and return its files.

    Raises:
        Interrupted: a signal came; finished runs are kept.
        QganError: a run could not be looked at; the others are.
    """
    check_matplotlib()
    joined = study_file.join(study)
    logger.info(f"study: {joined.folder}")
    work = functools.partial(work_on)
    return carry_out(cells, work, executor, _said, lambda: write_report(joined, joined.rows()))


def report(outdir: Path) -> list[Path]:
    """Write the report from the finished runs alone.

    Raises:
        CheckpointError: there is no study, or no finished run.
    """
    check_matplotlib()
    study = known(outdir, study_file.read(KIND, outdir, GeometryConfig))
    return write_report(study, some_finished(outdir, study.rows(), "run"))


def _said(row: Row) -> str:
    image = row["jacobian"]["image"]
    return (
        f"effective rank of the image's Jacobian {image['effective_rank']['per_latent']['mean']:.1f} of {row['latent_size']}, "
        f"{sum(row['seconds'].values()):.0f} s"
    )
