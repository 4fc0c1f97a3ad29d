"""Findings of a comparison - equal, different or unsure, and why - and the verdict for one under each policy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias, get_args

from hero_rl.sandbox import Outcome
from hero_rl.types import Label, Verdict
from hero_rl.verifiers.sandboxed import without_value

Policy: TypeAlias = Literal["strict", "balanced", "binary"]
POLICIES: tuple[Policy, ...] = get_args(Policy)
Relation: TypeAlias = Literal["equal", "different", "unsure"]


class Finding(NamedTuple):
    """How an answer relates to a reference."""

    relation: Relation
    reason: str
    """A code from the table in ``docs/math-reference.md``."""
    lenient: bool = False
    """Equal only under a generous reading (a rounding, a unit left out), or different only in kind: the policy ``strict``
    abstains."""


EQUAL = Finding("equal", "equal")
DIFFERENT = Finding("different", "different")


def equal(reason: str) -> Finding:
    """Return "equal", under a generous reading."""
    return Finding("equal", reason, lenient=True)


def different(reason: str) -> Finding:
    """Return "different", in kind."""
    return Finding("different", reason, lenient=True)


def unsure(reason: str) -> Finding:
    """Return "unsure": one cannot tell."""
    return Finding("unsure", reason)


def all_of(findings: Sequence[Finding]) -> Finding:
    """Equal where all are; different where one is; else unsure."""
    for relation in ("different", "unsure"):
        for finding in findings:
            if finding.relation == relation:
                return finding
    return next((finding for finding in findings if finding.lenient), EQUAL)


_LABELS: dict[Relation, Label] = {"equal": "correct", "different": "incorrect", "unsure": "abstain"}


def judge(finding: Finding, policy: Policy, detail: str = "") -> Verdict:
    """Return the verdict for a finding.

    ``strict`` speaks only where no generosity was needed: it abstains on a rounding, a unit left out, an unreadable answer.
    ``balanced`` abstains where "incorrect" would be a guess. ``binary`` never abstains: what is not correct is incorrect.
    """
    label = "abstain" if policy == "strict" and finding.lenient else _LABELS[finding.relation]
    generous = finding.lenient and label == "correct"
    return _under(Verdict(label, finding.reason, detail=detail, generous=generous), policy)


def judge_failure(outcome: Outcome, policy: Policy, detail: str) -> Verdict:
    """Return the verdict for a check without a value: an abstention, marked as failed if something broke."""
    verdict = without_value(outcome)
    return _under(verdict._replace(detail=f"{outcome.detail}: {detail}"), policy)


def _under(verdict: Verdict, policy: Policy) -> Verdict:
    return verdict._replace(label="incorrect") if policy == "binary" and verdict.label == "abstain" else verdict
