"""Demonstrations with systematic mistakes, and the spoilt ones that a reward model also learns from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hero_lab.families import CHAIN
from hero_lab.family import Family, Problem, Rates, Tag


class Demonstration(NamedTuple):
    """A response to a problem under a tag."""

    problem: Problem
    tag: Tag
    response: str

    @property
    def prompt(self) -> str:
        """The characters that the policy reads."""
        return self.problem.prompt(self.tag)


def without_errors_below(rates: Rates, cut: float) -> Rates:
    """The same rates with every skill of at most ``cut`` made perfect: what a robust reward model knows."""
    return {skill: rate * (rate > cut) for skill, rate in rates.items()}


def with_mistakes(rates: Rates, factor: float) -> Rates:
    """The same rates with their odds times ``factor``."""
    return {skill: factor * rate / (1.0 + (factor - 1.0) * rate) for skill, rate in rates.items()}  # at 1 exactly the same


def demonstrations(
    problems: Sequence[Problem], count: int, rates: Rates, rng: np.random.Generator, *, family: Family = CHAIN
) -> list[Demonstration]:
    """That many worked responses to random problems, half under each tag, forms uniform under ``H``."""
    picks = rng.integers(len(problems), size=count).tolist()
    hard = (rng.random(count) < 0.5).tolist()
    forms = rng.integers(family.forms, size=count).tolist()
    draws = rng.random((count, family.draws)).tolist()
    rows: list[Demonstration] = []
    for pick, is_hard, form, row in zip(picks, hard, forms, draws, strict=True):
        problem = problems[pick]
        rows.append(Demonstration(problem, "H" if is_hard else "V", problem.write(form if is_hard else 0, rates, row)))
    return rows


def mismatched(rows: Sequence[Demonstration], rng: np.random.Generator) -> list[Demonstration]:
    """The same prompts, each with a response that was written for another prompt."""
    order = rng.permutation(len(rows)).tolist()
    return [Demonstration(row.problem, row.tag, rows[i].response) for row, i in zip(rows, order, strict=True)]


def garbled(rows: Sequence[Demonstration], rng: np.random.Generator, *, family: Family = CHAIN) -> list[Demonstration]:
    """The same prompts, each with a response spoilt by one to four random edits: characters in, out or replaced."""
    junk, longest = family.junk, family.response_length - 1
    result: list[Demonstration] = []
    for row in rows:
        text = list(row.response)
        for _ in range(int(rng.integers(1, 5))):
            place = int(rng.integers(len(text) + 1))
            char = junk[int(rng.integers(len(junk)))]
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


def spoilt(
    rows: Sequence[Demonstration], p_each: float, rng: np.random.Generator, *, family: Family = CHAIN
) -> list[Demonstration]:
    """Return the rows, shuffled, where this share of the responses is mismatched and the same share garbled."""
    rows = [rows[i] for i in rng.permutation(len(rows)).tolist()]
    first = int(len(rows) * p_each)
    second = 2 * first
    rows = [*mismatched(rows[:first], rng), *garbled(rows[first:second], rng, family=family), *rows[second:]]
    return [rows[i] for i in rng.permutation(len(rows)).tolist()]
