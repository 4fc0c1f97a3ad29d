"""Comparing ratios, ``3 : 4 : 5``, with each other and with quotients."""

from __future__ import annotations

from hero_rl.verifiers.math.findings import Finding, different, unsure
from hero_rl.verifiers.math.problem import Hints
from hero_rl.verifiers.math.quantities import compare_values
from hero_rl.verifiers.math.reading import Reading
from hero_rl.verifiers.math.sequences import all_of
from hero_rl.verifiers.math.syntax import Node


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
    quotient = _quotient(ratio.items[0], ratio.items[1])
    return compare_values(quotient, other, hints) if a.kind == "ratio" else compare_values(other, quotient, hints)


def _quotient(top: Reading, bottom: Reading) -> Reading:
    assert top.tree is not None
    assert bottom.tree is not None
    return Reading("value", f"{top.text}/{bottom.text}", tree=Node("div", (top.tree, bottom.tree)))
