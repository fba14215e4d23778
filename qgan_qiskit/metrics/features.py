"""Features of real images on disk: every measurement against the same images needs them, and they take minutes.

A file holds the features of one set of images. Its name is a digest of all that decides them: pixels, weights, layers, filter,
device, torch, and the format number. It is written whole or not at all; a damaged one is made again.

Shape letters: N images · H W C image · F features.

Images to feature matrices.

Shape letters: N images · H W C image · F features · K classes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from tqdm import tqdm

from qgan_qiskit.config import EvaluationConfig
from qgan_qiskit.errors import DataError
from qgan_qiskit.metrics.inception import Inception, Output
from qgan_qiskit.storage import atomic_write

# Raise it whenever the same images would give other features.
_FORMAT = 1
_SUFFIX = ".features.npz"
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
        arrays = [matrix.astype(np.float32) for matrix in matrices]
        atomic_write(path, lambda file: np.savez(file, *arrays), sync=False)
        for other in [*self._folder.glob(f"*{_SUFFIX}"), *self._folder.glob(f".*{_SUFFIX}.*.staging")]:
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


# The fastest on a processor; larger batches fall out of its cache.
_BATCH = 8


def open_network(config: EvaluationConfig) -> tuple[Inception, Output] | None:
    """Return the network and the tap that settings name, or None where they name no weights.

    Raises:
        DataError: the weights cannot be used, or lack the tap or what a metric asked for by name needs.
    """
    if config.fid_weights is None:
        return None
    network = Inception(config.fid_weights, config.resize)
    tap = network.taps[-1] if config.tap == "deepest" else cast(Output, int(config.tap))
    network.check([tap])
    if "is" in config.names() and config.metrics != "all":
        network.check(["logits"])
    return network, tap


@dataclass(frozen=True, eq=False)
class FeatureSet:
    """A set of images and what a network says about it.

    Attributes:
        images_NHWC: uint8 of shape (N, H, W, 3).
        tap_NF: float64, averaged features at one tap; of shape (N, 0) where no network is used.
        logits_NK: float64, class logits; of shape (N, 0) where they are not needed.
    """

    images_NHWC: np.ndarray
    tap_NF: np.ndarray
    logits_NK: np.ndarray

    @classmethod
    def unread(cls, images_NHWC: np.ndarray) -> FeatureSet:
        """Return a set that no network has seen."""
        nothing = np.zeros((len(images_NHWC), 0))
        return cls(images_NHWC, nothing, nothing)

    def __len__(self) -> int:
        return len(self.images_NHWC)

    def __getitem__(self, rows: np.ndarray | slice) -> FeatureSet:
        return FeatureSet(self.images_NHWC[rows], self.tap_NF[rows], self.logits_NK[rows])


class FeatureExtractor:
    """Reads the features of sets of images with one network.

    Attributes:
        network: with its weights.
        tap: width of the layer that is read.
    """

    def __init__(
        self,
        network: Inception,
        tap: Output,
        with_logits: bool,
        device: torch.device,
        *,
        progress: bool,
        cache: FeatureCache | None = None,
    ) -> None:
        """Check that the weights give what is asked for.

        Args:
            network: with its weights.
            tap: width of the layer.
            with_logits: whether class logits are needed, too.
            device: where to compute.
            progress: whether to show a bar on a terminal.
            cache: keeps the features of real images; None: each reader computes them.

        Raises:
            DataError: the weights file lacks the tap or the logits.
        """
        self._outputs: list[Output] = [tap, "logits"] if with_logits else [tap]
        network.check(self._outputs)
        self.network, self.tap = network.to(device), tap
        self._device, self._progress, self._cache = device, progress, cache

    def read(self, images_NHWC: np.ndarray) -> FeatureSet:
        """Return uint8 images of shape (N, H, W, 3), at least one, with their features.

        Raises:
            DataError: features that are not finite, which good weights never give.
        """
        return self._side(images_NHWC, self._computed(images_NHWC))

    def read_real(self, images_NHWC: np.ndarray) -> FeatureSet:
        """Return the same as :meth:`read`, from the cache where it has it: real images come again and again.

        Raises:
            DataError: features that are not finite.
        """
        if self._cache is None:
            return self.read(images_NHWC)
        reader = [self.network.digest, self.network.resize, self._outputs, self._device.type]
        return self._side(images_NHWC, self._cache.get(images_NHWC, reader, lambda: self._computed(images_NHWC)))

    def _side(self, images_NHWC: np.ndarray, matrices: list[np.ndarray]) -> FeatureSet:
        logits = matrices[1] if len(matrices) > 1 else np.zeros((len(images_NHWC), 0))
        return FeatureSet(images_NHWC, matrices[0], logits)

    def _computed(self, images_NHWC: np.ndarray) -> list[np.ndarray]:
        found: list[list[np.ndarray]] = [[] for _ in self._outputs]
        # None: a bar on a terminal, nothing in a log.
        with tqdm(
            total=len(images_NHWC), unit="image", desc="features", disable=None if self._progress else True
        ) as bar:
            for start in range(0, len(images_NHWC), _BATCH):
                # A copy: the images may be a read-only memory map.
                batch_BHWC = np.array(images_NHWC[start : start + _BATCH], order="C")
                batch_BCHW = torch.from_numpy(batch_BHWC).to(self._device).permute(0, 3, 1, 2)
                outputs = self.network(batch_BCHW.float().div(127.5).sub(1), self._outputs)
                for parts, output in zip(found, self._outputs, strict=True):
                    parts.append(outputs[output].double().cpu().numpy())
                bar.update(len(batch_BHWC))
        matrices = [np.concatenate(parts) for parts in found]
        if not all(np.isfinite(matrix).all() for matrix in matrices):
            raise DataError(f"{self.network.path}: gives features that are not finite; name another --fid-weights")
        return matrices
