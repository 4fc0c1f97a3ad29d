"""Quantities with units: ``^3*2f+5iH`` is 3 pieces of 2 feet, and 5 inches.

A response is the product in the larger unit, the same in the smaller unit, and the answer, ``6;72;77i``; the answer is a
quantity in one of five forms. Mistakes belong to skills: the product (size of both numbers), the factor between the units
(one skill a pair of units: a wrong factor, the wrong direction, a slip), and writing the answer (operator x form: added
instead of taken away, the other unit's name, a slip).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from hero_rl.lab.family import Family, Rates, Tag, digits_in_words

OPERANDS = range(1, 7)
PIECES = range(1, 10)
"""Small units that are added or taken away."""
OPERATORS = ("+", "-")
LARGEST_RESULT = 99
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
PRODUCT_ERROR_RATES = (0.05, 0.15, 0.25, 0.4)
FACTOR_ERROR_RATES = (0.03, 0.08, 0.15, 0.25, 0.4, 0.55)
FORM_ERROR_RATES = (0.05, 0.15, 0.25, 0.35, 0.5)
_LARGE_OPERAND = 4
_SLIPS = (1, -1, 2, -2)


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
    def product(self) -> int:
        """In large units, before the small ones are added."""
        return self.a * self.b

    @property
    def total(self) -> int:
        """The answer in small units."""
        return _joined(self.product * self.factor, self.operator, self.c)

    @property
    def steps(self) -> tuple[str, ...]:
        """The product in large units, and in small ones."""
        return str(self.product), str(self.product * self.factor)

    def prompt(self, tag: Tag, /) -> str:
        """The nine characters that the policy reads."""
        return f"^{self.a}*{self.b}{self.large}{self.operator}{self.c}{self.small}{tag}"

    def render(self, form: int, /) -> str:
        """The answer in the form of that number; 0 is small units, ``77i``."""
        return render(self.total, self.large, self.small, form)

    def in_words(self) -> str:
        """The answer spelled out, in small units: ``seven seven inches``."""
        return f"{digits_in_words(self.total)} {_NAMES[self.small]}"

    def accepts(self, answer: str, /) -> bool:
        """Whether the text is exactly the same quantity, in whatever units."""
        kind, base = BASE[self.small]
        return parse_answer(answer) == (kind, Fraction(self.total * base))

    def write(self, form: int, rates: Rates, draws: Sequence[float], /) -> str:
        """One worked response, ``6;72;77i``, where a mistake in a step is carried on into the next."""
        product = self.product
        if draws[0] < rates["product", self.a >= _LARGE_OPERAND, self.b >= _LARGE_OPERAND]:
            product = _slip(product, draws[1])
        converted = min(product * self.factor, LARGEST_RESULT)
        if draws[2] < rates["factor", self.large + self.small]:
            converted = self._converted_wrongly(product, converted, draws[3])
        total, large, small = _joined(converted, self.operator, self.c), self.large, self.small
        if draws[4] < rates["form", self.operator, form]:
            if draws[5] < 0.3:
                total = _joined(converted, "-" if self.operator == "+" else "+", self.c)
            elif draws[5] < 0.5:
                large, small = small, large
            else:
                total = _slip(total, (draws[5] - 0.5) * 2)
        return f"{product};{converted};{render(min(max(total, 0), LARGEST_RESULT), large, small, form, factor=self.factor)}"

    def _converted_wrongly(self, product: int, converted: int, draw: float) -> int:
        """With a wrong factor, in the wrong direction, or with a slip."""
        wrong = product * WRONG_FACTOR[self.large + self.small]
        if draw < 0.4 and wrong <= LARGEST_RESULT and wrong != converted:
            return wrong
        if 0.4 <= draw < 0.6:
            return product // self.factor
        return _slip(converted, draw % 0.2 * 5)


def _joined(converted: int, operator: str, small: int) -> int:
    return converted + small if operator == "+" else converted - small


@lru_cache(maxsize=1)
def all_problems() -> tuple[UnitProblem, ...]:
    """Every problem whose results are in 1..99, and whose answer is not a whole number of large units."""
    problems = (
        UnitProblem(a, b, large, operator, c, small)
        for a in OPERANDS
        for b in OPERANDS
        for large, small in WRONG_FACTOR
        for operator in OPERATORS
        for c in PIECES
    )
    return tuple(
        problem
        for problem in problems
        if problem.product * problem.factor <= LARGEST_RESULT
        and 1 <= problem.total <= LARGEST_RESULT
        and problem.total % problem.factor
    )


@lru_cache(maxsize=65_536)
def render(total: int, large: str, small: str, form: int, *, factor: int | None = None) -> str:
    """A number of small units as ``77i``, ``6f5i``, ``77/12f``, ``7.7e1i`` or ``5i6f``.

    Args:
        total: in small units, at least 0.
        large: name of the larger unit.
        small: name of the smaller unit.
        form: which of the five.
        factor: small units in a large one; None: what the names say.
    """
    factor = BASE[large][1] // BASE[small][1] if factor is None else factor
    whole, rest = divmod(total, factor)
    if form == 3:
        exponent = len(str(total)) - 1
        digits = f"{total / 10**exponent:.{exponent}f}".rstrip("0").rstrip(".") if exponent else str(total)
        return f"{digits}e{exponent}{small}"
    return (f"{total}{small}", f"{whole}{large}{rest}{small}", f"{total}/{factor}{large}", "", f"{rest}{small}{whole}{large}")[
        form
    ]


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
    """The fixed lists of rates, dealt at random to the skills."""
    rng = np.random.default_rng([seed, 2])
    rates: dict[tuple[str | int | bool, ...], float] = {}
    sizes = [(first, second) for first in (False, True) for second in (False, True)]
    for size, rate in zip(sizes, rng.permutation(PRODUCT_ERROR_RATES).tolist(), strict=True):
        rates["product", *size] = rate
    for pair, rate in zip(WRONG_FACTOR, rng.permutation(FACTOR_ERROR_RATES).tolist(), strict=True):
        rates["factor", pair] = rate
    for operator in OPERATORS:
        for form, rate in enumerate(rng.permutation(FORM_ERROR_RATES).tolist()):
            rates["form", operator, form] = rate
    return rates


def _slip(value: int, draw: float) -> int:
    """A wrong whole number near ``value``, in 0..99."""
    slip = _SLIPS[int(draw * len(_SLIPS))]
    return value + slip if 0 <= value + slip <= LARGEST_RESULT else value - slip


UNITS = Family(
    name="units",
    prompt_length=9,
    response_length=13,  # `36;72;7.8e1p` and its end token
    alphabet="^0123456789+-*;./eyfigqpwdVH",
    junk="0123456789;;./efipqd",
    forms=FORMS,
    steps=2,
    draws=6,
    problems=all_problems,
    deal_error_rates=deal_error_rates,
)
