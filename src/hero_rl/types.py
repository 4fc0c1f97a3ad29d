"""The types that every layer shares: a rollout, a verdict, and the base classes of verifiers and scorers.

A verifier or scorer needs a name and one coroutine; all optional members are declared here with a default.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Self, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from hero_rl.errors import InputError, clip
from hero_rl.loop import in_thread, run_sync

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.intp]
BoolArray: TypeAlias = NDArray[np.bool_]
Label: TypeAlias = Literal["correct", "incorrect", "abstain"]
Ask: TypeAlias = Literal["abstain", "incorrect", "both", "generous"]
"""Where the first verifier of a cascade says so, the second is asked."""
Progress: TypeAlias = Callable[[str, int, int | None], None]
"""Called with the stage, the rows done and the rows in all (None: not known yet)."""

MAX_MAGNITUDE = 1e150
"""Largest score that can be squared without overflow in float64."""
LEARNED_YES = 0.5
"""The code for "correct, says a model" in arrays of verdicts; rules decide what it is worth."""
VERDICT_VALUES: dict[Label, float] = {"correct": 1.0, "incorrect": 0.0, "abstain": float("nan")}


class Verdict(NamedTuple):
    """A verifier's decision on one response.

    Unparseable *response*: incorrect. Unparseable *reference*, too hard to evaluate, crash, dead endpoint: abstain.
    """

    label: Label
    reason: str
    """A short, readable code in snake_case: ``equal``, ``different``, ``no_answer``, ``too_hard`` ..."""
    failed: bool = False
    """True where the verifier broke (crash, dead endpoint) and another try may succeed. Too many failures raise."""
    detail: str = ""
    """The answers compared, or the error, for people."""
    learned: bool = False
    """True where a model gave the verdict (a judge, a learned verifier), which can be argued into a yes."""
    generous: bool = False
    """True where a rule's "correct" rests on a generous reading: a rounding, a unit left out, another letter."""

    @property
    def value(self) -> float:
        """The verdict as ``rewards`` takes it: 1.0 correct (``LEARNED_YES`` where learned), 0.0 incorrect, NaN abstain."""
        return LEARNED_YES if self.learned and self.label == "correct" else VERDICT_VALUES[self.label]


_TEXTS = ("prompt_id", "problem", "reference", "response")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """One sampled response with its problem and reference. Rows of one ``prompt_id`` are one group."""

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

    def __post_init__(self) -> None:
        """Make every text one that can be encoded, whether it comes from a file, the service or Python."""
        for name, text in zip(_TEXTS, (self.prompt_id, self.problem, self.reference, self.response), strict=True):
            if (valid := valid_text(text)) is not text:
                object.__setattr__(self, name, valid)
        if self.steps and any(valid_text(step) is not step for step in self.steps):
            object.__setattr__(self, "steps", tuple(map(valid_text, self.steps)))
        if self.messages and any(valid_text(text) is not text for turn in self.messages for text in turn.values()):
            turns = ({key: valid_text(text) for key, text in turn.items()} for turn in self.messages)
            object.__setattr__(self, "messages", tuple(turns))


def valid_text(text: Any) -> Any:
    r"""Return the text with each half of a surrogate pair, which neither UTF-8 nor a tokenizer takes, replaced by U+FFFD.

    What is no text is returned as it is: a verifier says what is wrong with it.

    >>> valid_text("1 ≤ 2"), valid_text("half \ud83d a smile")
    ('1 ≤ 2', 'half � a smile')
    """
    if not isinstance(text, str) or text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def read_column(rollout: Rollout, column: str, reader: str) -> Any:
    """Return the value of a column of ``extra``.

    Raises:
        InputError: there is none; the message names ``reader``, such as "verifier 'column:x'".
    """
    if column not in rollout.extra:
        columns = clip(", ".join(sorted(map(str, rollout.extra))) or "none", 160)
        prompt_id = clip(repr(rollout.prompt_id))
        raise InputError(f"{reader}: the row of prompt_id {prompt_id} has no column {column!r}; its extra columns: {columns}")
    return rollout.extra[column]


def json_number(value: object) -> Any:
    """Return a value as JSON holds it: None for a number that is not finite."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def is_score(value: object) -> bool:
    """Return whether a value is a number that a rule can take; integers of hundreds of digits and NaN are none."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        return False
    try:
        return abs(float(cast(float, value))) <= MAX_MAGNITUDE
    except OverflowError:
        return False


class _Judge(ABC):
    """The members that verifiers and scorers have in common."""

    name: str
    identity: Any = None
    """Text that names everything but the rollout that its results depend on, as their key in a cache; an attribute or a
    property. None: they cannot be cached."""
    columns: tuple[str, ...] = ()
    """Names of the columns in ``Rollout.extra`` that its results depend on, too."""

    def warm(self) -> None:  # noqa: B027  # optional
        """Start workers and load models now rather than in the first call."""

    def take_metrics(self) -> dict[str, float]:
        """Return what was counted since the last call, by names for a training log."""
        return {}

    def cache_use(self) -> dict[str, dict[str, int | float]]:
        """Return the counts of hits and misses so far of each cache in it, by a name for whose results they are."""
        return {}

    def close(self) -> None:  # noqa: B027  # optional
        """Release processes and connections; safe to call twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Verifier(_Judge):
    """Gives one verdict per rollout, in order. It never raises for a bad row: it abstains with a reason.

    A subclass has a ``name`` and ``averify``, which must not block its event loop: blocking work goes through
    ``hero_rl.loop.in_thread``. One object may be used by several threads and event loops at once.
    """

    learned: bool = False
    """Some of its verdicts are a model's."""
    by_score: bool = False
    """Wants the reward model's scores: where there are any, ``averify_scored`` is called in place of ``averify``."""

    async def averify_scored(self, rollouts: Sequence[Rollout], scores_B: FloatArray, /) -> list[Verdict]:
        """Return what ``averify`` does, with the scores of the rollouts at hand, shape (B,)."""
        return await self.averify(rollouts)

    @abstractmethod
    async def averify(self, rollouts: Sequence[Rollout], /) -> list[Verdict]:
        """Return one verdict per rollout, in the order given."""

    def verify(self, rollouts: Sequence[Rollout], /) -> list[Verdict]:
        """Return what ``averify`` does, synchronously; also where an event loop is running."""
        return run_sync(self.averify(rollouts))

    def decisions(self) -> Mapping[str, int] | None:
        """Return how many rows each member decided, named as in ``CascadeCounts``; None where there is no cascade."""
        return None


class RowVerifier(Verifier):
    """A verifier that judges each row alone, by a plain function ``judge`` that does not wait."""

    @abstractmethod
    def judge(self, rollout: Rollout, /) -> Verdict:
        """Return the verdict of one rollout."""

    def verify(self, rollouts: Sequence[Rollout], /) -> list[Verdict]:
        """Return one verdict per rollout, in the order given."""
        return [self.judge(rollout) for rollout in rollouts]

    async def averify(self, rollouts: Sequence[Rollout], /) -> list[Verdict]:
        """Return what ``verify`` does, in a thread."""
        return await in_thread(self.verify, rollouts)


def one_each(name: str, verdicts: list[Verdict], rollouts: Sized) -> list[Verdict]:
    """Return the verdicts that the verifier ``name`` gave.

    Raises:
        InputError: there is not one per rollout.
    """
    if len(verdicts) != len(rollouts):
        raise InputError(f"the verifier {name!r} gave {len(verdicts)} verdicts for {len(rollouts)} rollouts; one each is due")
    return verdicts


class Scorer(_Judge):
    """A reward model: gives one real number per rollout, in order; NaN where missing.

    A subclass has a ``name`` and ``ascore``; the rest is as with ``Verifier``.
    """

    @abstractmethod
    async def ascore(self, rollouts: Sequence[Rollout], /) -> FloatArray:
        """Return the scores, shape (B,), float64, in the reward model's own units; NaN where missing."""

    def score(self, rollouts: Sequence[Rollout], /) -> FloatArray:
        """Return what ``ascore`` does, synchronously; also where an event loop is running."""
        return run_sync(self.ascore(rollouts))


class StepScores(NamedTuple):
    """Scores of a process reward model for some rollouts, in their order."""

    scores: FloatArray
    """Shape (B,), over the steps of each rollout; NaN where missing."""
    steps: tuple[FloatArray, ...]
    """One array per rollout, shape (its steps,); empty where missing."""


class StepScorer(Scorer):
    """A reward model that scores every step of a response, and combines them in one score."""

    @abstractmethod
    async def ascore_steps(self, rollouts: Sequence[Rollout], /) -> StepScores:
        """Return the scores of the rollouts and of their steps."""

    def score_steps(self, rollouts: Sequence[Rollout], /) -> StepScores:
        """Return what ``ascore_steps`` does, synchronously; also where an event loop is running."""
        return run_sync(self.ascore_steps(rollouts))

    async def ascore(self, rollouts: Sequence[Rollout], /) -> FloatArray:
        """Return the scores alone."""
        return (await self.ascore_steps(rollouts)).scores

    def step_ends(self, rollout: Rollout, /) -> IntArray | None:
        """Return the end of each step that it scores, in characters of the response; None: as ``scorers.steps`` splits."""
        return None


async def ascore_with_steps(
    scorer: Scorer | None, rollouts: Sequence[Rollout]
) -> tuple[FloatArray, tuple[FloatArray, ...] | None]:
    """Return scores, shape (B,), and those of the steps where the reward model has them; NaN without a reward model.

    Raises:
        InputError: there is not one score per rollout.
    """
    if scorer is None:
        return np.full(len(rollouts), np.nan), None
    if isinstance(scorer, StepScorer):
        scores, steps = await scorer.ascore_steps(rollouts)
    else:
        scores, steps = await scorer.ascore(rollouts), None
    scores_B, rows = np.asarray(scores, dtype=np.float64), len(rollouts)
    if scores_B.shape != (rows,):
        raise InputError(
            f"the reward model {scorer.name!r} gave scores of shape {scores_B.shape} for {rows} rollouts; one each is due"
        )
    return scores_B, steps
