"""Requests that arrive while the reward model works are scored together by its next call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from hero_rl.errors import HeroError
from hero_rl.loop import in_the_background
from hero_rl.types import FloatArray, Rollout, Scorer

T = TypeVar("T")

MAX_ROWS = 4096
"""Most rows per call; the others wait for the next one."""


class _Waiting(NamedTuple, Generic[T]):
    items: Sequence[T]
    future: asyncio.Future[FloatArray]


class Batching(Generic[T]):
    """Calls a function with the items of all who wait, one call at a time.

    A caller who leaves before the call begins takes its items along. If a joint call fails, each part is tried alone, so that
    nobody gets an error that another caller's items have caused.
    """

    def __init__(self, function: Callable[[Sequence[T]], Awaitable[FloatArray]]):
        self._function = function
        self._waiting: list[_Waiting[T]] = []
        self._worker: asyncio.Task[None] | None = None

    async def __call__(self, items: Sequence[T]) -> FloatArray:
        """Return one value per item, in order; callers may be on any loop."""
        return await in_the_background(self._wait(items))

    async def _wait(self, items: Sequence[T]) -> FloatArray:
        future: asyncio.Future[FloatArray] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(items, future))
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        return await future

    async def _work(self) -> None:
        try:
            while batch := self._next():
                await self._serve(batch)
        finally:
            self._worker = None

    def _next(self) -> list[_Waiting[T]]:
        self._waiting = [one for one in self._waiting if not one.future.done()]
        ends = np.cumsum([len(one.items) for one in self._waiting])
        count = max(1, int(np.searchsorted(ends, MAX_ROWS, side="right")))
        batch, self._waiting = self._waiting[:count], self._waiting[count:]
        return batch

    async def _serve(self, batch: list[_Waiting[T]]) -> None:
        items = [item for one in batch for item in one.items]
        try:
            values = await self._function(items)
            if len(values) != len(items):
                raise HeroError(f"{len(values)} values for {len(items)} items; one each is due")
        except Exception as error:  # noqa: BLE001  # handed to whoever asked
            for one in batch:
                if len(batch) > 1 and not one.future.done():
                    await self._serve([one])
                elif not one.future.done():
                    one.future.set_exception(error)
            return
        end = 0
        for one in batch:
            start, end = end, end + len(one.items)
            if not one.future.done():
                one.future.set_result(values[start:end])


class BatchingScorer(Scorer):
    """A scorer whose concurrent callers share calls."""

    def __init__(self, scorer: Scorer):
        self.name = scorer.name
        self._scorer = scorer
        self._batching: Batching[Rollout] = Batching(scorer.ascore)

    async def ascore(self, rollouts: Sequence[Rollout], /) -> FloatArray:
        """Return the scorer's own scores, computed together with those of concurrent calls."""
        return await self._batching(rollouts)

    def close(self) -> None:
        """Close the scorer."""
        self._scorer.close()
