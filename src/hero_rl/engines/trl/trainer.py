"""``HeroTrainer``: TRL's ``GRPOTrainer`` with a reward that sees whole groups, two signals and a running mean.

Two methods are extended, and both call ``super()``:

    _calculate_rewards                 raw signals are measured per process and gathered by TRL; the rule shapes whole groups
    _generate_and_score_completions    the prompt weights multiply the advantages

Both are private to TRL, so TRL is pinned to one minor release and a test checks their signatures. What this is not: a copy of
any TRL method. Normalisation, losses, KL, generation, logging and checkpoints are TRL's own.
"""

from __future__ import annotations

import logging
import math
import warnings
from typing import Any

import numpy as np
import torch
from trl import GRPOConfig, GRPOTrainer

from hero_rl.engines.trl.signals import COLUMNS, LocalSignals
from hero_rl.errors import InputError, SettingsWarning
from hero_rl.pipeline import HybridReward
from hero_rl.rewards import RuleOutput, batch_summary, check_scale
from hero_rl.types import FloatArray

logger = logging.getLogger(__name__)

STATE_KEY = "hero_rl"
"""Where the rule's state lives in ``trainer.state.stateful_callbacks``, and so in every checkpoint's trainer_state.json."""


class HeroTrainer(GRPOTrainer):
    """A ``GRPOTrainer`` trained on a ``HybridReward``.

    The dataset needs the columns ``prompt`` (text or conversation) and ``reference``; ``problem`` is optional; every other
    column reaches verifier and reward model in ``Rollout.extra``.

    Logged beside TRL's own metrics, under ``hero/``: everything ``batch_summary`` returns, ``sigma_mean``, ``failure_rate``. The
    completions table has the raw ``verdict``, ``reason`` and ``rm_score`` of every row.

    The rule's state is kept in the trainer state, so every checkpoint holds it and a resumed run continues it bit for bit. It is
    computed from gathered rows, so it is the same on every process. Evaluation reads it and never feeds it.

    Reference: HERO (arXiv 2510.07242). Departs from the paper: weights multiply advantages, not rewards.
    """

    def __init__(self, model: Any, reward: HybridReward, args: GRPOConfig | None = None, **kwargs: Any) -> None:
        """As ``GRPOTrainer``, with one ``reward`` in place of its reward functions.

        Args:
            model: what ``GRPOTrainer`` takes: a model, its id, or a path.
            reward: verifier, reward model and rule. The caller closes it.
            args: TRL's configuration; by default one with the rule's own normalisation. ``scale_rewards="group"``, TRL's own
                default, undoes HERO's bands and gives a ``SettingsWarning``.
            kwargs: everything else goes to ``GRPOTrainer`` as it is (``train_dataset``, ``processing_class``, ...).

        Raises:
            InputError: ``reward_funcs`` or ``reward_weights`` given, or an aggregation that takes the reward columns apart.
        """
        if args is None:
            args = GRPOConfig(output_dir="runs/hero", scale_rewards=reward.rule.scale)
        _check_args(args, kwargs, reward)
        args.reward_weights = [1.0] + [0.0] * (len(COLUMNS) - 1)
        self.reward = reward
        self._shaped: RuleOutput | None = None
        self._raw: FloatArray | None = None
        signals = LocalSignals(reward, lambda: self.eos_token_ids)
        super().__init__(model=model, reward_funcs=signals.functions, args=args, **kwargs)

    def _calculate_rewards(
        self, inputs: list[dict[str, Any]], prompts: list[Any], completions: list[Any], completion_ids_list: list[list[int]]
    ) -> torch.Tensor:
        """Shape (all rows, 4): the columns of ``COLUMNS``, gathered over processes, with the shaped reward filled in."""
        columns = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        raw = columns.double().cpu().numpy()
        _, verdicts, scores, failures = raw.T
        self.reward.check_failures(failures)

        training = self.model.training
        group_size = self.num_generations if training else self.num_generations_eval
        # Position, not prompt text, makes a group: the same prompt may stand in a batch twice.
        groups = np.arange(len(raw)) // group_size
        if training:
            self._continue_state()
        self._shaped = self.reward.shape(verdicts, scores, groups, update=training)
        self._raw = raw
        if training:
            self.state.stateful_callbacks[STATE_KEY] = self.reward.state_dict()

        columns[:, 0] = torch.as_tensor(self._shaped.rewards, dtype=columns.dtype, device=columns.device)
        # TRL leaves a row out of its group only when all of its columns are NaN.
        columns[torch.isnan(columns[:, 0])] = math.nan
        return columns

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        """TRL's batch, its advantages multiplied by the prompt weights."""
        output = super()._generate_and_score_completions(inputs)
        assert self._shaped is not None
        weights = torch.as_tensor(self._shaped.weights, dtype=output["advantages"].dtype, device=output["advantages"].device)
        rank = self.accelerator.process_index
        output["advantages"] = output["advantages"] * weights[rank * len(inputs) : (rank + 1) * len(inputs)]
        self._log_batch()
        return output

    def _continue_state(self) -> None:
        """Take the rule's state from the trainer state, where a resumed checkpoint has put it."""
        stored = self.state.stateful_callbacks.get(STATE_KEY)
        if stored is not None:
            self.reward.load_state_dict(stored)
        elif self.state.global_step > 0 and self.reward.rule.stateful:
            raise InputError(
                f"the checkpoint of step {self.state.global_step} holds no state of the rule {self.reward.rule.name!r}: it was not "
                "written by HeroTrainer. Start a new run from its weights instead of resuming"
            )

    def _log_batch(self) -> None:
        """Metrics of the whole batch, the same on every process; and the table's advantages as they are used."""
        assert self._shaped is not None and self._raw is not None
        mode = "train" if self.model.training else "eval"
        _, verdicts, scores, failures = self._raw.T
        rows = len(self._raw)
        logged = list(self._logs["advantages"])
        advantages = np.asarray(logged[-rows:]) * self._shaped.weights[-len(logged) :]
        self._logs["advantages"].extend(advantages.tolist())  # a deque of one generation batch: this replaces the unweighted ones
        if len(advantages) < rows:
            return  # evaluation batches may be longer than the log keeps; TRL's own metrics cover them
        group_size = self.num_generations if mode == "train" else self.num_generations_eval
        summary = batch_summary(verdicts, scores, np.arange(rows) // group_size, advantages, self._shaped.weights)
        summary |= {"sigma_mean": self._shaped.sigma_mean, "failure_rate": float(failures.mean())}
        for name, value in summary.items():
            self._metrics[mode][f"hero/{name}"].append(value)


def _check_args(args: GRPOConfig, kwargs: dict[str, Any], reward: HybridReward) -> None:
    """Refuse what would bypass the rule; warn of what would undo it."""
    if "reward_funcs" in kwargs:
        raise InputError("HeroTrainer takes one `reward`, not `reward_funcs`; put your signals into a Verifier and a Scorer")
    if args.reward_weights is not None:
        raise InputError(
            f"reward_weights={args.reward_weights} has no meaning here: the rule {reward.rule.name!r} combines the signals; "
            "leave it unset"
        )
    if args.multi_objective_aggregation != "sum_then_normalize":
        raise InputError(
            f"multi_objective_aggregation={args.multi_objective_aggregation!r} would take the reward columns apart; leave it at "
            "'sum_then_normalize' (for GDPO use the rule gdpo() with scale_rewards='batch')"
        )
    problem = check_scale(reward.rule, _scale(args))
    if problem is not None:
        warnings.warn(problem, SettingsWarning, stacklevel=3)
    cycle = args.steps_per_generation * args.num_iterations / args.gradient_accumulation_steps
    if args.save_strategy == "steps" and reward.rule.stateful and cycle > 1 and args.save_steps % cycle:
        warnings.warn(
            f"save_steps={args.save_steps} is no multiple of the {cycle:g} optimizer steps that one generation serves: a checkpoint "
            "in mid-cycle makes TRL generate that batch again on resume, which feeds it to the running mean twice. Use a multiple",
            SettingsWarning,
            stacklevel=3,
        )


def _scale(args: GRPOConfig) -> Any:
    """TRL also takes booleans: True is "group", False is "none"."""
    return {True: "group", False: "none"}.get(args.scale_rewards, args.scale_rewards) if isinstance(
        args.scale_rewards, bool
    ) else args.scale_rewards
