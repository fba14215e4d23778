"""Measures from nearest neighbors in feature space: precision and recall, density and coverage.

Shape letters: N real images · M generated images · F features · B images of a block.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.spatial.distance import cdist

# Neighbors in the papers: Kynkäänniemi et al. 2019 (and torch-fidelity), Naeem et al. 2020.
PRECISION_NEIGHBOURS, DENSITY_NEIGHBOURS = 3, 5
# Images that all four measures need on each side.
FEWEST = DENSITY_NEIGHBOURS + 1
_BLOCK = 500


def precision_recall_density_coverage(real_NF: np.ndarray, fake_MF: np.ndarray) -> dict[str, np.ndarray]:
    """Return four measures, each as one number per image whose mean is the measure.

    A ball around an image reaches to its k-th nearest neighbor in its own set.

    - ``precision`` (M,): whether a generated image lies in the ball of any real one (k = 3).
    - ``recall`` (N,): whether a real image lies in the ball of any generated one (k = 3).
    - ``density`` (M,): how many real balls a generated image lies in, over k (k = 5); the mean may exceed 1.
    - ``coverage`` (N,): whether the ball of a real image holds any generated one (k = 5).

    The functions of torch-fidelity and prdc return only the means, while an interval needs the images' own numbers (prdc's
    also prints, and starts eight threads). An image on the edge of a ball lies in it, as in the papers; prdc leaves it out.

    Args:
        real_NF: features of real images.
        fake_MF: features of generated ones.

    Raises:
        ValueError: fewer than six rows on a side.
    """
    if min(len(real_NF), len(fake_MF)) < FEWEST:
        raise ValueError(f"neighbor measures need at least {FEWEST} rows on each side")
    real_radii, fake_radii = _radii(real_NF), _radii(fake_MF)
    precise, dense = np.zeros(len(fake_MF), bool), np.zeros(len(fake_MF))
    recalled, covered = [], []
    for rows, distances_BM in _distances(real_NF, fake_MF):
        precise |= (distances_BM <= real_radii[PRECISION_NEIGHBOURS][rows, None]).any(axis=0)
        inside_BM = distances_BM <= real_radii[DENSITY_NEIGHBOURS][rows, None]
        dense += inside_BM.sum(axis=0) / DENSITY_NEIGHBOURS
        covered.append(inside_BM.any(axis=1))
        recalled.append((distances_BM <= fake_radii[PRECISION_NEIGHBOURS]).any(axis=1))
    measures = {
        "precision": precise,
        "recall": np.concatenate(recalled),
        "density": dense,
        "coverage": np.concatenate(covered),
    }
    return {name: values.astype(np.float64) for name, values in measures.items()}


def nearest(features_MF: np.ndarray, others_NF: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return, for each row, the number of the nearest row of another set, and the distance to it: (M,) int64, (M,) float64."""
    rows, distances = [np.zeros(0, np.int64)], [np.zeros(0)]
    for _, distances_BN in _distances(features_MF, others_NF):
        rows.append(distances_BN.argmin(axis=1))
        distances.append(distances_BN.min(axis=1))
    return np.concatenate(rows), np.concatenate(distances)


def _radii(features_NF: np.ndarray) -> dict[int, np.ndarray]:
    """Return for each k the distance of each row to its k-th nearest other row."""
    ks = [PRECISION_NEIGHBOURS, DENSITY_NEIGHBOURS]
    # A row is its own nearest, so the k-th other one comes at place k.
    blocks = [np.partition(distances, ks, axis=1)[:, ks] for _, distances in _distances(features_NF, features_NF)]
    return dict(zip(ks, np.concatenate(blocks).T, strict=True))


def _distances(first_NF: np.ndarray, second_MF: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield blocks of rows of the first set and their distances to the second; exact, so that a copy is at distance 0."""
    for start in range(0, len(first_NF), _BLOCK):
        rows = slice(start, start + _BLOCK)
        yield rows, cdist(first_NF[rows], second_MF)
