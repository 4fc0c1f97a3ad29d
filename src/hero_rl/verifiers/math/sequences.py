"""Comparing lists, sets, tuples and matrices, element by element."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TypeAlias

from hero_rl.verifiers.math.findings import DIFFERENT, EQUAL, Finding, different, equal, unsure
from hero_rl.verifiers.math.problem import Hints
from hero_rl.verifiers.math.reading import Reading, alternatives, constant_key

Compare: TypeAlias = Callable[[Reading, Reading], Finding]

_NUMBERED = re.compile(r"[A-Za-z]_\{?\d\}?")
MAX_PAIRED = 14
"""Longer lists are paired in order or by size only: trying all pairs grows with the square."""


def compare_sequences(reference: Reading, answer: Reading, hints: Hints, compare: Compare) -> Finding:
    """How two readings relate of which at least one is a list, set, tuple or matrix."""
    kinds = {reference.kind, answer.kind}
    if kinds <= {"list", "set", "value", "word", "ratio", "equation"} or _is_list_of_tuples(reference, answer):
        return _compare_collections(reference, answer, hints, compare)
    if kinds == {"tuple"} or "matrix" in kinds:
        return _compare_ordered(reference, answer, compare)
    if "tuple" in kinds and kinds <= {"tuple", "list", "set"}:
        return _tuple_and_collection(reference, answer, compare)
    return unsure("not_comparable")


def _is_list_of_tuples(a: Reading, b: Reading) -> bool:
    """One side lists tuples; the other is such a list too, or a lone tuple, which may stand for several by plus-minus."""
    listed = [one for one in (a, b) if one.kind in ("list", "set")]
    if {a.kind, b.kind} - {"list", "set", "tuple"} or not listed:
        return False
    return all(any(item.kind == "tuple" for item in one.items) for one in listed)


def _compare_collections(reference: Reading, answer: Reading, hints: Hints, compare: Compare) -> Finding:
    expected, given = alternatives(reference), alternatives(answer)
    if any(r"\ldots" in one.text for one in (*expected, *given)):
        return _in_order(expected, given, compare) if len(expected) == len(given) else unsure("undecided")
    if "set" in (reference.kind, answer.kind):
        expected, given = _distinct(expected, compare), _distinct(given, compare)
    if len(expected) != len(given):
        expected, given = _same_said_twice(expected, compare), _same_said_twice(given, compare)
    if len(expected) != len(given):
        return _counts_differ(expected, given, compare)
    if len(expected) == 1:
        return compare(expected[0], given[0])
    if len(_names(expected)) == len(_names(given)) == len(expected) and _names(expected) == _names(given):
        return _by_label(expected, given, compare)
    in_order = _in_order(expected, given, compare)
    if in_order.relation == "equal":
        return in_order
    paired = pair_up(expected, given, compare)
    if paired.relation != "equal":
        return paired
    if reference.kind == answer.kind == "list" and hints.ordered:
        return DIFFERENT
    one_labelled = bool(_names(expected)) != bool(_names(given))
    return unsure("order_unclear") if one_labelled and len(_names(expected) | _names(given)) == len(expected) else paired


def _same_said_twice(items: tuple[Reading, ...], compare: Compare) -> tuple[Reading, ...]:
    """One value in several forms, ``1/2 or 0.5``, as one; other lists as they are."""
    distinct = _distinct(items, compare) if 1 < len(items) <= 3 else items
    return distinct if len(distinct) == 1 else items


def _names(items: Sequence[Reading]) -> set[str]:
    """The labels of the elements; ``x_1`` and ``x_2`` only number the solutions and do not count."""
    names = {item.label.replace(" ", "") for item in items if item.label}
    return set() if len({name[0] for name in names}) == 1 and all(_NUMBERED.fullmatch(name) for name in names) else names


def _by_label(expected: Sequence[Reading], given: Sequence[Reading], compare: Compare) -> Finding:
    named = {item.label.replace(" ", ""): item for item in given}
    return all_of([compare(item, named[item.label.replace(" ", "")]) for item in expected])


def _counts_differ(expected: Sequence[Reading], given: Sequence[Reading], compare: Compare) -> Finding:
    labelled = any(item.label for item in (*expected, *given))
    if labelled or any(item.kind in ("text", "nothing") or item.unit is not None for item in (*expected, *given)):
        return unsure("number_of_answers")
    return different("number_of_answers")


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


def all_of(findings: Sequence[Finding]) -> Finding:
    """Equal where all are; different where one is; else unsure."""
    for relation in ("different", "unsure"):
        for finding in findings:
            if finding.relation == relation:
                return finding
    return next((finding for finding in findings if finding.lenient), EQUAL)


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
    """Equal, and not merely in number: out of order, what is counted tells the elements apart."""
    return finding.relation == "equal" and finding.reason != "equal_counted"


def _sorted_by_size(items: Sequence[Reading]) -> list[Reading] | None:
    keys = [constant_key(item) for item in items]
    if any(key is None for key in keys):
        return None
    return [
        item for _, _, item in sorted((key, index, item) for index, (key, item) in enumerate(zip(keys, items, strict=True)))
    ]


def _compare_ordered(reference: Reading, answer: Reading, compare: Compare) -> Finding:
    expected, given = reference.items, answer.items
    if not expected or not given:
        return unsure("not_comparable")
    if len(expected) != len(given):
        return different("number_of_answers")
    if reference.kind == answer.kind == "matrix" and reference.form != answer.form:
        return different("shapes_differ")
    if "matrix" in (reference.kind, answer.kind) and answer.kind != reference.kind:
        shape = reference.form if reference.kind == "matrix" else answer.form
        if "1" not in shape.split("x"):
            return unsure("shapes_differ")
    finding = _in_order(expected, given, compare)
    if finding.relation != "equal":
        return finding
    if reference.kind == answer.kind == "tuple" and reference.form != answer.form and len(expected) == 2:
        return different("brackets_differ")
    return finding


def _tuple_and_collection(reference: Reading, answer: Reading, compare: Compare) -> Finding:
    """A tuple against a bare list or a set: equal only in order, and against a set never surely."""
    expected, given = reference.items, answer.items
    if len(expected) != len(given):
        return unsure("number_of_answers")
    in_order = _in_order(expected, given, compare)
    if in_order.relation == "equal":
        bare_list = "list" in (reference.kind, answer.kind)
        square = "[" in reference.form + answer.form or "]" in reference.form + answer.form
        if not bare_list or (square and len(expected) == 2):
            return unsure("brackets_differ")
        return equal("equal_brackets_left_out")
    paired = pair_up(expected, given, compare)
    return unsure("order_unclear") if paired.relation == "equal" else paired
