"""The lab's reward models score the steps of a response where they were taught to."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForSequenceClassification

from helpers import tiny
from hero_lab.models import build_tokenizer, model_config, new_policy
from hero_lab.presets import find_arm
from hero_lab.reward_model import PrefixScorer
from hero_lab.task import StrictVerifier
from hero_rl.engines.trl.trainer import HeroTrainer
from hero_rl.pipeline import HybridReward
from hero_rl.rewards import StepShaping, make_rule, process
from hero_rl.scorers import LocalScorer
from hero_rl.types import Rollout, StepScorer

PROMPT = "^4*6-5:4H"


def respond(text: str, *, finished: bool = True) -> Rollout:
    return Rollout(prompt_id="p", problem=PROMPT, reference="4.75", response=text, finished=finished)


def scalar() -> LocalScorer:
    torch.manual_seed(3)
    config = model_config()
    config.num_labels = 1
    model = AutoModelForSequenceClassification.from_config(config)
    return LocalScorer(model, tokenizer=build_tokenizer())


def test_a_step_has_the_score_of_the_response_up_to_its_end() -> None:
    scorer, rows = scalar(), [respond("24;19;4.75"), respond("7;1")]
    found = PrefixScorer(scorer).score_steps(rows)
    wanted = scorer.score([respond(text) for text in ("24;", "24;19;", "24;19;4.75")])
    np.testing.assert_allclose(found.steps[0], wanted, rtol=0, atol=1e-5)
    assert [len(steps) for steps in found.steps] == [3, 2]
    np.testing.assert_allclose(found.scores, scorer.score(rows), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("text", "finished", "ends"),
    [
        ("24;19;4.75", True, [3, 6, 10]),
        ("4.75", True, [4]),
        ("", True, [0]),
        ("24;", True, [3, 3]),  # the end token is a step
        ("24;", False, [3]),
        ("24;1", False, [3, 4]),
        (";;", True, [1, 2, 2]),
    ],
)
def test_a_step_ends_behind_each_semicolon_and_the_last_at_the_end(text: str, finished: bool, ends: list[int]) -> None:
    scorer = PrefixScorer(scalar())
    rollout = respond(text, finished=finished)
    assert scorer.step_ends(rollout).tolist() == ends
    steps = scorer.score_steps([rollout]).steps[0]
    assert len(steps) == len(ends)
    assert all(map(math.isfinite, steps))


def test_it_is_a_step_scorer() -> None:
    assert isinstance(PrefixScorer(scalar()), StepScorer)
    assert PrefixScorer(scalar()).score_steps([]).steps == ()


def test_the_lab_knows_the_rule_by_name() -> None:
    arm = find_arm("process:gamma=0.2,signal=change,alpha=0.1", regime="hard", kl=False)
    rule = make_rule(arm.rule, arm.rule_settings)
    assert rule.steps == StepShaping(gamma=0.2, signal="change")
    assert (arm.scale, rule.settings["alpha"]) == ("none", 0.1)


def test_a_lab_policy_is_trained_on_its_steps(tmp_path: Path) -> None:
    data = Dataset.from_dict({"prompt": [PROMPT] * 4, "reference": ["4.75"] * 4})
    trainer = HeroTrainer(
        new_policy(0), HybridReward(StrictVerifier(), PrefixScorer(scalar()), process(gamma=0.3)),
        tiny.config(tmp_path, max_completion_length=14, max_steps=1), train_dataset=data, processing_class=build_tokenizer(),
    )  # fmt: skip
    trainer.train()
    assert trainer.state.log_history[0]["hero/steps_shaped"] > 0.2  # those without a semicolon have one step
