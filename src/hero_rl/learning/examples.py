"""Make the examples of a learned verifier: problem, reference, answer, and whether the last two agree.

From the responses' own final answers with their labels, from other ways to write a reference, and from answers that look like
it and are not it. The maths verifier has a veto over everything that is made up here.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hero_rl.errors import InputError
from hero_rl.learning.answers import Kind, read_answer
from hero_rl.learning.corruptions import NEEDS_PROOF, corruptions
from hero_rl.learning.labelled import LabelledRow
from hero_rl.learning.rewrites import Variant, decorated, rewrites
from hero_rl.learning.splits import problem_key
from hero_rl.types import Label, Rollout, Verifier
from hero_rl.verifiers.learned import MAX_ANSWER_CHARS
from hero_rl.verifiers.math.extract import find_answer

FROM_RESPONSE = "response"


class Example(NamedTuple):
    """One thing to decide."""

    key: str
    """Of the problem, as the split knows it."""
    problem: str
    reference: str
    answer: str
    equivalent: bool
    kind: str
    """``response``, or how it was made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleSettings:
    """How many examples are made up beside those of the responses."""

    rewrites: int = 4
    """Other ways to write the reference, per problem and reference."""
    corruptions: int = 4
    """Spoilt references, per problem and reference."""
    swaps: int = 1
    """References of other problems, of the same kind where there is one."""
    answers_per_kind: int = 8
    """Most different answers of responses, right ones and wrong ones each, per problem and reference."""

    def __post_init__(self) -> None:
        for name in ("rewrites", "corruptions", "swaps", "answers_per_kind"):
            if getattr(self, name) < 0:
                raise InputError(f"{name}={getattr(self, name)} must be at least 0")


class Examples(NamedTuple):
    """Examples, and what was refused."""

    examples: list[Example]
    contradictory: int
    """Answers of responses that are labelled right in one row and wrong in another: left out."""
    vetoed: int
    """Made-up examples that the maths verifier contradicted or could not confirm: left out."""


def build_examples(rows: Sequence[LabelledRow], maths: Verifier, settings: ExampleSettings, *, seed: int = 0) -> Examples:
    """Examples for every problem of the rows, in the order of the problems; the same for the same rows and seed.

    Args:
        rows: labelled rollouts.
        maths: a rule-based verifier that abstains where it cannot tell (``MathVerifier``).
        settings: how many of each kind.
        seed: of the choice among variants; each problem has its own stream, so that new problems change no old examples.
    """
    answers, contradictory = _answers(rows)
    references = list(answers)
    by_kind: defaultdict[Kind, list[int]] = defaultdict(list)
    for number, (_, _, reference) in enumerate(references):
        by_kind[read_answer(reference).kind].append(number)
    own: list[Example] = []
    made: list[Example] = []
    for number, (key, problem, reference) in enumerate(references):
        rng = np.random.default_rng([seed, int(key[:12], 16)])
        labelled = answers[key, problem, reference]
        own += _from_responses((key, problem, reference), labelled, settings.answers_per_kind, rng)
        variants = [(Variant(reference, "copy", notation=True), True)] if settings.rewrites else []
        variants += [(one, True) for one in rewrites(reference, rng)[: settings.rewrites]]
        spoilt = corruptions(reference, rng)[: settings.corruptions]
        same_kind = by_kind[read_answer(reference).kind]
        others = [references[i][2] for i in (same_kind if len(same_kind) > 1 else range(len(references))) if i != number]
        for _ in range(settings.swaps if others else 0):
            spoilt.append(Variant(others[int(rng.integers(len(others)))], "other_reference"))
        # right answers come in many forms; if wrong ones did not, the form alone would give them away
        variants += [(Variant(decorated(one.text, rng), one.kind), False) for one in spoilt]
        made += [
            Example(key, problem, reference, one.text, equivalent, ("same:" if equivalent else "wrong:") + one.kind)
            for one, equivalent in variants
            if one.text not in labelled and one.text.strip() and len(one.text) <= MAX_ANSWER_CHARS
        ]
    kept = _confirmed(made, maths)
    return Examples([*own, *kept], contradictory, len(made) - len(kept))


def kinds(examples: Iterable[Example]) -> dict[str, int]:
    """How many examples of each kind there are, the most frequent first."""
    return dict(Counter(one.kind for one in examples).most_common())


def as_rollout(example: Example) -> Rollout:
    """The example as a response that is nothing but its answer."""
    return Rollout(
        prompt_id=example.key, problem=example.problem, reference=example.reference, response=rf"\boxed{{{example.answer}}}"
    )


def _answers(rows: Sequence[LabelledRow]) -> tuple[dict[tuple[str, str, str], dict[str, bool]], int]:
    """Per key, problem and reference: the answers of its responses with their labels; and how many contradict themselves."""
    seen: defaultdict[tuple[str, str, str], defaultdict[str, set[bool]]] = defaultdict(lambda: defaultdict(set))
    first_text: dict[str, str] = {}
    for row in rows:
        rollout = row.rollout
        key, reference = problem_key(rollout.problem, rollout.prompt_id), rollout.reference.strip()
        if not reference or len(reference) > MAX_ANSWER_CHARS:
            continue
        answers = seen[key, first_text.setdefault(key, rollout.problem), reference]
        answer = find_answer(rollout.response).strip()
        if answer and len(answer) <= MAX_ANSWER_CHARS:
            answers[answer].add(row.correct)
    contradictory = sum(len(labels) > 1 for answers in seen.values() for labels in answers.values())
    return {
        place: {answer: True in labels for answer, labels in answers.items() if len(labels) == 1}
        for place, answers in seen.items()
    }, contradictory


def _from_responses(
    place: tuple[str, str, str], labelled: Mapping[str, bool], limit: int, rng: np.random.Generator
) -> list[Example]:
    found: list[Example] = []
    for equivalent in (True, False):
        answers = [answer for answer, label in labelled.items() if label == equivalent]
        chosen = sorted(rng.permutation(len(answers))[:limit].tolist())
        found += [Example(*place, answers[i], equivalent, FROM_RESPONSE) for i in chosen]
    return found


def _confirmed(made: Sequence[Example], maths: Verifier) -> list[Example]:
    verdicts = maths.verify([as_rollout(one) for one in made])
    return [one for one, verdict in zip(made, verdicts, strict=True) if _stands(one, verdict.label)]


def _stands(example: Example, label: Label) -> bool:
    """Whether the example may be used after the maths verifier's verdict on it."""
    if example.equivalent:
        return label == "correct" or (label == "abstain" and example.kind in _NOTATION)
    if example.kind.removeprefix("wrong:") in NEEDS_PROOF:
        return label == "incorrect"
    return label != "correct"


_NOTATION = frozenset(f"same:{kind}" for kind in ("copy", "dollars", "bare", "layout", "full_stop", "spaces", "unit"))
