"""A zip archive as a source of files: read in memory, never unpacked, and refused whole when an entry looks hostile."""

from __future__ import annotations

import stat
import zipfile
import zlib
from pathlib import Path
from typing import Any

from qgan_qiskit.data.files import MAX_FILE_BYTES, Files, UnreadableError, hidden, shown
from qgan_qiskit.errors import DataError

MAX_RATIO = 1000
RATIO_FREE_BYTES = 2**20


class ZipFiles(Files):
    """All files of a zip archive but hidden ones.

    Args:
        root: the archive.

    Raises:
        DataError: not a whole zip, or one with encrypted, linked, escaping, doubled or exploding entries.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._archive = open_zip(root)
        self._entries: dict[str, zipfile.ZipInfo] = {}
        for entry in self._archive.infolist():
            if entry.is_dir():
                continue
            name = _checked_name(root, entry)
            check_size(root, entry, MAX_FILE_BYTES)
            if name in self._entries:
                raise _refused(root, entry, "appears twice")
            self._entries[name] = entry
        self.names = sorted(name for name in self._entries if not any(hidden(part) for part in name.split("/")))

    def read(self, name: str) -> bytes:
        """Return the content of one entry (see the base class); safe to call from several threads."""
        try:
            return self._archive.read(self._entries[name])
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError) as error:
            # The message of a bad CRC quotes the name, which the caller adds itself.
            raise UnreadableError("damaged in the archive" if "CRC" in str(error) else str(error)) from error

    def close(self) -> None:
        """Close the archive."""
        self._archive.close()

    def stamp(self) -> Any:
        """Return size and time of the archive."""
        status = self.root.stat()
        return [status.st_size, status.st_mtime_ns]


def open_zip(path: Path) -> zipfile.ZipFile:
    """Open a zip (or npz) archive.

    Raises:
        DataError: missing, unreadable, truncated or not a zip.
    """
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, EOFError, ValueError) as error:
        raise DataError(
            f"{shown(str(path))} is not a whole {path.suffix.lower() or 'zip'} archive ({error}): fetch it again"
        ) from error
    except OSError as error:
        raise DataError(f"cannot open {shown(str(path))}: {error.strerror or error}") from error


def check_size(path: Path, entry: zipfile.ZipInfo, max_bytes: int) -> None:
    """Refuse an entry that would unpack to more than ``max_bytes`` or to over 1000 times its packed size.

    Raises:
        DataError: naming archive and entry.
    """
    if entry.file_size > max_bytes:
        raise _refused(path, entry, f"unpacks to {entry.file_size:,} bytes, more than {max_bytes:,}")
    if entry.file_size > RATIO_FREE_BYTES and entry.file_size > MAX_RATIO * max(entry.compress_size, 1):
        raise _refused(path, entry, f"unpacks to over {MAX_RATIO:,} times its packed size")


def _checked_name(path: Path, entry: zipfile.ZipInfo) -> str:
    """Return the entry's name with ``/`` between the parts, or refuse the archive."""
    # orig_filename: ZipInfo cuts a name at a NUL byte, which would hide what follows.
    name = entry.orig_filename.replace("\\", "/")
    parts = name.split("/")
    if name.startswith("/") or ".." in parts or parts[0].endswith(":") or "\0" in name:
        raise _refused(path, entry, "has a path that leads out of the archive")
    if entry.flag_bits & 0x1:
        raise _refused(path, entry, "is encrypted")
    mode = entry.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        raise _refused(path, entry, "is a link or another special file")
    return "/".join(part for part in parts if part not in ("", "."))


def _refused(path: Path, entry: zipfile.ZipInfo, reason: str) -> DataError:
    return DataError(
        f"refused {shown(str(path))}: its entry {shown(entry.orig_filename)} {reason}; make it anew without that"
    )
