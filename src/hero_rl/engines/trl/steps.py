"""Advantages a token for ``HeroTrainer``: step scores of this process's rows, gathered, shaped in whole groups, spread.

Used where the rule has ``steps`` (the rule ``process``); without it nothing here runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

import numpy as np
from transformers import PreTrainedTokenizerBase

from hero_rl.engines.steps import StepReader
from hero_rl.errors import InputError
from hero_rl.pipeline import HybridReward, Signals
from hero_rl.rewards import NO_STEPS, RuleOutput, Steps, spread_over_tokens, step_advantages
from hero_rl.types import FloatArray, IntArray, Rollout, StepScorer


class LocalSteps:
    """The steps of this process's rows, as its reward model scores them and its tokenizer cuts them."""

    def __init__(self, reward: HybridReward, tokenizer: Callable[[], PreTrainedTokenizerBase]) -> None:
        """Read with ``tokenizer()``, which is first asked for when there are rows.

        Raises:
            InputError: the reward model gives no step scores.
        """
        self._reward, self._tokenizer = reward, tokenizer
        self._scorer = _step_scorer(reward)
        self._reader: StepReader | None = None
        self.rows: list[Steps] = []
        """Of the last batch."""

    def read(self, rollouts: Sequence[Rollout], signals: Signals, token_ids: Sequence[Sequence[int]]) -> None:
        """Keep the steps of these rows."""
        if self._reader is None or self._scorer is not self._reward.scorer:  # replaced during the run
            self._scorer = _step_scorer(self._reward)
            self._reader = self._make_reader()
        scores = signals.step_scores or (NO_STEPS.scores,) * len(rollouts)
        self.rows = [self._reader.read(*row) for row in zip(rollouts, scores, token_ids, strict=True)]

    def _make_reader(self) -> StepReader:
        # Not at the start: TRL may have found the tokenizer itself by then.
        tokenizer = self._tokenizer()

        def decode(token_ids: Sequence[int]) -> str:
            return cast(str, tokenizer.decode(list(token_ids), skip_special_tokens=True))

        anchor = cast("list[int]", tokenizer("a", add_special_tokens=False)["input_ids"])
        return StepReader(self._scorer, decode, anchor=anchor)


def _step_scorer(reward: HybridReward) -> StepScorer:
    if isinstance(reward.scorer, StepScorer):
        return reward.scorer
    name = f"the reward model {reward.scorer.name!r}" if reward.scorer is not None else "the reward model None"
    raise InputError(
        f"the rule {reward.rule.name!r} shapes the advantages of steps, and {name} scores none; give a process reward model "
        "(ProcessScorer; in recipes: reward_model.model = 'process:PATH')"
    )


class TokenAdvantages(NamedTuple):
    """What the policy is updated with."""

    advantages: FloatArray
    """Shape (rows of this process, T)."""
    metrics: dict[str, float]
    """Of all rows: ``steps_shaped``, the share of responses whose steps differ in their advantage, and ``steps_size``, the
    mean over all tokens of how far a token's advantage is from its response's."""


def token_advantages(
    reward: HybridReward,
    shaped: RuleOutput,
    verdicts_B: FloatArray,
    groups_B: IntArray,
    outcome_B: FloatArray,
    steps_B: Sequence[Steps],
    *,
    mine: slice,
    width: int,
) -> TokenAdvantages:
    """Advantages of the tokens of this process's rows.

    Args:
        reward: its rule says how.
        shaped: what the rule made of the whole batch.
        verdicts_B: shape (B,), of the whole batch, as all that follow.
        groups_B: shape (B,).
        outcome_B: shape (B,), the advantages of responses, weights included.
        steps_B: gathered over processes.
        mine: the rows of this process.
        width: T, tokens that this process's rows are padded to.
    """
    rule = reward.rule
    assert rule.steps is not None
    kept = np.where(np.isnan(shaped.rewards), np.nan, outcome_B)
    if not rule.needs_verdicts:
        verdicts_B = np.full_like(verdicts_B, np.nan)  # a rule that does not ask for them has no order of theirs to keep
    found = step_advantages(
        kept, steps_B, verdicts_B, groups_B, rule.steps, weights_B=shaped.weights, learned_credit=rule.learned_credit
    )
    moved = sum(
        float(np.abs(values - outcome) @ steps.lengths)
        for values, outcome, steps in zip(found.steps, outcome_B.tolist(), steps_B, strict=True)
    )
    tokens = sum(int(steps.lengths.sum()) for steps in steps_B)
    advantages = spread_over_tokens(outcome_B[mine], found.steps[mine], steps_B[mine], width=width)
    return TokenAdvantages(
        advantages, {"steps_shaped": float(found.shaped.mean()), "steps_size": moved / tokens if tokens else 0.0}
    )
