"""The networks of each model, built from settings by :func:`build`; a model is a file with a function of that name."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

import torch
from torch import nn

from qgan_qiskit import circuits
from qgan_qiskit.circuits import CircuitSpec
from qgan_qiskit.config import ModelConfig
from qgan_qiskit.models.base import BuildContext, Discriminator, DiscriminatorBatch, Generator, QuantumGenerator
from qgan_qiskit.models.layers import MatchedClassicalBlock
from qgan_qiskit.qnn import SubGenerators

if TYPE_CHECKING:
    from qiskit.primitives import BaseEstimatorV2

__all__ = [
    "BuildContext",
    "Discriminator",
    "DiscriminatorBatch",
    "Generator",
    "QuantumGenerator",
    "build",
    "build_circuit_spec",
    "parameter_count",
    "quantum_counts",
]


def build(
    config: ModelConfig,
    resolution: int,
    generator: torch.Generator,
    estimator: BaseEstimatorV2 | None = None,
    channels: int = 3,
    classes: tuple[str, ...] = (),
) -> tuple[Generator, Discriminator]:
    """Return the generator and the discriminator of a model, initialized.

    Args:
        config: which model, and its sizes.
        resolution: side of the images in pixels.
        generator: source of the initial weights.
        estimator: what evaluates the circuits of a quantum model; None for the exact simulator.
        channels: 3 for color images, 1 for gray ones (QGPatch makes only these).
        classes: names, for a conditional model.
    """
    # Layers draw weights before ours replace them: the caller's global random numbers stay as they were.
    with torch.random.fork_rng(devices=[]):
        networks: tuple[Generator, Discriminator] = _module(config).build(
            config, BuildContext(resolution, generator, estimator, channels, classes)
        )
    return networks


def _module(config: ModelConfig) -> ModuleType:
    return importlib.import_module(f"qgan_qiskit.models.{config.name}")


def build_circuit_spec(config: ModelConfig) -> CircuitSpec:
    """Return the sub-generator's circuit that the settings of a quantum model ask for.

    Raises:
        CircuitError: the model has no circuit, or the user's own file cannot be used.
    """
    # A model may bring a circuit of its own, which it registers when it is imported.
    _module(config)
    return circuits.build_circuit_spec(config)


def parameter_count(*modules: nn.Module) -> int:
    """Return the number of trained numbers in the modules together (a shared one counts once)."""
    return sum({parameter: parameter.numel() for m in modules for parameter in m.parameters()}.values())


def quantum_counts(*modules: nn.Module) -> tuple[int, int]:
    """Return how many numbers are trained in circuits, and how many in classical baselines in their place."""
    parts = [part for module in modules for part in module.modules()]
    circuits, baselines = (
        [part for part in parts if isinstance(part, kind)] for kind in (SubGenerators, MatchedClassicalBlock)
    )
    return parameter_count(*circuits), parameter_count(*baselines)
