"""One file per published system, and their blocks; all built from a configuration by :func:`build`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from qgan_qiskit.config import DcganConfig, HybridQConfig
from qgan_qiskit.models.dcgan import DcganDiscriminator, DcganGenerator
from qgan_qiskit.models.encoders import LatentDiscriminator
from qgan_qiskit.models.hybridq import HybridQGenerator, ansatz_of
from qgan_qiskit.models.pair import Generator, Pair

if TYPE_CHECKING:
    from qiskit.primitives import BaseEstimatorV2

__all__ = ["Generator", "Pair", "ansatz_of", "build", "parameter_count"]


def build(
    config: HybridQConfig | DcganConfig,
    resolution: int,
    generator: torch.Generator,
    estimator: BaseEstimatorV2 | None = None,
) -> tuple[Generator, nn.Module]:
    """Return the generator and the discriminator of a model, initialised.

    Args:
        config: which model, and its sizes.
        resolution: side of the images in pixels.
        generator: source of the initial weights.
        estimator: what evaluates the circuits of a quantum model; None for the exact simulator.
    """
    # Layers draw weights of their own before ours replace them: the caller's global random numbers stay as they were.
    with torch.random.fork_rng(devices=[]):
        if isinstance(config, DcganConfig):
            model: Generator = DcganGenerator(config, resolution, generator)
        else:
            model = HybridQGenerator(config, resolution, generator, estimator)
            if config.mode == "latent":
                ansatz = ansatz_of(config)
                return model, LatentDiscriminator(config.sub_generators * ansatz.num_observables, generator)
        return model, DcganDiscriminator(config.discriminator_width, resolution, config.discriminator_norm, generator)


def parameter_count(*modules: nn.Module) -> int:
    """Return the number of trained numbers in the modules together (a shared one counts once)."""
    return sum({parameter: parameter.numel() for m in modules for parameter in m.parameters()}.values())
