"""Everything that a training step changes, and its conversion to tensors and JSON for a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from qgan_qiskit.config import RunConfig, TrainingConfig
from qgan_qiskit.errors import CheckpointError
from qgan_qiskit.models import Discriminator, Generator
from qgan_qiskit.models.base import AdaptiveLatentRange
from qgan_qiskit.runs.checkpoint import Tensors, copy_tensors, load_module, module_tensors, require_file
from qgan_qiskit.training.ema import Ema


@dataclass
class TrainingState:
    """The two networks, their optimizers, the EMA, the adaptive latent range and the number of steps done.

    Attributes:
        latent_range: follows the losses; None for a fixed range.
        names: by network, the names of the weights in the order in which its optimizer numbers them.
    """

    generator: Generator
    discriminator: Discriminator
    ema: Ema
    generator_optimizer: torch.optim.Optimizer
    discriminator_optimizer: torch.optim.Optimizer
    latent_range: AdaptiveLatentRange | None
    step: int = 0
    names: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def create(cls, config: RunConfig, generator: Generator, discriminator: Discriminator) -> TrainingState:
        """Make the optimizers, with the parameter groups ``quantum`` and ``classical``."""
        training = config.training
        groups = {"generator": _group_parameters(generator), "discriminator": _group_parameters(discriminator)}
        generator_optimizer = _make_optimizer(training, groups["generator"], training.lr_classical)
        betas = (training.beta1_discriminator, training.beta2_discriminator)
        discriminator_optimizer = _make_optimizer(training, groups["discriminator"], training.lr_discriminator, betas)
        adaptive = config.model.adaptive_latent_range
        latent_range = AdaptiveLatentRange() if adaptive else None
        names = {
            key: [name for members in by_group.values() for name, _ in members] for key, by_group in groups.items()
        }
        ema = Ema(generator, training.ema_decay)
        return cls(
            generator, discriminator, ema, generator_optimizer, discriminator_optimizer, latent_range, names=names
        )

    def quantum_gradient_norm(self) -> float | None:
        """Return the Euclidean norm of the last gradient of the quantum weights, None without such weights."""
        for group in self.generator_optimizer.param_groups:
            if group["name"] == "quantum":
                gradients = [p.grad.flatten() for p in group["params"] if p.grad is not None]
                return float(torch.cat(gradients).norm()) if gradients else None
        return None

    def tensors(self) -> dict[str, Tensors]:
        """Return all tensors by checkpoint file, not copied."""
        return {
            "generator": module_tensors(self.generator),
            "ema": dict(self.ema.average),
            "discriminator": module_tensors(self.discriminator),
            "generator_optimizer": _optimizer_tensors(self.generator_optimizer, self.names["generator"]),
            "discriminator_optimizer": _optimizer_tensors(self.discriminator_optimizer, self.names["discriminator"]),
        }

    def values(self) -> dict[str, Any]:
        """Return what is not a tensor, for JSON."""
        adaptive = self.latent_range
        noise = None if adaptive is None else {"high": adaptive.high, "first_ratio": adaptive.first_ratio}
        return {"step": self.step, "noise": noise}

    def load(self, tensors: dict[str, Tensors], values: dict[str, Any]) -> None:
        """Load a saved state; every tensor is copied.

        Raises:
            CheckpointError: a tensor is missing, unexpected, of another shape, or not finite; a value does not fit.
        """
        load_module(self.generator, require_file(tensors, "generator"), "generator")
        copy_tensors(self.ema.average, require_file(tensors, "ema"), "ema")
        load_module(self.discriminator, require_file(tensors, "discriminator"), "discriminator")
        optimizers = {"generator": self.generator_optimizer, "discriminator": self.discriminator_optimizer}
        for key, optimizer in optimizers.items():
            _load_optimizer(optimizer, self.names[key], require_file(tensors, f"{key}_optimizer"), f"{key}_optimizer")
        try:
            self.step = int(values["step"])
            if self.latent_range is not None:
                noise = values["noise"]
                self.latent_range = AdaptiveLatentRange(float(noise["high"]), float(noise["first_ratio"]))
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"state.json does not fit the model ({error!r}); use another checkpoint") from None


def _group_parameters(network: Generator | Discriminator) -> dict[str, list[tuple[str, nn.Parameter]]]:
    """Return the trainable weights by parameter group; those of classical baselines count as quantum."""
    quantum = {id(parameter) for parameter in network.quantum_parameters()}
    groups: dict[str, list[tuple[str, nn.Parameter]]] = {"quantum": [], "classical": []}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            groups["quantum" if id(parameter) in quantum else "classical"].append((name, parameter))
    return groups


def _make_optimizer(
    training: TrainingConfig,
    parameters: dict[str, list[tuple[str, nn.Parameter]]],
    lr_classical: float,
    betas: tuple[float | None, float | None] = (None, None),
) -> torch.optim.Optimizer:
    """Make an optimizer; a beta of None means the one that both networks share."""
    rates = {"quantum": training.lr_quantum, "classical": lr_classical}
    groups = [
        {"params": [p for _, p in members], "lr": rates[group], "name": group}
        for group, members in parameters.items()
        if members
    ]
    if training.optimizer == "sgd":
        return torch.optim.SGD(groups)
    beta1, beta2 = betas
    return torch.optim.Adam(
        groups, betas=(training.beta1 if beta1 is None else beta1, training.beta2 if beta2 is None else beta2)
    )


def _optimizer_tensors(optimizer: torch.optim.Optimizer, names: list[str]) -> Tensors:
    saved = optimizer.state_dict()["state"]
    return {f"{names[i]}.{key}": value for i, entries in saved.items() for key, value in entries.items()}


def _load_optimizer(optimizer: torch.optim.Optimizer, names: list[str], tensors: Tensors, file: str) -> None:
    # Moments get the parameters' memory layout and then the saved values: load_state_dict would keep references to the saved
    # tensors, and arithmetic on mixed layouts rounds differently. Plain SGD has no state: a file without tensors.
    has_state = isinstance(optimizer, torch.optim.Adam)
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]] if has_state else []
    state: dict[int, Tensors] = {
        i: {
            "step": torch.zeros((), dtype=torch.float32),
            "exp_avg": torch.zeros_like(parameter, requires_grad=False),
            "exp_avg_sq": torch.zeros_like(parameter, requires_grad=False),
        }
        for i, parameter in enumerate(parameters)
    }
    targets = {f"{names[i]}.{key}": tensor for i, entries in state.items() for key, tensor in entries.items()}
    copy_tensors(targets, tensors, file)
    full = optimizer.state_dict()
    full["state"] = state
    optimizer.load_state_dict(full)
