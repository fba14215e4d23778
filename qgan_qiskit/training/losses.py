"""Adversarial losses and gradient penalties, on logits: what the discriminator and the generator minimize.

Shape letters: B batch.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus

from qgan_qiskit.training.distributed import SINGLE_PROCESS, ProcessGroup


def discriminator_loss(name: str, real_B: Tensor, fake_B: Tensor) -> Tensor:
    """Return the discriminator's loss, a scalar: pushes logits of real samples up and of generated ones down.

    Args:
        name: ``bce`` (Goodfellow et al. 2014), ``hinge`` (Lim and Ye 2017) or ``wgan-gp`` (Gulrajani et al. 2017; add
            :func:`gradient_penalty`).
        real_B: logits of real samples.
        fake_B: logits of generated samples.
    """
    if name == "bce":
        return softplus(-real_B).mean() + softplus(fake_B).mean()
    if name == "hinge":
        return relu(1 - real_B).mean() + relu(1 + fake_B).mean()
    return fake_B.mean() - real_B.mean()


def generator_loss(name: str, fake_B: Tensor) -> Tensor:
    """Return the generator's loss, a scalar: pushes logits of generated samples up (bce: the non-saturating form)."""
    return softplus(-fake_B).mean() if name == "bce" else -fake_B.mean()


def r1_penalty(logits_B: Tensor, real: Tensor) -> Tensor:
    """Return R1, half the mean squared gradient norm of the discriminator at real samples (Mescheder et al. 2018, eq. 9).

    Args:
        logits_B: the discriminator's logits of ``real``, with their graph.
        real: real samples, first dimension B, that require a gradient.
    """
    (gradient,) = torch.autograd.grad(logits_B.sum(), real, create_graph=True)
    return 0.5 * gradient.flatten(1).square().sum(dim=1).mean()


def gradient_penalty(
    discriminator: Callable[[Tensor], Tensor],
    real: Tensor,
    fake: Tensor,
    generator: torch.Generator,
    group: ProcessGroup = SINGLE_PROCESS,
) -> Tensor:
    """Return the mean of (|gradient| - 1)² at random points between real and generated samples (Gulrajani et al. 2017).

    Args:
        discriminator: samples to logits.
        real: real samples, first dimension B; no gradient flows into them.
        fake: generated samples of the same shape; no gradient flows into them.
        generator: source of the points.
        group: the processes that share the batch.
    """
    weights_B = group.local_shard(torch.rand(len(real) * group.world_size, generator=generator))
    weights = weights_B.to(real.device).view(-1, *[1] * (real.dim() - 1))
    points = torch.lerp(real.detach().float(), fake.detach().float(), weights).requires_grad_()
    (gradient,) = torch.autograd.grad(discriminator(points).sum(), points, create_graph=True)
    return (gradient.flatten(1).norm(dim=1) - 1).square().mean()
