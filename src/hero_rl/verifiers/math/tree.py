"""The expression tree that all comparisons work on, and plain walks over it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import NamedTuple


class Node(NamedTuple):
    """One node of an expression: an operation, its arguments, and for leaves a value or a name.

    A ``range`` node is a sum, product or other fold over consecutive integers: its arguments are the first integer, the last
    one and the body; ``name`` says which fold; ``value`` is the number of the counter, which the body calls ``#1``, ``#2``...
    A ``seq`` node is a term of an unknown sequence: ``name`` is the sequence, the arguments are its indices.
    """

    op: str
    args: tuple[Node, ...] = ()
    value: Fraction | None = None
    name: str = ""


def number(value: int | Fraction) -> Node:
    """Return a leaf that is an exact number."""
    return Node("num", (), Fraction(value))


def symbol(name: str) -> Node:
    """Return a leaf that is a name."""
    return Node("sym", (), None, name)


def counter(level: int) -> Node:
    """Return the counter of a ``range`` node of this level."""
    return symbol(f"#{level}")


def minus(a: Node, b: Node) -> Node:
    """Return the difference of two trees."""
    return Node("add", (a, Node("neg", (b,))))


def walk(tree: Node) -> Iterator[Node]:
    """Every node of a tree."""
    stack = [tree]
    while stack:
        node = stack.pop()
        yield node
        stack.extend(node.args)


def factors(tree: Node) -> Iterator[Node]:
    """Every factor at the top of an expression, without its exponent."""
    if tree.op not in ("mul", "neg", "pow"):
        yield tree
        return
    for part in tree.args if tree.op == "mul" else tree.args[:1]:
        yield from factors(part)


CONSTANTS = frozenset("ei")
_NO_NAMES: frozenset[str] = frozenset()


def symbols(tree: Node) -> frozenset[str]:
    """Return the names that need a value: variables, and applications of unknown functions as a whole."""
    if tree.op == "num":
        return _NO_NAMES
    if tree.op == "call":
        return frozenset((opaque_name(tree),))
    if tree.op == "sym":
        return _NO_NAMES if tree.name in CONSTANTS or tree.name[0] == "#" else frozenset((tree.name,))
    return _NO_NAMES.union(*(symbols(arg) for arg in tree.args))


def variables(tree: Node) -> frozenset[str]:
    """Return the variables of a tree, those within the arguments of unknown functions included."""
    return frozenset(
        node.name for node in walk(tree) if node.op == "sym" and node.name not in CONSTANTS and node.name[0] != "#"
    )


def opaque_name(call: Node) -> str:
    """Return the name under which the value of ``f(...)`` is looked up."""
    return f"{call.name}({_spelled(call.args[0])})"


def _spelled(tree: Node) -> str:
    args = [_spelled(arg) for arg in tree.args]
    inner = ",".join(sorted(args) if tree.op in ("add", "mul") else args)
    return f"{tree.op}{tree.name if tree.op != 'num' else ''}{tree.value or ''}({inner})"


def has_range(tree: Node) -> bool:
    """Return whether a sum, product or other fold over integers stands in a tree."""
    return any(node.op == "range" for node in walk(tree))


def rename(tree: Node, names: Mapping[str, str]) -> Node:
    """Return the tree with variables renamed."""
    if tree.op == "sym" and tree.name in names:
        return tree._replace(name=names[tree.name])
    return tree._replace(args=tuple(rename(arg, names) for arg in tree.args)) if tree.args else tree


def substitute(tree: Node, name: str, by: Node) -> Node:
    """Return the tree with an expression in the place of a variable."""
    if tree.op == "sym" and tree.name == name:
        return by
    return tree._replace(args=tuple(substitute(arg, name, by) for arg in tree.args)) if tree.args else tree
