"""Processes that Lightning Fabric has connected.

Networks are not wrapped in ``DistributedDataParallel``: a step runs the discriminator twice and thrice, freezes it in between,
and asks the generator for more than its ``forward``. Gradients are averaged after each backward pass instead, in one piece.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from qgan_qiskit.errors import QganError
from qgan_qiskit.training.launch import EndedTogether
from qgan_qiskit.training.ranks import Ranks
from qgan_qiskit.training.signals import StopRequest


class FabricRanks(Ranks):
    """One of several processes."""

    def __init__(self, fabric: Fabric, stop: StopRequest) -> None:
        """Take the rank that Fabric has given this process.

        Args:
            fabric: launched.
            stop: filled in when a signal comes to this process.
        """
        self._fabric, self._stop = fabric, stop
        self.rank, self.count = fabric.global_rank, fabric.world_size

    def rows(self, whole_B: Tensor) -> Tensor:
        """Return this process's share of the rows of something that has a row for each sample of the batch."""
        return whole_B.chunk(self.count)[self.rank]

    def whole(self, rows: Tensor) -> Tensor:
        """Return the rows of all processes, shape (B, …), without gradient."""
        own = rows.detach().contiguous()
        parts = [torch.empty_like(own) for _ in range(self.count)]
        torch.distributed.all_gather(parts, own)
        return torch.cat(parts)

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum over the processes of tensors of one shape, without gradient."""
        total = values.detach().clone(memory_format=torch.contiguous_format)
        # Not by Fabric: its own makes all wait for all before each, and networks ask dozens of times in a step.
        torch.distributed.all_reduce(total)
        return total

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean over the processes of tensors of one shape, without gradient."""
        own = values.detach().clone(memory_format=torch.contiguous_format)
        return cast(Tensor, self._fabric.all_reduce(own, reduce_op="mean"))

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace gradients by their mean over the processes."""
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flat = self.mean(torch.cat([gradient.flatten() for gradient in gradients]))
        parts = flat.split([gradient.numel() for gradient in gradients])
        # Into the tensors that are there: they have the layout of their parameters.
        torch._foreach_copy_(gradients, [part.view_as(own) for part, own in zip(parts, gradients, strict=True)])

    def largest(self, number: int) -> int:
        """Return the largest of the processes' numbers."""
        own = torch.tensor(number, device=self._fabric.device)
        return int(cast(Tensor, self._fabric.all_reduce(own, reduce_op="max")))

    def take_from_first(self, tensors: Iterable[Tensor]) -> None:
        """Copy the first process's values into tensors, in place."""
        with torch.no_grad():
            for tensor in tensors:
                tensor.copy_(self._fabric.broadcast(tensor.cpu()))

    @contextmanager
    def together(self) -> Iterator[None]:
        """Make an error that one process meets in a ``with`` block an error of all, when the block ends."""
        error: QganError | None = None
        try:
            yield
        except QganError as met:
            error = met
        if self.largest(int(error is not None)):
            raise error or EndedTogether("another process met an error")

    @contextmanager
    def stop_requests(self) -> Iterator[StopRequest]:
        """Return the request that this process was started with: it listens from then on."""
        yield self._stop
