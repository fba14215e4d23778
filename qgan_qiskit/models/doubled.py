"""A convolution of a doubled image, without doubling it.

Shape letters: B batch · C channels in · O channels out · H W of the small image.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import conv_transpose2d, pad


class DoubledConv2d(nn.Conv2d):
    """Nearest-neighbour upsampling by 2 and a 3x3 convolution in one, with 4/9 of the products.

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
        # Left and right of the last axis, then of the one before: each row and column is added to its neighbour.
        smeared = pad(flipped, (0, 1)) + pad(flipped, (1, 0))
        smeared = pad(smeared, (0, 0, 0, 1)) + pad(smeared, (0, 0, 1, 0))
        return conv_transpose2d(small_BCHW, smeared.transpose(0, 1), self.bias, stride=2, padding=1)
