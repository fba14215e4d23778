"""Step sizes that fall toward the end of a run.

With small steps at the end the two networks come to rest instead of circling each other; the average then covers less motion.

One training step: updates of the discriminator, each on a batch of its own, then one of the generator.

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


def learning_rate_factor(step: int, steps: int, decay_from: float) -> float:
    """Return by what step sizes are multiplied at a step; a pure function, so that a resumed run meets the same.

    Args:
        step: steps done before this one, from 0.
        steps: of the whole run.
        decay_from: share of the run after which they fall; from 1 on they never do.
    """
    left = (steps - step) / steps
    return 1.0 if decay_from >= 1 or left >= 1 - decay_from else left / (1 - decay_from)


def set_learning_rates(state: TrainingState, config: TrainingConfig, steps: int) -> None:
    """Give both optimizers the step sizes of the next step.

    Args:
        state: whose ``step`` counts the steps done.
        config: base rates, and from when on they fall.
        steps: of the whole run.
    """
    factor = learning_rate_factor(state.step, steps, config.lr_decay_from)
    for optimizer, classical in (
        (state.generator_optimizer, config.lr_classical),
        (state.discriminator_optimizer, config.lr_discriminator),
    ):
        for group in optimizer.param_groups:
            group["lr"] = (config.lr_quantum if group["name"] == "quantum" else classical) * factor


_REMEDY = "nothing was updated with it; start a new run from its config.json (--config) with smaller learning rates"


@dataclass(frozen=True)
class StepLosses:
    """Losses of a step over the whole batch (natural-log units for bce).

    ``reconstruction`` is None where the model has no such term.
    """

    discriminator: float
    generator: float
    reconstruction: float | None


def train_step(
    state: TrainingState,
    real_BCHW: Tensor,
    config: TrainingConfig,
    ranks: ProcessGroup = SINGLE_PROCESS,
    labels_B: Tensor | None = None,
) -> StepLosses:
    """Update the discriminator ``critic_steps`` times and the generator once, in place, and count the step.

    The last generated batch is computed once and used in both updates.

    Args:
        state: what is trained; its ``step`` decides every random draw.
        real_BCHW: real images, float32 in [-1, 1], on the training device: this process's rows of all batches of the step.
        config: losses, rates and precision.
        ranks: the processes that share the batches; their networks must be joined (``whole_batch.join``).
        labels_B: classes of the real images, for a conditional model; images of the same classes are generated.

    Raises:
        DivergedError: a loss or gradient is not finite; the network it belongs to was not updated with it.
    """
    state.generator.train()
    number = config.critic_steps
    labels = [None] * number if labels_B is None else labels_B.chunk(number)
    losses = []
    for place, (real, of_real) in enumerate(zip(real_BCHW.chunk(number), labels, strict=True)):
        draw = state.step * number + place
        # Only the generator's own update goes back through it.
        with torch.set_grad_enabled(place == number - 1):
            pair = _pair(state, real, of_real, draw, config, ranks)
        losses.append(_discriminator_update(state, pair, draw, config, ranks))
    loss_discriminator = sum(losses) / number
    loss_generator, reconstruction = _generator_update(state, pair, config, ranks)
    state.step += 1
    if state.noise is not None:
        state.generator.set_latent_high(state.noise.update(loss_discriminator, loss_generator))
    state.ema.update(state.step)
    return StepLosses(loss_discriminator, loss_generator, reconstruction)


def _pair(
    state: TrainingState,
    real_BCHW: Tensor,
    labels_B: Tensor | None,
    draw: int,
    config: TrainingConfig,
    ranks: ProcessGroup,
) -> DiscriminatorBatch:
    """Return what is compared on one batch; ``draw`` counts the batches."""
    device = real_BCHW.device
    z_BZ = state.generator.sample_latent(len(real_BCHW) * ranks.count, seeded_generator(config.seed, "noise", draw))
    z_BZ = ranks.rows(z_BZ).to(device)
    if labels_B is not None:
        z_BZ = state.generator.with_labels(z_BZ, labels_B)
    with autocast(config.precision, device):
        return state.generator.discriminator_inputs(real_BCHW, z_BZ)


def _discriminator_update(
    state: TrainingState, pair: DiscriminatorBatch, draw: int, config: TrainingConfig, ranks: ProcessGroup
) -> float:
    generator = seeded_generator(config.seed, "discriminator", draw)
    judge = _judge(state, pair)
    real, fake = (
        _augmented(samples, config, state.step, generator, ranks) for samples in (pair.real, pair.fake.detach())
    )
    if config.r1_weight:
        real = real.detach().requires_grad_()
    with autocast(config.precision, real.device):
        logits_real, logits_fake = judge(real).float(), judge(fake).float()
    loss = discriminator_loss(config.loss, logits_real, logits_fake)
    if config.r1_weight:
        loss = loss + config.r1_weight * r1_penalty(logits_real, real)
    if config.loss == "wgan-gp":
        loss = loss + config.gp_weight * gradient_penalty(judge, real, fake, generator, ranks)
    value = _finite(ranks.mean(loss).item(), "discriminator loss", state.step)
    state.discriminator_optimizer.zero_grad(set_to_none=True)
    loss.backward()
    ranks.average_gradients(state.discriminator.parameters())
    _check_gradients(state.discriminator, "discriminator", state.step)
    state.discriminator_optimizer.step()
    return value


def _augmented(
    samples: Tensor, config: TrainingConfig, step: int, generator: torch.Generator, ranks: ProcessGroup
) -> Tensor:
    """Change what the discriminator sees, from the step on that the settings name."""
    return diff_augment(samples, config.diff_augment, generator, ranks) if step >= config.diff_augment_from else samples


def _judge(state: TrainingState, pair: DiscriminatorBatch) -> Callable[[Tensor], Tensor]:
    """Return the discriminator as a function of samples alone: a conditional one is told their classes."""
    if pair.labels_B is None:
        return state.discriminator
    return functools.partial(state.discriminator, labels_B=pair.labels_B)


def _generator_update(
    state: TrainingState, pair: DiscriminatorBatch, config: TrainingConfig, ranks: ProcessGroup
) -> tuple[float, float | None]:
    with _frozen(state.discriminator):
        return _update_against(state, pair, config, ranks)


@contextmanager
def _frozen(discriminator: nn.Module) -> Iterator[None]:
    """Leave out the gradients of the discriminator's weights: saves a third of its backward pass."""
    learning = [parameter for parameter in discriminator.parameters() if parameter.requires_grad]
    discriminator.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)


def _update_against(
    state: TrainingState, pair: DiscriminatorBatch, config: TrainingConfig, ranks: ProcessGroup
) -> tuple[float, float | None]:
    fake, reconstruction = pair.fake, pair.reconstruction
    fake = _augmented(fake, config, state.step, seeded_generator(config.seed, "generator", state.step), ranks)
    with autocast(config.precision, fake.device):
        logits = _judge(state, pair)(fake).float()
    adversarial = generator_loss(config.loss, logits)
    terms = [adversarial] if reconstruction is None else [adversarial, reconstruction]
    total = adversarial if reconstruction is None else adversarial + config.reconstruction_weight * reconstruction
    if pair.regularizer is not None:
        total = total + pair.regularizer
    value, *values = ranks.mean(torch.stack([total, *terms])).tolist()
    _finite(value, "generator loss", state.step)
    state.generator_optimizer.zero_grad(set_to_none=True)
    total.backward()
    ranks.average_gradients(state.generator.parameters())
    _check_gradients(state.generator, "generator", state.step)
    state.generator_optimizer.step()
    return values[0], None if reconstruction is None else values[1]


def _finite(value: float, what: str, step: int) -> float:
    if not math.isfinite(value):
        raise DivergedError(f"the {what} is {value} at step {step}: {_REMEDY}")
    return value


def _check_gradients(module: nn.Module, what: str, step: int) -> None:
    norms = torch._foreach_norm([p.grad for p in module.parameters() if p.grad is not None])
    if norms and not torch.stack(norms).isfinite().all():
        raise DivergedError(f"a gradient of the {what} is not finite at step {step}: {_REMEDY}")
