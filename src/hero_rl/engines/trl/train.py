"""A run from a recipe: cold start (SFTTrainer), then reinforcement learning (HeroTrainer), in one resumable folder.

Everything that can be wrong with the input is looked at before the folder is made. What this is not: no training loop of its
own, and no mapping of names to verifiers and rules (``cli`` does that and hands over the objects).
"""

from __future__ import annotations

import gc
import logging
import os
import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from hero_rl.engines.exchange import leave_processes
from hero_rl.engines.trl import run_folder
from hero_rl.engines.trl.arguments import adapter_config, grpo_config, grpo_given, init_kwargs, sft_config, sft_given
from hero_rl.engines.trl.problems import Problems, load_cold_start, load_eval_problems, load_problems
from hero_rl.engines.trl.recipe import Loaded
from hero_rl.engines.trl.stopping import saving_at_sigterm
from hero_rl.errors import InputError, require
from hero_rl.files import check_empty
from hero_rl.models.known import resolve
from hero_rl.pipeline import HybridReward
from hero_rl.rewards import RewardRule

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase, Trainer
    from trl.trainer.grpo_config import GRPOConfig
    from trl.trainer.sft_config import SFTConfig

ReportFn: TypeAlias = Callable[[str, int, int, Mapping[str, float]], None]
"""Called with the stage (``"sft"`` or ``"train"``), steps done, steps in total, and what was logged (often nothing)."""

logger = logging.getLogger(__name__)


class Finished(NamedTuple):
    """A run that ended as it should."""

    folder: Path
    step: int
    seconds: float
    train: dict[str, object]
    """The last value of each training metric."""
    evaluation: dict[str, object]


class _Inputs(NamedTuple):
    """Data, tokenizer and arguments, read before the run folder exists."""

    tokenizer: PreTrainedTokenizerBase
    problems: Problems
    evaluation: Problems | None
    cold_start: Dataset | None
    args: GRPOConfig
    sft_args: SFTConfig | None
    adapter: Any
    """peft's configuration; None: the weights themselves are trained."""


def train(loaded: Loaded, folder: Path, *, resume: bool, report: ReportFn) -> Finished:
    """Train from a recipe.

    Args:
        loaded: the recipe.
        folder: of the run. A new run needs it absent or empty.
        resume: go on from the last checkpoint in ``folder``.
        report: is told of every step, on the main process.

    Raises:
        InputError: something in recipe, data, models or folder is wrong; a folder that was new is then not left behind.
        SignalError: verifier or reward model failed on too much of a batch.
    """
    require("trl", extra="train", purpose="hero train")
    from transformers import set_seed

    main, rule = run_folder.is_main_process(), loaded.reward.rule
    progress = run_folder.find_progress(folder, loaded.resolved()) if resume else run_folder.NEW
    if main and not resume:
        check_empty(folder, "a new run", "run.json")
    inputs = _read_inputs(loaded, rule, folder)
    done = int(progress.checkpoint.name.rpartition("-")[2]) if progress.checkpoint else 0
    if progress.finished and 0 < inputs.args.max_steps <= done:
        raise run_folder.already_finished(folder)
    if progress.changed:
        logger.warning("%s: goes on with other values of %s", folder, ", ".join(progress.changed))
    start = time.monotonic()
    set_seed(loaded.recipe.seed)  # of a new adapter; TRL sets it again once the policy is there
    with loaded.reward.make() as reward:  # once the devices of this process are known
        try:
            if main:
                run_folder.write_start(folder, loaded.resolved(), _details(inputs, rule))
            policy = _cold_start(loaded, inputs, folder, progress, report)
            trainer = _hero_trainer(loaded, inputs, policy, reward, report)
        except InputError:
            if main and not resume:
                run_folder.remove_unstarted(folder)
            raise
        with saving_at_sigterm(trainer):
            trainer.train(resume_from_checkpoint=str(progress.checkpoint) if progress.checkpoint else None)
    trainer.save_model(str(folder / "final"))
    finished = Finished(
        folder,
        trainer.state.global_step,
        time.monotonic() - start,
        run_folder.last_values(trainer.state.log_history, evaluation=False),
        run_folder.last_values(trainer.state.log_history, evaluation=True),
    )
    if main:
        metrics = {
            "step": finished.step, "seconds": round(finished.seconds, 1), "train": finished.train, "eval": finished.evaluation
        }  # fmt: skip
        run_folder.write_end(folder, metrics)
    leave_processes()
    return finished


def _read_inputs(loaded: Loaded, rule: RewardRule, folder: Path) -> _Inputs:
    """Return everything but models' weights; raises InputError with the place in the recipe that is wrong."""
    recipe = loaded.recipe
    if recipe.vllm is not None and find_spec("vllm") is None:
        raise InputError(
            f"{loaded.where('vllm')}: vllm is not installed: pip install 'trl[vllm]' (on a GPU), or sample with transformers, "
            "many times slower: --set vllm=false"
        )
    given, adapter = grpo_given(loaded), adapter_config(recipe.policy)
    sft_args = sft_config(loaded, recipe.sft, sft_given(loaded), folder / "sft") if recipe.sft else None
    args = grpo_config(loaded, given, rule, folder)
    tokenizer = _tokenizer(loaded)
    problems, evaluation = load_problems(loaded, tokenizer), load_eval_problems(loaded, tokenizer)
    cold_start = load_cold_start(loaded, recipe.sft, tokenizer) if recipe.sft else None
    per_generation = int(args.generation_batch_size or 0) // int(args.num_generations or 1)  # both are set by TRL
    if len(problems.dataset) < per_generation:
        raise InputError(
            f"{loaded.where('data', 'path')}: {len(problems.dataset)} problems are fewer than the {per_generation} of one "
            "generation batch; give more problems, or make the batch smaller ([batch] or trl.generation_batch_size)"
        )
    return _Inputs(tokenizer, problems, evaluation, cold_start, args, sft_args, adapter)


def _tokenizer(loaded: Loaded) -> PreTrainedTokenizerBase:
    from hero_rl.models.loading import load_config, refuse_adapter
    from hero_rl.models.tokenizing import load_tokenizer

    policy = loaded.recipe.policy
    name = loaded.where("policy", "model")
    source = resolve(policy.model)
    refuse_adapter(f"{name}: policy.model", source)
    load_config(f"{name}: policy.model", source, revision=policy.revision or None, trust_remote_code=policy.trust_remote_code)
    tokenizer = load_tokenizer(
        f"{name}: [policy]", policy.tokenizer or source, revision=policy.revision or None,
        trust_remote_code=policy.trust_remote_code, padding_side="left",
    )  # fmt: skip
    if policy.eos_token:
        if policy.eos_token not in tokenizer.get_vocab():
            raise InputError(f"{loaded.where('policy', 'eos_token')}: the tokenizer has no token {policy.eos_token!r}")
        tokenizer.eos_token = policy.eos_token
    if tokenizer.eos_token is None:
        raise InputError(f"{name}: the tokenizer has no end-of-sequence token, so no response would end; set policy.eos_token")
    return tokenizer


def _details(inputs: _Inputs, rule: RewardRule) -> dict[str, object]:
    evaluation = inputs.evaluation
    return {
        "rule": {"name": rule.name, **rule.settings},
        "scale_rewards": inputs.args.scale_rewards,
        "device": str(inputs.args.device),
        "problems": len(inputs.problems.dataset),
        "problems_too_long": inputs.problems.too_long,
        "eval_problems": len(evaluation.dataset) if evaluation else 0,
        "cold_start_examples": len(inputs.cold_start) if inputs.cold_start is not None else 0,
    }


def _cold_start(loaded: Loaded, inputs: _Inputs, folder: Path, progress: run_folder.Progress, report: ReportFn) -> str:
    """Return the model to start reinforcement learning from: a folder or id; with ``adapter`` that of the trained adapter."""
    final = folder / "sft" / "final"
    if inputs.sft_args is None:
        return resolve(loaded.recipe.policy.model)
    if progress.sft_done or progress.checkpoint:
        return str(final)
    from trl.trainer.sft_trainer import SFTTrainer

    trainer = _build(
        loaded, SFTTrainer, model=resolve(loaded.recipe.policy.model), args=inputs.sft_args,
        train_dataset=inputs.cold_start, processing_class=inputs.tokenizer, peft_config=inputs.adapter,
    )  # fmt: skip
    _report_with(trainer, "sft", report)
    with saving_at_sigterm(trainer):
        trainer.train(resume_from_checkpoint=str(progress.sft_checkpoint) if progress.sft_checkpoint else None)
    run_folder.complete_card(trainer)
    partial = final.with_name("final.partial")
    trainer.save_model(str(partial))
    if trainer.is_world_process_zero():
        os.replace(partial, final)
    trainer.accelerator.wait_for_everyone()
    del trainer
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return str(final)


def _hero_trainer(loaded: Loaded, inputs: _Inputs, policy: str, reward: HybridReward, report: ReportFn) -> Any:
    from hero_rl.engines.trl.trainer import HeroTrainer

    goes_on = inputs.adapter is not None and inputs.sft_args is not None
    trainer = _build(
        loaded, HeroTrainer, model=_adapted(loaded, inputs, policy) if goes_on else policy, reward=reward, args=inputs.args,
        rollouts=loaded.recipe.rollouts,
        train_dataset=inputs.problems.dataset, eval_dataset=inputs.evaluation.dataset if inputs.evaluation else None,
        processing_class=inputs.tokenizer, peft_config=None if goes_on else inputs.adapter,
    )  # fmt: skip
    _report_with(trainer, "train", report)
    return trainer


def _adapted(loaded: Loaded, inputs: _Inputs, folder: str) -> Any:
    """Return the policy with the adapter of the cold start, which reinforcement learning goes on training.

    So ``final`` is one adapter to the model that the recipe names. TRL keeps a copy as the reference of the KL term.
    """
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    policy = loaded.recipe.policy
    model = _build(
        loaded, AutoModelForCausalLM.from_pretrained,
        pretrained_model_name_or_path=resolve(policy.model), **init_kwargs(policy),
    )  # fmt: skip
    inputs.args.model_init_kwargs = None  # the model is loaded, and TRL would say that they are of no use
    return PeftModel.from_pretrained(model, folder, is_trainable=True)


def _build(loaded: Loaded, trainer_class: Any, **arguments: Any) -> Any:
    """Return a trainer; raises InputError for what TRL refuses (missing weights, arguments that exclude one another)."""
    try:
        return trainer_class(**arguments)
    except InputError:
        raise
    except (OSError, ValueError, ImportError) as error:
        raise InputError(f"{loaded.where('policy', 'model')}: {trainer_class.__name__} refuses this: {error}") from error


def _report_with(trainer: Trainer, stage: str, report: ReportFn) -> None:
    """Tell ``report`` instead of printing; TRL's own bar would print every log entry to stdout."""
    from transformers import PrinterCallback, ProgressCallback, TrainerCallback

    class Reporter(TrainerCallback):
        """Keeps what is logged, and passes it and the steps on."""

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.is_world_process_zero:
                run_folder.write_history(Path(args.output_dir), state.log_history, mode="w")
                report(stage, state.global_step, state.max_steps, {})

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.is_world_process_zero:
                report(stage, state.global_step, state.max_steps, {})

        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
            if state.is_world_process_zero:
                run_folder.write_history(Path(args.output_dir), state.log_history[-1:], mode="a")
                report(stage, state.global_step, state.max_steps, logs or {})

    for shown in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(shown)
    trainer.add_callback(Reporter())
