"""One training step: a discriminator update, then a generator update, on one batch and one draw of noise."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from qgan_qiskit.config import TrainingConfig
from qgan_qiskit.errors import DivergedError
from qgan_qiskit.training.compute import autocast
from qgan_qiskit.training.diff_augment import diff_augment
from qgan_qiskit.training.losses import discriminator_loss, generator_loss, gradient_penalty, r1_penalty
from qgan_qiskit.training.randomness import seeded
from qgan_qiskit.training.ranks import ALONE, Ranks
from qgan_qiskit.training.state import TrainingState

_REMEDY = "nothing was updated with it; start a new run from its config.json (--config) with smaller learning rates"


@dataclass(frozen=True)
class StepLosses:
    """Losses of a step over the whole batch (natural-log units for bce).

    ``reconstruction`` is None where the model has no such term.
    """

    discriminator: float
    generator: float
    reconstruction: float | None


def train_step(state: TrainingState, real_BCHW: Tensor, config: TrainingConfig, ranks: Ranks = ALONE) -> StepLosses:
    """Update both networks once, in place, and count the step.

    The generated batch is computed once and used in both updates.

    Args:
        state: what is trained; its ``step`` decides every random draw.
        real_BCHW: real images, float32 in [-1, 1], on the training device: this process's rows of the batch.
        config: losses, rates and precision.
        ranks: the processes that share the batch; their networks must be joined (``whole_batch.join``).

    Raises:
        DivergedError: a loss or gradient is not finite; the network it belongs to was not updated with it.
    """
    step, device = state.step, real_BCHW.device
    state.generator.train()
    z_BZ = state.generator.sample_latent(len(real_BCHW) * ranks.count, seeded(config.seed, "noise", step))
    with autocast(config.precision, device):
        pair = state.generator.training_pair(real_BCHW, ranks.rows(z_BZ).to(device))
    loss_discriminator = _discriminator_update(state, pair.real, pair.fake.detach(), config, ranks)
    loss_generator, reconstruction = _generator_update(state, pair.fake, pair.reconstruction, config, ranks)
    state.step += 1
    if state.noise is not None:
        state.generator.set_noise_high(state.noise.update(loss_discriminator, loss_generator))
    state.ema.update(state.step)
    return StepLosses(loss_discriminator, loss_generator, reconstruction)


def _discriminator_update(
    state: TrainingState, real: Tensor, fake: Tensor, config: TrainingConfig, ranks: Ranks
) -> float:
    generator = seeded(config.seed, "discriminator", state.step)
    real, fake = (_augmented(samples, config, state.step, generator, ranks) for samples in (real, fake))
    if config.r1_weight:
        real = real.detach().requires_grad_()
    with autocast(config.precision, real.device):
        logits_real, logits_fake = state.discriminator(real).float(), state.discriminator(fake).float()
    loss = discriminator_loss(config.loss, logits_real, logits_fake)
    if config.r1_weight:
        loss = loss + config.r1_weight * r1_penalty(logits_real, real)
    if config.loss == "wgan-gp":
        loss = loss + config.gp_weight * gradient_penalty(state.discriminator, real, fake, generator, ranks)
    value = _finite(ranks.mean(loss).item(), "discriminator loss", state.step)
    state.discriminator_optimiser.zero_grad(set_to_none=True)
    loss.backward()
    ranks.average_gradients(state.discriminator.parameters())
    _check_gradients(state.discriminator, "discriminator", state.step)
    state.discriminator_optimiser.step()
    return value


def _augmented(samples: Tensor, config: TrainingConfig, step: int, generator: torch.Generator, ranks: Ranks) -> Tensor:
    """Change what the discriminator sees, from the step on that the settings name."""
    return diff_augment(samples, config.diff_augment, generator, ranks) if step >= config.diff_augment_from else samples


def _generator_update(
    state: TrainingState, fake: Tensor, reconstruction: Tensor | None, config: TrainingConfig, ranks: Ranks
) -> tuple[float, float | None]:
    with _frozen(state.discriminator):
        return _update_against(state, fake, reconstruction, config, ranks)


@contextmanager
def _frozen(discriminator: nn.Module) -> Iterator[None]:
    """Leave out the gradients of the discriminator's weights: saves a third of its backward pass."""
    discriminator.requires_grad_(False)
    try:
        yield
    finally:
        discriminator.requires_grad_(True)


def _update_against(
    state: TrainingState, fake: Tensor, reconstruction: Tensor | None, config: TrainingConfig, ranks: Ranks
) -> tuple[float, float | None]:
    fake = _augmented(fake, config, state.step, seeded(config.seed, "generator", state.step), ranks)
    with autocast(config.precision, fake.device):
        logits = state.discriminator(fake).float()
    adversarial = generator_loss(config.loss, logits)
    terms = [adversarial] if reconstruction is None else [adversarial, reconstruction]
    total = adversarial if reconstruction is None else adversarial + config.reconstruction_weight * reconstruction
    value, *values = ranks.mean(torch.stack([total, *terms])).tolist()
    _finite(value, "generator loss", state.step)
    state.generator_optimiser.zero_grad(set_to_none=True)
    total.backward()
    ranks.average_gradients(state.generator.parameters())
    _check_gradients(state.generator, "generator", state.step)
    state.generator_optimiser.step()
    return values[0], None if reconstruction is None else values[1]


def _finite(value: float, what: str, step: int) -> float:
    if not math.isfinite(value):
        raise DivergedError(f"the {what} is {value} at step {step}: {_REMEDY}")
    return value


def _check_gradients(module: nn.Module, what: str, step: int) -> None:
    norms = torch._foreach_norm([p.grad for p in module.parameters() if p.grad is not None])
    if norms and not torch.stack(norms).isfinite().all():
        raise DivergedError(f"a gradient of the {what} is not finite at step {step}: {_REMEDY}")
