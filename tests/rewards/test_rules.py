"""Rules and advantages: what each pays, by hand; what HERO promises, as properties."""

import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.strategies import any_score, batches
from hero_rl.errors import BandOverlapError, InputError
from hero_rl.rewards import (
    batch_summary,
    check_scale,
    difficulty_weight,
    gated,
    gdpo,
    group_advantages,
    hero,
    make_rule,
    naive_sum,
    rm_only,
    verifier_only,
)

ALL_RULES = [
    hero(),
    hero(weighting=False, dense="correct"),
    verifier_only(),
    rm_only(),
    naive_sum(),
    gdpo(),
    gated(),
    hero(drop="verdicts"),
]

# Two prompts: a is mixed, b all wrong.
VERDICTS = np.array([1, 0, 0, 0, 0, np.nan])
SCORES = np.array([4.0, 1.0, 3.0, 2.0, 6.0, 4.0])
GROUPS = np.array(["a", "a", "a", "b", "b", "b"])


def rewards_of(rule, verdicts=VERDICTS, scores=SCORES, groups=GROUPS):
    return rule.apply(verdicts, scores, groups, rule.init()).rewards


def test_hero_worked_example_with_weights_on_the_advantage():
    rule = hero(alpha=0.1, beta=0.1, eps=0.0)
    output = rule.apply(VERDICTS, SCORES, GROUPS, rule.init())
    # a: correct alone -> .9; wrong 1, 3 -> -.1, .1.  b: 2, 6, 4 -> -.1, .1, 0 (the abstention counts as incorrect)
    assert output.rewards == pytest.approx([0.9, -0.1, 0.1, -0.1, 0.1, 0.0])
    # sigma: a sqrt(14/9) = 1.2472, b sqrt(8/3) = 1.6330, mean 1.4401 (first batch: its own)
    assert output.sigma_mean == pytest.approx(1.440106, abs=1e-6)
    # w = .4 + 2.6 / (1 + exp(-6 (sigma - mean))), sigma - mean = -+.192887:
    # 1 + e^1.157322 = 4.181402, 1 + e^-1.157322 = 1.314327
    assert output.weights[[0, 3]] == pytest.approx([0.4 + 2.6 / 4.181402, 0.4 + 2.6 / 1.314327], abs=1e-5)
    advantages = group_advantages(output.rewards, GROUPS, weights_B=output.weights)
    assert advantages[:3] == pytest.approx(output.weights[0] * (np.array([0.9, -0.1, 0.1]) - 0.3))
    assert advantages[3:] == pytest.approx(output.weights[3] * np.array([-0.1, 0.1, 0.0]))


def test_sigma_mean_is_frozen_within_a_batch_and_moves_after_it():
    rule = hero()
    first = rule.apply(VERDICTS, SCORES, GROUPS, rule.init())
    second = rule.apply(VERDICTS, SCORES * 10, GROUPS, first.state)
    assert second.sigma_mean == first.sigma_mean
    assert second.state.value > first.state.value


def test_the_ablations_of_the_paper():
    assert rewards_of(hero(alpha=0.1, beta=0.1, dense="none")) == pytest.approx([1, 0, 0, 0, 0, 0])
    assert rewards_of(hero(alpha=0.1, beta=0.1, dense="correct")) == pytest.approx([0.9, 0, 0, 0, 0, 0])
    assert rewards_of(hero(alpha=0.1, beta=0.1, dense="incorrect"))[0] == 1.0
    unweighted = hero(weighting=False)
    assert (unweighted.apply(VERDICTS, SCORES, GROUPS, unweighted.init()).weights == 1).all()


def test_baselines_by_hand():
    assert rewards_of(verifier_only()).tolist() == [1, 0, 0, 0, 0, 0]
    assert rewards_of(rm_only()).tolist() == SCORES.tolist()
    assert rewards_of(naive_sum(rule_weight=0.9)) == pytest.approx(0.9 * np.array([1, 0, 0, 0, 0, 0]) + 0.1 * SCORES)
    assert rewards_of(rm_only(normalize="minmax")) == pytest.approx([1, 0, 2 / 3, 0, 1, 0.5])
    z = (SCORES - 20 / 6) / SCORES.std()
    assert rewards_of(naive_sum(rule_weight=0.5, normalize="zscore")) == pytest.approx(
        0.5 * np.array([1, 0, 0, 0, 0, 0]) + 0.5 * z
    )


def test_gated_uses_scores_only_where_verdicts_agree():
    assert rewards_of(gated(alpha=0.1, beta=0.1, eps=0.0)) == pytest.approx([1, 0, 0, -0.1, 0.1, 0.0])


def test_gdpo_sums_signals_standardised_within_the_prompt():
    # b: verdicts all 0 -> 0; scores 2, 6, 4: mean 4, unbiased std 2 -> -1, 1, 0
    rewards = rewards_of(gdpo())
    assert rewards[3:] == pytest.approx([-1, 1, 0], abs=1e-3)
    # a: verdicts 1, 0, 0: mean 1/3, std .57735 -> 1.1547, -.57735 twice;
    #    scores 4, 1, 3: mean 8/3, std 1.5275 -> .8729, -1.0911, .2182
    assert rewards[:3] == pytest.approx([1.1547 + 0.8729, -0.57735 - 1.0911, -0.57735 + 0.2182], abs=1e-3)


@pytest.mark.parametrize("rule", ALL_RULES, ids=lambda rule: rule.name)
def test_rules_are_pure_picklable_and_survive_ties_nan_and_extremes(rule):
    verdicts = np.array([1, 0, np.nan, 1, 0, 0, 1, 0.0])
    scores = np.array([np.nan, 1e100, -1e100, 2, 2, 2, np.nan, np.nan])
    groups = np.array([0, 0, 0, 1, 1, 1, 2, 2])
    before = (verdicts.copy(), scores.copy(), groups.copy())
    output = rule.apply(verdicts, scores, groups, rule.init())
    again = pickle.loads(pickle.dumps(rule)).apply(verdicts, scores, groups, rule.init())
    assert np.array_equal(output.rewards, again.rewards, equal_nan=True)
    for kept, original in zip(before, (verdicts, scores, groups), strict=True):
        assert np.array_equal(kept, original, equal_nan=True)
    advantages = group_advantages(output.rewards, groups, scale="none", weights_B=output.weights)
    assert np.isfinite(advantages).all()
    assert (advantages[np.isnan(output.rewards)] == 0).all()


@given(batches(), st.randoms(use_true_random=False), st.sampled_from(ALL_RULES))
def test_every_rule_is_blind_to_row_order(batch, random, rule):
    verdicts, scores, groups = batch
    scores = scores + np.arange(len(scores)) * 1e-3
    order = np.array(random.sample(range(len(scores)), len(scores)))
    straight = rule.apply(verdicts, scores, groups, rule.init())
    shuffled = rule.apply(verdicts[order], scores[order], groups[order], rule.init())
    assert shuffled.rewards == pytest.approx(straight.rewards[order], nan_ok=True, abs=1e-9)
    assert shuffled.weights == pytest.approx(straight.weights[order])


@given(batches(verdicts=(0.0, 1.0)), st.integers(0, 6))
def test_splitting_a_batch_between_prompts_changes_nothing_with_the_same_state(batch, cut):
    verdicts, scores, groups = batch
    rule = hero()
    state = rule.init().update([1.0, 2.0])
    whole = rule.apply(verdicts, scores, groups, state)
    for part in (groups < cut, groups >= cut):
        piece = rule.apply(verdicts[part], scores[part], groups[part], state)
        assert piece.rewards == pytest.approx(whole.rewards[part], abs=1e-12)
        assert piece.weights == pytest.approx(whole.weights[part])


def random_batch(seed=0, prompts=200, size=8, p_correct=0.3):
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(prompts), size)
    verdicts = (rng.random(groups.size) < p_correct * rng.random(prompts)[groups] * 2).astype(float)
    return verdicts, rng.normal(size=groups.size) * (0.5 + rng.random(prompts)[groups]), groups


def test_weights_on_rewards_cancel_under_group_std_and_weights_on_advantages_do_not():
    verdicts, scores, groups = random_batch()
    rule = hero()
    output = rule.apply(verdicts, scores, groups, rule.init())
    plain = group_advantages(output.rewards, groups, scale="group", eps=0.0)
    on_rewards = group_advantages(output.rewards * output.weights, groups, scale="group", eps=0.0)
    on_advantages = group_advantages(output.rewards, groups, scale="group", weights_B=output.weights, eps=0.0)
    assert np.ptp(output.weights) > 1.0
    assert on_rewards == pytest.approx(plain, abs=1e-9)
    assert on_advantages == pytest.approx(plain * output.weights)
    assert np.abs(on_advantages - plain).max() > 1.0


def test_mean_centring_makes_weighting_rewards_and_weighting_advantages_the_same():
    verdicts, scores, groups = random_batch()
    output = hero().apply(verdicts, scores, groups, hero().init())
    assert group_advantages(output.rewards * output.weights, groups) == pytest.approx(
        group_advantages(output.rewards, groups, weights_B=output.weights)
    )


def test_group_std_makes_the_reward_model_as_loud_as_the_verifier_whatever_alpha_is():
    """The trap that the default avoids: in prompts with one verdict, alpha cancels and advantages have unit size."""
    verdicts, scores, groups = np.zeros(800), *random_batch(prompts=100)[1:]
    small, large = (
        group_advantages(hero(alpha=alpha, weighting=False).apply(verdicts, scores, groups, hero().init()).rewards, groups,
                         scale="group", eps=0.0)
        for alpha in (0.05, 0.2)
    )  # fmt: skip
    assert small == pytest.approx(large)
    assert np.abs(small).mean() > 0.7
    centred = group_advantages(hero(alpha=0.05, weighting=False).apply(verdicts, scores, groups, hero().init()).rewards, groups)
    assert np.abs(centred).mean() < 0.05


def test_advantages_of_the_three_scales_by_hand():
    rewards, groups = [1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 5.0], [0, 0, 0, 0, 1, 1, 2]
    # means .5, .5, 5; unbiased stds .57735, .70711, none
    assert group_advantages(rewards, groups) == pytest.approx([0.5, -0.5, -0.5, 0.5, 0.5, -0.5, 0.0])
    assert group_advantages(rewards, groups, scale="group", eps=0.0)[:6] == pytest.approx(
        [0.866025, -0.866025, -0.866025, 0.866025, 0.707107, -0.707107], abs=1e-6
    )
    batch_std = np.std(rewards, ddof=1)
    assert group_advantages(rewards, groups, scale="batch", eps=0.0) == pytest.approx(
        np.array([0.5, -0.5, -0.5, 0.5, 0.5, -0.5, 0.0]) / batch_std
    )


def test_a_left_out_response_has_no_advantage_and_no_say_in_the_mean():
    assert group_advantages([1.0, np.nan, 0.0], [0, 0, 0]).tolist() == [0.5, 0.0, -0.5]


@given(batches(score=any_score), st.sampled_from(["none", "group", "batch"]))
def test_advantages_of_a_prompt_sum_to_zero(batch, scale):
    verdicts, _, groups = batch
    advantages = group_advantages(np.where(np.isnan(verdicts), 0.3, verdicts), groups, scale=scale)
    assert np.bincount(groups, weights=advantages) == pytest.approx(0, abs=1e-8)


def test_asking_for_hero_with_group_std_gives_the_reason_against_it():
    assert "hacked" in check_scale(hero(), "group")
    assert check_scale(hero(), "none") is None
    assert check_scale(verifier_only(), "group") is None


def test_summary_of_a_batch_by_hand():
    summary = batch_summary(VERDICTS, SCORES, GROUPS, [0.6, -0.4, -0.2, -0.1, 0.1, 0.0], np.repeat([1.0, 2.0], 3))
    assert summary["groups_mixed"] == summary["groups_all_incorrect"] == 0.5
    assert summary["abstained"] == pytest.approx(1 / 6)
    assert summary["advantage_correct"] == 0.6
    assert summary["advantage_incorrect"] == pytest.approx(0.8 / 5)
    assert summary["advantage_share_uniform"] == pytest.approx(0.2 / 1.4)
    assert summary["score_incorrect"] == pytest.approx(16 / 5)
    assert (summary["weight_mean"], summary["weight_min"], summary["weight_max"]) == (1.5, 1.0, 2.0)


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: hero(alpha=0.7, beta=0.5), BandOverlapError, "overlap"),
        (lambda: hero(alpha=-0.1), InputError, "alpha=-0.1"),
        (lambda: hero(w_min=5), InputError, "w_min=5"),
        (lambda: hero(decay=2), InputError, "decay=2"),
        (lambda: hero(dense="positive"), InputError, "dense='positive' is unknown"),
        (lambda: hero(singleton="middle"), InputError, "singleton='middle' is unknown"),
        (lambda: hero(eps=-1.0), InputError, "eps=-1"),
        (lambda: hero(tie_tolerance=np.nan), InputError, "tie_tolerance=nan"),
        (lambda: gated(eps=-1.0), InputError, "eps=-1"),
        (lambda: make_rule("hero", {"alpha": "wide"}), InputError, "rule 'hero' cannot take {'alpha': 'wide'}"),
        (lambda: make_rule("hero", {"gamma": 1}), InputError, "has no setting 'gamma'; it has alpha, beta"),
        (lambda: make_rule("heroic", {}), InputError, "'heroic' is unknown; did you mean 'hero'"),
        (lambda: naive_sum(rule_weight=1.5), InputError, "rule_weight=1.5"),
        (lambda: naive_sum(normalize="rank"), InputError, "normalize='rank'"),
        (lambda: group_advantages([1.0], [0], scale="std"), InputError, "scale='std'"),
    ],
)
def test_impossible_settings_are_refused_when_the_rule_is_made(make, error, match):
    with pytest.raises(error, match=match):
        make()


def test_an_unknown_spread_gets_the_average_weight():
    rule = hero()
    output = rule.apply([0, 1, 0], [np.nan, np.nan, 5.0], [0, 0, 1], rule.init().update([1.0]))
    assert output.weights == pytest.approx(difficulty_weight([1.0, 1.0, 1.0], 1.0))


@pytest.mark.parametrize("scale", ["none", "group", "batch"])
@given(st.floats(-3, 3, width=32), st.integers(1, 12))
def test_equal_rewards_are_no_advantage_to_the_last_bit(scale, reward, size):
    # three times -0.05, divided by three, is not -0.05
    for rewards in (np.full(size, reward), np.full(size, reward * 0.05)):
        assert (group_advantages(rewards, np.zeros(size, int), scale=scale, eps=0.0 if scale == "group" else 1e-4) == 0).all()


def test_the_weight_on_the_reward_is_equation_5_to_the_letter():
    verdicts, scores, groups = [1, 0, 0, 0], [2.0, 0.0, 1.0, 0.0], [0, 0, 1, 1]
    plain, literal = hero(), hero(weight_on="reward")
    apart = plain.apply(verdicts, scores, groups, plain.init())
    together = literal.apply(verdicts, scores, groups, literal.init())
    np.testing.assert_allclose(together.rewards, apart.rewards * apart.weights)
    assert together.weights.tolist() == [1.0] * 4
    # mean-centred, the two are the same thing; under group std the literal one has no effect
    np.testing.assert_allclose(
        group_advantages(together.rewards, groups), group_advantages(apart.rewards, groups, weights_B=apart.weights)
    )


def test_sigma_of_calibrated_rewards_by_hand():
    # prompt 0: rewards .95 and -.05, sigma .5; prompt 1: -.05 and .05, sigma .05; sigma-bar .275
    rule = hero(sigma="calibrated", k=6.0)
    out = rule.apply([1, 0, 0, 0], [2.0, 0.0, 0.0, 1.0], [0, 0, 1, 1], rule.init())
    assert out.sigma_mean == pytest.approx(0.275, abs=1e-6)
    expected = [0.4 + 2.6 / (1 + math.exp(-6 * (sigma - 0.275))) for sigma in (0.5, 0.05)]
    assert out.weights[[0, 2]].tolist() == pytest.approx(expected, abs=1e-5)


def test_dropping_prompts_of_equal_verdicts_leaves_the_mixed_ones_and_of_equal_rewards_only_the_tied_ones():
    verdicts, scores, groups = [1, 0, 0, 0, 0, 0], [2.0, 0.0, 1.0, 0.0, 1.0, 1.0], [0, 0, 1, 1, 2, 2]
    kept = {}
    for drop in ("none", "verdicts", "rewards"):
        rule = hero(drop=drop)
        kept[drop] = (~np.isnan(rule.apply(verdicts, scores, groups, rule.init()).rewards)).tolist()
    assert kept == {"none": [True] * 6, "verdicts": [True] * 2 + [False] * 4, "rewards": [True] * 4 + [False] * 2}
