r"""Functions and what they are applied to: ``\sin 2x``, ``\log_2(x)``, ``\max\{a, b\}``, lists with dots."""

from __future__ import annotations

from hero_rl.verifiers.math.counting import Counting, as_sequences
from hero_rl.verifiers.math.ellipsis import fold_dots, is_dots
from hero_rl.verifiers.math.notation import INVERSE, OF_SEVERAL, function_name
from hero_rl.verifiers.math.tokens import Unreadable
from hero_rl.verifiers.math.tree import Node, number

PAIRS = {"(": ")", "[": "]", "{": "}", r"\{": r"\}", r"\lfloor": r"\rfloor", r"\lceil": r"\rceil"}


def is_multiplied(sign: str | None) -> bool:
    """Whether a sign means a product."""
    return sign in ("*", r"\cdot", r"\times", r"\ast")


def is_divided(sign: str | None) -> bool:
    """Whether a sign means a quotient."""
    return sign in ("/", r"\div")


def times(left: Node, right: Node) -> Node:
    """A product of any number of factors."""
    return Node("mul", (*left.args, right)) if left.op == "mul" else Node("mul", (left, right))


class Application(Counting):
    """The rules for functions; arithmetic is left to the whole grammar."""

    def _power(self) -> Node:
        raise NotImplementedError

    def _starts_factor(self) -> bool:
        raise NotImplementedError

    def _function(self, name: str) -> Node:
        power: Node | None = None
        base: Node | None = None
        while self.peek() in ("^", "_"):
            if self._take().text == "^":
                power = self._script()
            else:
                base = self._base_of_logarithm()
        if power == Node("neg", (number(1)._replace(name="1"),)) and name in INVERSE:
            name, power = INVERSE[name], None
        args = self._function_argument(name)
        if base is not None and name != "log":
            raise Unreadable("syntax")
        if len(args) > 1 and any(is_dots(arg) for arg in args):
            tree = self._folded(name, list(args))
        else:
            tree = Node("fn", args if base is None else (*args, base), name=name)
        return tree if power is None else Node("pow", (tree, power))

    def _base_of_logarithm(self) -> Node:
        r"""``\log_2 x``; in ``\log_35`` the base is 3."""
        if self._kind() == "number" and self._kind(1) not in ("number", "letter") and self.peek(1) not in ("(", "{", "|", "["):
            starts_argument = self._kind(1) == "command" and not is_multiplied(self.peek(1)) and not is_divided(self.peek(1))
            if not starts_argument:
                return number(int(self._split_number())) if (self.peek() or "").isdecimal() else self._script()
        return self._script()

    def _function_argument(self, name: str) -> tuple[Node, ...]:
        opening = self.peek() or ""
        if opening in ("(", "{", "[") or (opening == r"\{" and name in OF_SEVERAL):
            return self._arguments(opening, name)
        if self.peek() == "-":
            self._take()
            self._descend()
            tree = Node("neg", self._function_argument(name))
            self._depth -= 1
            return (tree,)
        tree = self._power()
        while self._starts_factor() and self._continues_argument():
            tree = times(tree, self._power())
        if self.peek() == "/" and self._kind(1) == "number" and tree.op in ("num", "const", "mul"):
            self._take()
            tree = Node("div", (tree, self._power()))
        return (tree,)

    def _arguments(self, opening: str, name: str) -> tuple[Node, ...]:
        self._expect(opening)
        bars, self._bars = self._bars, 0
        args = [self.sum()]
        while self._accept(","):
            args.append(self.sum())
        self._bars = bars
        self._expect(PAIRS[opening])
        if len(args) > 1 and name not in OF_SEVERAL:
            raise Unreadable("syntax")
        if self.peek() == "^" and opening == "{":
            raise Unreadable("syntax")
        return tuple(args)

    def _continues_argument(self) -> bool:
        """Whether the next factor still belongs to ``sin 2x``: not another function, nor a bracket."""
        text = self.peek() or ""
        return function_name(text[1:]) is None and text not in ("(", "[", r"\ldots", r"\sum", r"\prod")

    def _folded(self, operation: str, terms: list[Node]) -> Node:
        r"""Terms with ``\ldots`` among them, as one node."""
        return fold_dots(operation, as_sequences(terms))
