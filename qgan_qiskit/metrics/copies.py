"""The search for copies: the nearest training image of each sample in feature space, and the picture of the closest.

Shape letters: N samples · T training images · H held-out images, then H W C of an image.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image

from qgan_qiskit.metrics.features import FeatureReader, Side
from qgan_qiskit.metrics.neighbours import nearest
from qgan_qiskit.metrics.picture import rows_picture
from qgan_qiskit.metrics.pixels import best_turns, turned

# Pixels a side in the search for the orientation.
_SIDE = 32


@dataclass(frozen=True, eq=False)
class Found:
    """The nearest training image of each image of a set.

    Attributes:
        rows_N: its number in the training set.
        distances_N: Euclidean distance in feature space.
        turns_N: orientation of the image (:func:`~qgan_qiskit.metrics.pixels.turned`) in which it comes that near.
    """

    rows_N: np.ndarray
    distances_N: np.ndarray
    turns_N: np.ndarray


class CopySearch:
    """Looks for copies of training images; all of them are searched, however few the other metrics take."""

    def __init__(self, reader: FeatureReader, training_THWC: np.ndarray, held_out_HHWC: np.ndarray | None) -> None:
        """Keep the images; features are computed when they are needed, once.

        Args:
            reader: images -> features.
            training_THWC: uint8 of shape (T, H, W, 3).
            held_out_HHWC: real images that were not trained on, or None.
        """
        self._reader, self._training_THWC, self._held_out_HHWC = reader, training_THWC, held_out_HHWC

    @cached_property
    def training(self) -> Side:
        """The training images with their features."""
        return self._reader.read_real(self._training_THWC)

    @cached_property
    def held_out(self) -> Side | None:
        """The held-out images with their features."""
        return None if self._held_out_HHWC is None else self._reader.read_real(self._held_out_HHWC)

    @cached_property
    def held_out_distances(self) -> np.ndarray | None:
        """The distance of each held-out image to its nearest training image, (H,)."""
        return None if self.held_out is None else self.find(self.held_out).distances_N

    def find(self, side: Side) -> Found:
        """Find the nearest training image of each image, also if it was turned or mirrored.

        Training usually shows its images in all eight orientations, so a copy may come in any of them, and features change
        when an image is turned. Each image is measured as it is, and in the orientation that brings it nearest to a
        training image pixel by pixel; the smaller distance counts. These are two looks through the network, not eight.
        """
        rows_N, distances_N = nearest(side.tap_NF, self.training.tap_NF)
        turns_N = best_turns(side.images_NHWC, self._training_THWC, _SIDE)
        moved = np.flatnonzero(turns_N)
        if len(moved):
            images = np.concatenate([turned(side.images_NHWC[[row]], turns_N[row]) for row in moved])
            rows, distances = nearest(self._reader.read(images).tap_NF, self.training.tap_NF)
            nearer = distances < distances_N[moved]
            rows_N[moved[nearer]], distances_N[moved[nearer]] = rows[nearer], distances[nearer]
            turns_N[moved[~nearer]] = 0
        return Found(rows_N, distances_N, turns_N)

    def picture(self, side: Side, found: Found, rows: int) -> Image.Image:
        """Return the samples nearest to a training image, each beside that image and its nearest held-out one.

        Args:
            side: the samples.
            found: what :meth:`find` returned for them.
            rows: how many, the closest first.
        """
        closest = np.argsort(found.distances_N, kind="stable")[:rows]
        samples = [turned(side.images_NHWC[[row]], found.turns_N[row])[0] for row in closest]
        columns = {"sample": np.stack(samples), "nearest training": self._training_THWC[found.rows_N[closest]]}
        if self.held_out is not None:
            held_out_rows, _ = nearest(side.tap_NF[closest], self.held_out.tap_NF)
            columns["nearest held-out"] = self.held_out.images_NHWC[held_out_rows]
        return rows_picture(columns, [f"sample {row}, distance {found.distances_N[row]:.3g}" for row in closest])
