"""A running average of the generator's weights, which samples are drawn from.

Kept as a list of tensors by name, not as a copied module: a module may hold a live connection to a quantum service.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Ema:
    """Exponential moving average of a module's parameters; buffers are copied."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        """Start at the module's present weights.

        Args:
            module: whose weights are followed.
            decay: share of the old average kept at each update; smaller at first, min(decay, (1 + n) / (10 + n)).
        """
        self.module, self.decay = module, decay
        self.average: dict[str, Tensor] = {n: p.detach().clone() for n, p in module.named_parameters()}
        self.average |= {n: b.detach().clone() for n, b in module.named_buffers()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after a step (the number of steps done)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        names, current = zip(*self.module.named_parameters(), strict=True)
        torch._foreach_lerp_([self.average[name] for name in names], [p.detach() for p in current], 1 - decay)
        for name, buffer in self.module.named_buffers():
            self.average[name].copy_(buffer)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Put the average into the module, in evaluation mode, for the length of a ``with`` block."""
        tensors = dict(self.module.named_parameters()) | dict(self.module.named_buffers())
        own = {name: tensor.data for name, tensor in tensors.items()}
        training = self.module.training
        try:
            for name, tensor in tensors.items():
                tensor.data = self.average[name]
            self.module.eval()
            yield
        finally:
            for name, tensor in tensors.items():
                tensor.data = own[name]
            self.module.train(training)
