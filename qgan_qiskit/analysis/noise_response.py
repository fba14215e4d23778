"""How errors of expectations respond to noise, and how much of them reaches the images.

Noise mostly pulls expectations toward a fixed value. For each feature a least-squares line from exact to noisy expectations
captures that part; its residual is the scatter. The error of the images is compared with those for the inverted lines and for
random errors of the same size.

Shape letters: N images · P sub-generators · O observables.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Decode = Callable[[np.ndarray], np.ndarray]
# A feature whose line is flatter carries no information about its image.
_FLAT = 0.05


def recalibrate(exact_NPO: np.ndarray, noisy_NPO: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return noisy expectations with each feature's line inverted, and the slopes (P, O).

    A feature with a slope below 0.05 becomes its exact mean.
    """
    exact_mean, noisy_mean = exact_NPO.mean(0), noisy_NPO.mean(0)
    variance = np.maximum(((exact_NPO - exact_mean) ** 2).mean(0), 1e-12)
    slope_PO = ((exact_NPO - exact_mean) * (noisy_NPO - noisy_mean)).mean(0) / variance
    flat = np.abs(slope_PO) < _FLAT
    recalibrated_NPO = exact_mean + (noisy_NPO - noisy_mean) / np.where(flat, np.inf, slope_PO)
    return recalibrated_NPO, slope_PO


def error_response(
    exact_NPO: np.ndarray, noisy_NPO: np.ndarray, stds_NPO: np.ndarray, decode: Decode, seed: int
) -> dict[str, Any]:
    """Return the errors of the expectations and of the images decoded from them.

    Args:
        exact_NPO: expectations without noise.
        noisy_NPO: those of a device.
        stds_NPO: their standard errors, as the device reports them.
        decode: makes images (N, …) from expectations, in the range 0 to 255.
        seed: of the random errors.

    Returns:
        ``features``: root mean square errors (``rmse``; ``rmse_of_sub_generators``; ``rmse_of_shots``, the standard errors;
        ``scatter``, the residual of the lines), the mean ``slope`` of the lines, and ``spread``, the standard deviation of
        exact expectations over images. ``images``: root mean square differences to the exact images, in pixel values up to
        255 (``rmse``, ``rmse_recalibrated``, ``rmse_of_random_errors``).
    """
    error_NPO = noisy_NPO - exact_NPO
    recalibrated_NPO, slope_PO = recalibrate(exact_NPO, noisy_NPO)
    line_NPO = noisy_NPO.mean(0) + slope_PO * (exact_NPO - exact_NPO.mean(0))
    rmse = _rms(error_NPO)
    random = np.random.default_rng(seed)
    random_NPO = np.clip(exact_NPO + rmse * random.standard_normal(exact_NPO.shape), -1, 1)
    images = decode(exact_NPO)
    return {
        "features": {
            "rmse": rmse,
            "rmse_of_sub_generators": np.sqrt((error_NPO**2).mean((0, 2))).tolist(),
            "rmse_of_shots": _rms(stds_NPO),
            "scatter": _rms(noisy_NPO - line_NPO),
            "slope": float(slope_PO.mean()),
            "spread": float(np.sqrt(exact_NPO.var(0).mean())),
        },
        "images": {
            "rmse": _rms(decode(noisy_NPO) - images),
            "rmse_recalibrated": _rms(decode(recalibrated_NPO) - images),
            "rmse_of_random_errors": _rms(decode(random_NPO) - images),
        },
    }


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))
