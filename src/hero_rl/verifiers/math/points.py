"""Where functions are compared: fixed points, at the scale of the constants that occur and on both sides of each kink.

Two formulas without kinks that agree at a few generic points are the same. An absolute value, a maximum or a floor changes
its course somewhere, so there points are also drawn around each constant, each product or quotient of two constants, and
around every place where the argument of such a function, linear in one variable, becomes zero. Angles are looked
at over several turns.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import combinations, pairwise
from typing import NamedTuple

from hero_rl.verifiers.math.evaluate import Undefined, evaluate, fast, precise
from hero_rl.verifiers.math.tree import Node, has_range, minus, symbols, variables, walk

AROUND_KINKS = 100
"""Groups of points from this number on stand around kinks."""
_SEED = 20_260_101
_MAX_RUNGS, _MAX_ROOT_RUNGS = 10, 4
_MAX_BREAKS = 6
_MAX_WHOLE = 14
_MAX_RANGE_END = 8
_LARGEST_RUNG = Fraction(10**12)
_INTEGER_LETTERS = frozenset("nmkjN")
"""Letters that mean an integer where two formulas agree at integers alone."""
_WHOLE_ARGUMENTS = frozenset(("factorial", "doublefactorial", "binom", "perm", "gcd", "lcm"))
_STEPS = frozenset(("floor", "ceil"))
PERIODIC = frozenset(("sin", "cos", "tan", "cot", "sec", "csc"))
_TURNS = (4, -2, 7, -5, 11, -10, 15, -13, 20, -23)
"""About where variables of a periodic function are also looked at: in each half of a turn, on both sides of zero."""
_KINKED = frozenset(("abs", "max", "min", "sgn", "arcsin", "arccos", "arctan", "arccot", "arcsec", "arccsc")) | _STEPS


class Point(NamedTuple):
    """Values for the variables, and which family of points they belong to."""

    family: str
    """``positive``, ``unit`` (from 0 to 1), ``whole`` (integers for the variables that stand for integers), ``signed``,
    ``turns`` (angles of several turns)."""
    values: Mapping[str, Fraction]
    group: int = 0
    """Points around one scale share a number: of each group some point must be within reach."""


def points(names: Sequence[str], *, whole: bool, trees: Sequence[Node] = ()) -> Iterator[Point]:
    """The fixed points at which functions of these variables are compared; the trees add the scales of their constants."""
    source = random.Random(_SEED)
    for family, count in (("positive", 5), ("unit", 4)):
        for _ in range(count):
            yield Point(family, {name: _coordinate(source, family) for name in names})
    if whole:
        yield from _whole_points(source, names, trees)
    for _ in range(5):
        yield Point("signed", {name: _coordinate(source, "signed") for name in names})
    if any(_is_kink(node) for tree in trees for node in walk(tree)):
        yield from _scaled_points(source, names, trees)
    if any(node.op == "fn" and node.name in PERIODIC and symbols(node) for tree in trees for node in walk(tree)):
        for turn in range(len(_TURNS)):
            around = (_TURNS[(turn + 3 * at) % len(_TURNS)] for at in range(len(names)))
            yield Point("turns", {name: one + _coordinate(source, "unit") for name, one in zip(names, around, strict=True)})


def _coordinate(source: random.Random, family: str) -> Fraction:
    bottom = source.choice((7, 11, 13, 17, 19, 23))
    if family == "unit":
        return Fraction(source.randint(1, bottom - 1), bottom)
    value = Fraction(source.randint(2, 4 * bottom), bottom)
    return value if family == "positive" or source.random() < 0.3 else -value


def needs_whole(*trees: Node) -> bool:
    """Return whether some variable looks like an integer: it is an exponent's, or in a factorial, binomial, floor, sum."""
    for tree in trees:
        for node in walk(tree):
            if node.op == "range" or (node.op == "fn" and node.name in _WHOLE_ARGUMENTS | _STEPS and symbols(node)):
                return True
            if node.op == "pow" and symbols(node.args[1]) and not symbols(node.args[0]):
                return True
            if node.op == "fn" and node.name in PERIODIC and symbols(node) & _INTEGER_LETTERS:
                return True
    return False


def integer_variables(*trees: Node) -> frozenset[str]:
    """Return the variables that stand for integers: by their letter, or as the end of a sum, an index or in a factorial."""
    found = frozenset[str]().union(*(variables(tree) for tree in trees)) & _INTEGER_LETTERS
    for tree in trees:
        for node in walk(tree):
            if node.op == "range":
                found |= variables(node.args[0]) | variables(node.args[1])
            elif node.op == "seq" or (node.op == "fn" and node.name in _WHOLE_ARGUMENTS):
                found |= variables(node)
    return found


def _whole_points(source: random.Random, names: Sequence[str], trees: Sequence[Node]) -> Iterator[Point]:
    integers = integer_variables(*trees) if trees else frozenset(names)
    largest = _MAX_RANGE_END if any(has_range(tree) for tree in trees) else _MAX_WHOLE
    for _ in range(8):
        yield Point("whole", {name: _whole(source, name in integers, largest) for name in names})
    for group, rung in enumerate(_rungs(trees) if largest == _MAX_WHOLE else (), 1):
        for _ in range(2 if rung > largest else 0):
            top = 2 * int(rung) + 2
            yield Point("whole", {name: _whole(source, name in integers, top) for name in names}, group)


def _whole(source: random.Random, integer: bool, largest: int) -> Fraction:
    return Fraction(source.randint(1, largest)) if integer else _coordinate(source, "positive")


def _is_kink(node: Node) -> bool:
    """Return whether a function may change its course here: an absolute value, a maximum, a floor, a root of a variable."""
    if node.op == "fn":
        return node.name in _KINKED and bool(symbols(node))
    return node.op == "root" and bool(symbols(node.args[0]))


def _scaled_points(source: random.Random, names: Sequence[str], trees: Sequence[Node]) -> Iterator[Point]:
    rungs = _rungs(trees)
    if not any(node.op == "fn" and _is_kink(node) for tree in trees for node in walk(tree)):
        rungs = rungs[:_MAX_ROOT_RUNGS]
    for group, rung in enumerate(rungs, AROUND_KINKS + 1):
        for sign in (1, 1, -1, -1):
            family = "positive" if sign > 0 else "signed"
            yield Point(family, {name: sign * _around(source, rung) for name in names}, group)
        if len(names) > 1:
            mixed = (rung, Fraction(1))
            yield Point("positive", {name: _around(source, source.choice(mixed)) for name in names}, group)
    arguments = [argument for tree in trees for argument in _kink_arguments(tree)]
    for name in names if arguments else ():
        others = {other: _coordinate(source, "positive") for other in names}
        for value in _between(_zeros(arguments, name, others)):
            yield Point("positive" if value > 0 else "signed", {**others, name: value}, AROUND_KINKS)


def _around(source: random.Random, rung: Fraction) -> Fraction:
    """Return a number from half to twice the rung, below it and above it in turn."""
    part = Fraction(source.randint(1, 12), 13)
    return rung * (1 - part / 2 if source.random() < 0.5 else 1 + part)


def _rungs(trees: Sequence[Node]) -> list[Fraction]:
    """Return the scales of the constants: each of them, then products, quotients and roots, none twice."""
    own = sorted({abs(value) for tree in trees for value in _constants(tree) if value != 0} - {Fraction(1)})
    few = own if len(own) <= 8 else own[:4] + own[-4:]
    derived = (
        [a * b for a in few for b in few]
        + [a / b for a in few for b in few]
        + [Fraction(float(a) ** 0.5).limit_denominator(1000) for a in few if 1e-6 < a < 1e18]
    )
    kept: list[Fraction] = []
    for rung in own + sorted(derived, reverse=True):
        distinct = all(not Fraction(2, 3) < rung / other < Fraction(3, 2) for other in kept)
        if _LARGEST_RUNG > max(rung, 1 / rung) > 4 and distinct and len(kept) < _MAX_RUNGS:
            kept.append(rung)
    return kept


def _constants(tree: Node) -> Iterator[Fraction]:
    """Yield the numbers that occur in a tree, and the values of its largest parts without a variable."""
    if tree.op == "num" and tree.value is not None:
        yield tree.value
    for arg in tree.args:
        yield from _constants(arg)
    if tree.args and not variables(tree):
        try:
            value = evaluate(tree, {}, fast())
            yield value if isinstance(value, Fraction) else Fraction(float(value)).limit_denominator(1000)
        except (Undefined, TypeError, ValueError, OverflowError):
            return


def _kink_arguments(tree: Node) -> Iterator[Node]:
    """Yield what changes its sign at a kink: an absolute value's argument, the difference of two of a maximum's."""
    for node in filter(_is_kink, walk(tree)):
        if node.name in ("max", "min"):
            yield from (minus(one, other) for one, other in combinations(node.args, 2))
        else:
            yield node.args[0]


def _zeros(arguments: Sequence[Node], name: str, others: Mapping[str, Fraction]) -> list[Fraction]:
    """Where arguments that are linear in a variable become zero; also where a square's base under a root does."""
    found: set[Fraction] = set()
    for argument in arguments[: 2 * _MAX_BREAKS]:
        inner = argument.args[0] if argument.op == "pow" else argument
        try:
            low, middle, high = (evaluate(inner, {**others, name: Fraction(at)}, precise()) for at in (0, 1, 2))
        except Undefined:
            continue
        if all(isinstance(value, Fraction) for value in (low, middle, high)) and high - middle == middle - low != 0:
            found.add(-low / (middle - low))
    return sorted(found)[:_MAX_BREAKS]


def _between(zeros: list[Fraction]) -> list[Fraction]:
    """Return a point left of all zeros, one between each two neighbours, one right of all."""
    if not zeros:
        return []
    ends = [zeros[0] - 1 - abs(zeros[0]) / 7, zeros[-1] + 1 + abs(zeros[-1]) / 7]
    beside = [zero + sign * (abs(zero) + 1) / 91 for zero in zeros for sign in (1, -1)]
    return [*ends, *beside, *(a + (b - a) * Fraction(6, 13) for a, b in pairwise(zeros))]
