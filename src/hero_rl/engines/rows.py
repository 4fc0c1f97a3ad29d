"""From an engine's training rows to shaped rewards and back. Pure: no engine is imported here.

A rollout may have become several rows (an agent whose context was cut, a fan-out), of which the last carries the signals;
rows may be padding; and a group may have lost members. Rules know none of that: they see one entry a rollout.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from hero_rl.engines.signals import from_infos
from hero_rl.pipeline import HybridReward
from hero_rl.rewards import RewardRule, RuleOutput, batch_summary
from hero_rl.scorers import ColumnScorer
from hero_rl.types import BoolArray, FloatArray, IntArray
from hero_rl.verifiers import ColumnVerifier


class Row(NamedTuple):
    """One training row as an engine keeps it."""

    group: str
    """The prompt; never the prompt's text, which may stand in a batch twice."""
    rollout: str
    """Rows of one rollout share it; unique over groups."""
    order: int
    """Within the rollout: the row with the highest carries the signals."""
    info: Mapping[str, Any] | None
    """As ``signals.to_info`` made it; None: padding."""


class Shaped(NamedTuple):
    """What the rule says, a row at a time, in the order of the rows."""

    rewards: FloatArray
    """Shape (R,); NaN: left out of its group, or padding."""
    weights: FloatArray
    """Shape (R,); multiply the advantage by it. 1 for padding."""
    compared: BoolArray
    """Shape (R,); False: nothing to compare with (left out, alone in its group, or padding), so no advantage."""
    final: IntArray
    """Shape (B,), the row that stands for each rollout."""
    verdicts: FloatArray
    """Shape (B,)."""
    scores: FloatArray
    """Shape (B,)."""
    groups: IntArray
    """Shape (B,); prompts numbered as they come."""
    steps: tuple[str, ...]
    """One entry a rollout: its step scores as ``steps.write_steps`` wrote them; "" where there are none, or several rows."""
    output: RuleOutput
    """Of the rule, one entry a rollout."""
    state_metrics: Mapping[str, float]
    """What the rule's state says of itself after the batch."""
    failure_rate: float

    def summary(self, advantages_R: FloatArray) -> dict[str, float]:
        """The numbers of ``batch_summary`` and the rule's state, ``sigma_mean`` and ``failure_rate``, where they have a value.

        Args:
            advantages_R: shape (R,), as the policy is updated with, weights included.
        """
        numbers = batch_summary(self.verdicts, self.scores, self.groups, advantages_R[self.final], self.weights[self.final])
        numbers |= {"sigma_mean": self.output.sigma_mean, **self.state_metrics, "failure_rate": self.failure_rate}
        return {name: value for name, value in numbers.items() if not np.isnan(value)}


def column_reward(rule: RewardRule, *, max_failure_rate: float = 0.1) -> HybridReward:
    """The rule with its state, for a process to which the signals come as values."""
    verifier, scorer = ColumnVerifier("acc"), ColumnScorer("rm_score")
    verifier.name, scorer.name = "the verifier", "the reward model"  # whom a message about failures is about
    return HybridReward(
        verifier if rule.needs_verdicts else None,
        scorer if rule.needs_scores else None,
        rule,
        max_failure_rate=max_failure_rate,
    )


def shape_rows(reward: HybridReward, rows: Sequence[Row], *, update: bool = True) -> Shaped | None:
    """Shaped rewards of whole groups; None where all rows are padding.

    Args:
        reward: rule and state.
        rows: of complete groups, in any order.
        update: False (evaluation): the state stays as it is.

    Raises:
        SignalError: too many signals failed.
        InputError: a row without signals.
    """
    last: dict[str, int] = {}
    for number, row in enumerate(rows):
        if row.info is not None and (row.rollout not in last or rows[last[row.rollout]].order <= row.order):
            last[row.rollout] = number
    if not last:
        return None
    signals = from_infos([rows[number].info or {} for number in last.values()])
    failures = np.maximum(signals.failed, np.isnan(signals.scores)) if reward.scorer is not None else signals.failed
    reward.check_failures(failures)

    # Numbered as they come: engines name prompts at random, and the order of a sum is its last digit.
    numbers: dict[str, int] = {}
    groups = np.array([numbers.setdefault(rows[number].group, len(numbers)) for number in last.values()], dtype=np.intp)
    output = reward.shape(signals.verdicts, signals.scores, groups, update=update)
    known = ~np.isnan(output.rewards)
    compared = known & (np.bincount(groups, weights=known)[groups] > 1)

    count = Counter(row.rollout for row in rows if row.info is not None)
    place = {rollout: position for position, rollout in enumerate(last)}
    index = np.array([place[row.rollout] if row.info is not None else -1 for row in rows], dtype=np.intp)
    real = index >= 0
    return Shaped(
        rewards=np.where(real, output.rewards[index], np.nan),
        weights=np.where(real, output.weights[index], 1.0),
        compared=real & compared[index],
        final=np.array(list(last.values()), dtype=np.intp),
        verdicts=signals.verdicts,
        scores=signals.scores,
        groups=groups,
        steps=tuple(_steps(rows[number]) if count[rows[number].rollout] == 1 else "" for number in last.values()),
        output=output,
        state_metrics=reward.state.metrics(),
        failure_rate=float(failures.mean()),
    )


def _steps(row: Row) -> str:
    return str((row.info or {}).get("steps") or "")
