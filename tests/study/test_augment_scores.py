"""Scores against confusion matrices written out by hand, against pairs counted one by one, and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from qgan_qiskit.stats import draw_lesion_counts, percentile_interval
from qgan_qiskit.study.augment.summary import confusion, scores, weighted_scores

# Confusion matrix (rows: true) -> accuracy, balanced accuracy and macro recall, macro precision, worked out by hand.
BY_HAND = {
    "all right": ([[3, 0], [0, 5]], 1, 1, 1),
    "all wrong": ([[0, 2], [4, 0]], 0, 0, 0),
    "one class only": ([[4, 0, 0], [2, 0, 0], [2, 0, 0]], 4 / 8, 1 / 3, (4 / 8 + 0 + 0) / 3),
    "mixed": ([[5, 1, 0], [2, 6, 2], [0, 1, 3]], 14 / 20, (5 / 6 + 6 / 10 + 3 / 4) / 3, (5 / 7 + 6 / 8 + 3 / 5) / 3),
}


def predictions_of(matrix):
    """Labels and probabilities that have this confusion matrix."""
    labels, predicted = [], []
    for true, row in enumerate(matrix):
        for label, count in enumerate(row):
            labels += [true] * count
            predicted += [label] * count
    return np.array(labels), 0.8 * np.eye(len(matrix))[predicted] + 0.2 / len(matrix)


@pytest.mark.parametrize("name", BY_HAND)
def test_scores_are_those_worked_out_by_hand(name):
    matrix, accuracy, recall, precision = BY_HAND[name]
    labels, probabilities = predictions_of(matrix)
    found = scores(labels, probabilities)
    assert confusion(labels, probabilities) == matrix
    expected = {"accuracy": accuracy, "balanced_accuracy": recall, "macro_recall": recall, "macro_precision": precision}
    assert {key: found[key] for key in expected} == pytest.approx(expected)


def random_case(seed, classes, images):
    numbers = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), numbers.integers(classes, size=images)])
    # Few levels: many ties.
    logits = numbers.integers(0, 4, (len(labels), classes)) + 1.0
    return labels, logits / logits.sum(axis=1, keepdims=True)


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.integers(2, 4), st.integers(1, 30))
def test_auc_counts_pairs(seed, classes, images):
    labels, probabilities = random_case(seed, classes, images)
    areas = []
    for label in range(classes):
        wins = [
            (probabilities[i, label] > probabilities[j, label])
            + (probabilities[i, label] == probabilities[j, label]) / 2
            for i in np.flatnonzero(labels == label)
            for j in np.flatnonzero(labels != label)
        ]
        areas.append(np.mean(wins))
    assert scores(labels, probabilities)["auc"] == pytest.approx(np.mean(areas))


@settings(max_examples=10)
@given(st.integers(0, 10**6), st.integers(2, 4), st.integers(1, 40))
def test_weighting_is_repeating(seed, classes, images):
    labels, probabilities = random_case(seed, classes, images)
    numbers = np.random.default_rng(seed + 1)
    weights = numbers.integers(0, 4, (3, len(labels))).astype(float)
    weights[:, :classes] += 1
    weights[0] = 1
    found = weighted_scores(labels, probabilities, weights)
    for row, times in enumerate(weights):
        repeated = np.repeat(np.arange(len(labels)), times.astype(int))
        expected = scores(labels[repeated], probabilities[repeated])
        assert {key: values[row] for key, values in found.items()} == pytest.approx(expected)
    ours = metrics.balanced_accuracy_score(labels, probabilities.argmax(axis=1), sample_weight=weights[1])
    assert found["balanced_accuracy"][1] == pytest.approx(ours)


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.integers(1, 3), st.integers(1, 40))
def test_lesions_are_drawn_whole_and_class_by_class(seed, classes, lesions):
    numbers = np.random.default_rng(seed)
    class_of = np.concatenate([np.arange(classes), numbers.integers(classes, size=lesions)])
    sizes = numbers.integers(1, 5, len(class_of))
    labels = np.repeat(class_of, sizes)
    names = [f"lesion {number}" for number in np.repeat(np.arange(len(class_of)), sizes)]
    order = numbers.permutation(len(labels))
    labels, names = labels[order], [names[place] for place in order]
    weights = draw_lesion_counts(labels, names, 20, seed)
    assert weights.shape == (20, len(labels))
    first = {name: place for place, name in reversed(list(enumerate(names)))}
    assert all(np.array_equal(weights[:, place], weights[:, first[name]]) for place, name in enumerate(names))
    for label in range(classes):
        of_class = [place for name, place in first.items() if labels[place] == label]
        assert (weights[:, of_class].sum(axis=1) == len(of_class)).all()
    assert np.array_equal(weights, draw_lesion_counts(labels, names, 20, seed))


def test_the_interval_over_lesions_has_the_width_of_independent_lesions():
    """200 lesions of five equal images each: as wide as for 200 images, not for 1,000."""
    right = np.arange(200) % 4 > 0
    labels = np.zeros(1000, int)
    weights = draw_lesion_counts(labels, [str(number // 5) for number in range(1000)], 4000)
    low, high = percentile_interval((weights * np.repeat(right, 5)).sum(axis=1) / weights.sum(axis=1))
    half = 1.96 * np.sqrt(0.75 * 0.25 / 200)
    assert (low, high) == pytest.approx((0.75 - half, 0.75 + half), abs=0.006)
