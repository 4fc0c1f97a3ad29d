"""Numbers as they are written: decimals, mixed fractions, repeating decimals, numerals such as ``2F_{16}`` or ``1203_{-4}``."""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

from hero_rl.verifiers.math.findings import DIFFERENT, EQUAL, Finding, equal, unsure
from hero_rl.verifiers.math.literal import plain_number
from hero_rl.verifiers.math.tokens import Unreadable
from hero_rl.verifiers.math.tree import Node
from hero_rl.verifiers.math.words import SMALL_NUMBERS

MAX_NUMBER_DIGITS = 400
MAX_DIGITS = 200

_NUMERAL = re.compile(
    r"(?P<sign>-?)\s*(?P<open>\()?\s*(?:\\text\{\s*)?(?P<digits>[0-9A-Z][0-9A-Z ]*)(?:\s*\})?\s*(?(open)\))\s*"
    r"_\s*(?:(?P<short>\d)|\{\s*(?P<base>-?\d{1,2}|\\text\{[a-z]+\})\s*\})"
)
_ASKED_BASE = re.compile(
    r"\b(?:in|to|into|as an?)\s+(?:\$?base\W{0,6}(\w+)|(binary|ternary|octal|decimal|hexadecimal))\b", re.IGNORECASE
)
_BASES = {"binary": 2, "ternary": 3, "octal": 8, "decimal": 10, "hexadecimal": 16}


def literal(text: str) -> Fraction:
    """Return the value of digits with at most one decimal point."""
    if len(text) > MAX_NUMBER_DIGITS:
        raise Unreadable("too_many_digits")
    whole, _, decimals = text.partition(".")
    return Fraction(int(whole + decimals), 10 ** len(decimals)) if decimals else Fraction(int(whole))


def mixed(whole: Fraction, top: Fraction, bottom: Fraction) -> Node:
    """Return the number that a whole number and a fraction beside it are."""
    if bottom == 0 or whole.denominator != 1:
        raise Unreadable("numbers_side_by_side")
    return Node("num", (), whole + top / bottom)


def repeating(text: str, digits: str) -> Fraction:
    """Return a decimal whose last digits repeat without end.

    >>> repeating("0.1", "6")
    Fraction(1, 6)
    """
    if not digits.isdecimal():
        raise Unreadable("syntax")
    places = len(text.partition(".")[2])
    return literal(text) + Fraction(int(digits), (10 ** len(digits) - 1) * 10**places)


def continued(text: str) -> Fraction | None:
    r"""Return the value of ``0.1666\ldots`` where the digits show what repeats; None where they do not, as in ``3.14\ldots``.

    One digit must stand at least three times at the end, or the decimals must be one block written at least twice.

    >>> continued("0.2727"), continued("2.718281828")
    (Fraction(3, 11), None)
    """
    whole, _, decimals = text.partition(".")
    last = decimals[-1:]
    kept = decimals.rstrip(last)
    if last and len(decimals) - len(kept) >= (3 if kept else 2) and last != "0":
        return repeating(f"{whole}.{kept}", last)
    for size in range(2, len(decimals) // 2 + 1):
        block = decimals[:size]
        if (block * len(decimals)).startswith(decimals):
            return repeating(f"{whole}.", block)
    return None


def based(digits: str, base: Node) -> Node:
    """Return ``4210_7``, a numeral in a base; the name keeps the digits, since a bare numeral may be meant in that base."""
    if base.op != "num" or base.value is None or not 2 <= base.value <= 36 or base.value.denominator != 1:
        raise Unreadable("syntax")
    whole, _, rest = digits.partition(".")
    try:
        value = Fraction(int(whole + rest, int(base.value)), int(base.value) ** len(rest))
    except ValueError as error:
        raise Unreadable("digits_of_another_base") from error
    return Node("num", (), value, f"base:{digits}")


class Numeral(NamedTuple):
    """Digits and the base that they are written in."""

    digits: str
    base: int
    value: int


def compare_numerals(reference: str, answer: str, problem: str) -> Finding | None:
    """Compare two texts of which at least one is a numeral in a named base; None where neither is."""
    a, b = read_numeral(reference), read_numeral(answer)
    asked = "进制" in problem or any(match[2] != "decimal" for match in _ASKED_BASE.finditer(problem.lower()))
    if a is not None and b is not None:
        in_another = asked and a.base != b.base
        return DIFFERENT if a.value != b.value else unsure("bases_differ") if in_another else EQUAL
    numeral, other = (a, answer) if a is not None else (b, reference)
    if numeral is None:
        return None
    squeezed = other.replace(" ", "")
    number = plain_number(squeezed)
    named = numeral.base in _asked_bases(problem) or re.search(rf"\bbase\W{{0,6}}{numeral.base}\b", problem) is not None
    if squeezed.upper() == numeral.digits and numeral.base != 10:
        return equal("equal_base_left_out") if a is not None or named else unsure("part_left_out")
    if number is None and asked and a is not None and not re.search(rf"_\{{?{a.base}\b", squeezed):
        return unsure("bases_differ")
    if number is None:
        return unsure("not_comparable") if re.fullmatch(r"[0-9A-Z]+", squeezed) else None
    if number != Fraction(numeral.value):
        return DIFFERENT
    if b is not None and (asks := _asked_bases(problem)) and b.base not in asks:
        return unsure("bases_differ")
    if b is not None and answer.replace(" ", "") in problem.replace(" ", ""):
        return unsure("bases_differ")  # copied from the question
    return unsure("bases_differ") if asked and a is not None else EQUAL


@lru_cache(maxsize=1024)
def _asked_bases(problem: str) -> frozenset[int]:
    """Return the bases in which a question wants a number."""
    found = (match[2] or match[1] for match in _ASKED_BASE.finditer(problem.lower()))
    known = (_BASES.get(name) or SMALL_NUMBERS.get(name) or (int(name) if name.isdecimal() else 0) for name in found)
    return frozenset(base for base in known if 2 <= base <= 36)


@lru_cache(maxsize=1024)
def read_numeral(text: str) -> Numeral | None:
    """Return the numeral in a named base that a text is; None for anything else.

    >>> read_numeral("(1011)_2")
    Numeral(digits='1011', base=2, value=11)
    """
    match = _NUMERAL.fullmatch(text) if len(text) <= MAX_DIGITS else None
    if match is None:
        return None
    digits = match["digits"].replace(" ", "")
    name = match["short"] or match["base"]
    base = int(name) if name.lstrip("-").isdigit() else SMALL_NUMBERS.get(name[6:-1].strip(), 0)
    if not 2 <= abs(base) <= 36 or not any(digit.isdigit() for digit in digits):
        return None
    if any(int(digit, 36) >= abs(base) for digit in digits):
        return None
    value = 0
    for digit in digits:
        value = value * base + int(digit, 36)
    return Numeral(match["sign"] + digits, base, -value if match["sign"] else value)
