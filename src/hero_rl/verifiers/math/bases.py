"""Numerals in a named base: ``2F_{16}``, ``(1011)_2``, ``1203_{-4}``. The base belongs to the numeral."""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

from hero_rl.verifiers.math.findings import DIFFERENT, EQUAL, Finding, equal, unsure
from hero_rl.verifiers.math.literal import plain_number

MAX_DIGITS = 200

_NUMERAL = re.compile(
    r"(?P<sign>-?)\s*(?P<open>\()?\s*(?:\\text\{\s*)?(?P<digits>[0-9A-Z][0-9A-Z ]*)(?:\s*\})?\s*(?(open)\))\s*"
    r"_\s*(?:(?P<short>\d)|\{\s*(?P<base>-?\d{1,2}|\\text\{[a-z]+\})\s*\})"
)
_ASKED = re.compile(r"\b(?:in|to|into|as an?)\s+(?:\$?(?:base|binary|octal|hexadecimal|ternary)\b)|进制", re.IGNORECASE)
_BASES = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10, "twelve": 12}


class Numeral(NamedTuple):
    """Digits and the base that they are written in."""

    digits: str
    base: int
    value: int


def compare_numerals(reference: str, answer: str, problem: str) -> Finding | None:
    """How two texts relate of which at least one is a numeral in a named base; None where neither is."""
    a, b = read_numeral(reference), read_numeral(answer)
    asked = _ASKED.search(problem) is not None
    if a is not None and b is not None:
        in_another = asked and a.base != b.base
        return DIFFERENT if a.value != b.value else unsure("bases_differ") if in_another else EQUAL
    numeral, other = (a, answer) if a is not None else (b, reference)
    if numeral is None:
        return None
    squeezed = other.replace(" ", "")
    number = plain_number(squeezed)
    named = re.search(rf"\bbase\W{{0,6}}{numeral.base}\b|\bin (?:binary|octal|hexadecimal)\b", problem) is not None
    if squeezed.upper() == numeral.digits and numeral.base != 10:
        return equal("equal_base_left_out") if a is not None or named else unsure("part_left_out")
    if number is None and asked and a is not None and not re.search(rf"_\{{?{a.base}\b", squeezed):
        return unsure("bases_differ")
    if number is None:
        return unsure("not_comparable") if re.fullmatch(r"[0-9A-Z]+", squeezed) else None
    if number != Fraction(numeral.value):
        return DIFFERENT
    if b is not None and answer.replace(" ", "") in problem.replace(" ", ""):
        return unsure("bases_differ")  # copied from the question
    return unsure("bases_differ") if asked and a is not None else EQUAL


@lru_cache(maxsize=1024)
def read_numeral(text: str) -> Numeral | None:
    """The numeral in a named base that a text is; None for anything else.

    >>> read_numeral("(1011)_2")
    Numeral(digits='1011', base=2, value=11)
    """
    match = _NUMERAL.fullmatch(text) if len(text) <= MAX_DIGITS else None
    if match is None:
        return None
    digits = match["digits"].replace(" ", "")
    name = match["short"] or match["base"]
    base = int(name) if name.lstrip("-").isdigit() else _BASES.get(name[6:-1].strip(), 0)
    if not 2 <= abs(base) <= 36 or not any(digit.isdigit() for digit in digits):
        return None
    values = [int(digit, 36) for digit in digits]
    if max(values) >= abs(base):
        return None
    value = 0
    for digit in values:
        value = value * base + digit
    return Numeral(match["sign"] + digits, base, -value if match["sign"] else value)
