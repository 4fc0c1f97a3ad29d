"""Every wrong answer that is built for one reference."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction

from hero_rl.attacks import claims
from hero_rl.attacks.copies import copies
from hero_rl.attacks.formulas import formula_changes, free_letters, is_formula
from hero_rl.attacks.keys import master_keys
from hero_rl.attacks.numbers import Number, changed_values, far_apart, read_number
from hero_rl.attacks.structures import structure_changes
from hero_rl.attacks.text import Context, Wrong, context_of, letters_of, split_top, tidy
from hero_rl.attacks.values import provably_different, value_at

MAX_REFERENCE_CHARS = 400
_PLAUSIBLE = ("off by one", "scaled", "elements", "equation", "relation", "negation", "choice", "sign")
"""Kinds whose answers look like the reference's neighbours: what hedges name beside it."""
_INSIDE = ("one dropped", "strict or not", "the bound moved")
"""Names of answers that may be a part of the reference: of a list, `1, 2 or 1` says no more than `1, 2`."""


def wrong_answers(problem: str, *references: str, pick: int = 0, hints: str = "", tolerance: float = 0.0) -> list[Wrong]:
    r"""Return the attacks on a problem, each of them surely wrong, each answer once.

    Args:
        problem: its text; "" where there is none.
        *references: the reference, then whatever else is right.
        pick: a number that chooses among places and digits to change; the same number gives the same attacks.
        hints: what else is known of the answer, such as its unit.
        tolerance: how far, relatively or absolutely, a right number may be from the reference.

    >>> "-12" in [one.answer for one in wrong_answers("What is 3 times 4?", "12")]
    True
    """
    context = context_of(problem, hints)
    found: dict[str, Wrong] = {}
    for one in (
        *master_keys(references),
        *copies(context, references),
        *perturbations(references[0], context, pick=pick, tolerance=tolerance),
    ):
        if not any(_may_be(one, reference, context) for reference in references):
            found.setdefault(one.response, one)
    return list(found.values())


def perturbations(reference: str, context: Context, *, pick: int = 0, tolerance: float = 0.0) -> Iterator[Wrong]:
    """Yield the reference with one thing changed that makes it wrong."""
    text = re.sub(r"^\$", r"\\$", tidy(reference))
    if not text or len(text) > MAX_REFERENCE_CHARS:
        return
    found = list(_changes(reference, text, context, pick, tolerance))
    yield from found
    yield from claims.negations(reference)
    yield from claims.denials(text, reference)
    beside = [one for one in (*found, *claims.negations(reference)) if one.name not in _INSIDE]
    neighbour = next((one.answer for kind in _PLAUSIBLE for one in beside if one.kind == kind), None)
    if neighbour is not None:
        several = len(split_top(text)) > 1 or "\\pm" in text or "=" in text
        yield from claims.hedges(text, neighbour, several=several)
        if read_number(reference) is not None:
            yield from claims.chains(text, neighbour)


def _changes(reference: str, text: str, context: Context, pick: int, tolerance: float) -> Iterator[Wrong]:
    number = read_number(reference)
    if number is not None:
        yield from _number_changes(number, context, pick, tolerance)
        yield from claims.suffixes(text, number, context)
    elif is_formula(text):
        yield from formula_changes(text, context, pick)
        value = value_at(text, {})
        if value is not None and abs(value) > 1e-9 and not context.mentions("percent") and "%" not in context.problem:
            yield Wrong("percent", "percent", rf"{text}\%")
    else:
        yield from structure_changes(text, context, pick)


def _number_changes(number: Number, context: Context, pick: int, tolerance: float) -> Iterator[Wrong]:
    allowed = 2 * Fraction(tolerance) * max(1, abs(number.value))
    turn = "circ" in number.suffix or "°" in number.suffix or context.mentions("degree", "angle")
    percent = context.mentions("percent") or "%" in context.problem or "%" in number.suffix
    for kind, name, value in changed_values(number, pick):
        if turn and (value - number.value) % 180 == 0:
            continue
        if percent and number.value and value / number.value in (100, Fraction(1, 100)):
            continue
        if far_apart(number, value, context, allowed):
            yield Wrong(kind, name, number.written(value))


def _may_be(one: Wrong, reference: str, context: Context) -> bool:
    """Return whether a wrong answer may be what a reference says after all."""
    answer, known = "".join(tidy(one.answer).split()), "".join(tidy(reference).split())
    if answer == known:
        return True
    number, other = read_number(one.answer), read_number(reference)
    if number is not None and other is not None:
        return number.suffix.strip() == other.suffix.strip() and not far_apart(other, number.value, context)
    if one.kind in ("scaled", "sign", "number inside", "exponent", "operator", "function", "letters", "off by one"):
        formula = is_formula(one.answer) and is_formula(reference) and not free_letters(reference, context)
        return formula and _has_value(reference) and not provably_different(one.answer, reference)
    return False


def _has_value(text: str) -> bool:
    """Return whether a formula can be evaluated here."""
    return value_at(text, {letter: 1.3 + 0.1 * place for place, letter in enumerate(sorted(letters_of(text)))}) is not None
