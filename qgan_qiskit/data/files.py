"""The files of a source: a folder or a zip archive as a flat mapping of names to bytes, and which images to leave out.

Data-set layouts see only names and bytes, so each works in a folder and a zip alike. A zip is read in memory, never
unpacked, and rejected as a whole when one entry looks hostile.
"""

from __future__ import annotations

import os
import re
import stat
import zipfile
import zlib
from abc import ABC, abstractmethod
from copy import copy
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from qgan_qiskit.config import DataConfig
from qgan_qiskit.errors import DataError

MAX_FILE_BYTES = 256 * 2**20
IMAGE_SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .png .bmp .dib .gif .tif .tiff .webp .ppm .pgm .pnm".split()  # noqa: SIM905
)
# Archives that are recognized in order to tell the user to unpack them; only .zip and .npz are read directly.
PACKED_SUFFIXES = (".tar", ".gz", ".tgz", ".bz2", ".xz", ".rar", ".7z")
# Largest ratio of unpacked to packed size of a zip entry, for entries above the second number of bytes.
_MAX_RATIO, _RATIO_EXEMPT_BYTES = 1000, 2**20


class UnreadableError(Exception):
    """A file that cannot be used; the message is the reason, without the file's name."""


class Files(ABC):
    """Names (relative, separated by ``/``) and contents of the files of one source.

    Attributes:
        root: the folder or archive.
        names: all files except hidden ones, sorted.
        use_parent_tables: whether layouts may look for a label table in the folder that contains the source.
    """

    root: Path
    names: list[str]
    use_parent_tables = True

    @abstractmethod
    def read(self, name: str) -> bytes:
        """Return the content of one file, or raise UnreadableError with the reason; safe to call from several threads."""

    @abstractmethod
    def fingerprint(self) -> Any:
        """Return JSON data that changes whenever a file is added, removed or modified."""

    def close(self) -> None:  # noqa: B027 - a folder has nothing to close
        """Release what the source holds open."""

    @property
    def parent_folder(self) -> Path:
        """Folder that contains the source; the source itself when tables there are to be ignored."""
        return self.root.parent if self.use_parent_tables else self.root


class FolderFiles(Files):
    """All files below a folder, following links; hidden files and folders are ignored.

    Raises:
        DataError: the folder or one of its subfolders cannot be listed.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._states: dict[str, tuple[int, int, int]] = {}
        self._on_disk: dict[str, str] = {}
        try:
            self._scan(str(self.root), "", frozenset())
        except OSError as error:
            reason = f"{printable(str(error.filename))}: {error.strerror}; check its permissions"
            raise DataError(f"cannot list the folder {reason}") from error
        self.names = sorted(self._states)

    def _scan(self, folder: str, prefix: str, ancestors: frozenset[tuple[int, int]]) -> None:
        """Add the files of ``folder``; ``ancestors`` holds the folders above it, so that a loop of links ends."""
        status = os.stat(folder)  # noqa: PTH116 - Path objects are too slow for tens of thousands of entries
        here = (status.st_dev, status.st_ino)
        if here in ancestors:
            return
        with os.scandir(folder) as entries:
            for entry in entries:
                if _is_hidden(entry.name):
                    continue
                name = prefix + _decode_name(entry.name)
                if entry.is_dir():
                    self._scan(entry.path, name + "/", ancestors | {here})
                    continue
                if name in self._states:
                    root = printable(str(self.root))
                    raise DataError(f"two files under {root} have the name {printable(name)}: rename one")
                self._states[name] = _stat(entry)
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

    def fingerprint(self) -> Any:
        """Return names, sizes, times and modes (a chmod can make an unreadable file readable)."""
        return [[name, *self._states[name]] for name in self.names]


class ZipFiles(Files):
    """All files of a zip archive except hidden ones.

    Raises:
        DataError: not a complete zip, or one with encrypted, linked, escaping, duplicate or exploding entries.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._archive = open_zip(root)
        self._entries: dict[str, zipfile.ZipInfo] = {}
        for entry in self._archive.infolist():
            if entry.is_dir():
                continue
            name = _check_entry_name(root, entry)
            check_entry_size(root, entry, MAX_FILE_BYTES)
            if name in self._entries:
                raise _entry_error(root, entry, "appears twice")
            self._entries[name] = entry
        self.names = sorted(name for name in self._entries if not any(_is_hidden(part) for part in name.split("/")))

    def read(self, name: str) -> bytes:
        """Return the content of one entry (see the base class)."""
        try:
            return self._archive.read(self._entries[name])
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError) as error:
            # The message about a bad CRC quotes the name, which the caller adds.
            raise UnreadableError("damaged in the archive" if "CRC" in str(error) else str(error)) from error

    def close(self) -> None:
        """Close the archive."""
        self._archive.close()

    def fingerprint(self) -> Any:
        """Return size and modification time of the archive."""
        return file_state(self.root)


def exclude_images(files: Files, config: DataConfig) -> tuple[Files, tuple[str, ...]]:
    """Return the files without masks, thumbnails, and images that ``--include`` and ``--exclude`` leave out, and notes on them.

    A pattern is a case-insensitive glob, matched against an image's name within the source, each of its folders and its
    file name. An image that matches an include pattern is kept even if it looks like a mask or a thumbnail.

    Raises:
        DataError: the patterns leave no image, or one of them matches nothing.
    """
    images = [name for name in files.names if is_image(name)]
    _check_patterns(images, files.root, config)
    photographs = {stem(name).casefold() for name in images}
    left_out: dict[str, list[str]] = {}
    for name in images:
        reason = _reason_to_exclude(name, photographs, config)
        if reason is not None:
            left_out.setdefault(reason, []).append(name)
    dropped = {name for names in left_out.values() for name in names}
    if images and len(dropped) == len(images):
        root = printable(str(files.root))
        reasons = ", ".join(f"{len(names):,} {reason}" for reason, names in left_out.items())
        raise DataError(f"all {len(images):,} images of {root} are left out ({reasons}): keep some with --include")
    kept = copy(files)
    kept.names = [name for name in files.names if name not in dropped]
    return kept, tuple(
        f"left out {len(names):,} {reason}, such as {printable(names[0])}"
        + ("" if reason.startswith("images") else "; --include PATTERN keeps them")
        for reason, names in left_out.items()
    )


_MASK_SUFFIX = re.compile(
    r"[ _.-]+(gt[ _-]?)?(mask|masks|segmentation|seg|segm|superpixels|superpixel|groundtruth|contour)([ _-]?\d+)?$"
)
_MASK_FOLDER = re.compile(
    r"(.*[ _-])?(masks?|segmentations?|superpixels?|segmentation[ _-]masks?|lesion[ _-]?segmentations?)"
)
_THUMBNAIL_SUFFIX = re.compile(r"[ _.-]+(thumb|thumbs|thumbnail|tn|preview)$")
_THUMBNAIL_FOLDER = re.compile(r"thumbs?|\.?thumbnails?|@eadir|previews?")


def _check_patterns(images: list[str], root: Path, config: DataConfig) -> None:
    for option, patterns in (("--include", config.include), ("--exclude", config.exclude)):
        for pattern in patterns:
            if images and not any(_matches(name, pattern) for name in images):
                raise DataError(
                    f"{option} {printable(pattern)} matches none of the {len(images):,} images of {printable(str(root))}, "
                    f"such as {printable(images[0])}: correct the pattern"
                )


def _reason_to_exclude(name: str, photographs: set[str], config: DataConfig) -> str | None:
    """Return why an image is left out, None to keep it."""
    if any(_matches(name, pattern) for pattern in config.exclude):
        return "images that match --exclude"
    if config.include:
        kept = any(_matches(name, pattern) for pattern in config.include)
        return None if kept else "images that match no --include"
    *folders, _ = name.casefold().split("/")
    own = stem(name).casefold()
    if any(map(_THUMBNAIL_FOLDER.fullmatch, folders)) or _THUMBNAIL_SUFFIX.search(own) or own == "thumbs":
        return "thumbnails"
    if any(map(_MASK_FOLDER.fullmatch, folders)):
        return "masks"
    # Such a name alone may be anything; next to the photograph it belongs to, it is a mask.
    found = _MASK_SUFFIX.search(own)
    if found and (own[: found.start()] in photographs or "segmentation" in found[0] or "superpixel" in found[0]):
        return "masks"
    return None


def _matches(name: str, pattern: str) -> bool:
    name, pattern = name.casefold(), pattern.casefold().removeprefix("./")
    if fnmatchcase(name, pattern) or fnmatchcase(basename(name), pattern):
        return True
    folders = name.split("/")[:-1]
    paths = ["/".join(folders[: count + 1]) for count in range(len(folders))]
    return any(fnmatchcase(folder, pattern.rstrip("/")) for folder in [*paths, *folders])


def basename(name: str) -> str:
    """Return the last part of a name."""
    return name.rpartition("/")[2]


def is_image(name: str) -> bool:
    """Whether the suffix is one of ``IMAGE_SUFFIXES``."""
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES  # noqa: PTH122 - called for every file


def stem(name: str) -> str:
    """Return the last part of a name without an image suffix (other suffixes are kept)."""
    last = basename(name)
    return os.path.splitext(last)[0] if is_image(last) else last  # noqa: PTH122 - called for every file


def printable(name: str) -> str:
    """Return a name fit for a one-line message: line breaks and undecodable bytes are escaped."""
    return name if name.isprintable() else ascii(name)


def file_state(path: Path) -> Any:
    """Return size and modification time of a file, None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns]


def open_zip(path: Path) -> zipfile.ZipFile:
    """Open a zip (or npz) archive; raise DataError if it is missing, unreadable, truncated or not a zip."""
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, EOFError, ValueError) as error:
        reason = f"not a complete {path.suffix.lower() or 'zip'} archive ({error}): download it again"
        raise DataError(f"{printable(str(path))} is {reason}") from error
    except OSError as error:
        raise DataError(f"cannot open {printable(str(path))}: {error.strerror or error}") from error


def check_entry_size(path: Path, entry: zipfile.ZipInfo, max_bytes: int) -> None:
    """Raise DataError for an entry that unpacks to more than ``max_bytes`` or to over 1000 times its packed size."""
    if entry.file_size > max_bytes:
        raise _entry_error(path, entry, f"unpacks to {entry.file_size:,} bytes, more than {max_bytes:,}")
    if entry.file_size > _RATIO_EXEMPT_BYTES and entry.file_size > _MAX_RATIO * max(entry.compress_size, 1):
        raise _entry_error(path, entry, f"unpacks to over {_MAX_RATIO:,} times its packed size")


def _check_entry_name(path: Path, entry: zipfile.ZipInfo) -> str:
    """Return the entry's name with ``/`` between its parts, or reject the archive."""
    # orig_filename: ZipInfo cuts a name at a NUL byte, which would hide what follows.
    name = entry.orig_filename.replace("\\", "/")
    parts = name.split("/")
    if name.startswith("/") or ".." in parts or parts[0].endswith(":") or "\0" in name:
        raise _entry_error(path, entry, "has a path that leads out of the archive")
    if entry.flag_bits & 0x1:
        raise _entry_error(path, entry, "is encrypted")
    if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG):
        raise _entry_error(path, entry, "is a link or another special file")
    return "/".join(part for part in parts if part not in ("", "."))


def _entry_error(path: Path, entry: zipfile.ZipInfo, reason: str) -> DataError:
    name = printable(entry.orig_filename)
    return DataError(f"rejected {printable(str(path))}: its entry {name} {reason}; create it again without that")


def _stat(entry: os.DirEntry[str]) -> tuple[int, int, int]:
    """Return size in bytes, modification time in ns and mode; mode 0 for a broken link."""
    try:
        status = entry.stat()
    except FileNotFoundError:
        return 0, 0, 0
    return status.st_size, status.st_mtime_ns, status.st_mode


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name in ("__MACOSX", "@eaDir", "Thumbs.db", "desktop.ini")


def _decode_name(name: str) -> str:
    """Return a file's name as text; bytes that are not UTF-8 are read as Windows-1252, as in Western archives."""
    if name.isascii():
        return name
    content = os.fsencode(name)
    for encoding in ("utf-8", "cp1252"):
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    return content.decode("latin-1")
