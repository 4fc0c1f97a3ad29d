"""hero_adaptive: what is learnt from verdicts and scores alone, and what the rewards promise."""

from __future__ import annotations

import json
import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hero_rl.errors import InputError
from hero_rl.rewards import Reliability, check_scale, group_advantages, hero_adaptive, make_rule
from hero_rl.rewards.groups import Groups, group_wins
from hero_rl.types import LEARNED_YES

NAN = math.nan


def world(prompts: int, *, recall: float, separation: float, seed: int = 0, size: int = 8, accuracy: float = 0.4):
    """Verdicts, scores, groups and truth where the verifier misses right answers at random and never accepts a wrong one."""
    rng = np.random.default_rng(seed)
    right = rng.random((prompts, size)) < accuracy
    scores = rng.normal(size=right.shape) + separation * right
    verdicts = (right & (rng.random(right.shape) < recall)).astype(float)
    return verdicts.ravel(), scores.ravel(), np.repeat(np.arange(prompts), size), right.ravel()


def taught(rule, batches: int = 20, **kwargs):
    """The state after some batches of 32 prompts."""
    state = rule.init()
    for batch in range(batches):
        verdicts, scores, groups, _ = world(32, seed=batch, **kwargs)
        state = rule.apply(verdicts, scores, groups, state).state
    return state


def test_auroc_of_each_prompt_by_hand_with_ties():
    # prompt 0: accepted 3 against rejected 1, 3, 5: wins 1 + 1/2 + 0 of 3. prompt 1: nothing accepted. prompt 2: perfect
    verdicts = np.array([1.0, 0, 0, 0, 0, 0, 1, 0])
    scores = np.array([3.0, 1, 3, 5, 7, 8, 2, 1])
    groups = Groups(np.array([0, 0, 0, 0, 1, 1, 2, 2]), 3)
    won, pairs = group_wins(verdicts, scores, groups)
    assert (won.tolist(), pairs.tolist()) == ([1.5, 0.0, 1.0], [3.0, 0.0, 1.0])


def test_reliability_is_that_of_right_against_wrong_although_the_verifier_misses_most():
    # two normals one standard deviation apart: AUROC(right, wrong) = Phi(1 / sqrt 2) = .760, so 2 AUROC - 1 = .520
    seen = taught(hero_adaptive(decay=0.99, slow=0.99), batches=200, recall=0.15, separation=1.0)
    assert 2 * seen.auroc - 1 < 0.43  # against the rejected ones, many of which are right, it looks much worse
    assert seen.reliability(missed=0.36) == pytest.approx(0.52, abs=0.06)


def test_recall_is_read_off_the_responses_that_stand_out_in_their_prompt() -> None:
    for recall in (0.15, 0.5, 1.0):
        seen = taught(hero_adaptive(), batches=100, recall=recall, separation=1.2)
        assert seen.recall == pytest.approx(recall, rel=0.25)
        assert seen.accuracy == pytest.approx(0.4, rel=0.25)


def test_an_offset_of_each_prompt_changes_nothing() -> None:
    rule = hero_adaptive()
    plain = shifted = rule.init()
    for batch in range(3):
        verdicts, scores, groups, _ = world(32, seed=batch, recall=0.3, separation=1.0)
        offsets = np.random.default_rng(100 + batch).normal(0.0, 50.0, size=32)[groups]
        first = rule.apply(verdicts, scores, groups, plain)
        second = rule.apply(
            verdicts, scores + offsets, groups, shifted._replace(score=plain.score, score_slow=plain.score_slow)
        )
        assert second.rewards == pytest.approx(first.rewards, abs=1e-9)
        plain, shifted = first.state, second.state


def test_a_reward_model_at_chance_leaves_the_verifier_alone():
    rule = hero_adaptive()
    state = taught(rule, batches=60, recall=0.2, separation=0.0)
    verdicts, scores, groups, _ = world(32, recall=0.2, separation=0.0, seed=99)
    rewards, weights, _, _ = rule.apply(verdicts, scores, groups, state)
    advantages = group_advantages(rewards, groups, weights_B=weights)
    alone = np.repeat(np.bincount(groups, weights=verdicts) == 0, 8)
    assert np.abs(advantages[alone]).mean() < 0.01
    assert np.corrcoef(advantages, group_advantages(verdicts, groups))[0, 1] > 0.95


def test_a_verifier_that_misses_nothing_leaves_the_reward_model_nothing_to_say():
    rule = hero_adaptive(recall=1.0)
    state = taught(rule, recall=1.0, separation=1.5)
    verdicts, scores, groups, _ = world(32, recall=1.0, separation=1.5, seed=99)
    rewards = rule.apply(verdicts, scores, groups, state).rewards
    assert np.abs(rewards - verdicts).max() < 0.05


def test_a_reliable_reward_model_gets_a_band_wider_than_the_papers_and_a_weak_one_a_narrow_one():
    widths = []
    for separation in (0.4, 3.0):
        rule = hero_adaptive()
        state = taught(rule, batches=60, recall=0.1, separation=separation)
        verdicts, scores, groups, _ = world(32, recall=0.1, separation=separation, seed=99)
        rejected = np.where(verdicts == 0, rule.apply(verdicts, scores, groups, state).rewards, NAN).reshape(32, 8)
        widths.append(float(np.mean(np.nanmax(rejected, axis=1) - np.nanmin(rejected, axis=1)) / 2))
    assert widths[0] < 0.05 < 0.2 < widths[1]


def test_expected_reward_of_the_rejected_is_their_share_of_right_ones():
    rule = hero_adaptive(gain=1.0)
    state = taught(rule, batches=100, recall=0.15, separation=1.2)
    verdicts, scores, groups, right = world(400, recall=0.15, separation=1.2, seed=99)
    rewards = rule.apply(verdicts, scores, groups, state).rewards
    rejected = verdicts == 0
    assert rewards[rejected].mean() == pytest.approx(right[rejected].mean(), abs=0.08)


signals = st.integers(1, 5).flatmap(
    lambda prompts: st.tuples(
        st.lists(st.sampled_from([0.0, 1.0, NAN, LEARNED_YES]), min_size=4 * prompts, max_size=4 * prompts),
        st.lists(st.one_of(st.floats(-50, 50), st.just(NAN)), min_size=4 * prompts, max_size=4 * prompts),
        st.just([i // 4 for i in range(4 * prompts)]),
    )
)


@given(signals, st.integers(0, 3))
def test_every_accepted_response_ranks_above_all_others_and_rewards_are_probabilities(batch, warm):
    verdicts, scores, groups = map(np.array, batch)
    rule = hero_adaptive()
    state = taught(rule, batches=warm, recall=0.3, separation=2.0)
    rewards, weights, _, after = rule.apply(verdicts, scores, groups, state)
    assert (rewards[verdicts == 1.0] == 1.0).all()
    others = rewards[verdicts != 1.0]
    assert ((others > 0.0) & (others < 1.0)).all()
    assert (weights == 1.0).all()
    assert after.updates == warm + 1
    shuffled = np.random.default_rng(0).permutation(len(verdicts))
    again = rule.apply(verdicts[shuffled], scores[shuffled], groups[shuffled], state)
    assert again.rewards == pytest.approx(rewards[shuffled], abs=1e-9)


def test_a_missing_score_gets_what_its_verdict_alone_says():
    rule = hero_adaptive()
    state = taught(rule, recall=0.2, separation=2.0)
    rewards = rule.apply([0, 0, 0, 1], [-1.0, NAN, 1.0, 0.5], [0, 0, 0, 0], state).rewards
    assert rewards[0] < rewards[1] < rewards[2] < rewards[3] == 1.0


def test_an_abstention_is_placed_by_its_probability_of_being_right():
    rule = hero_adaptive(gain=1.0)
    state = taught(rule, batches=60, recall=0.15, separation=1.2)
    verdicts, scores, groups, right = world(400, recall=0.15, separation=1.2, seed=99)
    undecided = np.full_like(verdicts, NAN)
    rewards = rule.apply(undecided, scores, groups, state).rewards
    assert rewards.mean() == pytest.approx(right.mean(), abs=0.12)
    assert rewards[right].mean() > rewards[~right].mean() + 0.15
    assert rewards.max() < 1.0
    # an undecided response tells nothing of reliability or recall
    assert rule.apply(undecided, scores, groups, state).state == state._replace(updates=state.updates + 1)


def test_a_learned_yes_lies_between_a_rejection_and_an_acceptance_of_equal_score():
    rule = hero_adaptive(p_learned=0.7)
    state = taught(rule, recall=0.2, separation=2.0)
    rewards = rule.apply([0, LEARNED_YES, 1], [1.0, 1.0, 1.0], [0, 0, 0], state).rewards
    assert rewards[1] == pytest.approx(0.7)
    assert rewards[0] < rewards[1] < rewards[2]


def test_the_brake_closes_where_scores_rise_and_reliability_falls():
    rule = hero_adaptive()
    state = taught(rule, batches=40, recall=0.3, separation=2.0)
    assert state.brake > 0.8
    for batch in range(40):  # the policy has found what the reward model likes, whether right or wrong
        verdicts, scores, groups, _ = world(32, recall=0.3, separation=0.2, seed=1000 + batch)
        state = rule.apply(verdicts, scores + 3.0, groups, state).state
    assert state.brake < 0.5
    assert state.metrics()["brake"] == state.brake


def test_the_state_goes_through_json_bit_for_bit_and_refuses_what_is_none():
    rule = hero_adaptive()
    state = taught(rule, recall=0.2, separation=1.0)
    text = json.dumps(state.state_dict(), allow_nan=False)
    assert rule.restore(json.loads(text)) == state
    assert pickle.loads(pickle.dumps(rule)).apply([1, 0], [1, 0], [0, 0], state).rewards.tolist()[0] == 1.0
    for broken in ({}, {"version": 2}, {**state.state_dict(), "order": "x"}, {**state.state_dict(), "order": NAN}):
        with pytest.raises(InputError):
            rule.restore(broken)
    with pytest.raises(InputError, match="resume with the same decay"):
        hero_adaptive(decay=0.5).restore(state.state_dict())


def test_before_any_evidence_the_reward_model_is_believed_a_little_and_weighs_nothing():
    start = Reliability()
    assert start.metrics() == {}
    # the prior: AUROC .6 as if seen on 10 prompts, each with the variance of chance; sqrt(.2^2 - 4 / 12 / 10) = .082
    assert start.reliability(missed=0.0) == pytest.approx(math.sqrt(0.04 - 4 / 120))
    assert start.slope(missed=0.0) == 0.0  # the unit of scores is not known yet


@pytest.mark.parametrize(
    ("rule", "settings", "message"),
    [
        ("hero_adaptive", {"gain": -1.0}, "gain=-1"),
        ("hero_adaptive", {"recall": 0.0}, "recall=0"),
        ("hero_adaptive", {"p_learned": 1.0}, "p_learned=1"),
        ("hero_adaptive", {"decay": 1.0}, "decay=1"),
    ],
)
def test_settings_out_of_range_are_refused_with_their_value(rule, settings, message):
    with pytest.raises(InputError, match=message):
        make_rule(rule, settings)


def test_group_std_is_warned_of():
    assert "hero_adaptive" in (check_scale(hero_adaptive(), "group") or "")
