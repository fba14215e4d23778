"""Grids of images as pictures.

Shape letters: N images · C H W image.
"""

from __future__ import annotations

import math

import torch
from PIL import Image
from torch import Tensor
from torchvision.utils import make_grid


def grid_picture(images_NCHW: Tensor, columns: int | None = None) -> Image.Image:
    """Return a picture of images in [-1, 1] side by side, two pixels apart.

    Args:
        images_NCHW: images; values outside [-1, 1] are clipped.
        columns: images in a row; None for a near-square grid.
    """
    columns = columns or math.ceil(math.sqrt(len(images_NCHW)))
    grid_CHW = make_grid(images_NCHW.float().cpu(), nrow=columns, padding=2, pad_value=1.0)
    pixels_HWC = ((grid_CHW + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0)
    return Image.fromarray(pixels_HWC.numpy())
