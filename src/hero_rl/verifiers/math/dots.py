r"""Sums with an ellipsis, ``a_0 + a_1 + \ldots + a_k``: one opaque term that is known by its two ends."""

from __future__ import annotations

from hero_rl.verifiers.math.syntax import Node

_DOTS = r"\ldots"


def fold_dots(tree: Node) -> Node:
    r"""The tree with each ``first + .. + \ldots + last`` as one call whose argument names the ends, smaller name first.

    Only terms of one letter are folded together, so ``n + a_1 + \ldots + a_k`` keeps its ``n``.
    """
    if not tree.args:
        return tree
    args = tuple(fold_dots(arg) for arg in tree.args)
    if tree.op != "add" or not any(_is_dots(arg) for arg in args):
        return tree._replace(args=args)
    at = next(index for index, arg in enumerate(args) if _is_dots(arg))
    if at + 1 >= len(args) or at == 0:
        return tree._replace(args=args)
    begin, end = at, at + 1
    family = _family(args[end])
    while begin > 0 and family and _family(args[begin - 1]) == family:
        begin -= 1
    while end + 1 < len(args) and family and _family(args[end + 1]) == family:
        end += 1
    if not family or begin == at:
        return tree._replace(args=args)
    ends = sorted((args[begin].name, args[end].name))
    folded = Node("sym", (), None, f"{ends[0]}{_DOTS}{ends[1]}")
    return Node("add", (*args[:begin], folded, *args[end + 1 :]))


def _is_dots(tree: Node) -> bool:
    return tree.op == "sym" and tree.name == _DOTS


def _family(tree: Node) -> str:
    return tree.name.partition("_")[0] if tree.op == "sym" and "_" in tree.name else ""
