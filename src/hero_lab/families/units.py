"""Quantities with units: ``^2*1f+5iH`` is 2 pieces of 1 foot, and 5 inches.

A response is all pieces in the smaller unit, these with the rest, and the answer, ``24;29;29i``; the answer is a quantity in
one of five forms. Mistakes belong to skills: the factor between the units (one skill per pair of units: a wrong factor, the
wrong direction, a slip), joining the rest (operator x size: added instead of taken away, a slip), and writing the answer
(operator x form: the units exchanged, a slip).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import lru_cache
from itertools import product
from typing import NamedTuple

from hero_lab.family import Family, Rates, Tag, deal, digits_in_words, slip_of

COUNTS = range(1, 10)
"""Of pieces, and of large units in each."""
RESTS = range(1, 7)
"""Small units that are added or taken away."""
OPERATORS = ("+", "-")
LARGEST_RESULT = 50
LARGEST_WRITTEN = 99
"""Wrong results may be larger than any right one."""
FORMS = 5
BASE: Mapping[str, tuple[str, int]] = {
    "y": ("length", 36), "f": ("length", 12), "i": ("length", 1),
    "g": ("volume", 8), "q": ("volume", 2), "p": ("volume", 1),
    "w": ("time", 7), "d": ("time", 1),
}  # fmt: skip
"""Yards, feet and inches; gallons, quarts and pints; weeks and days: the kind, and how many of its smallest unit."""
WRONG_FACTOR: Mapping[str, int] = {"yf": 12, "fi": 10, "gq": 8, "qp": 4, "gp": 4, "wd": 5}
"""The pairs of units that are converted, larger first, and the factor that is mistaken for the right one."""
_NAMES: Mapping[str, str] = {
    "y": "yards", "f": "feet", "i": "inches", "g": "gallons", "q": "quarts", "p": "pints", "w": "weeks", "d": "days",
}  # fmt: skip
FACTOR_ERROR_RATES = (0.02, 0.05, 0.1, 0.15, 0.25, 0.45)
JOIN_ERROR_RATES = (0.03, 0.08, 0.15, 0.6)
"""In the worst skill adding is likelier than taking away, or the other way round, so that greedy decoding is wrong there."""
FORM_ERROR_RATES = (0.02, 0.06, 0.12, 0.2, 0.4)
_P_WRONG_FACTOR, _P_WRONG_DIRECTION = 0.4, 0.2
"""Of mistakes in the factor; the others are slips of one or two."""
_P_WRONG_OPERATOR = 0.7
_P_EXCHANGED_UNITS = 0.4
_LARGE_OPERAND = 4


class UnitProblem(NamedTuple):
    """A pieces of b large units, and c small units more or less."""

    a: int
    b: int
    large: str
    operator: str
    c: int
    small: str

    @property
    def factor(self) -> int:
        """Small units in a large one."""
        return BASE[self.large][1] // BASE[self.small][1]

    @property
    def converted(self) -> int:
        """All pieces together, in small units."""
        return self.a * self.b * self.factor

    @property
    def total(self) -> int:
        """The answer in small units."""
        return _joined(self.converted, self.operator, self.c)

    @property
    def steps(self) -> tuple[str, ...]:
        """All pieces in small units, and these with the small units added or taken away."""
        return str(self.converted), str(self.total)

    def prompt(self, tag: Tag, /) -> str:
        """The nine characters that the policy reads."""
        return f"^{self.a}*{self.b}{self.large}{self.operator}{self.c}{self.small}{tag}"

    def render(self, form: int, /) -> str:
        """The answer in the form of that number; 0 is small units, ``29i``."""
        return render(self.total, self.factor, self.large, self.small, form)

    def in_words(self) -> str:
        """The answer spelled out, in small units: ``two nine inches``."""
        return f"{digits_in_words(self.total)} {_NAMES[self.small]}"

    def accepts(self, answer: str, /) -> bool:
        """Whether the text is exactly the same quantity, in whatever units."""
        kind, base = BASE[self.small]
        return parse_answer(answer) == (kind, Fraction(self.total * base))

    def write(self, form: int, rates: Rates, draws: Sequence[float], /) -> str:
        """One worked response, ``24;29;29i``, where a mistake in a step is carried on into the next."""
        converted = self.converted
        if draws[0] < rates["factor", self.large + self.small]:
            converted = self._converted_wrongly(draws[1])
        total = _joined(converted, self.operator, self.c)
        if draws[2] < rates["join", self.operator, self.c >= _LARGE_OPERAND]:
            other = _joined(converted, "-" if self.operator == "+" else "+", self.c)
            total = (
                other
                if draws[3] < _P_WRONG_OPERATOR
                else slip_of(total, _rescaled(draws[3], _P_WRONG_OPERATOR), most=LARGEST_WRITTEN)
            )
        total = written = min(max(total, 0), LARGEST_WRITTEN)
        large, small = self.large, self.small
        if draws[4] < rates["form", self.operator, form]:
            if draws[5] < _P_EXCHANGED_UNITS:
                large, small = small, large
            else:
                written = slip_of(total, _rescaled(draws[5], _P_EXCHANGED_UNITS), most=LARGEST_WRITTEN)
        return f"{converted};{total};{render(written, self.factor, large, small, form)}"

    def _converted_wrongly(self, draw: float) -> int:
        """With a wrong factor, in the wrong direction, or with a slip."""
        wrong = self.a * self.b * WRONG_FACTOR[self.large + self.small]
        if draw < _P_WRONG_FACTOR and wrong <= LARGEST_WRITTEN:
            return wrong
        if _P_WRONG_FACTOR <= draw < _P_WRONG_FACTOR + _P_WRONG_DIRECTION:
            return self.a * self.b // self.factor
        return slip_of(self.converted, draw * 10 % 1, most=LARGEST_WRITTEN)


@lru_cache(maxsize=1)
def all_problems() -> tuple[UnitProblem, ...]:
    """Every problem whose results are in 1..50."""
    results = range(1, LARGEST_RESULT + 1)
    problems = (UnitProblem(a, b, large, operator, c, small)
                for a, b, (large, small), operator, c in product(COUNTS, COUNTS, WRONG_FACTOR, OPERATORS, RESTS))  # fmt: skip
    return tuple(problem for problem in problems if problem.converted in results and problem.total in results)


@lru_cache(maxsize=65_536)
def render(total: int, factor: int, large: str, small: str, form: int) -> str:
    """A number of small units as ``29i``, ``2f5i``, ``29/12f``, ``2.9e1i`` or ``5i2f``."""
    whole, rest = divmod(total, factor)
    scientific = f"{total}e0" if total < 10 else f"{total / 10:.1f}e1".replace(".0e", "e")
    return (
        f"{total}{small}",
        f"{whole}{large}{rest}{small}",
        f"{total}/{factor}{large}",
        f"{scientific}{small}",
        f"{rest}{small}{whole}{large}",
    )[form]


_TERM = re.compile(r"(?P<number>\d+(?:\.\d+)?)(?:e(?P<exponent>\d))?(?:/(?P<bottom>\d+))?(?P<unit>[a-z])")


@lru_cache(maxsize=65_536)
def parse_answer(text: str) -> tuple[str, Fraction] | None:
    """Kind and number of its smallest units, of a sum of quantities; None where it is none, or of several kinds."""
    if not text.isascii():
        return None
    place, total = 0, Fraction(0)
    kinds: set[str] = set()
    while place < len(text):
        match = _TERM.match(text, place)
        if match is None or match["unit"] not in BASE or int(match["bottom"] or 1) == 0:
            return None
        kind, base = BASE[match["unit"]]
        kinds.add(kind)
        total += Fraction(match["number"]) * 10 ** int(match["exponent"] or 0) / int(match["bottom"] or 1) * base
        place = match.end()
    return (kinds.pop(), total) if len(kinds) == 1 else None


def deal_error_rates(seed: int) -> Rates:
    """Deal the fixed lists of rates at random to the skills."""
    sized = [(operator, large) for operator in OPERATORS for large in (False, True)]
    forms = [(("form", operator), [(form,) for form in range(FORMS)], FORM_ERROR_RATES) for operator in OPERATORS]
    return deal(
        seed,
        [(("factor",), [(pair,) for pair in WRONG_FACTOR], FACTOR_ERROR_RATES), (("join",), sized, JOIN_ERROR_RATES), *forms],
    )


def _joined(converted: int, operator: str, small: int) -> int:
    return converted + small if operator == "+" else converted - small


def _rescaled(draw: float, lowest: float) -> float:
    """A uniform number in [lowest, 1) as one in [0, 1)."""
    return (draw - lowest) / (1.0 - lowest)


UNITS = Family(
    name="units",
    prompt_length=9,
    response_length=13,  # `24;99;9.9e1p` and its end token
    alphabet="^0123456789+-*;./eyfigqpwdVH",
    junk="0123456789;;./efipqd",
    forms=FORMS,
    steps=2,
    draws=6,
    problems=all_problems,
    deal_error_rates=deal_error_rates,
)
