"""The value of an expression tree: exact where it is rational, to any number of digits elsewhere, never without bounds.

Sizes are checked *before* an operation is carried out: a power tower, a factorial or a long sum raises ``TooLarge`` instead
of being computed. Whatever goes wrong in the arithmetic, only ``Undefined`` and ``TooLarge`` leave this module.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import cache
from operator import add, mul, truediv
from typing import Any, NamedTuple, TypeAlias

from hero_rl.verifiers.math.functions import MAX_BITS, NotReal, TooLarge, Undefined, exact_value, function_value
from hero_rl.verifiers.math.tree import Node, counter, opaque_name
from hero_rl.verifiers.math.tree import symbols as symbols
from hero_rl.verifiers.math.tree import walk as walk

Value: TypeAlias = Any
"""A ``Fraction`` while exact, else a number of the context in use: float and complex, or mpmath's mpf and mpc."""

MAX_FRACTION_BITS = 16_384
"""The same limit where there is a denominator: reducing a fraction costs more than multiplying integers."""
MAX_MAGNITUDE_BITS = 1_000_000
"""Floating-point numbers beyond 2 to this power are ``TooLarge``."""
MAX_STEPS = 2_500
"""Terms of sums and products per evaluation of a constant, nested ones included."""
MAX_STEPS_AT_POINT = 150
"""The same per evaluation of a function at one of many points."""
DIGITS = 50


class Measured(NamedTuple):
    """A value, and how large and how small the numbers on the way to it were."""

    value: Value
    high: int
    """The largest magnitude that occurred, as a power of two."""
    low: int


@cache
def digits_of(digits: int) -> Any:
    """Return an mpmath context of so many digits that nobody else uses."""
    import mpmath

    context = mpmath.MPContext()
    context.dps = digits
    return context


def precise() -> Any:
    """Return the mpmath context of ``DIGITS`` digits."""
    return digits_of(DIGITS)


@cache
def fast() -> Any:
    """Return the context of machine numbers."""
    import mpmath

    return mpmath.fp


def lifted(value: Value, context: Any = None) -> Value:
    """Return a fraction as a number of a context, of ``precise()`` where none is given; any other number as it is."""
    context = context or precise()
    return context.mpf(value.numerator) / context.mpf(value.denominator) if type(value) is Fraction else value


def evaluate(tree: Node, values: Mapping[str, Value], context: Any, *, log_base: int = 0, real: bool = False) -> Value:
    """Return the value of a tree.

    Args:
        tree: the expression, without plus-minus signs.
        values: a number for each of ``symbols(tree)``.
        context: ``fast()``, ``precise()`` or ``digits_of(...)``.
        log_base: what ``log`` without a base means; 0: natural.
        real: a step on the way whose value is not real makes the whole undefined, as in real analysis.

    Raises:
        Undefined: there is no value, or (``TooLarge``) it is out of bounds.
    """
    return measure(tree, values, context, log_base=log_base, real=real).value


def measure(tree: Node, values: Mapping[str, Value], context: Any, *, log_base: int = 0, real: bool = False) -> Measured:
    """The value of a tree as ``evaluate`` gives it, and the range of magnitudes on the way to it (0 to 0 in ``fast()``)."""
    evaluator = _Evaluator(values, context, log_base, real)
    try:
        value = evaluator.value(tree)
    except Undefined:
        raise
    except OverflowError as error:
        raise TooLarge(str(error)) from error
    except (ValueError, ArithmeticError, TypeError, NotImplementedError, AttributeError) as error:
        raise Undefined(str(error)) from error
    return Measured(value, evaluator.high, evaluator.low)


class _Evaluator:
    """One walk over a tree."""

    def __init__(self, values: Mapping[str, Value], context: Any, log_base: int, real: bool):
        self._real = real
        self._values = values
        self._context = context
        self._fast = context is fast()
        self._log_base = log_base
        self._steps = 0
        self._most_steps = MAX_STEPS_AT_POINT if values else MAX_STEPS
        self.high = self.low = 0

    def value(self, tree: Node) -> Value:
        if tree.op == "num":
            return tree.value if self._fast else self._sized(tree.value)
        return self._checked(getattr(self, f"_{tree.op}")(tree))

    def _sized(self, value: Value) -> Value:
        """Return the value; its magnitude is noted, and must not be out of bounds."""
        if value != 0:
            if type(value) is Fraction:
                size = value.numerator.bit_length() - value.denominator.bit_length()
            else:
                size = self._context.mag(value)
            if abs(size) > MAX_MAGNITUDE_BITS:
                raise TooLarge("beyond the largest magnitude")
            self.high, self.low = max(self.high, size), min(self.low, size)
        return value

    def _checked(self, value: Value) -> Value:
        if type(value) is Fraction:
            top, bottom = value.numerator.bit_length(), value.denominator.bit_length()
            if top <= MAX_BITS and (bottom == 1 or max(top, bottom) <= MAX_FRACTION_BITS):
                return value if self._fast else self._sized(value)
            value = self._float(value)
        if self._real and getattr(value, "imag", 0) != 0:
            raise NotReal("not real")
        if self._fast:
            if not (abs(value) < 1e300):
                raise TooLarge("beyond machine numbers")
            return value
        if not self._context.isfinite(value):
            raise Undefined("not finite")
        return self._sized(value)

    def _float(self, value: Value) -> Value:
        return lifted(value, self._context)

    def _both(self, operation: Callable[[Value, Value], Value], a: Value, b: Value) -> Value:
        """Apply an operation to two numbers, exactly where both are exact."""
        exact = type(a) is Fraction and type(b) is Fraction
        return operation(a, b) if exact else operation(self._float(a), self._float(b))

    def _sym(self, tree: Node) -> Value:
        if tree.name in self._values:
            return self._values[tree.name]
        if tree.name == "i":
            return self._context.mpc(0, 1)
        if tree.name in ("e", "pi"):
            return +getattr(self._context, tree.name)
        raise Undefined(f"{tree.op} {tree.name} has no value")

    _const = _pm = _mp = _sym

    def _call(self, tree: Node) -> Value:
        name = opaque_name(tree)
        return self._values[name] if name in self._values else self._seq(tree)

    def _seq(self, tree: Node) -> Value:
        """Return the value of an unknown sequence or function: any fixed number per index will do, the same each time."""
        indices = [self.value(arg) for arg in tree.args]
        if not all(isinstance(index, Fraction) for index in indices):
            raise Undefined("an index that is not rational")
        mark = zlib.crc32(f"{tree.name}{indices}".encode())
        return Fraction(3 + mark % 89, 7 + 2 * (mark >> 8) % 11)

    def _range(self, tree: Node) -> Value:
        first, last = self.value(tree.args[0]), self.value(tree.args[1])
        if not (isinstance(first, Fraction) and isinstance(last, Fraction)) or first.denominator != 1 or last.denominator != 1:
            raise Undefined("the ends of a sum are not whole")
        if last < first - 1 or (last < first and tree.name not in ("sum", "prod")):
            raise Undefined("the ends of a sum are in the wrong order")
        if last - first > self._most_steps:
            raise TooLarge("a sum of too many terms")
        name = counter(int(tree.value or 0)).name
        outer, total = self._values, None
        try:
            for at in range(int(first), int(last) + 1):
                self._steps += 1
                if self._steps > self._most_steps:
                    raise TooLarge("a sum of too many terms")
                self._values = {**outer, name: Fraction(at)}
                term = self.value(tree.args[2])
                total = term if total is None else self._checked(self._fold(tree.name, total, term))
        finally:
            self._values = outer
        return Fraction(tree.name == "prod") if total is None else total

    def _fold(self, name: str, total: Value, term: Value) -> Value:
        operation = {"sum": add, "prod": mul}.get(name)
        return self._apply(name, [total, term]) if operation is None else self._both(operation, total, term)

    def _add(self, tree: Node) -> Value:
        first, *others = tree.args
        total = self.value(first)
        for arg in others:
            total = self._both(add, total, self.value(arg))
        return total

    def _neg(self, tree: Node) -> Value:
        return -self.value(tree.args[0])

    def _mul(self, tree: Node) -> Value:
        product: Value | None = None
        too_large: TooLarge | None = None
        for arg in tree.args:
            try:
                factor = self.value(arg)
            except TooLarge as error:
                too_large = error
                continue
            product = factor if product is None else self._checked(self._both(mul, product, factor))
        if too_large is not None and product != 0:
            raise too_large
        return Fraction(1) if product is None else product

    def _div(self, tree: Node) -> Value:
        top, bottom = self.value(tree.args[0]), self.value(tree.args[1])
        if bottom == 0:
            raise Undefined("division by zero")
        return self._both(truediv, top, bottom)

    def _pct(self, tree: Node) -> Value:
        return self._both(mul, self.value(tree.args[0]), Fraction(1, 100))

    def _deg(self, tree: Node) -> Value:
        return self._float(self.value(tree.args[0])) * self._context.pi / 180

    def _pow(self, tree: Node) -> Value:
        base, exponent = tree.args
        if base.op != "sym" or base.name != "e" or "e" in self._values:
            return self._power(self.value(base), self.value(exponent))
        power = self.value(exponent)
        if abs(power) * 1.4427 > MAX_MAGNITUDE_BITS:
            raise TooLarge("a power beyond the largest magnitude")
        return Fraction(1) if power == 0 else self._context.exp(self._float(power))

    def _root(self, tree: Node) -> Value:
        degree = self.value(tree.args[1])
        if degree == 0:
            raise Undefined("a root of degree 0")
        inverse = 1 / degree if isinstance(degree, Fraction) else 1 / self._float(degree)
        return self._power(self.value(tree.args[0]), inverse)

    def _power(self, base: Value, exponent: Value) -> Value:
        if base == 0:
            if isinstance(exponent, Fraction) and exponent > 0:
                return Fraction(0)
            raise Undefined("a power of zero")
        if isinstance(exponent, Fraction):
            exact = _exact_power(base, exponent) if isinstance(base, Fraction) else None
            if exact is not None:
                return exact
            if exponent.denominator % 2 == 1 and exponent.denominator > 1 and not getattr(base, "imag", 0) and base.real < 0:
                return (-1 if exponent.numerator % 2 else 1) * self._power(-base, exponent)
        a, b = self._float(base), self._float(exponent)
        size = abs(self._context.log(abs(a))) * abs(b) / math.log(2)
        if size > MAX_MAGNITUDE_BITS:
            raise TooLarge("a power beyond the largest magnitude")
        if isinstance(exponent, Fraction) and exponent.denominator == 1:
            return a ** int(exponent)
        return self._context.power(a, b)

    def _fn(self, tree: Node) -> Value:
        return self._apply(tree.name, [self.value(arg) for arg in tree.args])

    def _apply(self, name: str, args: list[Value]) -> Value:
        exact = exact_value(name, args)
        if exact is not None:
            return exact
        return function_value(name, [self._float(arg) for arg in args], self._context, self._log_base)


def _exact_power(base: Fraction, exponent: Fraction) -> Fraction | None:
    """Return the power where it is rational and of bounded size; None elsewhere."""
    bits = max(base.numerator.bit_length(), base.denominator.bit_length())
    limit = MAX_BITS if base.denominator == 1 and exponent > 0 else MAX_FRACTION_BITS
    if abs(exponent.numerator) * (bits - 1) > limit or exponent.denominator > 12:
        if base == -1 and exponent.denominator == 1:
            return base if exponent.numerator % 2 else -base
        return base if base == 1 else None
    degree = exponent.denominator
    if degree > 1:
        if base < 0:
            return None
        root = Fraction(_integer_root(base.numerator, degree), _integer_root(base.denominator, degree))
        if root**degree != base:
            return None
        base = root
    return base**exponent.numerator


def _integer_root(value: int, degree: int) -> int:
    """Return the integer part of the root of a positive integer, by Newton's method."""
    root = 1 << -(-value.bit_length() // degree)
    while (closer := ((degree - 1) * root + value // root ** (degree - 1)) // degree) < root:
        root = closer
    return root
