"""A reference answer as rows have it: a text, or a list of sub-answers that are all asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

MAX_PARTS = 100


class Reference(NamedTuple):
    """One text for every verifier, and the parts where there are several."""

    text: str
    """The parts joined by commas."""
    parts: tuple[str, ...]

    @property
    def columns(self) -> dict[str, object]:
        """What goes into ``Rollout.extra``: the list, which says that its order may matter; nothing for a single answer."""
        return {"reference": list(self.parts)} if len(self.parts) > 1 else {}


def read_reference(value: object) -> Reference | None:
    """Return the reference of a row; None for a value that is none: null, an object, an empty list, a list in a list.

    >>> read_reference(["3", 0.5]).text, read_reference("7").text
    ('3, 0.5', '7')
    """
    if isinstance(value, str):
        return Reference(value, (value,))
    if not isinstance(value, Sequence) or isinstance(value, bytes) or not 1 <= len(value) <= MAX_PARTS:
        return None
    if not all(isinstance(part, str | int | float) and not isinstance(part, bool) and str(part).strip() for part in value):
        return None
    parts = tuple(str(part).strip() for part in value)
    return Reference(", ".join(parts), parts)
