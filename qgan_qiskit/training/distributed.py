"""Data-parallel training: processes that share every batch, and compute what a single process would up to rounding.

Each process holds an equal share of a batch's rows, in rank order. Random numbers are drawn for the whole batch everywhere and
then sharded. Weights, averages and optimizer states are equal on all processes. ``DistributedDataParallel`` is not used: a step
runs the discriminator several times, freezes it in between and calls more than ``forward``; gradients are averaged instead.

Shape letters: B rows of the whole batch · C channels · R processes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.functional import pad
from torch.nn.modules.batchnorm import _BatchNorm

from qgan_qiskit.errors import QganError
from qgan_qiskit.models import Generator
from qgan_qiskit.training.signals import StopRequest, stop_on_signal


class ProcessGroup:
    """Collective operations; all processes must call the same ones in the same order. This class is a single process.

    Attributes:
        rank: number of this process, from 0.
        world_size: number of processes.
    """

    rank: int = 0
    world_size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this process writes the run folder."""
        return self.rank == 0

    def local_shard(self, batch_B: Tensor) -> Tensor:
        """Return this process's rows of a tensor whose first dimension is the whole batch."""
        return batch_B.chunk(self.world_size)[self.rank]

    def all_gather(self, shard: Tensor) -> Tensor:
        """Return the rows of all processes, shape (B, …), without gradient: the inverse of :meth:`local_shard`."""
        return shard.detach()

    def all_reduce_sum(self, values: Tensor) -> Tensor:
        """Return the sum over the processes of tensors of one shape, without gradient."""
        return values.detach()

    def all_reduce_mean(self, values: Tensor) -> Tensor:
        """Return the mean over the processes of tensors of one shape, without gradient."""
        return self.all_reduce_sum(values) / self.world_size

    def all_reduce_max(self, number: int) -> int:
        """Return the largest of the processes' numbers."""
        return number

    def broadcast_(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite tensors with those of rank 0."""

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace gradients by their mean over the processes, in one exchange."""
        if self.world_size == 1:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        means = self.all_reduce_mean(torch.cat([gradient.flatten() for gradient in gradients]))
        parts = means.split([gradient.numel() for gradient in gradients])
        # Copied in place, as gradients have the memory layout of their parameters.
        torch._foreach_copy_(gradients, [part.view_as(own) for part, own in zip(parts, gradients, strict=True)])

    @contextmanager
    def raise_on_all(self) -> Iterator[None]:
        """Let a :class:`QganError` that any process raises in the ``with`` block end the block with an error on all."""
        error: QganError | None = None
        try:
            yield
        except QganError as caught:
            error = caught
        if self.all_reduce_max(int(error is not None)):
            raise error or PeerFailed("another process failed")

    def stop_requests(self) -> AbstractContextManager[StopRequest]:
        """Return a context that records SIGINT and SIGTERM sent to this process."""
        return stop_on_signal()


SINGLE_PROCESS = ProcessGroup()


class ConnectedProcessGroup(ProcessGroup):
    """One of several processes connected by ``torch.distributed`` (NCCL on GPUs, gloo on processors)."""

    def __init__(self, rank: int, world_size: int, device: torch.device, stop: StopRequest) -> None:
        """Describe the connected process; ``stop`` is filled in when it receives a signal."""
        self.rank, self.world_size, self.device, self._stop = rank, world_size, device, stop

    def all_gather(self, shard: Tensor) -> Tensor:
        """Return the rows of all processes, shape (B, …), without gradient."""
        own = shard.detach().contiguous()
        shards = [torch.empty_like(own) for _ in range(self.world_size)]
        distributed.all_gather(shards, own)
        return torch.cat(shards)

    def all_reduce_sum(self, values: Tensor) -> Tensor:
        """Return the sum over the processes, without gradient."""
        total = values.detach().clone(memory_format=torch.contiguous_format)
        # Not by Fabric, which adds a barrier to each call: SyncBatchNorm makes dozens in a step.
        distributed.all_reduce(total)
        return total

    def all_reduce_max(self, number: int) -> int:
        """Return the largest of the processes' numbers."""
        largest = torch.tensor(number, device=self.device)
        distributed.all_reduce(largest, distributed.ReduceOp.MAX)
        return int(largest)

    @torch.no_grad()
    def broadcast_(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite tensors with those of rank 0."""
        for tensor in tensors:
            sent = tensor.to(self.device, copy=True, memory_format=torch.contiguous_format)
            distributed.broadcast(sent, src=0)
            tensor.copy_(sent)

    def stop_requests(self) -> AbstractContextManager[StopRequest]:
        """Return the request of this process, which listens from its start on."""
        return nullcontext(self._stop)


class PeerFailed(QganError):  # noqa: N818 - never shown: the peer's own error is
    """Another process failed; raised by the healthy ones so that they end too."""


class _AllReduceSum(torch.autograd.Function):
    """Differentiable sum over the processes; its gradient is the same sum, so R1 can differentiate it twice."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, group: ProcessGroup) -> Tensor:
        ctx.group = group
        return group.all_reduce_sum(values)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _AllReduceSum.apply(gradient, ctx.group), None


class SyncBatchNorm(_BatchNorm):
    """Batch norm over the batch of all processes. torch's own runs on GPUs only and cannot be differentiated twice.

    It shares the parameters and buffers of the layer it replaces, so checkpoints do not tell the two apart.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    momentum: float

    def __init__(self, layer: _BatchNorm, group: ProcessGroup) -> None:
        """Replace a layer that has torch's defaults: fixed momentum, affine, running statistics."""
        assert layer.affine
        assert layer.momentum is not None
        assert layer.running_mean is not None
        assert layer.running_var is not None
        assert layer.num_batches_tracked is not None
        super().__init__(layer.num_features, layer.eps, layer.momentum)
        self.weight, self.bias = layer.weight, layer.bias
        self.running_mean, self.running_var = layer.running_mean, layer.running_var
        self.num_batches_tracked = layer.num_batches_tracked
        self.group = group
        self.train(layer.training)

    def _check_input_dim(self, shard: Tensor) -> None:
        """Accept any number of dimensions: the replaced layer has checked its own."""

    def forward(self, shard: Tensor) -> Tensor:
        """Normalize this process's rows, shape (B/R, C, …), keeping shape and number format."""
        if not self.training:
            return super().forward(shard)
        # Like torch, compute statistics in single precision even if convolutions run in bfloat16.
        values = shard.float()
        variance_C, mean_C = torch.var_mean(values, [d for d in range(shard.dim()) if d != 1], correction=0)
        mean_C, variance_C = self._combine(mean_C, variance_C)
        with torch.no_grad():
            count = shard.numel() // shard.shape[1] * self.group.world_size
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean_C, self.momentum)
            self.running_var.lerp_(variance_C * (count / (count - 1)), self.momentum)
        scale_C = self.weight * torch.rsqrt(variance_C + self.eps)
        shift_C = self.bias - mean_C * scale_C
        shape = (1, -1, *[1] * (shard.dim() - 2))
        return torch.addcmul(shift_C.view(shape), values, scale_C.view(shape)).to(shard.dtype)

    def _combine(self, mean_C: Tensor, variance_C: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and variance of the whole batch from those of the shards, in one differentiable exchange.

        Exchanging means and variances, not sums of squares, avoids the cancellation in E[x²] - E[x]².
        """
        own = torch.stack([mean_C, variance_C])[None]
        before, after = self.group.rank, self.group.world_size - self.group.rank - 1
        means_RC, variances_RC = _AllReduceSum.apply(pad(own, (0, 0, 0, 0, before, after)), self.group).unbind(1)
        mean_C = means_RC.mean(dim=0)
        return mean_C, (variances_RC + (means_RC - mean_C).square()).mean(dim=0)


def convert_sync_batchnorm(generator: Generator, discriminator: nn.Module, group: ProcessGroup) -> None:
    """Let two networks compute batch statistics over the batch of all processes, in place.

    Args:
        generator: batch norm, and in HybridQ's fusion mode the running mean and covariance of the latents.
        discriminator: batch norm.
        group: the processes that share the batch; nothing changes for a single one.
    """
    if group.world_size == 1:
        return
    for network in (generator, discriminator):
        for parent in list(network.modules()):
            for name, layer in list(parent.named_children()):
                if isinstance(layer, _BatchNorm):
                    setattr(parent, name, SyncBatchNorm(layer, group))
    generator.gather_batch = group.all_gather
