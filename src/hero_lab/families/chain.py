"""Short arithmetic: ``^4*6-5:4H`` is ((4 * 6) - 5) / 4, worked from left to right.

A response is the two intermediate results and the answer, ``24;19;4.75``; the answer is a number in one of five forms.
Mistakes belong to skills: 6 for step 1 (operator x size of the right operand), 6 for step 2, and 15 for writing the
answer (form x divisor). Every seed deals the same fixed list of error rates to the skills in another order. Rates
drawn independently a seed make the starting policy's accuracy so uneven (0.19 to 0.46 in a trial) that the effect of
a reward rule drowns in it.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from itertools import product, starmap
from typing import Literal, NamedTuple, TypeAlias, get_args

from hero_lab.family import SLIPS, Family, Rates, Tag, deal, digits_in_words

Form: TypeAlias = Literal["decimal", "fraction", "percent", "mixed", "scaled"]
FORMS: tuple[Form, ...] = get_args(Form)
_APPLY = {"+": operator.add, "-": operator.sub, "*": operator.mul}
OPERATORS = tuple(_APPLY)
DIVISORS = (2, 4, 5)
OPERANDS = range(1, 7)
LARGEST_RESULT = 30
STEP_ERROR_RATES = (0.03, 0.08, 0.15, 0.25, 0.4, 0.6)
FORM_ERROR_RATES = (0.05, 0.25, 0.5)
_LARGE_OPERAND = 4
_SLIP_CUTS = (0.4, 0.8, 0.9)
"""Cumulative probabilities of the slips: several wrong results, each rarer than the right one."""


class ChainProblem(NamedTuple):
    """((a op1 b) op2 c) / d."""

    a: int
    op1: str
    b: int
    op2: str
    c: int
    d: int

    @property
    def step1(self) -> int:
        """A op1 b."""
        return _APPLY[self.op1](self.a, self.b)

    @property
    def step2(self) -> int:
        """(A op1 b) op2 c."""
        return _APPLY[self.op2](self.step1, self.c)

    @property
    def value(self) -> Fraction:
        """The exact answer."""
        return Fraction(self.step2, self.d)

    @property
    def steps(self) -> tuple[str, ...]:
        """Both intermediate results."""
        return str(self.step1), str(self.step2)

    def prompt(self, tag: Tag, /) -> str:
        """The nine characters that the policy reads."""
        return f"^{self.a}{self.op1}{self.b}{self.op2}{self.c}:{self.d}{tag}"

    def render(self, form: int, /) -> str:
        """The answer in the form of that number; 0 is the decimal."""
        return render(self.value, FORMS[form])

    def in_words(self) -> str:
        """The answer spelled out, as a fraction: ``one nine over four``."""
        return f"{digits_in_words(self.value.numerator)} over {digits_in_words(self.value.denominator)}"

    def accepts(self, answer: str, /) -> bool:
        """Whether the text is a number exactly equal to the answer."""
        return parse_answer(answer) == self.value

    def write(self, form: int, rates: Rates, draws: Sequence[float], /) -> str:
        """One worked response, ``24;19;4.75``, where a mistake in a step is carried on into the next."""
        first = self.step1
        if draws[0] < rates["step1", self.op1, self.b >= _LARGE_OPERAND]:
            first = _slip(first, draws[1], largest=LARGEST_RESULT + 6)
        second = min(max(_APPLY[self.op2](first, self.c), 0), 99)
        if draws[2] < rates["step2", self.op2, self.c >= _LARGE_OPERAND]:
            second = _slip(second, draws[3], largest=99)
        top = second
        if draws[4] < rates["form", FORMS[form], self.d]:
            top = _slip(second, draws[5], largest=99)
        return f"{first};{second};{_rendered(top, self.d, FORMS[form])}"


@lru_cache(maxsize=1)
def all_problems() -> tuple[ChainProblem, ...]:
    """Every problem whose intermediate results are in 1..30 and whose answer is not a whole number."""
    problems = starmap(ChainProblem, product(OPERANDS, OPERATORS, OPERANDS, OPERATORS, OPERANDS, DIVISORS))
    return tuple(
        problem
        for problem in problems
        if 1 <= problem.step1 <= LARGEST_RESULT and 1 <= problem.step2 <= LARGEST_RESULT and problem.step2 % problem.d
    )


@lru_cache(maxsize=65_536)
def render(value: Fraction, form: Form) -> str:
    """The value written in one of the five forms: 19/4 is ``4.75``, ``19/4``, ``475%``, ``4_3/4`` or ``38/8``.

    Only for values that are not negative and whose denominator divides 100.
    """
    top, bottom = value.numerator, value.denominator
    if form == "decimal":
        whole, hundredths = divmod(top * (100 // bottom), 100)
        return f"{whole}.{hundredths:02d}".rstrip("0").rstrip(".")
    if form == "fraction":
        return f"{top}/{bottom}"
    if form == "percent":
        return f"{top * (100 // bottom)}%"
    if form == "mixed":
        whole, rest = divmod(top, bottom)
        return f"{whole}_{rest}/{bottom}"
    return f"{2 * top}/{2 * bottom}"


@lru_cache(maxsize=8192)
def _rendered(top: int, bottom: int, form: Form) -> str:
    return render(Fraction(top, bottom), form)


_ANSWER = re.compile(r"(?:(?P<whole>\d+)_)?(?P<top>\d+)/(?P<bottom>\d+)|(?P<number>\d+(?:\.\d+)?)(?P<percent>%?)")


@lru_cache(maxsize=65_536)
def parse_answer(text: str) -> Fraction | None:
    """The exact value of an answer in any of the five forms; None where it is none of them."""
    match = _ANSWER.fullmatch(text)
    if match is None or not text.isascii():
        return None
    if match["number"] is not None:
        value = Fraction(match["number"])
        return value / 100 if match["percent"] else value
    bottom = int(match["bottom"])
    if bottom == 0:
        return None
    return Fraction(int(match["whole"] or 0)) + Fraction(int(match["top"]), bottom)


def deal_error_rates(seed: int) -> Rates:
    """Deal the fixed lists of rates at random to the skills."""
    sized = [(operator, large) for operator in OPERATORS for large in (False, True)]
    steps = [((step,), sized, STEP_ERROR_RATES) for step in ("step1", "step2")]
    forms = [(("form", name), [(divisor,) for divisor in DIVISORS], FORM_ERROR_RATES) for name in FORMS]
    return deal(seed, [*steps, *forms])


def _slip(value: int, draw: float, *, largest: int) -> int:
    """A wrong whole number near ``value``, in 1..largest."""
    slip = SLIPS[sum(draw >= cut for cut in _SLIP_CUTS)]
    return value + slip if 1 <= value + slip <= largest else value - slip


CHAIN = Family(
    name="chain",
    prompt_length=9,
    response_length=14,  # `30;29;14_1/2` and its end token make 13
    alphabet="^0123456789+-*:;.%/_VH",
    junk="0123456789;;./%_",
    forms=len(FORMS),
    steps=2,
    draws=6,
    problems=all_problems,
    deal_error_rates=deal_error_rates,
)
