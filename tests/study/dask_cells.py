"""Cells for tests of the Dask executor, in a module that workers can import too."""

from __future__ import annotations

import os
import time
from pathlib import Path

from qgan_qiskit.errors import DataError
from qgan_qiskit.study.engine import run_once


def leave_lines(cell: tuple[str, float]) -> dict[str, int]:
    """Work that leaves a line when it begins and one when it ends; a cell is a folder and how many seconds it takes."""
    folder, seconds = cell

    def work(path: Path) -> dict[str, int]:
        _append(path / "begun")
        time.sleep(seconds)
        _append(path / "ended")
        return {"worker": os.getpid()}

    return run_once(Path(folder), work)


def end_the_worker(cell: tuple[str, float]) -> dict[str, int]:
    """Do the same, but in one cell end the worker, and in another fail."""
    if cell[0].endswith("deadly"):
        os._exit(1)
    if cell[0].endswith("wrong"):
        raise DataError("no data on this worker")
    return leave_lines(cell)


def _append(path: Path) -> None:
    with path.open("a") as file:
        file.write(f"{os.getpid()} {time.monotonic()}\n")
