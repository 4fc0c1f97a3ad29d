"""The functions that expressions may use: their exact values where there are any, and their values in a context."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any, TypeAlias

Value: TypeAlias = Any

MAX_EXACT_FACTORIAL = 3_000
MAX_EXACT_BINOMIAL = 3_000
MAX_BITS = 65_536
"""Exact integers beyond this size go over to floating point."""
_MAX_ANGLE = 1e6


class Undefined(ValueError):
    """The expression has no value here: a division by zero, a logarithm of zero, an infinity."""


class TooLarge(Undefined):
    """The value is too large to be computed within the limits."""


class NotReal(Undefined):
    """A step on the way has no real value."""


def exact_value(name: str, args: list[Value]) -> Fraction | None:
    """Return the exact value of a function of exact numbers; None where it has none or is not known."""
    function = _EXACT.get(name)
    if not all(isinstance(arg, Fraction) for arg in args):
        return None
    return _KNOWN.get((name, *args)) if function is None else function(*args)


def function_value(name: str, args: list[Value], context: Any, log_base: int) -> Value:
    """Return the value of a function of numbers of a context."""
    if name in _PERIODIC_OR_STEEP and abs(args[0]) > _MAX_ANGLE:
        raise TooLarge(f"{name} of a large number")
    if name in ("log", "lg", "lb"):
        return _logarithm(name, args, context, log_base)
    if name in ("floor", "ceil"):
        return Fraction(int(getattr(context, name)(_real(args[0]))))
    if name in ("max", "min"):
        return (max if name == "max" else min)([_real(arg) for arg in args])
    if name == "abs":
        return abs(args[0])
    if name == "sgn":
        return Fraction((_real(args[0]) > 0) - (args[0] < 0))
    if name == "factorial":
        return _gamma(args[0] + 1, context)
    if name == "binom":
        n, k = args
        return _gamma(n + 1, context) / _gamma(k + 1, context) / _gamma(n - k + 1, context)
    if name in _OF_ONE_NUMBER:
        return getattr(context, _OF_ONE_NUMBER[name])(args[0])
    raise (TooLarge if name in _WHOLE_ONLY else Undefined)(f"{name} of a number that is not whole")


_OF_ONE_NUMBER = {name: name for name in ("sin", "cos", "tan", "cot", "sec", "csc", "sinh", "cosh", "tanh", "exp")} | {
    "ln": "log", "coth": "coth", "sech": "sech", "csch": "csch", "arcsin": "asin", "arccos": "acos", "arctan": "atan",
    "arccot": "acot", "arcsec": "asec", "arccsc": "acsc", "arsinh": "asinh", "arcosh": "acosh", "artanh": "atanh",
}  # fmt: skip
"""Functions of one number, and how mpmath calls them."""
_PERIODIC_OR_STEEP = frozenset(("sinh", "cosh", "exp", "sin", "cos", "tan", "cot", "sec", "csc", "coth", "sech", "csch"))
_WHOLE_ONLY = frozenset(("gcd", "lcm", "doublefactorial", "perm"))


def _real(value: Value) -> Value:
    if getattr(value, "imag", 0) != 0:
        raise Undefined("an order among complex numbers")
    return value


def _logarithm(name: str, args: list[Value], context: Any, log_base: int) -> Value:
    if args[0] == 0:
        raise Undefined("the logarithm of 0")
    base = args[1] if len(args) == 2 else {"lg": 10, "lb": 2}.get(name, log_base)
    bottom = context.log(base) if base else 1
    if bottom == 0:
        raise Undefined("a logarithm to base 1")
    return context.log(args[0]) / bottom


def _gamma(value: Value, context: Any) -> Value:
    if abs(value) > 60_000:
        raise TooLarge("a factorial of a large number")
    return context.gamma(value)


def _factorial(n: Fraction) -> Fraction | None:
    if n.denominator == 1 and n < 0:
        raise Undefined("the factorial of a negative integer")
    return Fraction(math.factorial(int(n))) if n.denominator == 1 and n <= MAX_EXACT_FACTORIAL else None


def _double_factorial(n: Fraction) -> Fraction | None:
    if n.denominator != 1 or n < -1:
        raise Undefined("the double factorial of a number that is not whole")
    return Fraction(math.prod(range(int(n), 0, -2))) if n <= MAX_EXACT_FACTORIAL else None


def _binomial(n: Fraction, k: Fraction) -> Fraction | None:
    if k.denominator != 1 or n.numerator.bit_length() > 64:
        return None
    if k < 0 or (n.denominator == 1 and 0 <= n < k):
        return Fraction(0)
    if n.denominator == 1 and n > 0:
        k = min(k, n - k)
    if k > (MAX_EXACT_BINOMIAL if n.denominator == 1 else 200):
        return None
    if n.denominator == 1 and n >= 0:
        return Fraction(math.comb(int(n), int(k)))
    product = Fraction(1)
    for step in range(int(k)):
        product *= (n - step) / (step + 1)
    return product


def _permutations(n: Fraction, k: Fraction) -> Fraction | None:
    if not (n.denominator == k.denominator == 1) or n < 0 or k < 0:
        raise Undefined("permutations of a number that is not whole")
    return Fraction(math.perm(int(n), int(k))) if k <= MAX_EXACT_FACTORIAL and n.numerator.bit_length() <= 64 else None


def _whole(function: Callable[..., int]) -> Callable[..., Fraction | None]:
    def value(*args: Fraction) -> Fraction | None:
        if not all(arg.denominator == 1 for arg in args):
            raise Undefined("a number that is not whole")
        if sum(arg.numerator.bit_length() for arg in args) > MAX_BITS:
            raise TooLarge("a common multiple beyond the largest integer")
        return Fraction(function(*map(int, args)))

    return value


_EXACT: dict[str, Callable[..., Fraction | None]] = {
    "factorial": _factorial,
    "doublefactorial": _double_factorial,
    "binom": _binomial,
    "perm": _permutations,
    "abs": Fraction.__abs__,
    "sgn": lambda x: Fraction((x > 0) - (x < 0)),
    "floor": lambda x: Fraction(math.floor(x)),
    "ceil": lambda x: Fraction(math.ceil(x)),
    "max": max,
    "min": min,
    "gcd": _whole(math.gcd),
    "lcm": _whole(math.lcm),
}
_KNOWN: dict[tuple[Any, ...], Fraction] = {
    (name, at): Fraction(value)
    for name, at, value in (("exp", 0, 1), ("ln", 1, 0), ("sin", 0, 0), ("cos", 0, 1), ("tan", 0, 0))
}
