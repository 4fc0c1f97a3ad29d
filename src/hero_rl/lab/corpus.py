"""Demonstrations with systematic mistakes, and the labelled responses that a reward model learns from.

Mistakes belong to skills: 6 for step 1 (operator x size of the right operand), 6 for step 2, and 15 for writing the
answer (form x divisor). Every seed deals the same fixed list of error rates to the skills in another order. Rates
drawn independently a seed make the starting policy's accuracy so uneven (0.19 to 0.46 in a trial) that the effect of
a reward rule drowns in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np

from hero_rl.lab.task import (
    DIVISORS,
    FORMS,
    LARGEST_RESULT,
    OPERATORS,
    Form,
    Problem,
    Tag,
    apply_operator,
    render,
)

STEP_ERROR_RATES = (0.03, 0.08, 0.15, 0.25, 0.4, 0.6)
FORM_ERROR_RATES = (0.05, 0.25, 0.5)
_LARGE_OPERAND = 4
_SLIPS = (1, -1, 2, -2)
_SLIP_CUTS = (0.4, 0.8, 0.9)
"""Cumulative probabilities of the slips: several wrong results, each rarer than the right one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorRates:
    """How often demonstrations go wrong, by skill. Probabilities in [0, 1]."""

    step1: dict[tuple[str, bool], float]
    step2: dict[tuple[str, bool], float]
    form: dict[tuple[Form, int], float]

    def without_errors_below(self, cut: float) -> ErrorRates:
        """The same rates with every skill of at most ``cut`` made perfect: what a robust reward model knows."""
        return ErrorRates(
            step1={skill: rate * (rate > cut) for skill, rate in self.step1.items()},
            step2={skill: rate * (rate > cut) for skill, rate in self.step2.items()},
            form={skill: rate * (rate > cut) for skill, rate in self.form.items()},
        )


class Demonstration:
    """A prompt, a response to it, and the problem behind it."""

    __slots__ = ("problem", "response", "tag")

    def __init__(self, problem: Problem, tag: Tag, response: str) -> None:
        self.problem = problem
        self.tag: Tag = tag
        self.response = response

    @property
    def prompt(self) -> str:
        """The nine characters that the policy reads."""
        return self.problem.prompt(self.tag)


def deal_error_rates(seed: int) -> ErrorRates:
    """The fixed lists of rates, dealt at random to the skills."""
    rng = np.random.default_rng([seed, 2])
    skills = [(operator, large) for operator in OPERATORS for large in (False, True)]
    step1 = dict(zip(skills, rng.permutation(STEP_ERROR_RATES).tolist(), strict=True))
    step2 = dict(zip(skills, rng.permutation(STEP_ERROR_RATES).tolist(), strict=True))
    form: dict[tuple[Form, int], float] = {}
    for name in FORMS:
        for divisor, rate in zip(DIVISORS, rng.permutation(FORM_ERROR_RATES).tolist(), strict=True):
            form[name, divisor] = rate
    return ErrorRates(step1=step1, step2=step2, form=form)


def _slip(value: int, draw: float, *, largest: int) -> int:
    """A wrong whole number near ``value``, in 1..largest."""
    slip = _SLIPS[sum(draw >= cut for cut in _SLIP_CUTS)]
    return value + slip if 1 <= value + slip <= largest else value - slip


def write_response(problem: Problem, form: Form, rates: ErrorRates, draws: Sequence[float]) -> str:
    """One worked response, ``24;19;4.75``, where a mistake in a step is carried on into the next.

    Args:
        problem: what is worked out.
        form: how the answer is written.
        rates: how often each skill goes wrong.
        draws: six uniform numbers in [0, 1): whether and how each of the three parts goes wrong.
    """
    first = problem.step1
    if draws[0] < rates.step1[problem.op1, problem.b >= _LARGE_OPERAND]:
        first = _slip(first, draws[1], largest=LARGEST_RESULT + 6)
    second = min(max(apply_operator(first, problem.op2, problem.c), 0), 99)
    if draws[2] < rates.step2[problem.op2, problem.c >= _LARGE_OPERAND]:
        second = _slip(second, draws[3], largest=99)
    top = second
    if draws[4] < rates.form[form, problem.d]:
        top = _slip(second, draws[5], largest=99)
    return f"{first};{second};{_rendered(top, problem.d, form)}"


@lru_cache(maxsize=8192)
def _rendered(top: int, bottom: int, form: Form) -> str:
    return render(Fraction(top, bottom), form)


def demonstrations(problems: Sequence[Problem], count: int, rates: ErrorRates, rng: np.random.Generator) -> list[Demonstration]:
    """That many worked responses to random problems, half under each tag, forms uniform under ``H``."""
    picks = rng.integers(len(problems), size=count).tolist()
    hard = (rng.random(count) < 0.5).tolist()
    forms = rng.integers(len(FORMS), size=count).tolist()
    draws = rng.random((count, 6)).tolist()
    rows: list[Demonstration] = []
    for pick, is_hard, form, row in zip(picks, hard, forms, draws, strict=True):
        problem = problems[pick]
        chosen: Form = FORMS[form] if is_hard else "decimal"
        rows.append(Demonstration(problem, "H" if is_hard else "V", write_response(problem, chosen, rates, row)))
    return rows


def mismatched(rows: Sequence[Demonstration], rng: np.random.Generator) -> list[Demonstration]:
    """The same prompts, each with a response that was written for another prompt."""
    order = rng.permutation(len(rows)).tolist()
    return [Demonstration(row.problem, row.tag, rows[i].response) for row, i in zip(rows, order, strict=True)]


_JUNK_ALPHABET = "0123456789;;./%_"


def garbled(rows: Sequence[Demonstration], rng: np.random.Generator, *, longest: int = 13) -> list[Demonstration]:
    """The same prompts, each with a response spoilt by one to four random edits: characters in, out or replaced."""
    result: list[Demonstration] = []
    for row in rows:
        text = list(row.response)
        for _ in range(int(rng.integers(1, 5))):
            place = int(rng.integers(len(text) + 1))
            char = _JUNK_ALPHABET[int(rng.integers(len(_JUNK_ALPHABET)))]
            kind = int(rng.integers(4))
            if kind == 0:
                text.insert(place, char)
            elif kind == 1:
                del text[place : place + int(rng.integers(1, 6))]
            elif kind == 2:
                text[place : place + 1] = [char]
            else:
                cut = int(rng.integers(1, 6))
                text[place:place] = text[max(0, place - cut) : place]
        result.append(Demonstration(row.problem, row.tag, "".join(text)[:longest]))
    return result
