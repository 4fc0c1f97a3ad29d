r"""Matrix expressions, ``\frac{1}{2}\begin{pmatrix}...``, sums of vectors, ``(0,0,3) + t(1,2,-1)``, lines and planes.

A matrix is worked out entry by entry, as trees; what is left to compare is a matrix of entries, or a number.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import reduce
from itertools import pairwise
from typing import NamedTuple, TypeAlias

from hero_rl.verifiers.latex import pieces, split_at
from hero_rl.verifiers.math.evaluate import Undefined, evaluate, precise
from hero_rl.verifiers.math.sampling import compare_trees, substitute
from hero_rl.verifiers.math.syntax import parse
from hero_rl.verifiers.math.tokens import Unreadable
from hero_rl.verifiers.math.tree import Node, number, symbols

Matrix: TypeAlias = tuple[tuple[Node, ...], ...]

MAX_SIZE = 8
_ENVIRONMENT = re.compile(
    r"(\\det\s*[({]?\s*)?\\begin\{([pbBvV]?matrix|array|smallmatrix)\}(?:\{[^{}]*\})?((?:(?!\\begin\{|\\end\{).)*)\\end\{\2\}",
    re.DOTALL,
)
_TRANSPOSED = r"\s*\^\s*(?:\{\s*(?:T|t|\\top|\\intercal|\\text\{T\})\s*\}|T|\\top|\\intercal|\\text\{T\})"
_ROW_TRANSPOSED = re.compile(r"[(\[]([^()\[\]]*,[^()\[\]]*)[)\]]" + _TRANSPOSED)
_TRANSPOSE = re.compile(_TRANSPOSED)
_PLACE = r"\Psi_m"
_IDENTITY = re.compile(r"[IE](?:_(\w+))?")
_ZERO, _ONE = number(0), number(1)
_MAX_VECTOR_CHARS = 600
_MAX_ENTRIES = 64
_NO_COEFFICIENT = re.compile(r"[A-Zfgh]|.*[A-Za-z]{2,}|.*_\{?\w+\}?", re.DOTALL)
"""A name before brackets, ``C(5,2)`` or ``f(1,2)``, is no factor."""


def is_matrix_expression(text: str) -> bool:
    """Return whether there is something to work out: a matrix with something beside it, a determinant, a transposed row."""
    return (r"\begin{" in text and _ENVIRONMENT.search(text) is not None) or _ROW_TRANSPOSED.search(text) is not None


def matrix_value(text: str) -> Matrix | Node:
    """Return the matrix or number that a cleaned expression comes to, or raise ``Unreadable``: the shapes do not fit."""
    values: list[Matrix | Node] = []

    def environment(match: re.Match[str]) -> str:
        if match[1] or match[2] in ("vmatrix", "Vmatrix"):
            raise Unreadable("determinant")
        return _placed(_rows(match[3]), values)

    text = _ROW_TRANSPOSED.sub(lambda match: _placed(tuple((parse(cell),) for cell in match[1].split(",")), values), text)
    text = _TRANSPOSE.sub("^{T}", _ENVIRONMENT.sub(environment, text))
    if len(values) > MAX_SIZE:
        raise Unreadable("matrix")
    return _value(parse(text), values)


def vector_sum(text: str) -> tuple[Node, ...] | None:
    r"""Return the components of a sum of multiples of vectors; None for other texts, and for one plain vector.

    >>> len(vector_sum("2(1,x)+(0,3)"))
    2
    """
    if len(text) > _MAX_VECTOR_CHARS or "," not in text:
        return None
    vectors: list[Matrix | Node] = []
    spelled, at, term = "", 0, 0
    try:
        for piece, closing in pairwise(piece for piece in pieces(text) if piece.depth == 0):
            term = piece.end if piece.text in ("+", "-") else term
            cells = split_at(text[piece.end : closing.begin], ",") if piece.text in ("(", "[", r"\langle") else []
            front = re.sub(r"(?:\\cdot|\\times|\*)\s*$", "", text[term : piece.begin]).strip()
            if 2 <= len(cells) <= _MAX_ENTRIES and not _NO_COEFFICIENT.fullmatch(front):
                spelled += text[at : piece.begin] + _placed((tuple(map(parse, cells)),), vectors)
                at = closing.end
        spelled += text[at:]
        if not 1 <= len(vectors) <= MAX_SIZE or spelled == _placed(_ONE, []):
            return None
        value = _value(parse(spelled), vectors)
    except Unreadable:
        return None
    return value[0] if not isinstance(value, Node) and len(value) == 1 else None


def _placed(value: Matrix | Node, values: list[Matrix | Node]) -> str:
    """Note a value, and return the name that stands for it."""
    values.append(value)
    return f" \\Psi_{{m{len(values) - 1}}} "


def _rows(text: str) -> Matrix:
    rows = [split_at(row, "&") for row in split_at(text, r"\\") if row]
    if not rows or len({len(row) for row in rows}) != 1 or max(len(rows), len(rows[0])) > MAX_SIZE:
        raise Unreadable("matrix")
    return tuple(tuple(parse(cell) for cell in row) for row in rows)


def _value(tree: Node, values: list[Matrix | Node]) -> Matrix | Node:
    if tree.op == "sym" and tree.name.startswith(_PLACE):
        place = tree.name.removeprefix(_PLACE)
        if not place.isdecimal():
            raise Unreadable("matrix")  # a prime behind it
        return values[int(place)]
    if not any(name.startswith(_PLACE) for name in symbols(tree)):
        return tree
    args = [_value(arg, values) for arg in tree.args]
    if all(isinstance(arg, Node) for arg in args):
        return tree._replace(args=tuple(arg for arg in args if isinstance(arg, Node)))
    return _worked_out(tree, args)


def _worked_out(tree: Node, args: list[Matrix | Node]) -> Matrix | Node:
    if tree.op == "add":
        return _sum(args)
    if tree.op == "mul":
        return reduce(_product, args)
    first = args[0]
    if isinstance(first, Node):
        raise Unreadable("matrix")
    if tree.op == "neg":
        return _each(first, lambda entry: Node("neg", (entry,)))
    if tree.op == "pow" and args[-1] == Node("sym", name="T"):
        return tuple(zip(*first, strict=True))
    raise Unreadable("matrix")


def _each(matrix: Matrix, change: Callable[[Node], Node]) -> Matrix:
    return tuple(tuple(change(entry) for entry in row) for row in matrix)


def _sum(args: list[Matrix | Node]) -> Matrix:
    """Return the sum of matrices of one shape; a multiple of the identity may be among them."""
    shape = next((len(arg), len(arg[0])) for arg in args if not isinstance(arg, Node))
    matrices: list[Matrix] = []
    for arg in args:
        matrix = arg if not isinstance(arg, Node) else multiple_of_identity(arg, shape[0]) if shape[0] == shape[1] else None
        if matrix is None or (len(matrix), len(matrix[0])) != shape:
            raise Unreadable("matrix")
        matrices.append(matrix)
    return tuple(tuple(Node("add", entries) for entries in zip(*rows, strict=True)) for rows in zip(*matrices, strict=True))


def _product(a: Matrix | Node, b: Matrix | Node) -> Matrix | Node:
    if isinstance(a, Node):
        return Node("mul", (a, b)) if isinstance(b, Node) else _each(b, lambda entry: Node("mul", (a, entry)))
    if isinstance(b, Node):
        return _each(a, lambda entry: Node("mul", (entry, b)))
    raise Unreadable("matrix")


def multiple_of_identity(tree: Node, size: int) -> Matrix | None:
    """Return the matrix that ``-2I`` or ``I_3`` is beside a square matrix of this size; None for other expressions."""
    names = [name for name in symbols(tree) if _IDENTITY.fullmatch(name)]
    if len(names) != 1:
        return None
    index = names[0].partition("_")[2]
    if index.isdecimal() and int(index) != size:
        return None
    none, factor, doubled = (substitute(tree, names[0], number(times)) for times in range(3))
    if compare_trees(none, _ZERO) != "equal" or compare_trees(doubled, Node("mul", (number(2), factor))) != "equal":
        return None
    return tuple(tuple(factor if row == column else _ZERO for column in range(size)) for row in range(size))


# ------------------------------------------------------------------------------------------- lines and planes

_PARAMETERS = frozenset("klmnpqrstuvw") | {r"\lambda", r"\mu", r"\alpha", r"\beta"}


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
    """Return whether two descriptions give the same points, the parameters being any real numbers."""
    rank = _rank(a.directions)
    offset = tuple(x - y for x, y in zip(a.point, b.point, strict=True))
    return rank == _rank(b.directions) == _rank((*a.directions, *b.directions)) == _rank((*a.directions, offset))


def same_steps(a: Flat, b: Flat) -> bool:
    """Return whether two lines give the same points for integer parameters too."""
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
    for column in range(len(rows[0])):
        pivot = next((row for row in left if row[column] != 0), None)
        if pivot is not None:
            rank += 1
            left.remove(pivot)
            left = [[x - row[column] / pivot[column] * y for x, y in zip(row, pivot, strict=True)] for row in left]
    return rank
