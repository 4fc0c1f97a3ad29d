"""``any_of``, ``all_of`` and ``majority``: several verifiers side by side, and one verdict from theirs.

A vote is ``correct``, ``incorrect`` or an abstention. A verdict that is marked as failed is an abstention, whatever its label.

    any_of      correct if any says correct; incorrect if all say incorrect; else abstain
    all_of      incorrect if any says incorrect; correct if all say correct; else abstain
    majority    what more than half of those who decide say, if enough decide; a tie abstains

The verdict is marked as failed where nothing was decided and a vote failed: with that vote it might have been. It is marked as
learned where it would be another without the learned votes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from hero_rl.cache import code_identity
from hero_rl.errors import InputError
from hero_rl.loop import together
from hero_rl.types import Label, Rollout, Verdict, Verifier, one_each
from hero_rl.verifiers.combined import CombinedVerifier


class Decision(NamedTuple):
    """The label that some votes come to, and why."""

    label: Label
    reason: str


Count: TypeAlias = Callable[[Sequence[Label]], Decision]


class _Majority(NamedTuple):
    quorum: int

    def __call__(self, votes: Sequence[Label]) -> Decision:
        correct, incorrect = votes.count("correct"), votes.count("incorrect")
        if correct + incorrect < self.quorum:
            return Decision("abstain", "no_quorum")
        if correct == incorrect:
            return Decision("abstain", "tie")
        return Decision("correct", "majority_correct") if correct > incorrect else Decision("incorrect", "majority_incorrect")


def any_of(*verifiers: Verifier) -> Panel:
    """Return a verifier that says correct where any of these does, and incorrect only where all do.

    Raises:
        InputError: fewer than two verifiers.
    """
    return Panel("any_of", _count_any, verifiers)


def all_of(*verifiers: Verifier) -> Panel:
    """Return a verifier that says correct only where all of these do, and incorrect where any does.

    Raises:
        InputError: fewer than two verifiers.
    """
    return Panel("all_of", _count_all, verifiers)


def majority(*verifiers: Verifier, quorum: int | None = None) -> Panel:
    """Return a verifier that says what more than half of those say that do not abstain.

    Args:
        verifiers: two or more; with an even number ties are possible, and abstain.
        quorum: how many must decide; None: more than half of all.

    Raises:
        InputError: fewer than two verifiers, or a quorum that cannot be reached.
    """
    quorum = len(verifiers) // 2 + 1 if quorum is None else quorum
    if not 1 <= quorum <= max(len(verifiers), 1):
        raise InputError(f"majority: quorum={quorum} must lie between 1 and the number of verifiers, {len(verifiers)}")
    return Panel("majority" if quorum == len(verifiers) // 2 + 1 else f"majority{quorum}", _Majority(quorum), verifiers)


class Panel(CombinedVerifier):
    """Several verifiers at the same time, and the verdict that their votes come to. Made by the functions of this module."""

    def __init__(self, kind: str, count: Count, verifiers: Sequence[Verifier]) -> None:
        """Count votes in a way of its own.

        Args:
            kind: a short name for ``count``, which becomes part of ``name`` and ``identity``.
            count: gives the label and the reason for one row's votes; failed ones come in as abstentions.
            verifiers: two or more, each a different object.

        Raises:
            InputError: fewer than two verifiers.
        """
        if len(verifiers) < 2:
            raise InputError(f"{kind} needs two verifiers or more, and has {len(verifiers)}")
        self._combine(f"{kind}({', '.join(verifier.name for verifier in verifiers)})", verifiers)
        self.verifiers, self.kind, self._decide = tuple(verifiers), kind, count

    async def averify(self, rollouts: Sequence[Rollout], /) -> list[Verdict]:
        """Return one verdict per rollout, in the order given; takes as long as the slowest of the verifiers."""
        ballots = await together(*(verifier.averify(rollouts) for verifier in self.verifiers))
        for verifier, verdicts in zip(self.verifiers, ballots, strict=True):
            one_each(verifier.name, verdicts, rollouts)
        return [self._verdict(votes) for votes in zip(*ballots, strict=True)]

    @property
    def identity(self) -> str | None:
        """Everything but the rollout that decides a verdict; None where one of the verifiers has no identity."""
        parts = [verifier.identity for verifier in self.verifiers]
        return None if None in parts else f"{self.kind}({'; '.join(parts)}; {code_identity('votes.py')})"

    def _verdict(self, votes: Sequence[Verdict]) -> Verdict:
        decided = self._decide([_label(vote) for vote in votes])
        by_rule = self._decide(["abstain" if vote.learned else _label(vote) for vote in votes])
        open_still = decided.label == "abstain"
        return Verdict(
            decided.label,
            decided.reason,
            failed=open_still and any(vote.failed for vote in votes),
            detail="; ".join(
                f"{verifier.name}: {vote.label} ({vote.reason})" for verifier, vote in zip(self.verifiers, votes, strict=True)
            ),
            learned=not open_still and by_rule.label != decided.label,
        )


def _count_any(votes: Sequence[Label]) -> Decision:
    if "correct" in votes:
        return Decision("correct", "any_correct")
    return Decision("abstain", "undecided") if "abstain" in votes else Decision("incorrect", "all_incorrect")


def _count_all(votes: Sequence[Label]) -> Decision:
    if "incorrect" in votes:
        return Decision("incorrect", "any_incorrect")
    return Decision("abstain", "undecided") if "abstain" in votes else Decision("correct", "all_correct")


def _label(vote: Verdict) -> Label:
    return "abstain" if vote.failed else vote.label
