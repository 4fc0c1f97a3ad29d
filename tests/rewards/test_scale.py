"""The estimated scale of advantages against the truth of simulated worlds, and by hand; its state goes on exactly."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from hero_rl.errors import InputError
from hero_rl.measures import update_quality
from hero_rl.pipeline import HybridReward, Signals
from hero_rl.rewards import RewardRule, gdpo, hero, hero_adaptive, naive_sum, rm_only, verifier_only
from hero_rl.rewards.groups import number_groups
from hero_rl.rewards.scale import LEAST_FACTOR, ScaleEstimate
from hero_rl.scorers import ColumnScorer
from hero_rl.types import FloatArray
from hero_rl.verifiers import ExactVerifier

GROUPS = np.repeat(np.arange(64), 8)


def world(seed: int, *, recall: float = 0.4, apart: float = 1.0) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Verdicts, scores and truth of 64 prompts of eight, one in three right, prompts of all difficulties."""
    rng = np.random.default_rng(seed)
    right = (rng.random(GROUPS.size) < rng.beta(1.0, 2.0, 64)[GROUPS]).astype(float)
    verdicts = right * (rng.random(GROUPS.size) < recall)
    return verdicts, apart * right + rng.normal(size=GROUPS.size) + rng.normal(size=64)[GROUPS], right


def reward_of(rule: RewardRule, recall: float | None) -> HybridReward:
    scorer = ColumnScorer("rm_score") if rule.needs_scores else None
    reward = HybridReward(ExactVerifier(), scorer, rule)
    reward.scale = ScaleEstimate.of(rule, recall=recall)
    return reward


def ratio(rule: RewardRule, recall: float | None, *, scale: str = "none", true_recall: float = 0.4) -> float:
    """The estimate after 30 batches, over the truth of all of them with the same decay."""
    reward, signal, size = reward_of(rule, recall), 0.0, 0.0
    for seed in range(30):
        verdicts, scores, right = world(seed, recall=true_recall)
        batch = reward.batch(Signals.plain(verdicts, scores), GROUPS, scale=scale)  # type: ignore[arg-type]
        truth = right - right.reshape(-1, 8).mean(1)[GROUPS]
        signal, size = 0.95 * signal + (batch.advantages * truth).sum(), 0.95 * size + (truth**2).sum()
    return reward.scale.value / (signal / size)


RULES = [verifier_only(), hero(), hero(weighting=False), naive_sum(rule_weight=0.9, normalize="zscore"), rm_only(), gdpo()]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_with_the_recall_known_the_estimate_is_the_truth_whatever_the_rule(rule: RewardRule) -> None:
    assert ratio(rule, 0.4) == pytest.approx(1.0, abs=0.15)


def test_advantages_count_as_they_are_trained_on() -> None:
    assert ratio(hero(), 0.4, scale="group") == pytest.approx(1.0, abs=0.15)
    assert ratio(hero_adaptive(recall=0.4), None) == pytest.approx(1.0, abs=0.15)  # from the rule's own settings


def test_a_wrong_recall_is_wrong_by_about_as_much_for_rules_that_follow_the_verifier() -> None:
    assert ratio(verifier_only(), 0.8) == pytest.approx(2.0, abs=0.3)
    assert ratio(verifier_only(), None) > 1.2  # assumed to be one half at least


def test_of_a_verifier_that_sees_everything_the_scale_is_one() -> None:
    # one prompt of two, one accepted: A = p - mean p = (.5, -.5), one degree of freedom, accuracy .5, .001 alike
    found = ScaleEstimate.of(verifier_only(), recall=1.0).after(
        np.array([1.0, 0.0]), np.array([np.nan, np.nan]), number_groups([0, 0]), np.array([0.5, -0.5])
    )
    assert (found.signal, found.freedom) == (0.5, 1.0)
    assert found.value == pytest.approx(0.5 / (0.25 * 0.999))
    assert ratio(verifier_only(), 1.0, true_recall=1.0) == pytest.approx(1.0, abs=0.02)


def test_a_coefficient_is_left_alone_while_nothing_is_known_and_never_vanishes() -> None:
    start = ScaleEstimate.of(hero())
    assert math.isnan(start.value)
    assert start.kl_factor == 1.0
    verdicts, scores, _ = world(0)
    groups = number_groups(GROUPS)
    assert start.after(np.zeros(GROUPS.size), scores, groups, scores).kl_factor == 1.0  # nothing was accepted yet
    assert start.after(verdicts, scores, groups, np.zeros(GROUPS.size)).kl_factor == LEAST_FACTOR


def test_the_estimate_is_logged_saved_and_restored_exactly() -> None:
    reward = reward_of(hero(), 0.4)
    verdicts, scores, right = world(1)
    batch = reward.batch(Signals.plain(verdicts, scores), GROUPS)
    assert batch.summary["scale_estimate"] == reward.scale.value
    quality = update_quality(batch.advantages, right, scores, GROUPS)
    assert quality.scale.low < reward.scale.value < quality.scale.high
    again = reward_of(hero(), 0.4)
    again.load_state_dict(json.loads(json.dumps(reward.state_dict())))
    assert again.scale == reward.scale
    seen = reward.batch(Signals.plain(verdicts, scores), GROUPS, update=False)
    assert seen.scale != reward.scale
    assert again.scale == reward.scale  # an evaluation moves nothing
    with pytest.raises(InputError, match="resume with the same settings"):
        reward_of(hero(), 0.5).load_state_dict(reward.state_dict())
    old = {name: value for name, value in reward.state_dict().items() if name != "scale"}
    fresh = reward_of(hero(), 0.4)
    fresh.load_state_dict(old)  # a checkpoint of an earlier release
    assert math.isnan(fresh.scale.value)


def test_a_recall_that_cannot_be_is_refused() -> None:
    with pytest.raises(InputError, match=r"recall=1.5 must lie in \(0, 1\]"):
        ScaleEstimate.of(hero(), recall=1.5)
    with pytest.raises(InputError, match=r"recall=0.05 must lie in \(0.1, 1\]"):
        ScaleEstimate.of(hero_adaptive(recall=0.4, false_positives=0.1), recall=0.05)
