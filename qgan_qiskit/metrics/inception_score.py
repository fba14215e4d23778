"""The inception score (Salimans et al. 2016) of a set of class logits.

Shape letters: N images · K classes · R resamplings.
"""

from __future__ import annotations

import numpy as np
import torch


def inception_score(logits_NK: np.ndarray) -> float:
    """Return exp of the mean divergence of each image's class probabilities from their mean; from 1 to K.

    Over the whole set at once, as Barratt & Sharma (2018) advise, not the mean over ten parts: at the sizes of medical sets
    a tenth is too few to estimate the mean of 1,008 classes.

    Raises:
        ValueError: no rows.
    """
    from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, isc_features_to_metric

    if not len(logits_NK):
        raise ValueError("an inception score needs at least one row")
    return float(isc_features_to_metric(torch.from_numpy(logits_NK), splits=1, shuffle=False)[KEY_METRIC_ISC_MEAN])


def resampled_inception_scores(logits_NK: np.ndarray, counts_RN: np.ndarray) -> np.ndarray:
    """Return the scores of resampled sets, (R,).

    Args:
        logits_NK: class logits.
        counts_RN: how often each row is drawn.
    """
    logits = torch.from_numpy(logits_NK.astype(np.float64))
    log_probabilities = logits.log_softmax(dim=1).numpy()
    probabilities = np.exp(log_probabilities)
    # The mean divergence is the entropy of the mean less the mean entropy.
    entropy_N = -(probabilities * log_probabilities).sum(axis=1)
    shares_RN = counts_RN / counts_RN.sum(axis=1, keepdims=True)
    mean_RK = shares_RN @ probabilities
    with np.errstate(divide="ignore", invalid="ignore"):
        terms_RK = np.where(mean_RK > 0, mean_RK * np.log(mean_RK), 0.0)
    return np.exp(-terms_RK.sum(axis=1) - shares_RN @ entropy_N)
