"""Forward and backward of a simulator that speaks torch."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


class TorchStep:
    """A call that makes one step; ``forward`` and ``backward`` are its halves, to be timed alone."""

    def __init__(
        self, function: Callable[[], Tensor], angles_BPQ: Tensor, weights: Sequence[Tensor], cotangents_BPO: Tensor
    ) -> None:
        """Keep the function (of nothing: it knows its angles and weights) and the leaves to differentiate by."""
        self.forward = function
        self._leaves = [angles_BPQ, *weights]
        self._cotangents_BPO = cotangents_BPO

    def backward(self, values_BPO: Tensor) -> tuple[Tensor, ...]:
        """Return the gradients by the angles and by each tensor of weights."""
        return torch.autograd.grad(values_BPO, self._leaves, self._cotangents_BPO.to(values_BPO.dtype))

    def __call__(self) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Return expectations, gradient by the angles, gradients by the weights."""
        values_BPO = self.forward()
        by_angles, *by_weights = self.backward(values_BPO)
        return values_BPO, by_angles, by_weights
