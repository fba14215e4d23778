"""Features of real images on disk: every measurement against the same images needs them, and they take minutes.

A file holds the features of one set of images. Its name is a digest of all that decides them: pixels, weights, layers, filter,
device, torch, and the format number. It is written whole or not at all; a damaged one is made again.

Shape letters: N images · H W C image · F features.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

# Raise it whenever the same images would give other features.
_FORMAT = 1
_SUFFIX = ".features.npz"
_STAGE = ".stage-features-"
# Files that nobody has read for so long are removed when another is written.
_KEPT_SECONDS = 90 * 86_400


class FeatureCache:
    """A folder of features; one that cannot be read or written to is as good as none."""

    def __init__(self, folder: Path) -> None:
        """Name the folder; it is made when something is kept.

        Args:
            folder: the cache.
        """
        self._folder = folder

    def get(self, images_NHWC: np.ndarray, reader: list[Any], make: Callable[[], list[np.ndarray]]) -> list[np.ndarray]:
        """Return what ``make`` makes, from the cache if it is there.

        Args:
            images_NHWC: uint8, whose features are wanted.
            reader: anything for JSON that decides them beside the images.
            make: computes them: arrays of N rows, float64 that single precision holds.
        """
        path = self._folder / f"{_key(images_NHWC, reader)}{_SUFFIX}"
        # Damaged bytes make zipfile and NumPy raise nearly anything, and all of it means: again.
        with contextlib.suppress(Exception):
            found = _load(path, len(images_NHWC))
            os.utime(path)
            return found
        matrices = make()
        with contextlib.suppress(OSError):
            self._store(path, matrices)
        return matrices

    def _store(self, path: Path, matrices: list[np.ndarray]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        descriptor, stage = tempfile.mkstemp(prefix=_STAGE, dir=self._folder)
        try:
            with os.fdopen(descriptor, "wb") as file:
                np.savez(file, *[matrix.astype(np.float32) for matrix in matrices])
            Path(stage).replace(path)
        finally:
            Path(stage).unlink(missing_ok=True)
        for other in [*self._folder.glob(f"*{_SUFFIX}"), *self._folder.glob(f"{_STAGE}*")]:
            if other.stat().st_mtime < time.time() - _KEPT_SECONDS:
                other.unlink(missing_ok=True)


def _key(images_NHWC: np.ndarray, reader: list[Any]) -> str:
    key = json.dumps([_FORMAT, torch.__version__, list(images_NHWC.shape), reader])
    return hashlib.sha256(key.encode() + np.ascontiguousarray(images_NHWC).tobytes()).hexdigest()[:40]


def _load(path: Path, rows: int) -> list[np.ndarray]:
    """Read a file; NumPy compares each array with its checksum (CRC-32).

    Raises:
        Exception: it is not there, or not what was stored.
    """
    with np.load(path, allow_pickle=False) as file:
        matrices = [file[name].astype(np.float64) for name in file.files]
    if not matrices or any(len(matrix) != rows for matrix in matrices):
        raise ValueError("other rows")
    return matrices
