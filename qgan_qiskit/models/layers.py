"""Layers that several models share: initial weights, upsampling, batch statistics, and the parameter-matched classical block.

Initial weights come from an explicit generator, so no global seed is needed.

Shape letters: B batch · C channels in · O channels out (outputs, in the classical block) · H W of the small image · G groups of
a batch · M members of a group · P sub-generators · Q inputs · K weights of one sub-generator · R hidden units.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import conv_transpose2d, pad

from qgan_qiskit.errors import UsageError

_CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
# Members of a group in MinibatchStd; as many as in StyleGAN2 (arXiv 1912.04958).
_GROUP_SIZE = 4


def dcgan_initialize(module: nn.Module, generator: torch.Generator) -> None:
    """Set all weights inside a module as DCGAN does (Radford et al. 2015, section 4).

    Convolutions and linear layers get N(0, 0.02), batch-norm gains N(1, 0.02), biases 0, in the order of the layers.
    """
    for layer in module.modules():
        if isinstance(layer, _CONVOLUTIONS):
            _set_normal(layer, 0.0, generator)
        elif isinstance(layer, nn.BatchNorm2d):
            _set_normal(layer, 1.0, generator)


def _set_normal(layer: nn.Module, mean: float, generator: torch.Generator) -> None:
    parameters = dict(layer.named_parameters())
    # Spectral normalization keeps the trained weight beside a normalized view of it.
    weight = parameters.get("parametrizations.weight.original", parameters.get("weight"))
    if weight is not None:
        nn.init.normal_(weight, mean, 0.02, generator=generator)
    if "bias" in parameters:
        nn.init.zeros_(parameters["bias"])


def he_initialize(module: nn.Module, generator: torch.Generator) -> None:
    """Set all convolution and linear weights inside a module to N(0, 2 / fan_in) (He et al. 2015), biases to 0."""
    for layer in module.modules():
        if isinstance(layer, _CONVOLUTIONS):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


class UpsampleConv2d(nn.Conv2d):
    """Nearest-neighbor upsampling by 2 and a 3x3 convolution in one, with 4/9 of the products.

    The four pixels that a small one becomes are equal, so the kernel's weights that meet the same small pixel can be added
    beforehand. What is left is a transposed convolution of stride 2 whose 4x4 kernel is the 3x3 kernel spread over 2x2 pixels.
    Weights, names and values are those of the 3x3 convolution; sums are rounded in another order.
    """

    def __init__(self, channels_in: int, channels_out: int, *, bias: bool = True) -> None:
        """Build; the caller initializes the weights."""
        super().__init__(channels_in, channels_out, 3, padding=1, bias=bias)

    def forward(self, small_BCHW: Tensor) -> Tensor:
        """Return the convolution of the upsampled image, (B, O, 2 H, 2 W)."""
        flipped = self.weight.flip(2, 3)
        # Add each column to its neighbor, then each row.
        spread = pad(flipped, (0, 1)) + pad(flipped, (1, 0))
        spread = pad(spread, (0, 0, 0, 1)) + pad(spread, (0, 0, 1, 0))
        return conv_transpose2d(small_BCHW, spread.transpose(0, 1), self.bias, stride=2, padding=1)


class MinibatchStd(nn.Module):
    """Adds a channel: the mean over all features of their standard deviation over a group of neighbors in the batch.

    It shows the discriminator how much images vary, so a generator that repeats itself is found out (Karras et al. 2018,
    arXiv 1710.10196, section 3). In a batch that is no multiple of 4 all images are one group.
    """

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """Return the features with the new channel last, shape (B, C + 1, H, W)."""
        batch, _, height, width = features_BCHW.shape
        members = _GROUP_SIZE if batch % _GROUP_SIZE == 0 else batch
        groups_GMX = features_BCHW.float().reshape(batch // members, members, -1)
        # The small number keeps the gradient finite where all members are equal.
        deviation_GX = (groups_GMX.var(dim=1, correction=0) + 1e-8).sqrt()
        value_B = deviation_GX.mean(dim=1).repeat_interleave(members).to(features_BCHW.dtype)
        return torch.cat([features_BCHW, value_B.view(batch, 1, 1, 1).expand(-1, 1, height, width)], dim=1)


class MatchedClassicalBlock(nn.Module):
    """The classical baseline of P circuits: networks Q -> R -> O with tanh, each of exactly K parameters.

    R is the largest width that K parameters allow; the rest goes to a diagonal from input to output, then to biases of the
    outputs and of the hidden units, in that order. At 10 inputs, 10 outputs and 60 weights it is 10 -> 3 -> 10.
    """

    def __init__(
        self,
        num_inputs: int,
        num_outputs: int,
        num_weights: int,
        count: int,
        generator: torch.Generator,
        *,
        bounded: bool = True,
    ) -> None:
        """Build and initialize P = ``count`` blocks; bounded outputs are in [-1, 1], others are logits of any size.

        Raises:
            UsageError: K parameters cannot be spent on these shapes.
        """
        super().__init__()
        self.bounded = bounded
        hidden, rest = divmod(num_weights, num_inputs + num_outputs)
        sizes = []
        for size in (min(num_inputs, num_outputs), num_outputs, hidden):
            sizes.append(min(size, rest))
            rest -= sizes[-1]
        if rest:
            raise UsageError(
                f"a classical baseline of {num_inputs} inputs and {num_outputs} outputs cannot have {num_weights} "
                "parameters: change the number of qubits or repetitions"
            )

        def normal(*shape: int, scale: float) -> nn.Parameter:
            return nn.Parameter(torch.randn(count, *shape, generator=generator) * scale)

        self.first_PQR = normal(num_inputs, hidden, scale=1 / math.sqrt(num_inputs))
        self.second_PRO = normal(hidden, num_outputs, scale=1 / math.sqrt(max(hidden, 1)))
        self.diagonal = normal(sizes[0], scale=1.0)
        self.output_bias = normal(sizes[1], scale=0.1)
        self.hidden_bias = normal(sizes[2], scale=0.1)

    def forward(self, angles_BPQ: Tensor) -> Tensor:
        """Return outputs (B, P, O), in [-1, 1] if bounded, from angles in radians."""
        centered = (angles_BPQ - math.pi / 2).transpose(0, 1)
        hidden_PBR = torch.tanh(_add_to_first(centered @ self.first_PQR, self.hidden_bias))
        output_PBO = hidden_PBR @ self.second_PRO
        width = self.diagonal.shape[1]
        output_PBO = _add_to_first(output_PBO, self.diagonal[:, None] * centered[:, :, :width])
        output_PBO = _add_to_first(output_PBO, self.output_bias)
        return (torch.tanh(output_PBO) if self.bounded else output_PBO).transpose(0, 1)


def _add_to_first(values_PBX: Tensor, term: Tensor) -> Tensor:
    """Add a bias (P, x) or an array (P, B, x) to the first x columns."""
    term = term[:, None] if term.dim() == 2 else term
    return values_PBX + pad(term, (0, values_PBX.shape[2] - term.shape[2]))
