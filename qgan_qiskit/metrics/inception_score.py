"""The inception score of a set of class logits (Salimans et al. 2016).

Shape letters: N images · K classes · R resamples.
"""

from __future__ import annotations

import numpy as np
import torch

from qgan_qiskit.metrics.features import FeatureSet
from qgan_qiskit.metrics.results import Estimate, explain_missing_extra
from qgan_qiskit.stats import Bootstrap


def estimate_inception_score(_: FeatureSet, fake: FeatureSet, bootstrap: Bootstrap) -> list[Estimate]:
    """Return the inception score, which does not depend on real images."""
    logits = fake.logits_NK
    resampled = bootstrap.resample("is", bootstrap_inception_scores, logits)
    return [Estimate("IS", inception_score(logits), "higher", resampled, lowest=1, highest=logits.shape[1])]


def inception_score(logits_NK: np.ndarray) -> float:
    """Return exp of the mean KL divergence of each image's class probabilities from their mean; from 1 to K.

    Over the whole set at once, as Barratt & Sharma (2018) advise, not as a mean over ten splits: a tenth of a medical data set
    is too small to estimate the mean over 1,008 classes.

    Raises:
        ValueError: no rows.
        UsageError: torch-fidelity is not installed.
    """
    with explain_missing_extra():
        from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, isc_features_to_metric
    if not len(logits_NK):
        raise ValueError("an inception score needs at least one row")
    return float(isc_features_to_metric(torch.from_numpy(logits_NK), splits=1, shuffle=False)[KEY_METRIC_ISC_MEAN])


def bootstrap_inception_scores(logits_NK: np.ndarray, counts_RN: np.ndarray) -> np.ndarray:
    """Return the scores of a set resampled by the counts of its rows, (R,)."""
    logits = torch.from_numpy(logits_NK.astype(np.float64))
    log_probabilities = logits.log_softmax(dim=1).numpy()
    probabilities = np.exp(log_probabilities)
    # The mean divergence is the entropy of the mean minus the mean entropy.
    entropy_N = -(probabilities * log_probabilities).sum(axis=1)
    weights_RN = counts_RN / counts_RN.sum(axis=1, keepdims=True)
    mean_RK = weights_RN @ probabilities
    with np.errstate(divide="ignore", invalid="ignore"):
        terms_RK = np.where(mean_RK > 0, mean_RK * np.log(mean_RK), 0.0)
    return np.exp(-terms_RK.sum(axis=1) - weights_RN @ entropy_N)
