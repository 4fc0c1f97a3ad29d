r"""Sums, products and lists with dots, ``1 + 2 + \ldots + n``: the rule of their terms, where the terms leave no doubt.

The rule is sought in the terms themselves: a constant step; the last term as a formula in one of its letters or numbers; a
constant ratio. All rules that fit every written term must say the same, or the dots are not understood.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import combinations

from hero_rl.verifiers.math.evaluate import Undefined, Value, evaluate, lifted, precise
from hero_rl.verifiers.math.tokens import Unreadable
from hero_rl.verifiers.math.tree import Node, counter, number, substitute, variables, walk

DOTS = Node("sym", (), None, r"\ldots")
_FOLDS = {"add": "sum", "mul": "prod"}
_STARTS = range(-2, 5)
_MAX_HOLES = 4
_MAX_TERMS = 12
_POINTS = 3
_AGREES_BITS = 133


def is_dots(tree: Node) -> bool:
    r"""Whether a term is ``\ldots`` or ``-\ldots``."""
    return tree == DOTS or (tree.op == "neg" and tree.args[0] == DOTS)


def fold_dots(operation: str, terms: Sequence[Node]) -> Node:
    r"""One ``range`` node for terms with dots among them.

    Args:
        operation: ``add``, ``mul``, or a function of a list such as ``lcm``.
        terms: with one ``\ldots``.

    Raises:
        Unreadable: the rule of the terms is not clear.
    """
    at = next(index for index, term in enumerate(terms) if is_dots(term))
    before, after = list(terms[:at]), list(terms[at + 1 :])
    if not before or not after or len(terms) > _MAX_TERMS or any(map(is_dots, after)):
        raise Unreadable("ellipsis")
    found = list(_rules(before, after)) + list(_rules(after[::-1], before[::-1]))
    level = 1 + max((int(node.value or 0) for term in terms for node in walk(term) if node.op == "range"), default=0)
    ranges = [Node("range", rule, Fraction(level), _FOLDS.get(operation, operation)) for rule in found]
    ranges = [rule._replace(args=tuple(_with_counter(arg, level) for arg in rule.args)) for rule in ranges]
    if not ranges or not all(_agree(ranges[0], other) for other in ranges[1:]):
        raise Unreadable("ellipsis")
    return ranges[0]


def _with_counter(tree: Node, level: int) -> Node:
    return substitute(tree, _HOLE.name, counter(level))


_HOLE = Node("sym", (), None, "#hole")
_Rule = tuple[Node, Node, Node]
"""First index, last index, and the term as a function of ``_HOLE``."""


def _rules(first: list[Node], last: list[Node]) -> Iterator[_Rule]:
    """The rules by which the terms ``first`` go on until they end with the terms ``last``."""
    end = last[-1]
    known = len(first) + len(last) - 1
    if known >= 2:
        yield from _constant_step(first, last)
        yield from _constant_ratio(first, last)
    if known >= 2 or any(node.op == "seq" for node in walk(end)):
        for body, top in _formulas(end):
            yield from _from_formula(body, top, first, last)


def _constant_step(first: list[Node], last: list[Node]) -> Iterator[_Rule]:
    """Terms with a constant numeric difference."""
    step = _constant_gap(first[1], first[0]) if len(first) > 1 else _constant_gap(last[-1], last[-2])
    if step is None or step == 0:
        return
    steps = Node("div", (_minus(last[-1], first[0]), number(step)))
    body = Node("add", (first[0], Node("mul", (number(step), _HOLE))))
    if _fits(body, number(0), steps, first, last) and _whole_and_enough(steps, len(first)):
        yield number(0), steps, body


def _constant_ratio(first: list[Node], last: list[Node]) -> Iterator[_Rule]:
    """Numbers with a constant ratio that is whole, or one over a whole number."""
    values = [value for value in map(_number, [*first, *last]) if value]
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
    """The last term with a letter, or with some of its numbers, in the place of the index; and the last index."""
    for name in sorted(variables(end)):
        yield substitute(end, name, _HOLE), Node("sym", (), None, name)
    if variables(end):
        return
    places = [path for path, node in _leaves(end, ()) if node.value is not None and node.value.denominator == 1 < node.value]
    for size in range(1, min(len(places), _MAX_HOLES) + 1):
        for chosen in combinations(places[:_MAX_HOLES], size):
            tops = [_at(end, path).value or Fraction(0) for path in chosen]
            top = max(tops)
            body = end
            for path, value in zip(chosen, tops, strict=True):
                hole = _HOLE if value == top else Node("add", (_HOLE, number(value - top)))
                body = _with(body, path, hole)
            if top > 1:
                yield body, number(top)


def _from_formula(body: Node, top: Node, first: list[Node], last: list[Node]) -> Iterator[_Rule]:
    for start in _STARTS:
        if _fits(body, number(start), top, first, last):
            yield number(start), top, body
            return


def _fits(body: Node, start: Node, top: Node, first: list[Node], last: list[Node]) -> bool:
    """Whether a rule gives each written term."""
    pairs = [(Node("add", (start, number(index))), term) for index, term in enumerate(first)]
    pairs += [(Node("add", (top, number(-index))), term) for index, term in enumerate(last[::-1])]
    return all(_same(substitute(body, _HOLE.name, at), term) for at, term in pairs)


def _whole_and_enough(steps: Node, terms: int) -> bool:
    """Whether the number of steps is whole wherever the letters are, and can be large enough."""
    for at in range(_POINTS):
        count = _value(steps, at, variables(steps), whole=True)
        if not isinstance(count, Fraction) or count.denominator != 1 or (not variables(steps) and count < terms):
            return False
    return True


def _agree(a: Node, b: Node) -> bool:
    return a == b or _equal_at_points(a, b, whole=True)


def _same(a: Node, b: Node) -> bool:
    return a == b or _equal_at_points(a, b, whole=False)


def _equal_at_points(a: Node, b: Node, *, whole: bool) -> bool:
    names = variables(a) | variables(b)
    points = range(_POINTS if names else 1)
    return all(_equal(_value(a, at, names, whole=whole), _value(b, at, names, whole=whole)) for at in points)


def _equal(x: Value | None, y: Value | None) -> bool:
    if x is None or y is None:
        return False
    if isinstance(x, Fraction) and isinstance(y, Fraction):
        return x == y
    context = precise()
    gap = lifted(x) - lifted(y)
    return bool(gap == 0 or context.mag(gap) < context.mag(lifted(x)) - _AGREES_BITS)


def _value(tree: Node, at: int, names: frozenset[str], *, whole: bool = False) -> Value | None:
    """The value at one of a few fixed points."""
    bottom = 1 if whole else 7
    values = {name: Fraction(5 + 2 * at + 3 * index, bottom) for index, name in enumerate(sorted(names))}
    try:
        return evaluate(tree, values, precise())
    except Undefined:
        return None


def _constant_gap(a: Node, b: Node) -> Fraction | None:
    difference = _minus(a, b)
    gaps = {_value(difference, at, variables(difference)) for at in range(_POINTS)}
    gap = gaps.pop()
    return gap if not gaps and isinstance(gap, Fraction) else None


def _number(tree: Node) -> Fraction | None:
    value = _value(tree, 0, frozenset()) if not variables(tree) else None
    return value if isinstance(value, Fraction) else None


def _minus(a: Node, b: Node) -> Node:
    return Node("add", (a, Node("neg", (b,))))


def _leaves(tree: Node, path: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], Node]]:
    if tree.op == "num":
        yield path, tree
    for index, arg in enumerate(tree.args):
        yield from _leaves(arg, (*path, index))


def _at(tree: Node, path: tuple[int, ...]) -> Node:
    for index in path:
        tree = tree.args[index]
    return tree


def _with(tree: Node, path: tuple[int, ...], by: Node) -> Node:
    if not path:
        return by
    args = list(tree.args)
    args[path[0]] = _with(args[path[0]], path[1:], by)
    return tree._replace(args=tuple(args))
