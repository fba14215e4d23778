"""The runs of a geometry study.

Files of the study's folder: ``study.json`` says what the cells share, and refuses others; ``cells/<run>-<digest>/`` with
``cell.json``, ``arrays.npz`` and ``interpolation.png``; and the report (``report.py``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from qgan_qiskit.config.studies import GeometryConfig
from qgan_qiskit.errors import UsageError
from qgan_qiskit.runs import checkpoint
from qgan_qiskit.runs.load import find_run
from qgan_qiskit.runs.run_folder import RunFolder

KIND = "geometry"


@dataclass(frozen=True)
class Cell:
    """One trained generator.

    Attributes:
        root: folder of the study, absolute.
        source: run or checkpoint, as named by the user; absolute.
        checkpoint: the checkpoint that is looked at.
        step: of it.
        digest: of the averaged generator in it.
        settings: what all cells share.
    """

    root: Path
    source: Path
    checkpoint: Path
    step: int
    digest: str
    settings: GeometryConfig

    def __str__(self) -> str:
        """Return the name."""
        return self.name

    @property
    def name(self) -> str:
        """The run's name and the first digits of the digest: a run that was trained further is another generator."""
        folder = find_run(self.source)
        # A cell of another study holds its run in a folder of that name.
        return f"{folder.parent.name if folder.name == 'run' else folder.name}-{self.digest[:8]}"

    @property
    def folder(self) -> Path:
        """Where its result is kept."""
        return self.root / "cells" / self.name


def cells(root: Path, sources: Sequence[Path], settings: GeometryConfig) -> list[Cell]:
    """Return a cell for each run.

    Args:
        root: folder of the study, absolute.
        sources: runs, of which the newest whole checkpoint counts, or checkpoints.
        settings: what all cells share.

    Raises:
        UsageError: a generator is named twice.
        CheckpointError: a folder is no run, or has no whole checkpoint.
    """
    found = []
    for source in sources:
        folder = RunFolder.open(find_run(source))
        if find_run(source) == source:
            path, _, values, _ = checkpoint.load_newest(folder.checkpoints)
        else:
            path, (_, values) = source, checkpoint.load(source)
        digest = hashlib.sha256((path / "ema.safetensors").read_bytes()).hexdigest()
        found.append(Cell(root, source.absolute(), path.absolute(), int(values["step"]), digest, settings))
    if len({cell.name for cell in found}) < len(found):
        raise UsageError("a run is named twice, or two runs hold the same generator: name each once")
    return found


def labels(sources: Sequence[str]) -> list[str]:
    """Return short names of runs and checkpoints: as many last parts of their paths as it takes to tell them apart."""
    parts = [[part for part in Path(source).parts if part not in ("checkpoints", "run")] for source in sources]
    for count in range(1, max(len(part) for part in parts) + 1):
        # A checkpoint is not known by its step alone.
        short = ["/".join(part[-count - (part[-1].startswith("step-")) :]) for part in parts]
        if len(set(short)) == len(set(sources)):
            return short
    return list(sources)
