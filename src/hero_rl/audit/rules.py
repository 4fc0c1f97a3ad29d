"""A reward rule on these rollouts: where rewards lie, how prompts weigh, how much of the update is reward-model opinion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from hero_rl.audit.table import Table
from hero_rl.pipeline import Batch, Signals, assemble
from hero_rl.rewards import SCALES, RewardRule, Scale, check_scale, group_advantages
from hero_rl.rewards.diagnostics import TIED, GroupShares, group_shares, split_strata
from hero_rl.rewards.groups import Groups, group_min_max
from hero_rl.types import BoolArray, FloatArray, IntArray


class ScaleReport(NamedTuple):
    """The update under one normalisation of the advantages."""

    scale: Scale
    mixed_correct: float
    """Mean |advantage| of the correct responses to mixed prompts; NaN without any. The next three are alike."""
    mixed_incorrect: float
    all_correct: float
    all_wrong: float
    opinion: float
    """Share of the update from the reward model: an advantage is that of the bare verdict plus a rest, and this is the
    rest's share of the summed sizes of both."""
    warning: str | None


class RuleReport(NamedTuple):
    """A rule on a file, taken as one batch."""

    rule: str
    settings: Mapping[str, object]
    groups: GroupShares
    rewards: FloatArray
    """Shape (B,)."""
    correct: BoolArray
    """Shape (B,), whether the verdict is "correct"."""
    at_edge: float
    """Share of the responses whose stratum has one member or is tied: the score says nothing there."""
    weights: FloatArray
    """Shape (P,)."""
    sigma_mean: float
    scales: tuple[ScaleReport, ...]


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
    batches: dict[Scale, Batch] = {scale: assemble(rule, signals, groups, rule.init(), scale=scale) for scale in SCALES}
    batch, strata = batches["none"], split_strata(verdicts, groups)
    weights_P = np.ones(table.prompts)
    weights_P[table.groups] = batch.weights
    correct = verdicts > 0.0
    scales = [
        ScaleReport(
            scale, *(float(np.abs(made.advantages[rows]).mean()) if rows.any() else float("nan") for rows in strata),
            opinion=_opinion(made, batch.advantages), warning=check_scale(rule, scale),
        )
        for scale, made in batches.items()
    ]  # fmt: skip
    return RuleReport(
        rule=rule.name, settings=rule.settings, groups=group_shares(verdicts, batch.advantages, groups), rewards=batch.rewards,
        correct=correct, at_edge=_at_edge(batch.rewards, correct, table.groups), weights=weights_P,
        sigma_mean=batch.sigma_mean, scales=tuple(scales),
    )  # fmt: skip


def _at_edge(rewards: FloatArray, correct: BoolArray, groups: IntArray) -> float:
    strata = Groups(groups * 2 + correct, 2 * (int(groups.max()) + 1))
    low, high = group_min_max(rewards, strata)
    with np.errstate(invalid="ignore"):
        flat = ~(high - low > TIED)
    return float(flat[strata.index_B].mean())


def _opinion(batch: Batch, centred: FloatArray) -> float:
    """Return ``ScaleReport.opinion``; the bare verdict is brought to the scale of the reward that it is a part of."""
    correct = (batch.signals.verdicts > 0.0).astype(np.float64)
    bare = group_advantages(correct, batch.groups, scale="none", weights_B=batch.weights)
    with np.errstate(invalid="ignore", divide="ignore"):
        factor = np.where(np.abs(centred) > TIED, batch.advantages / centred, 0.0)
    # the factor is the same for all of a group; rows at the group's mean borrow it from the others
    factor_P = np.zeros(int(batch.groups.max()) + 1)
    np.maximum.at(factor_P, batch.groups, factor)
    verdict_part = bare * factor_P[batch.groups]
    rest = np.abs(batch.advantages - verdict_part).sum()
    total = rest + np.abs(verdict_part).sum()
    return float(rest / total) if total > 0.0 else float("nan")
