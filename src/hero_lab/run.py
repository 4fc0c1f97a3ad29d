"""One run of the lab: one rule, one seed, TRL's GRPO through ``HeroTrainer``, and one JSON file with what came out."""

from __future__ import annotations

import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hero_lab.cold_start import no_recomputation
from hero_lab.eval_callback import Observer, Report, start_file
from hero_lab.evaluate import Yardstick
from hero_lab.families import FAMILIES
from hero_lab.learned_verifier import load_learned_verifier
from hero_lab.models import build_tokenizer, load_policy
from hero_lab.noise import ChanceScorer, SumScorer
from hero_lab.prepare import Prepared, load_scorer
from hero_lab.refresh import Refresher
from hero_lab.results import versions, without_nan, write_json
from hero_lab.settings import FORMAT, RunSettings
from hero_lab.step_scorer import PrefixScorer
from hero_lab.task import AbstainingVerifier, StrictVerifier, build_items
from hero_rl.errors import require
from hero_rl.types import Scorer, Verifier
from hero_rl.verifiers.cascade import NEVER_ASKED, Cascade

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel, TrainerCallback
    from trl.trainer.grpo_config import GRPOConfig

    from hero_rl.pipeline import HybridReward

_NEVER_ASKED = NEVER_ASKED | {"unfinished"}


def run(
    settings: RunSettings,
    models: Prepared,
    result: Path,
    *,
    cache: Path | None = None,
    report: Report = lambda event: None,
) -> dict[str, Any]:
    """Train one policy with one rule, and write the result file, whole or not at all.

    Args:
        settings: everything the run depends on.
        models: the starting policy, the reward model and, where there is one, the learned verifier of its seed.
        result: the JSON file to write.
        cache: folder that keeps the evaluation of the starting policy, which is the same for all rules of a seed; None: it is
            done anew.
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
    facts = models.facts()
    verifier, strict = make_verifier(settings, models), make_strict_verifier(settings)
    plain = settings.verifier == "strict" and settings.verifier_recall is None and not settings.verifier_noise
    yardstick = Yardstick(
        make_scorer(settings, models), _score_mean(settings, facts), strict,
        verifier=None if plain else verifier, family=FAMILIES[settings.task],
    )  # fmt: skip
    start = start_file(cache, settings, models) if cache is not None else None
    observer = Observer(settings, yardstick, report, start=start)
    with tempfile.TemporaryDirectory(prefix="hero-lab-") as scratch:
        history, rounds = _train(settings, load_policy(models.policy), verifier, observer, scratch)
    content = {
        "format": FORMAT,
        "digest": settings.digest,
        "settings": asdict(settings),
        "versions": versions(),
        **facts,
        "curve": observer.curve,
        "held_out": observer.held_out,
        "training": history,
        **({"refresh": rounds} if settings.refresh_every else {}),
        "timing": {
            "total_s": time.perf_counter() - started,
            "evaluation_s": observer.seconds,
            "process_cpu_s": time.process_time(),
        },
    }
    content = without_nan(content)
    write_json(result, content)
    return content


def make_scorer(settings: RunSettings, models: Prepared) -> Scorer:
    """The reward model of a run: of one tier or mixed from two, with or without noise."""
    scorer = load_scorer(models.reward_model)
    if settings.hackable is not None and models.robust_model is not None:
        scorer = SumScorer([(load_scorer(models.robust_model), 1.0 - settings.hackable), (scorer, settings.hackable)])
    if settings.score_noise:
        scorer = SumScorer([(scorer, 1.0), (ChanceScorer(seed=settings.seed), settings.score_noise)])
    return scorer


def _score_mean(settings: RunSettings, facts: dict[str, Any]) -> float:
    """Of the starting policy; that of the noise is 0."""
    if settings.hackable is None:
        return facts["reward_model"]["score_mean"]
    robust, hackable = (facts[name]["score_mean"] for name in ("robust_model", "reward_model"))
    return (1.0 - settings.hackable) * robust + settings.hackable * hackable


def make_strict_verifier(settings: RunSettings) -> StrictVerifier:
    """The strict verifier of a run, with its recall and its false positives."""
    return StrictVerifier(
        family=FAMILIES[settings.task],
        recall=settings.verifier_recall,
        noise=settings.verifier_noise,
        seed=settings.seed,
    )


def make_verifier(settings: RunSettings, models: Prepared) -> Verifier:
    """Who gives the verdicts of training."""
    strict = make_strict_verifier(settings)
    if settings.verifier == "abstaining":
        return AbstainingVerifier(strict, FAMILIES[settings.task])
    if settings.verifier == "strict" or models.learned_verifier is None:
        return strict
    learned = load_learned_verifier(models.learned_verifier)
    if settings.verifier == "learned":
        return learned
    # The strict verifier never abstains. The learned one finds the answer itself, and reads nothing else of the response.
    return Cascade(strict, learned, ask="incorrect", send="response", never_ask=_NEVER_ASKED)


def _train(
    settings: RunSettings, policy: PreTrainedModel, verifier: Verifier, observer: Observer, scratch: str
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The log of the trainer, and the rounds in which signals were refreshed; ``policy`` is trained in place."""
    from hero_rl.engines.trl import HeroTrainer
    from hero_rl.pipeline import HybridReward

    rule = settings.build_rule()
    scorer = observer.yardstick.scorer if rule.needs_scores else None
    if scorer is not None and rule.steps is not None:
        scorer = PrefixScorer(scorer)
    reward = HybridReward(verifier, scorer, rule)
    refresher = None
    if settings.refresh_every:
        refresher = Refresher(settings, observer, policy, reward)
    trainer = HeroTrainer(
        model=policy,
        args=_arguments(settings, scratch),
        train_dataset=_training_data(settings),
        reward=reward,
        processing_class=build_tokenizer(observer.yardstick.family),
        callbacks=[_callback(settings, observer, reward, refresher)],
    )
    if refresher is not None:
        trainer.listeners.append(refresher.hear)
    observer.look(policy, 0)
    trainer.train()
    history = [entry for entry in trainer.state.log_history if "loss" in entry]
    return history, [] if refresher is None else refresher.rounds


def _training_data(settings: RunSettings) -> Dataset:
    from datasets import Dataset

    items = build_items("train", settings.regime, seed=settings.seed, family=FAMILIES[settings.task])
    return Dataset.from_dict({"prompt": [item.prompt for item in items], "reference": [item.reference for item in items]})


def _arguments(settings: RunSettings, scratch: str) -> GRPOConfig:
    """TRL's configuration: one on-policy update a step, everything that costs time and changes nothing switched off."""
    from trl.trainer.grpo_config import GRPOConfig

    return GRPOConfig(
        output_dir=scratch,
        max_steps=settings.steps,
        per_device_train_batch_size=settings.prompts_per_step * settings.group_size,
        num_generations=settings.group_size,
        max_completion_length=FAMILIES[settings.task].response_length,
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
        **no_recomputation(GRPOConfig),
        dataloader_pin_memory=False,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        logging_steps=settings.curve_every,
    )


def _callback(settings: RunSettings, observer: Observer, reward: HybridReward, refresher: Refresher | None) -> TrainerCallback:
    import torch
    from transformers import TrainerCallback

    class Pacer(TrainerCallback):
        """Gives every step its own random state, the same for all rules, and looks at the policy after it."""

        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            torch.manual_seed(settings.seed * 1_000_003 + state.global_step)

        def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
            observer.look(model, state.global_step, rule=_rule_metrics(reward))
            if refresher is not None:
                refresher.after_step(model, state.global_step)

    return Pacer()


def _rule_metrics(reward: HybridReward) -> dict[str, float]:
    """What the rule says of its state: bands, estimates, whatever it keeps; nothing from a rule that keeps nothing."""
    metrics = getattr(reward.state, "metrics", None)
    return {} if metrics is None else metrics()
