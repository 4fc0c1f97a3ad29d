r"""Sums of vectors, ``(0,0,3) + t(1,2,-1)``, and the lines and planes that tuples describe."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from hero_rl.verifiers.math.evaluate import Undefined, evaluate, precise, symbols
from hero_rl.verifiers.math.split import brackets, pieces, split_at, taken_apart
from hero_rl.verifiers.math.syntax import Node, parse
from hero_rl.verifiers.math.tokens import Unreadable

MAX_ENTRIES = 64
_PARAMETERS = frozenset("klmnpqrstuvw") | {r"\lambda", r"\mu", r"\alpha", r"\beta"}
_NO_COEFFICIENT = re.compile(r"[A-Zfgh]|.*[A-Za-z]{2,}|.*_\{?\w+\}?", re.DOTALL)
"""A name before brackets, ``C(5,2)`` or ``f(1,2)``, is no factor."""
_MAX_TERMS = 8


def read_vector(text: str) -> tuple[Node, ...] | None:
    r"""The components of a sum of multiples of vectors; None for a text that is no such sum, or that is one plain vector.

    >>> len(read_vector("2(1,x)+(0,3)"))
    2
    """
    if len(text) > 600 or "," not in text:
        return None
    try:
        return _sum_of_terms(text)
    except Unreadable:
        return None


def _sum_of_terms(text: str) -> tuple[Node, ...] | None:
    terms = _terms(text)
    if terms is None or len(terms) > _MAX_TERMS:
        return None
    total: tuple[Node, ...] | None = None
    for sign, term in terms:
        found = _term(term)
        if found is None or (total is not None and len(total) != len(found[1])):
            return None
        coefficient, entries = found
        if len(terms) == 1 and sign == "+" and coefficient is None:
            return None
        if coefficient is not None:
            entries = tuple(Node("mul", (coefficient, one)) for one in entries)
        if sign == "-":
            entries = tuple(Node("neg", (one,)) for one in entries)
        total = entries if total is None else tuple(Node("add", pair) for pair in zip(total, entries, strict=True))
    return total


def _terms(text: str) -> list[tuple[str, str]] | None:
    parts, signs = taken_apart(text, ("+", "-"))
    if not parts[0]:
        parts = parts[1:]
    else:
        signs.insert(0, "+")
    return list(zip(signs, parts, strict=True)) if len(signs) == len(parts) and all(parts) else None


def _term(term: str) -> tuple[Node | None, tuple[Node, ...]] | None:
    """A vector, and what stands before it."""
    for piece in pieces(term):
        if piece.depth == 0 and piece.text in ("(", "[", r"\langle"):
            entries = _entries(term[piece.begin :])
            front = re.sub(r"(?:\\cdot|\\times|\*)\s*$", "", term[: piece.begin]).strip()
            if entries is not None and not _NO_COEFFICIENT.fullmatch(front):
                return (parse(front) if front else None), entries
    return None


def _entries(text: str) -> tuple[Node, ...] | None:
    enclosed = brackets(text.strip())
    if enclosed is None or enclosed[0] not in ("(", "[", r"\langle"):
        return None
    parts = split_at(enclosed[1], ",")
    return tuple(parse(part) for part in parts) if 2 <= len(parts) <= MAX_ENTRIES and all(parts) else None


# ------------------------------------------------------------------------------------------- lines and planes


class Flat(NamedTuple):
    """A point, and the directions of a line or plane through it."""

    point: tuple[Fraction, ...]
    directions: tuple[tuple[Fraction, ...], ...]


def read_flat(entries: Sequence[Node], used: frozenset[str]) -> Flat | None:
    """The line or plane of a tuple that is linear in parameters of its own; None where it is none, or has no parameter."""
    names = sorted(frozenset[str]().union(*(symbols(entry) for entry in entries)))
    if not 1 <= len(names) <= 3 or not _PARAMETERS.issuperset(names) or used & set(names):
        return None
    origin = _at(entries, dict.fromkeys(names, Fraction(0)))
    units = [_at(entries, {name: Fraction(int(name == other)) for name in names}) for other in names]
    mixed = {name: Fraction(3 + 2 * index) for index, name in enumerate(names)}
    there = _at(entries, mixed)
    if origin is None or there is None or any(unit is None for unit in units):
        return None
    directions = tuple(tuple(x - y for x, y in zip(unit or (), origin, strict=True)) for unit in units)
    for index, base in enumerate(origin):
        straight = base + sum(mixed[name] * way[index] for name, way in zip(names, directions, strict=True))
        if straight != there[index]:
            return None
    return Flat(origin, directions)


def _at(entries: Sequence[Node], values: dict[str, Fraction]) -> tuple[Fraction, ...] | None:
    try:
        found = tuple(evaluate(entry, values, precise()) for entry in entries)
    except Undefined:
        return None
    return found if all(isinstance(value, Fraction) for value in found) else None


def same_flat(a: Flat, b: Flat) -> bool:
    """Whether two descriptions give the same points, the parameters being any real numbers."""
    rank = _rank(a.directions)
    offset = tuple(x - y for x, y in zip(a.point, b.point, strict=True))
    return rank == _rank(b.directions) == _rank((*a.directions, *b.directions)) == _rank((*a.directions, offset))


def same_steps(a: Flat, b: Flat) -> bool:
    """Whether two lines give the same points for integer parameters too."""
    if len(a.directions) != 1 or len(b.directions) != 1:
        return False
    one, other = a.directions[0], b.directions[0]
    if other not in (one, tuple(-x for x in one)):
        return False
    steps = {(x - y) / way for x, y, way in zip(a.point, b.point, one, strict=True) if way != 0}
    return len(steps) == 1 and next(iter(steps)).denominator == 1 and same_flat(a, b)


def _rank(rows: Sequence[Sequence[Fraction]]) -> int:
    left = [list(row) for row in rows]
    rank = 0
    for column in range(len(left[0])):
        pivot = next((row for row in left[rank:] if row[column] != 0), None)
        if pivot is None:
            continue
        left.remove(pivot)
        left.insert(rank, pivot)
        for row in left[rank + 1 :]:
            factor = row[column] / pivot[column]
            row[:] = [x - factor * y for x, y in zip(row, pivot, strict=True)]
        rank += 1
        if rank == len(left):
            break
    return rank
