"""A cell of a study: one piece of work whose result is kept in a file, so that it is done once and never lost.

A cell that was killed begins again where its own parts can go on (a training run resumes from its checkpoint); one that is
finished is read. Two processes that are given the same cell do not work on it at the same time: the lock is the system's, so
it goes with a process that dies.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from qgan_qiskit.errors import CheckpointError, QganError, StorageError

Row = dict[str, Any]
RESULT = "cell.json"
_LOCK = ".lock"


class InWork(QganError):  # noqa: N818 - not an error of anybody's
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


def done_once(folder: Path, work: Callable[[Path], Row], wait: bool = True) -> Row:
    """Return a cell's result, doing its work if that is not done yet.

    Args:
        folder: the cell's own folder; made when missing. Processes on several machines must see the same one.
        work: does the cell's work in the folder and returns its result, anything for JSON.
        wait: what to do while another process works on the cell: wait for it, or raise :class:`InWork`.

    Raises:
        InWork: another process works on it, and ``wait`` is off.
        StorageError: the folder cannot be written.
        QganError: what ``work`` raises; nothing is kept then but what it wrote itself.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / _LOCK).open("a+")
    except OSError as error:
        raise _refused(folder, error) from None
    with lock:
        try:
            _take(lock, folder, wait)
        except InWork:
            # It may have ended, and been kept, between the two looks.
            row = result_of(folder)
            if row is None:
                raise
            return row
        row = result_of(folder)
        if row is None:
            row = work(folder)
            _publish(folder, row)
        return row


def worker_on(folder: Path) -> str | None:
    """Return which process works on a cell now, None for nobody; changes nothing."""
    try:
        lock = (folder / _LOCK).open("r")
    except OSError:
        return None
    with lock:
        try:
            # Shared, so that two that only look do not see each other.
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _holder(lock)
        return None


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file for the length of a ``with`` block; wait while another process holds it."""
    with path.open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def write_whole(path: Path, data: bytes) -> None:
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


def _take(lock: TextIO, folder: Path, wait: bool) -> None:
    """Lock an open file, and say in it who has it. Closing it, or the end of the process, releases it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        lock.truncate(0)
        lock.write(f"process {os.getpid()} on {socket.gethostname()}")
        lock.flush()
    except BlockingIOError:
        raise InWork(f"{folder}: {_holder(lock)} works on it; wait for it or stop it") from None
    except OSError as error:
        raise _refused(folder, error) from None


def _holder(lock: TextIO) -> str:
    lock.seek(0)
    return lock.read().strip() or "another process"


def _publish(folder: Path, row: Row) -> None:
    try:
        write_whole(folder / RESULT, (json.dumps(row, indent=1) + "\n").encode())
    except OSError as error:
        raise _refused(folder, error) from None


def _refused(folder: Path, error: OSError) -> StorageError:
    return StorageError(f"{folder}: cannot be written ({error.strerror or error}); choose another --outdir")
