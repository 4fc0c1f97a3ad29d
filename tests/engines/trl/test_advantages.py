"""The advantages that a policy is trained with are the rule's, weighted, for every normalisation."""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trl.trainer.grpo_trainer import GRPOTrainer

from helpers import tiny
from hero_rl.engines.trl.trainer import HeroTrainer
from hero_rl.errors import SettingsWarning
from hero_rl.pipeline import HybridReward
from hero_rl.rewards import (
    RewardRule,
    RuleOutput,
    as_rule,
    gated,
    gdpo,
    group_advantages,
    hero,
    naive_sum,
    rm_only,
    verifier_only,
)
from hero_rl.types import FloatArray

RULES = [
    hero(),
    hero(alpha=0.2, beta=0.2, singleton="center"),
    gated(),
    verifier_only(),
    rm_only(),
    naive_sum(),
    gdpo(),
    hero(drop="verdicts"),
]


class Recording(HeroTrainer):
    """Keeps the advantages of every generation batch, in sampler order: before TRL shuffles the rows."""

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        output = super()._generate_and_score_completions(inputs)
        self.__dict__.setdefault("advantages", []).append(output["advantages"].double().numpy().copy())
        return output


class Trls(GRPOTrainer):
    """Keeps the advantages that TRL computes from the shaped rewards, in sampler order."""

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        output = super()._generate_and_score_completions(inputs)
        self.__dict__.setdefault("trls", []).append(output["advantages"].double().numpy().copy())
        return output


class Both(Recording, Trls):
    """``HeroTrainer`` on a TRL that is looked at."""


def train(rule: RewardRule, folder: Path, *, missing: str = "", **options: Any) -> tuple[Both, tiny.Letters]:
    verifier = tiny.Letters()
    reward = HybridReward(verifier, tiny.Characters(missing=missing), rule, max_failure_rate=1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SettingsWarning)
        trainer = Both(
            tiny.model(),
            reward,
            tiny.config(folder, **options),
            train_dataset=tiny.problems(),
            processing_class=tiny.tokenizer(),
        )
    trainer.train()
    return trainer, verifier


def expected(rule: RewardRule, verifier: tiny.Letters, scale: Any, *, missing: str = "") -> list[FloatArray]:
    """From the rollouts alone: verdicts, scores, the rule with its own state, and our normalisation."""
    state, batches = rule.init(), []
    for rollouts in verifier.seen:
        verdicts = [verifier.judge(rollout).value for rollout in rollouts]
        groups = np.repeat(np.arange(len(rollouts) // 8), 8)
        output = rule.apply(verdicts, tiny.Characters(missing=missing).score(rollouts), groups, state)
        state = output.state
        batches.append(group_advantages(output.rewards, groups, scale=scale, weights_B=output.weights))
    return batches


@pytest.mark.parametrize(
    ("rule", "scale"),
    [(rule, "none") for rule in RULES]
    + [(rule, scale) for rule in (hero(), gated(), hero(drop="verdicts")) for scale in ("group", "batch")],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_advantages_are_the_rules_for_every_normalisation(rule: RewardRule, scale: str, tmp_path: Path) -> None:
    trainer, verifier = train(rule, tmp_path, scale_rewards=scale, max_steps=2)
    wanted = expected(rule, verifier, scale)
    assert len(trainer.advantages) == len(wanted) == 2  # the second with what the first left in the rule's state
    for got, want in zip(trainer.advantages, wanted, strict=True):
        assert np.abs(want).max() > 0.0
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-6)


@pytest.mark.parametrize("scale", ["none", "group", "batch"])
@pytest.mark.parametrize("rule", [hero(), gdpo()], ids=lambda rule: rule.name)
def test_advantages_are_trls_own_times_the_prompt_weights(rule: RewardRule, scale: str, tmp_path: Path) -> None:
    trainer, _ = train(rule, tmp_path, scale_rewards=scale, max_steps=1)
    assert (np.ptp(trainer._share.batch.weights) > 0.0) == (rule.name == "hero")
    assert np.abs(trainer.trls[0]).max() > 0.0
    np.testing.assert_allclose(trainer.advantages[0], trainer.trls[0] * trainer._share.batch.weights, rtol=0, atol=1e-6)


@pytest.mark.parametrize("scale", ["none", "group", "batch"])
def test_responses_that_the_rule_leaves_out_have_no_advantage(scale: str, tmp_path: Path) -> None:
    rule = as_rule(tiny.leave_out_half)
    trainer, verifier = train(rule, tmp_path, scale_rewards=scale)
    for got, want in zip(trainer.advantages, expected(rule, verifier, scale), strict=True):
        np.testing.assert_array_equal(got == 0.0, want == 0.0)
        assert len(got) / 2 <= (got == 0.0).sum() < len(got)


def test_a_missing_score_leaves_only_its_response_out(tmp_path: Path) -> None:
    trainer, verifier = train(rm_only(), tmp_path, missing="k", scale_rewards="none")
    missing = np.array(["k" in rollout.response for rollout in verifier.seen[0]])
    assert 0 < missing.sum() < len(missing)
    np.testing.assert_allclose(trainer.advantages[0], expected(rm_only(), verifier, "none", missing="k")[0], atol=1e-6)
    np.testing.assert_array_equal(trainer.advantages[0] == 0.0, missing)


def test_weights_act_on_advantages_and_would_cancel_on_rewards_under_group_std(tmp_path: Path) -> None:
    rule = hero(alpha=0.2, beta=0.2)

    def weigh_rewards(*args: Any) -> RuleOutput:
        output = rule.apply_checked(*args)
        return output._replace(rewards=output.rewards * output.weights, weights=np.ones_like(output.weights))

    first = [
        train(each, tmp_path, scale_rewards="group", max_steps=1)[0].advantages[0]
        for each in (hero(alpha=0.2, beta=0.2, weighting=False), rule, dataclasses.replace(rule, apply_checked=weigh_rewards))
    ]
    bare, on_advantages, on_rewards = first
    moved = np.abs(bare) > 1e-3
    weights = on_advantages[moved] / bare[moved]
    assert weights.min() < 1.65 < 1.75 < weights.max()  # groups differ, and both from 1
    np.testing.assert_allclose(on_rewards[moved], bare[moved], rtol=0.01)  # gone, but for TRL's 1e-4 in the divisor
