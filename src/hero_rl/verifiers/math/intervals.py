r"""Sets of real numbers as unions of intervals: comparison, intersection and complement."""

from __future__ import annotations

from functools import reduce
from typing import Literal, NamedTuple, TypeAlias

from hero_rl.verifiers.math.evaluate import Undefined, Value, evaluate, lifted, precise, symbols
from hero_rl.verifiers.math.sampling import same_constant
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
    """Return whether some end of an interval is no constant."""
    return any(end is not None and symbols(end) for one in region for end in (one.low, one.high))


class _Span(NamedTuple):
    low: Value
    low_closed: bool
    high: Value
    high_closed: bool


def compare_regions(a: Region, b: Region) -> RegionRelation:
    """Return how two sets of numbers relate; ``ends_differ``: equal up to which ends belong to them."""
    try:
        x, y = _spans(a), _spans(b)
    except Undefined:
        return "unknown"
    if len(x) != len(y) or not all(same_value(s.low, t.low) and same_value(s.high, t.high) for s, t in zip(x, y, strict=True)):
        return "different"
    same = all((s.low_closed, s.high_closed) == (t.low_closed, t.high_closed) for s, t in zip(x, y, strict=True))
    return "equal" if same else "ends_differ"


def real_value(tree: Node) -> Value:
    """Return the value of a constant expression as a real number, or raise ``Undefined``: it has variables or no such value."""
    if symbols(tree):
        raise Undefined("not a constant")
    value = lifted(evaluate(tree, {}, precise()))
    if value.imag != 0:
        raise Undefined("not a real number")
    return value.real  # of a complex number of mpmath, which has no order


def same_value(a: Value, b: Value) -> bool:
    """Return whether two real numbers, or infinities, are one."""
    return bool(a == b or (abs(a) != precise().inf and abs(b) != precise().inf and same_constant(a, b, noisy=True)))


def _spans(region: Region) -> list[_Span]:
    """Disjoint spans in order; empty ones left out."""
    infinity = precise().inf
    spans = [
        _Span(
            -infinity if one.low is None else real_value(one.low),
            one.low_closed,
            infinity if one.high is None else real_value(one.high),
            one.high_closed,
        )
        for one in region
    ]
    kept = [
        one for one in spans if one.low < one.high or (one.low_closed and one.high_closed and same_value(one.low, one.high))
    ]
    merged: list[_Span] = []
    for one in sorted(kept, key=lambda span: (span.low, not span.low_closed)):
        last = merged[-1] if merged else None
        if last is None or not (
            one.low < last.high or (same_value(one.low, last.high) and (one.low_closed or last.high_closed))
        ):
            merged.append(one)
            continue
        low_closed = last.low_closed or (same_value(one.low, last.low) and one.low_closed)
        if same_value(one.high, last.high):
            merged[-1] = last._replace(low_closed=low_closed, high_closed=one.high_closed or last.high_closed)
        elif one.high > last.high:
            merged[-1] = _Span(last.low, low_closed, one.high, one.high_closed)
    return merged


def intersect(a: Region, b: Region) -> Region:
    """Return the numbers in both, or raise ``Undefined``: the order of the ends cannot be told."""
    return tuple(shared for one in a for other in b for shared in _overlap(one, other))


def _overlap(a: Interval, b: Interval) -> Region:
    low, low_closed = _inner((a.low, a.low_closed), (b.low, b.low_closed), lower=True)
    high, high_closed = _inner((a.high, a.high_closed), (b.high, b.high_closed), lower=False)
    if low is not None and high is not None:
        x, y = real_value(low), real_value(high)
        if x > y or (same_value(x, y) and not (low_closed and high_closed)):
            return ()
    return (Interval(low, low_closed, high, high_closed),)


def _inner(a: tuple[Node | None, bool], b: tuple[Node | None, bool], *, lower: bool) -> tuple[Node | None, bool]:
    if a[0] is None or b[0] is None:
        return b if a[0] is None else a
    x, y = real_value(a[0]), real_value(b[0])
    if same_value(x, y):
        return a[0], a[1] and b[1]
    return a if (x > y) == lower else b


def whole_ends(region: Region) -> Region:
    """Return the set with open ends that are integers moved to the next integer inside: the same integers lie in it."""
    return tuple(
        Interval(*_whole_end(one.low, one.low_closed, 1), *_whole_end(one.high, one.high_closed, -1)) for one in region
    )


def _whole_end(end: Node | None, closed: bool, step: int) -> tuple[Node | None, bool]:
    try:
        value = None if end is None or closed else real_value(end)
    except Undefined:
        value = None
    if end is None or value is None or abs(value) >= MAX_INTEGER or value != int(value):
        return end, closed
    return Node("add", (end, number(step))), True


def points(*values: Node) -> Region:
    """Return the set of some numbers."""
    return tuple(Interval(value, True, value, True) for value in values)


def complement(region: Region) -> Region:
    """Return the real numbers that are not in a set, or raise ``Undefined``: the order of its ends cannot be told."""
    below_or_above = (
        (*below(one.low, closed=not one.low_closed), *above(one.high, closed=not one.high_closed)) for one in region
    )
    return reduce(intersect, below_or_above, REALS)


def below(end: Node | None, *, closed: bool) -> Region:
    """Return the numbers below an end; none where there is no such end."""
    return () if end is None else (Interval(None, False, end, closed),)


def above(end: Node | None, *, closed: bool) -> Region:
    """Return the numbers above an end; none where there is no such end."""
    return () if end is None else (Interval(end, closed, None, False),)
