r"""Sets of real numbers as unions of intervals: comparison, intersection, union and complement."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

from hero_rl.verifiers.math.evaluate import Undefined, Value, evaluate, precise, symbols
from hero_rl.verifiers.math.sampling import compare_trees, same_constant
from hero_rl.verifiers.math.syntax import Node, number

MAX_INTEGER = 10**15
"""A larger end of an interval is not moved to the next integer."""
RegionRelation: TypeAlias = Literal["equal", "ends_differ", "different", "unknown"]


class Interval(NamedTuple):
    """An interval; None for an end at infinity, and equal closed ends for a single number."""

    low: Node | None
    low_closed: bool
    high: Node | None
    high_closed: bool


Region: TypeAlias = tuple[Interval, ...]

REALS: Region = (Interval(None, False, None, False),)


def has_symbolic_ends(region: Region) -> bool:
    """Whether some end of an interval is no constant."""
    return any(end is not None and symbols(end) for one in region for end in (one.low, one.high))


class _Span(NamedTuple):
    low: Value
    low_closed: bool
    high: Value
    high_closed: bool


def compare_regions(a: Region, b: Region) -> RegionRelation:
    """How two sets of numbers relate; ``ends_differ``: equal up to which ends belong to them."""
    x, y = _spans(a), _spans(b)
    if x is None or y is None:
        return _compare_symbolic(a, b)
    x, y = _merged(x), _merged(y)
    if len(x) != len(y) or not all(same_value(s.low, t.low) and same_value(s.high, t.high) for s, t in zip(x, y, strict=True)):
        return "different"
    same_ends = all(s.low_closed == t.low_closed and s.high_closed == t.high_closed for s, t in zip(x, y, strict=True))
    return "equal" if same_ends else "ends_differ"


def _spans(region: Region) -> list[_Span] | None:
    context = precise()
    try:
        return [
            _Span(
                -context.inf if one.low is None else real_value(one.low),
                one.low_closed,
                context.inf if one.high is None else real_value(one.high),
                one.high_closed,
            )
            for one in region
        ]
    except Undefined:
        return None


def real_value(tree: Node) -> Value:
    """The value of a constant expression, as a real number of the precise context.

    Raises:
        Undefined: it has variables, or no real value.
    """
    if symbols(tree):
        raise Undefined("not a constant")
    value = evaluate(tree, {}, precise())
    value = precise().mpf(value.numerator) / value.denominator if hasattr(value, "numerator") else value
    if getattr(value, "imag", 0) != 0:
        raise Undefined("not a real number")
    return value


def same_value(a: Value, b: Value) -> bool:
    """Whether two real numbers, or infinities, are one."""
    return bool(a == b or (abs(a) != precise().inf and abs(b) != precise().inf and same_constant(a, b, noisy=True)))


def _merged(spans: list[_Span]) -> list[_Span]:
    """Disjoint spans in order; empty ones left out."""
    kept = [
        one for one in spans if one.low < one.high or (same_value(one.low, one.high) and one.low_closed and one.high_closed)
    ]
    merged: list[_Span] = []
    for one in sorted(kept, key=lambda span: (span.low, not span.low_closed)):
        last = merged[-1] if merged else None
        touches = last is not None and (
            one.low < last.high or (same_value(one.low, last.high) and (one.low_closed or last.high_closed))
        )
        if last is None or not touches:
            merged.append(one)
            continue
        low_closed = last.low_closed or (same_value(one.low, last.low) and one.low_closed)
        if same_value(one.high, last.high):
            merged[-1] = last._replace(low_closed=low_closed, high_closed=one.high_closed or last.high_closed)
        elif one.high > last.high:
            merged[-1] = _Span(last.low, low_closed, one.high, one.high_closed)
    return merged


def _compare_symbolic(a: Region, b: Region) -> RegionRelation:
    if len(a) != len(b):
        return "unknown"
    for one, other in zip(a, b, strict=True):
        for x, y in ((one.low, other.low), (one.high, other.high)):
            if (x is None) != (y is None):
                return "different"
            if x is not None and y is not None:
                relation = compare_trees(x, y)
                if relation != "equal":
                    return "different" if relation == "different" and len(a) == 1 else "unknown"
    same_ends = all(s.low_closed == t.low_closed and s.high_closed == t.high_closed for s, t in zip(a, b, strict=True))
    return "equal" if same_ends else "ends_differ"


def intersect(a: Region, b: Region) -> Region | None:
    """The numbers in both; None where the order of the ends cannot be told."""
    try:
        found = [_overlap(one, other) for one in a for other in b]
    except Undefined:
        return None
    return tuple(one for one in found if one is not None)


def _overlap(a: Interval, b: Interval) -> Interval | None:
    low, low_closed = _inner(a.low, a.low_closed, b.low, b.low_closed, lower=True)
    high, high_closed = _inner(a.high, a.high_closed, b.high, b.high_closed, lower=False)
    if low is not None and high is not None:
        x, y = real_value(low), real_value(high)
        if x > y or (same_value(x, y) and not (low_closed and high_closed)):
            return None
    return Interval(low, low_closed, high, high_closed)


def _inner(a: Node | None, a_closed: bool, b: Node | None, b_closed: bool, *, lower: bool) -> tuple[Node | None, bool]:
    if a is None or b is None:
        return (b, b_closed) if a is None else (a, a_closed)
    x, y = real_value(a), real_value(b)
    if same_value(x, y):
        return a, a_closed and b_closed
    return (a, a_closed) if (x > y) == lower else (b, b_closed)


def whole_ends(region: Region) -> Region:
    """The set with open ends that are integers moved to the next integer inside: the same integers lie in it."""
    return tuple(
        one._replace(
            low=_moved(one.low, 1) if not one.low_closed else one.low,
            low_closed=one.low is not None and (one.low_closed or _is_integer(one.low)),
            high=_moved(one.high, -1) if not one.high_closed else one.high,
            high_closed=one.high is not None and (one.high_closed or _is_integer(one.high)),
        )
        for one in region
    )


def _moved(end: Node | None, step: int) -> Node | None:
    return Node("add", (end, number(step))) if end is not None and _is_integer(end) else end


def _is_integer(end: Node) -> bool:
    try:
        value = real_value(end)
    except Undefined:
        return False
    return abs(value) < MAX_INTEGER and value == int(value)


def union(regions: list[Region]) -> Region:
    """The numbers in any of several sets."""
    return tuple(one for region in regions for one in region)


def complement(region: Region) -> Region | None:
    """The real numbers that are not in a set; None where the order of its ends cannot be told."""
    rest: Region | None = REALS
    for one in region:
        sides: list[Interval] = []
        if one.low is not None:
            sides.append(Interval(None, False, one.low, not one.low_closed))
        if one.high is not None:
            sides.append(Interval(one.high, not one.high_closed, None, False))
        rest = None if rest is None else intersect(rest, tuple(sides))
    return rest
