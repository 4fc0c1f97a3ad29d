r"""Sets of real numbers: intervals, inequalities, set-builders, unions and their complements, in one normal form."""

from __future__ import annotations

import functools
import re
from typing import Literal, NamedTuple, TypeAlias

from hero_rl.verifiers.math.evaluate import Undefined, Value, evaluate, precise, symbols
from hero_rl.verifiers.math.sampling import compare_trees, same_constant
from hero_rl.verifiers.math.split import brackets, relation_chain, split_at, split_list, words_apart
from hero_rl.verifiers.math.syntax import Node, number, parse
from hero_rl.verifiers.math.tokens import Unreadable

RegionRelation: TypeAlias = Literal["equal", "ends_differ", "different", "unknown"]

MAX_INTERVALS = 40


class Interval(NamedTuple):
    """An interval; None for an end at infinity, and equal closed ends for a single number."""

    low: Node | None
    low_closed: bool
    high: Node | None
    high_closed: bool


Region: TypeAlias = tuple[Interval, ...]

_HALF_LINE = re.compile(r"\\mathbb\{R\}\s*(?:\^|_)\s*\{?\s*(\+|-|>\s*0|<\s*0|\\ge\s*0|\\le\s*0)\s*\}?")
REALS: Region = (Interval(None, False, None, False),)
_REAL_LINE = re.compile(
    r"\\mathbb\{R\}|\\text\{(?:all |any )?reals?(?: numbers?)?\}|(?:all |any )?real(?:s| numbers?)|"
    r"\(?-\\infty\s*,\s*\+?\\infty\)?"
)
_MINUS_INFINITY = frozenset((r"-\infty", r"-inf", "-oo"))
_INFINITY = frozenset((r"\infty", r"+\infty", "inf", "+inf", "oo", "infinity"))
_BELOW = {"<": False, r"\le": True}
_ABOVE = {">": False, r"\ge": True}


def is_real_line(text: str) -> bool:
    """Whether a text stands for all real numbers."""
    return _REAL_LINE.fullmatch(text.strip()) is not None


def read_region(text: str) -> Region | None:
    r"""The set of numbers that a cleaned text describes; None where it describes none that this reads.

    >>> len(read_region(r"x<1 \text{or} x>2"))
    2
    """
    try:
        return _read(words_apart(text))
    except (Unreadable, Undefined):
        return None


def _read(text: str) -> Region | None:
    text = text.strip()
    if _REAL_LINE.fullmatch(text):
        return REALS
    half = _HALF_LINE.fullmatch(text)
    if half:
        zero, closed, sign = number(0), "e" in half[1], half[1][0]
        positive = sign in "+>" or half[1].startswith(r"\ge")
        return (Interval(zero, closed, None, False),) if positive else (Interval(None, False, zero, closed),)
    for reader in (_difference, _union, _alternatives, _membership, _builder, _bracketed, _inequality):
        region = reader(text)
        if region is not None:
            return region if len(region) <= MAX_INTERVALS else None
    return None


def _difference(text: str) -> Region | None:
    parts = split_at(text, lambda piece: piece == r"\setminus")
    if len(parts) != 2:
        return None
    whole, hole = _read(parts[0]), _points(parts[1])
    return None if whole is None or hole is None else functools.reduce(_without, hole, whole)


def _points(text: str) -> list[Node] | None:
    enclosed = brackets(text)
    if enclosed is None or enclosed[0] != r"\{":
        return None
    return [parse(part) for part in split_list(enclosed[1])]


def _without(region: Region, point: Node) -> Region:
    hole = (Interval(None, False, point, False), Interval(point, False, None, False))
    found = _intersect(region, hole)
    if found is None:
        raise Unreadable("order_of_ends")
    return found


def _union(text: str) -> Region | None:
    parts = split_at(text, lambda piece: piece == r"\cup")
    if len(parts) == 1:
        return None
    label = relation_chain(parts[0])
    if label.relations and label.relations[0] in (r"\in", "="):
        parts[0] = label.sides[-1]
    regions = [_read(part) or _single_points(part) for part in parts]
    return None if any(region is None for region in regions) else tuple(one for region in regions for one in region or ())


def _single_points(text: str) -> Region | None:
    found = _points(text)
    return None if found is None else tuple(Interval(point, True, point, True) for point in found)


def _alternatives(text: str) -> Region | None:
    parts = split_at(text, lambda piece: piece == r"\text{or}")
    if len(parts) > 1:
        regions = [_read(part) or _equation_point(part) for part in parts]
        return None if any(region is None for region in regions) else tuple(one for region in regions for one in region or ())
    parts = split_list(text)
    if len(parts) < 2 or brackets(text) is not None:
        return None
    parts = _spread_unequal(parts)
    regions = [_read(part) if relation_chain(part).relations else None for part in parts]
    found: Region | None = REALS
    for region in regions:
        if region is None or found is None:
            return None
        found = _intersect(found, region)
    return found


def _spread_unequal(parts: list[str]) -> list[str]:
    r"""``x \ne 1, 2`` says that x is neither."""
    chain = relation_chain(parts[0])
    if chain.relations != [r"\ne"]:
        return parts
    return [part if relation_chain(part).relations else f"{chain.sides[0]} \\ne {part}" for part in parts]


def _equation_point(text: str) -> Region | None:
    chain = relation_chain(text)
    if chain.relations != ["="] or not _is_variable(chain.sides[0]):
        return None
    point = parse(chain.sides[1])
    return (Interval(point, True, point, True),)


def _membership(text: str) -> Region | None:
    chain = relation_chain(text)
    if len(chain.relations) == 1 and chain.relations[0] in (r"\in", "=") and _is_name(chain.sides[0]):
        return _read(chain.sides[1]) or (_single_points(chain.sides[1]) if chain.relations[0] == r"\in" else None)
    return None


def _is_name(text: str) -> bool:
    return (
        _is_variable(text)
        or re.fullmatch(r"[A-Za-z]|\\text\{[^{}]*\}|[A-Z]_\{?\w+\}?|[A-Za-z]'?\s*\([a-z]\)", text) is not None
    )


def _builder(text: str) -> Region | None:
    enclosed = brackets(text)
    if enclosed is None or enclosed[0] != r"\{":
        return None
    parts = split_at(enclosed[1], lambda piece: piece in ("|", ":"))
    if len(parts) != 2:
        return None
    variable = relation_chain(parts[0]).sides[0]
    if not _is_variable(variable):
        return None
    return _read(parts[1])


def _bracketed(text: str) -> Region | None:
    enclosed = brackets(text)
    if enclosed is None or enclosed[0] not in ("(", "["):
        return None
    opening, content, closing = enclosed
    ends = split_at(content, lambda piece: piece in (",", ";"))
    if len(ends) == 1 and relation_chain(content).relations:
        return _read(content)
    if len(ends) != 2:
        return None
    low, high = _end(ends[0]), _end(ends[1])
    return (Interval(low, opening == "[" and low is not None, high, closing == "]" and high is not None),)


def _end(text: str) -> Node | None:
    plain = text.replace(" ", "")
    if plain in _MINUS_INFINITY or plain in _INFINITY:
        return None
    tree = parse(text)
    if any(node.op in ("pm", "mp") for node in _all(tree)):
        raise Unreadable("plus_minus")
    return tree


def _all(tree: Node) -> list[Node]:
    return [tree, *(node for arg in tree.args for node in _all(arg))]


def _is_variable(text: str) -> bool:
    try:
        tree = parse(text)
    except Unreadable:
        return False
    return tree.op == "sym" and tree.name not in ("e", "i")


def has_symbolic_ends(region: Region) -> bool:
    """Whether some end of an interval is no constant."""
    return any(end is not None and symbols(end) for one in region for end in (one.low, one.high))


def _absolute(relation: str, left: str, right: str) -> Region | None:
    """``|x| < a`` and ``|x| > a`` for a positive constant a."""
    if not (left.startswith("|") and left.endswith("|") and _is_variable(left[1:-1])):
        return None
    end = parse(right)
    if symbols(end) or _number(end) <= 0:
        return None
    mirrored = Node("neg", (end,))
    if relation in _BELOW:
        return (Interval(mirrored, _BELOW[relation], end, _BELOW[relation]),)
    if relation in _ABOVE:
        return (Interval(None, False, mirrored, _ABOVE[relation]), Interval(end, _ABOVE[relation], None, False))
    return None


def _inequality(text: str) -> Region | None:
    chain = relation_chain(text)
    if len(chain.relations) == 1:
        left, right = chain.sides
        relation = chain.relations[0]
        if _is_variable(left):
            return _half_line(relation, right)
        if _is_variable(right) and relation in _MIRRORED:
            return _half_line(_MIRRORED[relation], left)
        return _absolute(relation, left, right)
    if len(chain.relations) == 2 and _is_variable(chain.sides[1]):
        return _between(chain.sides, chain.relations)
    return None


_MIRRORED = {"<": ">", ">": "<", r"\le": r"\ge", r"\ge": r"\le", r"\ne": r"\ne"}


def _half_line(relation: str, end: str) -> Region | None:
    point = _end(end)
    if relation in _BELOW:
        return (Interval(None, False, point, _BELOW[relation] and point is not None),)
    if relation in _ABOVE:
        return (Interval(point, _ABOVE[relation] and point is not None, None, False),)
    if relation == r"\ne":
        return (Interval(None, False, point, False), Interval(point, False, None, False))
    return None


def _between(sides: list[str], relations: list[str]) -> Region | None:
    first, second = relations
    if first in _BELOW and second in _BELOW:
        low, high, low_closed, high_closed = sides[0], sides[2], _BELOW[first], _BELOW[second]
    elif first in _ABOVE and second in _ABOVE:
        low, high, low_closed, high_closed = sides[2], sides[0], _ABOVE[second], _ABOVE[first]
    else:
        return None
    bottom, top = _end(low), _end(high)
    return (Interval(bottom, low_closed and bottom is not None, top, high_closed and top is not None),)


# ------------------------------------------------------------------------------------------- comparison


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
    if len(x) != len(y) or not all(_same(s.low, t.low) and _same(s.high, t.high) for s, t in zip(x, y, strict=True)):
        return "different"
    same_ends = all(s.low_closed == t.low_closed and s.high_closed == t.high_closed for s, t in zip(x, y, strict=True))
    return "equal" if same_ends else "ends_differ"


def _spans(region: Region) -> list[_Span] | None:
    context = precise()
    try:
        return [
            _Span(
                -context.inf if one.low is None else _number(one.low),
                one.low_closed,
                context.inf if one.high is None else _number(one.high),
                one.high_closed,
            )
            for one in region
        ]
    except Undefined:
        return None


def _number(tree: Node) -> Value:
    if symbols(tree):
        raise Undefined("not a constant")
    value = evaluate(tree, {}, precise())
    value = precise().mpf(value.numerator) / value.denominator if hasattr(value, "numerator") else value
    if getattr(value, "imag", 0) != 0:
        raise Undefined("not a real number")
    return value


def _same(a: Value, b: Value) -> bool:
    return bool(a == b or (abs(a) != precise().inf and abs(b) != precise().inf and same_constant(a, b, noisy=True)))


def _merged(spans: list[_Span]) -> list[_Span]:
    """Disjoint spans in order; empty ones left out."""
    kept = [one for one in spans if one.low < one.high or (_same(one.low, one.high) and one.low_closed and one.high_closed)]
    merged: list[_Span] = []
    for one in sorted(kept, key=lambda span: (span.low, not span.low_closed)):
        last = merged[-1] if merged else None
        touches = last is not None and (
            one.low < last.high or (_same(one.low, last.high) and (one.low_closed or last.high_closed))
        )
        if last is None or not touches:
            merged.append(one)
            continue
        low_closed = last.low_closed or (_same(one.low, last.low) and one.low_closed)
        if _same(one.high, last.high):
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


def _intersect(a: Region, b: Region) -> Region | None:
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
        x, y = _number(low), _number(high)
        if x > y or (_same(x, y) and not (low_closed and high_closed)):
            return None
    return Interval(low, low_closed, high, high_closed)


def _inner(a: Node | None, a_closed: bool, b: Node | None, b_closed: bool, *, lower: bool) -> tuple[Node | None, bool]:
    if a is None or b is None:
        return (b, b_closed) if a is None else (a, a_closed)
    x, y = _number(a), _number(b)
    if _same(x, y):
        return a, a_closed and b_closed
    return (a, a_closed) if (x > y) == lower else (b, b_closed)
