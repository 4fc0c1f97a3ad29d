"""Comparing equations: with each other, and with an expression that one of them is solved for."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from hero_rl.verifiers.math.evaluate import Undefined, Value, evaluate, fast, symbols
from hero_rl.verifiers.math.findings import DIFFERENT, EQUAL, Finding, equal, unsure
from hero_rl.verifiers.math.reading import Reading
from hero_rl.verifiers.math.sampling import compare_trees, constant_ratio, needs_whole, points, substitute
from hero_rl.verifiers.math.syntax import Node, number, parse
from hero_rl.verifiers.math.tokens import Unreadable

_ZERO = number(0)
_GRID = 48
_BISECTIONS = 60


def zero_form(reading: Reading) -> Node | None:
    """``left - right`` of an equation, or of a labelled value such as ``y = 2x + 1``; None for other readings."""
    if reading.kind == "equation":
        left, right = (item.tree for item in reading.items)
    elif reading.kind == "value" and reading.label:
        try:
            left, right = parse(reading.label), reading.tree
        except Unreadable:
            return None
    else:
        return None
    return None if left is None or right is None else Node("add", (left, Node("neg", (right,))))


def compare_equations(reference: Reading, answer: Reading) -> Finding:
    """How two equations relate, of which at least one is not merely a label; a missing one is ``unsure``."""
    a, b = zero_form(reference), zero_form(answer)
    if a is not None and b is not None:
        return _compare_zero_forms(a, b)
    equation, value = (reference, answer) if a is not None else (answer, reference)
    form = a if a is not None else b
    if form is None or value.kind != "value" or value.tree is None or equation.kind != "equation":
        return unsure("not_comparable")
    return _solved(form, value.tree)


def _compare_zero_forms(a: Node, b: Node) -> Finding:
    if symbols(a) != symbols(b):
        return unsure("variables_differ")
    if constant_ratio(a, b):
        return EQUAL
    shared = sorted(symbols(a))
    for one, other in ((a, b), (b, a)):
        for name in shared:
            by = _solution(one, name)
            if by is not None and compare_trees(substitute(other, name, by), _ZERO) == "equal":
                return equal("equal_transformed")
    return DIFFERENT if _has_root_of_one_only(a, b) else unsure("undecided")


def _solution(form: Node, name: str) -> Node | None:
    """What a form ``name - expression`` or ``expression - name`` gives for the name."""
    if form.op != "add" or len(form.args) != 2:
        return None
    left, right = form.args[0], form.args[1].args[0]
    for variable, by in ((left, right), (right, left)):
        if variable.op == "sym" and variable.name == name and name not in symbols(by):
            return by
    return None


def _solved(form: Node, expression: Node) -> Finding:
    """Whether an expression is what an equation gives for one of its variables."""
    extra = sorted(symbols(form) - symbols(expression))
    if symbols(expression) - symbols(form) or len(extra) != 1:
        return unsure("not_comparable")
    inserted = substitute(form, extra[0], expression)
    relation = compare_trees(inserted, _ZERO)
    if relation == "equal":
        return equal("equal_solved")
    return DIFFERENT if relation == "different" and _is_linear_in(form, extra[0]) else unsure("undecided")


def _is_linear_in(form: Node, name: str) -> bool:
    """Whether an equation is linear in a variable, so that it has one solution for it."""
    values = [substitute(form, name, number(at)) for at in (0, 1, 2)]
    bend = Node("add", (values[0], Node("neg", (values[1],)), Node("neg", (values[1],)), values[2]))
    return compare_trees(bend, _ZERO) == "equal"


def _has_root_of_one_only(a: Node, b: Node) -> bool:
    """Whether some solution of one equation, found by bisection, clearly does not solve the other."""
    names = sorted(symbols(a))
    for point in points(names, whole=needs_whole(a, b)):
        for one, other in ((a, b), (b, a)):
            root = _root(one, names[-1], point.values)
            if root is None:
                continue
            at_root = _value(other, {**point.values, names[-1]: root})
            beside = _value(other, {**point.values, names[-1]: root + 0.5})
            if at_root is not None and beside is not None and abs(at_root) > 1e-4 * max(abs(beside), 1.0):
                return True
    return False


def _root(form: Node, name: str, values: Mapping[str, Fraction]) -> float | None:
    previous: tuple[float, float] | None = None
    for step in range(_GRID + 1):
        at = -6.0 + 12.0 * step / _GRID + 0.013
        height = _value(form, {**values, name: at})
        if height is not None and previous is not None and (height > 0) != (previous[1] > 0):
            return _bisect(form, name, values, previous[0], at)
        previous = None if height is None else (at, height)
    return None


def _bisect(form: Node, name: str, values: Mapping[str, Fraction], low: float, high: float) -> float | None:
    start = _value(form, {**values, name: low})
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        height = _value(form, {**values, name: middle})
        if height is None or start is None:
            return None
        low, high = (middle, high) if (height > 0) == (start > 0) else (low, middle)
    last = _value(form, {**values, name: low})
    return low if last is not None and abs(last) < 1e-7 else None


def _value(form: Node, values: Mapping[str, Value]) -> float | None:
    try:
        value = evaluate(form, values, fast())
    except Undefined:
        return None
    if getattr(value, "imag", 0):
        return None
    return float(value.real)
