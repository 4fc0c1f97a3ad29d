"""Are two expressions equal? Exactly or to 50 digits for constants, by their values at many points for functions.

Two formulas built from elementary functions that agree at a dozen generic points are the same function, for every purpose here;
one clear disagreement where both are defined shows that they differ. Points are fixed, so a verdict never changes between
runs. A disagreement of machine numbers counts only after 50-digit arithmetic has confirmed it.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from functools import cache, lru_cache
from typing import Any, Literal, NamedTuple, TypeAlias

from hero_rl.verifiers.math.evaluate import TooLarge, Undefined, Value, evaluate, fast, precise, symbols, walk
from hero_rl.verifiers.math.syntax import Node

Relation: TypeAlias = Literal["equal", "equal_if_positive", "different", "unknown", "too_large"]
"""``equal_if_positive``: equal where all variables are positive, different elsewhere."""

MAX_SYMBOLS = 12
MAX_SIGNS = 16
_ENOUGH = 4
_FAST_AGREES = 1e-9
_PRECISE_AGREES = 1e-30
_CANCELLED = 1e-45
_WHOLE_LETTERS = frozenset("nmkjprstN")
_MAY_CANCEL = frozenset(("sin", "cos", "tan", "cot", "ln", "log", "lg", "arccos", "arcsin", "arctan", "sinh"))
_WHOLE_OPERATIONS = frozenset(("factorial", "binom", "floor", "ceil", "gcd", "lcm"))


class Point(NamedTuple):
    """Values for the variables, and which family of points they belong to."""

    family: str
    values: Mapping[str, Fraction]


def same_constant(a: Value, b: Value, *, noisy: bool) -> bool:
    """Whether two values of the ``precise`` context are one number; ``noisy``: sums or functions may have cancelled to zero."""
    if isinstance(a, Fraction) and isinstance(b, Fraction):
        return a == b
    context = precise()
    x, y = _lifted(a, context), _lifted(b, context)
    size, gap = max(abs(x), abs(y)), abs(x - y)
    return bool(gap <= size * _PRECISE_AGREES or (noisy and size < _CANCELLED))


def is_noisy(tree: Node) -> bool:
    """Whether rounding errors of a subtraction or a function may stand where the true value is 0."""
    return any(node.op == "add" or (node.op == "fn" and node.name in _MAY_CANCEL) for node in walk(tree))


@lru_cache(maxsize=4096)
def is_complex(tree: Node) -> bool:
    """Whether the imaginary unit stands in an expression."""
    return any(node.op == "sym" and node.name == "i" for node in walk(tree))


def compare_trees(a: Node, b: Node, *, log_base: int = 0) -> Relation:
    """How two expressions without plus-minus signs relate."""
    names = sorted(symbols(a) | symbols(b))
    if not names:
        return _compare_constants(a, b, log_base)
    if len(names) > MAX_SYMBOLS:
        return "unknown"
    tally: Counter[tuple[str, bool]] = Counter()
    for point in points(names, whole=needs_whole(a, b)):
        agrees = _agree_at(a, b, point, log_base)
        if agrees is not None:
            tally[point.family, agrees] += 1
    return _conclude(tally, names)


def points(names: Sequence[str], *, whole: bool) -> Iterator[Point]:
    """The fixed points at which functions of these variables are compared."""
    source = random.Random(20_260_101)
    for family, count in (("positive", 5), ("unit", 4), ("whole", 5 if whole else 0), ("signed", 5)):
        for _ in range(count):
            yield Point(family, {name: _coordinate(source, family) for name in names})


def _coordinate(source: random.Random, family: str) -> Fraction:
    if family == "whole":
        return Fraction(source.randint(1, 14))
    bottom = source.choice((7, 11, 13, 17, 19, 23))
    if family == "unit":
        return Fraction(source.randint(1, bottom - 1), bottom)
    value = Fraction(source.randint(2, 4 * bottom), bottom)
    return value if family == "positive" or source.random() < 0.3 else -value


def needs_whole(*trees: Node) -> bool:
    """Whether some variable looks like an integer: it is an exponent's, or in a factorial, binomial or floor."""
    for tree in trees:
        for node in walk(tree):
            if node.op == "fn" and node.name in _WHOLE_OPERATIONS and symbols(node):
                return True
            if node.op == "pow" and symbols(node.args[1]) and not symbols(node.args[0]):
                return True
            if node.op == "fn" and node.name in ("sin", "cos", "tan") and symbols(node) & _WHOLE_LETTERS:
                return True
    return False


def _conclude(tally: Counter[tuple[str, bool]], names: Sequence[str]) -> Relation:
    agreed = sum(count for (_, agrees), count in tally.items() if agrees)
    differed = sum(count for (_, agrees), count in tally.items() if not agrees)
    if agreed + differed < _ENOUGH:
        return "unknown"
    if not differed:
        return "equal"
    if not agreed:
        return "different"
    if tally["whole", True] >= _ENOUGH and not tally["whole", False]:
        return "equal" if _WHOLE_LETTERS.issuperset(names) else "unknown"
    on_positive = tally["positive", False] + tally["unit", False]
    if not on_positive and tally["positive", True] >= _ENOUGH:
        return "equal_if_positive"
    return "different"


def _compare_constants(a: Node, b: Node, log_base: int) -> Relation:
    try:
        x, y = evaluate(a, {}, precise(), log_base=log_base), evaluate(b, {}, precise(), log_base=log_base)
    except TooLarge:
        return "too_large"
    except Undefined:
        return "unknown"
    return "equal" if same_constant(x, y, noisy=is_noisy(a) or is_noisy(b)) else "different"


def _agree_at(a: Node, b: Node, point: Point, log_base: int) -> bool | None:
    """Whether both have the same value at a point; None where one has no real value, or both are complex and differ."""
    found = _two_values(a, b, point.values, fast(), log_base)
    if found is not None and _near(*found, _FAST_AGREES):
        return True
    found = _two_values(a, b, point.values, precise(), log_base)
    if found is None:
        return None
    x, y = found
    if _near(x, y, _PRECISE_AGREES) or max(abs(x), abs(y)) < _CANCELLED:
        return True
    real = _is_real(x) and _is_real(y)
    return False if real else None


def _two_values(a: Node, b: Node, values: Mapping[str, Fraction], context: Any, log_base: int) -> tuple[Value, Value] | None:
    real = not (is_complex(a) or is_complex(b))
    try:
        x = evaluate(a, values, context, log_base=log_base, real=real)
        y = evaluate(b, values, context, log_base=log_base, real=real)
    except Undefined:
        return None
    if isinstance(x, Fraction) and isinstance(y, Fraction):
        return x, y
    try:
        return _lifted(x, context), _lifted(y, context)
    except OverflowError:
        return None


def _lifted(value: Value, context: Any) -> Value:
    return context.mpf(value.numerator) / context.mpf(value.denominator) if isinstance(value, Fraction) else value


def _near(x: Value, y: Value, tolerance: float) -> bool:
    if isinstance(x, Fraction) and isinstance(y, Fraction):
        return x == y
    return bool(abs(x - y) <= tolerance * max(abs(x), abs(y)))


def _is_real(value: Value) -> bool:
    imaginary = getattr(value, "imag", 0)
    return bool(abs(imaginary) <= 1e-12 * abs(value))


def constant_ratio(a: Node, b: Node) -> bool | None:
    """Whether a / b is the same nonzero number everywhere: two equations ``a = 0`` and ``b = 0`` then say the same."""
    return _constant(a, b, lambda x, y: None if y == 0 else x / y, allow_zero=False)


def constant_difference(a: Node, b: Node) -> bool | None:
    """Whether a - b is the same number everywhere: two antiderivatives of one function."""
    return _constant(a, b, lambda x, y: x - y, allow_zero=True)


def _constant(a: Node, b: Node, combine: Callable[[Value, Value], Value | None], *, allow_zero: bool) -> bool | None:
    names = sorted(symbols(a) | symbols(b))
    if len(names) > MAX_SYMBOLS:
        return None
    seen: list[Value] = []
    for point in points(names, whole=needs_whole(a, b)):
        found = _two_values(a, b, point.values, precise(), 0)
        if found is None or not (_is_real(found[0]) and _is_real(found[1])):
            continue
        value = combine(*found)
        if value is None:
            continue
        seen.append(value)
        if abs(value - seen[0]) > 1e-30 * max(abs(value), abs(seen[0]), 1 if allow_zero else 0):
            return False
    return None if len(seen) < _ENOUGH else bool(allow_zero or seen[0] != 0)


def expand_signs(tree: Node) -> list[Node]:
    """The expressions that plus-minus signs stand for: each ``pm`` freely, each ``mp`` opposite to the last ``pm``.

    >>> len(expand_signs(Node("pm", (Node("sym", (), None, "x"),))))
    2
    """
    count = min(sum(node.op == "pm" for node in walk(tree)), 5)
    lone = count == 0 and any(node.op == "mp" for node in walk(tree))
    count += lone
    if not count:
        return [tree]
    if 2**count > MAX_SIGNS:
        return [tree]
    return [_with_signs(tree, _Signs(choice, count, lone)) for choice in range(2**count)]


class _Signs:
    """One choice of signs, consumed from left to right."""

    def __init__(self, choice: int, count: int, lone: bool):
        self._bits = iter([bool(choice >> index & 1) for index in range(count)])
        self._last = next(self._bits) if lone else False

    def take(self, op: str) -> bool:
        if op == "pm":
            self._last = next(self._bits, self._last)
            return self._last
        return not self._last


def _with_signs(tree: Node, signs: _Signs) -> Node:
    if tree.op in ("pm", "mp"):
        negative = signs.take(tree.op)
        inner = _with_signs(tree.args[0], signs)
        return Node("neg", (inner,)) if negative else inner
    return tree._replace(args=tuple(_with_signs(arg, signs) for arg in tree.args)) if tree.args else tree


@cache
def _renamed_letter(name: str) -> Node:
    return Node("sym", (), None, name)


def rename(tree: Node, names: Mapping[str, str]) -> Node:
    """The tree with variables renamed."""
    if tree.op == "sym" and tree.name in names:
        return _renamed_letter(names[tree.name])
    return tree._replace(args=tuple(rename(arg, names) for arg in tree.args)) if tree.args else tree


def substitute(tree: Node, name: str, by: Node) -> Node:
    """The tree with an expression in the place of a variable."""
    if tree.op == "sym" and tree.name == name:
        return by
    return tree._replace(args=tuple(substitute(arg, name, by) for arg in tree.args)) if tree.args else tree
