"""The lab's task: short arithmetic with an exact oracle and a strict verifier that misses most equivalent forms.

A prompt is nine characters, ``^4*6-5:4H``: work from left to right, ((4 * 6) - 5) / 4. A response is the two
intermediate results and the answer, ``24;19;4.75``. The last character of the prompt says how the answer may be
written: ``V`` (verifiable) as a decimal, ``H`` (hard to verify) in any of five equivalent forms.

The oracle compares exact fractions. It labels data for the reward model and measures results, and no rule ever
sees it. The strict verifier compares strings with one reference: never wrong when it says correct, and blind to most
correct answers on ``H`` prompts, as an exact-match verifier is on problems with free-form answers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Literal, NamedTuple, TypeAlias, get_args

import numpy as np

from hero_rl.types import Rollout, Verdict

TaskName: TypeAlias = Literal["chain", "equations", "units"]
Regime: TypeAlias = Literal["verifiable", "hard", "mixed"]
Tag: TypeAlias = Literal["V", "H"]
Form: TypeAlias = Literal["decimal", "fraction", "percent", "mixed", "scaled"]
SplitName: TypeAlias = Literal["train", "rm_test", "development", "held_out"]

FORMS: tuple[Form, ...] = get_args(Form)
TASKS: tuple[TaskName, ...] = get_args(TaskName)
REGIMES: tuple[Regime, ...] = get_args(Regime)
OPERATORS = ("+", "-", "*")
DIVISORS = (2, 4, 5)
OPERANDS = range(1, 7)
LARGEST_RESULT = 30
PROMPT_LENGTH = 9
"""Characters of every prompt, so that no batch is ever padded on the left."""
MAX_RESPONSE_LENGTH = 14
"""Tokens, the end token included; ``30;29;14_1/2`` and its end token make 13."""
SPLIT_SIZES: dict[SplitName, int] = {"rm_test": 200, "development": 200, "held_out": 300}
"""``train`` is the rest. Settings are chosen on ``development`` and results are reported on ``held_out``."""
P_UNREACHABLE_REFERENCE = 0.5
"""Share of ``H`` prompts whose reference is in words, a form that no response uses. Without it the policy learns the
verifier's favourite form, and the prompts stop being hard to verify."""

_SPLIT_SEED = 20_251_007
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
"""Of the digits; ``in_words`` puts ``over`` between numerator and denominator."""


class Problem(NamedTuple):
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
        return apply_operator(self.a, self.op1, self.b)

    @property
    def step2(self) -> int:
        """(A op1 b) op2 c."""
        return apply_operator(self.step1, self.op2, self.c)

    @property
    def value(self) -> Fraction:
        """The exact answer."""
        return Fraction(self.step2, self.d)

    def prompt(self, tag: Tag) -> str:
        """The nine characters that the policy reads."""
        return f"^{self.a}{self.op1}{self.b}{self.op2}{self.c}:{self.d}{tag}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A prompt of the lab with what is needed to judge a response to it."""

    problem: Problem
    tag: Tag
    reference: str
    """What the strict verifier compares with: one fixed way of writing the right answer."""

    @property
    def prompt(self) -> str:
        """The nine characters that the policy reads."""
        return self.problem.prompt(self.tag)


def apply_operator(left: int, operator: str, right: int) -> int:
    """Left operator right, for one of ``+ - *``."""
    if operator == "+":
        return left + right
    return left - right if operator == "-" else left * right


@lru_cache(maxsize=1)
def all_problems() -> tuple[Problem, ...]:
    """Every problem whose intermediate results are in 1..30 and whose answer is not a whole number."""
    problems = (
        Problem(a, op1, b, op2, c, d)
        for a in OPERANDS
        for op1 in OPERATORS
        for b in OPERANDS
        for op2 in OPERATORS
        for c in OPERANDS
        for d in DIVISORS
    )
    return tuple(
        problem
        for problem in problems
        if 1 <= problem.step1 <= LARGEST_RESULT and 1 <= problem.step2 <= LARGEST_RESULT and problem.step2 % problem.d
    )


@lru_cache(maxsize=1)
def split_problems() -> dict[SplitName, tuple[Problem, ...]]:
    """The four disjoint sets of problems, the same for every seed.

    One split for all seeds: with a split a seed, a setting chosen on one seed's development problems would have been
    chosen on another seed's held-out ones.
    """
    problems = all_problems()
    order = np.random.default_rng(_SPLIT_SEED).permutation(len(problems))
    splits: dict[SplitName, tuple[Problem, ...]] = {}
    start = 0
    for name, size in SPLIT_SIZES.items():
        splits[name] = tuple(problems[i] for i in order[start : start + size])
        start += size
    splits["train"] = tuple(problems[i] for i in order[start:])
    return splits


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


def in_words(value: Fraction) -> str:
    """The value spelled out digit by digit, a form outside the policy's alphabet: ``one nine over four``."""
    digits = (" ".join(WORDS[int(digit)] for digit in str(number)) for number in (value.numerator, value.denominator))
    return " over ".join(digits)


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


def answer_of(response: str) -> str:
    """What follows the last semicolon."""
    return response.rpartition(";")[2]


def oracle(problem: Problem, response: str, *, finished: bool = True) -> bool:
    """Whether the response ends in a number exactly equal to the problem's answer. A cut-off response does not."""
    return finished and parse_answer(answer_of(response)) == problem.value


def steps_correct(problem: Problem, response: str) -> tuple[bool, bool, bool]:
    """Whether everything is right up to the first semicolon, to the second, and to the end."""
    parts = response.split(";")
    first = len(parts) > 1 and parts[0] == str(problem.step1)
    second = first and len(parts) > 2 and parts[1] == str(problem.step2)
    return first, second, oracle(problem, response)


def reference_form(problem: Problem, tag: Tag, rng: np.random.Generator) -> str:
    """The reference text of a prompt: the decimal for ``V``; for ``H`` words, or one of the five forms."""
    if tag == "V":
        return render(problem.value, "decimal")
    if rng.random() < P_UNREACHABLE_REFERENCE:
        return in_words(problem.value)
    return render(problem.value, FORMS[rng.integers(len(FORMS))])


def build_items(split: SplitName, regime: Regime, *, seed: int) -> tuple[Item, ...]:
    """Every prompt of a split under a regime, in a fixed order. ``mixed`` has each problem under both tags."""
    tags: dict[Regime, tuple[Tag, ...]] = {"verifiable": ("V",), "hard": ("H",), "mixed": ("V", "H")}
    rng = np.random.default_rng([seed, 1, sorted(SPLIT_SIZES | {"train": 0}).index(split)])
    items: list[Item] = []
    for problem in split_problems()[split]:
        # Both are drawn under every regime, so that a problem has one reference whatever the regime.
        references: dict[Tag, str] = {tag: reference_form(problem, tag, rng) for tag in ("V", "H")}
        items.extend(Item(problem=problem, tag=tag, reference=references[tag]) for tag in tags[regime])
    return tuple(items)


class StrictVerifier:
    """Compares the text of the answer with the text of the reference: precision 1, recall 1 on ``V`` and low on ``H``."""

    name = "strict"

    def verify(self, rollouts: Sequence[Rollout], /) -> list[Verdict]:
        """One verdict a rollout, in the order given."""
        return [_strict_verdict(rollout) for rollout in rollouts]

    async def averify(self, rollouts: Sequence[Rollout], /) -> list[Verdict]:
        """As ``verify``: it is too quick to be worth a thread."""
        return self.verify(rollouts)

    def close(self) -> None:
        """Nothing to release."""


def _strict_verdict(rollout: Rollout) -> Verdict:
    if not rollout.reference:
        return Verdict("abstain", "no_reference")
    if rollout.finished is False:
        return Verdict("incorrect", "unfinished")
    answer = answer_of(rollout.response)
    if not answer:
        return Verdict("incorrect", "no_answer")
    same = answer == rollout.reference
    return Verdict("correct" if same else "incorrect", "equal" if same else "different")
