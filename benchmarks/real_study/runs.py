"""One run of the study: HeroTrainer on the starting policy with one rule, resumable, and what came out as one JSON file."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from problems import ASKED, FORMS, Problem, draw_form, draw_problems

from hero_lab.results import versions
from hero_rl import HybridReward, rewards
from hero_rl.measures import group_auroc, pair_counts
from hero_rl.report import json_values
from hero_rl.rewards.rules import RewardRule
from hero_rl.scorers import LocalScorer
from hero_rl.types import Rollout
from hero_rl.verifiers import ExactVerifier

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

MAX_TOKENS = 40
HELD_OUT = 120
"""Problems that every policy is measured on: twenty of a kind."""
SAMPLES = 4
"""Responses per problem and temperature; pass@4 is of those at temperature 1."""
TEMPERATURES = {"T=1": 1.0, "T=.6": 0.6, "greedy": 0.0}
HELD_OUT_SEED, REWARD_SEED, COLD_START_SEED, TRAIN_SEED = 1, 2, 3, 1000
"""Problems are drawn with a seed per purpose; those to train on are no held-out ones."""


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """Everything that one run depends on."""

    name: str
    """Of the arm, in tables."""
    seed: int
    rule: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    steps: int = 30
    prompts: int = 8
    group: int = 8
    learning_rate: float = 1e-5

    @property
    def file(self) -> str:
        """The run's name among the results."""
        return f"{self.name.replace(' ', '-').replace(',', '')}-seed{self.seed}"


def held_out() -> list[Problem]:
    """Return the problems that policies are measured on."""
    return draw_problems(HELD_OUT, seed=HELD_OUT_SEED)


def others(count: int, *, seed: int) -> list[Problem]:
    """Return problems that are not among the held-out ones."""
    return draw_problems(count, seed=seed, apart_from=frozenset(one.question for one in held_out()))


def references(problems: Sequence[Problem], *, seed: int) -> list[str]:
    """Return a reference per problem: its answer in one of the forms."""
    rng = random.Random(seed)
    return [one.write(draw_form(rng, ASKED)) for one in problems]


def sample(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, problems: Sequence[Problem], *, count: int, temperature: float,
    seed: int, batch: int = 128,
) -> list[list[tuple[str, bool]]]:  # fmt: skip
    """Return ``count`` responses per problem, each with whether it ended."""
    import torch

    asked = [one.prompt for one in problems for _ in range(count)]
    order = sorted(range(len(asked)), key=lambda place: len(asked[place]))
    found: dict[int, tuple[str, bool]] = {}
    how = {"do_sample": True, "temperature": temperature, "top_k": 0} if temperature else {"do_sample": False}
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        for start in range(0, len(order), batch):
            places = order[start : start + batch]
            ids = tokenizer([asked[place] for place in places], return_tensors="pt", padding=True, padding_side="left")
            made = model.generate(**ids, max_new_tokens=MAX_TOKENS, **how)[:, ids.input_ids.shape[1] :]
            for place, row in zip(places, made, strict=True):
                text = tokenizer.decode(row, skip_special_tokens=True)
                found[place] = (text, tokenizer.eos_token_id in row)
    return [[found[place * count + one] for one in range(count)] for place in range(len(problems))]


def measure(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, scorer: LocalScorer | None) -> dict[str, Any]:
    """Return accuracy by the oracle per problem and temperature, the verifier's and the reward model's view, and samples."""
    import torch

    problems = held_out()
    refs = references(problems, seed=HELD_OUT_SEED)
    precision, was_training = model.dtype, model.training
    found: dict[str, Any] = {}
    model.eval().to(torch.bfloat16 if fast_bf16() else precision)
    for name, temperature in TEMPERATURES.items():
        count = SAMPLES if temperature else 1
        rows = sample(model, tokenizer, problems, count=count, temperature=temperature, seed=HELD_OUT_SEED)
        right_PG = np.array([
            [one.is_right(text, finished=ended) for text, ended in row] for one, row in zip(problems, rows, strict=True)
        ])  # fmt: skip
        found[name] = {"right_P": right_PG.sum(axis=1).tolist(), "samples": count}
        if temperature == 1.0:
            rollouts = to_rollouts(problems, refs, rows)
            verdicts_PG = np.array([one.value for one in ExactVerifier().verify(rollouts)]).reshape(right_PG.shape)
            found["verifier_pass"] = float(verdicts_PG.mean())
            found["recall"] = float(verdicts_PG[right_PG].mean())
            found["wrong_accepted"] = int(verdicts_PG[~right_PG].sum())
            found["digits"] = float(np.mean([
                row[0][0].endswith(f"{{{one.write(FORMS[0])}}}") for one, row in zip(problems, rows, strict=True)
            ]))  # fmt: skip
            found["finished"] = float(np.mean([ended for row in rows for _, ended in row]))
            found["distinct"] = float(np.mean([len({text for text, _ in row}) for row in rows]))
            found["examples"] = [[one.question, row[0][0], bool(right)] for one, row, (right, *_) in zip(
                problems[:12], rows[:12], right_PG[:12], strict=True)]  # fmt: skip
            if scorer is not None:
                scores = scorer.score(rollouts)
                prompts_B = np.repeat(np.arange(len(problems)), SAMPLES)
                found["score"] = float(np.nanmean(scores))
                found["auroc_within"] = group_auroc(pair_counts(scores, right_PG.ravel(), prompts_B))
    model.train(was_training).to(precision)
    return found


def to_rollouts(problems: Sequence[Problem], refs: Sequence[str], rows: Sequence[Sequence[tuple[str, bool]]]) -> list[Rollout]:
    """Return the responses as the product takes them."""
    return [
        Rollout(prompt_id=one.prompt, problem=one.prompt, reference=reference, response=text, finished=ended)
        for one, reference, row in zip(problems, refs, rows, strict=True)
        for text, ended in row
    ]


def fast_bf16() -> bool:
    """Whether this CPU multiplies in bfloat16; others only emulate it, at a fifth of the speed of float32."""
    import torch

    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def train(plan: RunPlan, models: Path, folder: Path) -> dict[str, Any]:
    """Train, go on from the last checkpoint in ``folder`` if there is one, and return the run's result."""
    import torch
    from datasets import Dataset
    from transformers import AutoTokenizer
    from transformers.trainer_utils import get_last_checkpoint
    from trl.trainer.grpo_config import GRPOConfig

    from hero_rl.engines.trl import HeroTrainer

    torch.set_num_threads(1)
    rule = rewards.make_rule(plan.rule, plan.settings)
    problems = others(plan.steps * plan.prompts, seed=TRAIN_SEED + plan.seed)
    data = {"prompt": [one.prompt for one in problems], "reference": references(problems, seed=TRAIN_SEED + plan.seed)}
    scorer = LocalScorer(models / "reward-model", device="cpu")
    tokenizer = AutoTokenizer.from_pretrained(models / "policy")
    last = get_last_checkpoint(str(folder)) if folder.is_dir() else None
    trainer = HeroTrainer(
        model=str(models / "policy"),
        reward=HybridReward(ExactVerifier(), scorer if rule.needs_scores else None, rule),
        rollouts=plan.prompts,
        args=GRPOConfig(
            **step_settings(plan.prompts, plan.group, rule), output_dir=str(folder), max_steps=plan.steps, seed=plan.seed,
            learning_rate=plan.learning_rate, lr_scheduler_type="constant_with_warmup", warmup_steps=3, save_steps=10,
            save_total_limit=1, bf16=fast_bf16(), use_cpu=True, dataloader_pin_memory=False,
            model_init_kwargs={"dtype": "float32"},
        ),
        train_dataset=Dataset.from_dict(data),
        processing_class=tokenizer,
    )  # fmt: skip
    started = time.perf_counter()
    trainer.train(resume_from_checkpoint=last)
    seconds = time.perf_counter() - started
    result = {
        "plan": asdict(plan), "curve": curve(folder, problems), "end": measure(trainer.model, tokenizer, scorer),
        "versions": versions(), "bf16": fast_bf16(), "train_s": seconds, "resumed_from": last and Path(last).name,
    }  # fmt: skip
    return json_values(result)


def step_settings(prompts: int, group: int, rule: RewardRule) -> dict[str, Any]:
    """Return TRL's arguments of one on-policy step: how it samples, and what the update is."""
    return {
        "num_generations": group, "per_device_train_batch_size": prompts * group, "max_completion_length": MAX_TOKENS,
        "temperature": 1.0, "generation_kwargs": {"top_k": 0}, "adam_beta2": 0.99, "beta": 0.0, "scale_rewards": rule.scale,
        "gradient_checkpointing": False, "logging_steps": 1, "report_to": "none", "disable_tqdm": True,
    }  # fmt: skip


def curve(folder: Path, problems: Sequence[Problem]) -> list[dict[str, float]]:
    """Return accuracy by the oracle, verifier pass rate and mean score per step, of the responses trained on.

    Every step has new problems, so this is accuracy on problems that were never seen. From the rollouts that the trainer keeps.
    """
    import pyarrow.parquet as parquet

    by_prompt = {one.prompt: one for one in problems}
    points: list[dict[str, float]] = []
    for file in sorted((folder / "rollouts").glob("step_*.parquet")):
        rows = parquet.read_table(file).to_pylist()
        right = [by_prompt[row["problem"]].is_right(row["response"], finished=row["finished"]) for row in rows]
        scores = [row["rm_score"] for row in rows if row["rm_score"] is not None]
        points.append({
            "step": rows[0]["step"], "accuracy": float(np.mean(right)),
            "verifier_pass": float(np.mean([row["verdict"] == 1 for row in rows])),
            "score": float(np.mean(scores)) if scores else float("nan"),
            "distinct": len({(row["prompt_id"], row["response"]) for row in rows}) / len(rows),
        })  # fmt: skip
    return points
