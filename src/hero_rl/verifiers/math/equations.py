"""Comparing equations: with each other, and with an expression that one of them is solved for."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from fractions import Fraction
from itertools import islice, pairwise

from hero_rl.verifiers.math.evaluate import Undefined, evaluate, fast, symbols
from hero_rl.verifiers.math.findings import DIFFERENT, EQUAL, Finding, different, equal, unsure
from hero_rl.verifiers.math.points import PERIODIC
from hero_rl.verifiers.math.problem import Hints
from hero_rl.verifiers.math.reading import Reading
from hero_rl.verifiers.math.sampling import compare_trees, constant_ratio, needs_whole, points, substitute
from hero_rl.verifiers.math.sought import asks_equation, quantities, squeezed
from hero_rl.verifiers.math.syntax import Node, number, parse
from hero_rl.verifiers.math.tokens import Unreadable
from hero_rl.verifiers.math.tree import factors, minus, symbol, walk

_ZERO = number(0)
_GRID = 48
_NEAREST, _FARTHEST = 8, (100, 1_000_000)
"""How far from zero a common factor is looked for."""
_LINES = 2
_SAMPLES = (0.3, -61.7, -2.9, 1.6, 57.1)
_NEAR_ZERO = 1e-7
_BISECTIONS = 90


def zero_form(reading: Reading) -> Node | None:
    """``left - right`` of an equation, or of a labelled value such as ``y = 2x + 1``; None for other readings."""
    left = right = None
    if reading.kind == "equation":
        left, right = (item.tree for item in reading.items)
    elif reading.kind == "value" and reading.label:
        with suppress(Unreadable):
            left, right = parse(reading.label), reading.tree
    return None if left is None or right is None else minus(left, right)


def compare_equations(reference: Reading, answer: Reading, hints: Hints) -> Finding:
    """Compare two equations, or an equation with an expression; an answer must be solved for what it stands for.

    A tautology says nothing, and an equation that merely has the reference among its roots is a question, not an answer.
    """
    a, b = zero_form(reference), zero_form(answer)
    if any(form is not None and compare_trees(form, _ZERO) == "equal" for form in (a, b)):
        if b is not None and reference.kind == "value" and reference.tree is not None and _works_out(answer, reference.tree):
            return unsure("not_solved")
        return different("not_solved") if b is not None else unsure("not_comparable")
    if a is not None and b is not None:
        return _compare_zero_forms(a, b)
    equation, value = (reference, answer) if a is not None else (answer, reference)
    form = a if a is not None else b
    if form is None or value.kind != "value" or value.tree is None or equation.kind != "equation":
        return unsure("not_comparable")
    if not symbols(value.tree):
        return equal("equal_solved") if _states(equation, value.tree, hints) else unsure("not_solved")
    if equation is answer and _answers_what_is_asked(equation, value.tree, hints):
        return equal("equal_solved")
    finding = _solved(form, value.tree)
    is_answer = equation is reference or any(item.tree and item.tree.op == "sym" for item in equation.items)
    is_open = finding.relation == "equal" and hints.given and not is_answer and not asks_equation(hints.text)
    return unsure("not_solved") if is_open else finding


def _works_out(identity: Reading, value: Node) -> bool:
    """Return whether an identity ends in a value that it writes in another way before: no answer, but no wrong one either."""
    left, right = (item.tree for item in identity.items) if identity.items else (None, None)
    return left != right and right is not None and compare_trees(right, value) == "equal"


def _answers_what_is_asked(equation: Reading, value: Node, hints: Hints) -> bool:
    r"""Return whether the left side is what the question asks to find, ``\cos A``, and the right side the value."""
    left, right = equation.items
    if right.tree is None or compare_trees(right.tree, value) != "equal" or not hints.given:
        return False
    name = squeezed(left.text)
    return len(name) > 1 and name in quantities(hints.text) and squeezed(equation.text) not in squeezed(hints.text)


def _states(equation: Reading, value: Node, hints: Hints) -> bool:
    r"""Return whether an equation gives a value to a quantity that the question names, ``x + y = 7``, not copied from it.

    A lone function of a letter, ``\tan A = 7``, names a quantity by itself.
    """
    left, right = equation.items
    named, given = (left, right) if right.tree is not None and not symbols(right.tree) else (right, left)
    if named.tree is None or given.tree is None or symbols(given.tree) or compare_trees(given.tree, value) != "equal":
        return False
    if squeezed(equation.text) in squeezed(hints.text):
        return False
    if hints.given:
        return squeezed(named.text) in quantities(hints.text) and named.tree.op != "sym"
    return named.tree.op == "fn" and named.tree.name in PERIODIC and all(arg.op == "sym" for arg in named.tree.args)


def _compare_zero_forms(a: Node, b: Node) -> Finding:
    if symbols(a) != symbols(b):
        return unsure("variables_differ")
    if constant_ratio(a, b):
        return EQUAL
    for name in sorted(symbols(a)):
        one, other = _linear_in(a, name), _linear_in(b, name)
        if not one or not other or all(compare_trees(rest, _ZERO) == "equal" for rest, _ in (one, other)):
            continue  # a letter that may be zero in both says nothing of the rest
        if compare_trees(Node("mul", (one[0], other[1])), Node("mul", (other[0], one[1]))) == "equal":
            more = _says_less(one, symbols(a) - {name}) != _says_less(other, symbols(a) - {name})
            return unsure("conditions_differ") if more or _has_factors(a) != _has_factors(b) else equal("equal_transformed")
    return DIFFERENT if _has_root_of_one_only(a, b) else unsure("undecided")


def _has_factors(form: Node) -> bool:
    """Return whether an equation says that a product is zero: ``(y - 2x)(x - 5) = 0``."""
    left, right = form.args[0], form.args[1].args[0]
    product = left if right.value == 0 else right if left.value == 0 else _ZERO
    return sum(bool(symbols(one)) for one in factors(product)) > 1


def _linear_in(form: Node, name: str) -> tuple[Node, Node] | None:
    """Return p and q of a form ``p + q name``, which has one solution for the variable; None for other forms."""
    at_0, at_1 = (substitute(form, name, number(value)) for value in (0, 1))
    slope = minus(at_1, at_0)
    line = Node("add", (at_0, Node("mul", (slope, symbol(name)))))
    is_linear = compare_trees(form, line) == "equal" and compare_trees(slope, _ZERO) == "different"
    return (at_0, slope) if is_linear else None


def _says_less(line: tuple[Node, Node], names: frozenset[str]) -> bool:
    """Return whether an equation ``p + q y = 0`` leaves y open somewhere: where p and q are zero, as a common factor is."""
    ordered = sorted(names)
    constants = [abs(node.value) for one in line for node in walk(one) if node.value is not None]
    largest = float(max(constants, default=0))
    reaches = {2 * min(largest, farthest) + _NEAREST for farthest in _FARTHEST}
    for point in islice(points(ordered, whole=False), _LINES):
        for name in ordered:
            rest, slope = (_function(one, name, point.values) for one in line)
            if _is_constant(slope) or (_is_constant(rest) and abs(rest(_SAMPLES[0])) > _NEAR_ZERO):
                continue  # a common factor has its letter in both
            if any(abs(rest(root)) < _NEAR_ZERO for reach in reaches for root in _zeros(slope, reach)):
                return True
    return False


def _is_constant(at: Callable[[float], float]) -> bool:
    values = [at(one) for one in _SAMPLES]
    return all(abs(one - other) < _NEAR_ZERO for one, other in pairwise(values))


def _zeros(at: Callable[[float], float], reach: float) -> Iterator[float]:
    """Yield where the size of a function has a lowest point that is zero, found between neighbours on a grid."""
    grid = [-reach + 2 * reach * step / _GRID + 0.013 for step in range(_GRID + 1)]
    sizes = [abs(at(one)) for one in grid]
    for step in range(1, _GRID):
        if sizes[step - 1] >= sizes[step] <= sizes[step + 1]:
            low, high = grid[step - 1], grid[step + 1]
            for _ in range(_BISECTIONS):
                third = (high - low) / 3
                low, high = (low, high - third) if abs(at(low + third)) < abs(at(high - third)) else (low + third, high)
            if abs(at(low)) < _NEAR_ZERO:
                yield low


def _solved(form: Node, expression: Node) -> Finding:
    """Compare an expression with what an equation linear in one more variable gives for that variable."""
    extra = sorted(symbols(form) - symbols(expression))
    line = None if symbols(expression) - symbols(form) or len(extra) != 1 else _linear_in(form, extra[0])
    if line is None:
        return unsure("not_comparable")
    relation = compare_trees(substitute(form, extra[0], expression), _ZERO)
    if relation == "equal":
        return unsure("conditions_differ") if _says_less(line, symbols(expression)) else equal("equal_solved")
    return DIFFERENT if relation == "different" else unsure("undecided")


def _has_root_of_one_only(a: Node, b: Node) -> bool:
    """Return whether some solution of one equation, found by bisection, clearly does not solve the other."""
    names = sorted(symbols(a))
    for point in points(names, whole=needs_whole(a, b)):
        for one, other in ((a, b), (b, a)):
            root = _root(_function(one, names[-1], point.values))
            if root is None:
                continue
            at = _function(other, names[-1], point.values)
            if abs(at(root)) > 1e-4 * max(abs(at(root + 0.5)), 1.0):
                return True
    return False


def _root(at: Callable[[float], float]) -> float | None:
    """Return a root found by bisection between two neighbours of a grid at which the signs differ."""
    grid = [-6.0 + 12.0 * step / _GRID + 0.013 for step in range(_GRID + 1)]
    ends = next(((low, high) for low, high in pairwise(grid) if at(low) * at(high) <= 0), None)
    if ends is None:
        return None
    low, high = ends
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if at(middle) * at(ends[0]) > 0 else (low, middle)
    return low if abs(at(low)) < 1e-7 else None


def _function(form: Node, name: str, values: Mapping[str, Fraction]) -> Callable[[float], float]:
    """Return a form as a function of one variable, at given values of the others; NaN where it has no real value."""

    def value(at: float) -> float:
        try:
            found = evaluate(form, {**values, name: at}, fast())
        except Undefined:
            return math.nan
        return math.nan if found.imag else float(found.real)

    return value
