"""Patterns that ignore case, made quick: in ASCII the text in lower case is searched with a pattern that does not."""

from __future__ import annotations

import re

_IDLE = " \t\n\r$.,;:})]\\"


class Caseless:
    """A pattern in lower case that is found in any case; of a match only where it is may be asked, not what it says.

    >>> Caseless("not (?:a|the)").found("It is NOT the root."), Caseless("not").found("It is five.")
    (True, False)
    """

    __slots__ = ("_exact", "_other")

    def __init__(self, pattern: str, flags: int = 0):
        self._exact = re.compile(pattern, flags)
        self._other = re.compile(pattern, flags | re.IGNORECASE)
        """Beyond ASCII there are letters that only ``re`` takes for those of a word."""

    def search(self, text: str) -> re.Match[str] | None:
        """Return the first place where the pattern is found."""
        return self._exact.search(text.lower()) if text.isascii() else self._other.search(text)

    def match(self, text: str) -> re.Match[str] | None:
        """Return the place at the beginning of the text, if the pattern is found there."""
        return self._exact.match(text.lower()) if text.isascii() else self._other.match(text)

    def found(self, text: str) -> bool:
        """Return whether the pattern is found anywhere."""
        return self.search(text) is not None


def is_idle(text: str) -> bool:
    r"""Return whether a text has nothing but the ends of formulas and sentences.

    >>> is_idle("$.  "), is_idle(r"\)."), is_idle("$ cm")
    (True, True, False)
    """
    return not text.strip(_IDLE)
