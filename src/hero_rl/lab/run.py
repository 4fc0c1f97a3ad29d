"""One run of the lab: one rule, one seed, TRL's GRPO through ``HeroTrainer``, and one JSON file with what came out."""

from __future__ import annotations

import json
import math
import os
import platform
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hero_rl.errors import require
from hero_rl.lab.evaluate import curve_point, full_evaluation
from hero_rl.lab.models import build_tokenizer, load_policy
from hero_rl.lab.prepare import Prepared, load_scorer, read_facts
from hero_rl.lab.settings import FORMAT, RunSettings
from hero_rl.lab.task import MAX_RESPONSE_LENGTH, Item, StrictVerifier, build_items
from hero_rl.types import Scorer

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel, TrainerCallback
    from trl.trainer.grpo_config import GRPOConfig

Report = Callable[[dict[str, Any]], None]
"""Takes one progress event: ``{"step": 10, "accuracy": 0.41, ...}``, on development prompts."""
_VERSIONED = ("hero-rl", "torch", "transformers", "trl", "accelerate", "datasets", "numpy")


class Observer:
    """What is looked at during a run, and when. Looking never changes the run: random states are put back."""

    def __init__(self, settings: RunSettings, scorer: Scorer, score_mean: float, report: Report) -> None:
        """Evaluate with this reward model; ``report`` hears of every point of the curve."""
        self.settings, self.scorer, self.score_mean, self.report = settings, scorer, score_mean, report
        self.curve: list[dict[str, float]] = []
        self.held_out: dict[str, dict[str, Any]] = {}
        self.seconds = 0.0
        self._development = build_items("development", settings.regime, seed=settings.seed)
        # Both kinds of prompt, whatever was trained on: what a rule does to the other kind is part of its result.
        self._held_out = build_items("held_out", "mixed", seed=settings.seed)

    def look(self, policy: PreTrainedModel, step: int) -> None:
        """Evaluate where it is due at this step."""
        started = time.perf_counter()
        settings = self.settings
        if step % settings.curve_every == 0 or step == settings.steps:
            point = curve_point(
                policy, self._development, self.scorer, score_mean=self.score_mean,
                count=settings.development_samples, seed=settings.seed,
            )  # fmt: skip
            self.curve.append({"step": step, **point})
            self.report(self.curve[-1])
        for name, due in (("start", 0), ("early", settings.early), ("end", settings.steps)):
            if step == due:
                self.held_out[name] = {"step": step, **self._evaluate(policy)}
        self.seconds += time.perf_counter() - started

    def _evaluate(self, policy: PreTrainedModel) -> dict[str, Any]:
        """One entry a tag: ``V`` and ``H`` prompts are different questions and are never averaged."""
        by_tag: dict[str, list[Item]] = {}
        for item in self._held_out:
            by_tag.setdefault(item.tag, []).append(item)
        return {
            tag: full_evaluation(
                policy, items, self.scorer, score_mean=self.score_mean,
                count=self.settings.held_out_samples, seed=self.settings.seed,
            )
            for tag, items in by_tag.items()
        }  # fmt: skip


def run(settings: RunSettings, models: Prepared, result: Path, *, report: Report = lambda event: None) -> dict[str, Any]:
    """Train one policy with one rule, and write the result file, whole or not at all.

    Args:
        settings: everything the run depends on.
        models: the starting policy and the reward model of its seed.
        result: the JSON file to write.
        report: hears of every point of the learning curve as it comes.

    Returns:
        What was written.
    """
    require("trl", extra="lab", purpose="hero lab")
    import torch
    from transformers.utils import logging as transformers_logging

    torch.set_num_threads(1)
    transformers_logging.disable_progress_bar()
    started = time.perf_counter()
    facts = read_facts(models.reward_model)
    observer = Observer(settings, load_scorer(models.reward_model), facts["score_mean"], report)
    with tempfile.TemporaryDirectory(prefix="hero-lab-") as scratch:
        history = _train(settings, load_policy(models.policy), observer, scratch)
    content = {
        "format": FORMAT,
        "digest": settings.digest,
        "settings": asdict(settings),
        "versions": versions(),
        "policy": read_facts(models.policy),
        "reward_model": facts,
        "curve": observer.curve,
        "held_out": observer.held_out,
        "training": history,
        "timing": {
            "total_s": time.perf_counter() - started,
            "evaluation_s": observer.seconds,
            "process_cpu_s": time.process_time(),
        },
    }
    content = _without_nan(content)
    write_json(result, content)
    return content


def _train(settings: RunSettings, policy: PreTrainedModel, observer: Observer, scratch: str) -> list[dict[str, Any]]:
    """The log of the trainer; ``policy`` is trained in place."""
    from hero_rl.engines.trl import HeroTrainer
    from hero_rl.pipeline import HybridReward

    rule = settings.build_rule()
    reward = HybridReward(StrictVerifier(), observer.scorer if rule.needs_scores else None, rule)
    trainer = HeroTrainer(
        model=policy,
        args=_arguments(settings, scratch),
        train_dataset=_training_data(settings),
        reward=reward,
        processing_class=build_tokenizer(),
        callbacks=[_callback(settings, observer)],
    )
    observer.look(policy, 0)
    trainer.train()
    return [entry for entry in trainer.state.log_history if "loss" in entry]


def _training_data(settings: RunSettings) -> Dataset:
    from datasets import Dataset

    items = build_items("train", settings.regime, seed=settings.seed)
    return Dataset.from_dict({"prompt": [item.prompt for item in items], "reference": [item.reference for item in items]})


def _arguments(settings: RunSettings, scratch: str) -> GRPOConfig:
    """TRL's configuration: one on-policy update a step, everything that costs time and changes nothing switched off."""
    from trl.trainer.grpo_config import GRPOConfig

    return GRPOConfig(
        output_dir=scratch,
        max_steps=settings.steps,
        per_device_train_batch_size=settings.prompts_per_step * settings.group_size,
        num_generations=settings.group_size,
        max_completion_length=MAX_RESPONSE_LENGTH,
        temperature=1.0,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="constant",
        weight_decay=0.0,
        adam_beta2=0.999,
        max_grad_norm=1.0,
        beta=settings.kl,
        scale_rewards=settings.scale,
        seed=settings.seed,
        bf16=False,
        use_cpu=True,
        gradient_checkpointing=False,
        dataloader_pin_memory=False,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        logging_steps=settings.curve_every,
    )


def _callback(settings: RunSettings, observer: Observer) -> TrainerCallback:
    import torch
    from transformers import TrainerCallback

    class Pacer(TrainerCallback):
        """Gives every step its own random state, the same for all rules, and looks at the policy after it."""

        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            torch.manual_seed(settings.seed * 1_000_003 + state.global_step)

        def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
            observer.look(model, state.global_step)

    return Pacer()


def versions() -> dict[str, str]:
    """Versions of what a result depends on, and the processor architecture."""
    found = {name: metadata.version(name) for name in _VERSIONED}
    return {"python": platform.python_version(), "machine": platform.machine(), **found}


def _without_nan(value: Any) -> Any:
    """The same with None for NaN, which JSON does not have."""
    if isinstance(value, Mapping):
        return {key: _without_nan(entry) for key, entry in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_without_nan(entry) for entry in cast("list[Any]", value)]
    return None if isinstance(value, float) and math.isnan(value) else value


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write beside the file and rename, so that the file is whole or absent.

    Not ``hero_rl.files.write_text``: two arms of equal settings may write one result at once, so each process has its own name.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text(json.dumps(content, allow_nan=False), encoding="utf-8")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
