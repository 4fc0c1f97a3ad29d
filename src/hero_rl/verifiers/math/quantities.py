"""Comparing two values with what stands beside them: units, percent signs and words; then the expressions themselves."""

from __future__ import annotations

import math
import re
from contextlib import suppress
from fractions import Fraction

from hero_rl.verifiers.math.asked import asked_unit, asked_units, asks_percent, asks_rate, may_be_added, says_something
from hero_rl.verifiers.math.evaluate import symbols, walk
from hero_rl.verifiers.math.findings import DIFFERENT, Finding, all_of, different, equal, unsure
from hero_rl.verifiers.math.problem import Hints
from hero_rl.verifiers.math.reading import Reading
from hero_rl.verifiers.math.syntax import Node, number, parse
from hero_rl.verifiers.math.tokens import Unreadable
from hero_rl.verifiers.math.units import DEGREE, EACH, Unit, factor, split_unit
from hero_rl.verifiers.math.values import compare_expressions, constant, ratio_of

_DIFFERENCE = re.compile(
    r"\bdifferen|\bchange|\brise|\brose\b|\bfall|\bfell\b|\bdrop|\b(?:in|de)crease|warmer|cooler|hotter|colder", re.I
)
_PROBABILITY = re.compile(r"\bprobabilit|\bchances?\b|\blikel|\bodds\b|\bfraction\b|\bdecimal\b", re.IGNORECASE)
_AS_PERCENT = re.compile(r"\b(?:what|which) percent|\bas an? percent|\bpercentage\b", re.IGNORECASE)
_ANGLE_UNIT = re.compile(r"\b(?:in|to|into|how many) (degree|radian)", re.IGNORECASE)
_WORD_BEHIND = re.compile(r"\d\s+[A-Za-z]{3}[A-Za-z]*$")
"""Letters that may be a word: ``5 CDs``, ``5 USD``."""
_SAME_UNIT = 1e-6
"""Two units nearer than this are one: torr and millimetres of mercury."""


def compare_values(reference: Reading, answer: Reading, hints: Hints) -> Finding:
    """Return how two readings of kind ``value`` relate."""
    finding = _compare_united(reference, answer, hints)
    rates = [one.unit.rate if one.unit is not None else "" for one in (reference, answer)]
    if finding.relation == "equal" and rates[1] not in ("", rates[0]):
        fits = EACH in rates if rates[0] else asks_rate(rates[1], hints.text)
        return finding if fits else unsure("units_differ")
    return finding


def _compare_united(reference: Reading, answer: Reading, hints: Hints) -> Finding:
    if reference.unit is not None and answer.unit is None:
        answer = _with_bare_unit(answer, reference.unit)
    elif answer.unit is not None and reference.unit is None:
        reference = _with_bare_unit(reference, answer.unit)
    a, b, of, to = reference.tree, answer.tree, reference.unit, answer.unit
    if a is None or b is None:
        return unsure("not_comparable")
    if of is not None and to is not None:
        return _both_units(a, b, of, to, hints)
    if of is not None:
        return _left_out(a, b, of, hints)
    if to is not None:
        return _added(a, b, to, hints)
    finding = _percent_or_plain(a, b, hints)
    if finding.relation != "different" or bool(symbols(a)) == bool(symbols(b)):
        return finding
    names = symbols(a) | symbols(b)
    x, y = (_with_unit_of_letters(one) if one.tree and symbols(one.tree) else one for one in (reference, answer))
    if (len(names) == 1 and names <= hints.letters) or not (x.unit or y.unit) or x.tree is None or y.tree is None:
        return finding
    bare = _one_unit(compare_expressions(x.tree, y.tree, hints), x.tree, y.tree)  # 5 and 5 m/s, 5 CDs
    return unsure("unit_or_percent") if bare.relation == "equal" else bare


def with_asked_unit(reading: Reading, problem: str) -> Reading:
    """Return a reading whose last letters are the unit that the question asks for, ``5 m/s``, with them as its unit."""
    if reading.kind != "value" or reading.unit is not None or reading.tree is None or not symbols(reading.tree):
        return reading
    united = _with_unit_of_letters(reading) if asked_units(problem) else reading
    asked = asked_unit(problem, united.unit) if united.unit is not None else None
    return united if asked is not None and united.unit is not None and factor(united.unit, asked) == 1 else reading


def _with_bare_unit(reading: Reading, other: Unit) -> Reading:
    """Return a reading whose last letters are a unit of measure, read as such because the other side has one: ``310 K``."""
    if other.kind not in ("measure", "degree", "currency") or reading.tree is None or not symbols(reading.tree):
        return reading
    return _with_unit_of_letters(reading)


def _with_unit_of_letters(reading: Reading) -> Reading:
    core, unit = split_unit(reading.text, loose=True)
    if unit is None or not (unit.kind == "measure" or _WORD_BEHIND.search(reading.text)):
        return reading
    with suppress(Unreadable):
        return reading._replace(tree=parse(core), unit=unit)
    return reading


def _both_units(a: Node, b: Node, of: Unit, to: Unit, hints: Hints) -> Finding:
    if of.kind in ("degree", "radian") and to.kind in ("degree", "radian"):
        if of != to and _asks_other_angle(to.kind, hints.text):
            return unsure("units_differ")
        x, y = (Node("deg", (tree,)) if unit == DEGREE else tree for tree, unit in ((a, of), (b, to)))
        return compare_expressions(a, b, hints) if of == to else compare_expressions(x, y, hints)
    ratio = factor(to, of)
    if ratio is not None and abs(ratio - 1) < _SAME_UNIT:
        return compare_expressions(a, b, hints)
    if ratio is not None:
        finding = compare_expressions(a, Node("mul", (number(ratio), b)), hints)
        if finding.relation == "equal":
            return equal("equal_converted")
        return DIFFERENT if finding.reason == "factor_of_100" else finding
    if (warm := _temperatures(a, b, of, to, hints)) is not None:
        return warm
    finding = compare_expressions(a, b, hints)
    if of.kind != "noun" or to.kind != "noun":
        return unsure("units_differ")
    if finding.relation != "equal":
        return finding
    first, second = of.name.split(), to.name.split()  # one kind of thing, one of them with fewer words: red boxes and boxes
    alike = first[-1] == second[-1] and (set(first) <= set(second) or set(second) <= set(first))
    return equal("equal_counted") if alike and not says_something(to) and not says_something(of) else unsure("units_differ")


def _temperatures(a: Node, b: Node, of: Unit, to: Unit, hints: Hints) -> Finding | None:
    """Compare degrees Celsius with degrees Fahrenheit; None for other units. A difference of temperatures has no zero."""
    if {of.name, to.name} != {"degree C", "degree F"}:
        return None
    scaled = Node("mul", (number(Fraction(9, 5)), b)) if to.name == "degree C" else Node("add", (b, number(-32)))
    moved = Node("add", (scaled, number(32))) if to.name == "degree C" else Node("mul", (number(Fraction(5, 9)), scaled))
    same = compare_expressions(a, moved, hints).relation == "equal" and not _DIFFERENCE.search(hints.text)
    return equal("equal_converted") if same else unsure("units_differ")


def _left_out(a: Node, b: Node, unit: Unit, hints: Hints) -> Finding:
    """Compare a reference with a unit or words, and an answer without."""
    finding = compare_expressions(a, b, hints)
    if finding.relation == "equal" and hints.unit_is_given:
        return finding
    if finding.relation == "equal":
        other = asked_unit(hints.text, unit) if unit.kind in ("measure", "currency") else None
        doubtful = says_something(unit, hints.text) or (other is not None and factor(unit, other) != 1)
        return unsure("unit_or_percent") if doubtful else _without_unit(finding)
    if unit.kind == "degree":
        return _in_radians(finding, Node("deg", (a,)), b, "radian", hints)
    return finding if unit.kind == "noun" and not says_something(unit, hints.text) else _one_unit(finding, a, b)


def _added(a: Node, b: Node, unit: Unit, hints: Hints) -> Finding:
    """Compare an answer with a unit or words, and a reference without: the question has to have them, or they say nothing."""
    finding = compare_expressions(a, b, hints)
    if finding.relation == "equal":
        counted = unit.kind == "noun" and b.op != "pct" and asks_percent(hints.text)  # 40 girls are not 40 percent
        known = (may_be_added(unit, hints.text) and not counted) or (
            unit.kind == "radian" and not hints.given and any(node.name == "pi" for node in walk(b))
        )
        if symbols(b) and unit.kind in ("measure", "currency"):
            known = known and asked_unit(hints.text, unit) is not None
        return _without_unit(finding) if known else unsure("unit_or_percent")
    if unit.kind == "degree":
        return _in_radians(finding, a, Node("deg", (b,)), "degree", hints)
    asked = asked_unit(hints.text, unit) if unit.kind in ("measure", "currency") else None
    ratio = factor(unit, asked) if asked is not None else None
    if ratio is not None and ratio != 1:
        converted = compare_expressions(a, Node("mul", (number(ratio), b)), hints)
        return equal("equal_converted") if converted.relation == "equal" else converted
    return finding if unit.kind == "noun" and may_be_added(unit, hints.text) else _one_unit(finding, a, b)


def _without_unit(finding: Finding) -> Finding:
    return finding if finding.lenient else equal("equal_unit_left_out")


def _in_radians(finding: Finding, a: Node, b: Node, given: str, hints: Hints) -> Finding:
    """Return an angle in degrees against a number that may be in radians; ``given``: in which of them the answer is."""
    if compare_expressions(a, b, hints).relation != "equal":
        return finding
    return unsure("units_differ") if _asks_other_angle(given, hints.text) else equal("equal_converted")


def _asks_other_angle(given: str, problem: str) -> bool:
    """Return whether a question asks for an angle in degrees or radians, and not in those that an answer has."""
    asked = {match[1].lower() for match in _ANGLE_UNIT.finditer(problem)}
    return len(asked) == 1 and given not in asked


def _one_unit(finding: Finding, a: Node, b: Node) -> Finding:
    return unsure("unit_or_percent") if finding.relation == "different" and _may_be_unit_factor(a, b) else finding


def _may_be_unit_factor(a: Node, b: Node) -> bool:
    """Return whether two constants differ by a power of ten, or a factor of 12, 24, 60 and so on: one number in two units."""
    x, y = constant(a), constant(b)
    if x is None or y is None:
        return True
    ratio = ratio_of(x, y) if x != 0 and y != 0 else None
    if ratio is None or ratio.imag or ratio.real <= 0:
        return False
    big = max(ratio.real, 1 / ratio.real)
    tens = math.log10(big)
    return (big > 2 and abs(tens - round(tens)) < 1e-6) or any(
        math.isclose(big, other, rel_tol=1e-6) for other in (3, 7, 9, 12, 24, 60, 360, 3600, 3.6, 16)
    )


def _percent_or_plain(a: Node, b: Node, hints: Hints) -> Finding:
    finding = compare_expressions(a, b, hints)
    if finding.relation == "equal" and b.op == "pct" != a.op and _AS_PERCENT.search(hints.text):
        return unsure("unit_or_percent")  # 7500% is 75, and where a percentage is asked 75 is 75%
    if (a.op == "pct") == (b.op == "pct") or finding.relation == "equal":
        return finding
    bare = compare_expressions(a.args[0] if a.op == "pct" else a, b.args[0] if b.op == "pct" else b, hints)
    if bare.relation == "equal":
        known = asks_percent(hints.text) or (a.op == "pct" and not _PROBABILITY.search(hints.text))
        return equal("equal_percent_left_out") if known else unsure("unit_or_percent")
    return finding if bare.relation == "different" else bare


def compare_ratios(a: Reading, b: Reading, hints: Hints) -> Finding:
    """Return how two readings relate of which at least one is a ratio; a ratio of two terms is also their quotient."""
    if a.kind == b.kind == "ratio":
        if a.label and b.label and a.label.split() != b.label.split():
            return unsure("labels_differ")
        if len(a.items) != len(b.items):
            return different("number_of_answers")
        pairs = zip(a.items[1:], b.items[1:], strict=True)
        return all_of([compare_values(_quotient(a.items[0], x), _quotient(b.items[0], y), hints) for x, y in pairs])
    ratio, other = (a, b) if a.kind == "ratio" else (b, a)
    if other.kind != "value" or len(ratio.items) != 2:
        return unsure("not_comparable")
    quotient = _quotient(*ratio.items)
    return compare_values(quotient, other, hints) if ratio is a else compare_values(other, quotient, hints)


def _quotient(top: Reading, bottom: Reading) -> Reading:
    assert top.tree is not None
    assert bottom.tree is not None
    return Reading("value", f"{top.text}/{bottom.text}", tree=Node("div", (top.tree, bottom.tree)))
