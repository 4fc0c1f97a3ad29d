r"""Tokens to an expression tree: a small grammar of its own, so that no verdict depends on an ANTLR runtime.

Reads arithmetic, powers, roots, fractions, mixed fractions, elementary functions, factorials, binomials, absolute values,
floors, degree and percent signs, subscripts, primes, bases, plus-minus, finite sums and products with a sign or with dots.
Not: integrals, limits, derivatives, infinite sums, matrices, relations; those are ``Unreadable`` here.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

from hero_rl.verifiers.math.application import DIVIDED, MULTIPLIED, PAIRS, Application, times
from hero_rl.verifiers.math.ellipsis import is_dots
from hero_rl.verifiers.math.notation import LETTERS, function_name
from hero_rl.verifiers.math.numerals import based, continued, literal, mixed, repeating
from hero_rl.verifiers.math.tokens import Unreadable, tokenize
from hero_rl.verifiers.math.tree import Node, number, symbol, walk

_NUMERAL = re.compile(r"\d+(?:\.\d+)?", re.ASCII)
_CALLABLE = frozenset("fgh")
_SIGNS = {"+": "", "-": "neg", r"\pm": "pm", r"\mp": "mp"}
_HEXADECIMAL = frozenset("0123456789abcdefABCDEF")


def parse(text: str) -> Node:
    r"""Return the tree of one expression in cleaned text.

    >>> parse("1+x").op
    'add'

    Raises:
        Unreadable: this is no single expression that the grammar knows.
    """
    found = _parsed(text)
    if isinstance(found, str):
        raise Unreadable(found)
    return found


@lru_cache(maxsize=2048)
def _parsed(text: str) -> Node | str:
    """Return the tree, or why there is none."""
    try:
        if _NUMERAL.fullmatch(text):
            return Node("num", (), literal(text), text)
        reader = _Reader(tokenize(text))
        tree = reader.expression()
    except Unreadable as error:
        return str(error)
    if reader.peek() is not None:
        return "syntax"
    if reader.bound and any(node.op == "sym" and node.name in reader.bound for node in walk(tree)):
        return "bound_variable"
    return tree


class _Reader(Application):
    """The rules of arithmetic, by recursive descent."""

    def expression(self) -> Node:
        """Return a sum, down to the sign that cannot belong to it."""
        terms = [self._signed_product()]
        while self.peek() in _SIGNS:
            terms.append(self._signed_product())
        if len(terms) == 1:
            return terms[0]
        return self._folded("add", terms) if any(map(is_dots, terms)) else Node("add", tuple(terms))

    def _sum(self) -> Node:
        return self._deeper(self.expression)

    def _signed_product(self) -> Node:
        signs: list[str] = []
        while self.peek() in _SIGNS:
            signs.append(self._take())
        tree = self._product()
        if len(signs) > 4:
            raise Unreadable("syntax")
        for sign in reversed(signs):
            tree = Node(_SIGNS[sign], (tree,)) if sign != "+" else tree
        return tree

    def _product(self) -> Node:
        tree = self._factors()
        dots = tree.op == "mul" and any(map(is_dots, tree.args))
        return self._folded("mul", tree.args) if dots else tree

    def _factors(self) -> Node:
        tree = self._power()
        while True:
            sign = self.peek()
            if sign in MULTIPLIED:
                self._take()
                tree = times(tree, self._factor())
            elif sign in DIVIDED:
                self._take()
                divisor = self._factor()
                whole = divisor.op == "pct" and self.peek(-1) == r"\%"  # 1/2% is half a percent
                tree = Node("pct", (_quotient(tree, divisor.args[0]),)) if whole else _quotient(tree, divisor)
            elif self._starts_factor():
                if self._kind() == "number" and self._kind(-1) == "number":
                    tree = self._mixed(tree)
                else:
                    tree = times(tree, self._power())
            else:
                return tree

    def _factor(self) -> Node:
        if self.peek() not in ("-", "+"):
            return self._power()
        sign, tree = self._take(), self._deeper(self._factor)
        return Node("neg", (tree,)) if sign == "-" else tree

    def _juxtaposed(self) -> Node:
        """Return a product without signs of multiplication."""
        tree = self._factor()
        while self._starts_factor() and self._kind() != "number":
            tree = times(tree, self._power())
        return tree

    def _mixed(self, whole: Node) -> Node:
        top = self._take()
        if whole.value is None or not self._accept("/") or self._kind() != "number":
            raise Unreadable("numbers_side_by_side")
        return mixed(whole.value, literal(top), literal(self._take()))

    def _starts_factor(self) -> bool:
        text, kind = self.peek() or "", self._kind()
        if kind == "command":
            known = text[1:] in LETTERS or text[1:] in _HEADS or text[1:] in ("lfloor", "lceil", "pi", "infty", "ldots")
            return known or function_name(text[1:]) is not None
        return kind in ("number", "letter") or text in ("(", "[", "{") or (text == "|" and not self._bars)

    def _power(self) -> Node:
        return self._raised(self._postfix(self._primary()))

    def _raised(self, base: Node) -> Node:
        """Return a base and the exponent that follows it, if one does."""
        if not self._accept("^"):
            return base
        exponent = self._deeper(self._script)
        if self.peek() == "^":
            raise Unreadable("syntax")
        return self._postfix(Node("pow", (base, exponent)))

    def _script(self) -> Node:
        """Read what follows ``^`` or ``_``: a group, or one sign."""
        if self.peek() == "{":
            return self._group("{")
        if self.peek() in ("-", "+"):
            sign, tree = self._take(), self._deeper(self._script)
            return Node("neg", (tree,)) if sign == "-" else tree
        text = self.peek() or ""
        known = text in ("(", r"\pi", r"\infty", r"\frac", r"\sqrt") or text[1:] in LETTERS
        if known or self._kind() in ("number", "letter"):
            return self._primary()
        raise Unreadable("syntax")

    def _postfix(self, tree: Node) -> Node:
        while True:
            text = self.peek()
            if text == "!":
                tree = Node("fn", (tree,), name=self._factorial_name())
            elif self._accept(r"\%"):
                tree = Node("pct", (tree,))
            elif text == "^" and self.peek(1) == r"\circ":
                self._at += 2
                tree = Node("deg", (tree,))
            elif text == "_" and tree.op == "num" and tree.name.isdecimal() and self.peek(-1) == ")":
                self._take()
                tree = based(tree.name, self._script())
            else:
                return tree

    def _group(self, opening: str) -> Node:
        self._expect(opening)
        bars, self._bars = self._bars, 0
        tree = self._sum()
        if opening == "{" and self._accept(r"\choose"):
            tree = Node("fn", (tree, self._sum()), name="binom")
        self._bars = bars
        self._expect(PAIRS[opening])
        return tree

    def _primary(self) -> Node:
        self._descend()
        tree = self._numeral_of_letters() or self._choice_with_scripts_first() or self._any_primary()
        self._depth -= 1
        return tree

    def _any_primary(self) -> Node:
        text, kind = self.peek(), self._kind()
        if kind == "number":
            return self._number()
        if kind == "letter":
            return self._symbol(self._take())
        if text in ("(", "[", "{"):
            return self._group(text)
        if self._accept("|"):
            self._bars += 1
            tree = self._sum()
            self._bars -= 1
            self._expect("|")
            return Node("fn", (tree,), name="abs")
        if kind == "command" and text is not None:
            return self._command(text)
        raise Unreadable("syntax")

    def _number(self) -> Node:
        text = self._take()
        value = literal(text)
        if "." in text and self._accept(r"\overline"):
            self._expect("{")
            digits = self._take()
            self._expect("}")
            return number(repeating(text, digits))
        if self.peek() == r"\dot" and "." in text:
            return number(repeating(text, self._dotted()))
        if self._accept("_"):
            return based(text, self._script())
        if "." in text and self._accept(r"\ldots"):
            rational = continued(text)
            return Node("num", (), value, text) if rational is None else number(rational)
        if self.peek() == r"\frac" and "." not in text:
            return self._whole_and_fraction(value)
        return self._counted(value) or Node("num", (), value, text)

    def _dotted(self) -> str:
        r"""Return the digits from ``\dot{1}`` to the next one, if there is another."""
        first = self._dotted_digit()
        between = self._take() if self._kind() == "number" and self.peek(1) == r"\dot" else ""
        return first + between + (self._dotted_digit() if self.peek() == r"\dot" else "")

    def _dotted_digit(self) -> str:
        self._expect(r"\dot")
        braced = self._accept("{")
        digit = self._take() if braced else self._split_number()
        if braced:
            self._expect("}")
        if len(digit) != 1:
            raise Unreadable("syntax")
        return digit

    def _numeral_of_letters(self) -> Node | None:
        r"""``2F_{16}`` or ``(2F)_{16}``: digits beyond nine, told by the base after them; None for everything else."""
        if not self._has_scripts:
            return None
        at, digits = int(self.peek() == "("), ""
        while _HEXADECIMAL.issuperset(self.peek(at) or "?") and (not digits or not self._spaced(at)):
            digits += self.peek(at) or ""
            at += 1
        at += int(self.peek() == "(" and self.peek(at) == ")")
        if digits.isdecimal() or len(digits) < 2 or self.peek(at) != "_" or self.peek(at + 1) != "{":
            return None
        base = self.peek(at + 2) or ""
        if not base.isdecimal() or not 10 < int(base) <= 16 or not (base == "16" or digits[0].isdecimal()):
            return None
        self._at += at + 1
        return based(digits, self._script())

    def _whole_and_fraction(self, whole: Fraction) -> Node:
        r"""``3\frac{1}{2}``: a mixed fraction where numerator and denominator are numbers, else a product."""
        self._take()
        part = self._frac()
        if part.op == "div" and part.args[0].op == "num" and part.args[1].op == "num":
            top, bottom = (arg.value or Fraction(0) for arg in part.args)
            if top.denominator == bottom.denominator == 1 and 0 < top < bottom:
                return mixed(whole, top, bottom)
        return times(number(whole), self._raised(self._postfix(part)))

    def _symbol(self, name: str) -> Node:
        counted = self._choice(name)
        if counted is not None:
            return counted
        name = self._named(name)
        value = name[0].isupper() and self._kind(1) == "number" and self.peek(2) == ")"  # as in I(0)
        if self.peek() == "(" and (value or name.rstrip("'") in _CALLABLE):
            return Node("call", (self._group("("),), name=name)
        return symbol(name)

    def _named(self, name: str) -> str:
        """Return a name with its primes and subscripts, whatever they say."""
        while self.peek() in ("_", "'"):
            mark, begin, depth = self._take(), self._at, 0
            while mark == "_" and (depth > 0 or self._at == begin):
                text = self._take()
                depth += (text == "{") - (text == "}")
            name += mark + "".join(token.text for token in self._tokens[begin : self._at] if token.text not in "{}")
        return name

    def _command(self, text: str) -> Node:
        self._take()
        name = text[1:]
        if name in _HEADS:
            return getattr(self, _HEADS[name])()
        if name in ("pi", "infty"):
            return Node("const", (), None, name)
        if text in (r"\lfloor", r"\lceil"):
            tree = self._sum()
            self._expect(PAIRS[text])
            return Node("fn", (tree,), name="floor" if name == "lfloor" else "ceil")
        if name in ("zeta", "Gamma") and self.peek() == "(":  # functions that sympy knows, and no factors
            return Node("call", (self._group("("),), name=text)
        if name in LETTERS or name == "ldots":
            return symbol(self._named(text) if name in LETTERS else text)
        function = function_name(name)
        if function is None:
            raise Unreadable(f"command_{name}")
        return self._function(function)

    def _frac(self) -> Node:
        return _quotient(self._argument(), self._argument())

    def _sqrt(self) -> Node:
        degree = self._group("[") if self.peek() == "[" else number(2)
        return Node("root", (self._argument(), degree))

    def _binom(self) -> Node:
        return Node("fn", (self._argument(), self._argument()), name="binom")

    def _angle(self) -> Node:
        r"""``\angle ABC`` is a name; in ``5\angle 30^\circ``, after a number, it is the phase."""
        if (self._kind(-2) == "number" or self.peek(-2) in (")", "}")) and self._kind() != "letter":
            return Node("pow", (symbol("e"), Node("mul", (symbol("i"), self._factor()))))
        name = r"\angle" + self._take()
        while self._kind() == "letter":
            name += self._take()
        return symbol(name)

    def _argument(self) -> Node:
        r"""Return the next argument of ``\frac`` and its like: a group, or one digit or sign of what follows."""
        if self.peek() in ("{", "("):
            return self._group(self.peek() or "")
        if self._kind() == "number" and len(self.peek() or "") > 1 and (self.peek() or "").isdecimal():
            return number(int(self._split_number()))
        return self._primary()


_HEADS = {"frac": "_frac", "sqrt": "_sqrt", "binom": "_binom", "angle": "_angle", "sum": "_sum_sign", "prod": "_product_sign"}


def _quotient(top: Node, bottom: Node) -> Node:
    """Return a fraction; one of an angle in degrees is in degrees, and ``dy/dx`` is none."""
    if all(tree.op == "mul" and tree.args[0].name == "d" for tree in (top, bottom)):
        raise Unreadable("derivative")
    return Node("deg", (Node("div", (*top.args, bottom)),)) if top.op == "deg" else Node("div", (top, bottom))
