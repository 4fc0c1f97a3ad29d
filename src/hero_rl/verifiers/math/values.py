"""Comparing two expressions: their values or functions, and what a difference may be due to."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from fractions import Fraction

from hero_rl.verifiers.math.arbitrary import same_family
from hero_rl.verifiers.math.evaluate import DIGITS, Undefined, Value, lifted, symbols, walk
from hero_rl.verifiers.math.findings import DIFFERENT, EQUAL, Finding, different, equal, unsure
from hero_rl.verifiers.math.problem import Hints, Tolerance
from hero_rl.verifiers.math.rounding import (
    CLOSE,
    MIN_DIGITS,
    is_coarse_rounding,
    is_rounding,
    rounds_to_step,
    written_decimal,
)
from hero_rl.verifiers.math.sampling import compare_trees, expand_signs, measured, rename, substitute
from hero_rl.verifiers.math.syntax import Node, parse
from hero_rl.verifiers.math.tree import factors

_MIN_DIGITS_FOR_EXACT = MIN_DIGITS + 1
_MAX_RENAMED = 2
_FREE_LETTERS = frozenset("nmkjlrstpquxyzcCKN")
"""Letters that commonly stand for a variable, an integer or a constant of one's own choice."""
_INTEGERS = frozenset("kmnlj")
_IN_PRIMES = re.compile(
    r"\bfactori[sz](?:ation|e\b)|\bproduct of (?:its )?(?:primes|prime (?:factors|numbers|powers))|\binto (?:its )?prime",
    re.I,
)
_MAX_DIVISOR = 10_000
_DOUBTS = {"too_large": "answer_too_large", "equal_in_part": "conditions_differ"}
_GOLDEN_RATIO = parse(r"\frac{1+\sqrt{5}}{2}")


def compare_expressions(a: Node, b: Node, hints: Hints) -> Finding:
    """Return how two expressions relate, plus-minus signs included."""
    if a.op == b.op == "num":
        return _compare_plain(a, b, hints)
    left, right = expand_signs(a), expand_signs(b)
    if len(left) == len(right) == 1:
        return _compare_plain(a, b, hints)
    if len(left) != len(right):
        return different("number_of_answers") if 1 in (len(left), len(right)) else unsure("not_comparable")
    rest = list(right)
    for one in left:
        match = next((other for other in rest if _compare_plain(one, other, hints).relation == "equal"), None)
        if match is None:
            return DIFFERENT
        rest.remove(match)
    return EQUAL


def _compare_plain(a: Node, b: Node, hints: Hints) -> Finding:
    if a == b:
        return EQUAL
    if _same_digits(a, b):
        named = a.name.startswith("base:") or re.search(r"\bbase\W{0,6}\w", hints.text) is not None
        return equal("equal_base_left_out") if named else unsure("part_left_out")
    relation = compare_trees(a, b)
    if relation == "different" and any(node.name == "log" and len(node.args) == 1 for one in (a, b) for node in walk(one)):
        relation = "equal" if compare_trees(a, b, log_base=10) == "equal" else relation
    if relation == "equal" and hints.given and symbols(b) and not symbols(a):
        return unsure("variables_differ")  # x/x, where 1 is asked for
    if relation == "equal":
        form = _check_form(a, b, hints)
        narrowed = form == EQUAL and _has_absolute(a) != _has_absolute(b) and bool(symbols(a))
        arguments = [arg for node in walk(a) if node.op == "fn" and node.name in ("ln", "log") for arg in node.args]
        if narrowed and hints.given and any(map(_has_absolute, arguments)) and not hints.positive:
            return unsure("equal_for_positive_numbers")  # the answer leaves out negative numbers
        return equal("equal_for_positive_numbers") if narrowed else form
    if relation == "equal_if_positive":
        plain = hints.positive and not _has_absolute(a) and not _has_absolute(b)
        return equal("equal_for_positive_numbers") if plain else unsure("equal_for_positive_numbers")
    if relation != "different":
        return unsure(_DOUBTS.get(relation, "undecided"))
    if symbols(a) or symbols(b):
        return _explain_functions(a, b, hints)
    x, y = constant(a), constant(b)
    return unsure("undecided") if x is None or y is None else _explain_numbers(a, b, x, y, hints)


def _has_absolute(tree: Node) -> bool:
    return any(node.op == "fn" and node.name == "abs" for node in walk(tree))


def _same_digits(a: Node, b: Node) -> bool:
    """Whether one is the other with a base, as ``4210_7`` and ``4210`` are: it may be left out where the question names it."""
    based = [tree.name.removeprefix("base:") for tree in (a, b) if tree.name.startswith("base:")]
    bare = b if a.name.startswith("base:") else a
    return len(based) == 1 and bare.op == "num" and bare.name == based[0]


def _explain_numbers(a: Node, b: Node, x: Value, y: Value, hints: Hints) -> Finding:
    """Two numbers differ; is that beyond doubt?"""
    if hints.tolerance is not None:
        return _by_tolerance(x, y, hints.tolerance)
    given, decimal = written_decimal(b), written_decimal(a)
    if (
        hints.rounding is not None
        and rounds_to_step(y, x, hints.rounding)
        and (given.step < hints.rounding if given else not isinstance(y, Fraction) or (y / hints.rounding).denominator > 1)
    ):
        guessed = given is not None and isinstance(x, Fraction) and abs(x) < 100 * hints.rounding
        return unsure("numbers_close") if guessed else equal("equal_rounded")
    if is_rounding(a, b, x, y) and not (hints.exact and decimal is None):
        too_short = given is not None and (
            given.digits < _MIN_DIGITS_FOR_EXACT and not hints.approximate
            if decimal is None
            else hints.rounding is not None and given.step > decimal.step
        )
        if not too_short:
            return equal("equal_rounded")
    return DIFFERENT if x == 0 or y == 0 else _doubt(a, b, x, y, hints)


def _by_tolerance(x: Value, y: Value, tolerance: Tolerance) -> Finding:
    """Return whether a number is as near to the reference ``x`` as a field of the row allows; the field leaves no doubt."""
    size: Value = tolerance.size
    if not (isinstance(x, Fraction) and isinstance(y, Fraction)):
        x, y, size = (lifted(value) for value in (x, y, size))
    parts = (x.real, y.real), (x.imag, y.imag)
    near = all(abs(a - b) <= (size * abs(a) if tolerance.relative else size) for a, b in parts)
    return Finding("equal", "equal_within_tolerance") if near else DIFFERENT


def ratio_of(x: Value, y: Value) -> complex | None:
    """Return the ratio of two numbers; None where it is out of reach."""
    try:
        exact = isinstance(x, Fraction) and isinstance(y, Fraction)
        return complex(x / y if exact else lifted(x) / lifted(y))
    except OverflowError:
        return None


def _doubt(a: Node, b: Node, x: Value, y: Value, hints: Hints) -> Finding:
    ratio, first, second = ratio_of(x, y), written_decimal(a), written_decimal(b)
    if ratio is None:
        return unsure("answer_too_large")
    size, whole = abs(ratio), [isinstance(value, Fraction) and value.denominator == 1 for value in (x, y)]
    if first is not None and second is not None:
        rounded = first.step != second.step or hints.approximate
    else:
        rounded = not all(whole) and (first is not None or second is not None or any(whole))
    if rounded and (abs(ratio - 1) <= CLOSE or is_coarse_rounding(a, b, x, y)):
        return unsure("numbers_close")
    if ratio.imag == 0 and any(math.isclose(size, other, rel_tol=1e-9) for other in (100.0, 0.01)):
        return unsure("factor_of_100")
    degrees = any(math.isclose(size, other, rel_tol=1e-3) for other in (180 / math.pi, math.pi / 180))
    return unsure("degrees_or_radians") if degrees else DIFFERENT


def constant(tree: Node) -> Value | None:
    """Return the value of a constant expression to 50 digits; None where it has none within the limits."""
    if tree.op == "num":
        return tree.value
    try:
        return measured(tree, DIGITS).value
    except Undefined:
        return None


def _explain_functions(a: Node, b: Node, hints: Hints) -> Finding:
    if any("(" in name for name in symbols(a) ^ symbols(b)):  # a function whose values nobody here knows
        return unsure("undecided")
    if same_family(a, b, hints):
        return equal("equal_constants")
    here, there = symbols(a), symbols(b)
    only_here, only_there = sorted(here - there), sorted(there - here)
    if [*only_here, *only_there] == [r"\phi"] and not any(name in hints.text for name in ("phi", "φ", "ϕ")):
        a, b = (substitute(tree, r"\phi", _GOLDEN_RATIO) for tree in (a, b))
        return equal("equal_named_constant") if compare_trees(a, b) == "equal" else unsure("variables_differ")
    if only_here and len(only_here) == len(only_there) <= _MAX_RENAMED:
        for names in itertools.permutations(only_here):
            if compare_trees(a, rename(b, dict(zip(only_there, names, strict=True)))) == "equal":
                free = _are_free((*only_here, *only_there), a, hints)
                return equal("equal_renamed") if free else unsure("letters_differ")
    if only_there and only_here:
        return unsure("variables_differ")
    return DIFFERENT


def _are_free(names: Sequence[str], tree: Node, hints: Hints) -> bool:
    """Return whether letters may be exchanged for others: the question uses none of them, or they count multiples of pi."""
    if hints.given:
        plain = [name.partition("_")[0].rstrip("'") for name in names]
        distinct = len({*map(str.lower, plain)}) == len(names)
        return distinct and _FREE_LETTERS.issuperset(plain) and hints.letters.isdisjoint(plain)
    return _INTEGERS.issuperset(names) and any(node.op == "const" and node.name == "pi" for node in walk(tree))


def _check_form(a: Node, b: Node, hints: Hints) -> Finding:
    """Equal in value; is it also in the form that was asked for?"""
    expected, given = _count_sums(a), _count_sums(b)
    if expected >= 2 and given < expected and (hints.factored or not hints.given):
        return different("not_factored") if hints.factored else unsure("not_factored")
    if a.op in ("mul", "pow") and not symbols(a) and _IN_PRIMES.search(hints.text) and not all(map(_is_prime, factors(b))):
        return unsure("not_factored")
    if hints.expanded and not hints.factored and expected < 2 and (given >= 2 or _has_brackets(b) > _has_brackets(a)):
        return unsure("not_expanded")
    if hints.simplified and _divides_by_letters(b) > _divides_by_letters(a):
        return unsure("not_simplified")
    return EQUAL


def _has_brackets(tree: Node) -> bool:
    """Return whether a term of a sum is a product or a power of a sum in variables."""
    return any(_count_sums(one) and one.op != "add" for one in walk(tree) if one.op in ("mul", "pow"))


def _divides_by_letters(tree: Node) -> bool:
    return any(one.op == "div" and bool(symbols(one.args[1])) for one in walk(tree))


def _count_sums(tree: Node) -> int:
    """Return how many sums in variables are multiplied at the top of an expression."""
    return sum(one.op == "add" and bool(symbols(one)) for one in factors(tree))


def _is_prime(factor: Node) -> bool:
    """Return whether a factor is no composite number, as far as that is seen quickly."""
    size = int(factor.value or 0)
    return all(size % divisor for divisor in range(2, min(math.isqrt(size), _MAX_DIVISOR) + 1))
