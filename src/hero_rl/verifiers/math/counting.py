r"""Notations of counting: factorials, binomials and permutations in all their spellings, sums and products over integers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from fractions import Fraction

from hero_rl.verifiers.math.cursor import Cursor
from hero_rl.verifiers.math.numerals import literal
from hero_rl.verifiers.math.tokens import Token, Unreadable
from hero_rl.verifiers.math.tree import Node, counter, number, substitute, variables, walk

_CHOICES = {"C": "binom", "P": "perm", "A": "perm"}
_SIZES = frozenset("nmNM")
_PARTS = frozenset("kmrjipl")


class Counting(Cursor):
    """The rules for these notations; arithmetic is left to the whole grammar."""

    def __init__(self, tokens: list[Token]):
        super().__init__(tokens)
        self._bars = 0
        self.bound: set[str] = set()
        """Letters that count the terms of a sum or product: they mean nothing outside it."""

    def sum(self) -> Node:
        """A sum, of any terms."""
        raise NotImplementedError

    def _product(self) -> Node:
        raise NotImplementedError

    def _juxtaposed(self) -> Node:
        raise NotImplementedError

    def _script(self) -> Node:
        raise NotImplementedError

    # --------------------------------------------------------------------------------------- factorials, choices

    def _factorial_name(self) -> str:
        self._expect("!")
        if self.peek() != "!":
            return "factorial"
        if self._spaced() or self.peek(1) == "!":
            raise Unreadable("repeated_factorial")
        self._take()
        return "doublefactorial"

    def _counted(self, value: Fraction) -> Node | None:
        """``10C3``: the rest of it after its first number; None for everything else."""
        name = _CHOICES.get(self.peek() or "") if self.peek() != "A" else None
        if name is None or self._kind(1) != "number" or self._spaced() or self._spaced(1):
            return None
        self._take()
        return Node("fn", (number(value), number(literal(self._take().text))), name=name)

    def _choice(self, letter: str) -> Node | None:
        """What follows a letter of ``C_n^k``, ``C(n,k)``, ``A_{10}^{3}``; None where the letter is a name of its own."""
        if letter not in _CHOICES:
            return None
        begin = self._at
        if letter in "CP" and self.peek() == "(":
            return self._or_back(begin, lambda: self._choice_in_brackets(letter))
        if self.peek() == "_":
            return self._or_back(begin, lambda: self._choice_with_scripts(letter, "_", "^"))
        if self.peek() == "^":
            return self._or_back(begin, lambda: self._choice_with_scripts(letter, "^", "_"))
        return None

    def _or_back(self, begin: int, rule: Callable[[], Node | None]) -> Node | None:
        """What a rule finds; where it finds no such thing, the cursor is back where it was."""
        depth = self._depth
        try:
            found = rule()
        except Unreadable:
            found = None
        if found is None:
            self._at, self._depth = begin, depth
        return found

    def _choice_in_brackets(self, letter: str) -> Node | None:
        self._expect("(")
        top = self.sum()
        self._expect(",")
        bottom = self.sum()
        self._expect(")")
        clear = letter == "C" or _may_be_choice(top, bottom)
        return Node("fn", (top, bottom), name=_CHOICES[letter]) if clear else None

    def _choice_with_scripts(self, letter: str, first: str, second: str) -> Node | None:
        self._expect(first)
        scripts = {first: self._script()}
        self._expect(second)
        scripts[second] = self._script()
        clear = (letter == "C" and first == "_") or _may_be_choice(scripts["_"], scripts["^"])
        return Node("fn", (scripts["_"], scripts["^"]), name=_CHOICES[letter]) if clear else None

    def _choice_with_scripts_first(self) -> Node | None:
        r"""``{}_{n}C_{k}`` and ``^nP_k``; None for everything else."""
        empty = self.peek() == "{" and self.peek(1) == "}"
        if not empty and self.peek() not in ("_", "^"):
            return None
        self._at += 2 * empty
        if self.peek() not in ("_", "^"):
            raise Unreadable("syntax")
        self._take()
        top = self._script()
        name = _CHOICES.get(self._take().text)
        self._expect("_")
        if name is None:
            raise Unreadable("syntax")
        return Node("fn", (top, self._script()), name=name)

    # --------------------------------------------------------------------------------------- sums and products

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
        """The counting letter, its first and its last value."""
        letter, first, last = "", None, None
        for _ in range(2):
            if self._accept("_"):
                self._expect("{")
                letter = self._take().text
                self._expect("=")
                first = self.sum()
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
    """Whether a letter stands in a tree, also ``i`` or ``e``."""
    return any(node.op == "sym" and node.name == letter for node in walk(tree))


def _may_be_choice(top: Node, bottom: Node) -> bool:
    """Whether two scripts can be the sizes of a set and of its subsets: numbers in that order, or the usual letters."""
    if top.value is not None and bottom.value is not None:
        return top.value.denominator == bottom.value.denominator == 1 and top.value >= max(bottom.value, 3)
    return _SIZES >= variables(top) != frozenset() and bool(variables(bottom)) and variables(bottom) <= _PARTS | _SIZES


# ------------------------------------------------------------------------------------------- terms of sequences


def as_sequences(terms: list[Node]) -> list[Node]:
    """The terms, in which names that differ only in their subscripts are terms of a sequence."""
    subscripts: defaultdict[str, set[str]] = defaultdict(set)
    for term in terms:
        for node in walk(term):
            if node.op == "sym" and "_" in node.name:
                base, _, subscript = node.name.partition("_")
                subscripts[base].add(subscript)
    bases = {base for base, found in subscripts.items() if len(found) > 1}
    return [_map_names(term, lambda name: _term(name) if name.partition("_")[0] in bases else None) for term in terms]


def index_sequences(*trees: Node) -> tuple[Node, ...]:
    """The trees with each ``a_n`` as a term of a sequence, where one of them has terms of that sequence."""
    bases = frozenset(node.name for tree in trees for node in walk(tree) if node.op == "seq")
    if not bases:
        return trees
    return tuple(_map_names(tree, lambda name: _term(name) if name.partition("_")[0] in bases else None) for tree in trees)


def _map_names(tree: Node, change: Callable[[str], Node | None]) -> Node:
    if tree.op == "sym":
        return change(tree.name) or tree
    return tree._replace(args=tuple(_map_names(arg, change) for arg in tree.args)) if tree.args else tree


def _term_counted_by(name: str, letter: str) -> Node | None:
    """``a_k`` as a term of a sequence, where its index depends on this letter."""
    if letter not in name.partition("_")[2]:
        return None
    term = _term(name)
    return term if term is not None and _mentions(term, letter) else None


def _term(name: str) -> Node | None:
    """``a_{2k+1}`` or ``a_{ij}`` as a term of a sequence; None where the subscript is no index.

    Raises:
        Unreadable: letters and digits stand side by side, a product or two indices.
    """
    from hero_rl.verifiers.math.syntax import parse

    base, _, subscript = name.partition("_")
    if not subscript or not base:
        return None
    if subscript.isalpha() and subscript.islower():
        return Node("seq", tuple(Node("sym", (), None, letter) for letter in subscript), None, base)
    indices = tuple(parse(part) for part in subscript.split(","))
    for node in (node for index in indices for node in walk(index) if node.op == "mul"):
        if all(arg.op == "sym" for arg in node.args):
            raise Unreadable("two_indices_or_a_product")
    return Node("seq", indices, None, base)
