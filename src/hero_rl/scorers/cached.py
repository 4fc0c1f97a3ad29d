"""``CachedScorer``: a reward model that never scores the same text twice."""

from __future__ import annotations

import logging
import math
import struct
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from hero_rl.cache import Cache, Codec, Memo, MemoStats, RolloutKey, check_identity
from hero_rl.errors import InputError
from hero_rl.types import FloatArray, IntArray, Rollout, Scorer, StepScorer, StepScores

_logger = logging.getLogger(__name__)


_Row: TypeAlias = tuple[float, FloatArray]
"""The score of one rollout, and those of its steps."""


class CachedScorer(Scorer):
    """A scorer that looks in a cache first; the same scores, in the same order.

    Rows with the same content are scored once, in a batch and by all who ask at the same time. Missing scores
    (NaN) are never kept, so they are tried again. What counts as the same is every field of the rollout but ``prompt_id``
    and ``extra``, and the scorer's ``identity``. Around a ``StepScorer`` this makes a ``CachedStepScorer``, which keeps the
    step scores, too.
    """

    def __new__(cls, scorer: Scorer, cache: Cache | None = None) -> CachedScorer:
        """A ``CachedStepScorer`` where the scorer gives step scores."""
        return object.__new__(CachedStepScorer if isinstance(scorer, StepScorer) else CachedScorer)

    def __init__(self, scorer: Scorer, cache: Cache | None = None) -> None:
        """Put a cache before a scorer.

        Args:
            scorer: has an ``identity``. It is closed with this object.
            cache: may serve several scorers and verifiers, and stays open when this object is closed. None: nothing is kept,
                and duplicates are still scored once.

        Raises:
            InputError: the scorer has no identity.
        """
        self.identity = check_identity(f"the reward model {scorer.name!r}", scorer)
        self.name, self.scorer, self.cache = scorer.name, scorer, cache
        self._key = RolloutKey("steps" if isinstance(scorer, StepScorer) else "score", self.identity)
        self._memo: Memo[_Row] = Memo(Codec(_encode, _decode), cache)
        self._reported = MemoStats()

    async def ascore(self, rollouts: Sequence[Rollout], /) -> FloatArray:
        """Return the scorer's own scores, shape (B,); NaN where missing."""
        return (await self._rows(rollouts)).scores

    @property
    def stats(self) -> MemoStats:
        """Rows so far, by where their scores came from; ``str()`` gives one line."""
        return self._memo.stats

    def take_metrics(self) -> dict[str, float]:
        """Shares since the last call, for a training log."""
        stats, self._reported = self.stats.since(self._reported), self.stats
        return {"score_cache/hit_rate": stats.hit_rate, "score_cache/saved": stats.saved}

    def cache_use(self) -> dict[str, dict[str, int | float]]:
        """Return how often the cache knew the score."""
        return {"reward model": self.stats.use()}

    def close(self) -> None:
        """Close the scorer, and write down what was used; the cache stays open. Safe to call twice."""
        try:
            self.scorer.close()
        finally:
            if self.cache is not None:
                self.cache.flush()

    def __reduce__(self) -> tuple[object, ...]:
        """Pickled as its two parts."""
        return CachedScorer, (self.scorer, self.cache)

    async def _rows(self, rollouts: Sequence[Rollout]) -> StepScores:
        async def compute(rows: list[int]) -> list[_Row]:
            asked = [rollouts[row] for row in rows]
            if isinstance(self.scorer, StepScorer):
                return self._split(await self.scorer.ascore_steps(asked), len(asked))
            return self._split(await self.scorer.ascore(asked), len(asked))

        return self._joined(await self._memo.run([self._key(rollout) for rollout in rollouts], compute))

    def _split(self, found: StepScores | FloatArray, rows: int) -> list[_Row]:
        scores, steps = found if isinstance(found, StepScores) else (found, (_NO_STEPS,) * rows)
        scores = np.asarray(scores, dtype=np.float64)
        if scores.shape != (rows,) or len(steps) != rows:
            raise InputError(f"the reward model {self.name!r} gave scores of shape {scores.shape} for {rows} rollouts")
        return [(float(score), np.asarray(step, dtype=np.float64)) for score, step in zip(scores, steps, strict=True)]

    def _joined(self, rows: list[_Row]) -> StepScores:
        _logger.info("%s: %s", self.name, self.stats)
        return StepScores(np.array([score for score, _ in rows], dtype=np.float64), tuple(steps for _, steps in rows))


class CachedStepScorer(CachedScorer, StepScorer):
    """As ``CachedScorer``, with the step scores of a process reward model."""

    async def ascore_steps(self, rollouts: Sequence[Rollout], /) -> StepScores:
        """Return the scores and those of the steps behind them."""
        return await self._rows(rollouts)

    def step_ends(self, rollout: Rollout, /) -> IntArray | None:
        """Return what the scorer itself says."""
        return self.scorer.step_ends(rollout) if isinstance(self.scorer, StepScorer) else None


_NO_STEPS: FloatArray = np.zeros(0)


def _encode(row: _Row) -> bytes | None:
    """Little-endian float64: the score, then the steps."""
    score, steps = row
    if not math.isfinite(score) or not np.isfinite(steps).all():
        return None
    return struct.pack("<d", score) + steps.astype("<f8").tobytes()


def _decode(value: bytes) -> _Row | None:
    if not value or len(value) % 8:
        return None
    numbers = np.frombuffer(value, dtype="<f8").astype(np.float64)
    return float(numbers[0]), numbers[1:]
