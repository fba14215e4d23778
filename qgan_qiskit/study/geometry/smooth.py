"""What latents are made of: numbers that images follow smoothly, and in MediQ-GAN a class and a seed of noise, which are choices.

Shape letters: N latents · Z latent size · S smooth part.
"""

from __future__ import annotations

import torch
from torch import Tensor

from qgan_qiskit.models import Generator
from qgan_qiskit.models.mediq import MediqGenerator
from qgan_qiskit.models.quantum import QuantumGenerator


def smooth_size(generator: Generator) -> int:
    """Return S: the first numbers of a latent, whose small steps make small steps of the image."""
    return generator.config.latent_size if isinstance(generator, MediqGenerator) else generator.latent_size


def noise_high(generator: Generator) -> float | None:
    """Return the upper end of the uniform noise in radians; None for a generator that draws normal numbers."""
    if not isinstance(generator, QuantumGenerator) or isinstance(generator, MediqGenerator):
        return None
    return float(generator.noise_high)


def with_choices_of(generator: Generator, first_NZ: Tensor, second_NZ: Tensor) -> Tensor:
    """Return the second latents with the choices of the first: a straight way between the two then stays in one class."""
    size = smooth_size(generator)
    return torch.cat([second_NZ[:, :size], first_NZ[:, size:]], dim=1)
