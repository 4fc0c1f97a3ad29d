"""AUROC, pair accuracy and recall at a fixed FPR: hand-worked, against brute force, and against scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hero_rl.errors import InputError
from hero_rl.measures import auroc, group_auroc, pair_accuracy, pair_counts, recall_at_fpr, weighted_share

ROWS = st.lists(st.tuples(st.integers(-4, 4), st.booleans(), st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30)


def brute_force_auroc(scores: list[int], labels: list[bool], weights: list[int]) -> float:
    won = total = 0.0
    for score, label, weight in zip(scores, labels, weights, strict=True):
        for other, other_label, other_weight in zip(scores, labels, weights, strict=True):
            if label and not other_label:
                total += weight * other_weight
                won += weight * other_weight * ((score > other) + (score == other) / 2)
    return won / total if total else math.nan


def test_auroc_of_a_worked_example():
    # pairs: .9 beats .6 and .1; .4 loses to .6 and beats .1
    assert auroc([0.9, 0.4, 0.6, 0.1], [1, 1, 0, 0]) == 0.75


def test_ties_count_half_so_a_constant_score_gets_a_half():
    assert auroc([2, 2, 2], [1, 0, 0]) == 0.5
    assert pair_accuracy(pair_counts([2, 2, 2], [1, 0, 0], ["p"] * 3)) == 0.5


@given(ROWS)
def test_auroc_is_the_share_of_weighted_pairs_won(rows):
    scores, labels, weights, _ = map(list, zip(*rows, strict=True))
    expected = brute_force_auroc(scores, labels, weights)
    assert auroc(scores, labels, weights_B=weights) == pytest.approx(expected, nan_ok=True)


@given(ROWS)
def test_weights_of_two_are_rows_written_twice(rows):
    scores, labels, weights, _ = (np.array(column) for column in zip(*rows, strict=True))
    twice = np.repeat(np.arange(len(rows)), weights)
    assert auroc(scores, labels, weights_B=weights) == pytest.approx(auroc(scores[twice], labels[twice]), nan_ok=True)
    for fpr in (0.0, 0.3, 1.0):
        assert recall_at_fpr(scores, labels, fpr, weights_B=weights) == pytest.approx(
            recall_at_fpr(scores[twice], labels[twice], fpr), nan_ok=True
        )


def test_auroc_equals_scikit_learn_on_tied_scores():
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    rng = np.random.default_rng(0)
    labels, scores = rng.integers(0, 2, 500), rng.integers(0, 20, 500) / 7
    assert auroc(scores, labels) == pytest.approx(metrics.roc_auc_score(labels, scores), abs=1e-12)
    fpr, recall, _ = metrics.roc_curve(labels, scores, drop_intermediate=False)
    for limit in (0.01, 0.05, 0.5):
        assert recall_at_fpr(scores, labels, limit) == pytest.approx(recall[fpr <= limit].max(), abs=1e-12)


@given(ROWS)
def test_pairs_inside_prompts_equal_brute_force(rows):
    scores, labels, _, groups = map(list, zip(*rows, strict=True))
    counts = pair_counts(scores, labels, groups)
    each = [
        [(scores[i] > scores[j]) + (scores[i] == scores[j]) / 2 for i in range(len(rows)) for j in range(len(rows))
         if groups[i] == groups[j] == group and labels[i] and not labels[j]]
        for group in sorted(set(groups))
    ]  # fmt: skip
    assert counts.won.tolist() == [sum(own) for own in each]
    assert counts.pairs.tolist() == [len(own) for own in each]
    mixed = [sum(own) / len(own) for own in each if own]
    assert group_auroc(counts) == pytest.approx(sum(mixed) / len(mixed) if mixed else math.nan, nan_ok=True)


def test_pair_accuracy_counts_pairs_and_group_auroc_counts_prompts():
    scores, labels = [5, 1, 2, 3, 0, 9], [1, 0, 0, 0, 1, 0]
    counts = pair_counts(scores, labels, ["a", "a", "a", "a", "b", "b"])
    assert pair_accuracy(counts) == 3 / 4  # three won in a, one lost in b
    assert group_auroc(counts) == 1 / 2  # 1 in a, 0 in b
    assert pair_accuracy(counts, weights_B=[0, 0, 0, 0, 1, 1]) == 0.0


def test_knowing_only_which_prompt_is_easy_is_worth_nothing_inside_prompts():
    labels = [1, 1, 1, 0, 0, 0, 0, 1]
    scores = [9, 9, 9, 9, 1, 1, 1, 1]
    assert auroc(scores, labels) == 0.75
    assert group_auroc(pair_counts(scores, labels, [0, 0, 0, 0, 1, 1, 1, 1])) == 0.5


def test_recall_at_fpr_of_a_worked_example():
    scores, labels = [9, 8, 7, 6, 5, 4], [1, 0, 1, 1, 0, 0]
    assert recall_at_fpr(scores, labels, 0.0) == pytest.approx(1 / 3)
    assert recall_at_fpr(scores, labels, 1 / 3) == 1.0
    # the highest score is an incorrect response's: nothing can be accepted without it
    assert recall_at_fpr([2, 1], [0, 1], 0.5) == 0.0


def test_one_class_alone_has_no_ranking():
    assert math.isnan(auroc([1, 2], [1, 1]))
    assert math.isnan(recall_at_fpr([1, 2], [0, 0], 0.1))
    assert math.isnan(pair_accuracy(pair_counts([], [], [])))
    assert math.isnan(pair_accuracy(pair_counts([1, 2], [1, 0], ["a", "b"])))


def test_weighted_share_counts_weights():
    assert weighted_share([1, 0, 1], [1, 1, 0], weights_B=[3, 1, 5]) == 0.75
    assert math.isnan(weighted_share([1], [0]))


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [([1.0, math.nan], [0, 1], "not finite"), ([1.0, 2.0], [0, 2], "neither 0 nor 1"), ([1.0], [0, 1], "one label per score")],
)
def test_what_cannot_be_measured_is_refused(scores, labels, message):
    with pytest.raises(InputError, match=message):
        auroc(scores, labels)
