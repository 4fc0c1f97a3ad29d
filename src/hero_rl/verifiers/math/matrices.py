r"""Matrix expressions: ``\frac{1}{2}\begin{pmatrix}...``, sums, products, powers, transposes, inverses, determinants.

A matrix is worked out entry by entry, as trees; what is left to compare is a matrix of entries, or a number.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import permutations
from typing import TypeAlias

from hero_rl.verifiers.math.sampling import compare_trees, substitute
from hero_rl.verifiers.math.split import split_at
from hero_rl.verifiers.math.syntax import parse
from hero_rl.verifiers.math.tokens import Unreadable
from hero_rl.verifiers.math.tree import Node, number, symbols, walk

Matrix: TypeAlias = tuple[tuple[Node, ...], ...]

MAX_SIZE = 8
_MAX_DETERMINANT = 4
_MAX_POWER = 12
_MAX_NODES = 3_000
"""Of the entries together: products of matrices of formulas grow fast."""
_ENVIRONMENT = re.compile(
    r"(\\det\s*[({]?\s*)?\\begin\{([pbBvV]?matrix|array|smallmatrix)\}(?:\{[^{}]*\})?((?:(?!\\begin\{|\\end\{).)*)\\end\{\2\}(\s*[)}])?",
    re.DOTALL,
)
_TRANSPOSED = r"\s*\^\s*(?:\{\s*(?:T|t|\\top|\\intercal|\\text\{T\})\s*\}|T|\\top|\\intercal|\\text\{T\})"
_ROW_TRANSPOSED = re.compile(r"[(\[]([^()\[\]]*,[^()\[\]]*)[)\]]" + _TRANSPOSED)
_TRANSPOSE = re.compile(_TRANSPOSED)
_PLACE = r"\Psi_m"
_IDENTITY = re.compile(r"[IE](?:_(\w+))?")
_ZERO, _ONE = number(0), number(1)


def is_matrix_expression(text: str) -> bool:
    """Whether there is something to work out: a matrix with something beside it, a determinant, a transposed row."""
    return (r"\begin{" in text and _ENVIRONMENT.search(text) is not None) or _ROW_TRANSPOSED.search(text) is not None


def matrix_value(text: str) -> Matrix | Node:
    """The matrix, or number, that a cleaned matrix expression comes to.

    Raises:
        Unreadable: the shapes do not fit, or the expression is none that is known.
    """
    values: list[Matrix | Node] = []

    def place(value: Matrix | Node) -> str:
        values.append(value)
        return f" \\Psi_{{m{len(values) - 1}}} "

    def environment(match: re.Match[str]) -> str:
        rows = _rows(match[3])
        is_determinant = bool(match[1]) or match[2] in ("vmatrix", "Vmatrix")
        closed = match[4] if match[4] and not (match[1] or "").rstrip().endswith(("(", "{")) else ""
        return place(_determinant(rows) if is_determinant else rows) + closed

    text = _ROW_TRANSPOSED.sub(lambda match: place(tuple((parse(cell),) for cell in match[1].split(","))), text)
    text = _TRANSPOSE.sub("^{T}", _ENVIRONMENT.sub(environment, text))
    if len(values) > MAX_SIZE:
        raise Unreadable("matrix")
    return _value(parse(text), values)


def _rows(text: str) -> Matrix:
    rows = [split_at(row, "&") for row in split_at(text, r"\\") if row]
    if not rows or len({len(row) for row in rows}) != 1 or max(len(rows), len(rows[0])) > MAX_SIZE:
        raise Unreadable("matrix")
    return tuple(tuple(parse(cell) for cell in row) for row in rows)


def _value(tree: Node, values: list[Matrix | Node]) -> Matrix | Node:
    if tree.op == "sym" and tree.name.startswith(_PLACE):
        return values[int(tree.name.removeprefix(_PLACE))]
    if not any(name.startswith(_PLACE) for name in symbols(tree)):
        return tree
    args = [_value(arg, values) for arg in tree.args]
    if all(isinstance(arg, Node) for arg in args):
        return tree._replace(args=tuple(arg for arg in args if isinstance(arg, Node)))
    return _checked(_worked_out(tree, args))


def _worked_out(tree: Node, args: list[Matrix | Node]) -> Matrix | Node:
    first = args[0]
    if tree.op == "neg" and not isinstance(first, Node):
        return _each(first, lambda entry: Node("neg", (entry,)))
    if tree.op == "add":
        return _sum(args)
    if tree.op == "mul":
        product = first
        for factor in args[1:]:
            product = _checked(_product(product, factor))
        return product
    if tree.op == "div" and not isinstance(first, Node) and isinstance(args[1], Node):
        bottom = args[1]
        return _each(first, lambda entry: Node("div", (entry, bottom)))
    if tree.op == "pow" and not isinstance(first, Node) and isinstance(args[1], Node):
        return _power(first, args[1])
    if tree.op == "fn" and tree.name == "abs" and not isinstance(first, Node):
        return _determinant(first)
    raise Unreadable("matrix")


def _checked(value: Matrix | Node) -> Matrix | Node:
    entries = [value] if isinstance(value, Node) else [entry for row in value for entry in row]
    if sum(sum(1 for _ in walk(entry)) for entry in entries) > _MAX_NODES:
        raise Unreadable("matrix")
    return value


def _each(matrix: Matrix, change: Callable[[Node], Node]) -> Matrix:
    return tuple(tuple(change(entry) for entry in row) for row in matrix)


def _sum(args: list[Matrix | Node]) -> Matrix:
    """The sum of matrices of one shape; a multiple of the identity may be among them."""
    matrices = [arg for arg in args if not isinstance(arg, Node)]
    height, width = len(matrices[0]), len(matrices[0][0])
    for arg in args:
        if isinstance(arg, Node):
            identity = multiple_of_identity(arg, height) if height == width else None
            if identity is None:
                raise Unreadable("matrix")
            matrices.append(identity)
    if any((len(matrix), len(matrix[0])) != (height, width) for matrix in matrices):
        raise Unreadable("matrix")
    rows = [zip(*(matrix[row] for matrix in matrices), strict=True) for row in range(height)]
    return tuple(tuple(Node("add", entries) for entries in row) for row in rows)


def _product(a: Matrix | Node, b: Matrix | Node) -> Matrix | Node:
    if isinstance(a, Node):
        return Node("mul", (a, b)) if isinstance(b, Node) else _each(b, lambda entry: Node("mul", (a, entry)))
    if isinstance(b, Node):
        return _each(a, lambda entry: Node("mul", (entry, b)))
    if len(a[0]) != len(b):
        raise Unreadable("matrix")
    columns = list(zip(*b, strict=True))

    def entry(row: tuple[Node, ...], column: tuple[Node, ...]) -> Node:
        return Node("add", tuple(Node("mul", pair) for pair in zip(row, column, strict=True)))

    return tuple(tuple(entry(row, column) for column in columns) for row in a)


def _power(matrix: Matrix, exponent: Node) -> Matrix | Node:
    if exponent.op == "sym" and exponent.name == "T":
        return tuple(zip(*matrix, strict=True))
    inverted = exponent.op == "neg"
    times = (exponent.args[0] if inverted else exponent).value
    if times is None or times.denominator != 1 or not 1 <= times <= _MAX_POWER or len(matrix) != len(matrix[0]):
        raise Unreadable("matrix")
    base = _inverse(matrix) if inverted else matrix
    result: Matrix | Node = base
    for _ in range(int(times) - 1):
        result = _checked(_product(result, base))
    return result


def _determinant(matrix: Matrix) -> Node:
    size = len(matrix)
    if size != len(matrix[0]) or size > _MAX_DETERMINANT:
        raise Unreadable("matrix")
    terms: list[Node] = []
    for order in permutations(range(size)):
        odd = sum(order[i] > order[j] for i in range(size) for j in range(i + 1, size)) % 2
        term = Node("mul", tuple(matrix[row][column] for row, column in enumerate(order)))
        terms.append(Node("neg", (term,)) if odd else term)
    return Node("add", tuple(terms))


def _inverse(matrix: Matrix) -> Matrix:
    size, whole = len(matrix), _determinant(matrix)
    if size == 1:
        return ((Node("div", (_ONE, whole)),),)

    def cofactor(row: int, column: int) -> Node:
        minor = tuple(tuple(line[c] for c in range(size) if c != column) for r, line in enumerate(matrix) if r != row)
        value = _determinant(minor)
        return Node("div", (Node("neg", (value,)) if (row + column) % 2 else value, whole))

    return tuple(tuple(cofactor(column, row) for column in range(size)) for row in range(size))


def multiple_of_identity(tree: Node, size: int) -> Matrix | None:
    """The matrix that ``-2I`` or ``I_3`` is beside a square matrix of this size; None for other expressions."""
    names = [name for name in symbols(tree) if _IDENTITY.fullmatch(name)]
    if len(names) != 1:
        return None
    index = names[0].partition("_")[2]
    if index.isdecimal() and int(index) != size:
        return None
    factor = substitute(tree, names[0], _ONE)
    doubled = Node("mul", (number(2), factor))
    if compare_trees(substitute(tree, names[0], _ZERO), _ZERO) != "equal":
        return None
    if compare_trees(substitute(tree, names[0], number(2)), doubled) != "equal":
        return None
    return tuple(tuple(factor if row == column else _ZERO for column in range(size)) for row in range(size))
