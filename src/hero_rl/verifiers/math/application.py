r"""Functions and notations of counting: ``\sin 2x``, ``\log_2(x)``, ``\max\{a, b\}``, ``n!``, ``C_n^k``, sums and products."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from fractions import Fraction

from hero_rl.verifiers.math.ellipsis import fold_dots, is_dots
from hero_rl.verifiers.math.notation import INVERSE, OF_SEVERAL, function_name
from hero_rl.verifiers.math.numerals import literal
from hero_rl.verifiers.math.tokens import Cursor, Token, Unreadable
from hero_rl.verifiers.math.tree import Node, counter, number, substitute, symbol, variables, walk

PAIRS = {"(": ")", "[": "]", "{": "}", r"\{": r"\}", r"\lfloor": r"\rfloor", r"\lceil": r"\rceil"}
MULTIPLIED = frozenset(("*", r"\cdot", r"\times", r"\ast"))
DIVIDED = frozenset(("/", r"\div"))
_CHOICES = {"C": "binom", "P": "perm", "A": "perm"}
_SIZES = frozenset("nmNM")
_PARTS = frozenset("kmrjipl")


def times(left: Node, right: Node) -> Node:
    """Return a product of any number of factors."""
    return Node("mul", (*left.args, right)) if left.op == "mul" else Node("mul", (left, right))


class Application(Cursor):
    """The rules for functions and counting; arithmetic is left to the whole grammar."""

    def __init__(self, tokens: list[Token]):
        super().__init__(tokens)
        self._bars = 0
        self.bound: set[str] = set()
        """Letters that count the terms of a sum or product: they mean nothing outside it."""

    def _sum(self) -> Node: ...
    def _product(self) -> Node: ...
    def _juxtaposed(self) -> Node: ...
    def _script(self) -> Node: ...
    def _power(self) -> Node: ...
    def _starts_factor(self) -> bool: ...

    def _function(self, name: str) -> Node:
        power: Node | None = None
        base: Node | None = None
        while self.peek() in ("^", "_"):
            if self._take() == "^":
                power = self._script()
            else:
                base = self._base_of_logarithm()
        if power == Node("neg", (number(1)._replace(name="1"),)) and name in INVERSE:
            name, power = INVERSE[name], None
        args = self._function_argument(name)
        if base is not None and name != "log":
            raise Unreadable("syntax")
        if len(args) > 1 and any(is_dots(arg) for arg in args):
            tree = self._folded(name, args)
        else:
            tree = Node("fn", args if base is None else (*args, base), name=name)
        return tree if power is None else Node("pow", (tree, power))

    def _base_of_logarithm(self) -> Node:
        r"""Read the base of ``\log_2 x``; in ``\log_35`` it is 3."""
        text, behind, kind = self.peek() or "", self.peek(1), self._kind(1)
        argument = kind in ("number", "letter") or behind in ("(", "{", "|", "[")
        if text.isdecimal() and not argument and (kind != "command" or behind in MULTIPLIED | DIVIDED):
            return number(int(self._split_number()))
        return self._script()

    def _function_argument(self, name: str) -> tuple[Node, ...]:
        opening = self.peek() or ""
        if opening in ("(", "{", "[") or (opening == r"\{" and name in OF_SEVERAL):
            return self._arguments(opening, name)
        if self._accept("-"):
            return (self._deeper(lambda: Node("neg", self._function_argument(name))),)
        tree = self._power()
        while self._starts_factor() and self._continues_argument():
            tree = times(tree, self._power())
        if tree.op in ("num", "const", "mul") and self._kind(1) == "number" and self._accept("/"):
            tree = Node("div", (tree, self._power()))
        return (tree,)

    def _arguments(self, opening: str, name: str) -> tuple[Node, ...]:
        self._expect(opening)
        bars, self._bars = self._bars, 0
        args = [self._sum()]
        while self._accept(","):
            args.append(self._sum())
        self._bars = bars
        self._expect(PAIRS[opening])
        if (len(args) > 1 and name not in OF_SEVERAL) or (self.peek() == "^" and opening == "{"):
            raise Unreadable("syntax")
        return tuple(args)

    def _continues_argument(self) -> bool:
        """Return whether the next factor still belongs to ``sin 2x``: not another function, nor a bracket."""
        text = self.peek() or ""
        return function_name(text[1:]) is None and text not in ("(", "[", r"\ldots", r"\sum", r"\prod")

    def _folded(self, operation: str, terms: Sequence[Node]) -> Node:
        r"""Return terms with ``\ldots`` among them as one node; names that differ only in subscripts are of one sequence."""
        subscripts: defaultdict[str, set[str]] = defaultdict(set)
        for node in (node for term in terms for node in walk(term) if node.op == "sym" and "_" in node.name):
            base, _, subscript = node.name.partition("_")
            subscripts[base].add(subscript)
        bases = {base for base, found in subscripts.items() if len(found) > 1}
        return fold_dots(operation, [_with_terms(term, bases) for term in terms])

    def _factorial_name(self) -> str:
        self._expect("!")
        if self.peek() != "!":
            return "factorial"
        if self._spaced() or self.peek(1) == "!":
            raise Unreadable("repeated_factorial")
        self._take()
        return "doublefactorial"

    def _counted(self, value: Fraction) -> Node | None:
        """Read the rest of ``10C3`` after its first number; None for everything else."""
        if self.peek() not in ("C", "P") or self._kind(1) != "number" or self._spaced() or self._spaced(1):
            return None
        return Node("fn", name=_CHOICES[self._take()], args=(number(value), number(literal(self._take()))))

    def _choice(self, letter: str) -> Node | None:
        """Read what follows a letter of ``C_n^k``, ``C(n,k)``, ``A_{10}^{3}``; None where the letter is a name of its own."""
        begin, depth, sign = self._at, self._depth, self.peek()
        if letter not in _CHOICES or sign not in ("(", "_", "^") or (sign == "(" and letter == "A"):
            return None
        with suppress(Unreadable):
            self._take()
            top = self._sum() if sign == "(" else self._script()
            self._expect({"(": ",", "_": "^", "^": "_"}[sign])
            bottom = self._sum() if sign == "(" else self._script()
            if sign == "(":
                self._expect(")")
            top, bottom = (bottom, top) if sign == "^" else (top, bottom)
            if (letter == "C" and sign != "^") or _may_be_choice(top, bottom):
                return Node("fn", (top, bottom), name=_CHOICES[letter])
        self._at, self._depth = begin, depth
        return None

    def _choice_with_scripts_first(self) -> Node | None:
        r"""Read ``{}_{n}C_{k}`` and ``^nP_k``; None for everything else."""
        empty = self.peek() == "{" and self.peek(1) == "}"
        if not empty and self.peek() not in ("_", "^"):
            return None
        self._at += 2 * empty
        if self.peek() not in ("_", "^"):
            raise Unreadable("syntax")
        self._take()
        top = self._script()
        name = _CHOICES.get(self._take())
        self._expect("_")
        if name is None:
            raise Unreadable("syntax")
        return Node("fn", (top, self._script()), name=name)

    def _sum_sign(self) -> Node:
        letter, first, last = self._limits()
        return self._range("sum", letter, first, last, self._product())

    def _product_sign(self) -> Node:
        letter, first, last = self._limits()
        body = self._juxtaposed()
        if self.peek() in ("*", "/", r"\cdot", r"\times", r"\div"):
            raise Unreadable("where_the_product_ends")
        return self._range("prod", letter, first, last, body)

    def _limits(self) -> tuple[str, Node, Node]:
        """Read the counting letter, its first and its last value."""
        letter, first, last = "", None, None
        for _ in range(2):
            if self._accept("_"):
                self._expect("{")
                letter = self._take()
                self._expect("=")
                first = self._sum()
                self._expect("}")
            elif self._accept("^"):
                last = self._script()
        if not letter.isalpha() or first is None or last is None or last == Node("const", (), None, "infty"):
            raise Unreadable("limits_of_a_sum")
        return letter, first, last

    def _range(self, operation: str, letter: str, first: Node, last: Node, body: Node) -> Node:
        if _mentions(first, letter) or _mentions(last, letter):
            raise Unreadable("limits_of_a_sum")
        self.bound.add(letter)
        body = _map_names(body, lambda name: _term_counted_by(name, letter))
        level = 1 + max((int(node.value or 0) for node in walk(body) if node.op == "range"), default=0)
        return Node("range", (first, last, substitute(body, letter, counter(level))), Fraction(level), operation)


def _mentions(tree: Node, letter: str) -> bool:
    """Return whether a letter stands in a tree, also ``i`` or ``e``."""
    return any(node.op == "sym" and node.name == letter for node in walk(tree))


def _may_be_choice(top: Node, bottom: Node) -> bool:
    """Return whether two scripts can be the sizes of a set and of its subsets: numbers in that order, or the usual letters."""
    if top.value is not None and bottom.value is not None:
        return top.value.denominator == bottom.value.denominator == 1 and top.value >= max(bottom.value, 3)
    return _SIZES >= variables(top) != frozenset() and bool(variables(bottom)) and variables(bottom) <= _PARTS | _SIZES


def index_sequences(*trees: Node) -> tuple[Node, ...]:
    """Return the trees with each ``a_n`` as a term of a sequence, where one of them has terms of that sequence."""
    bases = {node.name for tree in trees for node in walk(tree) if node.op == "seq"}
    return tuple(_with_terms(tree, bases) for tree in trees) if bases else trees


def _with_terms(tree: Node, bases: set[str]) -> Node:
    return _map_names(tree, lambda name: _term(name) if name.partition("_")[0] in bases else None)


def _map_names(tree: Node, change: Callable[[str], Node | None]) -> Node:
    if tree.op == "sym":
        return change(tree.name) or tree
    return tree._replace(args=tuple(_map_names(arg, change) for arg in tree.args)) if tree.args else tree


def _term_counted_by(name: str, letter: str) -> Node | None:
    """Return ``a_k`` as a term of a sequence, where its index depends on this letter."""
    term = _term(name) if letter in name.partition("_")[2] else None
    return term if term is not None and _mentions(term, letter) else None


def _term(name: str) -> Node | None:
    """Return ``a_{2k+1}`` or ``a_{ij}`` as a term of a sequence; None where the subscript is no index.

    Raises:
        Unreadable: letters and digits stand side by side, a product or two indices.
    """
    from hero_rl.verifiers.math.syntax import parse

    base, _, subscript = name.partition("_")
    if not subscript or not base:
        return None
    if subscript.isalpha() and subscript.islower():
        return Node("seq", tuple(symbol(letter) for letter in subscript), None, base)
    indices = tuple(parse(part) for part in subscript.split(","))
    if any(node.op == "mul" and all(arg.op == "sym" for arg in node.args) for index in indices for node in walk(index)):
        raise Unreadable("two_indices_or_a_product")
    return Node("seq", indices, None, base)
