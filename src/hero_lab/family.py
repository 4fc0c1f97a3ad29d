"""The shape of a task family: problems with an exact oracle, several ways to write an answer, and systematic mistakes.

    chain      ((4 * 6) - 5) / 4                   a number in five forms
    equations  |x - 3| / 2 = 4 or < 4              a set of two roots, or an interval, in five forms each
    units      2 pieces of 1 foot, and 5 inches    a quantity in five forms

In all of them a response is worked steps and the answer, separated by semicolons, and the last character of a prompt is its
tag: ``V`` (verifiable) wants the answer in the first form, ``H`` (hard to verify) takes any form.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

import numpy as np
from pydantic import ConfigDict

CHECKED = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
"""Of all settings: a dataclass of pydantic refuses what is not of a field's type."""
TaskName: TypeAlias = Literal["chain", "equations", "units"]
Tag: TypeAlias = Literal["V", "H"]
Skill: TypeAlias = tuple[str | int | bool, ...]
Rates: TypeAlias = Mapping[Skill, float]
"""How often demonstrations go wrong, by skill. Probabilities in [0, 1]."""

SLIPS = (1, -1, 2, -2)
DIGIT_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


class Problem(Protocol):
    """One problem of a family. Hashable, and equal to another of the same numbers."""

    @property
    def steps(self) -> tuple[str, ...]:
        """The worked steps before the answer, as a right response has them."""
        ...

    def prompt(self, tag: Tag, /) -> str:
        """Return the policy's input: the same number of characters for every problem of the family."""
        ...

    def render(self, form: int, /) -> str:
        """The right answer in the form of that number; form 0 is the one that ``V`` prompts want."""
        ...

    def in_words(self) -> str:
        """The right answer in a form outside the policy's alphabet."""
        ...

    def accepts(self, answer: str, /) -> bool:
        """Whether the text is the right answer, in whatever form: the oracle."""
        ...

    def write(self, form: int, rates: Rates, draws: Sequence[float], /) -> str:
        """One worked response; uniform ``draws`` in [0, 1) say whether and how each part of it goes wrong."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Family:
    """A task family. Its problems know how they are written; this is what is the same for all of them."""

    name: TaskName
    prompt_length: int
    """Characters of every prompt, so that no batch is ever padded on the left."""
    response_length: int
    """Most tokens of a response, the end token included."""
    alphabet: str
    """Every character of prompts and responses, in the order of their token ids."""
    junk: str
    """Characters that garbled responses are spoilt with, more likely where repeated."""
    forms: int
    """Ways of writing an answer."""
    steps: int
    """Worked steps before the answer."""
    draws: int
    """Uniform numbers that ``Problem.write`` takes."""
    problems: Callable[[], tuple[Problem, ...]]
    """All of them, always in the same order."""
    deal_error_rates: Callable[[int], Rates]
    """The family's fixed lists of error rates, dealt at random to the skills of a seed."""

    @property
    def sequence_length(self) -> int:
        """Tokens of the longest prompt with response."""
        return self.prompt_length + self.response_length


def digits_in_words(number: int) -> str:
    """A whole number digit by digit.

    >>> digits_in_words(-42)
    'minus four two'
    """
    digits = " ".join(DIGIT_WORDS[int(digit)] for digit in str(abs(number)))
    return f"minus {digits}" if number < 0 else digits


def slip_of(value: int, draw: float, *, least: int = 0, most: float = math.inf) -> int:
    """A wrong whole number near ``value``, in least..most."""
    slip = SLIPS[int(draw * len(SLIPS))]
    return value + slip if least <= value + slip <= most else value - slip


def deal(seed: int, lists: Sequence[tuple[Skill, Sequence[Skill], Sequence[float]]]) -> Rates:
    """Deal rates at random; ``lists`` has what some skills begin with, how they go on, and the rates of these."""
    rng = np.random.default_rng([seed, 2])
    return {
        (*prefix, *skill): rate
        for prefix, skills, rates in lists
        for skill, rate in zip(skills, rng.permutation(rates).tolist(), strict=True)
    }
