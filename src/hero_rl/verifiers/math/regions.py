r"""Reading sets of real numbers: intervals, inequalities, set-builders, unions and their complements."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from functools import reduce

from hero_rl.verifiers.latex import TURNED, brackets, builder_halves, relation_chain, split_at, split_list, words_apart
from hero_rl.verifiers.math.evaluate import Undefined, symbols
from hero_rl.verifiers.math.findings import Finding, unsure
from hero_rl.verifiers.math.intervals import (
    REALS,
    Interval,
    Region,
    above,
    below,
    compare_regions,
    complement,
    intersect,
    points,
    real_value,
    same_value,
)
from hero_rl.verifiers.math.labels import is_denied
from hero_rl.verifiers.math.sampling import substitute
from hero_rl.verifiers.math.syntax import Node, number, parse
from hero_rl.verifiers.math.tokens import Unreadable
from hero_rl.verifiers.math.tree import minus, walk

MAX_INTERVALS = 40

_HALF_LINE = re.compile(r"\\mathbb\{R\}\s*(?:\^|_)\s*\{?\s*(\+|-|>\s*0|<\s*0|\\ge\s*0|\\le\s*0)\s*\}?")
_REAL_LINE = re.compile(
    r"\\mathbb\{R\}|\\text\{(?:all |any )?reals?(?: numbers?)?\}|(?:all |any )?real(?:s| numbers?)|"
    r"\(?-\\infty\s*,\s*\+?\\infty\)?"
)
_EXCEPT = re.compile(
    r"(?:\\mathbb\{R\}\s*|(?:[A-Za-z] (?:is|can be) )?(?:\\text\{\s*)?"
    r"(?:all |any )?reals?(?: numbers?)?(?: [A-Za-z])?,?\s*\}?\s*)"
    r"(?:\\text\{\s*)?(?:except|excluding|other than)(?: for)?\s*\}?\s*((?:[A-Za-z]\s*=\s*)?-?[\d\\][^A-Z]{0,60})"
)
_ANY = re.compile(
    r"^(?:\\text\{\s*)?(?:all|any|every)(?: reals?)?(?: numbers?)?\s*\}?\s*"
    r"(?=[A-Za-z]\s*(?:<|>|\\le|\\ge|\\ne|\\in)(?![A-Za-z]))"
)
_INFINITE = frozenset((r"-\infty", "-inf", "-oo", r"\infty", r"+\infty", "inf", "+inf", "oo", "infinity"))
_BELOW = {"<": False, r"\le": True}
"""Relations and whether they include the end."""


def is_real_line(text: str) -> bool:
    """Return whether a text stands for all real numbers, or all but some."""
    return _REAL_LINE.fullmatch(text.strip()) is not None or _EXCEPT.fullmatch(text.strip()) is not None


def read_region(text: str) -> Region | None:
    r"""Return the set of numbers that a cleaned text describes; None where it describes none that this reads.

    >>> len(read_region(r"x<1 \text{or} x>2"))
    2
    """
    try:
        return _read(words_apart(text))
    except (Unreadable, Undefined):
        return None


def region_letters(text: str) -> frozenset[str]:
    r"""Return the letters whose values a text bounds; the letter of a set-builder stands for any other and does not count.

    >>> sorted(region_letters("x>0, 1<y<2")), sorted(region_letters(r"\{x | x>0\}"))
    (['x', 'y'], [])
    """
    sets = split_at(words_apart(text.strip()), r"\text{or}", r"\cup", r"\cap")
    return frozenset(letter for one in sets for part in split_list(one) for letter in [_subject(part)] if letter)


def compare_letters(reference: str, answer: str, used: frozenset[str]) -> Finding | None:
    """Abstain where a text bounds several letters, or the answer another one of the question; None elsewhere."""
    expected, given = region_letters(reference), region_letters(answer)
    if max(len(expected), len(given)) <= 1:
        other = expected and given and expected != given and given <= used
        return unsure("letters_differ") if other and not any(letter in reference for letter in given) else None
    return unsure("letters_differ")


def _subject(text: str) -> str:
    """Return the letter that one inequality or membership bounds; "" where there is none."""
    chain = relation_chain(text)
    if not 1 <= len(chain.relations) <= 2 or "=" in chain.relations:
        return ""
    sides = chain.sides if len(chain.relations) == 1 else chain.sides[1:2]
    letters = [side.strip() for side in sides if side and _is_variable(side)]
    if not letters and sides[0].startswith("|") and sides[0].endswith("|") and len(sides[0]) > 2:
        with suppress(Unreadable):
            letters = sorted(symbols(parse(sides[0][1:-1])))
    return letters[0] if letters else ""


def _read(text: str) -> Region | None:
    text = _ANY.sub("", text.strip())
    if _REAL_LINE.fullmatch(text):
        return REALS
    twice = split_at(text, ":")
    if len(twice) == 2 and not text.startswith(r"\{"):
        first, second = map(_read, twice)
        return first if first is not None and second is not None and compare_regions(first, second) == "equal" else None
    half = _HALF_LINE.fullmatch(text)
    if half:
        positive = half[1][0] in "+>" or half[1].startswith(r"\ge")
        return (above if positive else below)(number(0), closed="e" in half[1])
    for reader in (_difference, _union, _alternatives, _membership, _enclosed, _inequality):
        region = reader(text)
        if region is not None:
            return region if len(region) <= MAX_INTERVALS else None
    return None


def _all(regions: Iterable[Region | None]) -> list[Region] | None:
    found = list(regions)
    return None if None in found else [one for one in found if one is not None]


def _difference(text: str) -> Region | None:
    shared = split_at(text, r"\cap")
    if len(shared) > 1:
        regions = _all(map(_read, shared))
        return None if regions is None else reduce(intersect, regions, REALS)
    excepted = _EXCEPT.fullmatch(text)
    if excepted:
        return complement(points(*(parse(part.rpartition("=")[2]) for part in split_list(excepted[1]))))
    parts = split_at(text, r"\setminus")
    whole, holes = (_read(parts[0]), _points(parts[1])) if len(parts) == 2 else (None, None)
    return None if whole is None or holes is None else intersect(whole, complement(holes))


def _points(text: str) -> Region | None:
    enclosed = brackets(text)
    if enclosed is None or enclosed[0] != r"\{":
        return None
    return points(*map(parse, split_list(enclosed[1])))


def _union(text: str) -> Region | None:
    parts = split_at(text, r"\cup")
    if len(parts) == 1:
        return None
    label = relation_chain(parts[0])
    if label.relations and label.relations[0] in (r"\in", "="):
        if is_denied(label.sides[0]):
            return None
        parts[0] = label.sides[-1]
    regions = _all(_read(part) or _points(part) for part in parts)
    return None if regions is None else sum(regions, ())


def _alternatives(text: str) -> Region | None:
    parts = split_at(text, r"\text{or}")
    if len(parts) > 1:
        regions = _all(_read(part) or _equation_point(part) for part in parts)
        return None if regions is None else sum(regions, ())
    parts = split_list(text)
    if len(parts) < 2 or brackets(text) is not None:
        return None
    first = relation_chain(parts[0])
    if first.relations == [r"\ne"]:  # "x \ne 1, 2" says that x is neither
        parts = [part if relation_chain(part).relations else f"{first.sides[0]} \\ne {part}" for part in parts]
    regions = _all(_read(part) if relation_chain(part).relations else None for part in parts)
    if regions is None:
        return None
    # nobody means the empty set by "x < 1, x > 2"
    return reduce(intersect, regions, REALS) or (() if r"\text{and}" in text else sum(regions, ()))


def _equation_point(text: str) -> Region | None:
    chain = relation_chain(text)
    return points(parse(chain.sides[1])) if chain.relations == ["="] and _is_variable(chain.sides[0]) else None


def _membership(text: str) -> Region | None:
    chain = relation_chain(text)
    if len(chain.relations) != 1 or chain.relations[0] not in (r"\in", "="):
        return None
    name = r"[A-Za-z]|\\text\{[^{}]*\}|[A-Z]_\{?\w+\}?|[A-Za-z]'?\s*\([a-z]\)"
    if not (_is_variable(chain.sides[0]) or re.fullmatch(name, chain.sides[0])):
        return None
    return _read(chain.sides[1]) or (_points(chain.sides[1]) if chain.relations[0] == r"\in" else None)


def _enclosed(text: str) -> Region | None:
    r"""Return an interval, or a set-builder ``\{x | x > 0\}``."""
    opening, content, closing = brackets(text) or ("", "", "")
    if opening == r"\{":
        halves = builder_halves(content)
        return _read(halves[1]) if halves and _is_variable(relation_chain(halves[0]).sides[0]) else None
    if opening not in ("(", "["):
        return None
    ends = split_at(content, ",", ";")
    if len(ends) == 1 and relation_chain(content).relations:
        return _read(content)
    if len(ends) != 2:
        return None
    low, high = _end(ends[0]), _end(ends[1])
    if (low is None and opening == "[") or (high is None and closing == "]"):
        raise Unreadable("infinity_included")
    return (Interval(low, opening == "[", high, closing == "]"),)


def _end(text: str) -> Node | None:
    if text.replace(" ", "") in _INFINITE:
        return None
    tree = parse(text)
    if any(node.op in ("pm", "mp") for node in walk(tree)):
        raise Unreadable("plus_minus")
    return tree


def _is_variable(text: str) -> bool:
    try:
        tree = parse(text)
    except Unreadable:
        return False
    return tree.op == "sym" and tree.name not in ("e", "i")


def _inequality(text: str) -> Region | None:
    sides, relations = relation_chain(text)
    if len(relations) == 2 and _is_variable(sides[1]):
        if all(TURNED[one] in _BELOW for one in relations if one in TURNED):  # a > x > b
            sides, relations = sides[::-1], [TURNED.get(one, one) for one in relations[::-1]]
        if not all(one in _BELOW for one in relations):
            return None
        low, high = _end(sides[0]), _end(sides[2])
        closed = [_BELOW[one] for one in relations]
        return (Interval(low, closed[0] and low is not None, high, closed[1] and high is not None),)
    if len(relations) != 1:
        return None
    (left, right), relation = sides, relations[0]
    if _is_variable(left):
        return _half_line(relation, right)
    if _is_variable(right) and relation in TURNED:
        return _half_line(TURNED[relation], left)
    return _absolute(relation, left, right)


def _half_line(relation: str, text: str) -> Region | None:
    end = _end(text)
    if relation == r"\ne":
        return (Interval(None, False, end, False), Interval(end, False, None, False))
    if relation in _BELOW:
        return (Interval(None, False, end, _BELOW[relation] and end is not None),)
    turned = TURNED.get(relation, "")
    return (Interval(end, _BELOW[turned] and end is not None, None, False),) if turned in _BELOW else None


def _absolute(relation: str, left: str, right: str) -> Region | None:
    """``|x - c| < a`` and ``|x - c| > a`` for constants c and a, a positive."""
    if not (left.startswith("|") and left.endswith("|") and left.count("|") == 2):
        return None
    inner, end = parse(left[1:-1]), parse(right)
    names = symbols(inner)
    if len(names) != 1 or symbols(end) or real_value(end) <= 0:
        return None
    at_zero, *others = (substitute(inner, next(iter(names)), number(step)) for step in (0, 1, 2))
    if not all(same_value(real_value(at) - real_value(at_zero), step) for step, at in enumerate(others, 1)):
        return None
    low, high = (one if real_value(at_zero) == 0 else minus(one, at_zero) for one in (Node("neg", (end,)), end))
    if relation in _BELOW:
        return (Interval(low, _BELOW[relation], high, _BELOW[relation]),)
    turned = TURNED.get(relation, "")
    return (*below(low, closed=_BELOW[turned]), *above(high, closed=_BELOW[turned])) if turned in _BELOW else None
