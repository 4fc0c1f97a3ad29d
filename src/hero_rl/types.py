"""The vocabulary that every layer shares: a rollout, a verdict, and the two protocols that judge rollouts.

Plain data and protocols only; nothing here computes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.intp]
BoolArray: TypeAlias = NDArray[np.bool_]
Label: TypeAlias = Literal["correct", "incorrect", "abstain"]

LEARNED_YES = 0.5
"""What stands for "correct, says a model" in arrays of verdicts. A code and no credit: rules decide what it is worth."""
VERDICT_VALUES: dict[Label, float] = {"correct": 1.0, "incorrect": 0.0, "abstain": float("nan")}


class Verdict(NamedTuple):
    """What a verifier says of one response.

    Unparseable *response*: incorrect. Unparseable *reference*, timeout, crash, dead endpoint: abstain.
    """

    label: Label
    reason: str
    """A short code in snake_case that a person understands: ``equal``, ``different``, ``no_answer``, ``timeout`` ..."""
    failed: bool = False
    """True where the verifier broke (timeout, crash, dead endpoint) rather than being unable to tell. Failures are
    counted, and too many in a batch raise."""
    detail: str = ""
    """What was compared, or the error, for a person who reads the row."""
    learned: bool = False
    """True where a model gave the verdict (a judge, a learned verifier), which can be argued into a yes; a rule never is."""
    generous: bool = False
    """True where a rule's "correct" rests on a generous reading: a rounding, a unit left out, another letter."""

    @property
    def value(self) -> float:
        """The form that ``rewards`` takes: 1.0 correct (``LEARNED_YES`` where learned), 0.0 incorrect, NaN abstain."""
        return LEARNED_YES if self.learned and self.label == "correct" else VERDICT_VALUES[self.label]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """One sampled response with what is needed to judge it. Rows of one ``prompt_id`` are one group."""

    prompt_id: str
    problem: str
    """The problem as text; for a conversation, its last user turn."""
    reference: str
    response: str
    messages: tuple[Mapping[str, str], ...] = ()
    """The prompt as a conversation where there is one; empty: ``problem`` is the only (user) turn."""
    finished: bool | None = None
    """False: the response was cut off at the length limit. None: unknown."""
    steps: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Every other column of the row; ``column:NAME`` verifiers and scorers read it."""


@runtime_checkable
class Verifier(Protocol):
    """Anything that gives one verdict a rollout, in order. It never raises for a bad row: it abstains with a reason.

    Three attributes are optional: ``identity`` (text; everything but the rollout that decides its verdicts, so that they can be
    cached), ``columns`` (names of the columns in ``Rollout.extra`` that decide them, too) and ``learned`` (True: some of its
    verdicts are a model's).
    """

    name: str

    def verify(self, rollouts: Sequence[Rollout], /) -> list[Verdict]:
        """One verdict a rollout, in the order given."""
        ...

    async def averify(self, rollouts: Sequence[Rollout], /) -> list[Verdict]:
        """As ``verify``, without blocking the event loop."""
        ...

    def close(self) -> None:
        """Release worker processes and connections; safe to call twice."""
        ...


@runtime_checkable
class Scorer(Protocol):
    """Anything that gives one real number a rollout, in order: a reward model. NaN: no score could be had."""

    name: str

    def score(self, rollouts: Sequence[Rollout], /) -> FloatArray:
        """Shape (B,), float64, in the reward model's own units; NaN where missing."""
        ...

    async def ascore(self, rollouts: Sequence[Rollout], /) -> FloatArray:
        """As ``score``, without blocking the event loop."""
        ...

    def close(self) -> None:
        """Release processes and connections; safe to call twice."""
        ...


class StepScores(NamedTuple):
    """What a process reward model says of some rollouts, in their order."""

    scores: FloatArray
    """Shape (B,); the steps of each rollout put together; NaN where missing."""
    steps: tuple[FloatArray, ...]
    """One array a rollout, shape (steps of that rollout,); empty where missing."""


@runtime_checkable
class StepScorer(Scorer, Protocol):
    """A reward model that judges every step of a response and sums that up in the score."""

    def score_steps(self, rollouts: Sequence[Rollout], /) -> StepScores:
        """``score`` and the scores of the steps behind it."""
        ...

    async def ascore_steps(self, rollouts: Sequence[Rollout], /) -> StepScores:
        """As ``score_steps``, without blocking the event loop."""
        ...
