"""A reward rule on these rollouts: where prompts have a gradient, and how they weigh."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from hero_rl.audit.table import Table
from hero_rl.pipeline import Signals, assemble
from hero_rl.rewards import RewardRule, check_weights, group_advantages
from hero_rl.rewards.diagnostics import GroupShares, group_shares
from hero_rl.rewards.groups import Groups
from hero_rl.types import FloatArray


class RuleReport(NamedTuple):
    """A rule on a file, taken as one batch."""

    rule: str
    settings: Mapping[str, object]
    groups: GroupShares
    rewards: FloatArray
    """Shape (B,)."""
    weights: FloatArray
    """Shape (P,)."""
    weights_problem: str | None
    """A warning where most weights are at a limit."""
    sigma_mean: float


def verifier_alone(table: Table, verifier: str) -> GroupShares:
    """Return the shares of the prompts with ``verifier``'s verdict as the reward."""
    verdicts, groups = table.verdicts[verifier], Groups(table.groups, table.prompts)
    advantages = group_advantages((verdicts > 0.0).astype(np.float64), table.groups)
    return group_shares(verdicts, advantages, groups)


def rule_report(table: Table, rule: RewardRule, *, verifier: str | None, scorer: str | None) -> RuleReport:
    """Apply ``rule`` to the file with the verdicts of ``verifier`` and the scores of ``scorer``, None if it needs none."""
    missing = np.full(table.rows, np.nan)
    verdicts = table.verdicts[verifier] if verifier else missing
    scores = table.scores[scorer] if scorer else missing
    signals, groups = Signals.plain(verdicts, scores), Groups(table.groups, table.prompts)
    # the file is the first and only batch, as in `hero score`
    batch = assemble(rule, signals, groups, rule.init())
    weights_P = np.ones(table.prompts)
    weights_P[table.groups] = batch.weights
    return RuleReport(
        rule=rule.name, settings=rule.settings, groups=group_shares(verdicts, batch.advantages, groups), rewards=batch.rewards,
        weights=weights_P, weights_problem=check_weights(rule, batch.weights), sigma_mean=batch.sigma_mean,
    )  # fmt: skip
