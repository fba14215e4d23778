"""One training step: a discriminator update, then a generator update, on one batch and one draw of noise."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from qgan_qiskit.config import TrainingConfig
from qgan_qiskit.errors import DivergedError
from qgan_qiskit.training.compute import autocast
from qgan_qiskit.training.diff_augment import diff_augment
from qgan_qiskit.training.losses import discriminator_loss, generator_loss, gradient_penalty
from qgan_qiskit.training.randomness import seeded
from qgan_qiskit.training.state import TrainingState

_REMEDY = "nothing was updated with it; start a new run from its config.json (--config) with smaller learning rates"


@dataclass(frozen=True)
class StepLosses:
    """Losses of a step (natural-log units for bce); ``reconstruction`` is None where the model has no such term."""

    discriminator: float
    generator: float
    reconstruction: float | None


def train_step(state: TrainingState, real_BCHW: Tensor, config: TrainingConfig) -> StepLosses:
    """Update both networks once, in place, and count the step.

    The generated batch is computed once and used in both updates.

    Args:
        state: what is trained; its ``step`` decides every random draw.
        real_BCHW: real images, float32 in [-1, 1], on the training device.
        config: losses, rates and precision.

    Raises:
        DivergedError: a loss or gradient is not finite; the network it belongs to was not updated with it.
    """
    step, device = state.step, real_BCHW.device
    state.generator.train()
    z_BZ = state.generator.sample_latent(len(real_BCHW), seeded(config.seed, "noise", step)).to(device)
    with autocast(config.precision, device):
        pair = state.generator.training_pair(real_BCHW, z_BZ)
    loss_discriminator = _discriminator_update(state, pair.real, pair.fake.detach(), config)
    loss_generator, reconstruction = _generator_update(state, pair.fake, pair.reconstruction, config)
    state.step += 1
    if state.noise is not None:
        state.generator.set_noise_high(state.noise.update(loss_discriminator, loss_generator))
    state.ema.update(state.step)
    return StepLosses(loss_discriminator, loss_generator, reconstruction)


def _discriminator_update(state: TrainingState, real: Tensor, fake: Tensor, config: TrainingConfig) -> float:
    generator = seeded(config.seed, "discriminator", state.step)
    real, fake = (diff_augment(images, config.diff_augment, generator) for images in (real, fake))
    with autocast(config.precision, real.device):
        logits_real, logits_fake = state.discriminator(real).float(), state.discriminator(fake).float()
    loss = discriminator_loss(config.loss, logits_real, logits_fake)
    if config.loss == "wgan-gp":
        loss = loss + config.gp_weight * gradient_penalty(state.discriminator, real, fake, generator)
    value = _finite(loss, "discriminator loss", state.step)
    state.discriminator_optimiser.zero_grad(set_to_none=True)
    loss.backward()
    _check_gradients(state.discriminator, "discriminator", state.step)
    state.discriminator_optimiser.step()
    return value


def _generator_update(
    state: TrainingState, fake: Tensor, reconstruction: Tensor | None, config: TrainingConfig
) -> tuple[float, float | None]:
    with _frozen(state.discriminator):
        return _update_against(state, fake, reconstruction, config)


@contextmanager
def _frozen(discriminator: nn.Module) -> Iterator[None]:
    """Leave out the gradients of the discriminator's weights: saves a third of its backward pass."""
    discriminator.requires_grad_(False)
    try:
        yield
    finally:
        discriminator.requires_grad_(True)


def _update_against(
    state: TrainingState, fake: Tensor, reconstruction: Tensor | None, config: TrainingConfig
) -> tuple[float, float | None]:
    fake = diff_augment(fake, config.diff_augment, seeded(config.seed, "generator", state.step))
    with autocast(config.precision, fake.device):
        logits = state.discriminator(fake).float()
    adversarial = generator_loss(config.loss, logits)
    total = adversarial if reconstruction is None else adversarial + config.reconstruction_weight * reconstruction
    _finite(total, "generator loss", state.step)
    state.generator_optimiser.zero_grad(set_to_none=True)
    total.backward()
    _check_gradients(state.generator, "generator", state.step)
    state.generator_optimiser.step()
    return adversarial.item(), None if reconstruction is None else reconstruction.item()


def _finite(loss: Tensor, what: str, step: int) -> float:
    value = loss.item()
    if not math.isfinite(value):
        raise DivergedError(f"the {what} is {value} at step {step}: {_REMEDY}")
    return value


def _check_gradients(module: nn.Module, what: str, step: int) -> None:
    norms = torch._foreach_norm(_gradients(module.parameters()))
    if norms and not torch.stack(norms).isfinite().all():
        raise DivergedError(f"a gradient of the {what} is not finite at step {step}: {_REMEDY}")


def _gradients(parameters: Iterable[nn.Parameter]) -> list[Tensor]:
    return [p.grad for p in parameters if p.grad is not None]
