r"""Tokens to an expression tree: a small grammar of its own, so that no verdict depends on an ANTLR runtime.

Reads arithmetic, powers, roots, fractions, mixed fractions, elementary functions, factorials, binomials, absolute values,
floors, degree and percent signs, subscripts, primes, bases, plus-minus. Not: integrals, limits, derivatives, sums, matrices,
relations; those are ``Unreadable`` here.

One file, although a long one: the rules of the grammar call each other in a circle, and a change to one is read with its
neighbours.
"""

from __future__ import annotations

from fractions import Fraction

from hero_rl.verifiers.math.tokens import Token, Unreadable, tokenize
from hero_rl.verifiers.math.tree import Node, number

MAX_DEPTH = 120
"""Of the descent: a pair of parentheses costs three."""
MAX_NUMBER_DIGITS = 400

FUNCTIONS = frozenset(
    ("sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "arccot", "sinh", "cosh", "tanh", "ln", "log",
    "lg",
     "exp", "abs", "floor", "ceil", "max", "min", "gcd", "lcm")
)  # fmt: skip
_INVERSE = {"sin": "arcsin", "cos": "arccos", "tan": "arctan", "cot": "arccot"}
_LETTERS = frozenset(
    ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu", "nu", "xi", "rho",
    "sigma",
     "tau", "phi", "chi", "ivec", "jvec", "kvec", "psi", "omega", "Delta", "Gamma", "Omega", "Sigma", "Phi", "Theta",
     "Lambda", "Psi", "ell", "hbar", "ldots")
)  # fmt: skip
_SETS = {r"\{": r"\}"}
_TIMES = frozenset(("*", r"\cdot", r"\times", r"\ast"))
_OVER = frozenset(("/", r"\div"))
_PAIRS = {"(": ")", "[": "]", "{": "}", r"\lfloor": r"\rfloor", r"\lceil": r"\rceil"}
_CALLABLE = frozenset("fgh")


def parse(text: str) -> Node:
    r"""The tree of one expression in cleaned text.

    >>> parse("1+x").op
    'add'

    Raises:
        Unreadable: this is no single expression that the grammar knows.
    """
    reader = _Reader(tokenize(text))
    tree = reader.sum()
    if reader.peek() is not None:
        raise Unreadable("syntax")
    return tree


class _Reader:
    """Recursive descent over one list of tokens."""

    def __init__(self, tokens: list[Token]):
        self._tokens = tokens
        self._at = 0
        self._depth = 0
        self._bars = 0

    def peek(self) -> str | None:
        """The next token's text; None at the end."""
        return self._tokens[self._at].text if self._at < len(self._tokens) else None

    def _kind(self, ahead: int = 0) -> str:
        at = self._at + ahead
        return self._tokens[at].kind if at < len(self._tokens) else ""

    def _take(self) -> Token:
        if self._at >= len(self._tokens):
            raise Unreadable("syntax")
        token = self._tokens[self._at]
        self._at += 1
        return token

    def _expect(self, text: str) -> None:
        if self._take().text != text:
            raise Unreadable("syntax")

    def _descend(self) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise Unreadable("too_deep")

    def sum(self) -> Node:
        """A sum, down to the sign that cannot belong to it."""
        self._descend()
        terms = [self._signed_product()]
        while self.peek() in ("+", "-", r"\pm", r"\mp"):
            terms.append(self._signed_product())
        self._depth -= 1
        return terms[0] if len(terms) == 1 else Node("add", tuple(terms))

    def _signed_product(self) -> Node:
        signs: list[str] = []
        while self.peek() in ("+", "-", r"\pm", r"\mp"):
            signs.append(self._take().text)
        tree = self._product()
        for sign in reversed(signs[-4:]):
            if sign != "+":
                tree = Node({"-": "neg", r"\pm": "pm", r"\mp": "mp"}[sign], (tree,))
        if len(signs) > 4:
            raise Unreadable("syntax")
        return tree

    def _product(self) -> Node:
        tree = self._power()
        while True:
            sign = self.peek()
            if sign in _TIMES:
                self._take()
                tree = _times(tree, self._factor())
            elif sign in _OVER:
                self._take()
                tree = Node("div", (tree, self._factor()))
            elif self._starts_factor():
                if self._kind() == "number" and self._tokens[self._at - 1].kind == "number":
                    tree = self._mixed(tree)
                else:
                    tree = _times(tree, self._power())
            else:
                return tree

    def _factor(self) -> Node:
        if self.peek() in ("-", "+"):
            sign = self._take().text
            self._descend()
            tree = self._factor()
            self._depth -= 1
            return Node("neg", (tree,)) if sign == "-" else tree
        return self._power()

    def _mixed(self, whole: Node) -> Node:
        """``3 1/2``: two numbers side by side mean something only as a mixed fraction."""
        top = self._take().text
        if whole.value is None or self.peek() != "/" or self._kind(1) != "number":
            raise Unreadable("numbers_side_by_side")
        self._take()
        bottom = self._take().text
        return _mixed(whole.value, _literal(top), _literal(bottom))

    def _starts_factor(self) -> bool:
        text, kind = self.peek(), self._kind()
        if text is None:
            return False
        if kind in ("number", "letter"):
            return True
        if kind == "command":
            name = text[1:]
            return name in FUNCTIONS or name in _LETTERS or name in _HEADS or text in (r"\lfloor", r"\lceil", r"\pi", r"\infty")
        return text in ("(", "[", "{") or (text == "|" and not self._bars)

    def _power(self) -> Node:
        base = self._postfix(self._primary())
        if self.peek() != "^":
            return base
        self._take()
        self._descend()
        exponent = self._script()
        self._depth -= 1
        if self.peek() == "^":
            raise Unreadable("syntax")
        return self._postfix(Node("pow", (base, exponent)))

    def _script(self) -> Node:
        """What follows ``^`` or ``_``: a group, or one sign."""
        if self.peek() == "{":
            return self._group("{")
        if self.peek() in ("-", "+"):
            negative = self._take().text == "-"
            self._descend()
            tree = self._script()
            self._depth -= 1
            return Node("neg", (tree,)) if negative else tree
        if self._kind() == "number" or self.peek() == "(":
            return self._primary()
        if (
            self._kind() == "letter"
            or self.peek() in (r"\pi", r"\infty", r"\frac", r"\sqrt")
            or (self.peek() or "")[1:] in _LETTERS
        ):
            return self._primary()
        raise Unreadable("syntax")

    def _postfix(self, tree: Node) -> Node:
        while True:
            text = self.peek()
            if text == "!":
                self._take()
                if self.peek() == "!":
                    raise Unreadable("repeated_factorial")
                tree = Node("fn", (tree,), name="factorial")
            elif text == r"\%":
                self._take()
                tree = Node("pct", (tree,))
            elif text == "^" and self._at + 1 < len(self._tokens) and self._tokens[self._at + 1].text == r"\circ":
                self._at += 2
                tree = Node("deg", (tree,))
            else:
                return tree

    def _group(self, opening: str) -> Node:
        self._expect(opening)
        bars, self._bars = self._bars, 0
        tree = self.sum()
        self._bars = bars
        self._expect(_PAIRS[opening])
        return tree

    def _primary(self) -> Node:
        self._descend()
        tree = self._any_primary()
        self._depth -= 1
        return tree

    def _any_primary(self) -> Node:
        text, kind = self.peek(), self._kind()
        if kind == "number":
            return self._number()
        if kind == "letter":
            return self._symbol(self._take().text)
        if text in ("(", "[", "{"):
            return self._group(text)
        if text == "|":
            return self._absolute()
        if kind == "command" and text is not None:
            return self._command(text)
        raise Unreadable("syntax")

    def _absolute(self) -> Node:
        self._take()
        self._bars += 1
        tree = self.sum()
        self._bars -= 1
        self._expect("|")
        return Node("fn", (tree,), name="abs")

    def _number(self) -> Node:
        text = self._take().text
        value = _literal(text)
        if self.peek() == r"\overline" and "." in text:
            return number(self._repeating(text, value))
        if self.peek() == "_":
            self._take()
            return _based(text, self._script())
        if self.peek() == r"\frac" and "." not in text:
            return self._whole_and_fraction(value)
        return Node("num", (), value, text)

    def _repeating(self, text: str, value: Fraction) -> Fraction:
        self._take()
        self._expect("{")
        digits = self._take().text
        self._expect("}")
        if not digits.isdecimal():
            raise Unreadable("syntax")
        places = len(text.partition(".")[2])
        return value + Fraction(int(digits), (10 ** len(digits) - 1) * 10**places)

    def _whole_and_fraction(self, whole: Fraction) -> Node:
        r"""``3\frac{1}{2}``: a mixed fraction where numerator and denominator are numbers, else a product."""
        part = self._power()
        if part.op == "div" and part.args[0].op == "num" and part.args[1].op == "num":
            top, bottom = part.args[0].value, part.args[1].value
            if top is not None and bottom is not None and top.denominator == bottom.denominator == 1 and 0 < top < bottom:
                return _mixed(whole, top, bottom)
        return _times(number(whole), part)

    def _symbol(self, name: str) -> Node:
        scripted = self._scripted(name)
        if scripted is not None:
            return scripted
        name = self._named(name)
        if name == "C" and self.peek() == "(" and "," in [token.text for token in self._tokens[self._at : self._at + 6]]:
            return self._choose()
        if name.rstrip("'") in _CALLABLE and self.peek() == "(":
            return Node("call", (self._group("("),), name=name)
        return Node("sym", (), None, name)

    def _choose(self) -> Node:
        """``C(n, k)``."""
        self._expect("(")
        top = self.sum()
        self._expect(",")
        bottom = self.sum()
        self._expect(")")
        return Node("fn", (top, bottom), name="binom")

    def _scripted(self, name: str) -> Node | None:
        """``C_n^k`` as a binomial coefficient; None for everything else."""
        if name != "C" or self.peek() != "_":
            return None
        begin = self._at
        self._take()
        lower = self._script()
        if self.peek() == "^":
            self._take()
            return Node("fn", (lower, self._script()), name="binom")
        self._at = begin
        return None

    def _named(self, name: str) -> str:
        while self.peek() in ("_", "'"):
            mark = self._take().text
            if mark == "'":
                name += "'"
                continue
            begin = self._at
            self._skip_subscript()
            name += "_" + "".join(token.text for token in self._tokens[begin : self._at] if token.text not in "{}")
        return name

    def _skip_subscript(self) -> None:
        """A subscript is part of a name, whatever it says."""
        depth = 0
        while True:
            text = self._take().text
            depth += (text == "{") - (text == "}")
            if depth <= 0:
                return

    def _command(self, text: str) -> Node:
        self._take()
        name = text[1:]
        if name in _HEADS:
            return getattr(self, _HEADS[name])()
        if name == "pi":
            return Node("const", (), None, "pi")
        if name == "infty":
            return Node("const", (), None, "infty")
        if name in FUNCTIONS:
            return self._function(name)
        if text in (r"\lfloor", r"\lceil"):
            tree = self.sum()
            self._expect(_PAIRS[text])
            return Node("fn", (tree,), name="floor" if name == "lfloor" else "ceil")
        if name in _LETTERS:
            return Node("sym", (), None, self._named(text))
        raise Unreadable(f"command_{name}")

    def _frac(self) -> Node:
        return Node("div", (self._argument(), self._argument()))

    def _sqrt(self) -> Node:
        degree = self._group("[") if self.peek() == "[" else number(2)
        return Node("root", (self._argument(), degree))

    def _binom(self) -> Node:
        return Node("fn", (self._argument(), self._argument()), name="binom")

    def _angle(self) -> Node:
        r"""``\angle ABC`` is a name."""
        letters = [self._take().text]
        while self._kind() == "letter":
            letters.append(self._take().text)
        return Node("sym", (), None, r"\angle" + "".join(letters))

    def _argument(self) -> Node:
        r"""The next argument of ``\frac`` and its like: a group, or one digit or sign of what follows."""
        if self.peek() in ("{", "("):
            return self._group(self.peek() or "")
        if self._kind() == "number":
            token = self._tokens[self._at]
            if len(token.text) > 1 and token.text.isdecimal():
                self._tokens[self._at] = Token("number", token.text[1:], False)
                return number(int(token.text[0]))
        return self._primary()

    def _function(self, name: str) -> Node:
        power: Node | None = None
        base: Node | None = None
        while self.peek() in ("^", "_"):
            if self._take().text == "^":
                power = self._script()
            else:
                base = self._script()
        if power == Node("neg", (number(1)._replace(name="1"),)) and name in _INVERSE:
            name, power = _INVERSE[name], None
        args = self._function_argument(name)
        tree = Node("fn", (*args, base), name="log") if base is not None else Node("fn", args, name=name)
        return tree if power is None else Node("pow", (tree, power))

    def _function_argument(self, name: str) -> tuple[Node, ...]:
        if self.peek() in ("(", "{", "["):
            opening = self._take().text
            args = [self.sum()]
            while self.peek() == ",":
                self._take()
                args.append(self.sum())
            self._expect(_PAIRS[opening])
            if len(args) > 1 and name not in ("max", "min", "gcd", "lcm", "binom"):
                raise Unreadable("syntax")
            if self.peek() == "^" and opening == "{":
                raise Unreadable("syntax")
            return tuple(args)
        if self.peek() == "-":
            self._take()
            self._descend()
            tree = Node("neg", self._function_argument(name))
            self._depth -= 1
            return (tree,)
        tree = self._power()
        while self._starts_factor() and (self.peek() or "")[1:] not in FUNCTIONS and self.peek() not in ("(", "["):
            tree = _times(tree, self._power())
        if self.peek() == "/" and self._kind(1) == "number" and tree.op in ("num", "const", "mul"):
            self._take()
            tree = Node("div", (tree, self._power()))
        return (tree,)


_HEADS = {"frac": "_frac", "sqrt": "_sqrt", "binom": "_binom", "angle": "_angle"}


def _times(left: Node, right: Node) -> Node:
    return Node("mul", (*left.args, right)) if left.op == "mul" else Node("mul", (left, right))


def _literal(text: str) -> Fraction:
    if len(text) > MAX_NUMBER_DIGITS:
        raise Unreadable("too_many_digits")
    return Fraction(text.rstrip("."))


def _mixed(whole: Fraction, top: Fraction, bottom: Fraction) -> Node:
    if bottom == 0 or whole.denominator != 1:
        raise Unreadable("numbers_side_by_side")
    return Node("num", (), whole + top / bottom)


def _based(digits: str, base: Node) -> Node:
    """``4210_7``: a numeral in a base; the name keeps the digits, since a bare numeral may be meant in that base."""
    if base.op != "num" or base.value is None or not 2 <= base.value <= 36 or base.value.denominator != 1:
        raise Unreadable("syntax")
    whole, _, rest = digits.partition(".")
    try:
        value = Fraction(int(whole + rest, int(base.value)), int(base.value) ** len(rest))
    except ValueError as error:
        raise Unreadable("digits_of_another_base") from error
    return Node("num", (), value, f"base:{digits}")
