"""Advantages a token for ``HeroTrainer``: the steps of this process's rows, which the trainer gathers and shapes.

Used where the rule has ``steps`` (the rule ``process``); without it nothing here runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from transformers import PreTrainedTokenizerBase

from hero_rl.engines.steps import StepReader, ends_of
from hero_rl.errors import InputError
from hero_rl.pipeline import HybridReward, Signals
from hero_rl.rewards import NO_STEPS, Steps
from hero_rl.types import Rollout, StepScorer


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
        self._scorer = _step_scorer(self._reward)  # it may have been replaced during the run
        if self._reader is None:
            self._reader = StepReader.of(self._tokenizer())  # not at the start: TRL may have found it itself by then
        scores = signals.step_scores or (NO_STEPS.scores,) * len(rollouts)
        self.rows = [
            self._reader.read(rollout.response, scores_S, ends_of(self._scorer, rollout), ids)
            for rollout, scores_S, ids in zip(rollouts, scores, token_ids, strict=True)
        ]


def _step_scorer(reward: HybridReward) -> StepScorer:
    if isinstance(reward.scorer, StepScorer):
        return reward.scorer
    name = f"the reward model {reward.scorer.name!r}" if reward.scorer is not None else "the reward model None"
    raise InputError(
        f"the rule {reward.rule.name!r} shapes the advantages of steps, and {name} scores none; give a process reward model "
        "(ProcessScorer; in recipes: reward_model.name = 'process:PATH')"
    )
