r"""The value of a formula at a point, by which a perturbed formula is shown to differ from the reference.

An evaluator of its own, small and strict: a formula that it cannot read has no value, and nothing is claimed of it. It shares
nothing with the maths verifier, whose mistakes an attack is there to find.
"""

from __future__ import annotations

import cmath
import math
import re
from collections.abc import Callable, Mapping

from hero_rl.attacks.text import GREEK, letters_of, tidy

MAX_CHARS = 400
MAX_DEPTH = 40
MAX_SIZE = 1e300
CLOSE = 1e-6
"""Relative difference from which two values differ for certain."""
_FUNCTIONS: Mapping[str, Callable[[complex], complex]] = {
    "sin": cmath.sin, "cos": cmath.cos, "tan": cmath.tan, "sinh": cmath.sinh, "cosh": cmath.cosh, "tanh": cmath.tanh,
    "arcsin": cmath.asin, "arccos": cmath.acos, "arctan": cmath.atan, "exp": cmath.exp, "ln": cmath.log, "log": cmath.log10,
    "cot": lambda z: 1 / cmath.tan(z), "sec": lambda z: 1 / cmath.cos(z), "csc": lambda z: 1 / cmath.sin(z),
}  # fmt: skip
_TOKEN = re.compile(
    r"\s+|(?P<number>\d+(?:\{?,\}?\d{3}(?!\d))*(?:\.\d+)?|\.\d+)|(?P<command>\\[A-Za-z]+)|(?P<letter>[A-Za-z])|"
    r"(?P<sign>\\[{}|]|[-+*/^()\[\]{}|!_'])"
)
_CLOSING = {"(": ")", "[": "]", "{": "}", "\\{": "\\}", "|": "|"}
_REAL_POINTS = ((0.7310, 0.2917), (1.3790, 0.4133), (0.5230, 0.8171))
_WHOLE_POINTS = ((3, 2), (5, 3), (4, 7))


class _NoValue(Exception):
    """The text is not a formula that can be evaluated here."""


def value_at(text: str, point: Mapping[str, complex]) -> complex | None:
    r"""Return the value of a formula where its letters have these values; None where it cannot be read or is not finite.

    >>> value_at(r"\frac{x^{2}-1}{2}", {"x": 3})
    (4+0j)
    """
    text = tidy(text)
    if not text or len(text) > MAX_CHARS:
        return None
    try:
        reader = _Reader(text, point)
        value = complex(reader.sum())
        if reader.tokens[reader.place :]:
            return None
    except (_NoValue, ArithmeticError, ValueError, RecursionError):
        return None
    return value if abs(value) < MAX_SIZE else None


def provably_different(first: str, second: str) -> bool:
    """Return whether two formulas differ wherever both have a value: at real points, and at two whole ones or more."""
    reals, wholes = _differences(first, second, _REAL_POINTS), _differences(first, second, _WHOLE_POINTS)
    return bool(reals) and all(reals) and (sum(wholes) > 1 or (bool(wholes) and all(wholes)))


def same_value(first: str, second: str) -> bool:
    """Return whether two formulas have a value and agree at every point tried."""
    pairs = _values(first, second, _REAL_POINTS)
    return all(a is not None and b is not None and not _apart(a, b) for a, b in pairs)


def _differences(first: str, second: str, seeds: tuple[tuple[float, float], ...]) -> list[bool]:
    return [_apart(a, b) for a, b in _values(first, second, seeds) if a is not None and b is not None]


def _values(first: str, second: str, seeds: tuple[tuple[float, float], ...]) -> list[tuple[complex | None, complex | None]]:
    """Return the values of both formulas at some points."""
    letters = sorted(letters_of(first) | letters_of(second))
    points = [{letter: start + step * number for number, letter in enumerate(letters)} for start, step in seeds]
    return [(value_at(first, point), value_at(second, point)) for point in points]


def _apart(a: complex, b: complex) -> bool:
    return abs(a - b) > CLOSE * max(abs(a), abs(b))


class _Reader:
    """A formula, read from left to right; every method returns the value of what it read."""

    def __init__(self, text: str, point: Mapping[str, complex]):
        self.tokens: list[str] = []
        self.point, self.place, self.depth = point, 0, 0
        start = 0
        while start < len(text):
            match = _TOKEN.match(text, start)
            if match is None:
                raise _NoValue
            start = match.end()
            if match.lastgroup:
                self.tokens.append(match[0])

    def peek(self) -> str:
        return self.tokens[self.place] if self.place < len(self.tokens) else ""

    def take(self) -> str:
        token = self.peek()
        self.place += 1
        return token

    def expect(self, token: str) -> None:
        if self.take() != token:
            raise _NoValue

    def sum(self) -> complex:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise _NoValue
        value = self.product()
        while self.peek() in ("+", "-"):
            value = value + self.product() if self.take() == "+" else value - self.product()
        self.depth -= 1
        return value

    def product(self) -> complex:
        value = self.signed()
        while True:
            token = self.peek()
            if token in ("*", "\\cdot", "\\times"):
                self.take()
                value *= self.signed()
            elif token in ("/", "\\div"):
                self.take()
                value /= self.signed()
            elif self.starts_factor(token):
                if token == "\\frac" and self.tokens[self.place - 1][-1].isdigit():
                    raise _NoValue  # a mixed number, or a product
                value *= self.power()
            else:
                return value

    def starts_factor(self, token: str) -> bool:
        if token in ("(", "[", "{", "\\{"):
            return True
        return bool(token) and (token[0].isdigit() or token[0] == "." or token.isalpha() or self.is_named(token))

    def is_named(self, token: str) -> bool:
        name = token[1:]
        return token[0] == "\\" and (
            name in _FUNCTIONS or name in GREEK or name in ("frac", "sqrt", "pi", "binom", "lfloor", "lceil", "lvert")
        )

    def signed(self) -> complex:
        if self.peek() in ("+", "-"):
            return self.signed() if self.take() == "+" else -self.signed()
        return self.power()

    def power(self) -> complex:
        value = self.atom()
        while self.peek() == "!":
            self.take()
            value = _factorial(value)
        if self.peek() == "^":
            self.take()
            return _power(value, self.argument())
        return value

    def argument(self) -> complex:
        """Read what follows `^` or a command: a group in braces, or a single token (of a number, its first digit)."""
        token = self.peek()
        if token == "{":
            return self.group("{", "}")
        if token[:1].isdigit() and len(token) > 1 and token.isdigit():
            self.tokens[self.place] = token[1:]
            return complex(int(token[0]))
        return self.atom()

    def group(self, left: str, right: str) -> complex:
        self.expect(left)
        value = self.sum()
        self.expect(right)
        return value

    def atom(self) -> complex:
        token = self.peek()
        if token in _CLOSING:
            value = self.group(token, _CLOSING[token])
            return complex(abs(value)) if token == "|" else value
        self.take()
        if token[:1].isdigit() or token[:1] == ".":
            return complex(float(re.sub(r"[{},]", "", token)))
        if token.isalpha():
            return self.letter(token)
        if token[:1] == "\\":
            return self.command(token[1:])
        raise _NoValue

    def letter(self, name: str) -> complex:
        value = {"e": complex(math.e), "i": 1j}.get(name, self.point.get(name))
        if value is None:
            raise _NoValue
        marks = 0
        while self.peek() in ("_", "'"):
            marks += 1 if self.take() == "'" else self.subscript()
        return value * (1 + 0.137 * marks)

    def subscript(self) -> float:
        """Read a subscript: a number that tells the letter apart from the same letter with another one."""
        if self.peek() != "{":
            return _name_number(self.take())
        depth, name = 0, ""
        while True:
            token = self.take()
            if not token:
                raise _NoValue
            depth += (token == "{") - (token == "}")
            name += token
            if depth == 0:
                return _name_number(name[1:-1])

    def command(self, name: str) -> complex:
        if name == "pi":
            return complex(math.pi)
        if name in GREEK:
            return self.letter(name)
        if name == "frac":
            above = self.argument()
            return above / self.argument()
        if name == "sqrt":
            root = self.group("[", "]") if self.peek() == "[" else 2
            return self.argument() ** (1 / root)
        if name == "binom":
            return _binomial(self.argument(), self.argument())
        if name in ("lfloor", "lceil", "lvert"):
            value = self.sum()
            self.expect("\\r" + name[1:])
            return complex({"lfloor": math.floor, "lceil": math.ceil, "lvert": abs}[name](_real(value)))
        if name in _FUNCTIONS:
            return self.function(name)
        raise _NoValue

    def function(self, name: str) -> complex:
        apply = _FUNCTIONS[name]
        if name == "log" and self.peek() == "_":
            self.take()
            base = self.argument()
            apply = lambda z: cmath.log(z) / cmath.log(base)  # noqa: E731
        power: complex = 1
        if self.peek() == "^":
            self.take()
            power = self.argument()
            if power == -1:
                raise _NoValue  # the inverse function or the reciprocal
        return apply(self.inside()) ** power

    def inside(self) -> complex:
        """Read the argument of a function: a group, or factors up to the next sign or function."""
        if self.peek() in ("(", "[", "{"):
            return self.power()
        value = self.signed()
        while self.starts_factor(self.peek()) and self.peek()[1:] not in _FUNCTIONS and self.peek() not in ("(", "[", "{"):
            value *= self.power()
        return value


def _name_number(name: str) -> float:
    return sum(ord(char) * (place + 1) for place, char in enumerate(name)) / 97.0


def _real(value: complex) -> float:
    if abs(value.imag) > 1e-9 or abs(value) > 1e15:
        raise _NoValue
    return value.real


def _power(base: complex, exponent: complex) -> complex:
    return 1 + 0j if exponent == 0 else base**exponent


def _factorial(value: complex) -> complex:
    number = _real(value)
    if not -0.5 < number < 150:
        raise _NoValue
    return complex(math.gamma(number + 1))


def _binomial(n: complex, k: complex) -> complex:
    return _factorial(n) / (_factorial(k) * _factorial(n - k))
