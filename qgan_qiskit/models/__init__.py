"""One file per published system, and their blocks; all built from a configuration by :func:`build`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from qgan_qiskit.circuits import build_circuit_spec
from qgan_qiskit.config import HybridQConfig, MediqConfig, ModelConfig, MosaiqConfig, QgpatchConfig, TransferConfig
from qgan_qiskit.models.base import DiscriminatorBatch, Generator
from qgan_qiskit.models.classical_baseline import MatchedClassicalBlock
from qgan_qiskit.models.dcgan import DcganDiscriminator, DcganGenerator
from qgan_qiskit.models.discriminators import ConditionalDcganDiscriminator, DenseDiscriminator, ProjectionCritic
from qgan_qiskit.models.hybridq import HybridQGenerator
from qgan_qiskit.models.mediq.generator import MediqGenerator
from qgan_qiskit.models.mosaiq import MosaiqGenerator
from qgan_qiskit.models.qgpatch import QgpatchGenerator
from qgan_qiskit.models.transfer import TransferDiscriminator, TransferGenerator
from qgan_qiskit.qnn import SubGenerators

if TYPE_CHECKING:
    from qiskit.primitives import BaseEstimatorV2

__all__ = ["DiscriminatorBatch", "Generator", "build", "build_circuit_spec", "parameter_count", "quantum_counts"]


def build(
    config: ModelConfig,
    resolution: int,
    generator: torch.Generator,
    estimator: BaseEstimatorV2 | None = None,
    channels: int = 3,
    classes: tuple[str, ...] = (),
) -> tuple[Generator, nn.Module]:
    """Return the generator and the discriminator of a model, initialized.

    Args:
        config: which model, and its sizes.
        resolution: side of the images in pixels.
        generator: source of the initial weights.
        estimator: what evaluates the circuits of a quantum model; None for the exact simulator.
        channels: 3 for color images, 1 for gray ones (QGPatch makes only these).
        classes: names, for a model that makes images of several.
    """
    # Layers draw weights of their own before ours replace them: the caller's global random numbers stay as they were.
    with torch.random.fork_rng(devices=[]):
        if isinstance(config, QgpatchConfig):
            return QgpatchGenerator(config, resolution, generator, estimator), DenseDiscriminator(
                resolution**2, generator
            )
        if isinstance(config, MediqConfig):
            conditional = MediqGenerator(config, resolution, classes, generator, estimator, channels)
            width, count = config.critic_width, len(classes)
            if config.critic == "projection":
                return conditional, ProjectionCritic(width, resolution, count, generator, channels)
            return conditional, ConditionalDcganDiscriminator(
                width, resolution, count, generator, channels, minibatch_std=config.minibatch_std
            )
        if isinstance(config, TransferConfig):
            transfer = TransferGenerator(config, resolution, generator, estimator, channels)
            return transfer, TransferDiscriminator(config, generator, estimator, channels)
        if isinstance(config, MosaiqConfig):
            model: Generator = MosaiqGenerator(config, resolution, generator, estimator, channels)
            return model, DenseDiscriminator(config.sub_generators * config.num_qubits, generator)
        if isinstance(config, HybridQConfig):
            model = HybridQGenerator(config, resolution, generator, estimator, channels)
            if config.mode == "latent":
                features = config.sub_generators * build_circuit_spec(config).num_observables
                return model, DenseDiscriminator(features, generator, slope=0.2)
        else:
            model = DcganGenerator(config, resolution, generator, channels)
        discriminator = DcganDiscriminator(
            config.discriminator_width,
            resolution,
            config.discriminator_norm,
            generator,
            channels,
            minibatch_std=config.minibatch_std,
        )
        return model, discriminator


def parameter_count(*modules: nn.Module) -> int:
    """Return the number of trained numbers in the modules together (a shared one counts once)."""
    return sum({parameter: parameter.numel() for m in modules for parameter in m.parameters()}.values())


def quantum_counts(*modules: nn.Module) -> tuple[int, int]:
    """Return how many numbers are trained in circuits, and how many in classical classical baselines in their place."""
    parts = [part for module in modules for part in module.modules()]
    circuits, twins = (
        [part for part in parts if isinstance(part, kind)] for kind in (SubGenerators, MatchedClassicalBlock)
    )
    return parameter_count(*circuits), parameter_count(*twins)
