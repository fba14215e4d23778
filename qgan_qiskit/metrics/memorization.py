"""Memorization: the nearest training image of each sample, tests against held-out images, and a picture of the closest pairs.

In medicine a near-duplicate of a training image discloses a patient's data. Training usually shows images in all eight
orientations of the square, so the search covers these, too.

Shape letters: N, M images or samples · T training images · H held-out images · H W C image · P numbers of an image ·
R resamples · B images of a block.
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
from qgan_qiskit.metrics.precision_recall import find_nearest
from qgan_qiskit.metrics.results import Estimate
from qgan_qiskit.stats import Bootstrap

ORIENTATIONS = 8
_BLOCK = 500
# Side in pixels at which the best orientation is searched.
_SEARCH_SIDE = 32
# Of the picture, in pixels: minimum side of an image, gap between images, height of a line of text.
_MIN_SIDE, _GAP, _LINE = 128, 6, 16


def estimate_memorization(sample_N: np.ndarray, held_out_H: np.ndarray | None, bootstrap: Bootstrap) -> list[Estimate]:
    """Return the median distance to training images and, with held-out images, the memorization rate and p-value.

    Both arrays hold distances to the nearest training image.
    """

    def bootstrap_medians(sample_N: np.ndarray, counts_RN: np.ndarray) -> np.ndarray:
        return np.array([np.median(np.repeat(sample_N, counts_N)) for counts_N in counts_RN.astype(int)])

    medians = bootstrap.resample("distances", bootstrap_medians, sample_N)
    held_out = None if held_out_H is None else float(np.median(held_out_H))
    value = float(np.median(sample_N))
    distance = Estimate("distance to training", value, "near the baseline", medians, lowest=0, baseline=held_out)
    if held_out_H is None:
        return [distance]
    rate, expected = memorization_rate(sample_N, held_out_H)
    # The purpose keys the random numbers and stays as it is, so that intervals stay the same.
    rates = bootstrap.resample("copied share", bootstrap_memorization_rates, sample_N, held_out_H)
    return [
        distance,
        Estimate("memorization rate", rate, "lower", rates, 0, 1, fraction_of=len(sample_N), baseline=expected),
        Estimate("memorization p", memorization_p_value(sample_N, held_out_H), "higher"),
    ]


def memorization_rate(sample_N: np.ndarray, held_out_H: np.ndarray) -> tuple[float, float]:
    """Return the fraction of samples as near to a training image as the nearest 1 % of held-out images, and its expectation.

    Held-out images are new images of the same kind, and some lie near a training image by chance. Samples of a generator
    that learned the distribution without memorizing come that near equally often.

    Args:
        sample_N: distance of each sample to its nearest training image.
        held_out_H: the same of held-out images; at least one.

    Returns:
        The fraction, and the fraction expected of new images: the threshold has rank r = max(1, (H + 1) // 100), and a new
        image falls below it with probability r / (H + 1), which is 1 % for many held-out images.
    """
    rank = max(1, (len(held_out_H) + 1) // 100)
    threshold = np.partition(held_out_H, rank - 1)[rank - 1]
    return float(np.mean(sample_N <= threshold)), rank / (len(held_out_H) + 1)


def bootstrap_memorization_rates(
    sample_N: np.ndarray, held_out_H: np.ndarray, sample_RN: np.ndarray, held_out_RH: np.ndarray
) -> np.ndarray:
    """Return the rates of sets of distances resampled by their counts, (R,)."""
    pairs = zip(sample_RN.astype(int), held_out_RH.astype(int), strict=True)
    return np.array([memorization_rate(np.repeat(sample_N, a), np.repeat(held_out_H, b))[0] for a, b in pairs])


def memorization_p_value(sample_N: np.ndarray, held_out_H: np.ndarray) -> float:
    """Return the p-value of the hypothesis that samples are no nearer to training images than held-out images are.

    One-sided Mann-Whitney test on distances to the nearest training image (Meehan et al. 2020, section 3, there as a
    z-score). Near 0: samples crowd around training images. Near 1: they are farther from them than real images are.
    """
    return float(mannwhitneyu(sample_N, held_out_H, alternative="less").pvalue)


def reorient(images_NHWC: np.ndarray, orientation: int) -> np.ndarray:
    """Return square images in orientation 0 to 7: bit 0 flips left-right, the upper bits then rotate in steps of 90 degrees."""
    flipped_NHWC = images_NHWC[:, :, ::-1] if orientation & 1 else images_NHWC
    return np.rot90(flipped_NHWC, orientation >> 1, axes=(1, 2))


def find_nearest_by_pixels(
    images_NHWC: np.ndarray, others_MHWC: np.ndarray, side: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return for each image the index of the nearest one of another set and the squared distance: (N,) int64, (N,).

    uint8 images of one size; if that is more than ``side`` pixels, they are first averaged down to it.
    """
    others_MP = _shrink(others_MHWC, side)
    norms_M = np.einsum("mp,mp->m", others_MP, others_MP)
    rows, distances = [np.zeros(0, np.int64)], [np.zeros(0)]
    for start in range(0, len(images_NHWC), _BLOCK):
        images_BP = _shrink(images_NHWC[start : start + _BLOCK], side)
        # Integers below 2**53: exact, whatever the order of addition.
        squared_BM = norms_M - 2 * (images_BP @ others_MP.T)
        rows.append(squared_BM.argmin(axis=1))
        distances.append(squared_BM.min(axis=1) + np.einsum("bp,bp->b", images_BP, images_BP))
    return np.concatenate(rows), np.concatenate(distances)


def find_best_orientations(images_NHWC: np.ndarray, others_MHWC: np.ndarray, side: int) -> np.ndarray:
    """Return for each image the orientation (0 to 7) that brings it nearest to any image of another set, (N,)."""
    distances = [
        find_nearest_by_pixels(reorient(images_NHWC, orientation), others_MHWC, side)[1]
        for orientation in range(ORIENTATIONS)
    ]
    return np.argmin(distances, axis=0)


def _shrink(images_NHWC: np.ndarray, side: int) -> np.ndarray:
    """Return pixel levels as integers in float64, (N, P)."""
    if images_NHWC.shape[1] <= side:
        return images_NHWC.reshape(len(images_NHWC), -1).astype(np.float64)
    blocks = [np.zeros((0, side * side * images_NHWC.shape[3]))]
    for start in range(0, len(images_NHWC), _BLOCK):
        # A copy: the images may be a read-only memory map.
        block_BHWC = np.array(images_NHWC[start : start + _BLOCK], order="C")
        pooled_BCHW = adaptive_avg_pool2d(torch.from_numpy(block_BHWC).permute(0, 3, 1, 2).float(), side).round()
        blocks.append(pooled_BCHW.permute(0, 2, 3, 1).reshape(len(block_BHWC), -1).double().numpy())
    return np.concatenate(blocks)


@dataclass(frozen=True, eq=False)
class NearestImages:
    """The nearest training image of each image of a set."""

    rows_N: np.ndarray  # its index in the training set
    distances_N: np.ndarray  # Euclidean distance in feature space
    orientations_N: np.ndarray  # orientation of the image (see reorient) that gives this distance


class NearestTrainingSearch:
    """Finds nearest training images among all of them, however few the other metrics use."""

    def __init__(
        self, extractor: FeatureExtractor, training_THWC: np.ndarray, held_out_HHWC: np.ndarray | None
    ) -> None:
        """Keep the images, uint8; features are computed once, when needed."""
        self._extractor, self._training_THWC, self._held_out_HHWC = extractor, training_THWC, held_out_HHWC

    @cached_property
    def training(self) -> FeatureSet:
        """The training images with their features."""
        return self._extractor.extract(self._training_THWC, cached=True)

    @cached_property
    def held_out(self) -> FeatureSet | None:
        """The held-out images with their features."""
        return None if self._held_out_HHWC is None else self._extractor.extract(self._held_out_HHWC, cached=True)

    @cached_property
    def held_out_distances(self) -> np.ndarray | None:
        """The distance of each held-out image to its nearest training image, (H,)."""
        return None if self.held_out is None else self.find(self.held_out).distances_N

    def find(self, images: FeatureSet) -> NearestImages:
        """Return the nearest training image of each image, in any orientation.

        Features depend on the orientation. Each image is compared as it is, and in the orientation that brings it nearest
        to a training image by pixels; the smaller distance counts. This takes two passes through the network, not eight.
        """
        rows_N, distances_N = find_nearest(images.features_NF, self.training.features_NF)
        orientations_N = find_best_orientations(images.images_NHWC, self._training_THWC, _SEARCH_SIDE)
        moved = np.flatnonzero(orientations_N)
        if len(moved):
            reoriented = [reorient(images.images_NHWC[[row]], orientations_N[row]) for row in moved]
            features = self._extractor.extract(np.concatenate(reoriented)).features_NF
            rows, distances = find_nearest(features, self.training.features_NF)
            nearer = distances < distances_N[moved]
            rows_N[moved[nearer]], distances_N[moved[nearer]] = rows[nearer], distances[nearer]
            orientations_N[moved[~nearer]] = 0
        return NearestImages(rows_N, distances_N, orientations_N)

    def draw_closest_pairs(self, samples: FeatureSet, nearest: NearestImages, rows: int) -> Image.Image:
        """Return a picture of the samples closest to a training image, each beside it and its nearest held-out image.

        Args:
            samples: the samples.
            nearest: what :meth:`find` returned for them.
            rows: number of samples, the closest first.
        """
        closest = np.argsort(nearest.distances_N, kind="stable")[:rows]
        shown = [reorient(samples.images_NHWC[[row]], nearest.orientations_N[row])[0] for row in closest]
        columns = {"sample": np.stack(shown), "nearest training": self._training_THWC[nearest.rows_N[closest]]}
        if self.held_out is not None:
            held_out_rows, _ = find_nearest(samples.features_NF[closest], self.held_out.features_NF)
            columns["nearest held-out"] = self.held_out.images_NHWC[held_out_rows]
        return _draw_grid(columns, [f"sample {row}, distance {nearest.distances_N[row]:.3g}" for row in closest])


def _draw_grid(columns: dict[str, np.ndarray], captions: Sequence[str]) -> Image.Image:
    """Return a picture with a titled column per set of N images, all of one shape, and a caption below each row."""
    pixels = next(iter(columns.values())).shape[1]
    # An integer factor keeps pixels square.
    side = pixels * max(1, -(-_MIN_SIDE // pixels))
    tops = [_LINE + _GAP + row * (side + _LINE + _GAP) for row in range(len(captions) + 1)]
    picture = Image.new("RGB", (_GAP + len(columns) * (side + _GAP), tops[-1]), "white")
    draw = ImageDraw.Draw(picture)
    for column, (title, images_NHWC) in enumerate(columns.items()):
        left = _GAP + column * (side + _GAP)
        draw.text((left, 2), title, fill="black")
        for top, image_HWC in zip(tops, images_NHWC, strict=False):
            tile = Image.fromarray(np.ascontiguousarray(image_HWC)).resize((side, side), Image.Resampling.NEAREST)
            picture.paste(tile, (left, top))
    for top, caption in zip(tops, captions, strict=False):
        draw.text((_GAP, top + side + 1), caption, fill="black")
    return picture
