"""Exact comparison of rational constants too large to be written out: their residues modulo a few large primes.

Unequal residues prove two numbers different. Equal residues modulo all four primes (2 to the 244 together) mean equal for
every pair that is not made from the primes themselves.
"""

from __future__ import annotations

import math
from fractions import Fraction

from hero_rl.verifiers.math.evaluate import TooLarge, Undefined, evaluate, precise
from hero_rl.verifiers.math.tree import Node

_PRIMES = (2**61 - 1, 2_305_843_009_213_693_921, 2_305_843_009_213_693_907, 2_305_843_009_213_693_723)
_MAX_FACTORIAL = 20_000


def same_residues(a: Node, b: Node) -> bool | None:
    """Return whether two constants are equal modulo each prime; None where one is not built from rational operations alone."""
    try:
        return all(_residue(a, prime) == _residue(b, prime) for prime in _PRIMES)
    except (Undefined, ZeroDivisionError, ValueError):
        return None


def _residue(tree: Node, prime: int) -> int:
    if tree.op == "num" and tree.value is not None:
        return _quotient(tree.value.numerator, tree.value.denominator, prime)
    if tree.op == "fn" and tree.name == "factorial":
        return _factorial(_whole(tree.args[0])) % prime
    if tree.op == "pow":
        bottom, exponent = _residue(tree.args[0], prime), _exponent(tree.args[1], prime - 1)
        if bottom == 0:
            raise Undefined("a power of zero")
        return pow(bottom, exponent, prime)
    if tree.op not in ("add", "neg", "mul", "div"):
        raise Undefined(f"no residue of {tree.op}")
    args = [_residue(arg, prime) for arg in tree.args]
    if tree.op == "div":
        return _quotient(args[0], args[1], prime)
    return (sum(args) if tree.op == "add" else -args[0] if tree.op == "neg" else math.prod(args)) % prime


def _quotient(top: int, bottom: int, prime: int) -> int:
    if bottom % prime == 0:
        raise Undefined("a denominator that the prime divides")
    return top * pow(bottom, -1, prime) % prime


def _exponent(tree: Node, modulus: int) -> int:
    """Return a whole exponent modulo the order of the group, a tower of powers included."""
    if tree.op != "pow":
        return _whole(tree) % modulus
    base, exponent = _whole(tree.args[0]), _whole(tree.args[1])
    if exponent < 0:
        raise Undefined("an exponent that is not whole")
    return pow(base, exponent, modulus)


def _whole(tree: Node) -> int:
    value = evaluate(tree, {}, precise())
    if not isinstance(value, Fraction):
        raise TooLarge("an exponent beyond the largest integer")
    if value.denominator != 1:
        raise Undefined("an exponent that is not whole")
    return int(value)


def _factorial(n: int) -> int:
    if not 0 <= n <= _MAX_FACTORIAL:
        raise Undefined("the factorial of a negative or a large number")
    return math.factorial(n)
