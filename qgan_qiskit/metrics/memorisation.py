"""Whether samples are copies of training images: in medicine, a copied image is a patient's data let out.

Shape letters: N samples · H held-out images · R resamplings.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import mannwhitneyu


def copied_share(sample_N: np.ndarray, held_out_H: np.ndarray) -> tuple[float, float]:
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


def resampled_copied_shares(
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
    return np.array([copied_share(np.repeat(sample_N, a), np.repeat(held_out_H, b))[0] for a, b in pairs])


def copying_p_value(sample_N: np.ndarray, held_out_H: np.ndarray) -> float:
    """Return the one-sided p-value of the rank test that samples are nearer to training images than held-out ones are.

    Mann and Whitney's test on distances to the nearest training image, as in Meehan et al. 2020 (section 3, there as a
    z-score). A small value means copying, or samples drawn towards training images throughout; a value near 1 means
    samples further from any training image than real ones are.
    """
    return float(mannwhitneyu(sample_N, held_out_H, alternative="less").pvalue)
