"""Which rule helps on these rollouts: alignment, pressure and scale of every rule, and a verdict with its evidence.

A verdict needs trusted labels. Every interval here is at ``LEVEL``: with nine rules, one audit in twenty says "helps" wrongly.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from hero_rl.audit.table import Table
from hero_rl.measures import (
    FEW_PROMPTS,
    UNKNOWN,
    Estimate,
    UpdateQuality,
    auroc_of_groups,
    clusters_missing,
    mean_of_clusters,
    share_interval,
    update_quality,
    verifier_alignment,
    within_correlation,
    working_share,
)
from hero_rl.pipeline import Signals, assemble
from hero_rl.report import interval
from hero_rl.rewards import (
    RULES,
    RewardRule,
    gated,
    gdpo,
    hero,
    hero_adaptive,
    naive_sum,
    rm_only,
    rule_settings,
    verifier_only,
)
from hero_rl.rewards.groups import Groups, any_differ, group_ranks, group_sum
from hero_rl.types import BoolArray, FloatArray

LEVEL = 0.99
WORTH = 0.02
"""Smaller changes of the working share are no help and no harm."""
SAFE, HACKED = 0.4, 0.58
"""Of 20 arms of the lab, alignment ordered those with a pressure below ``SAFE``; all five from ``HACKED`` on ended at or below
their start."""
LITTLE = 0.2
"""A gain at most this large does not pay for a reward model, which gets a part of it."""
ORDERED = 0.9
"""Correlation of scores with the order of the rows inside prompts, from which they count as an index."""

Says: TypeAlias = Literal["helps", "harms", "not enough evidence"]


class RuleVerdict(NamedTuple):
    """One rule on these rollouts, compared with the verifier alone."""

    rule: str
    """Its name, and the settings that are not their defaults."""
    says: Says
    working: Estimate
    """Rollouts that work, as a multiple of those under the verifier alone."""
    alignment: Estimate
    pressure: Estimate
    """Without labels it counts as noise whatever the scores say inside a verdict: an upper estimate."""
    scale: Estimate
    evidence: str
    missing: str
    """Evidence that would give a verdict; empty where there is one."""


class Verdicts(NamedTuple):
    """All rules on the same rollouts."""

    rules: list[RuleVerdict]
    """The best first."""
    best: RuleVerdict | None
    """The rule to take; None: the verifier alone."""
    verifier: Estimate
    """Alignment of the verifier alone."""
    kl: float
    """KL coefficient for the best rule, as a multiple of that for the verifier alone."""
    ceiling: float
    """Working rollouts under a perfect reward model, as a multiple of those under the verifier alone; NaN: not known."""
    groups_problem: str
    """Why no rule can work on these rollouts; empty if one can."""
    scores_problem: str
    """Why no rule can use these scores; empty if one can."""
    mixed: int
    """Prompts with right and wrong responses and a label for each."""
    to_label: int
    """Rejected responses, each of another prompt, that show that a perfect reward model adds less than ``LITTLE`` if none of
    them is right; 0: there are labels, or the verifier orders nothing."""
    if_missed: list[tuple[float, float]]
    """Without labels: for some shares of right among the rejected responses, the ceiling."""


class _Evidence(NamedTuple):
    """The evidence that all rules share."""

    table: Table
    signals: Signals
    rows_B: BoolArray
    """Rows of prompts of which every response is labelled."""
    mixed: int
    """Such prompts with right and wrong responses."""
    baseline_B: FloatArray
    auroc: Estimate
    groups_problem: str
    scores_problem: str

    @property
    def enough(self) -> bool:
        return self.mixed >= FEW_PROMPTS


def rule_verdicts(table: Table, rule: RewardRule, *, verifier: str, scorer: str | None) -> Verdicts:
    """Judge every rule and ``rule`` itself, with the verdicts of ``verifier`` and the scores of ``scorer``."""
    seen = _look(table, verifier, scorer)
    candidates = _candidates(table, rule, verifier) if scorer and not seen.groups_problem else []
    judged = [_judge(candidate, seen) for candidate in candidates]
    rank: dict[Says, int] = {"helps": 0, "not enough evidence": 1, "harms": 2}
    judged.sort(key=lambda one: (rank[one.says], -np.nan_to_num(one.working.value)))
    helping = [one for one in judged if one.says == "helps"]
    best = max(helping, key=lambda one: one.working.low, default=None)
    alone = _quality(verifier_only(), seen)[0]
    cosine = alone.alignment.value
    kl = best.scale.value / alone.scale.value if best and alone.scale.value > 0.0 else math.nan
    return Verdicts(
        rules=judged, best=best, verifier=alone.alignment, kl=kl,
        ceiling=1.0 / cosine**2 if cosine > 0.0 else math.nan, groups_problem=seen.groups_problem,
        scores_problem=seen.scores_problem, mixed=seen.mixed, to_label=0 if table.labelled else _to_label(table, verifier),
        if_missed=[] if table.labelled else [(share, gain_at_most(table, verifier, share)) for share in (0.01, 0.05, 0.2)],
    )  # fmt: skip


def gain_at_most(table: Table, verifier: str, missed: float) -> float:
    """Return ``Verdicts.ceiling`` if that share of the rejected responses were right; NaN if the verifier orders nothing."""
    groups = Groups(table.groups, table.prompts)
    accepted_P = group_sum((table.verdicts[verifier] > 0.0).astype(np.float64), groups)
    cosine = verifier_alignment(accepted_P, np.bincount(table.groups, minlength=table.prompts), missed)
    return 1.0 / cosine**2 if cosine > 0.0 else math.nan


def scores_problem(scores_B: FloatArray, groups: Groups) -> str:
    """Return why scores cannot rank the responses of a prompt, in words; empty if they can."""
    known = ~np.isnan(scores_B)
    if not known.any():
        return "are all missing"
    scores, own = scores_B[known], Groups(groups.index_B[known], groups.size)
    if not any_differ(scores, own):
        return "are constant within every prompt"
    # place of a row among those of its prompt
    place = group_ranks(np.arange(scores.size, dtype=np.float64), own)
    order = within_correlation(group_ranks(scores, own), place, own.index_B)
    pairs = int((np.bincount(own.index_B, minlength=own.size) - 1).clip(0).sum())
    if abs(order) > ORDERED and abs(order) * math.sqrt(pairs) > 4.0:
        return (
            "follow the order of the rows within prompts, as an index does (if the file was sorted by score, shuffle the rows "
            "of each prompt and audit again)"
        )
    return ""


def _look(table: Table, verifier: str, scorer: str | None) -> _Evidence:
    groups = Groups(table.groups, table.prompts)
    scores = table.scores[scorer] if scorer else np.full(table.rows, np.nan)
    signals = Signals.plain(table.verdicts[verifier], scores)
    labelled = ~np.isnan(table.labels)
    size_P = np.bincount(table.groups, minlength=table.prompts)
    rows_B = (np.bincount(table.groups, weights=labelled, minlength=table.prompts) == size_P)[table.groups]
    right_P = group_sum(np.where(rows_B, table.labels == 1.0, False).astype(np.float64), groups)
    problem = "every prompt has one response, and a rule compares responses to the same prompt" if (size_P < 2).all() else ""
    auroc = UNKNOWN
    if scorer and labelled.any():
        aurocs = auroc_of_groups(scores, table.labels == 1.0, table.groups, labelled & ~np.isnan(scores))
        auroc = mean_of_clusters(aurocs, level=LEVEL).within(0, 1)
    return _Evidence(
        table=table, signals=signals, rows_B=rows_B, mixed=int(((right_P > 0) & (right_P < size_P)).sum()),
        baseline_B=_advantages(verifier_only(), signals, groups), auroc=auroc, groups_problem=problem,
        scores_problem=scores_problem(scores, groups) if scorer else "",
    )  # fmt: skip


def _candidates(table: Table, rule: RewardRule, verifier: str) -> list[RewardRule]:
    found = [
        hero(), hero(weighting=False), hero_adaptive(),
        naive_sum(rule_weight=0.9, normalize="zscore"), gated(), gdpo(), rm_only(normalize="zscore"),
    ]  # fmt: skip
    labels, yes = table.labels, table.verdicts[verifier] > 0.0
    recall = share_interval(yes, labels == 1.0, table.groups)
    if recall.value > 0.0 and not math.isnan(recall.high):
        found.append(hero_adaptive(recall=min(1.0, math.ceil(100 * recall.high) / 100)))  # too low a recall does harm
    known = [(one.name, one.settings) for one in found]
    return found if rule.name == "verifier_only" or (rule.name, rule.settings) in known else [*found, rule]


def _advantages(rule: RewardRule, signals: Signals, groups: Groups) -> FloatArray:
    return assemble(rule, signals, groups, rule.init(), scale="none").advantages


def _quality(rule: RewardRule, seen: _Evidence) -> tuple[UpdateQuality, Estimate]:
    """Return the three measures and the working share; without labels the pressure alone, against the verdicts."""
    table, signals, rows = seen.table, seen.signals, seen.rows_B
    advantages = _advantages(rule, signals, Groups(table.groups, table.prompts))
    if not seen.enough:
        accepted = signals.verdicts > 0.0
        pressure = update_quality(advantages, accepted, signals.scores, table.groups, level=LEVEL).pressure
        return UpdateQuality(UNKNOWN, pressure, UNKNOWN), UNKNOWN
    labels, groups = table.labels[rows], table.groups[rows]
    found = update_quality(advantages[rows], labels, signals.scores[rows], groups, level=LEVEL)
    return found, working_share(advantages[rows], seen.baseline_B[rows], labels, groups, level=LEVEL)


def _judge(rule: RewardRule, seen: _Evidence) -> RuleVerdict:
    quality, working = _quality(rule, seen)
    says, evidence, missing = _say(rule, seen, quality.alignment, quality.pressure, working)
    return RuleVerdict(rule_text(rule), says, working, *quality, evidence, missing)


def _say(
    rule: RewardRule, seen: _Evidence, alignment: Estimate, pressure: Estimate, working: Estimate
) -> tuple[Says, str, str]:
    unsure: Says = "not enough evidence"
    if seen.scores_problem and rule.needs_scores:
        return unsure, f"the scores {seen.scores_problem}", "scores that tell the responses of a prompt apart"
    if not seen.enough:
        known = f"{seen.mixed} labelled prompts have right and wrong responses" if seen.table.labelled else "no trusted labels"
        return unsure, known, f"{FEW_PROMPTS - seen.mixed} more labelled prompts with right and wrong responses, or better 100"
    if math.isnan(working.value):  # the verifier alone has no gradient towards the truth
        says: Says = "helps" if alignment.low > 0.0 else "harms" if alignment.high < 0.0 else unsure
        evidence = f"the verifier alone does not point towards the labels; alignment {interval(alignment)}"
        missing = "" if says != unsure else _more(alignment, 0.0, seen)
    else:
        evidence = f"{interval(working)} times as many rollouts work"
        helps, harms = working.low > 1.0 and working.value > 1.0 + WORTH, working.high < 1.0 and working.value < 1.0 - WORTH
        says = "helps" if helps else "harms" if harms else unsure
        missing = "" if says != unsure else _more(working, 1.0, seen)
    if pressure.low >= HACKED:
        share = f"{pressure.value:.2f} of its update is noise of the reward model"
        return "harms", f"{evidence}; {share}, and no rule of the lab with {HACKED} or more got better", ""
    if says == "helps" and rule.needs_scores and not seen.auroc.low > 0.5:
        chance = f"the scores rank no better than chance (AUROC {interval(seen.auroc)})"
        return unsure, f"{evidence}, but {chance}", _more(seen.auroc, 0.5, seen)
    if says == "helps" and not pressure.high <= SAFE:
        return unsure, f"{evidence}, but a pressure of {interval(pressure)} feeds reward hacking", "a short training run"
    return says, evidence, missing


def _more(estimate: Estimate, null: float, seen: _Evidence) -> str:
    """Return how many more labelled prompts would tell the estimate from ``null`` if it stayed where it is.

    Nearer than ``WORTH`` counts as ``WORTH``.
    """
    half = (estimate.high - estimate.low) / 2.0
    if not half > WORTH:
        return "nothing: as good as the verifier alone"
    prompts = int(np.unique(seen.table.groups[seen.rows_B]).size)
    needed = clusters_missing(estimate, null, prompts, close=WORTH)
    size = seen.table.rows / seen.table.prompts
    return f"labels of about {needed:,} more prompts ({math.ceil(needed * size):,} responses), drawn at random"


def _to_label(table: Table, verifier: str) -> int:
    """Return ``Verdicts.to_label``: with none of n right, fewer than 1 - .05^(1/n) are, at 95%."""
    low, high = 1e-6, 0.99
    if math.isnan(gain_at_most(table, verifier, low)):
        return 0
    for _ in range(30):
        middle = (low + high) / 2.0
        low, high = (middle, high) if gain_at_most(table, verifier, middle) < 1.0 + LITTLE else (low, middle)
    return math.ceil(math.log(0.05) / math.log1p(-high))


def rule_text(rule: RewardRule) -> str:
    """Return the name of a rule, with the settings that are not their defaults."""
    defaults = rule_settings(rule.name) if rule.name in RULES else rule.settings
    own = [
        f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in rule.settings.items()
        if value != defaults.get(name, value)
    ]
    return ", ".join([rule.name, *own])
