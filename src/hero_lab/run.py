"""One run of the lab: one rule, one seed, TRL's GRPO through ``HeroTrainer``, and one JSON file with what came out."""

from __future__ import annotations

import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hero_lab.cold_start import common_arguments
from hero_lab.eval_callback import Observer, Report, start_file
from hero_lab.families import FAMILIES
from hero_lab.models import build_tokenizer, load_policy
from hero_lab.prepare import Prepared
from hero_lab.results import versions, write_json
from hero_lab.settings import FORMAT, RunSettings
from hero_lab.signals import make_reward, make_yardstick
from hero_lab.task import build_items
from hero_rl.errors import require
from hero_rl.report import json_values

if TYPE_CHECKING:
    from datasets import Dataset
    from trl.trainer.grpo_config import GRPOConfig

    from hero_lab.refresh import Rounds
    from hero_rl.pipeline import HybridReward


def run(
    settings: RunSettings, models: Prepared, result: Path, *, cache: Path | None = None, report: Report = lambda event: None
) -> dict[str, Any]:
    """Train one policy with one rule; write the result file, whole or not at all, and return what was written.

    ``cache`` keeps the evaluation of the starting policy, which all rules of a seed share; ``report`` hears of the curve.
    """
    require("trl", extra="lab", purpose="hero lab")
    import torch
    from transformers.utils import logging as transformers_logging

    torch.set_num_threads(1)
    transformers_logging.disable_progress_bar()
    started = time.perf_counter()
    facts = models.facts()
    start = start_file(cache, settings, models) if cache is not None else None
    observer = Observer(settings, make_yardstick(settings, models, facts), report, start=start)
    with tempfile.TemporaryDirectory(prefix="hero-lab-") as scratch:
        history, rounds = _train(settings, models, observer, Path(scratch))
    content = {
        "format": FORMAT, "digest": settings.digest, "settings": asdict(settings), "versions": versions(), **facts,
        "curve": observer.curve, "held_out": observer.held_out, "training": history,
        **({"refresh": rounds} if settings.refresh_every else {}),
        "timing": {
            "total_s": time.perf_counter() - started, "evaluation_s": observer.seconds, "process_cpu_s": time.process_time(),
        },
    }  # fmt: skip
    content = json_values(content)
    write_json(result, content)
    return content


def _train(
    settings: RunSettings, models: Prepared, observer: Observer, scratch: Path
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Train, and return the log of the trainer and the rounds in which signals were refreshed."""
    from hero_rl.engines.trl import HeroTrainer

    reward, policy = make_reward(settings, models), load_policy(models.policy)
    pacer = _pacer(settings, observer, reward)
    trainer = HeroTrainer(
        model=policy,
        args=_arguments(settings, str(scratch)),
        train_dataset=_training_data(settings),
        reward=reward,
        processing_class=build_tokenizer(observer.yardstick.family),
        callbacks=[pacer],
    )
    if settings.refresh_every:
        from hero_lab.refresh import Rounds

        pacer.rounds = Rounds(settings, models, observer, trainer, scratch / "rounds")
    observer.look(policy, 0)
    trainer.train()
    history = [entry for entry in trainer.state.log_history if "loss" in entry]
    return history, pacer.rounds.rounds if pacer.rounds else []


def _training_data(settings: RunSettings) -> Dataset:
    from datasets import Dataset

    items = build_items("train", settings.regime, seed=settings.seed, family=FAMILIES[settings.task])
    return Dataset.from_dict({"prompt": [item.prompt for item in items], "reference": [item.reference for item in items]})


def _arguments(settings: RunSettings, scratch: str) -> GRPOConfig:
    """TRL's configuration: one on-policy update per step."""
    from trl.trainer.grpo_config import GRPOConfig

    return GRPOConfig(
        **common_arguments(GRPOConfig), output_dir=scratch, max_steps=settings.steps, seed=settings.seed,
        per_device_train_batch_size=settings.prompts_per_step * settings.group_size, num_generations=settings.group_size,
        max_completion_length=FAMILIES[settings.task].response_length, temperature=1.0, learning_rate=settings.learning_rate,
        lr_scheduler_type="constant", adam_beta2=0.999, max_grad_norm=1.0, beta=settings.kl, scale_rewards=settings.scale,
        logging_steps=settings.curve_every,
    )  # fmt: skip


def _pacer(settings: RunSettings, observer: Observer, reward: HybridReward) -> Any:
    import torch
    from transformers import TrainerCallback

    class Pacer(TrainerCallback):
        """Gives every step its own random state, the same for all rules, and looks at the policy after it."""

        rounds: Rounds | None = None

        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            torch.manual_seed(settings.seed * 1_000_003 + state.global_step)

        def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
            if self.rounds is not None:
                self.rounds.settle()
            observer.look(model, state.global_step, rule=_rule_metrics(reward))

    return Pacer()


def _rule_metrics(reward: HybridReward) -> dict[str, float]:
    """Metrics of the rule's state; none where it keeps no state."""
    metrics = getattr(reward.state, "metrics", None)
    return {} if metrics is None else metrics()
