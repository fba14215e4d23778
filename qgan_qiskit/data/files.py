"""Files under a folder, seen as a flat dictionary of names; an archive (``archive.py``) looks the same.

The layouts (ISIC, HAM10000, ...) ask only for names and bytes, so each of them works in a folder and in a zip alike.

A zip archive as a source of files: read in memory, never unpacked, and refused whole when an entry looks hostile.
"""

from __future__ import annotations

import os
import stat
import zipfile
import zlib
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from qgan_qiskit.errors import DataError

MAX_FILE_BYTES = 256 * 2**20
IMAGE_SUFFIXES = frozenset(
    [".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pnm"]
)
# Archives that are recognized, to say that they must be unpacked; only .zip and .npz are read as they are.
PACKED_SUFFIXES = (".tar", ".gz", ".tgz", ".bz2", ".xz", ".rar", ".7z")


class UnreadableError(Exception):
    """One file that cannot be used; the message is the reason, without the name."""


class Files(ABC):
    """Names (relative, ``/`` between the parts) and bytes of the files of one source.

    Attributes:
        root: the folder or archive.
        names: all files but hidden ones, sorted.
    """

    root: Path
    names: list[str]

    @abstractmethod
    def read(self, name: str) -> bytes:
        """Return the content of one file.

        Raises:
            UnreadableError: with the reason.
        """

    @abstractmethod
    def stamp(self) -> Any:
        """Return something for JSON that changes whenever a file is added, removed or written."""

    def close(self) -> None:  # noqa: B027 - a folder has nothing to close
        """Release what the source holds open."""

    @property
    def outer_folder(self) -> Path:
        """Folder that the source lies in; a label table may lie there too."""
        return self.root.parent


class FolderFiles(Files):
    """All files below a folder; links are followed, hidden files and folders are not seen.

    Args:
        root: an existing folder.

    Raises:
        DataError: the folder or one in it cannot be listed.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._states: dict[str, tuple[int, int, int]] = {}
        self._on_disk: dict[str, str] = {}
        try:
            self._scan(str(self.root), "", frozenset())
        except OSError as error:
            raise DataError(
                f"cannot list the folder {shown(str(error.filename))}: {error.strerror}; check its permissions"
            ) from error
        self.names = sorted(self._states)

    def _scan(self, folder: str, prefix: str, above: frozenset[tuple[int, int]]) -> None:
        """Enter the files of ``folder``; ``above`` holds the folders on the way, so that a loop of links ends."""
        status = os.stat(folder)  # noqa: PTH116 - Path objects are too slow for tens of thousands of entries
        here = (status.st_dev, status.st_ino)
        if here in above:
            return
        with os.scandir(folder) as entries:
            for entry in entries:
                if hidden(entry.name):
                    continue
                name = prefix + readable(entry.name)
                if entry.is_dir():
                    self._scan(entry.path, name + "/", above | {here})
                else:
                    if name in self._states:
                        raise DataError(
                            f"two files under {shown(str(self.root))} are both read as {shown(name)}: rename one"
                        )
                    self._states[name] = _state(entry)
                    if entry.path != f"{self.root}/{name}":
                        self._on_disk[name] = entry.path

    def read(self, name: str) -> bytes:
        """Return the content of one file (see the base class)."""
        size, _, mode = self._states[name]
        if not mode:
            raise UnreadableError("broken link")
        if not stat.S_ISREG(mode):
            raise UnreadableError("not a regular file")
        if size > MAX_FILE_BYTES:
            raise UnreadableError(f"{size / 2**20:,.0f} MiB, more than {MAX_FILE_BYTES // 2**20} MiB")
        try:
            return Path(self._on_disk.get(name, f"{self.root}/{name}")).read_bytes()
        except OSError as error:
            raise UnreadableError((error.strerror or str(error)).lower()) from error

    def stamp(self) -> Any:
        """Return names, sizes, times and modes (a chmod can make a bad file good)."""
        return [[name, *self._states[name]] for name in self.names]


def _state(entry: os.DirEntry[str]) -> tuple[int, int, int]:
    """Return size in bytes, modification time in ns and mode; mode 0 when a link points nowhere."""
    try:
        status = entry.stat()
    except FileNotFoundError:
        return 0, 0, 0
    return status.st_size, status.st_mtime_ns, status.st_mode


def hidden(name: str) -> bool:
    """Whether a file or folder of this name is never looked at."""
    return name.startswith(".") or name in ("__MACOSX", "@eaDir", "Thumbs.db", "desktop.ini")


def readable(name: str) -> str:
    """Return a file's name as text: bytes that are no UTF-8 are taken as Windows-1252, as Western archives have them."""
    if name.isascii():
        return name
    content = os.fsencode(name)
    try:
        return content.decode()
    except UnicodeDecodeError:
        try:
            return content.decode("cp1252")
        except UnicodeDecodeError:
            return content.decode("latin-1")


def base(name: str) -> str:
    """Return the last part of a name."""
    return name.rpartition("/")[2]


def is_image(name: str) -> bool:
    """Whether the ending is one of ``IMAGE_SUFFIXES``."""
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES  # noqa: PTH122 - called for every file


def stem(name: str) -> str:
    """Return the last part of a name without an image ending (other endings are kept)."""
    last = base(name)
    return os.path.splitext(last)[0] if is_image(last) else last  # noqa: PTH122 - called for every file


def shown(name: str) -> str:
    """Return a name fit for a one-line message: line breaks and undecodable bytes are escaped."""
    return name if name.isprintable() else ascii(name)


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
