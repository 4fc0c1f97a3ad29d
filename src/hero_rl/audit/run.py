"""The whole audit of a file, and the same as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from hero_rl.attacks import AttackReport
from hero_rl.audit.advice import Advice, about_attack, advise, headline, unknown
from hero_rl.audit.hacking import Sign, Trend, faults, improved, signs, trends
from hero_rl.audit.reward_models import RewardModelReport, reward_model_report
from hero_rl.audit.rules import RuleReport, rule_report, verifier_alone
from hero_rl.audit.table import Example, Table
from hero_rl.audit.verdicts import Verdicts, rule_verdicts
from hero_rl.audit.verifiers import Agreement, VerifierReport, agreements, verifier_report
from hero_rl.report import json_values
from hero_rl.rewards import RewardRule
from hero_rl.rewards.diagnostics import GroupShares


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """The audit of a file of rollouts. The rule works with the first verifier and the first reward model."""

    headline: str
    """The finding, in one sentence."""
    rows: int
    rows_in_file: int
    prompts: int
    labelled_rows: int
    verifiers: Sequence[VerifierReport]
    agreements: Sequence[Agreement]
    reward_models: Sequence[RewardModelReport]
    groups: GroupShares | None
    rule: RuleReport | None
    verdicts: Verdicts | None
    """Every rule on these rollouts; None without a verifier."""
    trends: Sequence[Trend]
    signs: Sequence[Sign]
    advice: Sequence[Advice]
    unknown: Sequence[str]
    """Questions that this file cannot answer, and why."""
    examples: Sequence[Example]
    attack: AttackReport | None = None
    """On the first verifier that reads answers and is no model, with a sample of the references."""

    def to_json(self) -> dict[str, Any]:
        """Return JSON values; NaN is null, and long arrays are quantiles."""
        renamed = {"signs": "hacking_signs", "unknown": "cannot_say"}
        values = {renamed.get(one.name, one.name): json_values(getattr(self, one.name)) for one in fields(self)}
        return values | {"attack": self.attack and self.attack.to_json()}


def audit(table: Table, rule: RewardRule, *, attack: AttackReport | None = None) -> Audit:
    """Audit a table; ``rule`` gets the first verifier and the first reward model, as far as it needs them."""
    verifier = next(iter(table.verdicts), None)
    scorer = next(iter(table.scores), None)
    verifiers = [verifier_report(table, name) for name in table.verdicts]
    models = [reward_model_report(table, name, verifier=verifier) for name in table.scores]
    groups = verifier_alone(table, verifier) if verifier else None
    possible = (verifier or not rule.needs_verdicts) and (scorer or not rule.needs_scores)
    report = rule_report(table, rule, verifier=verifier, scorer=scorer) if possible else None
    verdicts = rule_verdicts(table, rule, verifier=verifier, scorer=scorer) if verifier else None
    found = trends(table, verifier=verifier, scorer=scorer)
    judge, model = verifiers[0] if verifiers else None, models[0] if models else None
    open_questions = list(unknown(judge, model, verdicts))
    if not found:
        open_questions.append("anything about training over time: the file has no column `step` with two steps or more")
    return Audit(
        headline=headline(verdicts, model), rows=table.rows, rows_in_file=table.rows_in_file, prompts=table.prompts,
        labelled_rows=int((~np.isnan(table.labels)).sum()), verifiers=verifiers, agreements=agreements(table),
        reward_models=models, groups=groups, rule=report, verdicts=verdicts, trends=found,
        signs=[*signs(found), *faults(table, scorer=scorer, better=improved(found))],
        advice=[*advise(verdicts, report, judge, model), *about_attack(attack)], unknown=open_questions,
        examples=table.examples, attack=attack,
    )  # fmt: skip
