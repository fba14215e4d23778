"""What a classifier trains on: the few real images alone, or with something done about their number.

Shape letters: N images · H W height and width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from qgan_qiskit.data import ImageSet
from qgan_qiskit.rng import seeded_generator

Kind = Literal["none", "oversample", "traditional", "generated", "traditional+generated"]
# What costs nothing, and what generated images therefore have to beat.
BASELINES: tuple[Kind, ...] = ("none", "oversample", "traditional")


@dataclass(frozen=True)
class Condition:
    """One way to train.

    Attributes:
        kind: ``none``: the real images alone; ``oversample``: images of the smaller classes repeated until all classes are
            equal; ``traditional``: turned, cropped and flipped at random; ``generated``: with generated images beside them;
            ``traditional+generated``: both, generated images turned as well.
        generator: whose images; None without any.
        alpha: their share; None without any.
    """

    kind: Kind
    generator: str | None = None
    alpha: float | None = None

    def __str__(self) -> str:
        """Return it for a person."""
        return self.kind if self.generator is None else f"{self.kind} {self.generator} {self.alpha:g}"

    @property
    def slug(self) -> str:
        """The name in folders."""
        return self.kind if self.generator is None else f"{self.kind}-{self.generator}-a{self.alpha:g}"

    @property
    def traditional(self) -> bool:
        """Whether images are turned, cropped and flipped."""
        return self.kind.startswith("traditional")


def training_images(
    condition: Condition, real: ImageSet, generated: Sequence[np.ndarray], seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the images that a condition trains on, uint8 (N, H, W, 3), and their classes (N,).

    Args:
        condition: what is done.
        real: the real images drawn.
        generated: generated images of each class, uint8 (N, H, W, 3), for the conditions with a generator.
        seed: of the choice of images that are repeated once more than others.
    """
    if condition.kind == "oversample":
        rows_N = oversampled(real.labels_N, seed)
        return real.images_NHWC[rows_N], real.labels_N[rows_N]
    if condition.generator is None:
        return real.images_NHWC, real.labels_N
    labels = [np.full(len(images), label, np.int64) for label, images in enumerate(generated)]
    return np.concatenate([real.images_NHWC, *generated]), np.concatenate([real.labels_N, *labels])


def oversampled(labels_N: np.ndarray, seed: int) -> np.ndarray:
    """Return rows that make every class as large as the largest: rows of a class come equally often, or some once more."""
    largest = int(np.bincount(labels_N).max())
    chosen = []
    for label in np.unique(labels_N):
        rows_M = np.flatnonzero(labels_N == label)
        order_M = torch.randperm(len(rows_M), generator=seeded_generator(seed, "oversample", int(label))).numpy()
        chosen.append(np.resize(rows_M[order_M], largest))
    return np.concatenate(chosen)
