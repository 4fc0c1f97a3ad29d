"""Stratified normalisation (Eq. 3): hand-worked numbers, then the promises as properties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from helpers.strategies import any_score, batches, examples
from hero_rl.errors import BandOverlapError, InputError
from hero_rl.rewards import stratified_normalize

bands = st.tuples(st.floats(0.001, 0.6), st.floats(0.001, 0.39))


def test_worked_example_of_equation_3():
    rewards = stratified_normalize(
        scores_B=[1, 5, 3, 4, 9, 8, 2, 7],
        verdicts_B=[0, 1, 0, 1, 1, 1, 0, 1],
        groups_B=["a", "a", "a", "b", "b", "b", "a", "b"],
        alpha=0.1,
        beta=0.2,
        eps=0.0,
    )
    # a, incorrect: 1, 3, 2 (rows 0, 2, 6) -> z = 0, 1, .5 -> -.1, .1, 0;  a, correct: 5 alone -> z = 0 -> .8
    # b, correct: 4, 9, 8, 7 (rows 3, 4, 5, 7) -> z = 0, 1, .8, .6 -> .8, 1.2, 1.12, 1.04
    assert rewards == pytest.approx([-0.1, 0.8, 0.1, 0.8, 1.2, 1.12, 0.0, 1.04])


def test_eps_is_the_one_of_the_formula():
    assert stratified_normalize([0.0, 1.0], [0, 0], [0, 0], alpha=0.1, beta=0.1, eps=1.0) == pytest.approx([-0.1, 0.0])


def test_a_lone_response_sits_on_the_floor_of_its_band_as_the_formula_says():
    assert stratified_normalize([3.0, 8.0], [1, 0], [0, 0], alpha=0.1, beta=0.2) == pytest.approx([0.8, -0.1])


def test_a_lone_response_sits_on_its_verdict_when_asked():
    assert stratified_normalize([3.0, 8.0], [1, 0], [0, 0], alpha=0.1, beta=0.2, singleton="center") == pytest.approx(
        [1.0, 0.0]
    )


def test_ties_are_degenerate_like_singletons():
    assert stratified_normalize([2.0, 2.0, 2.0], [1, 1, 0], [0, 0, 0], alpha=0.1, beta=0.2) == pytest.approx([0.8, 0.8, -0.1])


def test_rounding_noise_is_not_ranked():
    scores = np.array([1.0, 1.0 + 1e-7, 1.0 - 1e-7])
    assert np.ptp(stratified_normalize(scores, [0, 0, 0], [0, 0, 0], alpha=0.1, beta=0.1)) == 0.0
    assert np.ptp(stratified_normalize(scores, [0, 0, 0], [0, 0, 0], alpha=0.1, beta=0.1, tie_tolerance=0.0, eps=0.0)) > 0.19


def test_a_missing_score_leaves_the_verdict_alone_and_the_others_untouched():
    with_missing = stratified_normalize([1, np.nan, 3, np.nan], [0, 0, 0, 1], [0, 0, 0, 0], alpha=0.1, beta=0.2, eps=0.0)
    assert with_missing == pytest.approx([-0.1, 0.0, 0.1, 1.0])


def test_an_abstention_counts_as_incorrect():
    assert stratified_normalize([1, 2, 3], [0, np.nan, 1], [0, 0, 0], alpha=0.1, beta=0.2, eps=0.0) == pytest.approx(
        [-0.1, 0.1, 0.8]
    )


@pytest.mark.parametrize(
    ("dense", "expected"),
    [
        ("both", [-0.1, 0.1, 0.8, 1.2]),
        ("correct", [0.0, 0.0, 0.8, 1.2]),
        ("incorrect", [-0.1, 0.1, 1.0, 1.0]),
        ("none", [0.0, 0.0, 1.0, 1.0]),
    ],
)
def test_dense_chooses_the_strata_that_use_scores(dense, expected):
    rewards = stratified_normalize([1, 2, 3, 4], [0, 0, 1, 1], [0, 0, 0, 0], alpha=0.1, beta=0.2, eps=0.0, dense=dense)
    assert rewards == pytest.approx(expected)


def test_an_empty_batch_has_no_rewards():
    assert stratified_normalize([], [], [], alpha=0.1, beta=0.1).shape == (0,)


@given(batches(score=any_score), bands)
@examples(300)
def test_every_correct_response_ranks_above_every_incorrect_one_and_bands_are_kept(batch, band):
    (verdicts, scores, groups), (alpha, beta) = batch, band
    rewards = stratified_normalize(scores, verdicts, groups, alpha=alpha, beta=beta)
    correct = verdicts == 1
    assert np.isfinite(rewards).all()
    assert (np.abs(rewards - correct) <= np.where(correct, beta, alpha) + 1e-12).all()
    if correct.any() and (~correct).any():
        assert rewards[correct].min() > rewards[~correct].max()


def test_the_smallest_numbers_do_not_overflow_without_eps_and_tolerance():
    rewards = stratified_normalize([0.0, 5e-324, 1e-300], [0, 0, 1], [0, 0, 0], alpha=0.1, beta=0.1, eps=0.0, tie_tolerance=0.0)
    assert rewards == pytest.approx([-0.1, -0.1, 0.9])


@given(batches(), bands)
def test_order_is_kept_inside_strata(batch, band):
    (verdicts, scores, groups), (alpha, beta) = batch, band
    rewards = stratified_normalize(scores, verdicts, groups, alpha=alpha, beta=beta)
    for group in set(groups):
        for correct in (True, False):
            stratum = (groups == group) & ((verdicts == 1) == correct)
            assert (np.diff(rewards[stratum][np.argsort(scores[stratum], kind="stable")]) >= 0).all()


@given(batches(score=st.integers(-50, 50).map(float)), st.floats(0.25, 64), st.integers(-1000, 1000))
def test_shifting_and_scaling_the_scores_changes_nothing(batch, scale, shift):
    verdicts, scores, groups = batch
    options = {"alpha": 0.1, "beta": 0.2, "eps": 0.0}
    assert stratified_normalize(scores * scale + shift, verdicts, groups, **options) == pytest.approx(
        stratified_normalize(scores, verdicts, groups, **options), abs=1e-9
    )


@given(batches(score=any_score), st.randoms(use_true_random=False))
def test_the_order_of_rows_and_the_names_of_groups_do_not_matter(batch, random):
    verdicts, scores, groups = batch
    order = np.array(random.sample(range(len(scores)), len(scores)))
    rewards = stratified_normalize(scores, verdicts, groups, alpha=0.1, beta=0.2)
    assert (stratified_normalize(scores[order], verdicts[order], groups[order], alpha=0.1, beta=0.2) == rewards[order]).all()
    renamed = np.array([f"prompt {group}" for group in groups])
    assert (stratified_normalize(scores, verdicts, renamed, alpha=0.1, beta=0.2) == rewards).all()
    sparse = groups * 10**12 - 7
    assert (stratified_normalize(scores, verdicts, sparse, alpha=0.1, beta=0.2) == rewards).all()


@given(batches())
def test_vectorised_equals_a_plain_loop(batch):
    verdicts, scores, groups = batch
    expected = np.empty(len(scores))
    for row in range(len(scores)):
        same = [
            s for s, v, g in zip(scores, verdicts, groups, strict=True) if g == groups[row] and (v == 1) == (verdicts[row] == 1)
        ]
        low, high = min(same), max(same)
        z = (scores[row] - low) / (high - low + 1e-6) if high - low > 1e-6 else 0.0
        expected[row] = (0.8 + 0.4 * z) if verdicts[row] == 1 else (-0.1 + 0.2 * z)
    assert stratified_normalize(scores, verdicts, groups, alpha=0.1, beta=0.2) == pytest.approx(expected, abs=1e-12)


@given(hnp.arrays(np.float64, st.integers(1, 30), elements=st.sampled_from([0.0, 1.0])))
def test_overlapping_bands_are_refused(verdicts):
    with pytest.raises(BandOverlapError, match="need alpha \\+ beta < 1"):
        stratified_normalize(np.zeros(len(verdicts)), verdicts, np.zeros(len(verdicts), int), alpha=0.7, beta=0.5)


@pytest.mark.parametrize(
    ("scores", "verdicts", "groups", "match"),
    [
        ([1.0, 2.0], [0.0], [0, 0], "one entry per response"),
        ([1.0], [0.4], [0], "verdict 0.4 at row 0"),
        ([np.inf], [1.0], [0], "score inf at row 0: scores must be finite"),
        ([1e200], [1.0], [0], "scores must be finite"),
        ([1.0], [1.0], [[0]], "one label per response"),
    ],
)
def test_bad_input_is_named(scores, verdicts, groups, match):
    with pytest.raises(InputError, match=match):
        stratified_normalize(scores, verdicts, groups, alpha=0.1, beta=0.1)
