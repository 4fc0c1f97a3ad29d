"""When is a decimal another number, rounded? The tolerance comes from the digits that were written, and is relative."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import NamedTuple

from hero_rl.verifiers.math.evaluate import Value, precise
from hero_rl.verifiers.math.syntax import Node

MIN_DIGITS = 3
"""A decimal of fewer significant digits is too coarse to stand for an exact value."""
MANY_DIGITS = 7
MAX_RELATIVE = Fraction(1, 1000)
"""However coarse the decimal, it stands for no number further away than this."""


class Decimal(NamedTuple):
    """A number written with a decimal point."""

    value: Fraction
    step: Fraction
    """One unit of its last digit."""
    digits: int
    """Significant digits; zeros at the end count."""


def written_decimal(tree: Node) -> Decimal | None:
    r"""The decimal that a tree spells: ``0.25``, ``-1.50``, ``6.02 \times 10^{23}``, ``12.5\\%``; None for other trees."""
    if tree.op == "num":
        return _plain(tree)
    if tree.op == "neg":
        inner = written_decimal(tree.args[0])
        return inner and inner._replace(value=-inner.value)
    if tree.op == "pct":
        inner = written_decimal(tree.args[0])
        return inner and Decimal(inner.value / 100, inner.step / 100, inner.digits)
    if tree.op == "mul" and len(tree.args) == 2:
        inner, power = written_decimal(tree.args[0]), _power_of_ten(tree.args[1])
        return Decimal(inner.value * power, inner.step * power, inner.digits) if inner and power is not None else None
    return None


def _plain(tree: Node) -> Decimal | None:
    if "." not in tree.name or tree.value is None:
        return None
    places = len(tree.name.partition(".")[2])
    digits = len(tree.name.replace(".", "").lstrip("0"))
    return Decimal(tree.value, Fraction(1, 10**places), digits)


def _power_of_ten(tree: Node) -> Fraction | None:
    if tree.op == "num" and tree.value == 10:
        return Fraction(10)
    if tree.op != "pow" or tree.args[0].value != 10:
        return None
    exponent = tree.args[1]
    value = -exponent.args[0].value if exponent.op == "neg" and exponent.args[0].value is not None else exponent.value
    if value is None or value.denominator != 1 or abs(value) > 1000:
        return None
    return Fraction(10) ** int(value)


def is_rounding(reference: Node, answer: Node, expected: Value, given: Value) -> bool:
    """Whether one of two unequal numbers is the other one, rounded or cut off to the digits that it shows.

    Both decimals: the finer one rounds to the coarser one. One decimal: the exact value rounds or truncates to it.
    """
    a, b = written_decimal(reference), written_decimal(answer)
    if a is None and b is None:
        return False
    if not _relatively_near(expected, given):
        return False
    if a is not None and b is not None:
        coarse, fine = (a, b.value) if a.step > b.step else (b, a.value)
        tie_cut = abs(fine) - abs(coarse.value) == coarse.step / 2  # 2.25 is rounded to 2.3
        return a.step != b.step and coarse.digits >= MIN_DIGITS and _rounds_to(fine, coarse) and not tie_cut
    coarse, exact, other = (a, given, answer) if a is not None else (b, expected, reference)
    if coarse is None or coarse.digits < MIN_DIGITS or _is_integer(other):
        return False
    return _rounds_to(exact, coarse) or _cuts_to(exact, coarse) or _last_digit_off(exact, coarse)


def _last_digit_off(value: Value, decimal: Decimal) -> bool:
    """Whether an irrational number misses a decimal of many digits by its last one: rounded on the way to the end."""
    if isinstance(value, Fraction) or decimal.digits < MANY_DIGITS:
        return False
    return bool(abs(_real(value) - _as_value(decimal.value, value)) < _as_value(2 * decimal.step, value))


def is_coarse_rounding(reference: Node, answer: Node, expected: Value, given: Value) -> bool:
    """Whether the coarser of two decimals, or the only one, is the other number rounded, to however few digits."""
    decimals = [
        (one, value) for one, value in ((written_decimal(reference), given), (written_decimal(answer), expected)) if one
    ]
    return any(value is not None and _rounds_to(value, one) for one, value in decimals)


def rounds_to_step(value: Value, target: Value, step: Fraction) -> bool:
    """Whether a value rounds to the target at a given place: what a question that asks for rounding wants."""
    return (
        isinstance(target, Fraction)
        and (target / step).denominator == 1
        and _rounds_to(value, Decimal(target, step, MIN_DIGITS))
    )


def _is_integer(tree: Node) -> bool:
    inner = tree.args[0] if tree.op == "neg" else tree
    return inner.op == "num" and inner.value is not None and inner.value.denominator == 1


def _relatively_near(x: Value, y: Value) -> bool:
    a, b = _real(x), _real(y)
    if a is None or b is None:
        return False
    if not (isinstance(a, Fraction) and isinstance(b, Fraction)):
        a, b = _lifted(a), _lifted(b)
    return bool(abs(a - b) < max(abs(a), abs(b)) * _as_value(MAX_RELATIVE, a))


def _rounds_to(value: Value, decimal: Decimal) -> bool:
    exact = _real(value)
    if exact is None:
        return False
    gap = abs(exact - _as_value(decimal.value, exact))
    return bool(gap <= _as_value(decimal.step / 2, exact))


def _cuts_to(value: Value, decimal: Decimal) -> bool:
    exact = _real(value)
    if exact is None:
        return False
    steps: Callable[[Value], int] = math.floor if exact > 0 else math.ceil
    return steps(exact / _as_value(decimal.step, exact)) == decimal.value / decimal.step


def _real(value: Value) -> Value | None:
    if isinstance(value, Fraction):
        return value
    imaginary = getattr(value, "imag", 0)
    return value.real if abs(imaginary) <= abs(value) * 1e-30 else None


def _as_value(exact: Fraction, like: Value) -> Value:
    return exact if isinstance(like, Fraction) else precise().mpf(exact.numerator) / exact.denominator


def _lifted(value: Value) -> Value:
    return _as_value(value, None) if isinstance(value, Fraction) else value
