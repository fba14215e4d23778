"""4x4 convolutions of stride 2, and their transposes, where images have shrunk to few pixels: one matrix product each.

A processor's convolution kernels walk along the rows of an image. On rows of four pixels, with hundreds of channels, most of
their time is lost, above all for the gradients of the weights. There the 4x4 neighbourhoods are copied into a matrix instead.

Shape letters: B batch · C channels of the large image · H W its size · O channels of the small image, of H/2 x W/2 pixels ·
R = B (H/2) (W/2) rows, one per small pixel · K = 16 C numbers of a neighbourhood.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn.functional import conv2d, conv_transpose2d

# The longest side of the small image for which the products were faster (tests/benchmarks/few_pixels.py).
SIDE = 4


class HalvingConv2d(nn.Conv2d):
    """A 4x4 convolution of stride 2 and padding 1, without bias: weights, names and values are ``nn.Conv2d``'s."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        """Build; weights are set by the caller.

        Args:
            channels_in: C.
            channels_out: O.
        """
        super().__init__(channels_in, channels_out, 4, stride=2, padding=1, bias=False)

    def forward(self, large_BCHW: Tensor) -> Tensor:
        """Return the small image (B, O, H/2, W/2)."""
        return halve(large_BCHW, self.weight)


class DoublingConv2d(nn.ConvTranspose2d):
    """A transposed 4x4 convolution of stride 2 and padding 1, without bias: as ``nn.ConvTranspose2d``."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        """Build; weights are set by the caller.

        Args:
            channels_in: O.
            channels_out: C.
        """
        super().__init__(channels_in, channels_out, 4, stride=2, padding=1, bias=False)

    def forward(self, small_BOhw: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Return the large image (B, C, H, W)."""
        assert output_size is None
        return double(small_BOhw, self.weight)


def halve(large_BCHW: Tensor, weight_OCkk: Tensor) -> Tensor:
    """Return ``conv2d(large, weight, stride=2, padding=1)`` of a 4x4 weight (O, C, 4, 4); H and W are even where it is short."""
    height, width = large_BCHW.shape[2:]
    if large_BCHW.device.type == "cpu" and max(height, width) <= 2 * SIDE and height % 2 == width % 2 == 0:
        return _Halve.apply(*_cast(large_BCHW, weight_OCkk))
    return conv2d(large_BCHW, weight_OCkk, stride=2, padding=1)


def double(small_BOhw: Tensor, weight_OCkk: Tensor, bias_C: Tensor | None = None) -> Tensor:
    """Return ``conv_transpose2d(small, weight, bias, stride=2, padding=1)`` of a 4x4 weight (O, C, 4, 4)."""
    if small_BOhw.device.type == "cpu" and max(small_BOhw.shape[2:]) <= SIDE:
        large_BCHW = _Double.apply(*_cast(small_BOhw, weight_OCkk))
        return large_BCHW if bias_C is None else large_BCHW + bias_C.to(large_BCHW.dtype)[:, None, None]
    return conv_transpose2d(small_BOhw, weight_OCkk, bias_C, stride=2, padding=1)


def _cast(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Return them in autocast's type, as it would bring a convolution's."""
    if not torch.is_autocast_enabled("cpu"):
        return tensors
    return tuple(tensor.to(torch.get_autocast_dtype("cpu")) for tensor in tensors)


class _Halve(torch.autograd.Function):
    """The convolution; its gradients are made of what can be differentiated again."""

    @staticmethod
    def forward(ctx: FunctionCtx, large_BCHW: Tensor, weight_OCkk: Tensor) -> Tensor:
        ctx.save_for_backward(large_BCHW, weight_OCkk)
        batch, _, height, width = large_BCHW.shape
        rows_RO = _neighbourhoods(large_BCHW) @ _matrix(weight_OCkk).T
        return rows_RO.view(batch, height // 2, width // 2, -1).permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None]:
        large_BCHW, weight_OCkk = ctx.saved_tensors  # type: ignore[attr-defined]
        of_image, of_weight = ctx.needs_input_grad  # type: ignore[attr-defined]
        return (
            _Double.apply(gradients[0], weight_OCkk) if of_image else None,
            _weight_gradient(gradients[0], large_BCHW) if of_weight else None,
        )


class _Double(torch.autograd.Function):
    """The transposed convolution: each row is laid on its neighbourhood, and what overlaps is added."""

    @staticmethod
    def forward(ctx: FunctionCtx, small_BOhw: Tensor, weight_OCkk: Tensor) -> Tensor:
        ctx.save_for_backward(small_BOhw, weight_OCkk)
        batch, _, height, width = small_BOhw.shape
        channels = weight_OCkk.shape[1]
        # The 4x4 neighbourhood as 2x2 blocks of 2x2 pixels: block (y, x) of row (i, j) falls on block (i + y, j + x).
        blocks = (_rows(small_BOhw) @ _matrix(weight_OCkk)).view(batch, height, width, 2, 2, 2, 2, channels)
        padded = blocks.new_zeros(batch, height + 1, 2, width + 1, 2, channels)
        places = padded.permute(0, 1, 3, 2, 4, 5)
        for y in range(2):
            for x in range(2):
                places[:, y : y + height, x : x + width] += blocks[:, :, :, y, :, x]
        flat = padded.view(batch, 2 * height + 2, 2 * width + 2, channels)
        return flat[:, 1:-1, 1:-1].permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None]:
        small_BOhw, weight_OCkk = ctx.saved_tensors  # type: ignore[attr-defined]
        of_image, of_weight = ctx.needs_input_grad  # type: ignore[attr-defined]
        return (
            _Halve.apply(gradients[0], weight_OCkk) if of_image else None,
            _weight_gradient(small_BOhw, gradients[0]) if of_weight else None,
        )


def _weight_gradient(small_BOhw: Tensor, large_BCHW: Tensor) -> Tensor:
    """Return the products of each small pixel with its neighbourhood, summed over all, shape (O, C, 4, 4)."""
    of_matrix_OK = _rows(small_BOhw).T @ _neighbourhoods(large_BCHW)
    return of_matrix_OK.view(small_BOhw.shape[1], 4, 4, large_BCHW.shape[1]).permute(0, 3, 1, 2)


def _neighbourhoods(large_BCHW: Tensor) -> Tensor:
    """Return the 4x4 pixels that each small pixel is made of, shape (R, K), channels last."""
    batch, channels, height, width = large_BCHW.shape
    padded = large_BCHW.new_zeros(batch, height + 2, width + 2, channels)
    padded[:, 1:-1, 1:-1] = large_BCHW.permute(0, 2, 3, 1)
    windows = padded.unfold(1, 4, 2).unfold(2, 4, 2)
    return windows.permute(0, 1, 2, 4, 5, 3).reshape(-1, 16 * channels)


def _rows(small_BOhw: Tensor) -> Tensor:
    return small_BOhw.permute(0, 2, 3, 1).reshape(-1, small_BOhw.shape[1])


def _matrix(weight_OCkk: Tensor) -> Tensor:
    return weight_OCkk.permute(0, 2, 3, 1).reshape(len(weight_OCkk), -1)
