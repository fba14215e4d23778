"""The picture of the closest pairs: samples beside the training images they come nearest to.

Shape letters: N rows · H W C image.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

# Pixels: least side of an image in the picture, space between images, height of a line of text.
_LEAST, _GAP, _LINE = 128, 6, 16


def rows_picture(columns: dict[str, np.ndarray], texts: Sequence[str]) -> Image.Image:
    """Return a picture with a row per pair, a column per kind of image, and a text below each row.

    Args:
        columns: title -> uint8 images of shape (N, H, W, 3), all of one shape.
        texts: N of them.
    """
    images = next(iter(columns.values()))
    # Whole multiples, so that a pixel stays a square.
    scale = max(1, -(-_LEAST // images.shape[1]))
    side = images.shape[1] * scale
    width = _GAP + len(columns) * (side + _GAP)
    height = _LINE + _GAP + len(images) * (side + _LINE + _GAP)
    picture = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(picture)
    for column, (title, images_NHWC) in enumerate(columns.items()):
        left = _GAP + column * (side + _GAP)
        draw.text((left, 2), title, fill="black")
        for row, image_HWC in enumerate(images_NHWC):
            tile = Image.fromarray(np.ascontiguousarray(image_HWC)).resize((side, side), Image.Resampling.NEAREST)
            picture.paste(tile, (left, _LINE + _GAP + row * (side + _LINE + _GAP)))
    for row, text in enumerate(texts):
        draw.text((_GAP, _LINE + _GAP + row * (side + _LINE + _GAP) + side + 1), text, fill="black")
    return picture
