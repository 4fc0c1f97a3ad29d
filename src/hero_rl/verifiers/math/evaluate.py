"""The value of an expression tree, exactly where it is rational, to 50 digits elsewhere; never more than a bounded effort.

Sizes are checked *before* an operation is carried out: a power tower, a factorial or a long product raises ``TooLarge``
instead of being computed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from functools import cache
from typing import Any, TypeAlias

from hero_rl.verifiers.math.syntax import Node

Value: TypeAlias = Any
"""A ``Fraction`` while exact, else a number of the context in use: float and complex, or mpmath's mpf and mpc."""

MAX_BITS = 8_192
"""Exact integers beyond this size go over to floating point."""
MAX_MAGNITUDE_BITS = 1_000_000
"""Floating-point numbers beyond 2 to this power are ``TooLarge``."""
MAX_EXACT_FACTORIAL = 700
DIGITS = 50


class Undefined(ValueError):
    """The expression has no value here: a division by zero, a logarithm of zero, an infinity."""


class TooLarge(Undefined):
    """The value is too large to be computed within the limits."""


@cache
def precise() -> Any:
    """An mpmath context of ``DIGITS`` digits that nobody else uses."""
    import mpmath

    context = mpmath.MPContext()
    context.dps = DIGITS
    return context


@cache
def fast() -> Any:
    """The context of machine numbers."""
    import mpmath

    return mpmath.fp


def walk(tree: Node) -> Iterator[Node]:
    """Every node of a tree."""
    stack = [tree]
    while stack:
        node = stack.pop()
        yield node
        stack.extend(node.args)


CONSTANTS = frozenset("ei")


def symbols(tree: Node) -> frozenset[str]:
    """The names that need a value: variables, and applications of unknown functions as a whole."""
    if tree.op == "call":
        return frozenset((opaque_name(tree),))
    if tree.op == "sym":
        return frozenset() if tree.name in CONSTANTS else frozenset((tree.name,))
    return frozenset().union(*(symbols(arg) for arg in tree.args))


def opaque_name(call: Node) -> str:
    """The name under which the value of ``f(...)`` is looked up."""
    return f"{call.name}({_spelled(call.args[0])})"


def _spelled(tree: Node) -> str:
    inner = ",".join(_spelled(arg) for arg in tree.args)
    return f"{tree.op}{tree.name if tree.op != 'num' else ''}{tree.value or ''}({inner})"


def evaluate(tree: Node, values: Mapping[str, Value], context: Any, *, log_base: int = 0, real: bool = False) -> Value:
    """The value of a tree.

    Args:
        tree: the expression, without plus-minus signs.
        values: a number for each of ``symbols(tree)``.
        context: ``fast()`` or ``precise()``.
        log_base: what ``log`` without a base means; 0: natural.
        real: a step on the way whose value is not real makes the whole undefined, as in real analysis.

    Raises:
        Undefined: there is no value, or (``TooLarge``) it is out of bounds.
    """
    try:
        return _Evaluator(values, context, log_base, real).value(tree)
    except (OverflowError, ValueError, ZeroDivisionError, ArithmeticError, TypeError, NotImplementedError) as error:
        if isinstance(error, Undefined):
            raise
        raise (TooLarge if isinstance(error, OverflowError) else Undefined)(str(error)) from error


class _Evaluator:
    """One walk over a tree."""

    def __init__(self, values: Mapping[str, Value], context: Any, log_base: int, real: bool):
        self._real = real
        self._values = values
        self._context = context
        self._log_base = log_base

    def value(self, tree: Node) -> Value:
        if tree.op == "num":
            return tree.value
        return self._checked(getattr(self, f"_{tree.op}")(tree))

    def _checked(self, value: Value) -> Value:
        if isinstance(value, Fraction):
            if max(value.numerator.bit_length(), value.denominator.bit_length()) <= MAX_BITS:
                return value
            value = self._float(value)
        if self._real and getattr(value, "imag", 0) != 0:
            raise Undefined("not real")
        if self._context is fast():
            if not (abs(value) < 1e300):
                raise TooLarge("beyond machine numbers")
        elif value != 0 and abs(self._context.mag(value)) > MAX_MAGNITUDE_BITS:
            raise TooLarge("beyond the largest magnitude")
        elif not self._context.isfinite(value):
            raise Undefined("not finite")
        return value

    def _float(self, value: Value) -> Value:
        if isinstance(value, Fraction):
            return self._context.mpf(value.numerator) / self._context.mpf(value.denominator)
        return value

    def _sym(self, tree: Node) -> Value:
        if tree.name in self._values:
            return self._values[tree.name]
        if tree.name == "e":
            return +self._context.e
        if tree.name == "i":
            return self._context.mpc(0, 1)
        raise Undefined(f"{tree.name} has no value")

    def _const(self, tree: Node) -> Value:
        if tree.name == "pi":
            return +self._context.pi
        raise Undefined("infinite")

    def _pm(self, tree: Node) -> Value:
        raise Undefined("a plus-minus sign has two values")

    _mp = _pm

    def _call(self, tree: Node) -> Value:
        return self._values[opaque_name(tree)]

    def _add(self, tree: Node) -> Value:
        total: Value = Fraction(0)
        for arg in tree.args:
            total = self._plus(total, self.value(arg))
        return total

    def _plus(self, a: Value, b: Value) -> Value:
        if isinstance(a, Fraction) and isinstance(b, Fraction):
            return a + b
        return self._float(a) + self._float(b)

    def _neg(self, tree: Node) -> Value:
        return -self.value(tree.args[0])

    def _mul(self, tree: Node) -> Value:
        product: Value = Fraction(1)
        too_large: TooLarge | None = None
        for arg in tree.args:
            try:
                factor = self.value(arg)
            except TooLarge as error:
                too_large = error
                continue
            product = self._checked(self._times(product, factor))
        if too_large is not None and product != 0:
            raise too_large
        return product

    def _times(self, a: Value, b: Value) -> Value:
        if isinstance(a, Fraction) and isinstance(b, Fraction):
            return a * b
        return self._float(a) * self._float(b)

    def _div(self, tree: Node) -> Value:
        top, bottom = self.value(tree.args[0]), self.value(tree.args[1])
        if bottom == 0:
            raise Undefined("division by zero")
        if isinstance(top, Fraction) and isinstance(bottom, Fraction):
            return top / bottom
        return self._float(top) / self._float(bottom)

    def _pct(self, tree: Node) -> Value:
        return self._times(self.value(tree.args[0]), Fraction(1, 100))

    def _deg(self, tree: Node) -> Value:
        return self._float(self.value(tree.args[0])) * self._context.pi / 180

    def _pow(self, tree: Node) -> Value:
        return self._power(self.value(tree.args[0]), self.value(tree.args[1]))

    def _root(self, tree: Node) -> Value:
        degree = self.value(tree.args[1])
        if degree == 0:
            raise Undefined("a root of degree 0")
        inverse = 1 / degree if isinstance(degree, Fraction) else 1 / self._float(degree)
        return self._power(self.value(tree.args[0]), inverse)

    def _power(self, base: Value, exponent: Value) -> Value:
        if base == 0:
            return self._power_of_zero(exponent)
        if isinstance(base, Fraction) and isinstance(exponent, Fraction):
            exact = _exact_power(base, exponent)
            if exact is not None:
                return exact
            if base < 0 and exponent.denominator % 2 == 1 and exponent.denominator > 1:
                sign = -1 if exponent.numerator % 2 else 1
                return sign * self._power(-base, exponent)
        a, b = self._float(base), self._float(exponent)
        size = abs(self._context.log(abs(a))) * abs(b) / math.log(2)
        if size > MAX_MAGNITUDE_BITS:
            raise TooLarge("a power beyond the largest magnitude")
        if isinstance(exponent, Fraction) and exponent.denominator == 1:
            return a ** int(exponent)
        return self._context.power(a, b)

    def _power_of_zero(self, exponent: Value) -> Value:
        if isinstance(exponent, Fraction) and exponent > 0:
            return Fraction(0)
        if exponent == 0:
            return Fraction(1)
        raise Undefined("a power of zero")

    def _fn(self, tree: Node) -> Value:
        args = [self.value(arg) for arg in tree.args]
        exact = _EXACT.get(tree.name)
        if exact is not None and all(isinstance(arg, Fraction) for arg in args):
            value = exact(*args)
            if value is not None:
                return value
        return self._function(tree.name, [self._float(arg) for arg in args])

    def _function(self, name: str, args: list[Value]) -> Value:
        context = self._context
        if name in ("sinh", "cosh", "exp", "sin", "cos", "tan", "cot", "sec", "csc") and abs(args[0]) > 1e6:
            raise TooLarge(f"{name} of a large number")
        if name in ("log", "lg"):
            return self._log(name, args)
        if name == "abs":
            return abs(args[0])
        if name in ("floor", "ceil"):
            _demand_real(args[0])
            return Fraction(int(getattr(context, name)(args[0])))
        if name in ("max", "min"):
            for arg in args:
                _demand_real(arg)
            return (max if name == "max" else min)(args)
        if name == "factorial":
            return self._gamma(args[0] + 1)
        if name == "binom":
            n, k = args
            return self._gamma(n + 1) / self._gamma(k + 1) / self._gamma(n - k + 1)
        return getattr(context, _NAMES.get(name, name))(args[0])

    def _log(self, name: str, args: list[Value]) -> Value:
        if args[0] == 0:
            raise Undefined("the logarithm of 0")
        if len(args) == 2:
            bottom = self._context.log(args[1])
        else:
            base = 10 if name == "lg" else self._log_base
            bottom = self._context.log(base) if base else 1
        if bottom == 0:
            raise Undefined("a logarithm to base 1")
        return self._context.log(args[0]) / bottom

    def _gamma(self, value: Value) -> Value:
        if abs(value) > 60_000:
            raise TooLarge("a factorial of a large number")
        return self._context.gamma(value)


_NAMES = {"ln": "log", "arcsin": "asin", "arccos": "acos", "arctan": "atan", "arccot": "acot"}


def _demand_real(value: Value) -> None:
    if getattr(value, "imag", 0) != 0:
        raise Undefined("an order among complex numbers")


def _exact_power(base: Fraction, exponent: Fraction) -> Fraction | None:
    """The power where it is rational and of bounded size; None elsewhere."""
    bits = max(base.numerator.bit_length(), base.denominator.bit_length())
    if abs(exponent.numerator) * bits > MAX_BITS or exponent.denominator > 12:
        return Fraction(base) if base == 1 else None
    if exponent.denominator > 1:
        if base < 0:
            return None
        top, bottom = _root_of(base.numerator, exponent.denominator), _root_of(base.denominator, exponent.denominator)
        if top is None or bottom is None:
            return None
        base = Fraction(top, bottom)
    return base**exponent.numerator


def _root_of(value: int, degree: int) -> int | None:
    root = math.isqrt(value) if degree == 2 else round(value ** (1 / degree)) if value < 1 << 900 else 0
    return root if root**degree == value else None


def _exact_factorial(n: Fraction) -> Fraction | None:
    if n.denominator == 1 and n < 0:
        raise Undefined("the factorial of a negative integer")
    return Fraction(math.factorial(int(n))) if n.denominator == 1 and n <= MAX_EXACT_FACTORIAL else None


def _exact_binomial(n: Fraction, k: Fraction) -> Fraction | None:
    if k.denominator != 1 or not 0 <= k <= 200:
        return None
    product = Fraction(1)
    for step in range(int(k)):
        product *= (n - step) / (step + 1)
    return product


def _exact_whole(function: Callable[..., int]) -> Callable[..., Fraction | None]:
    def value(*args: Fraction) -> Fraction | None:
        return Fraction(function(*(int(arg) for arg in args))) if all(arg.denominator == 1 for arg in args) else None

    return value


def _special(values: Mapping[int, int]) -> Callable[[Fraction], Fraction | None]:
    """A function known exactly at a few integers."""
    table = {Fraction(at): Fraction(value) for at, value in values.items()}
    return table.get


_EXACT: dict[str, Callable[..., Fraction | None]] = {
    "factorial": _exact_factorial,
    "binom": _exact_binomial,
    "abs": abs,
    "floor": lambda x: Fraction(math.floor(x)),
    "ceil": lambda x: Fraction(math.ceil(x)),
    "max": max,
    "min": min,
    "gcd": _exact_whole(math.gcd),
    "lcm": _exact_whole(math.lcm),
    "exp": _special({0: 1}),
    "ln": _special({1: 0}),
    "sin": _special({0: 0}),
    "cos": _special({0: 1}),
    "tan": _special({0: 0}),
}
