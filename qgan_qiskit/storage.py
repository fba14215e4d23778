"""Locks on files, which the system releases when the process that holds them ends, however it ends.

They come from the library filelock: ``flock`` on POSIX systems, ``LockFileEx`` on Windows. The lock file says who has it; it
stays where it is when the lock is released.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import socket
import time
import warnings
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

with warnings.catch_warnings():
    # Where a system has no locks it says so; FileLock below then takes a marker file.
    warnings.simplefilter("ignore")
    from filelock import SoftFileLock, Timeout, lock_descriptor

# The system has no such call, or the file system no locks.
_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)
# On Windows nobody else can read the byte that is locked, the first: readers know what it is.
_FIRST = "p"
_LOOKS, _PAUSE = 5, 0.01


class HeldError(Exception):
    """Another process holds the lock; the message says which, such as ``process 12 on host``."""


class FileLock:
    """An exclusive lock between processes; use as a context manager after, or instead of, :meth:`acquire`.

    Attributes:
        path: of the lock file; made when missing.
    """

    def __init__(self, path: Path, *, wait: bool = True) -> None:
        """Name the lock; nothing is opened yet.

        Args:
            path: of the lock file, in a folder that exists.
            wait: what ``with`` does while another process holds it: wait, or raise :class:`HeldError`.
        """
        self.path, self._wait = path, wait
        self._file: BinaryIO | None = None
        self._marker: SoftFileLock | None = None

    def acquire(self) -> None:
        """Take the lock, and say in its file who has it.

        Raises:
            HeldError: another process has it, and ``wait`` is off.
            OSError: the file cannot be written, or the file system refuses the lock.
        """
        file = self.path.open("a+b")
        try:
            self._lock(file)
            file.truncate(0)
            file.write(_own_name().encode())
            file.flush()
        except BaseException:
            file.close()
            raise
        self._file = file

    def release(self) -> None:
        """Let the lock go; closing its file does it."""
        if self._marker is not None:
            self._marker.release()
            self._marker = None
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> FileLock:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _lock(self, file: BinaryIO) -> None:
        try:
            if not lock_descriptor(file.fileno(), blocking=self._wait):
                raise HeldError(_holder(file))
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            marker = _marker(self.path, -1 if self._wait else 0)
            try:
                marker.acquire()
            except Timeout:
                raise HeldError(_holder(file)) from None
            self._marker = marker


def holder_of(path: Path) -> str | None:
    """Return who holds the lock of a file, None for nobody; changes nothing."""
    try:
        file = path.open("rb")
    except OSError:
        return None
    with file:
        # Looking takes the lock for a moment, so that two that look at once may meet: neither is a holder.
        for _ in range(_LOOKS):
            try:
                if lock_descriptor(file.fileno(), blocking=False):
                    return None
            except OSError:
                return _holder(file) if Path(_marker(path, 0).lock_file).exists() else None
            time.sleep(_PAUSE)
        return _holder(file)


def _marker(path: Path, timeout: float) -> SoftFileLock:
    """Return a lock that is a file's existence; filelock removes that of a process of this machine which has ended."""
    return SoftFileLock(path.with_name(f"{path.name}.held"), timeout=timeout)


def _own_name() -> str:
    return f"{_FIRST}rocess {os.getpid()} on {socket.gethostname()}"


def _holder(file: BinaryIO) -> str:
    with contextlib.suppress(OSError):
        file.seek(1)
        rest = file.read().decode(errors="replace").strip()
        if rest:
            return _FIRST + rest
    return "another process"


def atomic_write(path: Path, data: bytes) -> None:
    """Write a file completely or not at all, even while other processes write the same one.

    Raises:
        OSError: the file cannot be written.
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


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's content.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
