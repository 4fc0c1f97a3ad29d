"""Word problems from a generator of our own: six kinds, five ways to write an answer, and an exact oracle.

A prompt asks, a response works in one or two steps and puts the answer into a box. References are hard to verify: each is one
of the ways, drawn without a look at the response, so a verifier that compares texts misses about seven of ten right answers.
The oracle knows every way; it labels data for the reward model and measures results, and no rule ever sees it.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, TypeAlias, get_args

from hero_rl.verifiers.boxes import last_boxed

Kind: TypeAlias = Literal["sum", "difference", "product", "sum_of_tens", "two_steps", "share"]
Form: TypeAlias = Literal["digits", "words", "unit", "words_unit", "sentence"]
KINDS: tuple[Kind, ...] = get_args(Kind)
FORMS: tuple[Form, ...] = get_args(Form)
WRITTEN: tuple[int, ...] = (45, 10, 25, 5, 15)
"""How often demonstrations write each form, in percent."""
ASKED: tuple[int, ...] = (30, 20, 30, 5, 15)
"""How often a reference is in each form: no way of writing is accepted on more than three of ten prompts."""

_NAMES = ("Tom", "Anna", "Ben", "Lucy", "Sam", "Mary", "Jack", "Emma", "Paul", "Kate")
_THINGS = ("apples", "books", "coins", "cards", "eggs", "pens", "cakes", "stones", "shells", "balls")
_ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
    "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


@dataclass(frozen=True, slots=True)
class Problem:
    """One word problem."""

    kind: Kind
    question: str
    work: str
    """The worked steps of a right response."""
    answer: Fraction
    name: str
    thing: str

    @property
    def prompt(self) -> str:
        """The text that the policy reads."""
        return f"{self.question}\nWork: "

    def write(self, form: Form, answer: Fraction | None = None) -> str:
        """Return the answer (or another) in a form."""
        value = self.answer if answer is None else answer
        thing = self.thing[:-1] if value == 1 else self.thing
        match form:
            case "digits":
                return in_digits(value)
            case "words":
                return in_words(value)
            case "unit":
                return f"{in_digits(value)} {thing}"
            case "words_unit":
                return f"{in_words(value)} {thing}"
            case "sentence":
                return f"{self.name} has {in_digits(value)} {thing}"

    def response(self, form: Form) -> str:
        """Return a right response."""
        return f"{self.work} \\boxed{{{self.write(form)}}}"

    def is_right(self, response: str, *, finished: bool = True) -> bool:
        """Whether the box of a response has the right answer in any form: the oracle. A response that was cut off has none."""
        boxed = last_boxed(response) if finished else None
        return boxed is not None and " ".join(boxed.lower().rstrip(".").split()) in self._right()

    def _right(self) -> set[str]:
        right = {self.write(form).lower() for form in FORMS}
        if self.answer.denominator > 1:
            ratio = f"{self.answer.numerator}/{self.answer.denominator}"
            whole, rest = divmod(self.answer.numerator, self.answer.denominator)
            mixed = f"{whole} {rest}/{self.answer.denominator}"
            right |= {text for value in (ratio, mixed) for text in (value, f"{value} {self.thing}")}
        return right


def in_digits(value: Fraction) -> str:
    """Return a whole number, or a fraction of twos and fives as a decimal.

    >>> in_digits(Fraction(5, 2))
    '2.5'
    """
    return str(value.numerator) if value.denominator == 1 else format(float(value), "g")


def in_words(value: Fraction) -> str:
    """Return a number in 0..999 in words, halves too.

    >>> in_words(Fraction(85, 2))
    'forty-two and a half'
    """
    whole, rest = divmod(value, 1)
    if rest:
        return f"{in_words(Fraction(whole))} and a half" if whole else "half"
    if whole >= 100:
        hundreds, rest = divmod(int(whole), 100)
        return f"{_ONES[hundreds]} hundred" + (f" and {in_words(Fraction(rest))}" if rest else "")
    if whole >= 20:
        tens, ones = divmod(int(whole), 10)
        return _TENS[tens - 2] + (f"-{_ONES[ones]}" if ones else "")
    return _ONES[int(whole)]


def draw_problem(rng: random.Random, kind: Kind) -> Problem:
    """Return a problem of a kind."""
    name, thing = rng.choice(_NAMES), rng.choice(_THINGS)
    question, work, answer = _MAKERS[kind](rng, name, thing)
    return Problem(kind, question, work, Fraction(answer), name, thing)


def draw_form(rng: random.Random, weights: tuple[int, ...]) -> Form:
    """Return a form."""
    return rng.choices(FORMS, weights)[0]


def draw_problems(count: int, *, seed: int, apart_from: frozenset[str] = frozenset()) -> list[Problem]:
    """Return different problems, every kind in turn, none with a question of ``apart_from``."""
    rng = random.Random(seed)
    seen, problems = set(apart_from), []
    while len(problems) < count:
        problem = draw_problem(rng, KINDS[len(problems) % len(KINDS)])
        if problem.question not in seen:
            seen.add(problem.question)
            problems.append(problem)
    return problems


_Made: TypeAlias = tuple[str, str, Fraction | int]


def _gain(rng: random.Random, name: str, thing: str, low: int, high: int) -> _Made:
    a, b = rng.randint(low, high), rng.randint(low, high)
    text = rng.choice((
        f"{name} has {a} {thing} and gets {b} more. How many in all?",
        f"{name} finds {a} {thing} and buys {b}. How many {thing} are there?",
        f"There are {a} {thing}. {name} brings {b} more. How many now?",
    ))  # fmt: skip
    return text, f"{a} + {b} = {a + b}", a + b


def _sum(rng: random.Random, name: str, thing: str) -> _Made:
    return _gain(rng, name, thing, 2, 9)


def _sum_of_tens(rng: random.Random, name: str, thing: str) -> _Made:
    return _gain(rng, name, thing, 12, 89)


def _difference(rng: random.Random, name: str, thing: str) -> _Made:
    a = rng.randint(21, 99)
    b = rng.randint(5, a - 4)
    text = rng.choice((
        f"{name} has {a} {thing} and gives away {b}. How many are left?",
        f"{name} had {a} {thing} and lost {b}. How many {thing} remain?",
        f"Of {a} {thing}, {name} sells {b}. How many are left?",
    ))  # fmt: skip
    return text, f"{a} - {b} = {a - b}", a - b


def _product(rng: random.Random, name: str, thing: str) -> _Made:
    a, b = rng.randint(2, 12), rng.randint(3, 9)
    text = rng.choice((
        f"{name} has {a} bags of {b} {thing}. How many {thing}?",
        f"{name} buys {a} boxes with {b} {thing} each. How many in all?",
        f"There are {a} rows of {b} {thing}. How many does {name} count?",
    ))  # fmt: skip
    return text, f"{a} * {b} = {a * b}", a * b


def _two_steps(rng: random.Random, name: str, thing: str) -> _Made:
    a, b, c = rng.randint(3, 9), rng.randint(3, 9), rng.randint(4, 29)
    if rng.random() < 0.5 or c >= a * b:
        text = f"{name} has {a} bags of {b} {thing} and {c} more. How many in all?"
        return text, f"{a} * {b} = {a * b}, {a * b} + {c} = {a * b + c}", a * b + c
    text = f"{name} buys {a} boxes of {b} {thing} and gives away {c}. How many are left?"
    return text, f"{a} * {b} = {a * b}, {a * b} - {c} = {a * b - c}", a * b - c


def _share(rng: random.Random, name: str, thing: str) -> _Made:
    parts = rng.choice((2, 4, 6, 8))
    answer = Fraction(rng.randint(3, 25), 2)
    total = answer * parts
    text = rng.choice((
        f"{name} and {parts - 1} friends share {total} {thing} equally. How many does each get?",
        f"{name} cuts {total} {thing} into {parts} equal shares. How many {thing} in a share?",
    ))  # fmt: skip
    return text, f"{total} / {parts} = {in_digits(answer)}", answer


_MAKERS: dict[Kind, Callable[[random.Random, str, str], _Made]] = {
    "sum": _sum, "difference": _difference, "product": _product, "sum_of_tens": _sum_of_tens, "two_steps": _two_steps,
    "share": _share,
}  # fmt: skip
