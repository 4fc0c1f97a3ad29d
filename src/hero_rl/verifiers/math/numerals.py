"""Numbers as they are written: decimals, mixed fractions, repeating decimals, numerals of another base."""

from __future__ import annotations

from fractions import Fraction

from hero_rl.verifiers.math.tokens import Unreadable
from hero_rl.verifiers.math.tree import Node

MAX_NUMBER_DIGITS = 400


def literal(text: str) -> Fraction:
    """The value of digits with at most one decimal point."""
    if len(text) > MAX_NUMBER_DIGITS:
        raise Unreadable("too_many_digits")
    whole, _, decimals = text.partition(".")
    return Fraction(int(whole + decimals), 10 ** len(decimals)) if decimals else Fraction(int(whole))


def mixed(whole: Fraction, top: Fraction, bottom: Fraction) -> Node:
    """A whole number and a fraction beside it."""
    if bottom == 0 or whole.denominator != 1:
        raise Unreadable("numbers_side_by_side")
    return Node("num", (), whole + top / bottom)


def repeating(text: str, digits: str) -> Fraction:
    """A decimal whose last digits repeat without end.

    >>> repeating("0.1", "6")
    Fraction(1, 6)
    """
    if not digits.isdecimal():
        raise Unreadable("syntax")
    places = len(text.partition(".")[2])
    return literal(text) + Fraction(int(digits), (10 ** len(digits) - 1) * 10**places)


def continued(text: str) -> Fraction | None:
    r"""The value of ``0.1666\ldots`` where the digits show what repeats; None where they do not, as in ``3.14\ldots``.

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
    """``4210_7``: a numeral in a base; the name keeps the digits, since a bare numeral may be meant in that base."""
    if base.op != "num" or base.value is None or not 2 <= base.value <= 36 or base.value.denominator != 1:
        raise Unreadable("syntax")
    whole, _, rest = digits.partition(".")
    try:
        value = Fraction(int(whole + rest, int(base.value)), int(base.value) ** len(rest))
    except ValueError as error:
        raise Unreadable("digits_of_another_base") from error
    return Node("num", (), value, f"base:{digits}")
