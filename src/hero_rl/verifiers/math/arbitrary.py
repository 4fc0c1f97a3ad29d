r"""Arbitrary constants: ``F(x) + C`` and ``c_1 e^x + c_2 e^{-x}`` stand for a family of functions, and are compared as one.

A family ``p + c_1 f_1 + ... + c_k f_k`` is another one where both have as many constants, the functions behind the constants
span the same space, and the particular parts differ by a member of it. Decided numerically at more points than unknowns.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import reduce

import numpy as np

from hero_rl.verifiers.math.evaluate import Undefined, evaluate, fast, symbols
from hero_rl.verifiers.math.problem import Hints
from hero_rl.verifiers.math.sampling import compare_trees, points, substitute
from hero_rl.verifiers.math.syntax import Node, number
from hero_rl.verifiers.math.tree import minus

_ALWAYS = re.compile(r"C(?:_\w+)?|c_\w+")
_WHERE_ASKED = re.compile(r"[CcKkABDabmnpq](?:_\w+)?")
_MAX_CONSTANTS = 4
_AGREES = 1e-9


def same_family(a: Node, b: Node, hints: Hints) -> bool | None:
    """Return whether two expressions with arbitrary constants are one family of functions; None: they are no such families."""
    here, there = constants_of(a, hints), constants_of(b, hints)
    if bool(here) != bool(there):
        here, there = here or constants_of(a, hints, known=True), there or constants_of(b, hints, known=True)
    if not here or len(here) != len(there) or len(here) > _MAX_CONSTANTS:
        return None
    variables = symbols(a) - set(here)
    if variables != symbols(b) - set(there) or not variables:
        return None
    first, second = _parts(a, here), _parts(b, there)
    return None if first is None or second is None else _spans_agree(first, second, sorted(variables))


def constants_of(tree: Node, hints: Hints, *, known: bool = False) -> list[str]:
    """Return the letters of an expression that stand for arbitrary constants, sorted.

    ``C``, ``C_1`` and ``c_1`` do where the question does not use them; other letters only where there must be constants: the
    question asks for an antiderivative or a general solution, or (``known``) the other expression has them.
    """
    pattern = _WHERE_ASKED if hints.general or known else _ALWAYS
    return sorted(name for name in symbols(tree) if pattern.fullmatch(name) and name[0] not in hints.letters)


def _parts(tree: Node, constants: Sequence[str]) -> list[Node] | None:
    """Return the particular part and the function behind each constant; None where the tree is not linear in the constants."""

    def at(values: Mapping[str, int]) -> Node:
        return reduce(lambda found, name: substitute(found, name, number(values.get(name, 0))), constants, tree)

    particular = at({})
    parts = [particular]
    for name in constants:
        behind = minus(at({name: 1}), particular)
        if compare_trees(at({name: 2}), Node("add", (particular, behind, behind))) != "equal":
            return None
        parts.append(behind)
    together = at(dict.fromkeys(constants, 1))
    return parts if compare_trees(together, Node("add", tuple(parts))) == "equal" else None


def _spans_agree(first: Sequence[Node], second: Sequence[Node], variables: Sequence[str]) -> bool | None:
    """Return whether the columns of one family, and the difference of the particular parts, lie in the other's span."""
    rows: list[list[float]] = []
    for point in points(list(variables), whole=False):
        try:
            rows.append([float(evaluate(tree, point.values, fast(), real=True)) for tree in (*first, *second)])
        except (Undefined, OverflowError):
            continue
    count = len(first)
    if len(rows) < count + 3:
        return None
    table = np.array(rows)
    scale = np.maximum(np.abs(table).max(axis=0), np.finfo(float).tiny)
    ours, theirs = (table / scale)[:, 1:count], (table / scale)[:, count + 1 :]
    if min(np.linalg.matrix_rank(ours, tol=_AGREES), np.linalg.matrix_rank(theirs, tol=_AGREES)) < count - 1:
        return None
    particular = (table[:, 0] - table[:, count]) / max(scale[0], scale[count])
    wanted = np.column_stack([theirs, particular])
    left = wanted - ours @ np.linalg.lstsq(ours, wanted, rcond=None)[0]
    return bool(np.abs(left).max() < _AGREES)
