"""``CachedVerifier`` and ``CachedScorer``: parts that never judge the same response twice."""

from __future__ import annotations

import json
import logging
import math
import struct
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar

import numpy as np

from hero_rl.cache.keys import RolloutKey, check_identity
from hero_rl.cache.memo import Codec, Memo, MemoStats
from hero_rl.cache.store import Cache
from hero_rl.errors import InputError
from hero_rl.types import FloatArray, IntArray, Rollout, Scorer, StepScorer, StepScores, Verdict, Verifier, one_each

V = TypeVar("V")
_logger = logging.getLogger(__name__)
_NO_STEPS: FloatArray = np.zeros(0)
_Row: TypeAlias = tuple[float, FloatArray]
"""The score of one rollout, and those of its steps."""


class _Cached(Generic[V]):
    """The members that a cached verifier and a cached scorer share."""

    _what: ClassVar[str]
    _metric: ClassVar[str]

    def __init__(self, part: Any, cache: Cache | None, kind: str, codec: Codec[V], columns: Sequence[str] = ()) -> None:
        self._part, self.cache = part, cache
        self.name = part.name
        self.identity = check_identity(f"the {self._what} {part.name!r}", part)
        self._key = RolloutKey(kind, self.identity, columns)
        self._memo = Memo(codec, cache)
        self._reported = MemoStats()

    @property
    def stats(self) -> MemoStats:
        """Rows so far, by where their results came from; ``str()`` gives one line."""
        return self._memo.stats

    def take_metrics(self) -> dict[str, float]:
        """Return shares since the last call, for a training log."""
        stats, self._reported = self.stats.since(self._reported), self.stats
        return {f"{self._metric}/hit_rate": stats.hit_rate, f"{self._metric}/saved": stats.saved}

    def cache_use(self) -> dict[str, dict[str, int | float]]:
        """Return how often the cache knew the result."""
        return {self._what: self.stats.use()}

    def warm(self) -> None:
        """Warm what is behind the cache."""
        self._part.warm()

    def close(self) -> None:
        """Close what is behind the cache, which stays open itself; safe to call twice."""
        self._part.close()

    def __reduce__(self) -> tuple[object, ...]:
        """Return its two parts."""
        return type(self), (self._part, self.cache)

    async def _results(self, rollouts: Sequence[Rollout], ask: Callable[[list[Rollout]], Awaitable[list[V]]]) -> list[V]:
        keys = [self._key(rollout) for rollout in rollouts]
        results = await self._memo.run(keys, lambda rows: ask([rollouts[row] for row in rows]))
        _logger.info("%s: %s", self.name, self.stats)
        return results


class CachedVerifier(_Cached[Verdict], Verifier):
    """A verifier that looks in a cache first; the same verdicts, in the same order.

    Rows with the same content are judged once, in a batch and by all who ask at the same time. Failed verdicts
    (time-outs, dead endpoints) are never kept, so they are tried again; abstentions are kept. What counts as the same is every
    field of the rollout but ``prompt_id``, of ``extra`` the verifier's ``columns``, and the verifier's ``identity``.
    """

    _what, _metric = "verifier", "verdict_cache"

    def __init__(self, verifier: Verifier, cache: Cache | None = None) -> None:
        """Put a cache before a verifier.

        Args:
            verifier: has an ``identity``. It is closed with this object.
            cache: may serve several scorers and verifiers, and stays open when this object is closed. None: nothing is kept,
                and duplicates are still judged once.

        Raises:
            InputError: the verifier has no identity.
        """
        self.verifier, self.learned, self.columns = verifier, verifier.learned, verifier.columns
        super().__init__(verifier, cache, "verdict", Codec(_encode_verdict, _decode_verdict), verifier.columns)

    async def averify(self, rollouts: Sequence[Rollout], /) -> list[Verdict]:
        """Return one verdict per rollout, in the order given."""

        async def ask(asked: list[Rollout]) -> list[Verdict]:
            return one_each(self.name, await self.verifier.averify(asked), asked)

        return await self._results(rollouts, ask)

    def decisions(self) -> Mapping[str, int] | None:
        """Return those of a cascade in it: of the rows that were asked of it."""
        return self.verifier.decisions()


class CachedScorer(_Cached[_Row], Scorer):
    """A scorer that looks in a cache first; the same scores, in the same order.

    Rows with the same content are scored once, in a batch and by all who ask at the same time. Missing scores
    (NaN) are never kept, so they are tried again. What counts as the same is every field of the rollout but ``prompt_id``
    and ``extra``, and the scorer's ``identity``. Around a ``StepScorer`` this makes a ``CachedStepScorer``, which keeps the
    step scores, too.
    """

    _what, _metric = "reward model", "score_cache"

    def __new__(cls, scorer: Scorer, cache: Cache | None = None) -> CachedScorer:
        """Make a ``CachedStepScorer`` where the scorer gives step scores."""
        return object.__new__(CachedStepScorer if isinstance(scorer, StepScorer) else CachedScorer)

    def __init__(self, scorer: Scorer, cache: Cache | None = None) -> None:
        """Put a cache before a scorer.

        Args:
            scorer: has an ``identity``. It is closed with this object.
            cache: as for ``CachedVerifier``.

        Raises:
            InputError: the scorer has no identity.
        """
        self.scorer = scorer
        super().__init__(scorer, cache, "steps" if isinstance(scorer, StepScorer) else "score", Codec(_encode_row, _decode_row))

    async def ascore(self, rollouts: Sequence[Rollout], /) -> FloatArray:
        """Return the scorer's own scores, shape (B,); NaN where missing."""
        return (await self._rows(rollouts)).scores

    async def _rows(self, rollouts: Sequence[Rollout]) -> StepScores:
        rows = await self._results(rollouts, self._ask)
        return StepScores(np.array([score for score, _ in rows], dtype=np.float64), tuple(steps for _, steps in rows))

    async def _ask(self, asked: list[Rollout]) -> list[_Row]:
        if isinstance(self.scorer, StepScorer):
            scores, steps = await self.scorer.ascore_steps(asked)
        else:
            scores, steps = await self.scorer.ascore(asked), (_NO_STEPS,) * len(asked)
        scores = np.asarray(scores, dtype=np.float64)
        if scores.shape != (len(asked),) or len(steps) != len(asked):
            raise InputError(f"the reward model {self.name!r} gave scores of shape {scores.shape} for {len(asked)} rollouts")
        return [(float(score), np.asarray(step, dtype=np.float64)) for score, step in zip(scores, steps, strict=True)]


class CachedStepScorer(CachedScorer, StepScorer):
    """A ``CachedScorer`` with the step scores of a process reward model."""

    async def ascore_steps(self, rollouts: Sequence[Rollout], /) -> StepScores:
        """Return the scores and those of the steps behind them."""
        return await self._rows(rollouts)

    def step_ends(self, rollout: Rollout, /) -> IntArray | None:
        """Return what the scorer itself says."""
        return self.scorer.step_ends(rollout) if isinstance(self.scorer, StepScorer) else None


def _encode_verdict(verdict: Verdict) -> bytes | None:
    if verdict.failed:
        return None
    fields = [verdict.label, verdict.reason, verdict.detail, int(verdict.learned), int(verdict.generous)]
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def _decode_verdict(value: bytes) -> Verdict | None:
    try:
        label, reason, detail, learned, generous = json.loads(value.decode("utf-8", "surrogatepass"))
    except ValueError:
        return None
    return Verdict(label, reason, detail=detail, learned=bool(learned), generous=bool(generous))


def _encode_row(row: _Row) -> bytes | None:
    """Return little-endian float64: the score, then the steps."""
    score, steps = row
    if not math.isfinite(score) or not np.isfinite(steps).all():
        return None
    return struct.pack("<d", score) + steps.astype("<f8").tobytes()


def _decode_row(value: bytes) -> _Row | None:
    if not value or len(value) % 8:
        return None
    numbers = np.frombuffer(value, dtype="<f8").astype(np.float64)
    return (float(numbers[0]), numbers[1:]) if np.isfinite(numbers).all() else None  # else it is not ours, and computed again
