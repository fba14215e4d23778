"""Scores of classifiers; alpha chosen on the validation split; conditions compared on the test split. Pure functions.

Shape letters: N images · C classes · R resamplings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn import metrics

from qgan_qiskit.stats import holm, paired_test, percentile_interval, t_interval
from qgan_qiskit.study.augment.training_sets import BASELINES, Condition
from qgan_qiskit.study.study_file import Row

# Key -> name in tables.
SCORES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_precision": "macro precision",
    "macro_recall": "macro recall",
    "auc": "AUC",
}
# Alpha is chosen by it on the validation split.
CHOSEN_BY = "balanced_accuracy"
# The answers name both; they are the same number where every class is tested.
_ASKED = ("macro_recall", "balanced_accuracy")
Predictions = Callable[[Row], np.ndarray]
Cells = Mapping[Condition, Mapping[int, Row]]


def scores(labels_N: np.ndarray, probabilities_NC: np.ndarray) -> dict[str, float]:
    """Return all scores on a set of images that has every class.

    A class that is never predicted has precision 0. AUC is the mean over the classes of one against the rest.
    Balanced accuracy and macro recall are the same mean of the classes' recalls.

    Args:
        labels_N: true classes, 0 to C - 1.
        probabilities_NC: float64, rows of sum 1.
    """
    predicted_N = probabilities_NC.argmax(axis=1)
    classes = list(range(probabilities_NC.shape[1]))
    # For two classes scikit-learn wants one column.
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
    """Return the fraction of pairs of a positive and a negative in the right order; ties count half."""
    order_N = np.argsort(score_N, kind="stable")
    weights_RN, positive_N, score_N = weights_RN[:, order_N], positive_N[order_N], score_N[order_N]
    # Images with equal scores form one step of the curve.
    starts = np.flatnonzero(np.diff(score_N, prepend=-np.inf))
    positive_RS = np.add.reduceat(weights_RN * positive_N, starts, axis=1)
    negative_RS = np.add.reduceat(weights_RN * ~positive_N, starts, axis=1)
    below_RS = np.cumsum(negative_RS, axis=1) - negative_RS / 2
    pairs_R = positive_RS.sum(axis=1) * negative_RS.sum(axis=1)
    auc_R: np.ndarray = (positive_RS * below_RS).sum(axis=1) / pairs_R
    return auc_R


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds.

    Attributes:
        mean: over the seeds.
        seeds: how many.
        over_seeds: Student's t interval of 95 %; None with one seed.
        over_lesions: percentile interval of 95 % over the test lesions; None for the validation split.
    """

    mean: float
    seeds: int
    over_seeds: tuple[float, float] | None
    over_lesions: tuple[float, float] | None


@dataclass(frozen=True)
class Comparison:
    """One condition minus another, on the test split, over the seeds that both have.

    Attributes:
        condition: the first.
        baseline: the second.
        score: key of ``SCORES``.
        difference: mean difference with its intervals.
        t_p: two-sided p of the paired t-test; None where it says nothing.
        flip_p: two-sided p of the exact sign-flip permutation test; None with one seed.
        smallest_p: the smallest p that this test can give with so many seeds.
        holm_p: ``flip_p`` corrected for all comparisons of the same question and score.
    """

    condition: Condition
    baseline: Condition
    score: str
    difference: Estimate
    t_p: float | None
    flip_p: float | None
    smallest_p: float
    holm_p: float | None

    @property
    def verdict(self) -> str:
        """``higher`` or ``lower`` if both intervals exclude 0 on that side, else why not."""
        seeds, lesions = self.difference.over_seeds, self.difference.over_lesions
        if seeds is None or lesions is None:
            return "not tested: one seed"
        if min(seeds[0], lesions[0]) > 0:
            return "higher"
        if max(seeds[1], lesions[1]) < 0:
            return "lower"
        return "no difference shown"


def condition_of(row: Row) -> Condition:
    """Return the condition of a cell's row."""
    return Condition(row["condition"], row["generator"], row["alpha"])


def by_condition(rows: Iterable[Row]) -> dict[Condition, dict[int, Row]]:
    """Return the rows by condition and seed."""
    found: dict[Condition, dict[int, Row]] = {}
    for row in rows:
        found.setdefault(condition_of(row), {})[row["seed"]] = row
    return found


def choose_alphas(cells: Cells, generators: Iterable[str], alphas: Sequence[float], seeds: int) -> dict[str, float]:
    """Return the alpha of each generator with the best validation score, mean over the seeds; of equal ones the smallest.

    A generator with unfinished cells has none yet: the choice must not depend on which cells are finished.

    Args:
        cells: rows by condition and seed.
        generators: names.
        alphas: rising.
        seeds: how many each alpha must have.
    """
    chosen = {}
    for name in generators:
        rows = [cells.get(Condition("generated", name, alpha), {}) for alpha in alphas]
        if all(len(found) == seeds for found in rows):
            means = [np.mean([row["validation"][CHOSEN_BY] for row in found.values()]) for found in rows]
            chosen[name] = alphas[int(np.argmax(means))]
    return chosen


def estimate_validation(rows: Mapping[int, Row], score: str) -> Estimate:
    """Return a condition's score on the validation split."""
    return _estimate([row["validation"][score] for row in rows.values()], None)


class TestSplit:
    """The test split of a study, resampled once so that all conditions share the resamplings."""

    __test__ = False  # Not for pytest.

    def __init__(self, labels_N: np.ndarray, weights_RN: np.ndarray, predictions: Predictions) -> None:
        """Set up the resamplings.

        Args:
            labels_N: true classes.
            weights_RN: how often each image counts in each resampling.
            predictions: returns the probabilities (N, C) of a cell.
        """
        self._labels_N, self._weights_RN, self._predictions = labels_N, weights_RN, predictions
        self._resampled: dict[tuple[Condition, int], dict[str, np.ndarray]] = {}

    def estimate(self, rows: Mapping[int, Row], score: str) -> Estimate:
        """Return a condition's score with both intervals."""
        resampled_R = np.mean([self._resample(row)[score] for row in rows.values()], axis=0)
        return _estimate([row["test"][score] for row in rows.values()], percentile_interval(resampled_R))

    def compare(self, cells: Cells, pairs: Sequence[tuple[Condition, Condition]]) -> list[Comparison]:
        """Return all comparisons of one question, score by score, corrected for the number of pairs.

        Args:
            cells: rows by condition and seed.
            pairs: conditions and what they are compared with; pairs without a common seed are left out.
        """
        found = []
        pairs = [(first, second) for first, second in pairs if cells[first].keys() & cells[second].keys()]
        for score in SCORES:
            compared = [self._compare(first, second, cells, score) for first, second in pairs]
            corrected = holm([one.flip_p for one in compared])
            found += [Comparison(**{**vars(one), "holm_p": p}) for one, p in zip(compared, corrected, strict=True)]
        return found

    def _compare(self, first: Condition, second: Condition, cells: Cells, score: str) -> Comparison:
        seeds = sorted(cells[first].keys() & cells[second].keys())
        ours, theirs = ([cells[one][seed] for seed in seeds] for one in (first, second))
        differences = [a["test"][score] - b["test"][score] for a, b in zip(ours, theirs, strict=True)]
        resampled_R = np.mean(
            [self._resample(a)[score] - self._resample(b)[score] for a, b in zip(ours, theirs, strict=True)], axis=0
        )
        test = paired_test([row["test"][score] for row in ours], [row["test"][score] for row in theirs])
        return Comparison(
            condition=first,
            baseline=second,
            score=score,
            difference=_estimate(differences, percentile_interval(resampled_R)),
            t_p=None if test is None else test.t_p,
            flip_p=None if test is None else test.flip_p,
            smallest_p=min(1.0, 2 / 2 ** len(seeds)),
            holm_p=None,
        )

    def _resample(self, row: Row) -> dict[str, np.ndarray]:
        key = condition_of(row), row["seed"]
        if key not in self._resampled:
            self._resampled[key] = weighted_scores(self._labels_N, self._predictions(row), self._weights_RN)
        return self._resampled[key]


def questions(chosen: Mapping[str, float], present: Iterable[Condition]) -> list[list[tuple[Condition, Condition]]]:
    """Return the pairs of each question: do generated images help, and do they add to standard geometric augmentation?"""
    there = set(present)
    first = [
        (Condition("generated", name, alpha), Condition(baseline))
        for name, alpha in chosen.items()
        for baseline in BASELINES
    ]
    second = [
        (Condition("traditional+generated", name, alpha), Condition("traditional")) for name, alpha in chosen.items()
    ]
    return [[pair for pair in pairs if there.issuperset(pair)] for pairs in (first, second)]


def summarize_answers(comparisons: Sequence[Comparison]) -> str:
    """Return the answer in a sentence: which generators beat which baselines, and which beat none."""
    asked = [one for one in comparisons if one.score == CHOSEN_BY]
    parts = []
    for condition in dict.fromkeys(one.condition for one in asked):
        beaten = [str(one.baseline) for one in asked if one.condition == condition and one.verdict == "higher"]
        worse = [str(one.baseline) for one in asked if one.condition == condition and one.verdict == "lower"]
        text = f"higher than {', '.join(beaten)}" if beaten else "no gain shown over any baseline"
        parts.append(f"{condition}: {text}" + (f"; lower than {', '.join(worse)}" if worse else ""))
    return ". ".join(parts) + "."


def list_answers(comparisons: Iterable[Comparison]) -> list[str]:
    """Return the answer, a line per generator and baseline."""
    lines = []
    for one in comparisons:
        if one.score != CHOSEN_BY:
            continue
        names = " and ".join(SCORES[score] for score in _ASKED)
        text = f"{one.condition} against {one.baseline}: {names} {one.difference.mean + 0.0:+.4f}"
        if one.difference.over_seeds is not None and one.difference.over_lesions is not None:
            seeds, lesions = one.difference.over_seeds, one.difference.over_lesions
            text += (
                f" (95 % over {one.difference.seeds} seeds {seeds[0]:+.4f} to {seeds[1]:+.4f}, over test lesions "
                f"{lesions[0]:+.4f} to {lesions[1]:+.4f})"
            )
        lines.append(f"{text}: {one.verdict}")
    return lines


def _estimate(values: Sequence[float], over_lesions: tuple[float, float] | None) -> Estimate:
    interval = t_interval(values) if len(values) > 1 else None
    over_seeds = None if interval is None else (interval["low"], interval["high"])
    return Estimate(float(np.mean(values)), len(values), over_seeds, over_lesions)


def as_json(one: Any) -> Any:
    """Return an estimate or comparison as plain values."""
    if isinstance(one, Comparison):
        return {**{key: as_json(value) for key, value in vars(one).items()}, "verdict": one.verdict}
    if isinstance(one, Estimate):
        return dict(vars(one))
    return str(one) if isinstance(one, Condition) else one
