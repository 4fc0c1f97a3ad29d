"""From an engine's training rows to signals of rollouts, and from a batch back to rows. Pure: no engine is imported here.

A rollout may have become several rows (an agent whose context was cut, a fan-out), of which the last carries the signals;
rows may be padding; and a group may have lost members. Rules know none of that: they see one entry a rollout.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from hero_rl.engines.signals import from_infos
from hero_rl.pipeline import HybridReward, Signals
from hero_rl.rewards import RewardRule
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


class Rollouts(NamedTuple):
    """The rollouts behind some rows."""

    signals: Signals
    """One entry a rollout, as ``groups``, ``final`` and ``steps``."""
    groups: list[str]
    final: IntArray
    """Shape (B,), the row that stands for each rollout."""
    steps: tuple[str, ...]
    """Step scores as ``steps.write_steps`` wrote them; "" where there are none, or several rows."""
    of_row: IntArray
    """Shape (R,), the place of each row's rollout; -1 for padding."""

    def by_row(self, values_B: FloatArray, *, padding: float) -> FloatArray:
        """Shape (R,), the value of each row's rollout."""
        return np.where(self.of_row >= 0, values_B[self.of_row], padding)


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


def read_rows(rows: Sequence[Row]) -> Rollouts | None:
    """The rollouts of some rows, in any order; None where all are padding.

    Raises:
        InputError: a row without signals.
    """
    last: dict[str, int] = {}
    for number, row in enumerate(rows):
        if row.info is not None and (row.rollout not in last or rows[last[row.rollout]].order <= row.order):
            last[row.rollout] = number
    if not last:
        return None
    finals = [rows[number] for number in last.values()]
    count = Counter(row.rollout for row in rows if row.info is not None)
    place = {rollout: position for position, rollout in enumerate(last)}
    return Rollouts(
        signals=from_infos([row.info or {} for row in finals]),
        groups=[row.group for row in finals],
        final=np.array(list(last.values()), dtype=np.intp),
        steps=tuple(str((row.info or {}).get("steps") or "") if count[row.rollout] == 1 else "" for row in finals),
        of_row=np.array([place[row.rollout] if row.info is not None else -1 for row in rows], dtype=np.intp),
    )


def compared(rewards_B: FloatArray, groups_B: IntArray) -> BoolArray:
    """Shape (B,): whether a response has another of its group to compare with; False where it is left out."""
    known = ~np.isnan(rewards_B)
    return known & (np.bincount(groups_B, weights=known)[groups_B] > 1)
