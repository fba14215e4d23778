"""Files and folders that appear whole or not at all, their checksums, and locks between processes.

A process killed while it writes leaves at most a hidden file or folder whose name ends in ``.staging``. Locks come from the
library filelock (``flock`` on POSIX systems, ``LockFileEx`` on Windows); the system releases one when the process that holds it
ends, however it ends.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import socket
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

with warnings.catch_warnings():
    # On a system without file locks filelock warns; FileLock below falls back to a marker file.
    warnings.simplefilter("ignore")
    from filelock import SoftFileLock, Timeout, lock_descriptor

_STAGING = ".staging"
# Errors of a system or file system without locks.
_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)
# On Windows no other process can read the locked byte, the first one: readers put it back.
_FIRST_BYTE = "p"
_ATTEMPTS, _PAUSE_SECONDS = 5, 0.01


def atomic_write(path: Path, content: bytes | Callable[[BinaryIO], object], *, sync: bool = True) -> None:
    """Write a file whole or not at all, even if another process writes the same one or the machine loses power.

    Args:
        path: of the file, in a folder that exists; replaced if it exists.
        content: bytes, or a function that writes to the file it is given.
        sync: wait for the disk before the file gets its name; leave it out only for what can be computed again.

    Raises:
        OSError: the disk refused; the file is as it was.
    """
    staging = path.with_name(f".{path.name}.{socket.gethostname()}-{os.getpid()}{_STAGING}")
    try:
        with staging.open("wb") as file:
            if callable(content):
                content(file)
            else:
                file.write(content)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        staging.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            staging.unlink(missing_ok=True)
        raise


@contextmanager
def atomic_folder(path: Path, *, replace: bool = False, sync: bool = True) -> Iterator[Path]:
    """Give a ``with`` block an empty folder to fill, which gets its name at the end, or vanishes on an error.

    Args:
        path: of the folder, in one that exists; only one process at a time may write it. An empty folder may be there.
        replace: remove what is there, at the last moment.
        sync: wait for the disk before and after the folder gets its name.

    Raises:
        OSError: the disk refused, or the path is taken.
    """
    staging = path.with_name(f".{path.name}{_STAGING}")
    try:
        remove_tree(staging)
        staging.mkdir()
        yield staging
        if sync:
            for folder, _, files in os.walk(staging):
                for name in files:
                    with (Path(folder) / name).open("r+b") as file:
                        os.fsync(file.fileno())
                sync_folder(Path(folder))
        if replace and path.exists():
            shutil.rmtree(path)
        staging.rename(path)
        if sync:
            sync_folder(path.parent)
    except BaseException:
        remove_tree(staging)
        raise


def remove_staging(folder: Path) -> None:
    """Remove what interrupted writes left in a folder; no other process may be writing to it."""
    for path in folder.glob(f".*{_STAGING}"):
        remove_tree(path)


def remove_tree(path: Path) -> None:
    """Remove a file or folder if it is there and can be removed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    elif os.path.lexists(path):
        with contextlib.suppress(OSError):
            path.unlink()


def sync_folder(path: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    if os.name == "nt":
        # Windows cannot open folders; NTFS journals names.
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256(content: bytes | memoryview | Path) -> str:
    """Return the SHA-256 of bytes, or of a file, as hexadecimal text.

    Raises:
        OSError: the file cannot be read.
    """
    if isinstance(content, Path):
        with content.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    return hashlib.sha256(content).hexdigest()


def manifest(folder: Path) -> dict[str, dict[str, int | str]]:
    """Return size and SHA-256 of each file of a folder, by name: ``{"bytes": …, "sha256": …}``."""
    return {path.name: {"bytes": path.stat().st_size, "sha256": sha256(path)} for path in sorted(folder.iterdir())}


class HeldError(Exception):
    """Another process holds the lock; the message names it, such as ``process 12 on host``."""


class FileLock:
    """An exclusive lock between processes; use as a context manager after, or instead of, :meth:`acquire`.

    Attributes:
        path: of the lock file, which stays when the lock is released.
    """

    def __init__(self, path: Path, *, wait: bool = True) -> None:
        """Name the lock; nothing is opened yet.

        Args:
            path: of the lock file, in a folder that exists.
            wait: while another process holds the lock, wait instead of raising :class:`HeldError`.
        """
        self.path, self._wait = path, wait
        self._file: BinaryIO | None = None
        self._marker: SoftFileLock | None = None

    def acquire(self) -> None:
        """Take the lock and write this process's name into its file.

        Raises:
            HeldError: another process has it, and ``wait`` is off.
            OSError: the file cannot be written, or the file system refuses the lock.
        """
        file = self.path.open("a+b")
        try:
            self._lock(file)
            file.truncate(0)
            file.write(f"{_FIRST_BYTE}rocess {os.getpid()} on {socket.gethostname()}".encode())
            file.flush()
        except BaseException:
            file.close()
            raise
        self._file = file

    def release(self) -> None:
        """Release the lock by closing its file."""
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
                raise HeldError(_read_holder(file))
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            marker = _marker_lock(self.path, -1 if self._wait else 0)
            try:
                marker.acquire()
            except Timeout:
                raise HeldError(_read_holder(file)) from None
            self._marker = marker


def holder_of(path: Path) -> str | None:
    """Return which process holds the lock of a file, None for nobody; changes nothing."""
    try:
        file = path.open("rb")
    except OSError:
        return None
    with file:
        # Looking takes the lock for a moment, so two processes that look at once may see each other: look again.
        for _ in range(_ATTEMPTS):
            try:
                if lock_descriptor(file.fileno(), blocking=False):
                    return None
            except OSError:
                return _read_holder(file) if Path(_marker_lock(path, 0).lock_file).exists() else None
            time.sleep(_PAUSE_SECONDS)
        return _read_holder(file)


def _marker_lock(path: Path, timeout: float) -> SoftFileLock:
    """Return a lock by a file's existence; filelock removes the marker of a dead process of this machine."""
    return SoftFileLock(path.with_name(f"{path.name}.held"), timeout=timeout)


def _read_holder(file: BinaryIO) -> str:
    with contextlib.suppress(OSError):
        file.seek(1)
        rest = file.read().decode(errors="replace").strip()
        if rest:
            return _FIRST_BYTE + rest
    return "another process"
