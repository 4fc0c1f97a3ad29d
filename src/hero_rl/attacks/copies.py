"""Copies: what stands in the problem, handed in as the answer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from hero_rl.attacks.numbers import far_apart, read_number
from hero_rl.attacks.text import BARE, Context, Wrong, letters_of, math_spans, squeezed, tidy
from hero_rl.attacks.values import provably_different, same_value

MOST = 4
"""Copies of each kind per problem."""
MAX_CHARS = 120
MAX_PROBLEM_CHARS = 2000
_RELATION = re.compile(r"=|<|>|\\(?:leq?|geq?|neq?|in|equiv|approx|sim|to|rightarrow|mapsto|colon)(?![A-Za-z])|:|;")
_NUMBER = re.compile(r"(?<![\w.^_\\{])-?\d+(?:\.\d+)?(?![\w.}])")


def copies(context: Context, references: tuple[str, ...]) -> Iterator[Wrong]:
    """Yield equations, formulas and numbers of the problem that are surely not the reference, and the problem itself."""
    spans = [span for span in math_spans(context.problem) if len(span) <= MAX_CHARS and "[asy]" not in span]
    equations = [span for span in spans if span.count("=") == 1 and not re.search(r"[<>,]|\\[gln]eq?(?![A-Za-z])|\\text", span)]
    yield from islice((Wrong("copied equation", one, one) for one in equations if _is_unsolved(one, references)), MOST)
    formulas = [span for span in spans if not _RELATION.search(span) and len(squeezed(span)) > 2 and read_number(span) is None]
    yield from islice((Wrong("copied formula", one, one) for one in formulas if _differs(one, references)), MOST)
    numbers = list(dict.fromkeys(_NUMBER.findall(context.problem)))
    yield from islice((Wrong("copied number", one, one) for one in numbers if _is_other(one, context, references)), MOST)
    problem = context.problem.strip()
    if 20 < len(problem) <= MAX_PROBLEM_CHARS and r"\boxed" not in problem and not _names(problem, references):
        yield Wrong("copied problem", "the problem", problem, BARE)


def _is_unsolved(equation: str, references: tuple[str, ...]) -> bool:
    """Return whether an equation of the problem is no answer: no side is the reference, and no reference is an equation."""
    sides = [tidy(side) for side in equation.split("=")]
    for reference in references:
        plain = tidy(reference)
        if _RELATION.search(plain) or squeezed(plain) in map(squeezed, sides):
            return False
        if "," not in plain and r"\text" not in plain and not all(provably_different(side, plain) for side in sides):
            return False
    return True


def _differs(formula: str, references: tuple[str, ...]) -> bool:
    """Return whether a formula of the problem is no answer: it has letters and the reference is a number, or it differs."""
    for reference in references:
        if squeezed(formula) == squeezed(reference):
            return False
        if read_number(reference) is not None and _is_open(formula) and not same_value(formula, reference):
            continue
        if not provably_different(formula, reference):
            return False
    return True


def _is_open(formula: str) -> bool:
    """Return whether a formula has letters that stand for something unknown."""
    plain = re.fullmatch(r"[\w\s+\-*/^(){}]+", formula.replace("\\frac", "").replace("\\sqrt", "").replace("\\cdot", ""))
    return plain is not None and bool(letters_of(formula) - {"e", "i", "d"}) and "_" not in formula


def _is_other(number: str, context: Context, references: tuple[str, ...]) -> bool:
    read = read_number(number)
    if read is None:
        return False
    for reference in references:
        known = read_number(reference)
        if known is None and number.lstrip("-") in reference and letters_of(tidy(reference)):
            return False
        if known is None:
            # a number is no formula, list or word; of a formula it may be the value
            if not letters_of(tidy(reference)) and not provably_different(number, reference) and "," not in reference:
                return False
        elif not far_apart(known, read.value, context):
            return False
    return True


def _names(problem: str, references: tuple[str, ...]) -> bool:
    """Return whether the problem may end with the reference, as one with its answer in it does."""
    tail = squeezed(problem[-60:])
    return any(squeezed(reference) in tail for reference in references)
