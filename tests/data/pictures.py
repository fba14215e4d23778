"""Random pictures and their bytes, for the tests of the data room."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from qgan_qiskit.data.decoding import decode_image


def picture(seed: int = 0, size: tuple[int, int] = (16, 16)) -> Image.Image:
    """Return a random RGB picture (width, height)."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """Return an image as the bytes of a file."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def decode(content: bytes, resolution: int, fit: str = "crop") -> np.ndarray:
    """Return the pixels that the library makes of one image file."""
    return decode_image(content, resolution, fit)[0]
