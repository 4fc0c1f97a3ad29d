"""The lab's prompts, their references, the exact oracle, and a strict verifier that misses most equivalent forms.

A family (``families``) has the problems. Here they are split, tagged and given a reference each: the answer in its first form
for ``V`` prompts; for ``H`` prompts, half of the time in a form that the policy never writes, else in any of the forms.

The oracle labels data for the reward model and measures results, and no rule ever sees it. The strict verifier compares
strings with one reference: never wrong when it says correct, and blind to most correct answers on ``H`` prompts, as an
exact-match verifier is on problems with free-form answers. Its recall can be set instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias, get_args

import numpy as np

from hero_lab.families import CHAIN
from hero_lab.family import Family, Problem, Tag
from hero_lab.noise import uniform_of
from hero_rl.types import Rollout, RowVerifier, Verdict

Regime: TypeAlias = Literal["verifiable", "hard", "mixed"]
SplitName: TypeAlias = Literal["train", "rm_test", "development", "held_out"]

REGIMES: tuple[Regime, ...] = get_args(Regime)
TAGS: Mapping[Regime, tuple[Tag, ...]] = {"verifiable": ("V",), "hard": ("H",), "mixed": ("V", "H")}
"""The tags of the prompts that a regime trains on."""
TAG_NAMES: Mapping[str, str] = {"V": "verifiable prompts", "H": "hard-to-verify prompts"}
SPLIT_SIZES: dict[SplitName, int] = {"rm_test": 200, "development": 200, "held_out": 300}
"""``train`` is the rest. Settings are chosen on ``development`` and results are reported on ``held_out``."""
P_UNREACHABLE_REFERENCE = 0.5
"""Share of ``H`` prompts whose reference is in words, a form that no response uses. Without it the policy learns the
verifier's favourite form, and the prompts stop being hard to verify."""

_SPLIT_SEED = 20_251_007


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A prompt of the lab with what is needed to judge a response to it."""

    problem: Problem
    tag: Tag
    reference: str
    """The text that the strict verifier compares with: one fixed way of writing the right answer."""

    @property
    def prompt(self) -> str:
        """The characters that the policy reads."""
        return self.problem.prompt(self.tag)


@lru_cache
def split_problems(family: Family = CHAIN) -> dict[SplitName, tuple[Problem, ...]]:
    """The four disjoint sets of problems, the same for every seed.

    One split for all seeds: with one split per seed, a setting chosen on one seed's development problems would have been
    chosen on another seed's held-out ones.
    """
    problems = family.problems()
    order = np.random.default_rng(_SPLIT_SEED).permutation(len(problems))
    splits: dict[SplitName, tuple[Problem, ...]] = {}
    start = 0
    for name, size in SPLIT_SIZES.items():
        splits[name] = tuple(problems[i] for i in order[start : start + size])
        start += size
    splits["train"] = tuple(problems[i] for i in order[start:])
    return splits


@lru_cache
def problem_of_prompt(family: Family) -> dict[str, Problem]:
    """Every problem of a family by its prompt, under both tags."""
    tags: tuple[Tag, ...] = get_args(Tag)
    return {problem.prompt(tag): problem for problem in family.problems() for tag in tags}


def answer_of(response: str) -> str:
    """Return the text after the last semicolon."""
    return response.rpartition(";")[2]


def oracle(problem: Problem, response: str, *, finished: bool = True) -> bool:
    """Whether the response ends in the problem's answer, in whatever form. A cut-off response does not."""
    return finished and problem.accepts(answer_of(response))


def steps_correct(problem: Problem, response: str) -> tuple[bool, ...]:
    """Whether everything is right up to the first semicolon, to the second where there are two steps, and to the end.

    >>> steps_correct(CHAIN.problems()[1], "2;3;0.75")
    (True, True, True)
    """
    parts = response.split(";")
    right: list[bool] = []
    for place, step in enumerate(problem.steps):
        right.append((not right or right[-1]) and len(parts) > place + 1 and parts[place] == step)
    return (*right, oracle(problem, response))


def reference_form(problem: Problem, tag: Tag, rng: np.random.Generator, *, forms: int = CHAIN.forms) -> str:
    """The reference text of a prompt: the first form for ``V``; for ``H`` words, or one of the forms."""
    if tag == "V":
        return problem.render(0)
    if rng.random() < P_UNREACHABLE_REFERENCE:
        return problem.in_words()
    return problem.render(int(rng.integers(forms)))


def build_items(split: SplitName, regime: Regime, *, seed: int, family: Family = CHAIN) -> tuple[Item, ...]:
    """Every prompt of a split under a regime, in a fixed order. ``mixed`` has each problem under both tags."""
    rng = np.random.default_rng([seed, 1, sorted(SPLIT_SIZES | {"train": 0}).index(split)])
    items: list[Item] = []
    for problem in split_problems(family)[split]:
        # Both are drawn under every regime, so that a problem has one reference whatever the regime.
        references = {tag: reference_form(problem, tag, rng, forms=family.forms) for tag in TAGS["mixed"]}
        items.extend(Item(problem=problem, tag=tag, reference=references[tag]) for tag in TAGS[regime])
    return tuple(items)


class StrictVerifier(RowVerifier):
    """Compares the text of the answer with the text of the reference: precision 1, recall 1 on ``V`` and low on ``H``.

    With ``recall`` it accepts that share of the right answers instead, with ``false_positives`` that share of the wrong ones.
    Which ones depends on prompt and answer alone: the same answer to the same prompt always gets the same verdict.
    """

    name = "strict"

    def __init__(
        self, *, family: Family = CHAIN, recall: float | None = None, false_positives: float = 0.0, seed: int = 0
    ) -> None:
        """Judge the family's prompts."""
        self.family, self.recall, self.false_positives, self.seed = family, recall, false_positives, seed

    def judge(self, rollout: Rollout, /) -> Verdict:
        """Return the verdict of one rollout."""
        answer = answer_of(rollout.response)
        if not rollout.reference:
            return Verdict("abstain", "no_reference")
        if rollout.finished is False:
            return Verdict("incorrect", "unfinished")
        if not answer:
            return Verdict("incorrect", "no_answer")
        accepted = answer == rollout.reference
        if self.recall is not None or self.false_positives:
            is_right = problem_of_prompt(self.family)[rollout.problem].accepts(answer)
            if not is_right:
                accepted = uniform_of(self.seed, "false positive", rollout.problem, answer) < self.false_positives
            elif self.recall is not None:
                accepted = uniform_of(self.seed, "recall", rollout.problem, answer) < self.recall
        return Verdict("correct" if accepted else "incorrect", "equal" if accepted else "different")


class AbstainingVerifier(RowVerifier):
    """The strict verifier, but where it cannot read the reference it says so, as verifiers of real answers do.

    A reference in words is outside the policy's alphabet: no response can equal it, and the strict verifier calls all of them
    incorrect. This one abstains.
    """

    name = "strict-abstaining"

    def __init__(self, strict: StrictVerifier, family: Family) -> None:
        """Judge as ``strict`` where the reference is in the family's alphabet."""
        self.strict, self.alphabet = strict, frozenset(family.alphabet)

    def judge(self, rollout: Rollout, /) -> Verdict:
        """Return the verdict of one rollout."""
        if not self.alphabet.issuperset(rollout.reference):
            return Verdict("abstain", "unreadable_reference")
        return self.strict.judge(rollout)
