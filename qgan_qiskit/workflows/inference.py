"""Images of a trained generator whose circuits run on a backend: angles out, expectation values in, images decoded here.

Shape letters: N images · C H W image · P sub-generators · O observables.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from qgan_qiskit.config import HardwareConfig
from qgan_qiskit.hardware.backends import open_simulated_backend
from qgan_qiskit.hardware.generator_circuits import circuit_inputs, decode_batch
from qgan_qiskit.hardware.results import ExpectationResult
from qgan_qiskit.models import Generator
from qgan_qiskit.runs.run_folder import versions
from qgan_qiskit.runs.sample import sample_latents

logger = logging.getLogger(__name__)

# Images decoded at a time.
_BATCH = 32


@dataclass(frozen=True, eq=False)
class BackendImages:
    """Images from a backend, and what it returned."""

    images_NCHW: Tensor  # in [-1, 1]
    result: ExpectationResult  # expectation values (N, P, O), their errors and auxiliary arrays
    settings: HardwareConfig  # backend, shots, mitigation
    device: dict[str, Any]  # its name, calibration and layouts, for JSON
    seconds: float  # that the circuits took

    @classmethod
    def concatenate(cls, parts: Sequence[BackendImages]) -> BackendImages:
        """Join the images of several runs with the same settings."""
        first = parts[0]
        result = ExpectationResult.concatenate([part.result for part in parts], axis=0)
        images_NCHW = torch.cat([part.images_NCHW for part in parts])
        return cls(images_NCHW, result, first.settings, first.device, sum(part.seconds for part in parts))

    def arrays(self) -> dict[str, np.ndarray]:
        """Return ``evs``, ``stds`` and the auxiliary arrays by name."""
        return {"evs": self.result.evs_BPO, "stds": self.result.stds_BPO, **self.result.auxiliary}

    def to_json(self) -> str:
        """Return everything but images and arrays."""
        content = {
            "settings": self.settings.model_dump(),
            "device": self.device,
            "seconds": round(self.seconds, 1),
            "versions": versions(),
        }
        return json.dumps(content, indent=1) + "\n"


def generate_on_simulator(generator: Generator, seeds: Sequence[int], config: HardwareConfig) -> BackendImages:
    """Return the images of seeds with the circuits run on a simulated backend.

    Raises:
        UsageError: the generator has no circuits, there is no such device, or a package is not installed.
    """
    work = circuit_inputs(generator, sample_latents(generator, seeds))
    backend = open_simulated_backend(config)
    logger.info(backend.describe_plan(work.ansatz, len(work.weights_PK)))
    started = time.monotonic()
    result = backend.run(work.ansatz, work.angles_BPQ, work.weights_PK)
    seconds = time.monotonic() - started
    logger.info(f"{len(seeds)} images in {seconds:.1f} s, {60 * len(seeds) / seconds:.1f} images per minute")
    return decode_result(generator, seeds, result, config, backend.metadata(), seconds)


def decode_result(
    generator: Generator,
    seeds: Sequence[int],
    result: ExpectationResult,
    config: HardwareConfig,
    device: dict[str, Any],
    seconds: float,
) -> BackendImages:
    """Return the images that a backend's expectation values decode to.

    Raises:
        RemoteError: expectation values that are not finite.
    """
    result.check_finite(config.backend)
    return BackendImages(decode_expectations(generator, seeds, result.evs_BPO), result, config, device, seconds)


def decode_expectations(generator: Generator, seeds: Sequence[int], evs_NPO: np.ndarray) -> Tensor:
    """Return the images (N, C, H, W) in [-1, 1] of seeds, with given expectation values in place of the circuits'."""
    latents_NZ = sample_latents(generator, seeds).split(_BATCH)
    evs = torch.from_numpy(evs_NPO).split(_BATCH)
    return torch.cat([decode_batch(generator, z, evs_BPO.numpy()) for z, evs_BPO in zip(latents_NZ, evs, strict=True)])
