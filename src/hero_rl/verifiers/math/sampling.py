r"""Are two expressions equal? Exactly where they are rational, else to as many digits as it takes; functions at many points.

Two numbers count as equal only if their difference shrinks when more digits are computed: the digits cover the whole range
of magnitudes that occurs on the way, so that ``10^{60}+\sqrt{2}`` differs from ``10^{60}``. Where that is out of reach, the
answer is ``too_large``, not ``equal``. Points are fixed, so a verdict never changes between runs.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import lru_cache
from itertools import product
from typing import Literal, NamedTuple, TypeAlias

from hero_rl.verifiers.math.application import index_sequences
from hero_rl.verifiers.math.evaluate import (
    DIGITS,
    Measured,
    NotReal,
    TooLarge,
    Undefined,
    Value,
    digits_of,
    evaluate,
    fast,
    lifted,
    measure,
    precise,
)
from hero_rl.verifiers.math.points import AROUND_KINKS, Point, integer_variables, needs_whole, points
from hero_rl.verifiers.math.tokens import Unreadable
from hero_rl.verifiers.math.tree import Node, has_range, rename, substitute, symbols, variables, walk

__all__ = ["Relation", "compare_trees", "constant_ratio", "expand_signs", "measured", "needs_whole", "points", "rename",
           "same_constant", "substitute"]  # fmt: skip

Relation: TypeAlias = Literal["equal", "equal_if_positive", "equal_in_part", "different", "unknown", "too_large"]
"""``equal_if_positive``: equal where all variables are positive, different elsewhere. ``equal_in_part``: equal, but the second
has no real value at positive numbers where the first has one, or they differ at large angles."""

MAX_SYMBOLS = 12
MAX_SIGNS = 16
MAX_DIGITS = 3_200
"""A comparison of constants that needs more digits than this is not made."""
_MAX_DIGITS_AT_POINT = 800
_ENOUGH = 4
_MISSING = 2
"""So many points at which only the first has a real value are no rounding error."""
_CONFIRMED = 2
"""Points at which agreement of machine numbers is confirmed to full precision."""
_FAST_AGREES = 1e-9
_PRECISE_AGREES = 1e-30
_CANCELLED = 1e-45
_BITS_PER_DIGIT = 3.33
_CLEARLY_DIFFERENT = 83
"""In bits, 25 digits: a gap this close to the largest magnitude on the way is no rounding error of 50 digits."""
_GUARD_DIGITS, _FEWEST_DIGITS = 100, 120
_NARROW = 200
"""In bits: where the magnitudes on the way span no more, a gap of the size of rounding errors is one."""
_SHRUNK, _NOT_SHRUNK = 133, 66
"""In bits, 40 and 20 digits below the smallest magnitude on the way: a gap below the one is none, one above the other is."""


def same_constant(a: Value, b: Value, *, noisy: bool) -> bool:
    """Whether two values of the ``precise`` context are one number; ``noisy``: sums or functions may have cancelled to zero."""
    if isinstance(a, Fraction) and isinstance(b, Fraction):
        return a == b
    x, y = lifted(a), lifted(b)
    size, gap = max(abs(x), abs(y)), abs(x - y)
    return bool(gap <= size * _PRECISE_AGREES or (noisy and size < _CANCELLED))


@lru_cache(maxsize=4096)
def is_complex(tree: Node) -> bool:
    """Return whether the imaginary unit stands in an expression."""
    return any(node.op == "sym" and node.name == "i" for node in walk(tree))


def compare_trees(a: Node, b: Node, *, log_base: int = 0) -> Relation:
    """Return how two expressions without plus-minus signs relate."""
    if a.op == b.op == "num":
        return "equal" if a.value == b.value else "different"
    if has_range(a) or has_range(b):
        try:
            a, b = index_sequences(a, b)
        except Unreadable:
            return "unknown"
        names = sorted(variables(a) | variables(b))
    else:
        names = sorted(symbols(a) | symbols(b))
    if a == b:
        return "equal"
    if not names:
        return _compare_constants(a, b, log_base)
    if len(names) > MAX_SYMBOLS:
        return "unknown"
    return _Sample(a, b, log_base).relation(names)


class _Sample:
    """The comparison of two functions point by point."""

    def __init__(self, a: Node, b: Node, log_base: int):
        self._trees = (a, b)
        self._log_base = log_base
        self._real = not (is_complex(a) or is_complex(b))
        self._whole = needs_whole(a, b)
        self._confirmed = self._missing = 0
        self._tally: Counter[tuple[str, bool]] = Counter()
        self._seen: set[int] = set()
        self._out_of_reach: set[int] = set()

    def relation(self, names: Sequence[str]) -> Relation:
        """Return how the two functions of these variables relate."""
        for point in points(names, whole=self._whole, trees=self._trees):
            try:
                agrees = self._agrees_at(point)
            except TooLarge:
                self._out_of_reach.add(point.group)
                continue
            if agrees is not None:
                self._seen.add(point.group)
                self._tally[point.family, agrees] += 1
                if not agrees and not self._whole and self._tally.total() >= _ENOUGH and self._differ_on_positive():
                    return "different"
        return self._conclude()

    def _differ_on_positive(self) -> int:
        return self._tally["positive", False] + self._tally["unit", False]

    def _agrees_at(self, point: Point) -> bool | None:
        """Return whether both have the same value at a point; None where one has none, or both are complex and differ."""
        try:
            agrees = self._in_machine_numbers(point.values)
            if agrees is not None:
                return agrees
            agrees = _same_value(*self._trees, point.values, log_base=self._log_base, real=self._real)
        except TooLarge:
            raise
        except NotReal:
            self._missing += point.family not in ("signed", "whole") and self._only_first_is_real(point.values)
            return None
        except Undefined:
            return None
        self._confirmed += bool(agrees)
        return agrees

    def _only_first_is_real(self, values: Mapping[str, Fraction]) -> bool:
        try:
            evaluate(self._trees[0], values, precise(), log_base=self._log_base, real=True)
        except Undefined:
            return False
        try:
            evaluate(self._trees[1], values, precise(), log_base=self._log_base, real=True)
        except NotReal:
            return True
        return False

    def _in_machine_numbers(self, values: Mapping[str, Fraction]) -> bool | None:
        """Agreement as far as machine numbers can tell: exact numbers, or close ones after a few were confirmed."""
        try:
            x, y = (evaluate(tree, values, fast(), log_base=self._log_base, real=self._real) for tree in self._trees)
            if isinstance(x, Fraction) and isinstance(y, Fraction):
                return x == y
            x, y = lifted(x, fast()), lifted(y, fast())
            near = x != 0 and abs(x - y) <= _FAST_AGREES * max(abs(x), abs(y))
        except NotReal:
            raise
        except (Undefined, OverflowError):
            return None
        return True if near and self._confirmed >= _CONFIRMED else None

    def _conclude(self) -> Relation:
        agreed = sum(count for (_, agrees), count in self._tally.items() if agrees)
        differed = sum(count for (_, agrees), count in self._tally.items() if not agrees)
        unseen = self._out_of_reach - self._seen
        if agreed + differed < _ENOUGH:
            return "too_large" if self._out_of_reach else "unknown"
        if not differed and self._missing >= _MISSING:
            return "equal_in_part"
        if not differed:
            return "unknown" if any(group >= AROUND_KINKS for group in unseen) else "equal"
        if not agreed:
            return "different"
        if self._tally["whole", True] >= _ENOUGH and not self._tally["whole", False]:
            return "equal" if integer_variables(*self._trees) and not unseen else "unknown"
        if not self._differ_on_positive() and (self._tally["turns", False] or self._missing >= _MISSING):
            return "equal_in_part"
        if not self._differ_on_positive() and self._tally["positive", True] >= _ENOUGH:
            return "equal_if_positive"
        return "different"


def _compare_constants(a: Node, b: Node, log_base: int) -> Relation:
    try:
        same = _same_value(a, b, {}, log_base=log_base, real=False)
    except TooLarge:
        residues = _same_residues(a, b)
        return "too_large" if residues is None else "equal" if residues else "different"
    except Undefined:
        return "unknown"
    return "unknown" if same is None else "equal" if same else "different"


class _Gap(NamedTuple):
    """How far apart two numbers are, and the range of magnitudes on the way to them; all as powers of two."""

    size: int | None
    """None: no gap at all."""
    high: int
    low: int
    digits: int
    """With which they were computed; 0: both numbers are exact."""
    real: bool


def _same_value(a: Node, b: Node, values: Mapping[str, Fraction], *, log_base: int, real: bool) -> bool | None:
    """Whether two expressions have the same value; None where that cannot be told, or both are complex and differ at a point.

    A gap is a rounding error only if it shrinks with the digits; otherwise, however small, it is a difference.
    """
    first = _gap(a, b, values, DIGITS, log_base, real)
    if first.digits == 0:
        return first.size is None
    if first.size is not None and first.size > first.high - _CLEARLY_DIFFERENT:
        return None if values and not first.real else False
    most = _MAX_DIGITS_AT_POINT if values else MAX_DIGITS
    digits = _digits_for(_GUARD_DIGITS + (first.high - first.low) / _BITS_PER_DIGIT, most)
    second = _gap(a, b, values, digits, log_base, real)
    if second.size is None:
        return True
    if second.size > first.low - _NOT_SHRUNK:
        return None if values and not second.real else False
    if first.high - first.low < _NARROW and second.size < second.high - digits * _BITS_PER_DIGIT + _NOT_SHRUNK:
        return True
    third = _gap(a, b, values, 2 * digits, log_base, real)
    if third.size is None or third.size < second.size - _SHRUNK:
        return True
    return False if third.size > second.size - 2 else None


def _digits_for(least: float, most: int) -> int:
    digits = _FEWEST_DIGITS
    while digits < least:
        digits *= 2
    if digits > most:
        raise TooLarge("a comparison that needs too many digits")
    return digits


def _gap(a: Node, b: Node, values: Mapping[str, Fraction], digits: int, log_base: int, real: bool) -> _Gap:
    context = digits_of(digits)
    if values:
        left, right = (measure(tree, values, context, log_base=log_base, real=real) for tree in (a, b))
    else:
        left, right = (measured(tree, digits, log_base=log_base, real=real) for tree in (a, b))
    high, low = max(left.high, right.high), min(left.low, right.low)
    if isinstance(left.value, Fraction) and isinstance(right.value, Fraction):
        return _Gap(None if left.value == right.value else 0, high, low, 0, True)
    x, y = lifted(left.value, context), lifted(right.value, context)
    gap = x - y
    return _Gap(None if gap == 0 else int(context.mag(gap)), high, low, digits, _is_real(x) and _is_real(y))


@lru_cache(maxsize=1024)
def measured(tree: Node, digits: int, *, log_base: int = 0, real: bool = False) -> Measured:
    """Return a constant measured to so many digits, once for all comparisons of it."""
    return measure(tree, {}, digits_of(digits), log_base=log_base, real=real)


def _is_real(value: Value) -> bool:
    return bool(abs(value.imag) <= 1e-12 * abs(value))


def constant_ratio(a: Node, b: Node) -> bool | None:
    """Return whether a / b is the same nonzero number everywhere: two equations ``a = 0`` and ``b = 0`` then say the same."""
    names = sorted(symbols(a) | symbols(b))
    if len(names) > MAX_SYMBOLS:
        return None
    real = not (is_complex(a) or is_complex(b))
    ratios: list[Value] = []
    for point in points(names, whole=needs_whole(a, b), trees=(a, b)):
        try:
            x, y = (lifted(evaluate(tree, point.values, precise(), real=real)) for tree in (a, b))
        except Undefined:
            continue
        if y == 0 and abs(x) > _CANCELLED:
            return False
        if y != 0 and _is_real(x) and _is_real(y):
            ratios.append(x / y)
            if abs(ratios[-1] - ratios[0]) > _PRECISE_AGREES * abs(ratios[0]):
                return False
    return None if len(ratios) < _ENOUGH else bool(ratios[0] != 0)


def expand_signs(tree: Node) -> list[Node]:
    """Return the expressions that plus-minus signs stand for: each ``pm`` freely, each ``mp`` opposite to the last ``pm``.

    >>> len(expand_signs(Node("pm", (Node("sym", (), None, "x"),))))
    2
    """
    signs = [node.op for node in walk(tree)]
    count = min(signs.count("pm"), 5)
    lone = count == 0 and "mp" in signs
    count += lone
    if not count or 2**count > MAX_SIGNS:
        return [tree]
    choices = product((False, True), repeat=count)
    return [_with_signs(tree, list(choice) if lone else [*choice, False]) for choice in choices]


def _with_signs(tree: Node, negative: list[bool]) -> Node:
    """The tree with the signs that a list says from its end on: each ``pm`` takes the next, a ``mp`` turns the one before."""
    if tree.op not in ("pm", "mp"):
        return tree._replace(args=tuple(_with_signs(arg, negative) for arg in tree.args)) if tree.args else tree
    if tree.op == "pm" and len(negative) > 1:
        negative.pop()
    turned = negative[-1] == (tree.op == "pm")
    inner = _with_signs(tree.args[0], negative)
    return Node("neg", (inner,)) if turned else inner


# ------------------------------------------------------------------------------------------- residues

_PRIMES = (2**61 - 1, 2_305_843_009_213_693_921, 2_305_843_009_213_693_907, 2_305_843_009_213_693_723)
_MAX_FACTORIAL = 20_000


def _same_residues(a: Node, b: Node) -> bool | None:
    """Compare two constants too large to be written out modulo a few primes; None: not of rational operations alone.

    Equal residues (2 to the 244 together) mean equal for every pair that is not made from the primes themselves.
    """
    try:
        return all(_residue(a, prime) == _residue(b, prime) for prime in _PRIMES)
    except (Undefined, ZeroDivisionError, ValueError):
        return None


def _residue(tree: Node, prime: int) -> int:
    if tree.op == "num" and tree.value is not None:
        return _quotient(tree.value.numerator, tree.value.denominator, prime)
    if tree.op == "add":
        return sum(_residue(arg, prime) for arg in tree.args) % prime
    if tree.op == "neg":
        return -_residue(tree.args[0], prime) % prime
    if tree.op == "mul":
        return math.prod(_residue(arg, prime) for arg in tree.args) % prime
    if tree.op == "div":
        return _quotient(_residue(tree.args[0], prime), _residue(tree.args[1], prime), prime)
    if tree.op == "pow":
        bottom, power = _residue(tree.args[0], prime), _exponent(tree.args[1], prime - 1)
        if bottom == 0:
            raise Undefined("a power of zero")
        return pow(bottom, power, prime)
    if tree.op == "fn" and tree.name == "factorial" and 0 <= (n := _whole(tree.args[0])) <= _MAX_FACTORIAL:
        return math.factorial(n) % prime
    raise Undefined(f"no residue of {tree.op}")


def _quotient(top: int, bottom: int, prime: int) -> int:
    if bottom % prime == 0:
        raise Undefined("a denominator that the prime divides")
    return top * pow(bottom, -1, prime) % prime


def _exponent(tree: Node, modulus: int) -> int:
    """Return a whole exponent modulo the order of the group, a tower of powers included."""
    if tree.op == "pow":
        return pow(_whole(tree.args[0]), _whole(tree.args[1]), modulus)
    return _whole(tree) % modulus


def _whole(tree: Node) -> int:
    value = evaluate(tree, {}, precise())
    if not isinstance(value, Fraction) or value.denominator != 1:
        raise Undefined("no whole number, or one beyond the largest integer")
    return int(value)
