"""When is a decimal another number, rounded? The tolerance comes from the digits that were written, and is relative."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import NamedTuple

from hero_rl.verifiers.math.evaluate import Value, lifted
from hero_rl.verifiers.math.syntax import Node

MIN_DIGITS = 3
"""A decimal of fewer significant digits is too coarse to stand for an exact value."""
MANY_DIGITS = 7
MAX_RELATIVE = Fraction(1, 1000)
"""However coarse the decimal, it stands for no number further away than this."""
CLOSE = 0.02
"""Two numbers nearer than this, relative to the larger, may be one number rounded differently."""


class Decimal(NamedTuple):
    """A number written with a decimal point."""

    value: Fraction
    step: Fraction
    """One unit of its last digit."""
    digits: int
    """Significant digits; zeros at the end count."""

    def rounds(self, value: Value) -> bool:
        """Return whether a value, rounded to this decimal's last digit, is it."""
        exact = _real(value)
        return exact is not None and bool(abs(exact - _as_value(self.value, exact)) <= _as_value(self.step / 2, exact))


def written_decimal(tree: Node) -> Decimal | None:
    r"""Return the decimal that a tree spells: ``0.25``, ``-1.50``, ``6.02 \times 10^{23}``; None for other trees."""
    if tree.op == "num":
        if "." not in tree.name or tree.value is None:
            return None
        places = len(tree.name.partition(".")[2])
        return Decimal(tree.value, Fraction(1, 10**places), len(tree.name.replace(".", "").lstrip("0")))
    scale = {"neg": Fraction(-1), "pct": Fraction(1, 100)}.get(tree.op)
    if tree.op == "mul" and len(tree.args) == 2:
        scale = _power_of_ten(tree.args[1])
    inner = written_decimal(tree.args[0]) if scale is not None else None
    return None if inner is None or scale is None else Decimal(inner.value * scale, inner.step * abs(scale), inner.digits)


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
    """Return whether one of two unequal numbers is the other one, rounded or cut off to the digits that it shows.

    Both decimals: the finer one rounds to the coarser one. One decimal: the exact value rounds or truncates to it.
    """
    a, b = written_decimal(reference), written_decimal(answer)
    if (a is None and b is None) or not _relatively_near(expected, given):
        return False
    if a is not None and b is not None:
        coarse, fine = (a, b.value) if a.step > b.step else (b, a.value)
        tie_cut = abs(fine) - abs(coarse.value) == coarse.step / 2  # 2.25 is rounded to 2.3
        return a.step != b.step and coarse.digits >= MIN_DIGITS and coarse.rounds(fine) and not tie_cut
    coarse, exact, other = (a, given, answer) if a is not None else (b, expected, reference)
    bare = other.args[0] if other.op == "neg" else other
    integer = bare.op == "num" and bare.value is not None and bare.value.denominator == 1
    if coarse is None or coarse.digits < MIN_DIGITS or integer:
        return False
    near = coarse.rounds(exact) or _cuts_to(exact, coarse)
    if near or isinstance(exact, Fraction) or coarse.digits < MANY_DIGITS:
        return near
    # an irrational number may miss a decimal of many digits by its last one: rounded on the way to the end
    return bool(abs(_real(exact) - lifted(coarse.value)) < lifted(2 * coarse.step))


def is_coarse_rounding(reference: Node, answer: Node, expected: Value, given: Value) -> bool:
    """Return whether the coarser of two decimals, or the only one, is the other number rounded, to however few digits."""
    decimals = (written_decimal(reference), given), (written_decimal(answer), expected)
    return any(decimal is not None and value is not None and decimal.rounds(value) for decimal, value in decimals)


def rounds_to_step(value: Value, target: Value, step: Fraction) -> bool:
    """Return whether a value rounds to the target at a given place: what a question that asks for rounding wants."""
    on_step = isinstance(target, Fraction) and (target / step).denominator == 1
    return on_step and Decimal(target, step, MIN_DIGITS).rounds(value)


def may_be_one_number(ratio: complex, *, integers: bool) -> bool:
    """Return whether two unequal numbers could be one answer: rounded, in percent or another unit, in degrees or radians.

    Args:
        ratio: of the one number to the other; neither is zero.
        integers: both are integers, so that neither is the other one rounded.
    """
    if not integers and abs(ratio - 1) <= CLOSE:
        return True
    factors = ((100.0, 1e-9), (0.01, 1e-9), (180 / math.pi, CLOSE), (math.pi / 180, CLOSE))
    return any(math.isclose(abs(ratio), factor, rel_tol=near) for factor, near in factors)


def _relatively_near(x: Value, y: Value) -> bool:
    a, b = _real(x), _real(y)
    if a is None or b is None:
        return False
    if not (isinstance(a, Fraction) and isinstance(b, Fraction)):
        a, b = lifted(a), lifted(b)
    return bool(abs(a - b) < max(abs(a), abs(b)) * _as_value(MAX_RELATIVE, a))


def _cuts_to(value: Value, decimal: Decimal) -> bool:
    exact = _real(value)
    if exact is None:
        return False
    steps: Callable[[Value], int] = math.floor if exact > 0 else math.ceil
    return steps(exact / _as_value(decimal.step, exact)) == decimal.value / decimal.step


def _real(value: Value) -> Value | None:
    if isinstance(value, Fraction):
        return value
    return value.real if abs(getattr(value, "imag", 0)) <= abs(value) * 1e-30 else None


def _as_value(value: Value, like: Value) -> Value:
    """Return a fraction as a number of the kind of another; any other number as it is."""
    return value if isinstance(like, Fraction) else lifted(value)
