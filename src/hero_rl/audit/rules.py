"""What a reward rule would do with these rollouts: where rewards lie, how prompts weigh, whose opinion the update is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from hero_rl.audit.table import Table
from hero_rl.rewards import SCALES, RewardRule, RuleOutput, Scale, check_scale, group_advantages
from hero_rl.rewards.groups import Groups, group_min_max
from hero_rl.types import BoolArray, FloatArray, IntArray

TIED = 1e-9


class GroupShares(NamedTuple):
    """Prompts by what a verifier says of their responses; an abstention counts as incorrect."""

    prompts: int
    mixed: float
    all_correct: float
    all_wrong: float

    @property
    def zero_gradient(self) -> float:
        """Share of the prompts that teach nothing when the verdict alone is the reward."""
        return self.all_correct + self.all_wrong


class ScaleReport(NamedTuple):
    """The update under one normalisation of the advantages."""

    scale: Scale
    mixed_correct: float
    """Mean |advantage| of the correct responses of mixed prompts; NaN where there is none. So the next three."""
    mixed_incorrect: float
    all_correct: float
    all_wrong: float
    opinion: float
    """Share of the update that is reward-model opinion: an advantage is what it would be for the bare verdict plus the rest,
    and this is the rest's share of the summed sizes of both."""
    warning: str | None


class RuleReport(NamedTuple):
    """A rule on a file, taken as one batch."""

    rule: str
    settings: Mapping[str, object]
    groups: GroupShares
    zero_gradient: float
    """Share of the prompts without any gradient under this rule."""
    rewards: FloatArray
    """Shape (B,)."""
    correct: BoolArray
    """Shape (B,), whose band each reward lies in."""
    at_edge: float
    """Share of the responses whose stratum has no spread (one member, or all tied): the score says nothing there."""
    weights: FloatArray
    """Shape (P,)."""
    sigma_mean: float
    scales: tuple[ScaleReport, ...]


def group_shares(table: Table, verifier: str) -> GroupShares:
    """Prompts by what ``verifier`` says of their responses."""
    correct_P, size_P = _counts(table, verifier)
    everything, nothing = correct_P == size_P, correct_P == 0
    return GroupShares(table.prompts, float((~everything & ~nothing).mean()), float(everything.mean()), float(nothing.mean()))


def rule_report(table: Table, rule: RewardRule, *, verifier: str | None, scorer: str | None) -> RuleReport:
    """What ``rule`` does with the file, with this verifier and this reward model.

    Args:
        table: the file.
        rule: from ``hero_rl.rewards``.
        verifier: whose verdicts; None where the rule needs none.
        scorer: whose scores; None where the rule needs none.
    """
    missing = np.full(table.rows, np.nan)
    verdicts = table.verdicts[verifier] if verifier else missing
    scores = table.scores[scorer] if scorer else missing
    # what the rule remembers is what the whole file says (sigma-bar: the plain mean), as in `hero score`
    state = rule.apply(verdicts, scores, table.groups, rule.start_whole).state
    output = rule.apply(verdicts, scores, table.groups, state)
    correct = verdicts > 0.0
    groups = Groups(table.groups, table.prompts)
    weights_P = np.ones(table.prompts)
    weights_P[table.groups] = output.weights
    rest = group_advantages(output.rewards, table.groups, scale="none", weights_B=output.weights)
    alive = np.bincount(table.groups, weights=np.abs(rest) > TIED, minlength=table.prompts) > 0
    return RuleReport(
        rule=rule.name,
        settings=rule.settings,
        groups=group_shares(table, verifier) if verifier else GroupShares(table.prompts, 0.0, 0.0, 1.0),
        zero_gradient=float((~alive).mean()),
        rewards=output.rewards,
        correct=correct,
        at_edge=_at_edge(output.rewards, correct, table.groups),
        weights=weights_P,
        sigma_mean=output.sigma_mean,
        scales=tuple(_scale(scale, rule, verdicts, output, groups) for scale in SCALES),
    )


def _counts(table: Table, verifier: str) -> tuple[FloatArray, IntArray]:
    correct = table.verdicts[verifier] > 0.0
    return np.bincount(table.groups, weights=correct).astype(np.float64), np.bincount(table.groups)


def _at_edge(rewards: FloatArray, correct: BoolArray, groups: IntArray) -> float:
    strata = Groups(groups * 2 + correct, 2 * (int(groups.max()) + 1))
    low, high = group_min_max(rewards, strata)
    with np.errstate(invalid="ignore"):
        flat = ~(high - low > TIED)
    return float(flat[strata.index_B].mean())


def _scale(scale: Scale, rule: RewardRule, verdicts: FloatArray, output: RuleOutput, groups: Groups) -> ScaleReport:
    advantages = group_advantages(output.rewards, groups.index_B, scale=scale, weights_B=output.weights)
    correct = verdicts > 0.0
    low_P, high_P = group_min_max(correct.astype(np.float64), groups)
    mixed = (low_P != high_P)[groups.index_B]
    size = np.abs(advantages)
    return ScaleReport(
        scale=scale,
        mixed_correct=_mean(size[mixed & correct]),
        mixed_incorrect=_mean(size[mixed & ~correct]),
        all_correct=_mean(size[~mixed & correct]),
        all_wrong=_mean(size[~mixed & ~correct]),
        opinion=_opinion(advantages, output, correct, groups),
        warning=check_scale(rule, scale),
    )


def _opinion(advantages: FloatArray, output: RuleOutput, correct: BoolArray, groups: Groups) -> float:
    """See ``ScaleReport.opinion``. The bare verdict is brought to the same scale as the reward that it is a part of."""
    centred = group_advantages(output.rewards, groups.index_B, scale="none", weights_B=output.weights)
    bare = group_advantages(correct.astype(np.float64), groups.index_B, scale="none", weights_B=output.weights)
    with np.errstate(invalid="ignore", divide="ignore"):
        factor = np.where(np.abs(centred) > TIED, advantages / centred, 0.0)
    # the factor is the same for all of a group; rows at the group's mean borrow it from the others
    factor_P = np.zeros(groups.size)
    np.maximum.at(factor_P, groups.index_B, factor)
    verdict_part = bare * factor_P[groups.index_B]
    rest = np.abs(advantages - verdict_part).sum()
    total = rest + np.abs(verdict_part).sum()
    return float(rest / total) if total > 0.0 else float("nan")


def _mean(values: FloatArray) -> float:
    return float(values.mean()) if values.size else float("nan")
