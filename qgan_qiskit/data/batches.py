"""Batches of real images for training; every step is a pure function of seed and step, so resuming needs no state.

Shape letters: B batch, N images, C H W image.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch

from qgan_qiskit.data.dataset import ImageSet
from qgan_qiskit.errors import DataError

# Numbers of the random streams, so that order and augmentation never share random bits.
_ORDER, _AUGMENT = 1, 2


class Batches:
    """Batches in an order that is a pure function of seed and step.

    Each epoch is a new permutation of all images, cut into whole batches; the remainder is dropped (other images each
    time).

    Args:
        image_set: the real images.
        batch_size: images in a batch.
        seed: seed of order and augmentation, 0 to 2**64 - 1.
        augment: ``none``; ``flip``: random left-right flips; ``dihedral``: one of the eight symmetries of the square.
        channels: 3, or 1 for the first channel of grayscale images.

    Raises:
        DataError: fewer images than a batch has.
    """

    def __init__(
        self,
        image_set: ImageSet,
        batch_size: int,
        seed: int,
        augment: Literal["none", "flip", "dihedral"] = "dihedral",
        channels: int = 3,
    ) -> None:
        if batch_size > len(image_set):
            raise DataError(
                f"a batch of {batch_size:,} does not fit {len(image_set):,} images of class "
                f"{', '.join(image_set.classes)}: lower --batch-size or give more images"
            )
        self.image_set = image_set
        self.batch_size = batch_size
        self.seed = seed
        self.augment = augment
        self.channels = channels
        self.steps_per_epoch = len(image_set) // batch_size
        self._epoch = -1
        self._order_N = np.zeros(0, np.int64)

    def indices(self, step: int) -> np.ndarray:
        """Return the indices (int64, shape (B,)) into the image set of the images of ``step`` (counted from 0)."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            # Sorting raw Philox words: unlike Generator.permutation, their order cannot change between versions of NumPy.
            random_N = _random_words(self.seed, _ORDER, epoch, len(self.image_set))
            self._order_N, self._epoch = np.argsort(random_N, kind="stable"), epoch
        return self._order_N[position * self.batch_size : (position + 1) * self.batch_size]

    def batch(self, step: int) -> torch.Tensor:
        """Return the images of ``step`` (counted from 0 over all epochs).

        Returns:
            real_BCHW: float32 on the CPU, -1 to 1, of shape (batch_size, channels, H, W).
        """
        images_BHWC = self.image_set.images_NHWC[self.indices(step)]
        if self.augment != "none":
            # Both 2 and 8 divide 2**64, so the remainders are exactly uniform.
            count = 2 if self.augment == "flip" else 8
            symmetry_B = _random_words(self.seed, _AUGMENT, step, self.batch_size) % count
            for symmetry in range(1, count):
                selected_B = symmetry_B == symmetry
                images_BHWC[selected_B] = _apply_symmetry(images_BHWC[selected_B], symmetry)
        return to_unit(images_BHWC[..., : self.channels])

    def labels(self, step: int) -> torch.Tensor:
        """Return the labels (int64, shape (B,)) of the images of ``step``."""
        return torch.from_numpy(self.image_set.labels_N[self.indices(step)])


def to_unit(images_NHWC: np.ndarray) -> torch.Tensor:
    """Convert uint8 images of shape (N, H, W, C) to the networks' float32 of shape (N, C, H, W): 0 -> -1, 255 -> 1."""
    images_NCHW = np.array(images_NHWC.transpose(0, 3, 1, 2), order="C")
    return torch.from_numpy(images_NCHW).to(torch.float32).div_(127.5).sub_(1.0)


def to_uint8(fake_BCHW: torch.Tensor) -> np.ndarray:
    """Convert networks' images to uint8, rounded to the nearest level; the exact inverse of :func:`to_unit`.

    Args:
        fake_BCHW: any float type and device, -1 to 1; values outside are clamped. Three channels, or one (grayscale).

    Returns:
        uint8 of shape (B, H, W, 3); all three channels of grayscale images are equal.

    Raises:
        ValueError: a value is NaN (which would silently become some color).
    """
    levels_BCHW = fake_BCHW.detach().to("cpu", torch.float32).add(1.0).mul(127.5)
    if torch.isnan(levels_BCHW).any():
        raise ValueError(f"{int(torch.isnan(levels_BCHW).sum()):,} of {levels_BCHW.numel():,} pixel values are NaN")
    levels_BCHW = levels_BCHW.round().clamp(0, 255).to(torch.uint8)
    return levels_BCHW.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).contiguous().numpy()


def _random_words(seed: int, stream: int, index: int, count: int) -> np.ndarray:
    """Return ``count`` random uint64, a pure function of the first three arguments (key and counter of Philox)."""
    philox = np.random.Philox(key=np.array([seed, index], np.uint64), counter=np.array([0, 0, 0, stream], np.uint64))
    return philox.random_raw(count)


def _apply_symmetry(images_BHWC: np.ndarray, symmetry: int) -> np.ndarray:
    """Apply symmetry 0 to 7: bit 0 flips left-right, then the upper bits rotate by 0, 90, 180 or 270 degrees."""
    flipped_BHWC = images_BHWC[:, :, ::-1] if symmetry & 1 else images_BHWC
    return np.rot90(flipped_BHWC, symmetry >> 1, axes=(1, 2))
