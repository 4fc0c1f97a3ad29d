"""Stage 4: from what was found to a verdict."""

from __future__ import annotations

from typing import Literal, TypeAlias

from hero_rl.sandbox import Outcome
from hero_rl.types import Verdict

Policy: TypeAlias = Literal["balanced", "binary"]
POLICIES: tuple[Policy, ...] = ("balanced", "binary")

_INCORRECT = frozenset({"different", "no_answer", "answer_unparsable", "answer_too_long"})


def judge(finding: str, detail: str = "") -> Verdict:
    """The verdict for a finding: ``equal`` is correct, a known difference incorrect, anything else abstains."""
    if finding == "equal":
        return Verdict("correct", finding, detail=detail)
    return Verdict("incorrect" if finding in _INCORRECT else "abstain", finding, detail=detail)


def judge_outcome(outcome: Outcome, detail: str) -> Verdict:
    """The verdict for what came out of the sandbox: a check that broke abstains, marked as failed."""
    if outcome.kind == "value":
        return judge(str(outcome.value), detail)
    return Verdict("abstain", outcome.kind, failed=True, detail=f"{outcome.detail}: {detail}")


def apply_policy(verdict: Verdict, policy: Policy) -> Verdict:
    """The verdict under a policy: ``binary`` makes every abstention incorrect, and keeps its reason and its mark."""
    if policy == "binary" and verdict.label == "abstain":
        return verdict._replace(label="incorrect")
    return verdict
