"""Zero-noise extrapolation (ZNE) by the rules of IBM's Estimator.

Models are tried in the given order. The first is taken whose value and standard error are finite, with error <= 1 and
|value| + error <= 2; if none is, the one with the smallest error.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import numpy as np
from scipy.optimize import curve_fit

_Model = Callable[..., np.ndarray]


def extrapolate_to_zero_noise(
    factors: Sequence[float], evs_F: np.ndarray, stds_F: np.ndarray, extrapolators: Sequence[str]
) -> tuple[float, float]:
    """Return an expectation value at zero noise and its standard error.

    Args:
        factors: F noise factors.
        evs_F: expectation values there.
        stds_F: their standard errors.
        extrapolators: models: ``exponential``, ``double_exponential``, ``linear``, ``polynomial_degree_1`` to 7, ``fallback``
            (the value at the smallest factor).
    """
    x_F = np.asarray(factors, dtype=float)
    fits = [_extrapolate(name, x_F, evs_F, stds_F) for name in extrapolators]
    for value, error in fits:
        if np.isfinite(value) and error <= 1 and abs(value) + error <= 2:
            return value, error
    return min(fits, key=lambda fit: np.inf if np.isnan(fit[1]) else fit[1])


def _extrapolate(name: str, x_F: np.ndarray, evs_F: np.ndarray, stds_F: np.ndarray) -> tuple[float, float]:
    """Fit one model; return its value at zero and standard error, NaN where the fit fails."""
    if name == "fallback":
        lowest = int(np.argmin(x_F))
        return float(evs_F[lowest]), float(stds_F[lowest])
    positive = stds_F[stds_F > 0]
    sigma_F = np.clip(stds_F, positive.min(), None) if positive.size else np.ones_like(stds_F)
    model, start, bounds = _build_model(name, x_F, evs_F, 1 / sigma_F)
    try:
        with warnings.catch_warnings():
            # With as many points as parameters there is no error to estimate: it is infinite, and refused above.
            warnings.simplefilter("ignore")
            if model is _polynomial and len(x_F) > len(start):
                # In closed form: curve_fit finds no covariance where the best line is level.
                best, covariance = np.polyfit(x_F, evs_F, len(start) - 1, w=1 / sigma_F, cov=True)
            else:
                best, covariance = curve_fit(model, x_F, evs_F, p0=start, sigma=sigma_F, bounds=bounds)
    except (RuntimeError, ValueError):
        return np.nan, np.nan
    gradient = np.array([_derivative_at_zero(model, best, index) for index in range(len(best))])
    with np.errstate(invalid="ignore"):
        variance = float(gradient @ covariance @ gradient)
    return float(model(np.zeros(1), *best)[0]), float(np.sqrt(max(variance, 0.0)))


def _derivative_at_zero(model: _Model, best: np.ndarray, index: int) -> float:
    """Return the derivative of the value at zero noise with respect to one parameter (central difference)."""
    step = np.zeros_like(best)
    step[index] = 1e-6 * max(abs(best[index]), 1.0)
    return float((model(np.zeros(1), *(best + step)) - model(np.zeros(1), *(best - step)))[0] / (2 * step[index]))


def _build_model(
    name: str, x_F: np.ndarray, evs_F: np.ndarray, weights_F: np.ndarray
) -> tuple[_Model, list[float], tuple[list[float], list[float]]]:
    """Return a function of the noise factor and parameters, the start of their search, and their bounds."""
    if name in ("exponential", "double_exponential"):
        # A straight line through the logarithms, weighted by their errors.
        size_F = np.clip(np.abs(evs_F), 1e-15, None)
        rate, height = np.polyfit(x_F, np.log(size_F), 1, w=size_F * weights_F)
        amplitude = (np.sign(evs_F[np.argmin(x_F)]) or 1.0) * np.exp(height)
        if name == "exponential":
            return _sum_of_exponentials, [amplitude, rate], ([-np.inf] * 2, [np.inf] * 2)
        rate = -abs(rate)
        start = [amplitude / 2, rate, amplitude / 2, 2 * rate]
        return _sum_of_exponentials, start, ([-np.inf] * 4, [np.inf, 0.0] * 2)
    degree = 1 if name == "linear" else int(name.rpartition("_")[2])
    start = np.polyfit(x_F, evs_F, degree, w=weights_F).tolist()
    return _polynomial, start, ([-np.inf] * len(start), [np.inf] * len(start))


def _polynomial(x: np.ndarray, *coefficients: float) -> np.ndarray:
    return np.polyval(np.array(coefficients), x)


def _sum_of_exponentials(x: np.ndarray, *parameters: float) -> np.ndarray:
    pairs = zip(parameters[::2], parameters[1::2], strict=True)
    return np.sum([amplitude * np.exp(rate * x) for amplitude, rate in pairs], axis=0)
