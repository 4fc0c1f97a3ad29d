r"""Reading sets of real numbers: intervals, inequalities, set-builders, unions and their complements."""

from __future__ import annotations

import functools
import re

from hero_rl.verifiers.math.evaluate import Undefined, symbols
from hero_rl.verifiers.math.findings import DIFFERENT, EQUAL, Finding, unsure
from hero_rl.verifiers.math.intervals import REALS, Interval, Region, compare_regions, intersect, real_value, same_value
from hero_rl.verifiers.math.sampling import substitute
from hero_rl.verifiers.math.split import brackets, relation_chain, split_at, split_list, words_apart
from hero_rl.verifiers.math.syntax import Node, number, parse
from hero_rl.verifiers.math.tokens import Unreadable

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
_MINUS_INFINITY = frozenset((r"-\infty", r"-inf", "-oo"))
_INFINITY = frozenset((r"\infty", r"+\infty", "inf", "+inf", "oo", "infinity"))
_BELOW = {"<": False, r"\le": True}
_ABOVE = {">": False, r"\ge": True}


def is_real_line(text: str) -> bool:
    """Whether a text stands for all real numbers, or all but some."""
    return _REAL_LINE.fullmatch(text.strip()) is not None or _EXCEPT.fullmatch(text.strip()) is not None


def read_region(text: str) -> Region | None:
    r"""The set of numbers that a cleaned text describes; None where it describes none that this reads.

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
    """Compare two texts of which one bounds several letters, or the answer another one of the question; None elsewhere."""
    expected, given = region_letters(reference), region_letters(answer)
    if max(len(expected), len(given)) <= 1:
        other = expected and given and expected != given and given <= used
        return unsure("letters_differ") if other and not any(letter in reference for letter in given) else None
    try:
        here, there = _conditions(reference), _conditions(answer)
    except (Unreadable, Undefined):
        return unsure("letters_differ")
    if here is None or there is None or here.keys() != there.keys():
        return unsure("letters_differ")
    relations = {compare_regions(region, there[letter]) for letter, region in here.items()}
    return unsure("letters_differ") if "unknown" in relations else EQUAL if relations == {"equal"} else DIFFERENT


def _conditions(text: str) -> dict[str, Region] | None:
    """Return the set of values of each letter that a list of inequalities bounds."""
    found: dict[str, Region] = {}
    waiting: list[str] = []
    if r"\text{or}" in words_apart(text):
        return None
    for part in split_list(text):
        letter, region = _subject(part), _read(part)
        if not letter and _is_variable(part):
            waiting.append(part)
            continue
        if not letter or region is None:
            return None
        for name in (*waiting, letter):
            shared = intersect(found[name], region) if name in found else region
            if shared is None:
                return None
            found[name] = shared
        waiting = []
    return None if waiting else found


def _subject(text: str) -> str:
    """Return the letter that one inequality or membership bounds; "" where there is none."""
    chain = relation_chain(text)
    if not 1 <= len(chain.relations) <= 2 or "=" in chain.relations:
        return ""
    sides = chain.sides if len(chain.relations) == 1 else chain.sides[1:2]
    letters = [side.strip() for side in sides if side and _is_variable(side)]
    if not letters and sides[0].startswith("|") and sides[0].endswith("|") and len(sides[0]) > 2:
        letters = sorted(symbols(parse(sides[0][1:-1])))
    return letters[0] if letters else ""


def _read(text: str) -> Region | None:
    text = _ANY.sub("", text.strip())
    if _REAL_LINE.fullmatch(text):
        return REALS
    twice = split_at(text, ":")
    if len(twice) == 2 and not text.startswith(r"\{"):
        regions = [_read(part) for part in twice]
        return regions[0] if None not in regions and compare_regions(regions[0], regions[1]) == "equal" else None  # type: ignore[arg-type]
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
    shared = split_at(text, r"\cap")
    if len(shared) > 1:
        regions = [_read(part) for part in shared]
        return None if any(one is None for one in regions) else _all_shared([one for one in regions if one is not None])
    excepted = _EXCEPT.fullmatch(text)
    if excepted:
        holes = [part.rpartition("=")[2] for part in split_list(excepted[1])]
        return functools.reduce(_without, [parse(hole) for hole in holes], REALS)
    parts = split_at(text, r"\setminus")
    if len(parts) != 2:
        return None
    whole, hole = _read(parts[0]), _points(parts[1])
    return None if whole is None or hole is None else functools.reduce(_without, hole, whole)


def _all_shared(regions: list[Region]) -> Region:
    found: Region = REALS
    for region in regions:
        shared = intersect(found, region)
        if shared is None:
            raise Unreadable("order_of_ends")
        found = shared
    return found


def _points(text: str) -> list[Node] | None:
    enclosed = brackets(text)
    if enclosed is None or enclosed[0] != r"\{":
        return None
    return [parse(part) for part in split_list(enclosed[1])]


def _without(region: Region, point: Node) -> Region:
    hole = (Interval(None, False, point, False), Interval(point, False, None, False))
    found = intersect(region, hole)
    if found is None:
        raise Unreadable("order_of_ends")
    return found


def _union(text: str) -> Region | None:
    parts = split_at(text, r"\cup")
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
    parts = split_at(text, r"\text{or}")
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
        found = intersect(found, region)
    if found == ():  # nobody means the empty set by "x < 1, x > 2"
        return found if r"\text{and}" in text else tuple(one for region in regions for one in region or ())
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
    parts = split_at(enclosed[1], "|", ":")
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
    ends = split_at(content, ",", ";")
    if len(ends) == 1 and relation_chain(content).relations:
        return _read(content)
    if len(ends) != 2:
        return None
    low, high = _end(ends[0]), _end(ends[1])
    if (low is None and opening == "[") or (high is None and closing == "]"):
        raise Unreadable("infinity_included")
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


def _absolute(relation: str, left: str, right: str) -> Region | None:
    """``|x - c| < a`` and ``|x - c| > a`` for constants c and a, a positive."""
    if not (left.startswith("|") and left.endswith("|") and left.count("|") == 2):
        return None
    inner, end = parse(left[1:-1]), parse(right)
    names = symbols(inner)
    if len(names) != 1 or symbols(end) or real_value(end) <= 0:
        return None
    at_zero, at_one, at_two = (substitute(inner, next(iter(names)), number(step)) for step in (0, 1, 2))
    if not same_value(real_value(at_one) - real_value(at_zero), 1) or not same_value(
        real_value(at_two) - real_value(at_zero), 2
    ):
        return None
    plain = real_value(at_zero) == 0
    low, high = (one if plain else Node("add", (one, Node("neg", (at_zero,)))) for one in (Node("neg", (end,)), end))
    if relation in _BELOW:
        return (Interval(low, _BELOW[relation], high, _BELOW[relation]),)
    if relation in _ABOVE:
        return (Interval(None, False, low, _ABOVE[relation]), Interval(high, _ABOVE[relation], None, False))
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
