"""A cell of a study: one piece of work whose result is kept in a file, so that it is done once and never lost.

A cell that was killed begins again where its own parts can go on (a training run resumes from its checkpoint); one that is
finished is read. Two processes that are given the same cell do not work on it at the same time: the lock is the system's, so
it goes with a process that dies.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qgan_qiskit.errors import CheckpointError, QganError, StorageError
from qgan_qiskit.storage import FileLock, HeldError, holder_of

Row = dict[str, Any]
RESULT = "cell.json"
_LOCK = ".lock"


class CellLocked(QganError):  # noqa: N818 - not an error of anybody's
    """A cell that another process is working on now."""


def result_of(folder: Path) -> Row | None:
    """Return the result kept in a cell's folder, None while the cell is not finished.

    Raises:
        CheckpointError: the file is damaged.
    """
    path = folder / RESULT
    try:
        row = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read ({error}); remove it to do the cell again") from None
    if not isinstance(row, dict):
        raise CheckpointError(f"{path}: not the result of a cell; remove it to do the cell again")
    return row


def run_once(folder: Path, work: Callable[[Path], Row], wait: bool = True) -> Row:
    """Return a cell's result, doing its work if that is not done yet.

    Args:
        folder: the cell's own folder; made when missing. Processes on several machines must see the same one.
        work: does the cell's work in the folder and returns its result, anything for JSON.
        wait: what to do while another process works on the cell: wait for it, or raise :class:`CellLocked`.

    Raises:
        CellLocked: another process works on it, and ``wait`` is off.
        StorageError: the folder cannot be written.
        QganError: what ``work`` raises; nothing is kept then but what it wrote itself.
    """
    lock = FileLock(folder / _LOCK, wait=wait)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except HeldError as error:
        # It may have ended, and been kept, between the two looks.
        row = result_of(folder)
        if row is None:
            raise CellLocked(f"{folder}: {error} works on it; wait for it or stop it") from None
        return row
    except OSError as error:
        raise _refused(folder, error) from None
    try:
        row = result_of(folder)
        if row is None:
            row = work(folder)
            _publish(folder, row)
        return row
    finally:
        lock.release()


def worker_on(folder: Path) -> str | None:
    """Return which process works on a cell now, None for nobody; changes nothing."""
    return holder_of(folder / _LOCK)


def atomic_write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, also when another process writes the same one.

    Raises:
        OSError: the disk refused.
    """
    staging = path.with_name(f".{path.name}.{socket.gethostname()}-{os.getpid()}.staging")
    try:
        with staging.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        staging.replace(path)
    except OSError:
        staging.unlink(missing_ok=True)
        raise


def _publish(folder: Path, row: Row) -> None:
    try:
        atomic_write(folder / RESULT, (json.dumps(row, indent=1) + "\n").encode())
    except OSError as error:
        raise _refused(folder, error) from None


def _refused(folder: Path, error: OSError) -> StorageError:
    return StorageError(f"{folder}: cannot be written ({error.strerror or error}); choose another --outdir")
