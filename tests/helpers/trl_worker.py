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
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np

from helpers import tiny
from hero_rl.engines.trl.trainer import HeroTrainer
from hero_rl.errors import SignalError
from hero_rl.pipeline import HybridReward
from hero_rl.rewards import hero
from hero_rl.types import Rollout, Verdict

RANK = int(os.environ.get("RANK", "0"))
WORLD = int(os.environ.get("WORLD_SIZE", "1"))

STRADDLING = {"max_steps": 3, "optim": "sgd", "learning_rate": 0.5, "gradient_accumulation_steps": 3}
"""24 rows a step in 3 groups of 8: with two processes of 4 x 3 rows each, the second group lies half on either.

Plain SGD: Adam turns the rounding of gradients near zero into steps of full size, so runs that differ in the order of a sum
could not be compared. TRL shuffles a process's rows before it splits them, which changes nothing where one optimizer step
takes all of them.
"""
RESUMED = {"max_steps": 6, "save_strategy": "steps", "save_steps": 2, "save_total_limit": None}


class Slow(tiny.Letters):
    """From the fifth batch on, every verdict takes a minute: somebody has time to kill the run at step 5 of 6."""

    def verify(self, rollouts: Sequence[Rollout]) -> list[Verdict]:
        if len(self.seen) >= 4:
            time.sleep(60)
        return super().verify(rollouts)


def run(name: str, folder: Path) -> HeroTrainer:
    """The named run, trained."""
    verifier: tiny.Letters = tiny.Letters()
    options: dict[str, Any] = {"per_device_train_batch_size": 8 // WORLD}
    extra: dict[str, Any] = {}
    resume: str | None = None
    match name:
        case "straddling":
            options |= STRADDLING
            extra["rollout_func"] = tiny.sample_by_row
        case "reused":  # each generation serves two optimizer steps, twice
            options |= {
                "per_device_train_batch_size": 16 // WORLD,
                "steps_per_generation": 2,
                "num_iterations": 2,
                "max_steps": 8,
            }
        case "evaluated":
            options |= STRADDLING | {"eval_strategy": "steps", "eval_steps": 1, "num_generations_eval": 4}
            options |= {"per_device_eval_batch_size": 12 // WORLD}
            extra |= {"rollout_func": tiny.sample_by_row, "eval_dataset": tiny.problems(6)}
        case "broken_on_one_rank":
            verifier = tiny.Letters(fail=lambda rollout: RANK == WORLD - 1)
        case "uninterrupted":
            options |= RESUMED
        case "killed":
            options |= RESUMED
            verifier = Slow()
        case "resumed":
            options |= RESUMED
            folder = folder.parent / "killed"
            resume = str(folder / "checkpoint-4")
    trainer = HeroTrainer(
        tiny.model(), HybridReward(verifier, tiny.Characters(), hero()), tiny.config(folder, **options),
        train_dataset=tiny.problems(), processing_class=tiny.tokenizer(), **extra,
    )  # fmt: skip
    trainer.train(resume_from_checkpoint=resume)
    return trainer


def main(folder: Path, names: Sequence[str]) -> None:
    for name in names:
        out = folder / name
        out.mkdir(parents=True, exist_ok=True)
        (out / f"rank{RANK}.pid").write_text(str(os.getpid()))
        result: dict[str, Any] = {"world": WORLD}
        try:
            trainer = run(name, out)
        except SignalError as error:
            result["error"] = str(error)
        else:
            np.savez(out / f"rank{RANK}.npz", parameters=tiny.parameters(trainer))
            result |= {"state": trainer.reward.state_dict(), "world": trainer.accelerator.num_processes}
            result["log"] = trainer.state.log_history
        (out / f"rank{RANK}.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
