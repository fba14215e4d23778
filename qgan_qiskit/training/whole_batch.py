"""What networks work out over a batch, worked out over the batch of all processes.

torch's ``SyncBatchNorm`` does this on GPUs only, and cannot be differentiated twice, which R1 needs.

Shape letters: B batch · C channels · R processes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from qgan_qiskit.models import Generator
from qgan_qiskit.models.hybridq import HybridQGenerator
from qgan_qiskit.training.ranks import Ranks


class WholeBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch norm whose mean and variance are those of the whole batch, each process holding as many rows.

    Parameters and buffers are those of the layer it is made from, so checkpoints do not tell the two apart. Outside of
    training it is that layer.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    momentum: float

    def __init__(self, layer: nn.modules.batchnorm._BatchNorm, ranks: Ranks) -> None:
        """Take the place of a layer.

        Args:
            layer: with a fixed momentum, weights and running statistics, as torch makes it by default.
            ranks: the processes that share the batch.
        """
        assert layer.affine
        assert layer.momentum is not None
        assert layer.running_mean is not None
        assert layer.running_var is not None
        assert layer.num_batches_tracked is not None
        super().__init__(layer.num_features, layer.eps, layer.momentum)
        self.weight, self.bias = layer.weight, layer.bias
        self.running_mean, self.running_var = layer.running_mean, layer.running_var
        self.num_batches_tracked = layer.num_batches_tracked
        self.ranks = ranks
        self.train(layer.training)

    def _check_input_dim(self, rows: Tensor) -> None:
        """Take what the layer took."""

    def forward(self, rows: Tensor) -> Tensor:
        """Return the rows of this process, normalised, in the shape (B, C, …) and number format that they came in."""
        if not self.training:
            return super().forward(rows)
        # As in torch, statistics are in single precision also where the convolutions run in bfloat16.
        values = rows.float()
        variance_C, mean_C = torch.var_mean(values, [d for d in range(rows.dim()) if d != 1], correction=0)
        mean_C, variance_C = self._of_all(mean_C, variance_C)
        with torch.no_grad():
            count = rows.numel() // rows.shape[1] * self.ranks.count
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean_C, self.momentum)
            self.running_var.lerp_(variance_C * (count / (count - 1)), self.momentum)
        scale_C = self.weight * torch.rsqrt(variance_C + self.eps)
        shift_C = self.bias - mean_C * scale_C
        shape = (1, -1, *[1] * (rows.dim() - 2))
        return torch.addcmul(shift_C.view(shape), values, scale_C.view(shape)).to(rows.dtype)

    def _of_all(self, mean_C: Tensor, variance_C: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and variance of the whole batch, with gradient to every process's rows.

        Means are exchanged beside variances, not sums of squares: their difference would lose what is small.
        """
        own = torch.stack([mean_C, variance_C])[None]
        before, after = self.ranks.rank, self.ranks.count - self.ranks.rank - 1
        means_RC, variances_RC = _Sum.apply(pad(own, (0, 0, 0, 0, before, after)), self.ranks).unbind(1)
        mean_C = means_RC.mean(dim=0)
        return mean_C, (variances_RC + (means_RC - mean_C).square()).mean(dim=0)


class _Sum(torch.autograd.Function):
    """The sum over the processes; its gradient, and that one's, is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, ranks: Ranks) -> Tensor:
        """Return the sum of the processes' values."""
        ctx.ranks = ranks
        return ranks.sum(values)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Every process's value is in every process's sum."""
        return _Sum.apply(gradient, ctx.ranks), None


def join(generator: Generator, discriminator: nn.Module, ranks: Ranks) -> None:
    """Let networks work out over the batch of all processes what they work out over a batch; in place.

    Args:
        generator: batch norm, and in fusion mode the running mean and covariance of the latents.
        discriminator: batch norm.
        ranks: the processes that share the batch; for a single one nothing changes.
    """
    if ranks.count == 1:
        return
    for network in (generator, discriminator):
        for parent in list(network.modules()):
            for name, layer in list(parent.named_children()):
                if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                    setattr(parent, name, WholeBatchNorm(layer, ranks))
    if isinstance(generator, HybridQGenerator):
        follow = generator._follow
        generator._follow = lambda latent_BZ: follow(ranks.whole(latent_BZ))  # type: ignore[method-assign]
