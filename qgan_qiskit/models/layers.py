"""Initial weights from an explicit source of randomness, so that no global seed is needed.

A convolution of a doubled image, without doubling it.

Shape letters: B batch · C channels in · O channels out · H W of the small image.

Batch norm that was folded away: weights whose file has it worked into the convolutions, as quantized networks have.

Such a layer stands in the file as the identity plus a bias. Trained as it stands, it would throw its input's mean and scale away,
and with them what the convolution has learned. So the two are measured once and written into the layer: the network computes what
it did before, and batch norm normalizes again.

Shape letters: N images · F features of a layer · H W its height and width.

How much images of a batch vary, as something that a discriminator can see (Karras et al. 2018, arXiv 1710.10196, section 3).

Shape letters: B batch · C H W feature maps · G groups of a batch · M members of a group.

MosaiQ's adaptive noise range (arXiv 2308.11096): wider noise while the discriminator loses ground to the generator.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import conv_transpose2d, pad

_CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


def dcgan_initialize(module: nn.Module, generator: torch.Generator) -> None:
    """Set weights as DCGAN does (Radford et al. 2015, section 4): N(0, 0.02), batch-norm gains N(1, 0.02), biases 0.

    Args:
        module: every convolution, linear and batch-norm layer inside is set, in order.
        generator: source of randomness.
    """
    for layer in module.modules():
        if isinstance(layer, _CONVOLUTIONS):
            _normal(layer, 0.0, generator)
        elif isinstance(layer, nn.BatchNorm2d):
            _normal(layer, 1.0, generator)


def he_initialize(module: nn.Module, generator: torch.Generator) -> None:
    """Set convolution and linear weights to N(0, 2 / fan_in) (He et al. 2015), biases to 0.

    Args:
        module: every convolution and linear layer inside is set, in order.
        generator: source of randomness.
    """
    for layer in module.modules():
        if isinstance(layer, _CONVOLUTIONS):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def _normal(layer: nn.Module, mean: float, generator: torch.Generator) -> None:
    parameters = dict(layer.named_parameters())
    # Spectral normalization keeps the trained weight beside a normalized view of it.
    weight = parameters.get("parametrizations.weight.original", parameters.get("weight"))
    if weight is not None:
        nn.init.normal_(weight, mean, 0.02, generator=generator)
    if "bias" in parameters:
        nn.init.zeros_(parameters["bias"])


class UpsampleConv2d(nn.Conv2d):
    """Nearest-neighbor upsampling by 2 and a 3x3 convolution in one, with 4/9 of the products.

    All four pixels that a small one becomes are equal, so taps of the convolution that meet the same small pixel can be
    added beforehand. What is left is a transposed convolution of stride 2 whose 4x4 kernel is the 3x3 kernel smeared over 2x2
    pixels. Weights, names and values are those of the 3x3 convolution; sums are rounded in another order.
    """

    def __init__(self, channels_in: int, channels_out: int, *, bias: bool = True) -> None:
        """Build; weights are set by the caller.

        Args:
            channels_in: C.
            channels_out: O.
            bias: whether a number is added to each channel.
        """
        super().__init__(channels_in, channels_out, 3, padding=1, bias=bias)

    def forward(self, small_BCHW: Tensor) -> Tensor:
        """Return what the convolution makes of the doubled image, (B, O, 2 H, 2 W)."""
        flipped = self.weight.flip(2, 3)
        # Left and right of the last axis, then of the one before: each row and column is added to its neighbor.
        smeared = pad(flipped, (0, 1)) + pad(flipped, (1, 0))
        smeared = pad(smeared, (0, 0, 0, 1)) + pad(smeared, (0, 0, 1, 0))
        return conv_transpose2d(small_BCHW, smeared.transpose(0, 1), self.bias, stride=2, padding=1)


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


# As many as StyleGAN2 takes (arXiv 1912.04958).
MEMBERS = 4


class MinibatchStd(nn.Module):
    """Adds a channel: the mean over all features of their standard deviation over a group of neighbors in the batch.

    A generator that makes the same image again and again gives itself away by it. In a batch that is no multiple of 4 all
    images are one group.
    """

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """Return the features with the channel behind them, shape (B, C + 1, H, W)."""
        batch, _, height, width = features_BCHW.shape
        members = MEMBERS if batch % MEMBERS == 0 else batch
        groups_GMX = features_BCHW.float().reshape(batch // members, members, -1)
        # The small number keeps the gradient finite where all members are equal.
        deviation_GX = (groups_GMX.var(dim=1, correction=0) + 1e-8).sqrt()
        value_B = deviation_GX.mean(dim=1).repeat_interleave(members).to(features_BCHW.dtype)
        return torch.cat([features_BCHW, value_B.view(batch, 1, 1, 1).expand(-1, 1, height, width)], dim=1)


LOW = math.pi / 8
SPAN = 5 * math.pi / 8
# A generator loss may underflow to 0; the ratio then is merely large.
_TINY = 1e-30


@dataclass
class AdaptiveLatentRange:
    """Upper end of the uniform noise, ``pi/8 + 5pi/8 * max(0, tanh(R - R0))`` with R = discriminator loss / generator loss.

    Attributes:
        high: current upper end in radians, from pi/8 to 3pi/4.
        first_ratio: R0, the ratio after the first step; None before it.
    """

    high: float = LOW
    first_ratio: float | None = None

    def update(self, discriminator_loss: float, generator_loss: float) -> float:
        """Take the losses (binary cross-entropies, >= 0) of a step and return the new upper end in radians."""
        ratio = discriminator_loss / max(generator_loss, _TINY)
        if self.first_ratio is None:
            self.first_ratio = ratio
        self.high = LOW + SPAN * max(0.0, math.tanh(ratio - self.first_ratio))
        return self.high
