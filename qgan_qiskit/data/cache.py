"""Decoded images on disk, so that the second start on the same data takes a moment.

An entry is a folder with ``images.npy`` and ``index.json``. Its name is a digest of everything that decides its
content: the source's path, the names, sizes and times of its files, the settings and the format number. It is written
to a staging folder and renamed, so a killed process leaves no half entry; a damaged one is made again.
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
from qgan_qiskit.storage import atomic_write, sha256

# Raise it whenever the same files would give other pixels, labels, notes or pairs.
FORMAT = 3
STAGE = ".stage-"
# Among temporary files, of a user who has no home folder.
_HOMELESS = "qgan_qiskit-user-"


class _DamagedError(Exception):
    """An entry that cannot be used; the message says why."""


def cached(folder: Path, source: Any, state: Any, make: Callable[[], ImageSet]) -> ImageSet:
    """Return the images that ``make`` makes, from the cache when they are there.

    Args:
        folder: the cache; made when missing. One that cannot be written to is no error but a note.
        source: anything for JSON that names the source and the settings; entries of other states of it are dropped.
        state: anything for JSON that changes with the source's files.
        make: reads and decodes.

    Returns:
        The images, as a read-only memory map when they come from the cache.
    """
    entry = folder / f"{_hash(source)[:16]}-{_hash([FORMAT, source, state])[:32]}"
    note: tuple[str, ...] = ()
    try:
        return _load(entry)
    except (FileNotFoundError, NotADirectoryError) as error:
        if entry.exists():
            note = (f"made a damaged cache entry again (no {Path(error.filename).name})",)
    except DataError:
        raise
    except Exception as error:  # Damaged bytes make NumPy and json raise nearly anything, and all of it means: again.
        note = (f"made a damaged cache entry again ({' '.join(str(error).split())})",)
    images = make()
    if folder.name.startswith(_HOMELESS):
        note += (f"no home folder is known: decoded images are kept in {folder}; name another with --cache-dir",)
    try:
        _store(entry, images)
    except OSError as error:
        # NumPy's own error of a write that was cut short has neither number nor reason, only a text.
        reason = error.strerror or " ".join(str(error).split())
        needed = f"{images.images_NHWC.nbytes:,} bytes are needed, and the images are decoded anew at each start"
        remedy = "free space, or name another folder with --cache-dir"
        note += (f"the cache {folder} cannot be written ({reason}): {needed}; {remedy}",)
    return replace(images, notes=(*images.notes, *note)) if note else images


def remembered(folder: Path, key: Any, make: Callable[[], np.ndarray]) -> np.ndarray:
    """Return pairs of rows that ``make`` finds, from the cache when they are there.

    Args:
        folder: the cache; one that cannot be written to is no error.
        key: anything for JSON that decides the pairs, all of the images' content included.
        make: finds them.

    Returns:
        int64 of shape (P, 2).
    """
    path = folder / f"{_hash([FORMAT, key])[:48]}.json"
    try:
        checksum, _, text = path.read_text(encoding="utf-8").partition("\n")
        if sha256(text.encode()) == checksum:
            return np.array(json.loads(text), np.int64).reshape(-1, 2)
    except (OSError, ValueError):
        pass  # Not there, or damaged: it is found again.
    pairs_P2 = make()
    text = json.dumps(pairs_P2.tolist())
    # That the cache cannot be written has been noted with the images.
    with contextlib.suppress(OSError):
        atomic_write(path, f"{sha256(text.encode())}\n{text}".encode(), sync=False)
    return pairs_P2


def _hash(key: Any) -> str:
    return sha256(json.dumps(key).encode())


def default_folder() -> Path:
    """Return ``$XDG_CACHE_HOME/qgan_qiskit``, or ``~/.cache/qgan_qiskit`` without that variable.

    A user without a home folder, as in a container that runs under a number alone, gets a folder of that number among the
    temporary ones.
    """
    given = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification says to ignore relative paths.
    if Path(given).is_absolute():
        return Path(given) / "qgan_qiskit"
    try:
        return Path.home() / ".cache" / "qgan_qiskit"
    except RuntimeError:
        return _homeless_folder()


def _homeless_folder() -> Path:
    user = os.getuid() if hasattr(os, "getuid") else 0
    folder = Path(tempfile.gettempdir()) / f"{_HOMELESS}{user}"
    if folder.exists() and folder.lstat().st_uid not in (user, 0):
        # Another user's, who could put there what they like.
        return Path(tempfile.mkdtemp(prefix=_HOMELESS))
    return folder


def _load(entry: Path) -> ImageSet:
    """Map an entry into memory after checking it whole.

    Raises:
        FileNotFoundError: there is no entry, or a file of it is missing.
        Exception: the content is not what was stored.
    """
    checksum, _, text = (entry / "index.json").read_text(encoding="utf-8").partition("\n")
    if sha256(text.encode()) != checksum:
        raise _DamagedError("index.json differs from its checksum")
    index = json.loads(text)
    check_memory_for_images(*index["shape"][:2])
    images_NHWC = np.load(entry / "images.npy", mmap_mode="r", allow_pickle=False)
    # CRC-32 runs at about 1.4 GB/s here, six times as fast as SHA-256, and finds every single flipped bit.
    if list(images_NHWC.shape) != index["shape"] or zlib.crc32(images_NHWC.data) != index["crc32"]:
        raise _DamagedError("images.npy differs from its checksum")
    images = ImageSet(
        images_NHWC=images_NHWC,
        labels_N=np.array(index["labels"], np.int64),
        classes=tuple(index["classes"]),
        names=tuple(index["names"]),
        groups=tuple(index["groups"]),
        notes=tuple(index["notes"]),
        splits=tuple(index["splits"]),
        layout=index["layout"],
    )
    images.__dict__["digest"] = index["digest"]  # Where cached_property keeps it: saves hashing at every start.
    return images


def _store(entry: Path, images: ImageSet) -> None:
    """Publish an entry; the first of two writers wins and the other's work is dropped.

    Raises:
        OSError: the folder cannot be written to, or the disk is full.
    """
    entry.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if shutil.disk_usage(entry.parent).free < images.images_NHWC.nbytes:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    index = {
        "shape": list(images.images_NHWC.shape),
        "crc32": zlib.crc32(np.ascontiguousarray(images.images_NHWC).data),
        "digest": images.digest,
        "labels": images.labels_N.tolist(),
        "classes": images.classes,
        "names": images.names,
        "groups": images.groups,
        "notes": images.notes,
        "splits": images.splits,
        "layout": images.layout,
    }
    stage = Path(tempfile.mkdtemp(prefix=STAGE, dir=entry.parent))
    try:
        new = stage / "new"
        new.mkdir()
        np.save(new / "images.npy", images.images_NHWC, allow_pickle=False)
        text = json.dumps(index)
        (new / "index.json").write_text(f"{sha256(text.encode())}\n{text}", encoding="utf-8")
        if entry.exists():  # Damaged, or _load would have taken it.
            entry.rename(stage / "damaged")
        new.rename(entry)
    except OSError as error:
        # Another process that published the same entry in between has done our work.
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    _drop_old(entry)


def _drop_old(entry: Path) -> None:
    """Remove entries of earlier states of the same source, and what killed processes left in staging a day ago."""
    source = entry.name.partition("-")[0]
    for path in entry.parent.iterdir():
        earlier = path.name.startswith(f"{source}-") and path != entry
        if earlier or (path.name.startswith(STAGE) and path.stat().st_mtime < time.time() - 86_400):
            shutil.rmtree(path, ignore_errors=True)
