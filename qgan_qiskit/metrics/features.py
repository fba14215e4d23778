"""Inception features of images, those of real images cached on disk: every measurement needs them, and they take minutes.

A cache file holds the features of one set of images. Its name is a digest of everything they depend on: pixels, weights,
layers, filter, device, torch and the format number. It is written atomically; a damaged one is computed again.

Shape letters: N images · B batch · H W C image · F features · K classes.
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

# The fastest on a CPU; larger batches exceed its cache.
_BATCH = 8
# Raise this whenever the same images would give other features.
_FORMAT = 1
_SUFFIX = ".features.npz"
# Cache files unread for this long are removed when another one is written.
_MAX_AGE_SECONDS = 90 * 86_400


def load_inception(config: EvaluationConfig) -> tuple[Inception, Output] | None:
    """Return the network and the feature layer that the settings name, or None if they name no weights.

    Raises:
        DataError: the weights cannot be used, or lack the layer or an output that a metric asked for by name needs.
    """
    if config.fid_weights is None:
        return None
    network = Inception(config.fid_weights, config.resize)
    deepest = config.feature_layer == "deepest"
    layer = network.feature_layers[-1] if deepest else cast(Output, int(config.feature_layer))
    network.require_outputs([layer])
    if "is" in config.names() and config.metrics != "all":
        network.require_outputs(["logits"])
    return network, layer


@dataclass(frozen=True, eq=False)
class FeatureSet:
    """A set of images with their features."""

    images_NHWC: np.ndarray  # uint8 of shape (N, H, W, 3)
    features_NF: np.ndarray  # float64, pooled features at one layer; of shape (N, 0) without a network
    logits_NK: np.ndarray  # float64, class logits; of shape (N, 0) if not needed

    @classmethod
    def from_outputs(cls, images_NHWC: np.ndarray, *outputs: np.ndarray) -> FeatureSet:
        """Return images with their features and logits, or without the latter, or without both."""
        empty = np.zeros((len(images_NHWC), 0))
        return cls(images_NHWC, *[*outputs, empty, empty][:2])

    def __len__(self) -> int:
        return len(self.images_NHWC)

    def __getitem__(self, rows: np.ndarray | slice) -> FeatureSet:
        return FeatureSet(self.images_NHWC[rows], self.features_NF[rows], self.logits_NK[rows])


class FeatureExtractor:
    """Computes the features of sets of images at one layer of a network, and its class logits if needed."""

    def __init__(
        self,
        network: Inception,
        layer: Output,
        with_logits: bool,
        device: torch.device,
        *,
        progress: bool = False,
        cache_dir: Path | None = None,
    ) -> None:
        """Check that the weights give these outputs.

        ``progress`` shows a bar on a terminal, and ``cache_dir`` is the folder of cached features, if any.

        Raises:
            DataError: the weights file lacks the layer or the logits.
        """
        self._outputs: list[Output] = [layer, "logits"] if with_logits else [layer]
        network.require_outputs(self._outputs)
        self.network, self.layer = network.to(device), layer
        self._device, self._progress = device, progress
        self._cache = None if cache_dir is None else FeatureCache(cache_dir)

    def extract(self, images_NHWC: np.ndarray, *, cached: bool = False) -> FeatureSet:
        """Return uint8 images of shape (N, H, W, 3), at least one, with their features.

        Args:
            images_NHWC: the images.
            cached: whether to use the cache, if there is one; for real images, which are measured repeatedly.

        Raises:
            DataError: features that are not finite.
        """
        if not cached or self._cache is None:
            return FeatureSet.from_outputs(images_NHWC, *self._compute(images_NHWC))
        key = [self.network.digest, self.network.resize, self._outputs, self._device.type]
        outputs = self._cache.get_or_compute(images_NHWC, key, lambda: self._compute(images_NHWC))
        return FeatureSet.from_outputs(images_NHWC, *outputs)

    def _compute(self, images_NHWC: np.ndarray) -> list[np.ndarray]:
        batches: list[list[np.ndarray]] = [[] for _ in self._outputs]
        # disable=None: a bar on a terminal only.
        with tqdm(
            total=len(images_NHWC), unit="image", desc="features", disable=None if self._progress else True
        ) as bar:
            for start in range(0, len(images_NHWC), _BATCH):
                # A copy: the images may be a read-only memory map.
                batch_BHWC = np.array(images_NHWC[start : start + _BATCH], order="C")
                batch_BCHW = torch.from_numpy(batch_BHWC).to(self._device).permute(0, 3, 1, 2)
                outputs = self.network(batch_BCHW.float().div(127.5).sub(1), self._outputs)
                for batch, name in zip(batches, self._outputs, strict=True):
                    batch.append(outputs[name].double().cpu().numpy())
                bar.update(len(batch_BHWC))
        matrices = [np.concatenate(batch) for batch in batches]
        if not all(np.isfinite(matrix).all() for matrix in matrices):
            raise DataError(f"{self.network.path}: gives features that are not finite; name another --fid-weights")
        return matrices


class FeatureCache:
    """A folder of features; if it cannot be read or written, features are computed as without it."""

    def __init__(self, folder: Path) -> None:
        """Name the folder, which is made with the first file."""
        self._folder = folder

    def get_or_compute(
        self, images_NHWC: np.ndarray, key: list[Any], compute: Callable[[], list[np.ndarray]]
    ) -> list[np.ndarray]:
        """Return the features of uint8 images, from the cache if they are there.

        Args:
            images_NHWC: the images.
            key: everything else the features depend on, ready for JSON.
            compute: returns arrays of N rows, float64 values that fit in float32.
        """
        text = json.dumps([_FORMAT, torch.__version__, list(images_NHWC.shape), key])
        digest = hashlib.sha256(text.encode() + np.ascontiguousarray(images_NHWC).tobytes()).hexdigest()
        path = self._folder / f"{digest[:40]}{_SUFFIX}"
        # Damaged bytes make zipfile and NumPy raise nearly anything; then the features are computed again.
        with contextlib.suppress(Exception):
            matrices = _load(path, len(images_NHWC))
            os.utime(path)
            return matrices
        matrices = compute()
        with contextlib.suppress(OSError):
            self._store(path, matrices)
        return matrices

    def _store(self, path: Path, matrices: list[np.ndarray]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        arrays = [matrix.astype(np.float32) for matrix in matrices]
        atomic_write(path, lambda file: np.savez(file, *arrays), sync=False)
        for other in [*self._folder.glob(f"*{_SUFFIX}"), *self._folder.glob(f".*{_SUFFIX}.*.staging")]:
            if other.stat().st_mtime < time.time() - _MAX_AGE_SECONDS:
                other.unlink(missing_ok=True)


def _load(path: Path, rows: int) -> list[np.ndarray]:
    """Read a file, or raise any exception if it is damaged; NumPy verifies the checksum (CRC-32) of each array."""
    with np.load(path, allow_pickle=False) as file:
        matrices = [file[name].astype(np.float64) for name in file.files]
    if not matrices or any(len(matrix) != rows for matrix in matrices):
        raise ValueError("other rows")
    return matrices
