"""``HeroTrainer``: TRL's ``GRPOTrainer`` with a ``HybridReward``, for what a reward function (``HeroReward``) cannot do.

It checks settings and data before training, refuses what would bypass the rule, logs the shaped rewards, gives prompt weights
beside any normalisation, and gives advantages of tokens where the rule shapes steps.

One method of TRL is extended, and it calls ``super()``: ``_generate_and_score_completions``, in which the advantages are those
of the batch. It is private to TRL, so its signature is checked when this module is imported. ``_generate`` and
``training_step`` are only timed. Losses, KL, generation, logging and checkpoints are TRL's own.
"""

from __future__ import annotations

import inspect
import math
import resource
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast, get_args

import numpy as np
import torch
import trl
from datasets import Dataset
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer, RewardFunc

from hero_rl.engines.completions import no_reference, to_rollouts
from hero_rl.engines.exchange import Exchange, Share, logged_as
from hero_rl.engines.hero_reward import end_tokens, log_table, save_problem
from hero_rl.engines.rollout_files import PROMPTS, write_rollouts
from hero_rl.engines.trl.run_folder import complete_card
from hero_rl.errors import InputError, SettingsWarning, check_choice
from hero_rl.models.known import resolve
from hero_rl.models.loading import fast_dtype
from hero_rl.pipeline import HybridReward
from hero_rl.rewards import Scale, check_scale
from hero_rl.rewards.scale import KlUnit, ScaleEstimate

_EXTENDED = {"_generate_and_score_completions": ("self", "inputs"), "_log_completion_extra": ("self", "column", "values")}
"""Methods that are private to TRL, with their parameters; the second is where ``log_extra`` of reward functions leads."""
for _name, _parameters in _EXTENDED.items():
    if tuple(inspect.signature(getattr(GRPOTrainer, _name, lambda: None)).parameters) != _parameters:
        raise ImportError(
            f"HeroTrainer extends GRPOTrainer.{_name}({', '.join(_parameters)}), and TRL {trl.__version__} has it otherwise or "
            "not at all. TRL from 1.6 on has it; for earlier and other releases use hero_rl.HeroReward as a reward function"
        )


@dataclass
class HeroConfig(GRPOConfig):
    """TRL's ``GRPOConfig`` for any device: bfloat16 on a GPU that has it, else float32, where TRL refuses a CPU by default."""

    kl_unit: KlUnit = "reward"
    """Unit of ``beta``. ``"oracle"``: true reward; it is multiplied by the estimated scale of the advantages, step by step."""
    verifier_recall: float | None = None
    """Share of correct responses that the verifier accepts, for that estimate; None: the rule's own, or assumed high."""

    def __post_init__(self) -> None:
        if self.bf16 is None and not self.fp16:
            self.bf16 = fast_dtype(device="cpu" if self.use_cpu else None) == "bfloat16"
        super().__post_init__()


class HeroTrainer(GRPOTrainer):
    """A ``GRPOTrainer`` trained on a ``HybridReward``.

    The dataset needs the columns ``prompt`` (text or conversation) and ``reference``; ``problem`` is optional; every other
    column reaches verifier and reward model in ``Rollout.extra``.

    Logged beside TRL's own metrics, under ``hero/``: ``Batch.summary`` and, of the main process alone, the counts of a cascade
    or a cache. Without that prefix and of the main process, too: seconds by part and tokens sampled per second (``time/``), and
    ``memory/peak_gib``. A rule that shapes steps adds the numbers of ``contrib.process.shape_steps``; all else, the table
    included, is about the advantages of responses. The completions table has the raw ``verdict``, ``reason`` and ``rm_score``
    of every row.

    The rule's state is kept in the trainer state, so every checkpoint holds it and a resumed run continues it exactly. It is
    computed from gathered rows, so it is the same on every process. Evaluation reads it and never changes it.

    Reference: HERO (arXiv 2510.07242). Departs from the paper: weights multiply advantages, not rewards.
    """

    def __init__(
        self, model: Any, reward: HybridReward, args: GRPOConfig | None = None, *, rollouts: int = PROMPTS, **kwargs: Any
    ) -> None:
        """Make a ``GRPOTrainer`` with one ``reward`` in place of its reward functions.

        Args:
            model: a model, its id, or a path, as in ``GRPOTrainer``.
            reward: verifier, reward model and rule. The caller closes it.
            args: TRL's configuration; by default one with the rule's own normalisation. ``scale_rewards="group"``, TRL's own
                default, undoes HERO's bands and gives a ``SettingsWarning``.
            rollouts: prompts per step whose rollouts are written to the folder ``rollouts`` of the run; 0: none.
            kwargs: passed to ``GRPOTrainer`` (``train_dataset``, ``processing_class``, ...).

        Raises:
            InputError: ``reward_funcs``, ``reward_weights`` or an aggregation given, an environment with a reward of its own,
                or data without references.
        """
        if args is None:
            args = HeroConfig(output_dir="runs/hero", scale_rewards=reward.rule.scale)
        _check_args(args, kwargs, reward)
        if reward.verifier is not None and kwargs.get("rollout_func") is None and kwargs.get("environment_factory") is None:
            _check_data({name: kwargs.get(name) for name in ("train_dataset", "eval_dataset")})
        self.reward, self._rollouts = reward, rollouts
        if (recall := getattr(args, "verifier_recall", None)) is not None:
            reward.scale = ScaleEstimate.of(reward.rule, recall=recall)
        self._share: Share
        self._sampling_s = self._batches_s = self._update_s = 0.0
        self._local_steps = None
        if reward.rule.steps is not None:
            from hero_rl.contrib.process import LocalSteps

            self._local_steps = LocalSteps(reward, lambda: self._tokenizer)
        self._exchange = Exchange(reward, steps=self._local_steps)
        model = resolve(model) if isinstance(model, str) else model
        super().__init__(model=model, reward_funcs=[cast(RewardFunc, self.shaped)], args=args, **kwargs)
        if len(self.reward_funcs) != 1:
            raise InputError(
                f"the environment brings a reward of its own ({', '.join(self.reward_func_names[1:])}.get_reward), which would "
                "bypass the rule; remove that method and judge the completion in a Verifier"
            )

    def shaped(
        self,
        prompts: list[Any],
        completions: list[Any],
        completion_ids: list[list[int]],
        log_extra: Callable[[str, list[Any]], None],
        **columns: Any,
    ) -> list[float]:
        """Return the shaped rewards of this process's rows, NaN where the rule leaves one out: TRL's one reward function."""
        needs_reference = self.reward.verifier is not None
        self._share = self._exchange.share(
            lambda: to_rollouts(
                prompts, completions, completion_ids, columns, end_tokens(self), needs_reference=needs_reference
            ),
            len(completions), self._group_size, self.state,
            training=self._training, scale=cast(Scale, self.scale_rewards), token_ids=completion_ids,
        )  # fmt: skip
        log_table(log_extra, self._share.signals)
        if self._sampling_s:
            tokens = sum(map(len, completion_ids))
            self._log({"time/sampling": self._sampling_s, "time/sampled_tokens_per_s": tokens / self._sampling_s})
        if self._training:
            folder = cast(str, self.args.output_dir)
            write_rollouts(folder, self._share, step=self.state.global_step + 1, prompts=self._rollouts)
        return self._share.batch.rewards[self._share.mine].tolist()

    def _generate(self, *args: Any, **kwargs: Any) -> Any:
        """Return TRL's completions, whose seconds and tokens are logged."""
        start = time.perf_counter()
        output = super()._generate(*args, **kwargs)
        self._sampling_s = time.perf_counter() - start
        return output

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Return TRL's loss; the seconds of an update without those of its batch, and the peak of memory, are logged."""
        start, before = time.perf_counter(), self._batches_s
        loss = super().training_step(*args, **kwargs)
        last = self.accelerator.sync_gradients
        if last and torch.cuda.is_available():
            torch.cuda.synchronize()
        self._update_s += time.perf_counter() - start - (self._batches_s - before)
        if last:
            self._log({"time/forward_backward": self._update_s, "memory/peak_gib": memory_peak_gib()})
            self._update_s = 0.0
        return loss

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Write TRL's model card, with the names of local models in it."""
        super().create_model_card(*args, **kwargs)
        complete_card(self)

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        """Return TRL's batch with our advantages, shape (B, T) where the rule shapes steps, else (B,)."""
        start = time.perf_counter()
        output = super()._generate_and_score_completions(inputs)
        self._batches_s += time.perf_counter() - start
        batch, mine = self._share.batch, self._share.mine
        if self._training and _in_true_reward(self.args):
            self.beta = cast(GRPOConfig, self.args).beta * batch.scale.kl_factor  # TRL's loss multiplies the KL term by it
            self._log({"kl_coefficient": self.beta})
        advantages = batch.advantages[mine]
        self._log_batch(self._share)
        if self._local_steps is not None:
            width = output["completion_ids"].shape[1]
            advantages, numbers = self._local_steps.shape(batch, self._share.steps, mine, width)
            self._log(numbers)
        output["advantages"] = torch.as_tensor(advantages, dtype=output["advantages"].dtype).to(output["advantages"].device)
        return output

    @property
    def _group_size(self) -> int:
        return cast(int, self.num_generations if self._training else self.num_generations_eval)

    @property
    def _training(self) -> bool:
        """False in evaluation."""
        return cast(torch.nn.Module, self.model).training

    def _log_batch(self, share: Share) -> None:
        """Log the metrics of the whole batch, the same on every process, and put our advantages into the table."""
        self._log(share.metrics)
        # The table keeps the last rows of one generation batch: fewer than a large evaluation batch, more than a small one.
        table = self._logs["advantages"]
        for _ in range(min(len(share.batch.advantages), len(table))):
            table.pop()
        table.extend(share.batch.advantages.astype(np.float32).tolist())

    def _log(self, numbers: Mapping[str, float]) -> None:
        metrics = self._metrics["train" if self._training else "eval"]
        for name, value in numbers.items():
            metrics[logged_as(name)].append(value)
        # TRL logs a metric without any value as None, of which TensorBoard warns at every step.
        for name in [name for name, values in metrics.items() if all(map(math.isnan, values))]:
            del metrics[name]


def memory_peak_gib() -> float:
    """Return the most memory that tensors took on the GPU, or without one this process altogether."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)


def _check_args(args: GRPOConfig, kwargs: Mapping[str, Any], reward: HybridReward) -> None:
    """Refuse settings that would bypass the rule; warn of those that would undo it."""
    if "reward_funcs" in kwargs:
        raise InputError("HeroTrainer takes one `reward`, not `reward_funcs`; put your signals into a Verifier and a Scorer")
    for name, unset in (("reward_weights", None), ("multi_objective_aggregation", "sum_then_normalize")):
        if (value := getattr(args, name)) != unset:
            raise InputError(
                f"{name}={value!r} has no meaning here: the rule {reward.rule.name!r} combines the signals to one reward; "
                "leave it unset (for GDPO use the rule gdpo() with scale_rewards='batch')"
            )
    if args.remove_unused_columns:
        raise InputError("remove_unused_columns=True would drop the column 'reference'; leave it at False")
    _check_kl_unit(args, reward)
    problems = [check_scale(reward.rule, cast(Scale, args.scale_rewards)), save_problem(args, reward)]
    if reward.rule.steps is not None and args.importance_sampling_level == "sequence":
        problems.append(
            "importance_sampling_level='sequence' has one ratio for all tokens of a response, which takes the differences "
            f"between its steps out of the gradient again: gamma={reward.rule.steps.gamma:g} has no effect. Use 'token'"
        )
    for problem in filter(None, problems):
        warnings.warn(problem, SettingsWarning, stacklevel=3)


def _in_true_reward(args: object) -> bool:
    return getattr(args, "kl_unit", "reward") == "oracle"


def _check_kl_unit(args: GRPOConfig, reward: HybridReward) -> None:
    """Refuse ``kl_unit="oracle"`` where there is no KL coefficient, no verdict to estimate from, or a loss that ignores it."""
    check_choice("kl_unit", getattr(args, "kl_unit", "reward"), get_args(KlUnit))
    if not _in_true_reward(args):
        return
    if not args.beta:
        raise InputError("kl_unit='oracle' is a unit of the KL coefficient, and beta=0: set beta, or leave kl_unit out")
    if reward.verifier is None:
        raise InputError("kl_unit='oracle' estimates the scale of the advantages from verdicts; give a verifier")
    if args.use_liger_kernel:
        raise InputError(
            "kl_unit='oracle' changes beta while training, and a fused loss may keep the first; unset use_liger_kernel"
        )


def _check_data(datasets: Mapping[str, Any]) -> None:
    """Refuse data without references."""
    for name, data in datasets.items():
        if isinstance(data, Mapping):
            _check_data({f"{name}[{key!r}]": part for key, part in data.items()})
        elif getattr(data, "column_names", None) is None:
            continue  # None, or an iterable dataset that does not know its columns
        elif "reference" not in data.column_names:
            raise InputError(no_reference(data.column_names, where=name))
        elif isinstance(data, Dataset) and data.data.column("reference").null_count and None in (rows := data["reference"][:]):
            raise InputError(f"{name}: row {rows.index(None)} has an empty (null) 'reference'; fill in or drop such rows")
