"""Alignment, pressure and scale: worked by hand, as properties, and with intervals that hold the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hero_rl.errors import InputError
from hero_rl.measures import bootstrap, update_quality, verifier_alignment, working_share
from hero_rl.rewards import group_advantages, hero, hero_adaptive, naive_sum, rm_only, verifier_only

RULES = [hero(), hero(weighting=False), hero_adaptive(), naive_sum(rule_weight=0.9)]


def world(seed: int, *, prompts: int = 60, size: int = 8, recall: float = 0.6, shift: float = 1.0):
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(prompts), size)
    right = (rng.random(groups.size) < rng.beta(0.7, 1.2, prompts)[groups]).astype(np.float64)
    verdicts = right * (rng.random(groups.size) < recall)
    return verdicts, shift * right + rng.normal(size=groups.size), right, groups


def advantages(rule, verdicts, scores, groups):
    made = rule.apply(verdicts, scores, groups, rule.init())
    return group_advantages(made.rewards, groups, weights_B=made.weights)


def test_the_three_measures_by_hand():
    # prompt a: labels 1 1 0 0, A = 1 0 -1 0, A* = 1/2 1/2 -1/2 -1/2; prompt b: labels equal, A = 1 -1 with A* = 0
    # sums: A A* = 1, A^2 = 4, A*^2 = 1 -> cos = 1 / 2, scale = 1
    # scores 3 1 | 2 0 | 5 1: e = 1 -1 | 1 -1 | 2 -2; A e = 1 - 1 + 2 + 2 = 4, e^2 = 12 -> 4 / sqrt(48)
    found = update_quality([1, 0, -1, 0, 1, -1], [1, 1, 0, 0, 1, 1], [3, 1, 2, 0, 5, 1], list("aaaabb"))
    assert found.alignment.value == pytest.approx(0.5)
    assert found.pressure.value == pytest.approx(4 / math.sqrt(48))
    assert found.scale.value == pytest.approx(1.0)


def test_the_working_share_by_hand():
    # the baseline is the truth of prompt a (cos 1 on it, 1 / sqrt 2 with b), the rule half as aligned
    labels, groups = [1, 0, 1, 0], [0, 0, 1, 1]
    found = working_share([1, -1, 1, -1], [1, -1, 0, 0], labels, groups)
    assert found.value == pytest.approx(2.0)  # cos^2: 1 against 1 / 2
    assert working_share([-1, 1, -1, 1], [1, -1, 0, 0], labels, groups).value == pytest.approx(-2.0)
    assert math.isnan(working_share([1, -1, 1, -1], [-1, 1, 0, 0], labels, groups).value)


def test_the_advantages_of_the_truth_have_alignment_and_scale_one():
    _, scores, right, groups = world(0)
    found = update_quality(advantages(verifier_only(), right, scores, groups), right, scores, groups)
    assert (found.alignment.value, found.scale.value) == pytest.approx((1.0, 1.0))
    assert found.pressure.value == pytest.approx(0.0, abs=1e-12)


def test_missing_scores_a_single_prompt_and_no_advantage_are_unknown_and_no_error():
    labels, groups = [1, 0, 1, 0], [0, 0, 1, 1]
    assert math.isnan(update_quality([0, 0, 0, 0], labels, [1, 2, 3, 4], groups).alignment.value)
    assert math.isnan(update_quality([1, -1, 0, 0], labels, [math.nan] * 4, groups).pressure.value)
    one = update_quality([1, -1], [1, 0], [2, 1], [0, 0]).alignment
    assert one.value == pytest.approx(1.0)
    assert math.isnan(one.low)
    with pytest.raises(InputError, match="no rows"):
        update_quality([], [], [], [])


@given(st.integers(0, 10_000), st.sampled_from(RULES))
def test_a_score_without_information_never_makes_more_rollouts_work(seed, rule):
    """The same scores above and below in every verdict and label: the rule gets noise, and the truth as much as before."""
    rng = np.random.default_rng(seed)
    right = np.array([1, 1, 0, 0, 1, 1, 0, 0.0])  # each response twice, with a score and its negative
    verdicts = np.array([1, 1, 0, 0, 0, 0, 0, 0.0])
    size = np.repeat(rng.random((20, 4)), 2, axis=1)
    scores = (size * np.tile([1.0, -1.0], 4)).ravel()
    groups = np.repeat(np.arange(20), 8)
    args = np.tile(verdicts, 20), scores, groups
    rule = hero(weighting=False) if rule.name == "hero" else rule  # weights by spread may by chance favour the right prompts
    found = update_quality(advantages(rule, *args), np.tile(right, 20), scores, groups)
    alone = update_quality(advantages(verifier_only(), *args), np.tile(right, 20), scores, groups)
    assert found.alignment.value <= alone.alignment.value * 1.02


@given(st.integers(0, 10_000), st.floats(0.1, 3.0))
def test_negated_scores_have_the_negative_alignment(seed, shift):
    _, scores, right, groups = world(seed, prompts=10, shift=shift)
    found, negated = (
        update_quality(advantages(rm_only(), right, sign * scores, groups), right, scores, groups) for sign in (1.0, -1.0)
    )
    assert negated.alignment.value == pytest.approx(-found.alignment.value)
    assert negated.scale.value == pytest.approx(-found.scale.value)
    assert negated.pressure.value == pytest.approx(-found.pressure.value)


def test_the_interval_is_that_of_a_bootstrap_over_prompts_or_a_little_wider():
    verdicts, scores, right, groups = world(1, prompts=150)
    made, base = (advantages(rule, verdicts, scores, groups) for rule in (hero(weighting=False), verifier_only()))
    truth = advantages(verifier_only(), right, scores, groups)

    def cosine(weights, a):
        return (weights * a * truth).sum() / math.sqrt((weights * a * a).sum() * (weights * truth * truth).sum())

    for found, measure in (
        (update_quality(made, right, scores, groups).alignment, lambda w: cosine(w, made)),
        (working_share(made, base, right, groups), lambda w: (cosine(w, made) / cosine(w, base)) ** 2),
    ):
        drawn = bootstrap(measure, groups)
        assert found.value == pytest.approx(drawn.value)
        assert 0.9 < (found.high - found.low) / (drawn.high - drawn.low) < 1.3


@pytest.mark.parametrize(("prompts", "least"), [(12, 0.94), (100, 0.93)])
def test_intervals_hold_the_value_of_many_prompts(prompts, least):
    def of(seed, prompts):
        verdicts, scores, right, groups = world(seed, prompts=prompts)
        made, base = (advantages(rule, verdicts, scores, groups) for rule in (naive_sum(rule_weight=0.9), verifier_only()))
        return [*update_quality(made, right, scores, groups)[:2], working_share(made, base, right, groups)]

    true = [found.value for found in of(99, 20_000)]
    inside = np.array([[e.low <= t <= e.high for e, t in zip(of(seed, prompts), true, strict=True)] for seed in range(300)])
    assert (inside.mean(axis=0) >= least).all()


def test_the_verifiers_alignment_by_hand_and_against_simulation():
    # one of two accepted, a quarter of the rejected right: E R = 1.25, E R^2 = 1.25^2 + 3/16 = 1.75
    # cos = (1 - .625) / sqrt(.5 * (1.25 - .875)) = .375 / sqrt(.1875)
    assert verifier_alignment([1], [2], 0.25) == pytest.approx(0.375 / math.sqrt(0.1875))
    assert math.isnan(verifier_alignment([0, 4], [4, 4], 0.1))
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(20_000), 8)
    verdicts = (rng.random(groups.size) < rng.beta(0.5, 2.0, 20_000)[groups]).astype(np.float64)
    right = np.where(verdicts == 1.0, 1.0, rng.random(groups.size) < 0.1)
    found = update_quality(advantages(verifier_only(), verdicts, right, groups), right, right, groups).alignment.value
    assert verifier_alignment(np.bincount(groups, weights=verdicts), np.full(20_000, 8), 0.1) == pytest.approx(found, abs=0.01)
