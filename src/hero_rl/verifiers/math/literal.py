r"""Stage 2: equal without any mathematics - the same text after trivial clean-up, or the same plain number."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Literal, TypeAlias

LiteralRelation: TypeAlias = Literal["equal", "different"]

_DELIMITERS = (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"))
_COMMANDS = (
    (re.compile(r"(?<=\d)(?:\\[,! ]|\{,\})(?=\d{3}(?!\d))"), ""),  # separators of thousands
    (re.compile(r"\\(?:left|right|displaystyle)(?![A-Za-z])"), ""),
    (re.compile(r"\\[dtc]frac(?![A-Za-z])"), r"\\frac"),
    (re.compile(r"\\frac\s*(\d)\s*(\d)(?!\d)"), r"\\frac{\1}{\2}"),
    (re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|mathit)\s*\{([^{}\\$]*)\}"), r"\1"),
    (re.compile(r"\\[,;:! ]|~|\\q?quad(?![A-Za-z])"), " "),
)
_SPACES = (
    (re.compile(r"\s+"), " "),
    (re.compile(r"(?<![A-Za-z]) | (?![A-Za-z])"), "\0"),
    (re.compile("(?<=\\d)\0(?=\\d)"), " "),
    (re.compile("\0"), ""),
)
_PLAIN = re.compile(r"[-+]?[\dA-Za-z]+(?:[./][\dA-Za-z]+)?")
_DECIMAL = re.compile(r"([+-]?)(\d{0,40})(?:\.(\d{1,40}))?")
_FRACTION = re.compile(r"([+-]?)(?:\\frac\{([+-]?\d{1,40})\}\{(\d{1,40})\}|(\d{1,40})/(\d{1,40}))")


def tidy(text: str) -> str:
    r"""Return the text without math delimiters, spacing, sizing, font commands and a full stop at the end.

    >>> tidy(r"$\dfrac 12 \, \text{cm}$.")
    '\\frac{1}{2}cm'
    """
    text = _undelimited(text.strip().removesuffix(".").strip())
    if _PLAIN.fullmatch(text):  # most answers: nothing below has anything to do
        return text
    if "\\" in text or "~" in text or "{,}" in text:
        for pattern, replacement in _COMMANDS:
            text = pattern.sub(replacement, text)
    text = text.replace("\u2212", "-").replace("\u2013", "-")
    if " " in text or not text.isprintable():
        for pattern, replacement in _SPACES:
            text = pattern.sub(replacement, text)
    return text.removesuffix(".")


def literal_relation(reference: str, answer: str) -> LiteralRelation | None:
    """Return ``equal``: the same text or the same plain number. ``different``: two integers that differ. None: cannot tell.

    Integers that differ by a factor of 100 may be one number in two units, and are left to the next stage.
    """
    a, b = tidy(reference), tidy(answer)
    if a and a == b:
        return "equal"
    x, y = plain_number(a), plain_number(b)
    if x is None or y is None:
        return None
    if x == y:
        return "equal"
    both_integers = x.denominator == y.denominator == 1
    return "different" if both_integers and x != 100 * y and y != 100 * x else None


def plain_number(text: str) -> Fraction | None:
    """Return the value of an integer, a decimal or a simple fraction, exactly; None for anything else."""
    if match := _DECIMAL.fullmatch(text):
        sign, whole, decimals = match.groups("")
        return Fraction(int(f"{sign}{whole}{decimals}"), 10 ** len(decimals)) if whole or decimals else None
    match = _FRACTION.fullmatch(text)
    if match is None or not int(match[3] or match[5]):
        return None
    return Fraction(int(match[2] or match[4]), int(match[3] or match[5])) * (-1 if match[1] == "-" else 1)


def _undelimited(text: str) -> str:
    for left, right in _DELIMITERS:
        if text.startswith(left) and text.endswith(right) and len(text) >= len(left) + len(right):
            inner = text[len(left) : len(text) - len(right)]
            if left not in inner and right not in inner:
                return inner.strip()
    return text
