"""Traditional augmentation: every training image is turned, cropped and flipped at random each time it is used.

Shape letters: B batch · C H W image.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2

# Share of the image's area that a crop keeps, and how far its sides may differ.
_SCALE, _RATIO = (0.6, 1.0), (0.9, 1.1)


def traditional_augmentation(side: int) -> v2.Compose:
    """Return the transform of one image (C, H, W) of a side: rotation by any angle, crop of 60 to 100 %, both flips.

    The image is mirrored outwards before it is turned, so no black corners tell a turned image from a real one.

    Args:
        side: H and W in pixels.
    """
    # Half the diagonal less half the side, and a pixel for the interpolation.
    margin = math.ceil((math.sqrt(2) - 1) / 2 * side) + 1
    return v2.Compose(
        [
            v2.Pad(margin, padding_mode="reflect"),
            v2.RandomRotation(180, interpolation=InterpolationMode.BILINEAR),
            v2.CenterCrop(side),
            v2.RandomResizedCrop(side, scale=_SCALE, ratio=_RATIO, antialias=True),
            v2.RandomHorizontalFlip(),
            v2.RandomVerticalFlip(),
        ]
    )


def augment_batch(transform: v2.Compose, images_BCHW: Tensor) -> Tensor:
    """Return the images, each changed on its own (a transform of a batch would change all alike); torch's global generator."""
    return torch.stack([transform(image_CHW) for image_CHW in images_BCHW])
