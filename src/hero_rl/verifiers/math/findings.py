"""The finding of a comparison: equal, different or unsure, and why. Shared by all stages."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

Relation: TypeAlias = Literal["equal", "different", "unsure"]


class Finding(NamedTuple):
    """How an answer relates to a reference."""

    relation: Relation
    reason: str
    """A code from the table in ``docs/verifiers.md``."""
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
