"""Batch norm that was folded away: weights whose file has it worked into the convolutions, as quantised networks have.

Such a layer stands in the file as the identity plus a bias. Trained as it stands, it would throw its input's mean and scale away,
and with them what the convolution has learnt. So the two are measured once and written into the layer: the network computes what
it did before, and batch norm normalises again.

Shape letters: N images · F features of a layer · H W its height and width.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from torch import Tensor, nn


def folded_layers(network: nn.Module, from_scratch: Sequence[str] = ()) -> list[str]:
    """Return the names of the batch norms that are identity plus bias; fresh ones, whose biases are 0, are none of them.

    Args:
        network: with its weights.
        from_scratch: layers that were not loaded.
    """
    return [
        name
        for name, layer in network.named_modules()
        if isinstance(layer, nn.BatchNorm2d)
        and not any(f"{name}.".startswith(f"{fresh}.") for fresh in from_scratch)
        and _is_folded(layer)
    ]


@torch.no_grad()
def unfold(network: nn.Module, names: Sequence[str], prepared_NCHW: Tensor) -> None:
    """Write mean and variance of a layer's input into it, and scale and bias such that it computes the same as before.

    Args:
        network: changed in place; left in evaluation mode.
        names: from :func:`folded_layers`.
        prepared_NCHW: training images as the network sees them; a few hundred are enough.
    """
    layers = [network.get_submodule(name) for name in names]
    measured: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    def measure(layer: nn.Module, inputs: tuple[Tensor, ...], _output: Tensor) -> None:
        variance_F, mean_F = torch.var_mean(inputs[0], dim=(0, 2, 3), correction=0)
        measured[layer] = mean_F, variance_F

    hooks = [layer.register_forward_hook(measure) for layer in layers]
    network.eval()
    network(prepared_NCHW)
    for hook in hooks:
        hook.remove()
    for layer, (mean_F, variance_F) in measured.items():
        assert isinstance(layer, nn.BatchNorm2d) and layer.running_mean is not None and layer.running_var is not None
        slope_F = layer.weight / torch.sqrt(layer.running_var + layer.eps)
        layer.bias.add_(slope_F * (mean_F - layer.running_mean))
        layer.weight.copy_(slope_F * torch.sqrt(variance_F + layer.eps))
        layer.running_mean.copy_(mean_F)
        layer.running_var.copy_(variance_F)


def _is_folded(layer: nn.BatchNorm2d) -> bool:
    statistics = layer.running_mean, layer.running_var
    if statistics[0] is None or statistics[1] is None:
        return False
    same = functools.partial(torch.allclose, atol=0.01)
    one_F = torch.ones_like(layer.weight)
    return bool(
        same(layer.weight, one_F)
        and same(statistics[1], one_F)
        and same(statistics[0], 0 * one_F)
        and torch.any(layer.bias != 0)
    )
