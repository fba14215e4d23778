"""Expressibility (Sim, Johnson and Aspuru-Guzik 2019, arXiv 1905.10876): how near a circuit's states come to Haar's.

Two states are made with independent random angles, and their fidelity F is looked at. For Haar random states of N dimensions
its density is P(F) = (N - 1)(1 - F)^(N - 2). The expressibility is the Kullback-Leibler divergence of the circuit's histogram
from it, in nats: 0 for Haar's states, largest for a circuit that always makes the same one. Two sets of bins:

- ``equal_width``, the paper's. From about eight qubits on nearly all of Haar's fidelities lie in the first bin, and most circuits
  look alike.
- ``equal_probability``, ours: each bin has the same share of Haar's states, so the figure says something at any size. It is on
  another scale.

A histogram of finitely many samples is never flat, so even Haar's states have a positive estimate. It is given beside each.

Shape letters: N samples · B bins.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from qgan_qiskit.rng import numpy_generator
from qgan_qiskit.stats import jackknife_interval

Binning = Literal["equal_width", "equal_probability"]
BINNINGS: tuple[Binning, ...] = ("equal_width", "equal_probability")
# Estimates for true Haar states behind their mean.
_REPEATS = 20


def divergence(fidelities_N: np.ndarray, dimension: int, bins: int, binning: Binning = "equal_width") -> float:
    """Return the divergence of a histogram of fidelities from Haar's, in nats (the module's text has the source).

    Args:
        fidelities_N: between 0 and 1.
        dimension: of the states, 2**qubits, at least 2.
        bins: number of bins.
        binning: where their edges lie.
    """
    places = fidelities_N if binning == "equal_width" else 1 - (1 - fidelities_N) ** (dimension - 1)
    counts_B, _ = np.histogram(places, bins, (0, 1))
    met = counts_B > 0
    share = counts_B[met] / len(fidelities_N)
    return float((share * (np.log(share) - haar_logarithms(dimension, bins, binning)[met])).sum())


def haar_logarithms(dimension: int, bins: int, binning: Binning = "equal_width") -> np.ndarray:
    """Return the logarithm of the share of Haar's fidelities in each bin, shape (B,).

    Between a and b this is (1 - a)^(N - 1) - (1 - b)^(N - 1): the integral of the density. The last bins of many qubits have
    shares far below the smallest number there is, so only logarithms are computed.
    """
    if binning == "equal_probability":
        return np.full(bins, -np.log(bins))
    left = np.arange(bins) / bins
    ratio = (bins - 1 - np.arange(bins)) / (bins - np.arange(bins))
    logarithms: np.ndarray = (dimension - 1) * np.log1p(-left) + np.log1p(-(ratio ** (dimension - 1)))
    return logarithms


def largest(dimension: int, bins: int, binning: Binning = "equal_width") -> float:
    """Return the figure of a circuit that always makes the same state: F = 1, in the last bin; (N - 1) ln(bins) or ln(bins)."""
    return -float(haar_logarithms(dimension, bins, binning)[-1])


def expressibility(fidelities_N: np.ndarray, dimension: int, bins: int, seed: int) -> dict[str, Any]:
    """Return the figures of both binnings for JSON.

    Args:
        fidelities_N: of independent pairs.
        dimension: of the states.
        bins: number of bins.
        seed: of the Haar states beside them.

    Returns:
        For each binning the estimate with the jackknife's interval over pairs (``mean``, ``low``, ``high``), ``largest``, and
        ``haar`` and ``haar_real``: the mean of the same estimate for as many true Haar states, complex and real ones.
    """
    random = numpy_generator(seed, dimension, 1)
    samples = len(fidelities_N)
    # One of two independent Haar states may be held fixed; then F is a sum of squares over another: a beta distribution.
    draws: dict[str, Callable[[], np.ndarray]] = {
        "haar": lambda: random.beta(1, dimension - 1, samples),
        "haar_real": lambda: random.beta(0.5, (dimension - 1) / 2, samples),
    }
    references = {name: [draw() for _ in range(_REPEATS)] for name, draw in draws.items()}
    found: dict[str, Any] = {"samples": samples, "bins": bins}
    for binning in BINNINGS:
        figure = _figure(dimension, bins, binning)
        found[binning] = jackknife_interval(fidelities_N, figure) | {"largest": largest(dimension, bins, binning)}
        for name, sets in references.items():
            found[binning][name] = float(np.mean([figure(each) for each in sets]))
    return found


def _figure(dimension: int, bins: int, binning: Binning) -> Callable[[np.ndarray], float]:
    return lambda fidelities: divergence(fidelities, dimension, bins, binning)
