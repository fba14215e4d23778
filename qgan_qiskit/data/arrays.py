"""Pixels that already lie in an array -> an image set: how npz archives and CIFAR-10's batches end.

Shape letters: N images, H W height and width, C colour channels.
"""

from __future__ import annotations

import numpy as np

from qgan_qiskit.config import DataConfig
from qgan_qiskit.data.decode import square_pixels
from qgan_qiskit.data.image_set import ImageSet
from qgan_qiskit.data.listing import Listing
from qgan_qiskit.data.room import require_room


def read_rows(pixels_NHWC: np.ndarray, whole: Listing, config: DataConfig) -> ImageSet:
    """Return the images that settings ask for, as squares.

    Args:
        pixels_NHWC: uint8 of shape (N, H, W, 3) or (N, H, W, 1), 0 to 255; row n belongs to name n of ``whole``. Grey is
            repeated to RGB.
        whole: all N images; their names differ.
        config: ``class_name``, ``limit`` and ``resolution`` apply.

    Raises:
        DataError: no such class.
    """
    listing = whole.narrowed(config.class_name, config.limit, config.split_seed)
    row_of = {name: row for row, name in enumerate(whole.names)}
    require_room(len(listing.names), config.resolution)
    squares_NHWC = np.empty((len(listing.names), config.resolution, config.resolution, 3), np.uint8)
    for square_HWC, name in zip(squares_NHWC, listing.names, strict=True):
        pixels_HWC = pixels_NHWC[row_of[name]]
        square_HWC[:] = square_pixels(
            np.ascontiguousarray(np.broadcast_to(pixels_HWC, (*pixels_HWC.shape[:2], 3))), config.resolution, config.fit
        )
    labels_N = np.array([listing.classes.index(label) for label in listing.labels], np.int64)
    return ImageSet(
        squares_NHWC,
        labels_N,
        listing.classes,
        tuple(listing.names),
        tuple(listing.groups),
        listing.notes,
        tuple(listing.splits),
        listing.layout,
    )
