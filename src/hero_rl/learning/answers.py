"""The kind of a reference answer and its parts: enough to rewrite it and to spoil it. Not a parser of mathematics."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Literal, NamedTuple, TypeAlias

from hero_rl.verifiers.latex import brackets, split_list

Kind: TypeAlias = Literal[
    "integer", "decimal", "fraction", "quantity", "interval", "tuple", "set", "list", "expression", "words"
]

_NUMBER = r"[+-]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|[+-]?\.\d+"
_INTEGER = re.compile(r"[+-]?(?:\d{1,3}(?:,\d{3})+|\d+)")
_DECIMAL = re.compile(_NUMBER)
_SLASHED = re.compile(r"([+-]?\d+)\s*/\s*(\d+)")
_STACKED = re.compile(r"([+-]?)\\[dt]?frac\{(\d+)\}\{(\d+)\}")
_QUANTITY = re.compile(
    rf"(?P<number>{_NUMBER})(?:\s*|\\,|\\;|~)"
    r"(?P<unit>(?:\\text|\\mathrm)\{\s*(?P<inner>[A-Za-z/^2-3 ]+)\s*\}|\s[A-Za-z]+)"
)
_WORDS = re.compile(r"(?:\\text\{[^{}]*\}|[A-Za-z ,.'-])+")


class Answer(NamedTuple):
    """A reference taken apart."""

    text: str
    """Without dollar signs and spaces around it."""
    kind: Kind
    value: Fraction | None = None
    """Of an integer, a decimal or a fraction."""
    parts: tuple[str, ...] = ()
    """The items of an interval, a tuple, a set or a list; number and unit of a quantity."""
    opening: str = ""
    closing: str = ""


def read_answer(text: str) -> Answer:
    r"""The kind of an answer and its parts.

    >>> read_answer(r"\frac{3}{4}").value
    Fraction(3, 4)
    >>> read_answer("(1, 2]").kind, read_answer("(1, 2)").kind
    ('interval', 'tuple')
    """
    text = text.strip().strip("$").strip()
    value = _value(text)
    if value is not None:
        stacked = "/" in text or "frac" in text
        kind: Kind = "fraction" if stacked else "integer" if _INTEGER.fullmatch(text) else "decimal"
        return Answer(text, kind, value)
    quantity = _QUANTITY.fullmatch(text)
    if quantity:
        unit = (quantity["inner"] or quantity["unit"]).strip()
        return Answer(text, "quantity", None, (quantity["number"], unit))
    enclosed = brackets(text)
    if enclosed:
        return _enclosed(text, *enclosed)
    items = tuple(split_list(text))
    if len(items) > 1 and not _WORDS.fullmatch(text):
        return Answer(text, "list", None, items)
    return Answer(text, "words" if _WORDS.fullmatch(text) and len(text) > 1 else "expression")


def decimal_text(value: Fraction) -> str | None:
    """The exact decimal with at most six places; None where there is none."""
    scaled = value * 10**6
    if scaled.denominator != 1:
        return None
    sign, digits = "-" if value < 0 else "", f"{abs(scaled.numerator):07d}"
    return (sign + digits[:-6] + "." + digits[-6:]).rstrip("0").rstrip(".")


def fraction_text(numerator: int, denominator: int) -> str:
    r"""``\frac{...}{...}`` with the sign in front."""
    return ("-" if numerator < 0 else "") + rf"\frac{{{abs(numerator)}}}{{{denominator}}}"


def _value(text: str) -> Fraction | None:
    if slashed := _SLASHED.fullmatch(text):
        return Fraction(int(slashed[1]), int(slashed[2])) if int(slashed[2]) else None
    if stacked := _STACKED.fullmatch(text):
        return Fraction(int(stacked[1] + stacked[2]), int(stacked[3])) if int(stacked[3]) else None
    return Fraction(text.replace(",", "")) if _DECIMAL.fullmatch(text) and len(text) < 40 else None


def _enclosed(text: str, opening: str, content: str, closing: str) -> Answer:
    items = tuple(split_list(content))
    if opening in ("{", r"\{"):
        return Answer(text, "set", None, items, opening, closing)
    if len(items) == 2 and ("[" in (opening, closing) or "]" in (opening, closing) or r"\infty" in content):
        return Answer(text, "interval", None, items, opening, closing)
    return Answer(text, "tuple" if len(items) > 1 else "expression", None, items, opening, closing)
