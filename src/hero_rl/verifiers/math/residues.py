"""Exact comparison of rational constants too large to be written out: their residues modulo a few large primes.

Unequal residues prove two numbers different. Equal residues modulo all four primes (2 to the 244 together) mean equal for
every pair that is not made from the primes themselves.
"""

from __future__ import annotations

from fractions import Fraction

from hero_rl.verifiers.math.evaluate import TooLarge, Undefined, evaluate, precise
from hero_rl.verifiers.math.tree import Node

_PRIMES = (2**61 - 1, 2_305_843_009_213_693_921, 2_305_843_009_213_693_907, 2_305_843_009_213_693_723)
_MAX_FACTORIAL = 20_000


def same_residues(a: Node, b: Node) -> bool | None:
    """Whether two constants are equal modulo each prime; None where one is not built from rational operations alone."""
    try:
        return all(_residue(a, prime) == _residue(b, prime) for prime in _PRIMES)
    except (Undefined, ZeroDivisionError, ValueError):
        return None


def _residue(tree: Node, prime: int) -> int:
    if tree.op == "num" and tree.value is not None:
        return _quotient(tree.value.numerator, tree.value.denominator, prime)
    if tree.op == "add":
        return sum(_residue(arg, prime) for arg in tree.args) % prime
    if tree.op == "neg":
        return -_residue(tree.args[0], prime) % prime
    if tree.op == "mul":
        product = 1
        for arg in tree.args:
            product = product * _residue(arg, prime) % prime
        return product
    if tree.op == "div":
        return _quotient(_residue(tree.args[0], prime), _residue(tree.args[1], prime), prime)
    if tree.op == "pow":
        return _power(tree.args[0], tree.args[1], prime)
    if tree.op == "fn" and tree.name == "factorial":
        return _factorial(_whole(tree.args[0]), prime)
    raise Undefined(f"no residue of {tree.op}")


def _quotient(top: int, bottom: int, prime: int) -> int:
    if bottom % prime == 0:
        raise Undefined("a denominator that the prime divides")
    return top * pow(bottom, -1, prime) % prime


def _power(base: Node, exponent: Node, prime: int) -> int:
    bottom, power = _residue(base, prime), _exponent(exponent, prime - 1)
    if bottom == 0:
        raise Undefined("a power of zero")
    return pow(bottom, power, prime)


def _exponent(tree: Node, modulus: int) -> int:
    """A whole exponent modulo the order of the group, a tower of powers included."""
    if tree.op == "pow":
        base, exponent = _whole(tree.args[0]), _whole(tree.args[1])
        if exponent < 0:
            raise Undefined("an exponent that is not whole")
        return pow(base, exponent, modulus)
    return _whole(tree) % modulus


def _whole(tree: Node) -> int:
    value = evaluate(tree, {}, precise())
    if not isinstance(value, Fraction):
        raise TooLarge("an exponent beyond the largest integer")
    if value.denominator != 1:
        raise Undefined("an exponent that is not whole")
    return int(value)


def _factorial(n: int, prime: int) -> int:
    if n < 0:
        raise Undefined("the factorial of a negative integer")
    if n > _MAX_FACTORIAL:
        raise TooLarge("a factorial of a large number")
    product = 1
    for factor in range(2, n + 1):
        product = product * factor % prime
    return product
