"""One training step: discriminator updates, each on a batch of its own, then one generator update; and its learning rates.

Everything random in a step is a function of the run's seed and the step's number. An update that would use a loss or gradient
that is not finite is refused, so the networks stay as they were.

Shape letters: B images of a batch · C H W image.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from qgan_qiskit.config import TrainingConfig
from qgan_qiskit.device import autocast
from qgan_qiskit.errors import DivergedError
from qgan_qiskit.models import DiscriminatorBatch
from qgan_qiskit.rng import seeded_generator
from qgan_qiskit.training.diff_augment import diff_augment
from qgan_qiskit.training.distributed import SINGLE_PROCESS, ProcessGroup
from qgan_qiskit.training.losses import discriminator_loss, generator_loss, gradient_penalty, r1_penalty
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


def learning_rate_factor(step: int, steps: int, decay_from: float) -> float:
    """Return the factor of all learning rates at a step: constant, then linear to 0 at the end of the run.

    With small steps at the end the two networks settle instead of circling each other.

    Args:
        step: steps done before this one, from 0.
        steps: of the whole run.
        decay_from: fraction of the run after which rates decay; 1 for never.
    """
    left = (steps - step) / steps
    return 1.0 if decay_from >= 1 or left >= 1 - decay_from else left / (1 - decay_from)


def set_learning_rates(state: TrainingState, config: TrainingConfig, steps: int) -> None:
    """Set both optimizers' learning rates for the next step; ``steps`` is the length of the whole run."""
    factor = learning_rate_factor(state.step, steps, config.lr_decay_from)
    for optimizer, classical in (
        (state.generator_optimizer, config.lr_classical),
        (state.discriminator_optimizer, config.lr_discriminator),
    ):
        for param_group in optimizer.param_groups:
            param_group["lr"] = (config.lr_quantum if param_group["name"] == "quantum" else classical) * factor


def train_step(
    state: TrainingState,
    real_BCHW: Tensor,
    config: TrainingConfig,
    group: ProcessGroup = SINGLE_PROCESS,
    labels_B: Tensor | None = None,
) -> StepLosses:
    """Update the discriminator ``critic_steps`` times and the generator once, in place, and count the step.

    The last generated batch is computed once and used in both updates.

    Args:
        state: networks, optimizers, EMA and the step's number.
        real_BCHW: real images, float32 in [-1, 1], on the training device: this process's rows of all batches of the step.
        config: losses, rates and precision.
        group: the processes that share the batches; their networks went through ``convert_sync_batchnorm``.
        labels_B: classes of the real images, for a conditional model; images of the same classes are generated.

    Raises:
        DivergedError: a loss or gradient is not finite; its network was not updated with it.
    """
    state.generator.train()
    number = config.critic_steps
    labels = [None] * number if labels_B is None else labels_B.chunk(number)
    losses = []
    for index, (real, real_labels) in enumerate(zip(real_BCHW.chunk(number), labels, strict=True)):
        batch_index = state.step * number + index
        # Only the last batch needs a graph: the generator's update uses it again.
        with torch.set_grad_enabled(index == number - 1):
            batch = _generate_batch(state, real, real_labels, batch_index, config, group)
        losses.append(_update_discriminator(state, batch, batch_index, config, group))
    loss_discriminator = sum(losses) / number
    with _frozen(state.discriminator):
        loss_generator, reconstruction = _update_generator(state, batch, config, group)
    state.step += 1
    if state.latent_range is not None:
        state.generator.set_latent_high(state.latent_range.update(loss_discriminator, loss_generator))
    state.ema.update(state.step)
    return StepLosses(loss_discriminator, loss_generator, reconstruction)


def _generate_batch(
    state: TrainingState,
    real_BCHW: Tensor,
    labels_B: Tensor | None,
    batch_index: int,
    config: TrainingConfig,
    group: ProcessGroup,
) -> DiscriminatorBatch:
    """Return real and generated samples; ``batch_index`` counts the discriminator's batches since the start of the run."""
    device = real_BCHW.device
    noise = seeded_generator(config.seed, "noise", batch_index)
    z_BZ = state.generator.sample_latent(len(real_BCHW) * group.world_size, noise)
    z_BZ = group.local_shard(z_BZ).to(device)
    if labels_B is not None:
        z_BZ = state.generator.with_labels(z_BZ, labels_B)
    with autocast(config.precision, device):
        return state.generator.discriminator_inputs(real_BCHW, z_BZ)


def _update_discriminator(
    state: TrainingState, batch: DiscriminatorBatch, batch_index: int, config: TrainingConfig, group: ProcessGroup
) -> float:
    generator = seeded_generator(config.seed, "discriminator", batch_index)
    discriminator = _conditioned_discriminator(state, batch)
    real, fake = (
        _augment(samples, config, state.step, generator, group) for samples in (batch.real, batch.fake.detach())
    )
    if config.r1_weight:
        real = real.detach().requires_grad_()
    with autocast(config.precision, real.device):
        logits_real, logits_fake = discriminator(real).float(), discriminator(fake).float()
    loss = discriminator_loss(config.loss, logits_real, logits_fake)
    if config.r1_weight:
        loss = loss + config.r1_weight * r1_penalty(logits_real, real)
    if config.loss == "wgan-gp":
        loss = loss + config.gp_weight * gradient_penalty(discriminator, real, fake, generator, group)
    value = group.all_reduce_mean(loss).item()
    _check_loss(value, "discriminator", state.step)
    _descend(state.discriminator, state.discriminator_optimizer, loss, "discriminator", state.step, group)
    return value


def _update_generator(
    state: TrainingState, batch: DiscriminatorBatch, config: TrainingConfig, group: ProcessGroup
) -> tuple[float, float | None]:
    """Update the generator; return the adversarial and the reconstruction loss."""
    fake, reconstruction = batch.fake, batch.reconstruction
    fake = _augment(fake, config, state.step, seeded_generator(config.seed, "generator", state.step), group)
    with autocast(config.precision, fake.device):
        logits = _conditioned_discriminator(state, batch)(fake).float()
    adversarial = generator_loss(config.loss, logits)
    terms = [adversarial] if reconstruction is None else [adversarial, reconstruction]
    total = adversarial if reconstruction is None else adversarial + config.reconstruction_weight * reconstruction
    if batch.regularizer is not None:
        total = total + batch.regularizer
    value, *values = group.all_reduce_mean(torch.stack([total, *terms])).tolist()
    _check_loss(value, "generator", state.step)
    _descend(state.generator, state.generator_optimizer, total, "generator", state.step, group)
    return values[0], None if reconstruction is None else values[1]


def _descend(
    network: nn.Module, optimizer: torch.optim.Optimizer, loss: Tensor, name: str, step: int, group: ProcessGroup
) -> None:
    """Take an optimizer step along the gradient of the mean of the processes' losses."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    group.average_gradients(network.parameters())
    norms = torch._foreach_norm([p.grad for p in network.parameters() if p.grad is not None])
    if norms and not torch.stack(norms).isfinite().all():
        raise DivergedError(f"a gradient of the {name} is not finite at step {step}: {_REMEDY}")
    optimizer.step()


def _check_loss(value: float, name: str, step: int) -> None:
    if not math.isfinite(value):
        raise DivergedError(f"the {name} loss is {value} at step {step}: {_REMEDY}")


def _augment(
    samples: Tensor, config: TrainingConfig, step: int, generator: torch.Generator, group: ProcessGroup
) -> Tensor:
    """Augment what the discriminator sees, from the configured step on."""
    return diff_augment(samples, config.diff_augment, generator, group) if step >= config.diff_augment_from else samples


def _conditioned_discriminator(state: TrainingState, batch: DiscriminatorBatch) -> Callable[[Tensor], Tensor]:
    """Return the discriminator as a function of samples alone, with the batch's classes bound."""
    if batch.labels_B is None:
        return state.discriminator
    return functools.partial(state.discriminator, labels_B=batch.labels_B)


@contextmanager
def _frozen(network: nn.Module) -> Iterator[None]:
    """Skip the gradients of a network's weights, which saves a third of its backward pass."""
    trainable = [parameter for parameter in network.parameters() if parameter.requires_grad]
    network.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trainable:
            parameter.requires_grad_(True)
