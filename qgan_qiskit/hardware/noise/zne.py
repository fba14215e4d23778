"""Extrapolation of expectations to zero noise, by the rules of IBM's Estimator.

Models are tried in the order asked for; the first is taken whose value and standard error are finite, whose error is at most 1
and whose value lies within its error and 1 of [-1, 1]. If there is none, the one with the smallest error is.
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
    """Return an expectation at zero noise and its standard error.

    Args:
        factors: noise factors, F of them.
        evs_F: expectations there.
        stds_F: their standard errors.
        extrapolators: names of models: ``exponential``, ``double_exponential``, ``linear``, ``polynomial_degree_1`` to 7,
            ``fallback`` (what was measured at the smallest factor).
    """
    x_F = np.asarray(factors, dtype=float)
    found = [_extrapolated(name, x_F, evs_F, stds_F) for name in extrapolators]
    for value, error in found:
        if np.isfinite(value) and error <= 1 and abs(value) + error <= 2:
            return value, error
    return min(found, key=lambda pair: np.inf if np.isnan(pair[1]) else pair[1])


def _extrapolated(name: str, x_F: np.ndarray, evs_F: np.ndarray, stds_F: np.ndarray) -> tuple[float, float]:
    if name == "fallback":
        lowest = int(np.argmin(x_F))
        return float(evs_F[lowest]), float(stds_F[lowest])
    positive = stds_F[stds_F > 0]
    sigma_F = np.clip(stds_F, positive.min(), None) if positive.size else np.ones_like(stds_F)
    model, start, bounds = _model(name, x_F, evs_F, 1 / sigma_F)
    try:
        with warnings.catch_warnings():
            # As many points as parameters leave no error to estimate: infinite, and so refused above.
            warnings.simplefilter("ignore")
            if model is _polynomial and len(x_F) > len(start):
                # The same in closed form; a search finds no covariance where the best line is level.
                best, covariance = np.polyfit(x_F, evs_F, len(start) - 1, w=1 / sigma_F, cov=True)
            else:
                best, covariance = curve_fit(model, x_F, evs_F, p0=start, sigma=sigma_F, bounds=bounds)
    except (RuntimeError, ValueError):
        return np.nan, np.nan
    slope = np.array([_derivative(model, best, number) for number in range(len(best))])
    with np.errstate(invalid="ignore"):
        variance = float(slope @ covariance @ slope)
    return float(model(np.zeros(1), *best)[0]), float(np.sqrt(max(variance, 0.0)))


def _derivative(model: _Model, best: np.ndarray, number: int) -> float:
    """Return the derivative of the value at zero noise by one parameter."""
    step = np.zeros_like(best)
    step[number] = 1e-6 * max(abs(best[number]), 1.0)
    return float((model(np.zeros(1), *(best + step)) - model(np.zeros(1), *(best - step)))[0] / (2 * step[number]))


def _model(
    name: str, x_F: np.ndarray, evs_F: np.ndarray, weights_F: np.ndarray
) -> tuple[_Model, list[float], tuple[list[float], list[float]]]:
    """Return a function of the noise factor and its parameters, where their search begins, and its bounds."""
    if name in ("exponential", "double_exponential"):
        # A straight line through the logarithms, weighted by the errors that these have.
        size_F = np.clip(np.abs(evs_F), 1e-15, None)
        rate, height = np.polyfit(x_F, np.log(size_F), 1, w=size_F * weights_F)
        amplitude = (np.sign(evs_F[np.argmin(x_F)]) or 1.0) * np.exp(height)
        if name == "exponential":
            return _exponentials, [amplitude, rate], ([-np.inf] * 2, [np.inf] * 2)
        rate = -abs(rate)
        return _exponentials, [amplitude / 2, rate, amplitude / 2, 2 * rate], ([-np.inf] * 4, [np.inf, 0.0] * 2)
    degree = 1 if name == "linear" else int(name.rpartition("_")[2])
    start = np.polyfit(x_F, evs_F, degree, w=weights_F).tolist()
    return _polynomial, start, ([-np.inf] * len(start), [np.inf] * len(start))


def _polynomial(x: np.ndarray, *coefficients: float) -> np.ndarray:
    return np.polyval(np.array(coefficients), x)


def _exponentials(x: np.ndarray, *parameters: float) -> np.ndarray:
    pairs = zip(parameters[::2], parameters[1::2], strict=True)
    return np.sum([amplitude * np.exp(rate * x) for amplitude, rate in pairs], axis=0)
