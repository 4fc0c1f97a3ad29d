r"""Sums, products and lists with dots, ``1 + 2 + \ldots + n``: the rule of their terms, where the terms leave no doubt.

The rule is sought in the terms themselves: a constant step; the last term as a formula in one of its letters or numbers; a
constant ratio. All rules that fit every written term must say the same, or the dots are not understood.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import combinations, count

from hero_rl.verifiers.math.evaluate import Undefined, Value, evaluate, precise
from hero_rl.verifiers.math.tokens import Unreadable
from hero_rl.verifiers.math.tree import Node, counter, minus, number, substitute, symbol, variables, walk

DOTS = symbol(r"\ldots")
_FOLDS = {"add": "sum", "mul": "prod"}
_STARTS = range(-2, 5)
_MAX_HOLES = 4
_MAX_TERMS = 12
_POINTS = 3
_HOLE = symbol("#hole")
_Rule = tuple[Node, Node, Node]
"""First index, last index, and the term as a function of ``_HOLE``."""


def is_dots(tree: Node) -> bool:
    r"""Return whether a term is ``\ldots`` or ``-\ldots``."""
    return tree == DOTS or (tree.op == "neg" and tree.args[0] == DOTS)


def fold_dots(operation: str, terms: Sequence[Node]) -> Node:
    r"""Return one ``range`` node for terms of ``add``, ``mul`` or a function of a list, one of them ``\ldots``.

    Raises:
        Unreadable: the rule of the terms is not clear.
    """
    at = next(index for index, term in enumerate(terms) if is_dots(term))
    before, after = list(terms[:at]), list(terms[at + 1 :])
    if not before or not after or len(terms) > _MAX_TERMS or any(map(is_dots, after)):
        raise Unreadable("ellipsis")
    level = 1 + max((int(node.value or 0) for term in terms for node in walk(term) if node.op == "range"), default=0)
    fold, hole = _FOLDS.get(operation, operation), counter(level)
    found: list[Node] = []
    for rule in (*_rules(before, after), *_rules(after[::-1], before[::-1])):
        found.append(Node("range", tuple(substitute(arg, _HOLE.name, hole) for arg in rule), Fraction(level), fold))
    if not found or not all(_same(found[0], other) for other in found[1:]):
        raise Unreadable("ellipsis")
    return found[0]


def _rules(first: list[Node], last: list[Node]) -> Iterator[_Rule]:
    """Yield the rules by which the terms ``first`` go on until they end with the terms ``last``."""
    several = len(first) + len(last) > 2
    if several:
        yield from _constant_step(first, last)
        yield from _constant_ratio(first, last)
    if several or any(node.op == "seq" for node in walk(last[-1])):
        for body, top in _formulas(last[-1]):
            start = next((number(at) for at in _STARTS if _fits(body, number(at), top, first, last)), None)
            if start is not None:
                yield start, top, body


def _constant_step(first: list[Node], last: list[Node]) -> Iterator[_Rule]:
    step = _rational(minus(first[1], first[0]) if len(first) > 1 else minus(last[-1], last[-2]))
    if not step:
        return
    steps = Node("div", (minus(last[-1], first[0]), number(step)))
    body = Node("add", (first[0], Node("mul", (number(step), _HOLE))))
    values = _values(steps, whole=True)
    counts = [one for one in values if isinstance(one, Fraction) and one.denominator == 1]
    whole = len(counts) == len(values) and (variables(steps) or min(counts) >= len(first))
    if whole and _fits(body, number(0), steps, first, last):
        yield number(0), steps, body


def _constant_ratio(first: list[Node], last: list[Node]) -> Iterator[_Rule]:
    """Numbers with a constant ratio that is whole, or one over a whole number."""
    values = [value for value in map(_rational, (*first, *last)) if value]
    if len(first) < 2 or len(values) < len(first) + len(last):
        return
    ratio, total = values[1] / values[0], values[-1] / values[0]
    if not (ratio.denominator == 1 or ratio.numerator in (1, -1)) or abs(ratio) in (0, 1):
        return
    power, steps = Fraction(1), 0
    while power != total and steps < 200:
        power, steps = power * ratio, steps + 1
    body = Node("mul", (first[0], Node("pow", (number(ratio), _HOLE))))
    if power == total and _fits(body, number(0), number(steps), first, last):
        yield number(0), number(steps), body


def _formulas(end: Node) -> Iterator[tuple[Node, Node]]:
    """Yield the last term with a letter, or with some of its numbers, in the place of the index; and the last index."""
    names = sorted(variables(end))
    yield from ((substitute(end, name, _HOLE), symbol(name)) for name in names)
    tops = [] if names else _tops(end)[:_MAX_HOLES]
    for size in range(1, len(tops) + 1):
        for chosen in combinations(range(len(tops)), size):
            top = max(tops[place] for place in chosen)
            yield _with_holes(end, chosen, top, count()), number(top)


def _tops(tree: Node) -> list[Fraction]:
    """Return the whole numbers in a tree that may be an index, from left to right."""
    if tree.value is not None and tree.op == "num":
        return [tree.value] if tree.value.denominator == 1 < tree.value else []
    return [top for arg in tree.args for top in _tops(arg)]


def _with_holes(tree: Node, chosen: tuple[int, ...], top: Fraction, places: Iterator[int]) -> Node:
    if tree.op != "num" or tree.value is None:
        return tree._replace(args=tuple(_with_holes(arg, chosen, top, places) for arg in tree.args))
    if not _tops(tree) or next(places) not in chosen:
        return tree
    return _HOLE if tree.value == top else Node("add", (_HOLE, number(tree.value - top)))


def _fits(body: Node, start: Node, top: Node, first: list[Node], last: list[Node]) -> bool:
    """Return whether a rule gives each written term."""
    pairs = [(Node("add", (start, number(index))), term) for index, term in enumerate(first)]
    pairs += [(Node("add", (top, number(-index))), term) for index, term in enumerate(last[::-1])]
    return all(_same(substitute(body, _HOLE.name, at), term) for at, term in pairs)


def _same(a: Node, b: Node) -> bool:
    from hero_rl.verifiers.math.sampling import compare_trees  # which imports what the grammar imports, and this

    return compare_trees(a, b) == "equal"


def _rational(tree: Node) -> Fraction | None:
    """Return the rational number that a tree is, whatever its letters are."""
    value, *others = _values(tree)
    return value if isinstance(value, Fraction) and all(value == other for other in others) else None


def _values(tree: Node, *, whole: bool = False) -> list[Value | None]:
    """Return the values at a few fixed points."""
    found: list[Value | None] = []
    names = sorted(variables(tree))
    for at in range(_POINTS if names else 1):
        point = {name: Fraction(5 + 2 * at + 3 * index, 1 if whole else 7) for index, name in enumerate(names)}
        try:
            found.append(evaluate(tree, point, precise()))
        except Undefined:
            found.append(None)
    return found
