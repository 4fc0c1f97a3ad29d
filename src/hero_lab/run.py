"""One run of the lab: one rule, one seed, TRL's GRPO through ``HeroTrainer``; one JSON file, and the policy beside it."""

from __future__ import annotations

import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hero_lab.cold_start import common_arguments
from hero_lab.eval_callback import Observer, Report
from hero_lab.families import FAMILIES
from hero_lab.models import build_tokenizer, load_policy
from hero_lab.prepare import Prepared
from hero_lab.results import versions, write_json
from hero_lab.settings import FORMAT, RunSettings
from hero_lab.signals import make_yardstick
from hero_lab.task import build_items
from hero_rl.errors import require
from hero_rl.files import replacing
from hero_rl.report import json_values

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from hero_rl.engines.trl import HeroConfig


def run(settings: RunSettings, models: Prepared, result: Path, *, report: Report = lambda event: None) -> dict[str, Any]:
    """Train one policy with one rule, tell ``report`` of its curve, and return the result, written whole or not at all."""
    require("trl", extra="lab", purpose="hero lab")
    import torch
    from transformers.utils import logging as transformers_logging

    torch.set_num_threads(1)
    transformers_logging.disable_progress_bar()
    started = time.perf_counter()
    facts = models.facts()
    observer = Observer(settings, make_yardstick(settings, models, facts), report)
    with tempfile.TemporaryDirectory(prefix="hero-lab-") as scratch:
        policy, history = _train(settings, models, observer, Path(scratch))
        policy.save_pretrained(result.with_suffix(".policy"))
        if files := sorted(Path(scratch).glob("rollouts/*.parquet")):
            _keep_rollouts(files, result.with_suffix(".parquet"))
    content = {
        "format": FORMAT, "digest": settings.digest, "settings": asdict(settings), "versions": versions(), **facts,
        "curve": observer.curve, "held_out": observer.held_out, "training": history,
        "timing": {
            "total_s": time.perf_counter() - started, "evaluation_s": observer.seconds, "process_cpu_s": time.process_time(),
        },
    }  # fmt: skip
    content = json_values(content)
    write_json(result, content)
    return content


def _train(
    settings: RunSettings, models: Prepared, observer: Observer, scratch: Path
) -> tuple[PreTrainedModel, list[dict[str, Any]]]:
    """Train, and return the policy and the log of the trainer."""
    from datasets import Dataset

    from hero_rl.engines.trl import HeroTrainer

    policy = load_policy(models.policy)
    items = build_items("train", settings.regime, seed=settings.seed, family=observer.yardstick.family)
    data = {"prompt": [item.prompt for item in items], "reference": [item.reference for item in items]}
    trainer = HeroTrainer(
        model=policy,
        args=_arguments(settings, str(scratch)),
        train_dataset=Dataset.from_dict(data),
        reward=observer.yardstick.reward,
        rollouts=4,
        processing_class=build_tokenizer(observer.yardstick.family),
        callbacks=[observer],
    )
    observer.look(policy, 0)
    trainer.train()
    return policy, [entry for entry in trainer.state.log_history if "loss" in entry]


def _keep_rollouts(files: list[Path], target: Path) -> None:
    """Put the rollouts that the trainer kept of each step into one file, for ``hero view``."""
    pyarrow, parquet = (require(name, extra="lab", purpose="hero lab") for name in ("pyarrow", "pyarrow.parquet"))
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target, sync=False) as partial:
        parquet.write_table(pyarrow.concat_tables(map(parquet.read_table, files), promote_options="permissive"), partial)


def _arguments(settings: RunSettings, scratch: str) -> HeroConfig:
    """TRL's configuration: one on-policy update per step."""
    from hero_rl.engines.trl import HeroConfig

    return HeroConfig(
        **common_arguments(HeroConfig), kl_unit=settings.kl_unit if settings.kl else "reward",
        verifier_recall=settings.kl_recall or settings.verifier_recall or None,
        output_dir=scratch, max_steps=settings.steps, seed=settings.training_seed,
        per_device_train_batch_size=settings.prompts_per_step * settings.group_size, num_generations=settings.group_size,
        max_completion_length=FAMILIES[settings.task].response_length, temperature=1.0, learning_rate=settings.learning_rate,
        lr_scheduler_type="constant", adam_beta2=0.999, max_grad_norm=1.0, beta=settings.kl, scale_rewards=settings.scale,
        logging_steps=settings.curve_every,
    )  # fmt: skip
