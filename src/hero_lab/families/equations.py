"""Equations and inequalities in one unknown: ``^-3/2=4H`` is |x - 3| / 2 = 4, and ``^-3/2<4H`` is |x - 3| / 2 < 4.

A response is the distance of x from the middle and the answer, ``8;-5,11``: for an equation the set of its two roots, for an
inequality the open interval between them. Mistakes belong to skills: undoing the operation (operator x size of the right
side), the sign of the middle (sign x size), and writing the answer (relation x form), where roots get lost and ends slip.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import product, starmap
from typing import NamedTuple

from hero_lab.family import Family, Rates, Tag, deal, digits_in_words, slip_of

SIGNS = ("+", "-")
OPERATORS = ("+", "-", "/")
RELATIONS = ("=", "<")
OPERANDS = range(1, 7)
FORMS = 5
UNDOING_ERROR_RATES = (0.02, 0.04, 0.08, 0.12, 0.2, 0.4)
SIGN_ERROR_RATES = (0.02, 0.05, 0.1, 0.6)
"""In the worst skill the wrong sign is likelier than the right one, so that greedy decoding is wrong there."""
FORM_ERROR_RATES = (0.02, 0.04, 0.08, 0.15, 0.4)
_LARGE_OPERAND = 4
_P_WRONG_OPERATION = 0.4
"""Of mistakes in undoing: the operation is done again instead of undone. The others are slips of one or two."""
_P_LOST = 0.4
"""Of mistakes in writing: one root, or one side of the interval, is forgotten. The others are slips of one end."""


class Ends(NamedTuple):
    """A set of two roots, or the open interval between them."""

    is_interval: bool
    lower: int
    upper: int


class EquationProblem(NamedTuple):
    """|x sign b| operator d relation c."""

    sign: str
    b: int
    operator: str
    d: int
    relation: str
    c: int

    @property
    def middle(self) -> int:
        """The x whose absolute value is 0."""
        return self.b if self.sign == "-" else -self.b

    @property
    def distance(self) -> int:
        """How far the roots are from the middle; without any where it is not positive."""
        return undo(self.c, self.operator, self.d)

    @property
    def answer(self) -> Ends:
        """The roots, or the interval."""
        return Ends(self.relation == "<", self.middle - self.distance, self.middle + self.distance)

    @property
    def steps(self) -> tuple[str, ...]:
        """The distance from the middle."""
        return (str(self.distance),)

    def prompt(self, tag: Tag, /) -> str:
        """The eight characters that the policy reads."""
        return f"^{self.sign}{self.b}{self.operator}{self.d}{self.relation}{self.c}{tag}"

    def render(self, form: int, /) -> str:
        """The answer in the form of that number; 0 is ``-5,11`` or ``(-5,11)``."""
        return render(self.answer, form)

    def in_words(self) -> str:
        """The answer spelled out: ``minus five and one one``, or ``from minus five to one one``."""
        is_interval, lower, upper = self.answer
        ends = digits_in_words(lower), digits_in_words(upper)
        return "from {} to {}".format(*ends) if is_interval else " and ".join(ends)

    def accepts(self, answer: str, /) -> bool:
        """Whether the text is the same set of numbers."""
        found = parse_answer(answer)
        if isinstance(found, Middle):
            # 3~8 is what is 8 away from 3 for an equation, and what is nearer for an inequality.
            found = Ends(self.relation == "<", found.middle - found.distance, found.middle + found.distance)
        return found == self.answer

    def write(self, form: int, rates: Rates, draws: Sequence[float], /) -> str:
        """One worked response, ``8;-5,11``, where a mistake in the step is carried on."""
        distance = self.distance
        if draws[0] < rates["undo", self.operator, self.c >= _LARGE_OPERAND]:
            again = undo(self.c, {"+": "-", "-": "+", "/": "+"}[self.operator], self.d)
            is_slip = draws[1] >= _P_WRONG_OPERATION or again in (distance, 0) or again < 0
            distance = slip_of(distance, draws[2], least=1) if is_slip else again
        middle = self.middle
        if draws[3] < rates["sign", self.sign, self.b >= _LARGE_OPERAND]:
            middle = -middle
        found = Ends(self.relation == "<", middle - distance, middle + distance)
        if draws[4] >= rates["form", self.relation, form]:
            return f"{distance};{render(found, form)}"
        if draws[5] < _P_LOST:
            return f"{distance};{'x<' if found.is_interval else ''}{found.upper}"
        slip = 1 if draws[6] < 0.5 else -1
        found = found._replace(lower=found.lower + slip) if draws[7] < 0.5 else found._replace(upper=found.upper + slip)
        return f"{distance};{render(found, form)}"


class Middle(NamedTuple):
    """Numbers by their middle and their distance from it, ``3~8``."""

    middle: int
    distance: int


def undo(right: int, operator: str, number: int) -> int:
    """Return the x for which x operator number = right."""
    if operator == "+":
        return right - number
    return right + number if operator == "-" else right * number


@lru_cache(maxsize=1)
def all_problems() -> tuple[EquationProblem, ...]:
    """Every problem that has two roots."""
    problems = starmap(EquationProblem, product(SIGNS, OPERANDS, OPERATORS, OPERANDS, RELATIONS, OPERANDS))
    return tuple(problem for problem in problems if problem.distance > 0)


def render(ends: Ends, form: int) -> str:
    """A set of two as ``-5,11``, ``11,-5``, ``{-5,11}``, ``3~8`` or ``-5|11``.

    An interval as ``(-5,11)``, ``]-5,11[``, ``-5<x<11``, ``11>x>-5`` or ``-5..11``. Where ``3~8`` would need a half, the ends
    are not those of any right answer, and the middle is rounded down.
    """
    is_interval, lower, upper = ends
    if is_interval:
        return (f"({lower},{upper})", f"]{lower},{upper}[", f"{lower}<x<{upper}", f"{upper}>x>{lower}", f"{lower}..{upper}")[
            form
        ]
    middle = (lower + upper) // 2
    return (f"{lower},{upper}", f"{upper},{lower}", f"{{{lower},{upper}}}", f"{middle}~{upper - middle}", f"{lower}|{upper}")[
        form
    ]


_NUMBER = r"(-?\d+)"
_SETS = [re.compile(pattern) for pattern in (rf"{_NUMBER}[,|]{_NUMBER}", rf"\{{{_NUMBER},{_NUMBER}\}}")]
_INTERVALS = [
    re.compile(pattern)
    for pattern in (
        rf"\({_NUMBER},{_NUMBER}\)",
        rf"\]{_NUMBER},{_NUMBER}\[",
        rf"{_NUMBER}<x<{_NUMBER}",
        rf"{_NUMBER}\.\.{_NUMBER}",
    )
]
_DOWNWARD = re.compile(rf"{_NUMBER}>x>{_NUMBER}")
_MIDDLE = re.compile(rf"{_NUMBER}~(\d+)")


@lru_cache(maxsize=65_536)
def parse_answer(text: str) -> Ends | Middle | None:
    """Read a text in any of the forms; None where it is in none of them.

    A set is one whatever the order of its roots. An interval whose ends are the wrong way round is empty, and never right.
    """
    if not text.isascii():
        return None
    if match := _MIDDLE.fullmatch(text):
        return Middle(int(match[1]), int(match[2]))
    if match := _DOWNWARD.fullmatch(text):
        return Ends(True, int(match[2]), int(match[1]))
    for pattern in _INTERVALS:
        if match := pattern.fullmatch(text):
            return Ends(True, int(match[1]), int(match[2]))
    for pattern in _SETS:
        if match := pattern.fullmatch(text):
            return Ends(False, *sorted((int(match[1]), int(match[2]))))
    return None


def deal_error_rates(seed: int) -> Rates:
    """Deal the fixed lists of rates at random to the skills."""
    lists = [
        ((name,), [(value, large) for value in values for large in (False, True)], rates)
        for name, values, rates in (("undo", OPERATORS, UNDOING_ERROR_RATES), ("sign", SIGNS, SIGN_ERROR_RATES))
    ]
    forms = [(("form", relation), [(form,) for form in range(FORMS)], FORM_ERROR_RATES) for relation in RELATIONS]
    return deal(seed, [*lists, *forms])


EQUATIONS = Family(
    name="equations",
    prompt_length=8,
    response_length=12,  # `36;-42<x<30` and its end token
    alphabet="^0123456789+-/=<>;,(){}[]|~.xVH",
    junk="0123456789--;,,<>",
    forms=FORMS,
    steps=1,
    draws=8,
    problems=all_problems,
    deal_error_rates=deal_error_rates,
)
