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
from hero_rl.measures import update_quality
from hero_rl.rewards import Reliability, check_scale, group_advantages, hero_adaptive, make_rule
from hero_rl.rewards.groups import Groups, group_wins
from hero_rl.types import LEARNED_YES

NAN = math.nan


def world(prompts: int, *, recall: float, separation: float, seed: int = 0, size: int = 8, false: float = 0.0):
    """Verdicts, scores, groups and truth; the share of correct responses of a prompt is uniform in [0, 0.8]."""
    rng = np.random.default_rng(seed)
    right = rng.random((prompts, size)) < 0.8 * rng.random((prompts, 1))
    scores = rng.normal(size=right.shape) + separation * right
    verdicts = np.where(right, rng.random(right.shape) < recall, rng.random(right.shape) < false).astype(float)
    return verdicts.ravel(), scores.ravel(), np.repeat(np.arange(prompts), size), right.ravel().astype(float)


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


def test_counts_and_accuracy_by_hand():
    # 1 and 3 of 4 accepted: all of two drawn: 0 and 3/6, of three 0 and 1/4, of four 0 and 0; accuracy (4/8) / 0.8
    rule = hero_adaptive(recall=0.8)
    seen = rule.apply([1, 0, 0, 0, 1, 1, 1, 0], np.arange(8.0), [0] * 4 + [1] * 4, rule.init()).state
    assert (seen.accepted, seen.decided, seen.prompts, seen.freedom) == (4.0, 8.0, 2.0, 6.0)
    assert (seen.both, seen.three, seen.four) == (0.5, 0.25, 0.0)
    assert seen.accuracy == pytest.approx(0.625)
    assert seen.unit == pytest.approx(math.sqrt(5 / 3))  # both prompts: 0, 1, 2, 3
    # mean square of shares (0.5 / 2) / 0.8^2 = .390625 = 0.625^2: responses to one prompt are no more alike than others
    assert seen.reading.alike == 0.001


def test_rewards_by_hand_where_scores_add_nothing_but_trust_is_full():
    """Two of four accepted, recall 1/2, responses alike: what is left is the chance that a rejected response was missed."""
    state = Reliability(
        recall=0.5, decided=100.0, accepted=25.0, prompts=1.0, both=0.0625, freedom=75.0, xx=75.0, xv=1.0, qv=10.0,
        unit_weight=1.0, updates=1,
    )  # fmt: skip
    # accuracy .5, alike .001, separation .1 with no standard error: full trust; a prompt's share is nearly .5 whatever it shows
    assert (state.accuracy, state.separation, state.trust) == (0.5, 0.1, 1.0)
    rewards = hero_adaptive(recall=0.5).apply([1, 1, 0, 0], [0.0] * 4, [0] * 4, state).rewards
    # P(correct | rejected) = .5 x .5 / .75; the score term is .1 / noise x .1 x (2/3 - 1/2)
    assert rewards[:2].tolist() == [1.0, 1.0]
    assert rewards[2:] == pytest.approx([1 / 3] * 2, abs=0.003)


def test_separation_is_that_of_right_and_wrong_although_the_verifier_misses_most():
    seen = taught(hero_adaptive(recall=0.15, decay=0.99), batches=200, recall=0.15, separation=1.0)
    assert seen.separation / math.sqrt(seen.noise) == pytest.approx(1.0, abs=0.12)
    assert seen.metrics()["auroc_estimate"] == pytest.approx(0.760, abs=0.03)  # Phi(1 / sqrt 2)
    assert seen.accuracy == pytest.approx(0.4, abs=0.05)


def test_an_unknown_recall_is_assumed_between_the_most_that_prompts_show_and_one() -> None:
    for recall, least, most in ((0.15, 0.5, 0.5), (0.5, 0.5, 0.75), (0.95, 0.85, 1.0)):
        assert least <= taught(hero_adaptive(), recall=recall, separation=1.0).assumed_recall <= most
    # the share of fours among threes, by hand: five of six accepted, 15 of 15 choose 4 against 10 of 20 choose 3
    rule = hero_adaptive()
    seen = rule.apply([1, 1, 1, 1, 1, 0], np.arange(6.0), [0] * 6, rule.init()).state
    rate = max(5 / 6, (5 / 15) / (10 / 20))
    assert seen.assumed_recall == pytest.approx(1 - (1 - rate) ** 2)
    pairs = rule.apply([1, 0, 0, 0], np.arange(4.0), [0, 0, 1, 1], rule.init()).state
    assert pairs.assumed_recall == 0.9  # no prompt with four responses


def test_offsets_of_prompts_and_the_unit_of_scores_change_nothing() -> None:
    rule = hero_adaptive(recall=0.3)
    plain = shifted = rule.init()
    for batch in range(6):
        verdicts, scores, groups, _ = world(32, seed=batch, recall=0.3, separation=1.0)
        offsets = np.random.default_rng(100 + batch).normal(0.0, 50.0, size=32)[groups]
        first, second = (
            rule.apply(verdicts, signal, groups, state)
            for signal, state in ((scores, plain), (7.0 * scores + offsets, shifted))
        )
        assert second.rewards == pytest.approx(first.rewards, abs=1e-9)
        plain, shifted = first.state, second.state
    assert plain.trust > 0.3


def test_a_jump_of_scale_is_followed_within_ten_batches() -> None:
    rule = hero_adaptive(recall=0.3)
    state = before = taught(rule, batches=40, recall=0.3, separation=1.0)
    for batch in range(10):
        verdicts, scores, groups, _ = world(32, seed=500 + batch, recall=0.3, separation=1.0)
        state = rule.apply(verdicts, 0.01 * scores, groups, state).state
    assert state.unit == pytest.approx(0.01 * before.unit, rel=0.25)


def test_a_reward_model_at_chance_mostly_leaves_exactly_the_verifier_alone_and_never_much_else():
    exact = 0
    for seed in range(8):
        rule = hero_adaptive(recall=0.3)
        state = rule.init()
        for batch in range(30):
            verdicts, scores, groups, _ = world(32, seed=1000 * seed + batch, recall=0.3, separation=0.0)
            state = rule.apply(verdicts, scores, groups, state).state
        rewards = rule.apply(verdicts, scores, groups, state).rewards
        exact += bool((rewards == verdicts).all())
        assert np.abs(group_advantages(rewards - verdicts, groups)).mean() < 0.05
    assert exact >= 5  # of 8; by chance a separation exceeds sqrt 2 standard errors one time in twelve, and stays there a while


@pytest.mark.parametrize("settings", [{"recall": 1.0}, {"budget": 0.0, "recall": 0.3}])
def test_a_verifier_that_misses_nothing_and_a_budget_of_nothing_leave_exactly_the_verifier_alone(settings):
    rule = hero_adaptive(**settings)
    state = taught(rule, recall=settings["recall"], separation=1.5)
    verdicts, scores, groups, _ = world(32, recall=settings["recall"], separation=1.5, seed=99)
    assert (rule.apply(verdicts, scores, groups, state).rewards == verdicts).all()


def test_more_of_the_rollouts_work_and_the_pressure_stays_within_the_budget():
    verdicts, scores, groups, right = world(400, recall=0.2, separation=1.0, seed=99)
    baseline = update_quality(group_advantages(verdicts, groups), right, scores, groups).alignment.value
    for budget, gain in ((0.1, 0.02), (0.3, 0.1)):
        rule = hero_adaptive(recall=0.2, budget=budget)
        state = taught(rule, batches=60, recall=0.2, separation=1.0)
        rewards = rule.apply(verdicts, scores, groups, state).rewards
        quality = update_quality(group_advantages(rewards, groups), right, scores, groups)
        assert quality.alignment.value > baseline + gain
        assert quality.pressure.value < budget + 0.05


def test_rewards_are_probabilities_of_being_right():
    rule = hero_adaptive(recall=0.15, budget=1.0)
    state = taught(rule, batches=100, recall=0.15, separation=1.2)
    verdicts, scores, groups, right = world(400, recall=0.15, separation=1.2, seed=99)
    rewards = rule.apply(verdicts, scores, groups, state).rewards
    for low, high in ((0.0, 0.3), (0.3, 0.5), (0.5, 1.0)):
        chosen = (verdicts == 0) & (rewards >= low) & (rewards < high)
        assert rewards[chosen].mean() == pytest.approx(right[chosen].mean(), abs=0.1)


def test_accepted_responses_are_ranked_where_false_positives_are_possible_and_only_there():
    for false, ranked in ((0.0, False), (0.1, True)):
        rule = hero_adaptive(recall=0.5, false_positives=false)
        state = taught(rule, batches=40, recall=0.5, separation=1.5, false=false)
        rewards = rule.apply([1, 1, 0, 0], [2.0, -1.0, 1.0, 0.0], [0] * 4, state).rewards
        assert (rewards[0] > rewards[1] + 1e-3) == ranked


signals = st.integers(1, 5).flatmap(
    lambda prompts: st.tuples(
        st.lists(st.sampled_from([0.0, 1.0, NAN, LEARNED_YES]), min_size=4 * prompts, max_size=4 * prompts),
        st.lists(st.one_of(st.floats(-50, 50), st.just(NAN)), min_size=4 * prompts, max_size=4 * prompts),
        st.just([i // 4 for i in range(4 * prompts)]),
    )
)


@given(signals, st.integers(0, 3), st.sampled_from([None, 0.1, 1.0]))
def test_every_accepted_response_ranks_above_all_others_and_rewards_are_probabilities(batch, warm, recall):
    verdicts, scores, groups = map(np.array, batch)
    rule = hero_adaptive(recall=recall)
    state = taught(rule, batches=warm, recall=0.3, separation=2.0)
    rewards, weights, _, after = rule.apply(verdicts, scores, groups, state)
    assert (rewards[verdicts == 1.0] == 1.0).all()
    others = rewards[verdicts != 1.0]
    assert ((others >= 0.0) & (others < 1.0)).all()
    assert (weights == 1.0).all()
    assert after.updates == warm + 1
    assert all(math.isfinite(value) for value in after.metrics().values())
    shuffled = np.random.default_rng(0).permutation(len(verdicts))
    again = rule.apply(verdicts[shuffled], scores[shuffled], groups[shuffled], state)
    assert again.rewards == pytest.approx(rewards[shuffled], abs=1e-9)


def test_a_missing_score_gets_what_its_verdict_alone_says():
    rule = hero_adaptive(recall=0.2)
    state = taught(rule, recall=0.2, separation=2.0)
    rewards = rule.apply([0, 0, 0, 1], [-1.0, NAN, 1.0, 0.5], [0, 0, 0, 0], state).rewards
    assert rewards[0] < rewards[1] < rewards[2] < rewards[3] == 1.0


def test_an_abstention_is_placed_by_its_probability_of_being_right():
    rule = hero_adaptive(recall=0.15, budget=1.0)
    state = taught(rule, batches=60, recall=0.15, separation=1.2)
    verdicts, scores, groups, right = world(400, recall=0.15, separation=1.2, seed=99)
    undecided = np.full_like(verdicts, NAN)
    rewards = rule.apply(undecided, scores, groups, state).rewards
    assert rewards.mean() == pytest.approx(right.mean(), abs=0.12)
    assert rewards[right == 1].mean() > rewards[right == 0].mean() + 0.15
    assert rewards.max() < 1.0
    # an undecided response tells nothing of accuracy or separation
    after = rule.apply(undecided, scores, groups, state).state
    assert (after.accuracy, after.separation) == pytest.approx((state.accuracy, state.separation))


def test_a_learned_yes_lies_between_a_rejection_and_an_acceptance_of_equal_score():
    rule = hero_adaptive(p_learned=0.7, recall=0.2)
    state = taught(rule, recall=0.2, separation=2.0)
    rewards = rule.apply([0, LEARNED_YES, 1], [1.0, 1.0, 1.0], [0, 0, 0], state).rewards
    assert rewards[0] < rewards[1] < rewards[2]
    assert rewards[1] == pytest.approx(0.7, abs=0.1)


def test_trust_falls_where_the_policy_finds_what_the_reward_model_likes():
    rule = hero_adaptive(recall=0.3, budget=0.5)
    state = taught(rule, batches=40, recall=0.3, separation=1.5)
    before = state.metrics()
    assert before["trust"] > 0.5
    for batch in range(60):
        verdicts, scores, groups, _ = world(32, recall=0.3, separation=0.0, seed=1000 + batch)
        state = rule.apply(verdicts, scores + 3.0, groups, state).state
    assert state.trust < 0.3
    assert state.metrics()["auroc_estimate"] < before["auroc_estimate"] - 0.15


def test_the_state_goes_through_json_bit_for_bit_and_refuses_what_is_none():
    for recall in (None, 0.2):
        rule = hero_adaptive(recall=recall)
        state = taught(rule, recall=0.2, separation=1.0)
        assert rule.restore(json.loads(json.dumps(state.state_dict(), allow_nan=False))) == state
    assert pickle.loads(pickle.dumps(rule)).apply([1, 0], [1, 0], [0, 0], state).rewards.tolist()[0] == 1.0
    for broken in ({}, {"version": 2}, {**state.state_dict(), "xv": "x"}, {**state.state_dict(), "xv": NAN}):
        with pytest.raises(InputError):
            rule.restore(broken)
    with pytest.raises(InputError, match="resume with the same settings"):
        hero_adaptive(decay=0.5).restore(state.state_dict())
    with pytest.raises(InputError, match="first hero_adaptive"):
        rule.restore({"version": 1, "decay": 0.95, "top_accepted": 3.0})


def test_before_any_evidence_scores_weigh_nothing():
    start = Reliability()
    assert start.metrics() == {}
    assert (start.trust, start.slope, start.unit, start.standard_error) == (0.0, 0.0, 1.0, math.inf)


@pytest.mark.parametrize(
    ("rule", "settings", "message"),
    [
        ("hero_adaptive", {"budget": -1.0}, "budget=-1"),
        ("hero_adaptive", {"recall": 0.0}, "recall=0"),
        ("hero_adaptive", {"recall": 0.3, "false_positives": 0.3}, "false_positives=0.3"),
        ("hero_adaptive", {"p_learned": 1.0}, "p_learned=1"),
        ("hero_adaptive", {"decay": 1.0}, "decay=1"),
    ],
)
def test_settings_out_of_range_are_refused_with_their_value(rule, settings, message):
    with pytest.raises(InputError, match=message):
        make_rule(rule, settings)


def test_group_std_is_warned_of():
    assert "hero_adaptive" in (check_scale(hero_adaptive(), "group") or "")


def test_prompts_that_the_verifier_cannot_read_by_hand():
    """Recall .3, accuracy .5; accepted pairs are four times what the most alike responses of readable prompts would give."""
    # most: .25 + .4 x .25 = .35; so many pairs: .35 x .3^2 x 4 = .126, hence 1 prompt in 4 is readable, unless recall passes 1
    state = Reliability(recall=0.3, decided=100.0, accepted=15.0, prompts=1.0, both=0.126, freedom=75.0, updates=1)
    assert state.reading == pytest.approx((0.5, 0.4, 0.3, 1.0))  # 1 / 4 would need a recall of 1.2
    state = Reliability(recall=0.1, decided=100.0, accepted=5.0, prompts=1.0, both=0.35 * 0.01 * 4, freedom=75.0, updates=1)
    assert state.reading == pytest.approx((0.5, 0.4, 0.25, 0.4))
    assert state._replace(both=0.35 * 0.01).reading.readable == 1.0
    # accepted nowhere: either unreadable, right half of the time; or readable at recall .4, where 8 rejections speak against
    # it. Alike .4: a rate of Beta(mean .2, variance .4^2 x .4 x .25 = .016): k = .16 / .016 - 1 = 9; then P(none of 8)
    none = math.prod((7.2 + i) / (9 + i) for i in range(8))
    read = 0.25 * none / (0.25 * none + 0.75)
    share = ((0 + 1.8) / (7 + 9)) / 0.4
    right = share * 0.6 / (1 - 0.4 * share)
    full = state._replace(xx=75.0, xv=1.0, qv=10.0, unit_weight=1.0, budget=1.0)
    rewards = hero_adaptive(recall=0.1, budget=1.0).apply([0.0] * 8, [0.0] * 8, [0] * 8, full).rewards
    assert full.trust == 1.0
    assert rewards == pytest.approx([0.5 + read * (right - 0.5)] * 8, abs=0.01)  # and a score term of .1 x .1 x its share


@pytest.mark.parametrize("learnt", [0.25, 0.9])
def test_a_policy_that_learns_the_accepted_form_does_not_make_scores_seem_perfect(learnt):
    """One prompt in four is readable, with a recall of up to .9; the rule is told .12, and scores have an AUROC of .64."""
    rng = np.random.default_rng(0)
    rule = hero_adaptive(recall=0.12)
    state = rule.init()
    for _ in range(60):
        right = rng.random((32, 8)) < 0.5
        readable = rng.random((32, 1)) < 0.25
        verdicts = (right & readable & (rng.random((32, 8)) < learnt)).astype(float)
        scores = rng.normal(size=(32, 8)) + 0.5 * right
        state = rule.apply(verdicts.ravel(), scores.ravel(), np.repeat(np.arange(32), 8), state).state
    assert 0.55 < state.metrics()["auroc_estimate"] < 0.75


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("freedom", -1.0), ("xv", 1e308), ("accepted", 1e12), ("log_unit", 1e12), ("pp", -1e300), ("unit_weight", 1e-308),
        ("decided", 1e-308),
    ],
)  # fmt: skip
def test_a_state_that_no_run_can_have_is_refused(name, value):
    state = taught(hero_adaptive(recall=0.3), recall=0.3, separation=1.0)
    with pytest.raises(InputError, match="bounds"):
        hero_adaptive(recall=0.3).init().restore({**state.state_dict(), name: value})


@pytest.mark.parametrize(("name", "value"), [("freedom", 0.0), ("qv", 1e-308), ("xv", 1e-308), ("xp", 1e15)])
def test_odd_sums_give_rewards_between_0_and_1(name, value):
    state = taught(hero_adaptive(recall=0.3), recall=0.3, separation=1.0)._replace(**{name: value})
    verdicts, scores, groups, _ = world(8, recall=0.3, separation=1.0)
    rewards = hero_adaptive(recall=0.3).apply(verdicts, scores, groups, state).rewards
    assert np.isfinite(list(state.metrics().values())).all()
    assert (rewards >= 0.0).all()
    assert (rewards <= 1.0).all()


def test_scores_that_differ_by_almost_nothing_are_no_error():
    rule = hero_adaptive(recall=0.1)
    state = rule.apply([1, 0, 0, 1], [1e-300, 2e-300, 0.0, 3e-300], [0, 0, 1, 1], rule.init()).state
    rewards = rule.apply([1, 0, 0, 1], [1.0, 2.0, 0.0, 3.0], [0, 0, 1, 1], state).rewards
    assert np.isfinite(rewards).all()
