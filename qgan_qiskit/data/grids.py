"""Images in [-1, 1] arranged in a grid, as one picture.

Shape letters: N images, C H W image.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torchvision.utils import make_grid

# Pixels: height of the strip with a class's name, and size of its letters.
_STRIP, _FONT_SIZE = 14, 10


def grid_picture(images_NCHW: Tensor, columns: int | None = None) -> Image.Image:
    """Return images in [-1, 1] side by side, two pixels apart.

    Args:
        images_NCHW: images; values outside [-1, 1] are clipped.
        columns: images in a row; None for a nearly square grid.
    """
    columns = columns or math.ceil(math.sqrt(len(images_NCHW)))
    grid_CHW = make_grid(images_NCHW.float().cpu(), nrow=columns, padding=2, pad_value=1.0)
    pixels_HWC = ((grid_CHW + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0)
    return Image.fromarray(pixels_HWC.numpy())


def class_sheet(groups: Sequence[tuple[str, Tensor]]) -> Image.Image:
    """Return the images of several classes, one class below the other, each under its name.

    Args:
        groups: names and images (N, C, H, W) in [-1, 1], from top to bottom.
    """
    columns = math.ceil(math.sqrt(sum(len(images) for _, images in groups)))
    blocks = [(name, _class_block(images_NCHW, columns)) for name, images_NCHW in groups]
    font = ImageFont.load_default(_FONT_SIZE)
    widths = [max(int(font.getlength(name)) + 4, block.width) for name, block in blocks]
    sheet = Image.new("RGB", (max(widths), sum(_STRIP + block.height for _, block in blocks)), "white")
    pen, top = ImageDraw.Draw(sheet), 0
    for name, block in blocks:
        pen.text((2, top + 1), name, fill="black", font=font)
        sheet.paste(block, (0, top + _STRIP))
        top += _STRIP + block.height
    return sheet


def _class_block(images_NCHW: Tensor, columns: int) -> Image.Image:
    # An incomplete row ends in white; torchvision draws no border around a single image.
    missing = (-len(images_NCHW) % columns) or (1 if len(images_NCHW) == 1 else 0)
    white = torch.ones(missing, *images_NCHW.shape[1:])
    return grid_picture(torch.cat([images_NCHW.float().cpu(), white]), columns)
