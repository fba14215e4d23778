"""Precision and recall, density and coverage, from nearest neighbors in feature space.

Shape letters: N real images · M generated images · F features · B images of a block.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from scipy.spatial.distance import cdist

from qgan_qiskit.metrics.features import FeatureSet
from qgan_qiskit.metrics.results import Estimate, estimate_mean
from qgan_qiskit.stats import Bootstrap

# k of the papers: Kynkäänniemi et al. 2019 (and torch-fidelity), Naeem et al. 2020.
PRECISION_NEIGHBORS, DENSITY_NEIGHBORS = 3, 5
# Images that the four metrics need on each side.
MIN_IMAGES = DENSITY_NEIGHBORS + 1
_BLOCK = 500


def estimate_precision_recall(real: FeatureSet, fake: FeatureSet, bootstrap: Bootstrap) -> list[Estimate]:
    """Return precision, recall, density and coverage.

    Only the images are resampled, not the radii: a repeated image would be its own neighbor at distance 0.
    """
    estimates = []
    for name, values in precision_recall_density_coverage(real.features_NF, fake.features_NF).items():
        k = PRECISION_NEIGHBORS if name in ("precision", "recall") else DENSITY_NEIGHBORS
        fraction = name != "density"
        bounds = {"lowest": 0, "highest": 1 if fraction else math.inf}
        estimates.append(
            estimate_mean(f"{name}, k = {k}", values, "higher", bootstrap, name, **bounds, fraction=fraction)
        )
    return estimates


def precision_recall_density_coverage(real_NF: np.ndarray, fake_MF: np.ndarray) -> dict[str, np.ndarray]:
    """Return four metrics, each as one number per image whose mean is the metric.

    The ball around an image reaches to its k-th nearest neighbor in its own set.

    - ``precision`` (M,): whether a generated image lies in the ball of any real one (k = 3).
    - ``recall`` (N,): whether a real image lies in the ball of any generated one (k = 3).
    - ``density`` (M,): number of real balls that a generated image lies in, over k (k = 5); the mean may exceed 1.
    - ``coverage`` (N,): whether the ball of a real image contains any generated one (k = 5).

    torch-fidelity and prdc return only the means, but intervals need the values of single images. As in the papers, an
    image on the boundary of a ball lies in it; prdc excludes it.

    Raises:
        ValueError: fewer than six rows on a side.
    """
    if min(len(real_NF), len(fake_MF)) < MIN_IMAGES:
        raise ValueError(f"neighbor metrics need at least {MIN_IMAGES} rows on each side")
    real_radii, fake_radii = _compute_radii(real_NF), _compute_radii(fake_MF)
    precise, density = np.zeros(len(fake_MF), bool), np.zeros(len(fake_MF))
    recalled, covered = [], []
    for rows, distances_BM in _iterate_distances(real_NF, fake_MF):
        precise |= (distances_BM <= real_radii[PRECISION_NEIGHBORS][rows, None]).any(axis=0)
        inside_BM = distances_BM <= real_radii[DENSITY_NEIGHBORS][rows, None]
        density += inside_BM.sum(axis=0) / DENSITY_NEIGHBORS
        covered.append(inside_BM.any(axis=1))
        recalled.append((distances_BM <= fake_radii[PRECISION_NEIGHBORS]).any(axis=1))
    return {
        "precision": precise.astype(np.float64),
        "recall": np.concatenate(recalled).astype(np.float64),
        "density": density,
        "coverage": np.concatenate(covered).astype(np.float64),
    }


def find_nearest(features_MF: np.ndarray, others_NF: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return for each row the index of the nearest row of another set and its distance: (M,) int64, (M,) float64."""
    rows, distances = [np.zeros(0, np.int64)], [np.zeros(0)]
    for _, distances_BN in _iterate_distances(features_MF, others_NF):
        rows.append(distances_BN.argmin(axis=1))
        distances.append(distances_BN.min(axis=1))
    return np.concatenate(rows), np.concatenate(distances)


def _compute_radii(features_NF: np.ndarray) -> dict[int, np.ndarray]:
    """Return for each k the distance of each row to its k-th nearest other row."""
    ks = [PRECISION_NEIGHBORS, DENSITY_NEIGHBORS]
    # Each row is its own nearest at index 0, so the k-th nearest other row is at index k.
    blocks = [
        np.partition(distances, ks, axis=1)[:, ks] for _, distances in _iterate_distances(features_NF, features_NF)
    ]
    return dict(zip(ks, np.concatenate(blocks).T, strict=True))


def _iterate_distances(first_NF: np.ndarray, second_MF: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield blocks of rows of the first set and their distances to the second; exact, so equal rows are at distance 0."""
    for start in range(0, len(first_NF), _BLOCK):
        rows = slice(start, start + _BLOCK)
        yield rows, cdist(first_NF[rows], second_MF)
