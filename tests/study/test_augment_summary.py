"""The choice of alpha and the comparisons: against scipy, against sign patterns counted one by one, and on rows made to order."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from qgan_qiskit.stats import draw_lesion_counts
from qgan_qiskit.study.augment.summary import (
    SCORES,
    TestSplit,
    by_condition,
    choose_alphas,
    condition_of,
    estimate_validation,
    list_answers,
    questions,
    scores,
    summarize_answers,
)
from qgan_qiskit.study.augment.training_sets import Condition

LABELS = np.repeat([0, 1, 2], 30)
LESIONS = [f"l{number // 2}" for number in range(90)]
GENERATED = Condition("generated", "g", 0.3)


def cell(condition, seed, skill, validation=0.5):
    """A row, and predictions that are right more often with more skill."""
    numbers = np.random.default_rng([seed, round(1000 * skill), *condition.slug.encode()])
    logits = numbers.normal(size=(90, 3)) + skill * np.eye(3)[LABELS]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    row = {"condition": condition.kind, "generator": condition.generator, "alpha": condition.alpha, "seed": seed}
    row |= {"test": scores(LABELS, probabilities), "validation": dict.fromkeys(SCORES, validation)}
    return row, probabilities


def study(skills, seeds=(0, 1, 2, 3, 4)):
    """Rows by condition and seed, and the test part."""
    made = [cell(condition, seed, skill) for condition, skill in skills.items() for seed in seeds]
    kept = {(condition_of(row), row["seed"]): probabilities for row, probabilities in made}
    weights = draw_lesion_counts(LABELS, LESIONS, 200)
    test = TestSplit(LABELS, weights, lambda row: kept[condition_of(row), row["seed"]])
    return by_condition(row for row, _ in made), test


@settings(max_examples=8)
@given(st.integers(2, 7), st.floats(0.2, 2), st.floats(0.2, 2))
def test_a_comparison_is_the_paired_test_of_the_same_seeds(seeds, ours, theirs):
    cells, test = study({GENERATED: ours, Condition("none"): theirs}, range(seeds))
    found = test.compare(cells, [(GENERATED, Condition("none"))])
    assert [one.score for one in found] == list(SCORES)
    for one in found:
        first, second = (
            np.array([cells[condition][seed]["test"][one.score] for seed in range(seeds)])
            for condition in (GENERATED, Condition("none"))
        )
        assert one.difference.mean == pytest.approx(np.mean(first - second))
        oracle = stats.ttest_rel(first, second)
        interval = oracle.confidence_interval(0.95)
        assert one.difference.over_seeds == pytest.approx((interval.low, interval.high))
        assert one.t_p == pytest.approx(oracle.pvalue)
        signs = np.array(list(itertools.product((1, -1), repeat=seeds)))
        sums = np.abs(signs @ (first - second))
        assert one.flip_p == pytest.approx(np.mean(sums >= sums[0] - 1e-12))
        assert one.smallest_p == 2 / 2**seeds
        # One pair: nothing to correct.
        assert one.holm_p == pytest.approx(one.flip_p)


def test_only_seeds_that_both_have_are_paired():
    cells, test = study({GENERATED: 1.0, Condition("none"): 0.5})
    del cells[GENERATED][2], cells[Condition("none")][4]
    (one, *_) = test.compare(cells, [(GENERATED, Condition("none"))])
    expected = [
        cells[GENERATED][seed]["test"]["accuracy"] - cells[Condition("none")][seed]["test"]["accuracy"]
        for seed in (0, 1, 3)
    ]
    assert (one.difference.seeds, one.difference.mean) == (3, pytest.approx(np.mean(expected)))
    for seed in (0, 1, 3):
        del cells[GENERATED][seed]
    assert test.compare(cells, [(GENERATED, Condition("none"))]) == []


def test_p_values_are_corrected_for_all_pairs_of_a_question():
    skills = {GENERATED: 1.5, Condition("none"): 0.2, Condition("oversample"): 1.2, Condition("traditional"): 1.5}
    cells, test = study(skills)
    pairs = [(GENERATED, Condition(kind)) for kind in ("none", "oversample", "traditional")]
    for score in SCORES:
        found = [one for one in test.compare(cells, pairs) if one.score == score]
        raw = [one.flip_p for one in found]
        # Holm by its definition: the k-th smallest of m times m - k + 1, and never less than one before.
        expected, largest = {}, 0.0
        for rank, place in enumerate(np.argsort(raw, kind="stable")):
            largest = max(largest, min(1.0, (len(raw) - rank) * raw[place]))
            expected[int(place)] = largest
        assert [one.holm_p for one in found] == pytest.approx([expected[place] for place in range(3)])


@pytest.mark.parametrize(
    ("ours", "theirs", "verdict"), [(3.0, 0.3, "higher"), (0.3, 3.0, "lower"), (1.0, 1.0, "no difference shown")]
)
def test_the_verdict_needs_both_intervals(ours, theirs, verdict):
    cells, test = study({GENERATED: ours, Condition("none"): theirs})
    found = test.compare(cells, [(GENERATED, Condition("none"))])
    assert {one.verdict for one in found} == {verdict}
    (line,) = list_answers(found)
    assert line.startswith("generated g 0.3 against none: macro recall and balanced accuracy ")
    assert line.endswith(f": {verdict}") and "over 5 seeds" in line and "over test lesions" in line
    expected = {
        "higher": "generated g 0.3: higher than none.",
        "lower": "generated g 0.3: no gain shown over any baseline; lower than none.",
        "no difference shown": "generated g 0.3: no gain shown over any baseline.",
    }
    assert summarize_answers(found) == expected[verdict]


def test_one_seed_is_no_test():
    cells, test = study({GENERATED: 3.0, Condition("none"): 0.3}, seeds=(0,))
    (one, *_) = test.compare(cells, [(GENERATED, Condition("none"))])
    assert (one.difference.over_seeds, one.t_p, one.flip_p, one.holm_p) == (None, None, None, None)
    assert one.verdict == "not tested: one seed"


def test_estimates_lie_in_their_intervals():
    cells, test = study({GENERATED: 1.0})
    for score in SCORES:
        one = test.estimate(cells[GENERATED], score)
        assert one.mean == pytest.approx(np.mean([row["test"][score] for row in cells[GENERATED].values()]))
        for low, high in (one.over_seeds, one.over_lesions):
            assert low < one.mean < high
        validation = estimate_validation(cells[GENERATED], score)
        assert (validation.mean, validation.over_lesions) == (pytest.approx(0.5), None)


def rows_of(values, seeds=2):
    return by_condition(
        cell(Condition("generated", "g", alpha), seed, 1.0, validation=value)[0]
        for alpha, value in values.items()
        for seed in range(seeds)
    )


def test_alpha_is_chosen_on_the_validation_part_the_smallest_of_equal_ones():
    alphas = (0.1, 0.3, 0.5)
    assert choose_alphas(rows_of({0.1: 0.5, 0.3: 0.7, 0.5: 0.6}), ["g"], alphas, 2) == {"g": 0.3}
    assert choose_alphas(rows_of({0.1: 0.5, 0.3: 0.7, 0.5: 0.7}), ["g"], alphas, 2) == {"g": 0.3}
    # Not before all cells are there.
    assert choose_alphas(rows_of({0.1: 0.5, 0.3: 0.7}), ["g"], alphas, 2) == {}
    assert choose_alphas(rows_of({0.1: 0.5, 0.3: 0.7, 0.5: 0.6}), ["g"], alphas, 3) == {}


def test_the_questions_are_asked_at_the_chosen_alpha_of_what_is_there():
    both = Condition("traditional+generated", "g", 0.3)
    there = [Condition("none"), Condition("traditional"), GENERATED, Condition("generated", "g", 0.1), both]
    first, second = questions({"g": 0.3}, there)
    assert first == [(GENERATED, Condition("none")), (GENERATED, Condition("traditional"))]
    assert second == [(both, Condition("traditional"))]
    assert questions({}, there) == [[], []]
