"""Expressibility (Sim, Johnson and Aspuru-Guzik 2019, arXiv 1905.10876): how close a circuit's states come to Haar random ones.

It is the Kullback-Leibler divergence, in nats, of the histogram of fidelities F between states with independent random angles
from the density of Haar random states of dimension N, P(F) = (N - 1)(1 - F)^(N - 2): 0 for Haar states, largest for a circuit
that always makes the same state. Two sets of bins:

- ``equal_width``, the paper's. From about eight qubits on, nearly all Haar fidelities lie in the first bin, and most circuits
  look alike.
- ``equal_probability``, ours: all bins have equal probability under Haar, so the value discriminates at any size, on another
  scale.

With finitely many samples even Haar states have a positive estimate, which is given beside each value.

Shape letters: N samples · B bins.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import numpy as np

from qgan_qiskit.rng import numpy_generator
from qgan_qiskit.stats import jackknife_interval

Binning = Literal["equal_width", "equal_probability"]
BINNINGS: tuple[Binning, ...] = ("equal_width", "equal_probability")
# Sets of Haar states whose estimates are averaged.
_REPEATS = 20


def divergence(fidelities_N: np.ndarray, dimension: int, bins: int, binning: Binning = "equal_width") -> float:
    """Return the divergence of a histogram of fidelities from that of Haar states, in nats.

    Args:
        fidelities_N: between 0 and 1.
        dimension: of the states, 2**qubits, at least 2.
        bins: number of bins.
        binning: how their edges are chosen.
    """
    positions_N = fidelities_N if binning == "equal_width" else 1 - (1 - fidelities_N) ** (dimension - 1)
    counts_B, _ = np.histogram(positions_N, bins, (0, 1))
    filled = counts_B > 0
    frequency = counts_B[filled] / len(fidelities_N)
    return float((frequency * (np.log(frequency) - haar_log_probabilities(dimension, bins, binning)[filled])).sum())


def haar_log_probabilities(dimension: int, bins: int, binning: Binning = "equal_width") -> np.ndarray:
    """Return the log probability of each bin under Haar, shape (B,).

    The probability between a and b is (1 - a)^(N - 1) - (1 - b)^(N - 1), the integral of the density. For many qubits the
    last bins would underflow, so only logarithms are computed.
    """
    if binning == "equal_probability":
        return np.full(bins, -np.log(bins))
    left = np.arange(bins) / bins
    ratio = (bins - 1 - np.arange(bins)) / (bins - np.arange(bins))
    logarithms: np.ndarray = (dimension - 1) * np.log1p(-left) + np.log1p(-(ratio ** (dimension - 1)))
    return logarithms


def largest_divergence(dimension: int, bins: int, binning: Binning = "equal_width") -> float:
    """Return the value for a circuit that always makes the same state, F = 1: (N - 1) ln(bins) or ln(bins)."""
    return -float(haar_log_probabilities(dimension, bins, binning)[-1])


def expressibility(fidelities_N: np.ndarray, dimension: int, bins: int, seed: int) -> dict[str, Any]:
    """Return the expressibility in both binnings, for JSON.

    Args:
        fidelities_N: of independent pairs.
        dimension: of the states.
        bins: number of bins.
        seed: of the Haar states to compare with.

    Returns:
        For each binning the estimate with a jackknife interval over pairs (``mean``, ``low``, ``high``), ``largest``, and
        ``haar`` and ``haar_real``: the mean of the same estimate for as many true Haar states, complex and real.
    """
    random = numpy_generator(seed, dimension, 1)
    samples = len(fidelities_N)
    # With one of two independent Haar states held fixed, F is a beta-distributed sum of squares.
    draws: dict[str, Callable[[], np.ndarray]] = {
        "haar": lambda: random.beta(1, dimension - 1, samples),
        "haar_real": lambda: random.beta(0.5, (dimension - 1) / 2, samples),
    }
    references = {name: [draw() for _ in range(_REPEATS)] for name, draw in draws.items()}
    found: dict[str, Any] = {"samples": samples, "bins": bins}
    for binning in BINNINGS:
        estimate = partial(divergence, dimension=dimension, bins=bins, binning=binning)
        found[binning] = jackknife_interval(fidelities_N, estimate) | {
            "largest": largest_divergence(dimension, bins, binning)
        }
        for name, sets in references.items():
            found[binning][name] = float(np.mean([estimate(each) for each in sets]))
    return found
