"""Colour images to grey ones.

Shape letters: N images, H W height and width.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from qgan_qiskit.data.image_set import ImageSet
from qgan_qiskit.data.room import require_room

# Weights of red, green and blue in luma (ITU-R 601-2) as 16-bit fractions, as Pillow's convert("L") has them.
_RED, _GREEN, _BLUE, _HALF = 19595, 38470, 7471, 1 << 15
# Images converted at a time, so that the wide integers stay small.
_BLOCK = 256


def to_grey(images: ImageSet) -> ImageSet:
    """Return the same images with all three channels equal to their luma; grey images stay as they are."""
    require_room(len(images), images.images_NHWC.shape[1])
    grey_NHWC = np.empty_like(images.images_NHWC)
    for start in range(0, len(images), _BLOCK):
        block = images.images_NHWC[start : start + _BLOCK].astype(np.uint32)
        luma_NHW = (_RED * block[..., 0] + _GREEN * block[..., 1] + _BLUE * block[..., 2] + _HALF) >> 16
        grey_NHWC[start : start + _BLOCK] = luma_NHW[..., None]
    return replace(images, images_NHWC=grey_NHWC)
