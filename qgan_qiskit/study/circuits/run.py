"""``study circuits``: prepare, measure the circuits, report."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from qgan_qiskit.circuits import ParameterNames
from qgan_qiskit.config.studies import CircuitsChoice, CircuitsConfig
from qgan_qiskit.study import study_file
from qgan_qiskit.study.cell_runs import carry_out
from qgan_qiskit.study.cells import Row
from qgan_qiskit.study.circuits.plan import KIND, Cell, cells_of_family, cells_of_files
from qgan_qiskit.study.circuits.report import write_report
from qgan_qiskit.study.circuits.work import work_on
from qgan_qiskit.study.executors import Executor
from qgan_qiskit.study.matplotlib_check import check_matplotlib
from qgan_qiskit.study.shared_file import known, some_finished
from qgan_qiskit.study.study_file import StudyFile

logger = logging.getLogger(__name__)


Study = StudyFile[CircuitsConfig]


def prepare(
    files: Sequence[Path],
    choice: CircuitsChoice,
    settings: CircuitsConfig,
    outdir: Path,
    command: str,
    names: ParameterNames | None = None,
) -> tuple[Study, list[Cell]]:
    """Return a study and its circuits; what cannot work is refused, nothing is written.

    Args:
        files: OpenQASM 3 files; none: the built-in family.
        choice: sizes and gates of the built-in family.
        settings: what all cells share.
        outdir: folder of the study, new or with a study of the same settings.
        command: the command line, for the report.
        names: what the inputs and weights of files are called.

    Raises:
        QganError: with one line that names the culprit and the remedy.
    """
    root = outdir.absolute()
    cells = cells_of_files(root, files, settings, names) if files else cells_of_family(root, choice, settings)
    return study_file.begin(KIND, root, settings, [cell.name for cell in cells], command), cells


def circuits(study: Study, cells: Sequence[Cell], executor: Executor) -> list[Path]:
    """Do what is left of the circuits, write the report over all finished ones, and return its files.

    Raises:
        Interrupted: a signal came; finished circuits are kept.
        QganError: a circuit could not be measured; the others are.
    """
    check_matplotlib()
    joined = study_file.join(study)
    logger.info(f"study: {joined.folder}")
    return carry_out(cells, work_on, executor, _said, lambda: write_report(joined, joined.rows()))


def report(outdir: Path) -> list[Path]:
    """Write the report from the finished circuits alone.

    Raises:
        CheckpointError: there is no study, or no finished circuit.
    """
    check_matplotlib()
    study = known(outdir, study_file.read(KIND, outdir, CircuitsConfig))
    return write_report(study, some_finished(outdir, study.rows(), "circuit"))


def _said(row: Row) -> str:
    expressible = row["expressibility"]["equal_width"]["mean"]
    return f"expressibility {expressible:.4g}, entangling {row['entangling']['mean']:.3f}, {row['seconds']:.0f} s"
