"""Evaluation reads the rule's state and never feeds it; the completions table shows what the policy is trained with."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest

from helpers import tiny
from hero_rl.engines.trl.trainer import HeroTrainer
from hero_rl.pipeline import HybridReward
from hero_rl.rewards import as_rule, batch_summary, group_advantages, hero

COLUMNS = ["step", "prompt", "completion", "shaped", "reason", "rm_score", "verdict", "advantage"]


class Recording(HeroTrainer):
    """Keeps what each generation batch is trained with, and the state around each evaluation."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.batches: list[tuple[str, list[float]]] = []
        self.states: list[tuple[Any, Any]] = []

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        output = super()._generate_and_score_completions(inputs)
        self.batches.append(("train" if self._training else "eval", output["advantages"].tolist()))
        return output

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        before = self.reward.state_dict()
        metrics = super().evaluate(*args, **kwargs)
        self.states.append((before, self.reward.state_dict()))
        return metrics


def build(folder: Path, *, rule: Any = None, **options: Any) -> Recording:
    return Recording(
        tiny.model(), HybridReward(tiny.Letters(), tiny.Characters(), rule or hero()),
        tiny.config(folder, max_steps=3, **options), train_dataset=tiny.problems(), eval_dataset=tiny.problems(5),
        processing_class=tiny.tokenizer(), rollout_func=tiny.sample_by_row,
    )  # fmt: skip


def verifier(trainer: HeroTrainer) -> tiny.Letters:
    return cast(tiny.Letters, trainer.reward.verifier)


# A generation batch has 16 rows. Of 20 evaluation rows: one batch of 20, or 8 + 8 + 4; groups of 4, of 2, of 1.
@pytest.mark.parametrize(("rows", "per_prompt"), [(32, 4), (8, 4), (20, 2), (4, 1)])
def test_evaluation_changes_neither_state_nor_training(rows: int, per_prompt: int, tmp_path: Path) -> None:
    evaluation = {"eval_strategy": "steps", "eval_steps": 1, "eval_on_start": True, "num_generations_eval": per_prompt}
    # An evaluation moves torch's global generator, by which TRL shuffles the rows of a step: another order of the same sum.
    # Plain SGD keeps that at rounding size.
    optimizer = {"optim": "sgd", "learning_rate": 0.5}
    evaluated = build(tmp_path / "a", per_device_eval_batch_size=rows, **evaluation, **optimizer)
    evaluated.train()
    alone = build(tmp_path / "b", **optimizer)
    alone.train()
    assert len(evaluated.states) == 4
    assert all(before == after for before, after in evaluated.states)
    assert evaluated.reward.state_dict() == alone.reward.state_dict()
    assert evaluated.reward.state.updates == 3
    np.testing.assert_allclose(tiny.parameters(evaluated), tiny.parameters(alone), rtol=0, atol=1e-6)


def test_evaluation_metrics_are_those_of_the_evaluation_rollouts(tmp_path: Path) -> None:
    evaluation = {"eval_strategy": "steps", "eval_steps": 3, "num_generations_eval": 4, "per_device_eval_batch_size": 32}
    trainer = build(tmp_path, **evaluation)
    trainer.train()
    seen = verifier(trainer).seen[-1]
    groups = np.repeat(np.arange(5), 4)
    verdicts = [verdict.value for verdict in tiny.Letters().verify(seen)]
    scores = tiny.Characters().score(seen)
    output = hero().apply(verdicts, scores, groups, trainer.reward.state)
    advantages = group_advantages(output.rewards, groups, weights_B=output.weights)
    np.testing.assert_allclose(trainer.batches[-1][1], advantages, rtol=0, atol=1e-6)

    logged = next(entry for entry in trainer.state.log_history if "eval_hero/correct" in entry)
    summary = batch_summary(verdicts, scores, groups, advantages, output.weights)
    assert summary["weight_min"] < summary["weight_max"]
    known = {f"eval_hero/{name}": value for name, value in summary.items() if not math.isnan(value)}
    assert {name: logged[name] for name in known} == pytest.approx(known, abs=1e-6)
    assert logged["eval_hero/sigma_mean"] == trainer.reward.state.value
    correct = np.array([bool({*"ae13"} & set(row.response)) and "z" not in row.response for row in seen])
    assert logged["eval_hero/correct"] == pytest.approx(correct.mean())
    assert not [
        key for entry in trainer.state.log_history if "eval_loss" not in entry for key in entry if key.startswith("eval_")
    ]


def table(folder: Path, step: int) -> pd.DataFrame:
    return pd.read_parquet(folder / "completions" / f"completions_{step:05d}.parquet")


def test_the_completions_table_has_raw_signals_and_the_advantages_in_use(tmp_path: Path) -> None:
    trainer = build(tmp_path, rule=as_rule(tiny.leave_out_half), log_completions=True, num_completions_to_print=1)
    trainer.train()
    rollouts = verifier(trainer).seen[1]
    rows = table(tmp_path, 2)
    assert list(rows.columns) == COLUMNS
    assert rows["completion"].tolist() == [rollout.response for rollout in rollouts]
    # A response that the rule leaves out keeps its signals in the table, and has no advantage.
    assert rows["shaped"].isna().sum() == 8
    np.testing.assert_array_equal(rows["verdict"], [verdict.value for verdict in tiny.Letters().verify(rollouts)])
    np.testing.assert_array_equal(rows["rm_score"], tiny.Characters().score(rollouts))
    assert set(rows["reason"]) <= {"letter", "no_letter", "unclear"}
    np.testing.assert_array_equal(rows["advantage"], trainer.batches[1][1])


@pytest.mark.parametrize("rows", [32, 8])
def test_the_table_of_an_evaluation_has_its_own_advantages(rows: int, tmp_path: Path) -> None:
    """TRL keeps as many rows as a generation batch has (16): of 20 evaluation rows the last 16, whatever the batches were."""
    evaluation = {"eval_strategy": "steps", "eval_steps": 3, "num_generations_eval": 4, "eval_on_start": True}
    trainer = build(tmp_path, log_completions=True, num_completions_to_print=1, per_device_eval_batch_size=rows, **evaluation)
    trainer.train()
    for step, batches in ((0, trainer.batches[: len(trainer.batches) // 2]), (3, trainer.batches[len(trainer.batches) // 2 :])):
        used = [value for kind, values in batches if kind == "eval" for value in values]
        assert len(used) == 20
        written = table(tmp_path, step)
        np.testing.assert_array_equal(written["advantage"], used[-16:])
        seen = [row for batch in verifier(trainer).seen for row in batch]
        rollouts = seen[:20] if step == 0 else seen[-20:]
        assert written["completion"].tolist() == [row.response for row in rollouts[-16:]]
