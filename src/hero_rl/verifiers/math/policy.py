"""From what was found to a verdict, under one of three policies."""

from __future__ import annotations

from typing import Literal, TypeAlias

from hero_rl.sandbox import Outcome
from hero_rl.types import Label, Verdict
from hero_rl.verifiers.math.findings import Finding

Policy: TypeAlias = Literal["strict", "balanced", "binary"]
POLICIES: tuple[Policy, ...] = ("strict", "balanced", "binary")

_LABELS: dict[str, Label] = {"equal": "correct", "different": "incorrect", "unsure": "abstain"}


def judge(finding: Finding, policy: Policy, detail: str = "") -> Verdict:
    """The verdict for a finding.

    ``strict`` speaks only where no generosity was needed: it abstains on a rounding, a unit left out, an unreadable answer.
    ``balanced`` abstains where "incorrect" would be a guess. ``binary`` never abstains: what is not correct is incorrect.
    """
    label = _LABELS[finding.relation]
    if policy == "strict" and finding.lenient:
        label = "abstain"
    generous = finding.lenient and label == "correct"
    return apply_policy(Verdict(label, finding.reason, detail=detail, generous=generous), policy)


def judge_failure(outcome: Outcome, policy: Policy, detail: str) -> Verdict:
    """The verdict for a check that broke in the sandbox: an abstention, marked as failed."""
    return apply_policy(Verdict("abstain", outcome.kind, failed=True, detail=f"{outcome.detail}: {detail}"), policy)


def apply_policy(verdict: Verdict, policy: Policy) -> Verdict:
    """The verdict under a policy: ``binary`` makes every abstention incorrect, and keeps its reason and its mark."""
    if policy == "binary" and verdict.label == "abstain":
        return verdict._replace(label="incorrect")
    return verdict
