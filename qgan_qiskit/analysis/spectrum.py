"""Summaries of a spectrum of singular values: how many directions count.

Shape letters: S singular values · N latents.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from qgan_qiskit.stats import (
    geometric_mean_interval,
    jackknife_from_replicates,
    jackknife_interval,
    leave_out_groups,
    t_interval,
)

# Singular values below this fraction of the largest count as zero: a hundred times the rounding error of single precision.
RANK_TOLERANCE = 1e-7
# Percentiles over latents.
_BAND = (5, 95)


def effective_rank(values_S: np.ndarray) -> float:
    """Return exp(H(p)) with p = s / sum(s) and H Shannon's entropy in nats; 0 if all are 0.

    Roy and Vetterli 2007, "The effective rank: a measure of effective dimensionality", EUSIPCO, section 2. It lies between 1
    and the rank, and is n for n equal values.
    """
    total = values_S.sum()
    if total == 0:
        return 0.0
    p = values_S[values_S > 0] / total
    return float(np.exp(-(p * np.log(p)).sum()))


def participation_ratio(values_S: np.ndarray) -> float:
    """Return (sum s^2)^2 / sum s^4; 0 if all are 0.

    With s^2 the eigenvalues of a covariance this is the dimensionality of Gao et al. 2017 (bioRxiv 214262). It weights strong
    directions more than the effective rank does, and is n for n equal values.
    """
    squares = values_S**2
    return float(squares.sum() ** 2 / (squares**2).sum()) if squares.any() else 0.0


def numerical_rank(values_S: np.ndarray) -> float:
    """Return how many values are above ``RANK_TOLERANCE`` times the largest (Golub and Van Loan 2013, section 5.4)."""
    return float((values_S > RANK_TOLERANCE * values_S.max()).sum())


def condition_number(values_S: np.ndarray) -> float:
    """Return the largest value over the smallest that counts for the rank, nan if all are 0.

    This is the condition number |A| |A^+| of a matrix of that rank (Golub and Van Loan 2013, section 5.5).
    """
    rank = int(numerical_rank(values_S))
    return float(values_S[0] / values_S[rank - 1]) if rank else float("nan")


Measure = Callable[[np.ndarray], float]
MEASURES: dict[str, Measure] = {
    "effective_rank": effective_rank,
    "participation_ratio": participation_ratio,
    "rank": numerical_rank,
}


def summarize_spectra(spectra_NS: np.ndarray) -> dict[str, Any]:
    """Return the summary of the spectra at several latents, for JSON.

    Args:
        spectra_NS: singular values at each latent, falling; at least two latents.

    Returns:
        ``spectrum``: mean and 5 to 95 % over latents of each singular value; ``largest``; for each measure ``per_latent``,
        its mean over latents with Student's interval, and ``of_mean``, that of the mean spectrum with a jackknife interval;
        and ``condition_number``. It and ``largest`` differ between latents by factors, so these are geometric means.
    """
    low_S, high_S = np.percentile(spectra_NS, _BAND, axis=0)
    found: dict[str, Any] = {
        "number": len(spectra_NS),
        "spectrum": {"mean": spectra_NS.mean(0).tolist(), "low": low_S.tolist(), "high": high_S.tolist()},
        "largest": geometric_mean_interval(spectra_NS[:, 0]),
    }
    for name, measure in MEASURES.items():
        found[name] = {
            "per_latent": t_interval(np.array([measure(values_S) for values_S in spectra_NS])),
            "of_mean": jackknife_interval(spectra_NS, partial(_of_mean, measure)),
        }
    found["condition_number"] = geometric_mean_interval(
        np.array([condition_number(values_S) for values_S in spectra_NS])
    )
    return found


def summarize_features(rows_NF: np.ndarray) -> dict[str, Any]:
    """Return the summary of the standard deviations along the principal axes, for JSON, with jackknife intervals over the rows.

    Args:
        rows_NF: features of N latents, at least two.
    """
    values_S = centered_spectrum(rows_NF)
    found: dict[str, Any] = {
        "number": len(rows_NF),
        "spectrum": values_S.tolist(),
        "variance": float(rows_NF.var(axis=0, ddof=1).mean()),
        "first_share": float(values_S[0] ** 2 / max((values_S**2).sum(), 1e-300)),
    }
    left_out = [centered_spectrum(rows) for rows in leave_out_groups(rows_NF)]
    for name, measure in MEASURES.items():
        found[name] = jackknife_from_replicates(measure(values_S), [measure(values) for values in left_out])
    return found


def centered_spectrum(rows_NF: np.ndarray) -> np.ndarray:
    """Return the standard deviations along the principal axes, falling: singular values of the centered rows / sqrt(N - 1)."""
    centered = rows_NF - rows_NF.mean(axis=0)
    values: np.ndarray = np.linalg.svd(centered, compute_uv=False) / np.sqrt(max(len(rows_NF) - 1, 1))
    return values


def _of_mean(measure: Measure, spectra_NS: np.ndarray) -> float:
    return measure(spectra_NS.mean(axis=0))
