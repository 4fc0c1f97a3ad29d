r"""Do the sides of a chain, ``a = b = c`` or ``a \approx b``, agree? A chain that contradicts itself is no answer."""

from __future__ import annotations

from hero_rl.verifiers.math.evaluate import Undefined, evaluate, lifted, precise
from hero_rl.verifiers.math.rounding import is_coarse_rounding, is_rounding, written_decimal
from hero_rl.verifiers.math.sampling import compare_trees
from hero_rl.verifiers.math.syntax import parse
from hero_rl.verifiers.math.tokens import Unreadable
from hero_rl.verifiers.math.tree import Node, number, symbols
from hero_rl.verifiers.math.units import Unit, factor, split_unit


def sides_agree(sides: list[str]) -> bool:
    """Return whether the sides of ``a = b = c`` are equal, or the last a rounding of the others, as far as they can be read."""
    if len(sides) < 2:
        return True
    try:
        trees = [parse(split_unit(side)[0]) for side in sides]
    except Unreadable:
        return False
    return all(_equal_or_rounded(tree, trees[-1]) for tree in trees[:-1])


def _equal_or_rounded(tree: Node, last: Node) -> bool:
    for base in (0, 10):
        if compare_trees(tree, last, log_base=base) in ("equal", "equal_if_positive"):
            return True
    if symbols(tree) or symbols(last):
        return False
    try:
        return is_rounding(tree, last, evaluate(tree, {}, precise()), evaluate(last, {}, precise()))
    except Undefined:
        return False


def near_enough(exact: Node, decimal: str) -> bool:
    """Return whether a decimal is the exact value rounded, to however few digits; what cannot be read is not examined."""
    try:
        tree = parse(split_unit(decimal)[0])
        if symbols(tree):
            return True
        x, y = evaluate(exact, {}, precise()), evaluate(tree, {}, precise())
    except (Unreadable, Undefined):
        return True
    if x == y or is_coarse_rounding(exact, tree, x, y) or is_rounding(exact, tree, x, y):
        return True
    return written_decimal(tree) is None and bool(abs(lifted(x) - lifted(y)) <= abs(lifted(x)) / 50)


def converted_measure(sides: list[str]) -> tuple[Node, Unit] | None:
    r"""Return the last of measures of one thing, ``20 m/s = 72 km/h``; None where some side has no unit of measure.

    Raises:
        Unreadable: the sides are not equal, or measure different things.
    """
    cut = [split_unit(side) for side in sides]
    units = [unit for _, unit in cut if unit is not None and unit.kind == "measure"]
    if len(units) < len(cut):
        return None
    trees = [parse(core) for core, _ in cut]
    if any(symbols(tree) for tree in trees):
        return None
    *others, (last, to) = zip(trees, units, strict=True)
    for tree, unit in others:
        ratio = factor(unit, to)
        if ratio is None or not _equal_or_rounded(Node("mul", (number(ratio), tree)), last):
            raise Unreadable("contradiction")
    return last, to
