"""How a score varies with the test lesions: 95 % intervals from a bootstrap over lesions.

The interval over seeds (``qgan_qiskit.study.statistics``) holds other draws of the real images and other classifiers, for this
test part; the one here holds other test lesions, for these classifiers.

Shape letters: N images · L lesions · R resamplings.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def percentiles(values_R: np.ndarray) -> tuple[float, float]:
    """Return the interval between the percentiles 2.5 and 97.5 of resampled values."""
    low, high = np.percentile(values_R, [2.5, 97.5])
    return float(low), float(high)


def resampled_lesions(labels_N: np.ndarray, lesions: Sequence[str], resamplings: int, seed: int = 0) -> np.ndarray:
    """Return how often each image counts when whole lesions are drawn with replacement, class by class.

    Images of one lesion resemble each other: drawn one by one they would make the interval too narrow. Within the classes, so
    that no resampling lacks one.

    Args:
        labels_N: classes.
        lesions: lesion of each image; a lesion belongs to the class of its first image.
        resamplings: R.
        seed: of the drawing.

    Returns:
        float64 of shape (R, N).
    """
    _, first_L, of_N = np.unique(np.array(lesions), return_index=True, return_inverse=True)
    class_L = labels_N[first_L]
    times_RL = np.zeros((resamplings, len(first_L)))
    for label in np.unique(class_L):
        members = np.flatnonzero(class_L == label)
        numbers = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, int(label)])))
        equal = np.full(len(members), 1 / len(members))
        times_RL[:, members] = numbers.multinomial(len(members), equal, size=resamplings)
    return times_RL[:, of_N]
