"""The few real images that a classifier trains on: whole lesions, drawn anew for each seed.

Shape letters: N images · L lesions.
"""

from __future__ import annotations

import numpy as np
import torch

from qgan_qiskit.data import ImageSet, split_unit
from qgan_qiskit.rng import seeded_generator


def lesions_of(images: ImageSet) -> list[str]:
    """Return the lesion of each image; an image of unknown lesion counts as a lesion of its own, by its name."""
    return [split_unit(name, group) for name, group in zip(images.names, images.groups, strict=True)]


def draw_real(images: ImageSet, share: float, seed: int) -> np.ndarray:
    """Return the rising rows of a share of the images of each class, in whole lesions.

    Lesions come in a random order until the share is reached, so a class has at most one lesion's images too many.

    Args:
        images: the train part.
        share: above 0, up to 1.
        seed: seed of the order of the lesions; an order also depends on the class's name, not on the other classes.
    """
    lesion_N = np.array(lesions_of(images))
    drawn = []
    for label, name in enumerate(images.classes):
        rows_M = np.flatnonzero(images.labels_N == label)
        wanted = max(1, round(share * len(rows_M)))
        lesions, of_M, sizes_L = np.unique(lesion_N[rows_M], return_inverse=True, return_counts=True)
        order_L = torch.randperm(len(lesions), generator=seeded_generator(seed, "real", name)).numpy()
        enough = int(np.searchsorted(np.cumsum(sizes_L[order_L]), wanted)) + 1
        drawn.append(rows_M[np.isin(of_M, order_L[:enough])])
    return np.sort(np.concatenate(drawn))
