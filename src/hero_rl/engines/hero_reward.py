"""HERO as one reward function, for GRPO trainers that call `reward_funcs`: TRL, Unsloth, Axolotl, Oumi, ms-swift.

    GRPOTrainer(
        model="Qwen/Qwen3-0.6B",
        reward_funcs=[HeroReward(HybridReward(MathVerifier(), LocalScorer("nvidia/AceMath-7B-RM"), hero()))],
        args=GRPOConfig("runs/hero", scale_rewards="none"),
        train_dataset=problems,  # columns: prompt, reference
    )

Such a trainer subtracts the group's mean from what a reward function returns. ``HeroReward`` returns w (r - mean), whose mean
is 0 already, so the advantages are HERO's, the prompt weights w included. No trainer is imported here.
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hero_rl.config import load_reward
from hero_rl.engines.completions import Prompt, to_rollouts
from hero_rl.engines.exchange import Exchange, logged_as, world_size
from hero_rl.engines.rollout_files import PROMPTS, write_rollouts
from hero_rl.engines.wire import refuse_steps
from hero_rl.errors import InputError, SettingsWarning
from hero_rl.pipeline import HybridReward, Signals
from hero_rl.rewards import Scale, check_scale

logger = logging.getLogger(__name__)


class HeroReward:
    """A reward function that returns HERO's advantages, for any trainer that subtracts the group's mean and no more.

    Set the trainer's ``scale_rewards`` to ``"none"``; the first call checks that and logs what it found. Each process judges
    its own rows; the processes then exchange the signals, so that groups across processes are whole, the state is the same
    everywhere, and an error of one process is raised on all.

    The state goes into the trainer's checkpoints (``trainer_state.stateful_callbacks``) and is continued on resume. Evaluation
    never moves it. TRL from 1.0 on shows whether it evaluates; elsewhere add a column ``split``, whose value begins with
    "train" in the rows to train on.

    Beside other reward functions (format, length), its value is added to theirs times ``reward_weights``. After the first
    logged step a message says how much of the spread of the sum is HERO's.

    Logged where the trainer has ``log_metric`` and ``log_extra`` (TRL from 1.0 on): under ``hero/`` the numbers of
    ``Batch.summary``, ``reward`` (mean of the shaped rewards) and ``rm_score`` (of the raw scores); in the completions table
    ``verdict``, ``reason`` and ``rm_score``. The trainer's own ``reward`` is about 0, because advantages are.

    Make one object per run: a second run with it would begin with the state of the first. A trainer takes one, whose state
    its checkpoints hold.

    A response that the rule leaves out gets 0, which is its advantage. Rules that shape the advantages of tokens need
    ``HeroTrainer``.
    """

    def __init__(
        self,
        reward: HybridReward | str | Path,
        *,
        args: Any = None,
        reference: str = "reference",
        eos_token_ids: Collection[int] | None = None,
        gather: bool = True,
        rollouts: int = PROMPTS,
    ) -> None:
        """Return advantages of ``reward``.

        Args:
            reward: verifier, reward model and rule, or the reward file that describes them.
            args: the trainer's configuration (``GRPOConfig``). Needed where the trainer has no ``log_metric``; TRL from 1.0 on
                shows its own.
            reference: the data's column with the reference answer.
            eos_token_ids: the tokens that end a completion; None: the trainer's, or unknown.
            gather: False: the processes exchange nothing, because only one of them calls this, or all have the same rows, or
                each has whole groups and a state of its own is accepted. With several processes no metrics are then logged.
            rollouts: prompts per step whose rollouts are written to the folder ``rollouts`` of the run; 0: none.

        Raises:
            InputError: a reward file that is wrong, or a rule that shapes steps.
        """
        self.reward = reward if isinstance(reward, HybridReward) else load_reward(Path(reward)).make()
        refuse_steps(self.reward.rule)
        self.args, self.reference, self.eos_token_ids = args, reference, eos_token_ids
        self._exchange = Exchange(self.reward, gather=gather)
        self.__name__ = f"hero_{self.reward.rule.name}"  # its name in the trainer's logs
        self._rollouts = rollouts
        self._checked = self._compared = False

    def __call__(
        self,
        completions: Sequence[Prompt],
        prompts: Sequence[Prompt] | None = None,
        completion_ids: Sequence[Sequence[int]] | None = None,
        trainer_state: Any = None,
        log_metric: Callable[[str, float], None] | None = None,
        log_extra: Callable[[str, list[Any]], None] | None = None,
        **columns: Any,
    ) -> list[float]:
        """Return w (r - mean) per row, for the rows of this process.

        Args:
            completions: the responses, text or messages; the responses of a prompt one after the other.
            prompts: text or conversations; None: the column ``messages`` up to the response, or the column ``problem``.
            completion_ids: the tokens of the responses.
            trainer_state: transformers' state of the trainer.
            log_metric: logs a number.
            log_extra: logs a column of the completions table.
            columns: the columns of the data, one list each.

        Raises:
            SignalError: verifier or reward model failed on too many rows, here or on another process; the state is unchanged.
            InputError: no reference, an unknown or wrong group size, a second ``HeroReward`` in the trainer.
        """
        trainer = getattr(log_metric, "__self__", None)
        args = self.args if self.args is not None else getattr(trainer, "args", None)
        training = _is_training(trainer, columns)
        size = _group_size(args, training)
        self._check_once(args, getattr(trainer, "reward_funcs", ()))
        rows = columns if self.reference == "reference" else {**columns, "reference": columns.get(self.reference)}
        ends = self.eos_token_ids if self.eos_token_ids is not None else end_tokens(trainer)
        needs_reference = self.reward.verifier is not None
        share = self._exchange.share(
            lambda: to_rollouts(
                _prompts_of(columns, len(completions)) if prompts is None else prompts,
                completions, completion_ids, rows, ends, needs_reference=needs_reference,
            ),
            len(completions), size, trainer_state, training=training,
        )  # fmt: skip
        if log_extra is not None:
            log_table(log_extra, share.signals)
        if log_metric is not None and (self._exchange.gather or world_size() == 1):
            for name, value in share.metrics.items():
                if not math.isnan(value):
                    log_metric(logged_as(name), value)
        if training and (folder := getattr(args, "output_dir", None)) and trainer_state is not None:
            write_rollouts(folder, share, step=trainer_state.global_step + 1, prompts=self._rollouts)
        self._compare_once(args, trainer_state)
        return share.batch.advantages[share.mine].tolist()

    def _check_once(self, args: Any, functions: Sequence[Any]) -> None:
        """Say whether the trainer's normalisation leaves the advantages as they are; refuse a second ``HeroReward``."""
        if self._checked or args is None:
            return
        if (count := sum(isinstance(function, HeroReward) for function in functions)) > 1:
            raise InputError(
                f"{count} of the trainer's reward functions are HeroReward, and a checkpoint holds the state of one; put their "
                "verifiers and reward models into one (verifier 'by' chooses by a column)"
            )
        self._checked = True
        scale = scale_of(args)
        if getattr(args, "multi_objective_aggregation", "sum_then_normalize") != "sum_then_normalize":
            scale = "group"  # each function is divided by its own standard deviation
        problems = [check_scale(self.reward.rule, scale), save_problem(args, self.reward)]
        if (estimator := getattr(args, "advantage_estimator", "grpo")) != "grpo":
            problems.append(f"advantage_estimator={estimator!r} changes the advantages that the rule made; use 'grpo'")
        if scale == "batch":
            problems.append("scale_rewards='batch' divides by the spread of the advantages of a batch; use 'none'")
        for problem in filter(None, problems):
            warnings.warn(problem, SettingsWarning, stacklevel=3)
            logger.warning("hero-rl: %s", problem)
        if not any(problems):
            logger.info("hero-rl: scale_rewards=%r: the advantages of %s stay as they are", scale, self.reward.rule.name)

    def _compare_once(self, args: Any, trainer_state: Any) -> None:
        """Say how much of the spread of the summed rewards is HERO's, beside other reward functions."""
        history = [] if self._compared or trainer_state is None else trainer_state.log_history
        # None or NaN: that function gave no number in this batch
        entries = [{key[8:-4]: value or 0.0 for key, value in entry.items() if _is_spread(key)} for entry in history]
        entry = next((entry for entry in entries if entry), None)
        if entry is None:
            return
        self._compared = True
        weights = getattr(args, "reward_weights", None) or [1.0] * len(entry)
        own_name = next((name for name in (self.__name__, type(self).__name__) if name in entry), None)  # ms-swift: the class
        if len(entry) < 2 or len(weights) != len(entry) or own_name is None:
            return
        spreads = {
            name: float(np.nan_to_num(abs(weight) * value))
            for (name, value), weight in zip(entry.items(), weights, strict=True)
        }
        total = sum(spreads.values())
        if total == 0.0:
            return
        own = spreads[own_name] / total
        parts = ", ".join(f"{name} {value:.3g}" for name, value in spreads.items())
        logger.log(
            logging.INFO if own >= 0.5 else logging.WARNING,
            "hero-rl: %.0f%% of the spread of the summed rewards is HERO's (reward_weights x standard deviation: %s)%s",
            100 * own, parts, "" if own >= 0.5 else "; the others speak louder than the verdicts: lower their reward_weights",
        )  # fmt: skip


def log_table(log_extra: Callable[[str, list[Any]], None], signals: Signals) -> None:
    """Put the raw signals into TRL's table of completions."""
    log_extra("verdict", signals.verdicts.tolist())
    log_extra("reason", list(signals.reasons))
    log_extra("rm_score", signals.scores.tolist())


def scale_of(args: Any) -> Scale:
    """Return the normalisation in a trainer's configuration; older names and further kinds are read as what they do."""
    value = getattr(args, "scale_rewards", "group")
    return {"none": "none", "batch": "batch", "False": "none"}.get(str(value), "group")  # type: ignore[return-value]


def save_problem(args: Any, reward: HybridReward) -> str | None:
    """Return a warning where checkpoints fall between the optimizer steps that one generation serves; else None."""
    numbers = [getattr(args, name, None) for name in ("steps_per_generation", "num_iterations", "gradient_accumulation_steps")]
    if not reward.rule.stateful or None in numbers or getattr(args, "save_strategy", "no") != "steps":
        return None
    cycle = numbers[0] * numbers[1] / numbers[2]  # type: ignore[operator]  # no None
    if cycle <= 1 or args.save_steps % cycle == 0:
        return None
    return (
        f"save_steps={args.save_steps} is no multiple of the {cycle:g} optimizer steps that one generation serves: a "
        "checkpoint in mid-cycle makes TRL generate that batch again on resume, which feeds it to the rule's state twice. "
        "Use a multiple"
    )


def _is_training(trainer: Any, columns: Mapping[str, Any]) -> bool:
    if trainer is not None:  # Unsloth puts the model back into training mode before it asks for the rewards of an evaluation
        return trainer.model.training and trainer.is_in_train and not trainer.control.should_evaluate
    split = columns.get("split")
    return not split or str(split[0]).startswith("train")


def _group_size(args: Any, training: bool) -> int:
    size = getattr(args, "num_generations", None)
    if not training:
        size = getattr(args, "num_generations_eval", None) or size
    if not size:
        raise InputError(
            "this trainer does not say how many responses a prompt has; give its configuration: HeroReward(reward, args=args)"
        )
    return int(size)


def end_tokens(trainer: Any) -> Collection[int] | None:
    """Return the tokens that end a completion; None where the trainer is unknown."""
    if trainer is None:
        return None
    processor = trainer.processing_class
    return getattr(trainer, "eos_token_ids", None) or [
        getattr(processor, "tokenizer", processor).eos_token_id
    ]  # TRL below 1.14


def _prompts_of(columns: Mapping[str, Any], rows: int) -> Sequence[Prompt]:
    """Return the prompts of a trainer that has them in a column; ms-swift appends the response to ``messages``."""
    if (messages := columns.get("messages")) is not None:
        return [row[:-1] if row and row[-1].get("role") == "assistant" else row for row in messages]
    return columns.get("problem") or [""] * rows


def _is_spread(key: str) -> bool:
    return key.startswith("rewards/") and key.endswith("/std")
