"""How much of the circuits' errors reaches the images, and what kind of errors they are.

Noise mostly pulls expectations toward a fixed value: a straight line through (exact, noisy) takes that part up, one line for
each feature. What the line leaves is scatter. Against the images' error stand two others of known kind: that of the expectations
with the lines undone, and that of random errors of the same size.

Shape letters: N images · P sub-generators · O observables.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from qgan_qiskit.rng import numpy_generator

Decode = Callable[[np.ndarray], np.ndarray]


def recalibrated(exact_NPO: np.ndarray, noisy_NPO: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return noisy expectations with each feature's line undone, and the slopes (P, O).

    A feature whose line is flat (slope below 0.05) keeps its mean alone: it says nothing of its image any more.
    """
    exact_mean, noisy_mean = exact_NPO.mean(0), noisy_NPO.mean(0)
    variance = np.maximum(((exact_NPO - exact_mean) ** 2).mean(0), 1e-12)
    slope_PO = ((exact_NPO - exact_mean) * (noisy_NPO - noisy_mean)).mean(0) / variance
    flat = np.abs(slope_PO) < 0.05
    undone = exact_mean + (noisy_NPO - noisy_mean) / np.where(flat, np.inf, slope_PO)
    return undone, slope_PO


def absorbed(
    exact_NPO: np.ndarray, noisy_NPO: np.ndarray, stds_NPO: np.ndarray, decode: Decode, seed: int
) -> dict[str, Any]:
    """Return what errors the expectations have, and what of them is seen in the images.

    Args:
        exact_NPO: expectations without noise.
        noisy_NPO: those of a device.
        stds_NPO: their standard errors, as the device gives them.
        decode: makes images (N, …) from expectations, in the range 0 to 255.
        seed: of the random errors.

    Returns:
        ``features``: errors as root mean squares (``rmse``; ``rmse_of_sub_generators``; ``rmse_of_shots``: what the standard
        errors make up; ``scatter``: what the lines leave), the mean ``slope`` of the lines, and ``spread``, the standard
        deviation of exact expectations over images. ``images``: root mean squares of the difference to the exact images, in
        values of 255 (``rmse``, ``rmse_recalibrated``, ``rmse_of_random_errors``).
    """
    error_NPO = noisy_NPO - exact_NPO
    undone_NPO, slope_PO = recalibrated(exact_NPO, noisy_NPO)
    line_NPO = noisy_NPO.mean(0) + slope_PO * (exact_NPO - exact_NPO.mean(0))
    rmse = _root(error_NPO)
    random = numpy_generator(seed)
    random_NPO = np.clip(exact_NPO + rmse * random.standard_normal(exact_NPO.shape), -1, 1)
    images = decode(exact_NPO)
    return {
        "features": {
            "rmse": rmse,
            "rmse_of_sub_generators": np.sqrt((error_NPO**2).mean((0, 2))).tolist(),
            "rmse_of_shots": _root(stds_NPO),
            "scatter": _root(noisy_NPO - line_NPO),
            "slope": float(slope_PO.mean()),
            "spread": float(np.sqrt(exact_NPO.var(0).mean())),
        },
        "images": {
            "rmse": _root(decode(noisy_NPO) - images),
            "rmse_recalibrated": _root(decode(undone_NPO) - images),
            "rmse_of_random_errors": _root(decode(random_NPO) - images),
        },
    }


def _root(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))
