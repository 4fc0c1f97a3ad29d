"""Training runs in processes of their own, for tests of several processes and of runs that are killed.

    python trl_worker.py FOLDER NAME...                          one process
    python -m torch.distributed.run ... trl_worker.py FOLDER NAME...

Each named run leaves ``FOLDER/NAME/rank{R}.npz`` (parameters) and ``rank{R}.json`` (state, error, log).
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import torch
from accelerate.state import AcceleratorState, DistributedType, PartialState
from transformers import Trainer
from trl import GRPOTrainer

from helpers import tiny
from hero_rl.engines.hero_reward import HeroReward
from hero_rl.engines.trl.trainer import HeroTrainer
from hero_rl.errors import InputError, SignalError
from hero_rl.pipeline import HybridReward
from hero_rl.rewards import RewardRule, hero, process
from hero_rl.types import FloatArray, Rollout, Verdict

RANK = int(os.environ.get("RANK", "0"))
START = f"start{RANK}"
"""Folder of the model, from which TRL loads the reference of a KL term."""
WORLD = int(os.environ.get("WORLD_SIZE", "1"))

STRADDLING = {"max_steps": 3, "optim": "sgd", "learning_rate": 0.5, "gradient_accumulation_steps": 3}
"""24 rows a step in 3 groups of 8: with two processes of 4 x 3 rows each, the second group lies half on either.

Plain SGD: Adam turns the rounding of gradients near zero into steps of full size, so runs that differ in the order of a sum
could not be compared. TRL shuffles a process's rows before it splits them, which changes nothing where one optimizer step
takes all of them.
"""
TRUE_REWARD = {"beta": 0.1, "kl_unit": "oracle", "verifier_recall": 0.5}
RESUMED = {"max_steps": 6, "save_strategy": "steps", "save_steps": 2, "save_total_limit": None} | TRUE_REWARD


class Slow(tiny.Letters):
    """From the fifth batch on, every verdict takes a minute: somebody has time to kill the run at step 5 of 6."""

    def verify(self, rollouts: Sequence[Rollout], /) -> list[Verdict]:
        if len(self.seen) >= 4:
            time.sleep(60)
        return super().verify(rollouts)


class Raising(tiny.Letters):
    """In its second batch, one process's verifier raises instead of reporting a failure; its rows reach into a shared group."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def verify(self, rollouts: Sequence[Rollout], /) -> list[Verdict]:
        if len(self.seen) == 1 and RANK == WORLD - 1:
            raise self.error
        return super().verify(rollouts)


class RaisingScorer(tiny.Characters):
    """The same for a reward model, at once."""

    async def ascore(self, rollouts: Sequence[Rollout], /) -> FloatArray:
        if RANK == 0:
            raise MemoryError("no room for 3 rows")
        return await super().ascore(rollouts)


class Setting(NamedTuple):
    """What a named run trains with."""

    options: dict[str, Any]
    extra: dict[str, Any]
    verifier: tiny.Letters
    scorer: tiny.Characters
    rule: RewardRule = hero()


def setting(name: str) -> Setting:
    """Of the named run; "resumed" goes on where "killed" was killed, "continued" from step 4 of "uninterrupted"."""
    by_row = {"rollout_func": tiny.sample_by_row}
    evaluated = {
        "eval_strategy": "steps",
        "eval_steps": 1,
        "num_generations_eval": 4,
        "per_device_eval_batch_size": 12 // WORLD,
    }
    reused = {"per_device_train_batch_size": 16 // WORLD, "steps_per_generation": 2, "num_iterations": 2, "max_steps": 8}
    raising = Raising(ZeroDivisionError("no verdict today"))
    refusing = Raising(InputError("row 3: reference is empty; fill it in"))
    failing = tiny.Letters(fail=lambda rollout: RANK == WORLD - 1)
    letters, characters = tiny.Letters(), tiny.Characters()
    return {
        "straddling": Setting(STRADDLING, by_row, letters, characters),
        "true_reward": Setting(STRADDLING | TRUE_REWARD, by_row, letters, characters),
        "by_function": Setting(STRADDLING | evaluated, {**by_row, "eval_dataset": tiny.problems(6)}, letters, characters),
        "function_alone": Setting({"per_device_train_batch_size": 8}, {}, letters, characters),
        "function_raises_on_one_rank": Setting(STRADDLING, {}, raising, characters),
        "shaped_steps": Setting(STRADDLING, by_row, letters, tiny.Pairs(), process(gamma=0.4)),
        "reused": Setting(reused, {}, letters, characters),  # each generation serves two optimizer steps, twice
        "evaluated": Setting(STRADDLING | evaluated, {**by_row, "eval_dataset": tiny.problems(6)}, letters, characters),
        "broken_on_one_rank": Setting({}, {}, failing, characters),
        "verifier_raises_on_one_rank": Setting(STRADDLING, {}, raising, characters),
        "input_error_on_one_rank": Setting(STRADDLING, {}, refusing, characters),
        "scorer_raises_on_one_rank": Setting({}, {}, letters, RaisingScorer()),
        "uninterrupted": Setting(RESUMED, {}, letters, characters),
        "continued": Setting(RESUMED, {}, letters, characters),
        "killed": Setting(RESUMED, {}, Slow(), characters),
        "resumed": Setting(RESUMED, {}, letters, characters),
    }[name]


def run(name: str, folder: Path) -> GRPOTrainer:
    """The named run, trained; where its name speaks of a function, by TRL's own trainer with a ``HeroReward``."""
    options, extra, verifier, scorer, rule = setting(name)
    resume: str | None = None
    if before := {"resumed": "killed", "continued": "uninterrupted"}.get(name):
        folder = folder.parent / before
        resume = str(folder / "checkpoint-4")
    options = {"per_device_train_batch_size": 8 // WORLD} | options
    reward = HybridReward(verifier, scorer, rule, max_failure_rate=0.0)
    by_function = "function" in name
    model = tiny.loaded(folder.parent / START) if "beta" in options else tiny.model()
    trainer = (GRPOTrainer if by_function else HeroTrainer)(
        model, HeroReward(reward, gather="alone" not in name) if by_function else reward, tiny.config(folder, **options),
        train_dataset=tiny.problems(), processing_class=tiny.tokenizer(), **extra,
    )  # fmt: skip
    trainer.train(resume_from_checkpoint=resume)
    return trainer


def shard_on_a_cpu() -> None:
    """Make accelerate's FSDP do its work here: it shards on accelerators only (accelerate 1.15, AcceleratorState).

    Nothing else is touched: the plugin that the configuration file describes wraps the policy, over gloo.
    """
    create = Trainer.create_accelerator_and_postprocess

    def create_sharded(self: Trainer) -> None:
        PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU
        AcceleratorState._reset_state()
        create(self)

    Trainer.create_accelerator_and_postprocess = create_sharded


def parameters(trainer: GRPOTrainer) -> FloatArray:
    """Every parameter in one array, gathered where each process holds a shard; all processes must ask."""
    policy = trainer.accelerator.unwrap_model(trainer.model)
    whole = [p.full_tensor() if hasattr(p, "full_tensor") else p for p in policy.parameters()]
    return torch.cat([p.detach().reshape(-1) for p in whole]).double().numpy()


def main(folder: Path, names: Sequence[str]) -> None:
    tiny.model().save_pretrained(folder / START)  # before torch knows of other processes, of which only the first would save
    for name in names:
        out = folder / name
        out.mkdir(parents=True, exist_ok=True)
        result: dict[str, Any] = {"world": WORLD}
        try:
            trainer = run(name, out)
        except (SignalError, InputError) as error:
            result |= {"error": str(error), "kind": type(error).__name__, "cause": repr(error.__cause__)}
        else:
            np.savez(out / f"rank{RANK}.npz", parameters=parameters(trainer))
            result |= {"state": trainer.state.stateful_callbacks["hero_rl"], "world": trainer.accelerator.num_processes}
            result["kinds"] = sorted({type(p).__name__ for p in trainer.model.parameters()})
            result["log"] = trainer.state.log_history
        (out / f"rank{RANK}.json").write_text(json.dumps(result))


if __name__ == "__main__":
    if os.environ.get("ACCELERATE_USE_FSDP") == "true":
        shard_on_a_cpu()
    main(Path(sys.argv[1]), sys.argv[2:])
