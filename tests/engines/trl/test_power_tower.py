"""A response that would keep a computer algebra system busy for ever costs a training step its deadline and nothing else."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset
from trl import GRPOTrainer

from helpers import tiny
from hero_rl.engines.trl.trainer import HeroTrainer
from hero_rl.pipeline import HybridReward
from hero_rl.rewards import hero
from hero_rl.types import Rollout, Verdict
from hero_rl.verifiers.function import FunctionVerifier

DEADLINE_S = 2.0
TOWER = r"\boxed{9^9^9^9}"
ANSWERS = [r"\boxed{4}", r"\boxed{5-1}", r"\boxed{5}", r"\boxed{7-2}"] * 4
"""Right and wrong."""


class Timed(FunctionVerifier):
    """Keeps how long each batch took."""

    async def averify(self, rollouts: Sequence[Rollout], /) -> list[Verdict]:
        start = time.monotonic()
        verdicts = await super().averify(rollouts)
        self.__dict__.setdefault("took_s", []).append(time.monotonic() - start)
        return verdicts


def scripted(prompts: list[Any], trainer: GRPOTrainer) -> dict[str, Any]:
    """A policy that writes the tower in the middle of its second batch."""
    tokenizer: Any = trainer.processing_class
    texts = list(ANSWERS)
    if trainer.state.global_step == 1:
        texts[5] = TOWER
    ids = [tokenizer(text)["input_ids"] + [tokenizer.eos_token_id] for text in texts]
    return {"prompt_ids": [tokenizer(prompt)["input_ids"] for prompt in prompts], "completion_ids": ids, "logprobs": None}


def test_a_power_tower_costs_its_deadline_and_nothing_else(tmp_path: Path) -> None:
    data = Dataset.from_dict({"prompt": ["2+2=?", "1+3=?"], "reference": ["4", "4"]})

    def worked_out(rollout: Rollout) -> bool:  # in a worker process, which is killed at the deadline
        while "9^9" in rollout.response:
            pass
        return rollout.response in right

    right = set(ANSWERS[:2])
    with Timed(worked_out, deadline_s=DEADLINE_S, workers=1) as verifier:
        args = tiny.config(tmp_path, max_steps=3, log_completions=True, num_completions_to_print=1)
        reward = HybridReward(verifier, tiny.Characters(), hero())
        trainer = HeroTrainer(
            tiny.model(), reward, args, train_dataset=data, processing_class=tiny.tokenizer(), rollout_func=scripted
        )
        trainer.train()
        took_s = verifier.took_s
    import pandas as pd

    tables = [pd.read_parquet(tmp_path / "completions" / f"completions_0000{step}.parquet") for step in (1, 2, 3)]
    assert tables[0]["verdict"].tolist() == [1.0, 1.0, 0.0, 0.0] * 4
    assert tables[2]["verdict"].tolist() == tables[0]["verdict"].tolist()
    assert tables[1]["completion"][5] == TOWER
    assert tables[1]["reason"][5] == "too_hard"
    assert tables[1]["verdict"].isna().tolist() == [row == 5 for row in range(16)]
    assert tables[1]["verdict"].drop(5).tolist() == tables[0]["verdict"].drop(5).tolist()
    assert took_s[1] >= 0.9 * DEADLINE_S  # of CPU time
    assert trainer.state.log_history[1]["hero/failure_rate"] == 0.0
    assert trainer.state.global_step == 3
    assert trainer.reward.state.updates == 3
