"""Seeded choices of images, and 95 % intervals from the bootstrap.

Shape letters: N images · R resamplings.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass

import numpy as np

# Below this an interval would say more about chance than about the figure.
FEWEST = 10


def seeded(seed: int, purpose: str) -> np.random.Generator:
    """Return a generator that is a pure function of a seed and of what its numbers are for."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, zlib.crc32(purpose.encode())])))


def order(number: int, seed: int, purpose: str) -> np.ndarray:
    """Return a random order of ``number`` things, int64 (N,)."""
    # Sorting raw words: unlike Generator.permutation, NumPy may not change it between versions.
    return np.argsort(seeded(seed, purpose).bit_generator.random_raw(number), kind="stable")


@dataclass(frozen=True)
class Bootstrap:
    """Resamplings of sets of images.

    Attributes:
        resamplings: how many; 0 for none.
        seed: of the draws.
    """

    resamplings: int
    seed: int

    def draws(self, purpose: str, *sizes: int) -> list[np.ndarray] | None:
        """Return how often each image is drawn in each resampling with replacement: float64 (R, N) per set.

        Args:
            purpose: what the draws are for; another purpose gets other ones.
            sizes: images in each set.

        Returns:
            None where there are no resamplings, or a set has fewer than ten images.
        """
        if not self.resamplings or min(sizes) < FEWEST:
            return None
        numbers = seeded(self.seed, purpose)
        return [
            numbers.multinomial(size, np.full(size, 1 / size), size=self.resamplings).astype(np.float64)
            for size in sizes
        ]


def interval(
    value: float, resampled_R: np.ndarray, lowest: float = -math.inf, highest: float = math.inf
) -> tuple[float, float]:
    """Return a 95 % interval: 1.96 standard deviations of the resamplings around the value, cut to the metric's range.

    Not the percentiles of the resamplings: drawing with replacement repeats images, so a resampled set is less varied than
    the set it came from. Its distance to others is larger throughout, and the percentiles would often leave out the value
    itself. The spread of the resamplings is what carries over.

    Args:
        value: the figure, from the whole sets.
        resampled_R: the figure of each resampling.
        lowest: least value the figure can have.
        highest: largest one.
    """
    margin = 1.96 * float(np.std(resampled_R, ddof=1))
    return max(value - margin, lowest), min(value + margin, highest)


def share_interval(share: float, number: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share (1927): where no image, or every one, counts, resamplings have no spread.

    Args:
        share: from 0 to 1.
        number: images it is the share of.
    """
    z_squared = 1.96**2 / number
    middle = (share + z_squared / 2) / (1 + z_squared)
    margin = math.sqrt(z_squared * share * (1 - share) + z_squared**2 / 4) / (1 + z_squared)
    return max(middle - margin, 0.0), min(middle + margin, 1.0)
