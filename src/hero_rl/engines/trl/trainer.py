"""``HeroTrainer``: TRL's ``GRPOTrainer`` with a reward that sees whole groups, two signals and a state.

Two methods are extended, and both call ``super()``:

    _calculate_rewards                 raw signals are measured per process and gathered by TRL; the rule shapes whole groups
    _generate_and_score_completions    the advantages are those of the batch (TRL's own, times the prompt weights), and step
                                       scores may shape those of tokens

Both are private to TRL, so TRL is pinned to one minor release and a test checks their signatures. Losses, KL, generation,
logging and checkpoints are TRL's own.
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, cast

import numpy as np
import torch
from accelerate.utils import gather_object
from datasets import Dataset
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer, RewardFunc

from hero_rl.engines.trl.signals import COLUMNS, RAISED, LocalSignals, Report, common_error, no_reference, report_error
from hero_rl.errors import HeroError, InputError, SettingsWarning
from hero_rl.pipeline import Batch, HybridReward, Signals
from hero_rl.rewards import Scale, check_scale
from hero_rl.types import IntArray, Rollout

logger = logging.getLogger(__name__)

STATE_KEY = "hero_rl"
"""Where the rule's state lives in ``trainer.state.stateful_callbacks``, and so in every checkpoint's trainer_state.json."""


class HeroTrainer(GRPOTrainer):
    """A ``GRPOTrainer`` trained on a ``HybridReward``.

    The dataset needs the columns ``prompt`` (text or conversation) and ``reference``; ``problem`` is optional; every other
    column reaches verifier and reward model in ``Rollout.extra``.

    Logged beside TRL's own metrics, under ``hero/``: ``Batch.summary`` and, of the main process alone, the counts of a cascade
    or a cache. A rule that shapes steps adds the numbers of ``contrib.process.shape_steps``; all else, the table included, is
    about the advantages of responses. The completions table has the raw ``verdict``, ``reason`` and ``rm_score`` of every row.

    The rule's state is kept in the trainer state, so every checkpoint holds it and a resumed run continues it exactly. It is
    computed from gathered rows, so it is the same on every process. Evaluation reads it and never changes it.

    Reference: HERO (arXiv 2510.07242). Departs from the paper: weights multiply advantages, not rewards.
    """

    def __init__(self, model: Any, reward: HybridReward, args: GRPOConfig | None = None, **kwargs: Any) -> None:
        """Make a ``GRPOTrainer`` with one ``reward`` in place of its reward functions.

        Args:
            model: a model, its id, or a path, as in ``GRPOTrainer``.
            reward: verifier, reward model and rule. The caller closes it.
            args: TRL's configuration; by default one with the rule's own normalisation. ``scale_rewards="group"``, TRL's own
                default, undoes HERO's bands and gives a ``SettingsWarning``.
            kwargs: passed to ``GRPOTrainer`` (``train_dataset``, ``processing_class``, ...).

        Raises:
            InputError: ``reward_funcs`` or ``reward_weights`` given, an aggregation that takes the reward columns apart, an
                environment with a reward of its own, or data without references.
        """
        if args is None:
            args = GRPOConfig(output_dir="runs/hero", scale_rewards=reward.rule.scale)
        _check_args(args, kwargs, reward)
        if reward.verifier is not None and kwargs.get("rollout_func") is None and kwargs.get("environment_factory") is None:
            _check_data({name: kwargs.get(name) for name in ("train_dataset", "eval_dataset")})
        self.reward = reward
        self.listeners: list[Callable[[Sequence[Rollout], Signals], None]] = []
        """Called with this process's rollouts and their raw signals in every training batch."""
        self._batch: Batch | None = None
        self._local_steps = None
        if reward.rule.steps is not None:
            from hero_rl.contrib.process import LocalSteps

            self._local_steps = LocalSteps(reward, lambda: self._tokenizer)
        self._steps: list[Any] = []
        self._signals = signals = LocalSignals(reward, lambda: self.eos_token_ids, steps=self._local_steps)
        super().__init__(model=model, reward_funcs=cast(list[RewardFunc], signals.functions), args=args, **kwargs)
        if len(self.reward_funcs) != len(COLUMNS):
            raise InputError(
                f"the environment brings a reward of its own ({', '.join(self.reward_func_names[len(COLUMNS) :])}.get_reward), "
                "which would bypass the rule; remove that method and judge the completion in a Verifier"
            )
        # here and not in args: the caller's configuration can serve another trainer
        self.reward_weights = torch.tensor([1.0] + [0.0] * (len(COLUMNS) - 1))

    def _calculate_rewards(
        self, inputs: list[dict[str, Any]], prompts: list[Any], completions: list[Any], completion_ids_list: list[list[int]]
    ) -> torch.Tensor:
        """Return the columns of ``COLUMNS``, gathered over processes, with the shaped reward filled in, shape (rows, 4)."""
        columns = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        # in this order: Apple GPUs have no float64
        _, verdicts, scores, failures = columns.cpu().double().numpy().T
        if (failures == RAISED).any():
            self._raise_everywhere()
        if self._local_steps is not None:
            self._steps = cast(list[Any], gather_object(self._local_steps.rows))
        self._continue_state()
        self._batch = self.reward.batch(
            Signals(verdicts, scores, failures > 0.0),
            self._groups(len(columns)),
            scale=cast(Scale, self.scale_rewards),
            update=self._training,
        )
        if self._training:
            self._stored[STATE_KEY] = self.reward.state_dict()
            for listen in self.listeners:
                listen(*self._signals.measured)

        columns[:, 0] = torch.as_tensor(self._batch.rewards, dtype=columns.dtype, device=columns.device)
        # TRL leaves a row out of its group only when all of its columns are NaN.
        columns[torch.isnan(columns[:, 0])] = math.nan
        return columns

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        """Return TRL's batch with our advantages, shape (B, T) where the rule shapes steps, else (B,)."""
        output = super()._generate_and_score_completions(inputs)
        assert self._batch is not None
        rank = self.accelerator.process_index
        mine = slice(rank * len(inputs), (rank + 1) * len(inputs))
        advantages = self._batch.advantages[mine]
        self._log_batch(self._batch)
        if self._local_steps is not None:
            width = output["completion_ids"].shape[1]
            advantages, numbers = self._local_steps.shape(self._batch, self._steps, mine, width)
            self._log(numbers)
        output["advantages"] = torch.as_tensor(advantages, dtype=output["advantages"].dtype).to(output["advantages"].device)
        return output

    def _raise_everywhere(self) -> NoReturn:
        """Raise the error of verifier or reward model on all processes; all saw the same rows and come here."""
        error = self._signals.error
        if self.accelerator.num_processes == 1:
            assert error is not None
            raise error
        if error is not None and not isinstance(error, HeroError):
            logger.error("process %d: verifier or reward model raised", self.accelerator.process_index, exc_info=error)
        reports = cast(list[Report | None], gather_object([report_error(error)]))
        raise common_error(reports) from error

    @property
    def _training(self) -> bool:
        """False in evaluation."""
        return cast(torch.nn.Module, self.model).training

    @property
    def _stored(self) -> dict[str, Any]:
        """The part of the trainer state that checkpoints keep unchanged; transformers calls it a list and holds a dict."""
        return cast(dict[str, Any], self.state.stateful_callbacks)

    def _groups(self, rows: int) -> IntArray:
        """Return the group of each gathered row, shape (rows,): by position, because a prompt may be in a batch twice."""
        return np.arange(rows) // cast(int, self.num_generations if self._training else self.num_generations_eval)

    def _continue_state(self) -> None:
        """Restore the rule's state from the trainer state of a resumed checkpoint."""
        stored = self._stored.get(STATE_KEY)
        if stored is not None:
            self.reward.load_state_dict(stored)
        elif self.state.global_step > 0 and self.reward.rule.stateful:
            raise InputError(
                f"the checkpoint of step {self.state.global_step} holds no state of the rule {self.reward.rule.name!r}: it was "
                "not written by HeroTrainer. Start a new run from its weights instead of resuming"
            )

    def _log_batch(self, batch: Batch) -> None:
        """Log the metrics of the whole batch, the same on every process, and put our advantages into the table."""
        self._log(batch.summary | self.reward.take_metrics())
        # The table keeps the last rows of one generation batch: fewer than a large evaluation batch, more than a small one.
        table = self._logs["advantages"]
        for _ in range(min(len(batch.advantages), len(table))):
            table.pop()
        table.extend(batch.advantages.astype(np.float32).tolist())

    def _log(self, numbers: Mapping[str, float]) -> None:
        metrics = self._metrics["train" if self._training else "eval"]
        for name, value in numbers.items():
            metrics[f"hero/{name}"].append(value)
        # TRL logs a metric without any value as None, of which TensorBoard warns at every step.
        for name in [name for name, values in metrics.items() if all(map(math.isnan, values))]:
            del metrics[name]


def _check_args(args: GRPOConfig, kwargs: Mapping[str, Any], reward: HybridReward) -> None:
    """Refuse settings that would bypass the rule; warn of those that would undo it."""
    if "reward_funcs" in kwargs:
        raise InputError("HeroTrainer takes one `reward`, not `reward_funcs`; put your signals into a Verifier and a Scorer")
    if args.reward_weights is not None:
        raise InputError(
            f"reward_weights={args.reward_weights} has no meaning here: the rule {reward.rule.name!r} combines the signals; "
            "leave it unset"
        )
    if args.multi_objective_aggregation != "sum_then_normalize":
        raise InputError(
            f"multi_objective_aggregation={args.multi_objective_aggregation!r} would take the reward columns apart; leave it "
            "at 'sum_then_normalize' (for GDPO use the rule gdpo() with scale_rewards='batch')"
        )
    if args.remove_unused_columns:
        raise InputError("remove_unused_columns=True would drop the column 'reference'; leave it at False")
    problems = [check_scale(reward.rule, cast(Scale, args.scale_rewards))]
    if reward.rule.steps is not None and args.importance_sampling_level == "sequence":
        problems.append(
            "importance_sampling_level='sequence' has one ratio for all tokens of a response, which takes the differences "
            f"between its steps out of the gradient again: gamma={reward.rule.steps.gamma:g} has no effect. Use 'token'"
        )
    cycle = cast(int, args.steps_per_generation) * args.num_iterations / args.gradient_accumulation_steps
    if args.save_strategy == "steps" and reward.rule.stateful and cycle > 1 and args.save_steps % cycle:
        problems.append(
            f"save_steps={args.save_steps} is no multiple of the {cycle:g} optimizer steps that one generation serves: a "
            "checkpoint in mid-cycle makes TRL generate that batch again on resume, which feeds it to the rule's state twice. "
            "Use a multiple"
        )
    for problem in filter(None, problems):
        warnings.warn(problem, SettingsWarning, stacklevel=3)


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
