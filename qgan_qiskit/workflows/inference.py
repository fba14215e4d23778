"""Images of a trained generator whose circuits run on a device: angles out, expectations in, images.

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
from qgan_qiskit.hardware.generator_circuits import images_of, work_of
from qgan_qiskit.hardware.results import ExpectationResult
from qgan_qiskit.hardware.simulated_backend import open_local
from qgan_qiskit.models import Generator
from qgan_qiskit.runs.run_folder import versions
from qgan_qiskit.runs.sample import sample_latents

# Images that the networks behind the circuits make at a time.
logger = logging.getLogger(__name__)


_BLOCK = 32


@dataclass(frozen=True, eq=False)
class Inferred:
    """Images from a device, and what it said.

    Attributes:
        images_NCHW: in [-1, 1].
        readings: expectations, their errors and the raw values behind them, (N, P, O, …).
        settings: backend, shots, mitigation.
        device: what is known of the device: name, places.
        seconds: that the circuits took.
    """

    images_NCHW: Tensor
    readings: ExpectationResult
    settings: HardwareConfig
    device: dict[str, Any]
    seconds: float

    def arrays(self) -> dict[str, np.ndarray]:
        """Return ``evs``, ``stds`` and the raw values of ZNE by name."""
        return {"evs": self.readings.evs_BPO, "stds": self.readings.stds_BPO, **self.readings.more}

    def description(self) -> str:
        """Return everything but images and arrays as JSON."""
        content = {
            "settings": self.settings.model_dump(),
            "device": self.device,
            "seconds": round(self.seconds, 1),
            "versions": versions(),
        }
        return json.dumps(content, indent=1) + "\n"


def infer(generator: Generator, seeds: Sequence[int], config: HardwareConfig) -> Inferred:
    """Return the images of seeds with the circuits run on a simulated device.

    Args:
        generator: from ``load_generator``.
        seeds: one image each.
        config: the device, shots, mitigation.

    Raises:
        UsageError: the generator has no circuits, or there is no such device.
    """
    work = work_of(generator, sample_latents(generator, seeds))
    device = open_local(config)
    logger.info(device.plan(work.ansatz, len(work.weights_PK)))
    begun = time.monotonic()
    readings = device.readings(work.ansatz, work.angles_BPQ, work.weights_PK)
    seconds = time.monotonic() - begun
    logger.info(f"{len(seeds)} images in {seconds:.1f} s, {60 * len(seeds) / seconds:.1f} images per minute")
    return inferred(generator, seeds, readings, config, device.description(), seconds)


def inferred(
    generator: Generator,
    seeds: Sequence[int],
    readings: ExpectationResult,
    config: HardwareConfig,
    device: dict[str, Any],
    seconds: float,
) -> Inferred:
    """Return the images that a device's expectations give.

    Args:
        generator: whose circuits were run.
        seeds: of the images.
        readings: of all of them.
        config: what was asked for.
        device: what is known of it, for JSON.
        seconds: that it took.

    Raises:
        RemoteError: expectations that are not finite.
    """
    readings.check(config.backend)
    return Inferred(decoded(generator, seeds, readings.evs_BPO), readings, config, device, seconds)


def joined(parts: Sequence[Inferred]) -> Inferred:
    """Return the images of several calls of :func:`infer` with the same settings as those of one."""
    first = parts[0]
    if len(parts) == 1:
        return first
    readings = ExpectationResult.joined([part.readings for part in parts], axis=0)
    images_NCHW = torch.cat([part.images_NCHW for part in parts])
    return Inferred(images_NCHW, readings, first.settings, first.device, sum(part.seconds for part in parts))


def decoded(generator: Generator, seeds: Sequence[int], evs_NPO: np.ndarray) -> Tensor:
    """Return the images (N, C, H, W) in [-1, 1] of seeds with given expectations in the circuits' place."""
    latents_NZ = sample_latents(generator, seeds).split(_BLOCK)
    evs = torch.from_numpy(evs_NPO).split(_BLOCK)
    return torch.cat([images_of(generator, z, evs_BPO.numpy()) for z, evs_BPO in zip(latents_NZ, evs, strict=True)])
