"""The whole audit of a file: what is measured, and the same as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from hero_rl.attacks import AttackReport
from hero_rl.audit.advice import Advice, about_attack, advise
from hero_rl.audit.hacking import Sign, Trend, signs, trends
from hero_rl.audit.reward_models import RewardModelReport, reward_model_report
from hero_rl.audit.rules import RuleReport, rule_report, verifier_alone
from hero_rl.audit.table import Example, Table
from hero_rl.audit.verifiers import Agreement, VerifierReport, agreements, verifier_report
from hero_rl.rewards import RewardRule
from hero_rl.rewards.diagnostics import GroupShares


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """Everything that can be said of a file of rollouts. The rule works with the first verifier and the first reward model."""

    rows: int
    rows_in_file: int
    prompts: int
    labelled_rows: int
    verifiers: Sequence[VerifierReport]
    agreements: Sequence[Agreement]
    reward_models: Sequence[RewardModelReport]
    groups: GroupShares | None
    rule: RuleReport | None
    trends: Sequence[Trend]
    signs: Sequence[Sign]
    advice: Sequence[Advice]
    unknown: Sequence[str]
    """What cannot be said of this file, and why."""
    examples: Sequence[Example]
    attack: AttackReport | None = None
    """The first verifier that reads answers and is no model, on a sample of the references."""

    def to_json(self) -> dict[str, Any]:
        """JSON values; NaN is null, long arrays are left out or counted."""
        return {
            "rows": self.rows,
            "rows_in_file": self.rows_in_file,
            "prompts": self.prompts,
            "labelled_rows": self.labelled_rows,
            "verifiers": [_plain(report) for report in self.verifiers],
            "agreements": [_plain(report) for report in self.agreements],
            "reward_models": [_plain(report) for report in self.reward_models],
            "groups": _plain(self.groups),
            "rule": _plain(self.rule),
            "trends": [_plain(trend) for trend in self.trends],
            "hacking_signs": [_plain(sign) for sign in self.signs],
            "advice": [_plain(advice) for advice in self.advice],
            "cannot_say": list(self.unknown),
            "examples": [_plain(example) for example in self.examples],
            "attack": None if self.attack is None else self.attack.to_json(),
        }


def audit(table: Table, rule: RewardRule, *, attack: AttackReport | None = None) -> Audit:
    """The audit of a table; ``rule`` is shown with the first verifier and the first reward model, as far as it needs them."""
    verifier = next(iter(table.verdicts), None)
    scorer = next(iter(table.scores), None)
    verifiers = [verifier_report(table, name) for name in table.verdicts]
    models = [reward_model_report(table, name, verifier=verifier) for name in table.scores]
    groups = verifier_alone(table, verifier) if verifier else None
    possible = (verifier or not rule.needs_verdicts) and (scorer or not rule.needs_scores)
    found = trends(table, verifier=verifier, scorer=scorer)
    advice, unknown = advise(verifiers[0] if verifiers else None, models[0] if models else None, groups)
    advice += about_attack(attack)
    if not found:
        unknown.append("anything about training over time: the file has no column `step` with two steps or more")
    return Audit(
        rows=table.rows,
        rows_in_file=table.rows_in_file,
        prompts=table.prompts,
        labelled_rows=int((~np.isnan(table.labels)).sum()),
        verifiers=verifiers,
        agreements=agreements(table),
        reward_models=models,
        groups=groups,
        rule=rule_report(table, rule, verifier=verifier, scorer=scorer) if possible else None,
        trends=found,
        signs=signs(found),
        advice=advice,
        unknown=unknown,
        examples=table.examples,
        attack=attack,
    )


LONG = 64


def _plain(value: object) -> Any:
    """As JSON values: tuples with names become objects, short arrays lists, long ones their quantiles."""
    if hasattr(value, "_asdict"):
        return {name: _plain(entry) for name, entry in cast(Any, value)._asdict().items()}
    if isinstance(value, np.ndarray):
        return [_plain(entry) for entry in value.tolist()] if value.size <= LONG else _quantiles(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in cast("Mapping[object, object]", value).items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in cast("Sequence[object]", value)]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _quantiles(values: np.ndarray) -> dict[str, float | int]:
    known = np.asarray(values, dtype=np.float64)
    known = known[~np.isnan(known)]
    shares = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
    found = np.quantile(known, shares) if known.size else [math.nan] * len(shares)
    return {
        "count": int(known.size),
        **{f"q{round(100 * share)}": _plain(float(q)) for share, q in zip(shares, found, strict=True)},
    }
