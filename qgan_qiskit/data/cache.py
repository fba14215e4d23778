"""Decoded images on disk, so that the second start on the same data takes a moment.

An entry is a folder with ``images.npy`` and ``index.json``, named by a digest of everything that determines its content: the
source's path, the names, sizes and times of its files, the settings and the format number. It is written to a staging folder
and renamed, so a killed process leaves no partial entry; a damaged one is replaced.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import tempfile
import time
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from qgan_qiskit.data.dataset import ImageSet
from qgan_qiskit.errors import DataError
from qgan_qiskit.memory import check_memory_for_images
from qgan_qiskit.storage import sha256

# Raise it whenever the same files would give other pixels, labels, names, notes or pairs.
FORMAT = 4
_STAGE = ".stage-"
_DAY_S = 86_400
# Cache of a user who has no home folder, among the temporary files.
_HOMELESS = "qgan_qiskit-user-"
# Fields of an image set that are kept as JSON.
_TUPLES = ("classes", "names", "groups", "notes", "splits")


class _DamagedError(Exception):
    """An entry that cannot be used; the message says why."""


def cache_images(folder: Path, source: Any, state: Any, make: Callable[[], ImageSet]) -> ImageSet:
    """Return the images that ``make`` makes, from the cache if they are there.

    Args:
        folder: the cache; created if missing. If it cannot be written to, that is a note and no error.
        source: JSON data that identifies the source and the settings; entries of its earlier states are removed.
        state: JSON data that changes with the source's files.
        make: reads and decodes.

    Returns:
        The images, as a read-only memory map when they come from the cache.
    """
    entry = folder / f"{_hash(source)[:16]}-{_hash([FORMAT, source, state])[:32]}"
    notes: list[str] = []
    try:
        return _load(entry)
    except (FileNotFoundError, NotADirectoryError) as error:
        if entry.exists():
            notes.append(f"replaced a damaged cache entry (no {Path(error.filename).name})")
    except DataError:
        raise
    except Exception as error:  # Damaged bytes make NumPy and json raise nearly anything.
        notes.append(f"replaced a damaged cache entry ({' '.join(str(error).split())})")
    images = make()
    if folder.name.startswith(_HOMELESS):
        notes.append(f"no home folder is known: decoded images are kept in {folder}; name another with --cache-dir")
    try:
        _store(entry, images)
    except OSError as error:
        # NumPy's own error for a write that was cut short has a text instead of a number and a reason.
        reason = error.strerror or " ".join(str(error).split())
        notes.append(
            f"the cache {folder} cannot be written ({reason}): {images.images_NHWC.nbytes:,} bytes are needed, and the images "
            "are decoded again at each start; free space, or name another folder with --cache-dir"
        )
    return replace(images, notes=(*images.notes, *notes)) if notes else images


def cache_pairs(folder: Path, key: Any, find: Callable[[], np.ndarray]) -> np.ndarray:
    """Return the pairs of rows (P, 2) that ``find`` finds, from the cache if they are there.

    ``key`` is JSON data that determines the pairs, including the images' content. If the cache cannot be written to, that is no
    error.
    """
    path = folder / f"{_hash([FORMAT, key])[:48]}.json"
    with contextlib.suppress(OSError, ValueError, _DamagedError):
        return np.array(_read_checked(path), np.int64).reshape(-1, 2)
    pairs_P2 = find()
    # If the cache cannot be written to, the images already have a note.
    with contextlib.suppress(OSError), tempfile.TemporaryDirectory(prefix=_STAGE, dir=folder) as stage:
        new = Path(stage) / path.name
        _write_checked(new, pairs_P2.tolist())
        new.replace(path)
    return pairs_P2


def default_folder() -> Path:
    """Return ``$XDG_CACHE_HOME/qgan_qiskit``, or ``~/.cache/qgan_qiskit`` without that variable.

    A user without a home folder, as in a container that runs under a numeric ID, gets a temporary folder of that ID.
    """
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # The XDG specification says to ignore relative paths.
    if given.is_absolute():
        return given / "qgan_qiskit"
    try:
        return Path.home() / ".cache" / "qgan_qiskit"
    except RuntimeError:
        return _homeless_folder()


def _homeless_folder() -> Path:
    user = os.getuid() if hasattr(os, "getuid") else 0
    folder = Path(tempfile.gettempdir()) / f"{_HOMELESS}{user}"
    if folder.exists() and folder.lstat().st_uid not in (user, 0):
        # Another user owns it and could put anything there.
        return Path(tempfile.mkdtemp(prefix=_HOMELESS))
    return folder


def _hash(key: Any) -> str:
    return sha256(json.dumps(key).encode())


def _write_checked(path: Path, value: Any) -> None:
    """Write JSON after a line with its SHA-256."""
    text = json.dumps(value)
    path.write_text(f"{sha256(text.encode())}\n{text}", encoding="utf-8")


def _read_checked(path: Path) -> Any:
    checksum, _, text = path.read_text(encoding="utf-8").partition("\n")
    if sha256(text.encode()) != checksum:
        raise _DamagedError(f"{path.name} differs from its checksum")
    return json.loads(text)


def _load(entry: Path) -> ImageSet:
    """Map an entry into memory after checking all of it; raises nearly anything if it is missing or damaged."""
    index = _read_checked(entry / "index.json")
    check_memory_for_images(*index["shape"][:2])
    images_NHWC = np.load(entry / "images.npy", mmap_mode="r", allow_pickle=False)
    # CRC-32 is about six times as fast as SHA-256 (1.4 GB/s) and detects every single flipped bit.
    if list(images_NHWC.shape) != index["shape"] or zlib.crc32(images_NHWC.data) != index["crc32"]:
        raise _DamagedError("images.npy differs from its checksum")
    tuples = {name: tuple(index[name]) for name in _TUPLES}
    images = ImageSet(images_NHWC, np.array(index["labels"], np.int64), layout=index["layout"], **tuples)
    images.__dict__["digest"] = index["digest"]  # Where cached_property keeps it: saves hashing at every start.
    return images


def _store(entry: Path, images: ImageSet) -> None:
    """Publish an entry, or raise OSError; the first of two writers wins and the other's work is dropped."""
    entry.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if shutil.disk_usage(entry.parent).free < images.images_NHWC.nbytes:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    index = {
        "shape": list(images.images_NHWC.shape),
        "crc32": zlib.crc32(np.ascontiguousarray(images.images_NHWC).data),
        "digest": images.digest,
        "labels": images.labels_N.tolist(),
        "layout": images.layout,
        **{name: getattr(images, name) for name in _TUPLES},
    }
    stage = Path(tempfile.mkdtemp(prefix=_STAGE, dir=entry.parent))
    try:
        new = stage / "new"
        new.mkdir()
        np.save(new / "images.npy", images.images_NHWC, allow_pickle=False)
        _write_checked(new / "index.json", index)
        if entry.exists():  # Damaged, or _load would have returned it.
            entry.rename(stage / "damaged")
        new.rename(entry)
    except OSError as error:
        # Another process may have published the same entry in the meantime.
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    _drop_old(entry)


def _drop_old(entry: Path) -> None:
    """Remove entries of earlier states of the same source, and staging folders that killed processes left a day ago."""
    source = entry.name.partition("-")[0]
    for path in entry.parent.iterdir():
        earlier = path.name.startswith(f"{source}-") and path != entry
        if earlier or (path.name.startswith(_STAGE) and path.stat().st_mtime < time.time() - _DAY_S):
            shutil.rmtree(path, ignore_errors=True)
