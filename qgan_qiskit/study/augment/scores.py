"""How well a classifier does, as one number each.

Shape letters: N images · C classes · R resamplings.
"""

from __future__ import annotations

import numpy as np
from sklearn import metrics

# Key -> what tables call it.
SCORES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_precision": "macro precision",
    "macro_recall": "macro recall",
    "auc": "AUC",
}


def scores(labels_N: np.ndarray, probabilities_NC: np.ndarray) -> dict[str, float]:
    """Return all scores of a set of images that has every class, by scikit-learn.

    A class that is never predicted counts with precision 0. AUC is the mean over the classes of one against the rest.
    Balanced accuracy and macro recall are the same mean of the classes' recalls.

    Args:
        labels_N: true classes, 0 to C - 1.
        probabilities_NC: float64, rows of sum 1.
    """
    predicted_N = probabilities_NC.argmax(axis=1)
    classes = list(range(probabilities_NC.shape[1]))
    # With two classes one against the rest is the same from either side, and scikit-learn wants one column.
    ranked = probabilities_NC if len(classes) > 2 else probabilities_NC[:, 1]
    return {
        "accuracy": float(metrics.accuracy_score(labels_N, predicted_N)),
        "balanced_accuracy": float(metrics.balanced_accuracy_score(labels_N, predicted_N)),
        "macro_precision": float(
            metrics.precision_score(labels_N, predicted_N, labels=classes, average="macro", zero_division=0)
        ),
        "macro_recall": float(
            metrics.recall_score(labels_N, predicted_N, labels=classes, average="macro", zero_division=0)
        ),
        "auc": float(metrics.roc_auc_score(labels_N, ranked, labels=classes, multi_class="ovr", average="macro")),
    }


def confusion(labels_N: np.ndarray, probabilities_NC: np.ndarray) -> list[list[int]]:
    """Return the confusion matrix: rows are true classes, columns predicted ones."""
    classes = range(probabilities_NC.shape[1])
    matrix: list[list[int]] = metrics.confusion_matrix(
        labels_N, probabilities_NC.argmax(axis=1), labels=list(classes)
    ).tolist()
    return matrix


def weighted_scores(
    labels_N: np.ndarray, probabilities_NC: np.ndarray, weights_RN: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the same scores for many weightings of the images at once, for a bootstrap.

    Args:
        labels_N: true classes.
        probabilities_NC: as in :func:`scores`.
        weights_RN: how often each image counts in each resampling; every class must count in each.

    Returns:
        By score, float64 of shape (R,).
    """
    count, classes = probabilities_NC.shape
    cell_N = labels_N * classes + probabilities_NC.argmax(axis=1)
    cells_NK = np.zeros((count, classes**2))
    cells_NK[np.arange(count), cell_N] = 1
    confusion_RCC = (weights_RN @ cells_NK).reshape(-1, classes, classes)
    right_RC = np.diagonal(confusion_RCC, axis1=1, axis2=2)
    recall_R = (right_RC / confusion_RCC.sum(axis=2)).mean(axis=1)
    predicted_RC = confusion_RCC.sum(axis=1)
    auc_CR = [_auc(labels_N == c, probabilities_NC[:, c], weights_RN) for c in range(classes)]
    return {
        "accuracy": right_RC.sum(axis=1) / weights_RN.sum(axis=1),
        "balanced_accuracy": recall_R,
        "macro_precision": (right_RC / np.maximum(predicted_RC, 1)).mean(axis=1),
        "macro_recall": recall_R,
        "auc": np.mean(auc_CR, axis=0),
    }


def _auc(positive_N: np.ndarray, score_N: np.ndarray, weights_RN: np.ndarray) -> np.ndarray:
    """Return the share of pairs of a positive and a negative that are in the right order; ties count half."""
    order_N = np.argsort(score_N, kind="stable")
    weights_RN, positive_N, score_N = weights_RN[:, order_N], positive_N[order_N], score_N[order_N]
    # Images of equal score form one step of the curve.
    starts = np.flatnonzero(np.diff(score_N, prepend=-np.inf))
    positive_RS = np.add.reduceat(weights_RN * positive_N, starts, axis=1)
    negative_RS = np.add.reduceat(weights_RN * ~positive_N, starts, axis=1)
    below_RS = np.cumsum(negative_RS, axis=1) - negative_RS / 2
    pairs_R = positive_RS.sum(axis=1) * negative_RS.sum(axis=1)
    auc_R: np.ndarray = (positive_RS * below_RS).sum(axis=1) / pairs_R
    return auc_R
