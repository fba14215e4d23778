"""How many generated images a training set gets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal


def generated_counts(real: Sequence[int], alpha: float, classes: Literal["as-real", "balanced"]) -> list[int]:
    """Return the number of generated images of each class.

    Alpha is the share of generated images among all training images (arXiv 2506.21015v1, section 4.1), so R real images
    get R alpha / (1 - alpha) generated ones.

    Args:
        real: real training images of each class.
        alpha: 0 to below 1.
        classes: ``as-real``: each class grows by the same factor; ``balanced``: each image goes to the class that is
            smallest so far.
    """
    if classes == "as-real":
        return [round(number * alpha / (1 - alpha)) for number in real]
    counts = list(real)
    for _ in range(round(sum(real) * alpha / (1 - alpha))):
        counts[counts.index(min(counts))] += 1
    return [after - before for after, before in zip(counts, real, strict=True)]
