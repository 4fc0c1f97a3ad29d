"""What a checkpoint holds, and which checkpoints are refused. (Killed and resumed: test_processes.py.)"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from trl import GRPOTrainer

from helpers import tiny
from hero_rl.engines.trl.trainer import HeroTrainer
from hero_rl.errors import InputError
from hero_rl.measures.health import Health
from hero_rl.pipeline import HybridReward
from hero_rl.rewards import RewardRule, gated, hero, verifier_only

CHECKPOINTS = {"save_strategy": "steps", "save_steps": 2, "max_steps": 2}


def build(rule: RewardRule, folder: Path, **options: Any) -> HeroTrainer:
    return HeroTrainer(
        tiny.model(), HybridReward(tiny.Letters(), tiny.Characters(), rule), tiny.config(folder, **(CHECKPOINTS | options)),
        train_dataset=tiny.problems(), eval_dataset=tiny.problems(4), processing_class=tiny.tokenizer(),
    )  # fmt: skip


@pytest.fixture(scope="module")
def of_hero(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hero")
    build(hero(), folder).train()
    return folder / "checkpoint-2"


def test_a_checkpoint_holds_the_state_as_json(of_hero: Path) -> None:
    trainer = json.loads((of_hero / "trainer_state.json").read_text())
    stored = trainer["stateful_callbacks"]["hero_rl"]
    assert stored["rule"] == "hero"
    assert stored["state"]["updates"] == len(Health.restore(stored["health"]).batches) == 2
    assert all(trainer["log_history"][1][f"hero/health/{name}"] == 0.0 for name in ("missing", "flat"))


def test_a_checkpoint_of_plain_trl_is_refused_by_a_rule_with_state(tmp_path: Path) -> None:
    plain = GRPOTrainer(
        tiny.model(), lambda completions, **_: [float(len(text)) for text in completions], tiny.config(tmp_path, **CHECKPOINTS),
        train_dataset=tiny.problems(), processing_class=tiny.tokenizer(),
    )  # fmt: skip
    plain.train()
    with pytest.raises(
        InputError, match="checkpoint of step 2 holds no state of the rule 'hero'.*not written by a run with this reward"
    ):
        build(hero(), tmp_path, max_steps=3).train(resume_from_checkpoint=True)
    build(verifier_only(), tmp_path, max_steps=3).train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))


@pytest.mark.parametrize("other", [verifier_only(), gated()], ids=lambda rule: rule.name)
def test_a_checkpoint_of_another_rule_is_refused(other: RewardRule, of_hero: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"state is of rule 'hero'.*cannot continue rule '{other.name}'"):
        build(other, tmp_path, max_steps=3).train(resume_from_checkpoint=str(of_hero))


def test_a_checkpoint_of_another_decay_is_refused(of_hero: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"decays by 0.9, the rule by 0.5"):
        build(hero(decay=0.5), tmp_path, max_steps=3).train(resume_from_checkpoint=str(of_hero))


def test_an_evaluation_before_the_first_step_of_a_resumed_run_reads_the_checkpoints_state(
    of_hero: Path, tmp_path: Path
) -> None:
    evaluation = {"eval_strategy": "steps", "eval_steps": 100, "eval_on_start": True, "num_generations_eval": 4}
    trainer = build(hero(), tmp_path, max_steps=3, per_device_eval_batch_size=16, **evaluation)
    trainer.train(resume_from_checkpoint=str(of_hero))
    stored = json.loads((of_hero / "trainer_state.json").read_text())["stateful_callbacks"]["hero_rl"]["state"]
    first = next(entry for entry in trainer.state.log_history if "eval_hero/sigma_mean" in entry)
    assert first["eval_hero/sigma_mean"] == stored["total"] / stored["weight"]


def test_one_configuration_serves_several_trainers(tmp_path: Path) -> None:
    args = tiny.config(tmp_path, max_steps=1)
    for _ in range(2):
        HeroTrainer(
            tiny.model(), HybridReward(tiny.Letters(), tiny.Characters(), hero()), args, train_dataset=tiny.problems(),
            processing_class=tiny.tokenizer(),
        ).train()  # fmt: skip
