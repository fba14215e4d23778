"""Files under a folder, seen as a flat dictionary of names; an archive (``archive.py``) looks the same.

The layouts (ISIC, HAM10000, ...) ask only for names and bytes, so each of them works in a folder and in a zip alike.
"""

from __future__ import annotations

import os
import stat
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from qgan_qiskit.errors import DataError

MAX_FILE_BYTES = 256 * 2**20
IMAGE_SUFFIXES = frozenset(
    [".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pnm"]
)
# Archives that are recognised, to say that they must be unpacked; only .zip and .npz are read as they are.
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
