"""Comparing lists, sets, tuples and matrices, element by element."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import TypeAlias

from hero_rl.verifiers.math.evaluate import Undefined, evaluate, precise, symbols
from hero_rl.verifiers.math.findings import DIFFERENT, EQUAL, Finding, all_of, different, equal, unsure
from hero_rl.verifiers.math.matrices import read_flat, same_flat, same_steps
from hero_rl.verifiers.math.problem import Hints, letters_of
from hero_rl.verifiers.math.reading import Reading
from hero_rl.verifiers.math.sampling import expand_signs
from hero_rl.verifiers.math.sought import AXES, places_asked, places_counted
from hero_rl.verifiers.math.syntax import number
from hero_rl.verifiers.math.values import constant

Compare: TypeAlias = Callable[[Reading, Reading], Finding]

_INTERVAL = re.compile(
    r"\binequalit|\binterval|\bdomain\b|\brange of\b|\bsolution set\b|\b(?:in|de)creasing on\b", re.IGNORECASE
)
_SIGN = re.compile(r"[<>≤≥]|\\(?:le|ge|leq|geq|lt|gt|leqslant|geqslant)(?![A-Za-z])")
_NO_SPACE = re.compile(r"[\s$]|\\[,;]")
_INTEGER_STEPS = re.compile(r"[a-z]\s*\\in\s*\\mathbb\{Z\}")
_NUMBERED = re.compile(r"[A-Za-z]_\{?\d\}?")
MAX_PAIRED = 14
"""Longer lists are paired in order or by size only: trying all pairs grows with the square."""


def compare_sequences(reference: Reading, answer: Reading, hints: Hints, compare: Compare) -> Finding:
    """Return how two readings relate of which at least one is a list, set, tuple or matrix."""
    kinds = {reference.kind, answer.kind}
    flats = _compare_flats(reference, answer, hints)
    if flats is not None:
        return flats
    if kinds <= {"list", "set", "value", "word", "ratio", "equation"} or _is_list_of_tuples(reference, answer):
        return _compare_collections(reference, answer, hints, compare)
    if kinds == {"matrix", "set"}:
        return unsure("brackets_differ")
    if kinds == {"tuple"} or "matrix" in kinds:
        return _compare_ordered(reference, answer, hints, compare)
    if "tuple" in kinds and kinds <= {"tuple", "list", "set"}:
        return _tuple_and_collection(reference, answer, hints, compare)
    return unsure("not_comparable")


def _compare_flats(a: Reading, b: Reading, hints: Hints) -> Finding | None:
    """Two tuples with parameters of their own as lines or planes; None where one is none."""
    if {a.kind, b.kind} - {"tuple", "list", "matrix"} or len(a.items) != len(b.items):
        return None
    if "list" in (a.kind, b.kind) and not any(all(item.label for item in one.items) for one in (a, b)):
        return None
    stepped = [_INTEGER_STEPS.fullmatch(one.domain) is not None for one in (a, b)]
    if (a.domain or b.domain) and not all(stepped):
        return None
    trees = [[item.tree for item in one.items if item.tree is not None and item.unit is None] for one in (a, b)]
    if any(len(one) != len(a.items) for one in trees):
        return None
    x, y = (read_flat(one, hints.letters) for one in trees)
    if x is None or y is None or not same_flat(x, y):
        return None
    letters = [frozenset[str]().union(*(symbols(tree) for tree in one)) for one in trees]
    if x == y and letters[0] == letters[1]:
        return EQUAL
    same = same_steps(x, y) if all(stepped) or (hints.given and hints.whole) else hints.given
    return equal("equal_parametrised") if same else unsure("undecided")


def _is_list_of_tuples(a: Reading, b: Reading) -> bool:
    """One side lists tuples; the other is such a list too, or a lone tuple, which may stand for several by plus-minus."""
    listed = [one for one in (a, b) if one.kind in ("list", "set")]
    if {a.kind, b.kind} - {"list", "set", "tuple"} or not listed:
        return False
    return all(any(item.kind == "tuple" for item in one.items) for one in listed)


def _compare_collections(reference: Reading, answer: Reading, hints: Hints, compare: Compare) -> Finding:
    expected, given = _alternatives(reference), _alternatives(answer)
    if reference.kind == "set" and answer.kind == "list" and any(one.kind == "set" for one in answer.items):
        return unsure("brackets_differ")
    lone = answer if reference.kind == "set" else reference
    if {reference.kind, answer.kind} == {"set", "value"} and lone.tree is not None and symbols(lone.tree):
        return unsure("brackets_differ")  # braces around a letter may be its fractional part
    if any(r"\ldots" in one.text for one in (*expected, *given)):
        return _with_dots(expected, given, compare)
    if "set" in (reference.kind, answer.kind):
        expected, given = _distinct(expected, compare), _distinct(given, compare)
    elif len(expected) != len(given):
        repeats_count = hints.ordered or hints.multiple or len(expected) > len(given)
        given = given if repeats_count else _distinct(given, compare)
        expected, given = _same_said_twice(expected, compare), _same_said_twice(given, compare)
    if len(expected) != len(given):
        both = (*expected, *given)
        open_count = any(item.label or item.kind in ("text", "nothing") or item.unit is not None for item in both)
        return unsure("number_of_answers") if open_count else different("number_of_answers")
    if len(expected) == 1:
        return compare(expected[0], given[0])
    apart = _is_list_of_tuples(reference, answer) or (_are_counted_apart(expected) and _are_counted_apart(given))
    ordered = hints.ordered and reference.kind == answer.kind == "list" and not apart
    if ordered:
        expected, given = (_as_counted(items, hints.text) for items in (expected, given))
    return _by_label(expected, given, compare) or _in_any_order(expected, given, ordered, compare, hints.text)


def _in_any_order(
    expected: Sequence[Reading], given: Sequence[Reading], ordered: bool, compare: Compare, problem: str
) -> Finding:
    """Two collections of one length, element by element with what matches."""
    in_order = _in_order(expected, given, compare)
    if ordered and in_order.relation == "equal" and not _names_in_order(expected, given, problem):
        return unsure("order_unclear")
    paired = in_order if in_order.relation == "equal" else pair_up(expected, given, compare)
    if paired is in_order or paired.relation != "equal":
        return paired
    if ordered:
        return DIFFERENT
    one_labelled = bool(_names(expected)) != bool(_names(given))
    return unsure("order_unclear") if one_labelled and len(_names(expected) | _names(given)) == len(expected) else paired


def _with_dots(expected: tuple[Reading, ...], given: tuple[Reading, ...], compare: Compare) -> Finding:
    r"""``1, 2, \ldots, n`` and ``1, 2, 3, \ldots, n``: the shorter is filled up by steps of one length."""
    if len(expected) == len(given):
        return _in_order(expected, given, compare)
    shorter, longer = sorted((expected, given), key=len)
    at = [index for index, item in enumerate(shorter) if r"\ldots" in item.text]
    found = [constant(item.tree) for item in shorter[: at[0]] if item.tree is not None] if len(at) == 1 else []
    values = [value for value in found if isinstance(value, Fraction)]
    if len(values) < 2 or len(values) != at[0]:
        return unsure("undecided")
    steps = [y - x for x, y in itertools.pairwise(values)]
    if len(set(steps)) != 1 or len(longer) - len(shorter) > MAX_PAIRED:
        return unsure("undecided")
    terms = [number(values[-1] + steps[0] * step) for step in range(1, len(longer) - len(shorter) + 1)]
    filled = (*shorter[: at[0]], *(Reading("value", "", tree=term) for term in terms), *shorter[at[0] :])
    return _in_order(filled, longer, compare) if shorter is expected else _in_order(longer, filled, compare)


def _as_counted(items: tuple[Reading, ...], problem: str) -> tuple[Reading, ...]:
    """Return elements that each have a noun of their own in the order in which the question counts the things."""
    if not _are_counted_apart(items):
        return items
    places = places_counted([item.unit.name for item in items if item.unit is not None], problem)
    return tuple(item for _, item in sorted(zip(places, items, strict=True), key=lambda pair: pair[0])) if places else items


def _are_counted_apart(items: Sequence[Reading]) -> bool:
    """Return whether each element has a unit or noun of its own, which tells it from the others in any order."""
    return len({item.unit.name for item in items if item.unit is not None and item.unit.name}) == len(items)


def _same_said_twice(items: tuple[Reading, ...], compare: Compare) -> tuple[Reading, ...]:
    """One value in several forms, ``1/2 or 0.5``, as one; other lists as they are."""
    distinct = _distinct(items, compare) if 1 < len(items) <= 3 else items
    return distinct if len(distinct) == 1 else items


def _names(items: Sequence[Reading]) -> set[str]:
    """Return the labels of the elements; ``x_1`` and ``x_2`` only number the solutions and do not count."""
    names = {item.label.replace(" ", "") for item in items if item.label}
    return set() if len({name[0] for name in names}) == 1 and all(_NUMBERED.fullmatch(name) for name in names) else names


def _by_label(expected: Sequence[Reading], given: Sequence[Reading], compare: Compare) -> Finding | None:
    """Compare elements of one label; None where not all are labelled, or the sides have different labels."""
    names = _names(expected)
    if names != _names(given) or not len(names) == len(expected) == len(given):
        return None
    named = {item.label.replace(" ", ""): item for item in given}
    return all_of([compare(item, named[item.label.replace(" ", "")]) for item in expected])


def _distinct(items: Sequence[Reading], compare: Compare) -> tuple[Reading, ...]:
    if len(items) > MAX_PAIRED:
        return tuple(dict.fromkeys(items))
    kept: list[Reading] = []
    for item in items:
        if not any(compare(other, item) == EQUAL for other in kept):
            kept.append(item)
    return tuple(kept)


def _in_order(expected: Sequence[Reading], given: Sequence[Reading], compare: Compare) -> Finding:
    if len(expected) != len(given):
        return different("number_of_answers")
    return all_of([compare(one, other) for one, other in zip(expected, given, strict=True)])


def pair_up(expected: Sequence[Reading], given: Sequence[Reading], compare: Compare) -> Finding:
    """Equal where the elements can be paired so that all pairs are; different where some element surely has no partner."""
    by_size = _sorted_by_size(expected), _sorted_by_size(given)
    if by_size[0] is not None and by_size[1] is not None:
        finding = _in_order(by_size[0], by_size[1], compare)
        if _is_match(finding) or len(expected) > MAX_PAIRED:
            return finding
    if len(expected) > MAX_PAIRED:
        return unsure("undecided")
    rest = list(given)
    lenient: Finding | None = None
    lonely: list[Reading] = []
    for one in expected:
        found = next(((other, finding) for other in rest if _is_match(finding := compare(one, other))), None)
        if found is None:
            lonely.append(one)
            continue
        rest.remove(found[0])
        lenient = found[1] if found[1].lenient else lenient
    if not lonely:
        return lenient or EQUAL
    doubts = [finding for one in lonely for other in rest if (finding := compare(one, other)).relation != "different"]
    return unsure(doubts[0].reason if doubts[0].relation == "unsure" else "units_differ") if doubts else DIFFERENT


def _is_match(finding: Finding) -> bool:
    # out of order, what is counted tells the elements apart
    return finding.relation == "equal" and finding.reason != "equal_counted"


def _sorted_by_size(items: Sequence[Reading]) -> list[Reading] | None:
    keys = [_constant_key(item) for item in items]
    known = [(key, index) for index, key in enumerate(keys) if key is not None]
    return [items[index] for _, index in sorted(known)] if len(known) == len(keys) else None


def _compare_ordered(reference: Reading, answer: Reading, hints: Hints, compare: Compare) -> Finding:
    expected, given = reference.items, answer.items
    if not expected or not given:
        return unsure("not_comparable")
    if len(expected) != len(given):
        return different("number_of_answers")
    if reference.kind == answer.kind == "matrix" and reference.form != answer.form:
        return different("shapes_differ")
    shapes = [one.form.split("x") for one in (reference, answer) if one.kind == "matrix"]
    if len(shapes) == 1 and "1" not in shapes[0]:
        return unsure("shapes_differ")
    if (labelled := _by_label(expected, given, compare)) is not None:
        return labelled
    if answer.label.startswith("(") and _is_relabelled(reference.label, answer.label, hints.text):
        return unsure("order_unclear")
    finding = _in_order(expected, given, compare)
    if finding.relation != "equal":
        return finding
    if reference.kind == answer.kind == "tuple" and reference.form != answer.form and len(expected) == 2:
        return different("brackets_differ")
    return finding


def _tuple_and_collection(reference: Reading, answer: Reading, hints: Hints, compare: Compare) -> Finding:
    """Compare a tuple with a bare list or a set: equal only in order, and with a set never surely."""
    if len(reference.items) != len(answer.items):
        return unsure("number_of_answers")
    if (labelled := _by_label(_with_names(reference), _with_names(answer), compare)) is not None:
        return labelled
    if not _names_in_order(reference.items, answer.items, hints.text):
        return unsure("order_unclear")
    expected, given = (_unnamed(one.items, hints.text) for one in (reference, answer))
    in_order = _in_order(expected, given, compare)
    if in_order.relation == "equal":
        asks_interval = _INTERVAL.search(hints.text) or (len(hints.letters) == 1 and _SIGN.search(hints.text))
        may_be_interval = len(expected) == 2 and (asks_interval or re.search(r"[\[\]]", reference.form + answer.form))
        bare_list = "list" in (reference.kind, answer.kind)
        return equal("equal_brackets_left_out") if bare_list and not may_be_interval else unsure("brackets_differ")
    paired = pair_up(expected, given, compare)
    return unsure("order_unclear") if paired.relation == "equal" else paired


def _with_names(reading: Reading) -> tuple[Reading, ...]:
    """Return the elements of a tuple each with its letter, where its label has them: ``(y,x)=(3,4)``."""
    names = reading.label.strip("()").split(",")
    if reading.kind != "tuple" or not reading.label.startswith("(") or len(names) != len(reading.items):
        return reading.items
    return tuple(item._replace(label=name.strip()) for item, name in zip(reading.items, names, strict=True))


def _names_in_order(expected: Sequence[Reading], given: Sequence[Reading], problem: str) -> bool:
    """Return whether elements that one side alone names, ``y=1, x=2``, stand in the order of the question or the alphabet.

    That of the alphabet counts for letters of the question and for coordinates.
    """
    for one, other in ((expected, given), (given, expected)):
        names = [item.label.replace(" ", "") for item in one]
        if all(names) and not any(item.label for item in other) and len(set(names)) == len(names):
            spelled = _NO_SPACE.sub("", problem)
            as_asked = f"({','.join(names)})" in spelled
            if as_asked or _is_permuted(names, spelled):
                return as_asked
            places = places_asked(names, problem)
            if places:
                return places == sorted(places)
            alphabetical = not AXES.isdisjoint(names) or not letters_of(problem).isdisjoint(name[0] for name in names)
            return not alphabetical or names == sorted(names)
    return True


def _unnamed(items: Sequence[Reading], problem: str) -> Sequence[Reading]:
    """Return elements without their labels where the question has just these, in this order, as a tuple."""
    names = ",".join(item.label.replace(" ", "") for item in items)
    return [item._replace(label="") for item in items] if f"({names})" in _NO_SPACE.sub("", problem) else items


def _is_permuted(names: Sequence[str], spelled: str) -> bool:
    """Return whether a text has the names as a tuple in another order."""
    tuples = re.findall(r"\(([^()]{1,60})\)", spelled)
    return any(sorted(one.split(",")) == sorted(names) and one.split(",") != list(names) for one in tuples)


def _is_relabelled(expected: str, given: str, problem: str) -> bool:
    """Return whether a tuple's label, ``(y, x)``, has its letters in another order than the reference's or the question's."""
    label, other, spelled = (_NO_SPACE.sub("", text) for text in (given, expected, problem))
    names = label.strip("()").split(",")
    if other.startswith("("):
        return label != other and sorted(names) == sorted(other.strip("()").split(","))
    if label in spelled or names == sorted(names):
        return label not in spelled and _is_permuted(names, spelled)
    found = [re.search(rf"(?<![A-Za-z]){re.escape(name)}(?![A-Za-z])", problem) for name in names]
    places = [match.start() for match in found if match]
    turned = len(places) == len(names) and places != sorted(places)
    return turned or _is_permuted(names, spelled) or sorted(names) == list("xyz")[: len(names)]


def _alternatives(reading: Reading) -> tuple[Reading, ...]:
    """Return the elements of a list or set, each plus-minus sign expanded; a lone value is one element."""
    if reading.kind == "list":
        return tuple(one for item in reading.items for one in _alternatives(item))
    return tuple(one for item in (reading.items if reading.kind == "set" else (reading,)) for one in _signs(item))


def _signs(reading: Reading) -> tuple[Reading, ...]:
    if reading.kind == "value" and reading.tree is not None:
        trees = expand_signs(reading.tree)
        return (reading,) if len(trees) == 1 else tuple(reading._replace(tree=tree) for tree in trees)
    if reading.kind == "tuple" and r"\pm" in reading.text and len(reading.items) <= 4:
        return tuple(reading._replace(items=items) for items in itertools.product(*map(_signs, reading.items)))
    return (reading,)


def _constant_key(reading: Reading) -> tuple[float, float] | None:
    """Something to sort constants by; None where the value is out of reach."""
    if reading.kind != "value" or reading.tree is None or symbols(reading.tree):
        return None
    try:
        point = complex(evaluate(reading.tree, {}, precise()))
    except (Undefined, OverflowError, TypeError):
        return None
    return round(point.real, 9), round(point.imag, 9)
