"""Nearest images by their pixels, also under the eight turns and flips of the square.

Shape letters: N, M images · H W C image · P numbers of an image · B images of a block.

Whether samples are copies of training images: in medicine, a copied image is a patient's data let out.

Shape letters: N samples · H held-out images · R resamplings.

The picture of the closest pairs: samples beside the training images they come nearest to.

Shape letters: N rows · H W C image.

The search for copies: the nearest training image of each sample in feature space, and the picture of the closest.

Shape letters: N samples · T training images · H held-out images, then H W C of an image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from PIL import Image, ImageDraw
from scipy.stats import mannwhitneyu
from torch.nn.functional import adaptive_avg_pool2d

from qgan_qiskit.metrics.features import FeatureExtractor, FeatureSet
from qgan_qiskit.metrics.precision_recall import nearest

TURNS = 8
_BLOCK = 500


def turned(images_NHWC: np.ndarray, turn: int) -> np.ndarray:
    """Return square images under turn 0 to 7: bit 0 flips left-right, the upper bits then turn by 0, 90, 180 or 270 degrees."""
    flipped_NHWC = images_NHWC[:, :, ::-1] if turn & 1 else images_NHWC
    return np.rot90(flipped_NHWC, turn >> 1, axes=(1, 2))


def nearest_by_pixels(images_NHWC: np.ndarray, others_MHWC: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return, for each image, the number of the nearest one of another set, and the squared distance: (N,) int64, (N,).

    Args:
        images_NHWC: uint8.
        others_MHWC: uint8, of the same size.
        side: images that are larger are averaged down to this many pixels first.
    """
    others_MP = _shrunk(others_MHWC, side)
    lengths_M = np.einsum("mp,mp->m", others_MP, others_MP)
    rows, distances = [np.zeros(0, np.int64)], [np.zeros(0)]
    for start in range(0, len(images_NHWC), _BLOCK):
        images_BP = _shrunk(images_NHWC[start : start + _BLOCK], side)
        # Whole numbers below 2**53: exact, in whichever order they are added.
        squared_BM = lengths_M - 2 * (images_BP @ others_MP.T)
        rows.append(squared_BM.argmin(axis=1))
        distances.append(squared_BM.min(axis=1) + np.einsum("bp,bp->b", images_BP, images_BP))
    return np.concatenate(rows), np.concatenate(distances)


def best_turns(images_NHWC: np.ndarray, others_MHWC: np.ndarray, side: int) -> np.ndarray:
    """Return for each image the turn (0 to 7) that brings it nearest to any image of another set, (N,)."""
    distances = [nearest_by_pixels(turned(images_NHWC, turn), others_MHWC, side)[1] for turn in range(TURNS)]
    return np.argmin(distances, axis=0)


def _shrunk(images_NHWC: np.ndarray, side: int) -> np.ndarray:
    """Return pixel levels as whole float64 numbers, (N, P)."""
    if images_NHWC.shape[1] <= side:
        return images_NHWC.reshape(len(images_NHWC), -1).astype(np.float64)
    parts = [np.zeros((0, side * side * images_NHWC.shape[3]))]
    for start in range(0, len(images_NHWC), _BLOCK):
        # A copy: the images may be a read-only memory map.
        block_BHWC = np.array(images_NHWC[start : start + _BLOCK], order="C")
        pooled_BCHW = adaptive_avg_pool2d(torch.from_numpy(block_BHWC).permute(0, 3, 1, 2).float(), side).round()
        parts.append(pooled_BCHW.permute(0, 2, 3, 1).reshape(len(block_BHWC), -1).double().numpy())
    return np.concatenate(parts)


def memorization_rate(sample_N: np.ndarray, held_out_H: np.ndarray) -> tuple[float, float]:
    """Return the share of samples as near to a training image as the nearest 1 % of held-out images, and what is expected.

    Held-out images are new images of the same kind: some of them lie near a training image by chance. A generator that has
    learned the kind and copies nothing comes that near as often as they do.

    Args:
        sample_N: distance of each sample to its nearest training image.
        held_out_H: the same of held-out images; at least one.

    Returns:
        The share, and the share expected of new images. The latter is 1 % where there are many held-out images; with H of
        them the rank r = max(1, (H + 1) // 100) is the threshold, and a new image comes below it with chance r / (H + 1).
    """
    rank = max(1, (len(held_out_H) + 1) // 100)
    threshold = np.partition(held_out_H, rank - 1)[rank - 1]
    return float(np.mean(sample_N <= threshold)), rank / (len(held_out_H) + 1)


def resampled_memorization_rates(
    sample_N: np.ndarray, held_out_H: np.ndarray, sample_RN: np.ndarray, held_out_RH: np.ndarray
) -> np.ndarray:
    """Return the shares of resampled sets, (R,).

    Args:
        sample_N: distances of samples.
        held_out_H: distances of held-out images.
        sample_RN: how often each sample is drawn.
        held_out_RH: how often each held-out image is drawn.
    """
    pairs = zip(sample_RN.astype(int), held_out_RH.astype(int), strict=True)
    return np.array([memorization_rate(np.repeat(sample_N, a), np.repeat(held_out_H, b))[0] for a, b in pairs])


def memorization_p_value(sample_N: np.ndarray, held_out_H: np.ndarray) -> float:
    """Return the one-sided p-value of the rank test that samples are nearer to training images than held-out ones are.

    Mann and Whitney's test on distances to the nearest training image, as in Meehan et al. 2020 (section 3, there as a
    z-score). A small value means copying, or samples drawn toward training images throughout; a value near 1 means
    samples further from any training image than real ones are.
    """
    return float(mannwhitneyu(sample_N, held_out_H, alternative="less").pvalue)


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


# Pixels a side in the search for the orientation.
_SIDE = 32


@dataclass(frozen=True, eq=False)
class Found:
    """The nearest training image of each image of a set.

    Attributes:
        rows_N: its number in the training set.
        distances_N: Euclidean distance in feature space.
        turns_N: orientation of the image (:func:`~qgan_qiskit.metrics.memorization.turned`) in which it comes that near.
    """

    rows_N: np.ndarray
    distances_N: np.ndarray
    turns_N: np.ndarray


class CopySearch:
    """Looks for copies of training images; all of them are searched, however few the other metrics take."""

    def __init__(self, reader: FeatureExtractor, training_THWC: np.ndarray, held_out_HHWC: np.ndarray | None) -> None:
        """Keep the images; features are computed when they are needed, once.

        Args:
            reader: images -> features.
            training_THWC: uint8 of shape (T, H, W, 3).
            held_out_HHWC: real images that were not trained on, or None.
        """
        self._reader, self._training_THWC, self._held_out_HHWC = reader, training_THWC, held_out_HHWC

    @cached_property
    def training(self) -> FeatureSet:
        """The training images with their features."""
        return self._reader.read_real(self._training_THWC)

    @cached_property
    def held_out(self) -> FeatureSet | None:
        """The held-out images with their features."""
        return None if self._held_out_HHWC is None else self._reader.read_real(self._held_out_HHWC)

    @cached_property
    def held_out_distances(self) -> np.ndarray | None:
        """The distance of each held-out image to its nearest training image, (H,)."""
        return None if self.held_out is None else self.find(self.held_out).distances_N

    def find(self, side: FeatureSet) -> Found:
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

    def picture(self, side: FeatureSet, found: Found, rows: int) -> Image.Image:
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
