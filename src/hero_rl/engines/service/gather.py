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
"""Of one call: what waits beyond is left for the call after it."""


class _Waiting(NamedTuple, Generic[T]):
    items: Sequence[T]
    future: asyncio.Future[FloatArray]


class Gather(Generic[T]):
    """One call at a time of a function on many items; nobody waits longer than for the call that is under way.

    A caller who leaves before the call begins takes its items along. Where a joint call fails, each part is tried alone, so
    that nobody gets an error that somebody else's items have caused.
    """

    def __init__(self, function: Callable[[Sequence[T]], Awaitable[FloatArray]]):
        self._function = function
        self._waiting: list[_Waiting[T]] = []
        self._worker: asyncio.Task[None] | None = None
        self.calls = 0

    async def __call__(self, items: Sequence[T]) -> FloatArray:
        """The function's values for ``items``, one each, in order; callers may be on any loop."""
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
        count, rows = 0, 0
        while count < len(self._waiting) and (count == 0 or rows + len(self._waiting[count].items) <= MAX_ROWS):
            rows += len(self._waiting[count].items)
            count += 1
        batch, self._waiting = self._waiting[:count], self._waiting[count:]
        return batch

    async def _serve(self, batch: list[_Waiting[T]]) -> None:
        self.calls += 1
        try:
            values = await self._function([item for one in batch for item in one.items])
            if len(values) != sum(len(one.items) for one in batch):
                raise HeroError(f"{len(values)} values for {sum(len(one.items) for one in batch)} items; one each is due")
        except Exception as error:  # noqa: BLE001  # handed to whoever asked
            if len(batch) == 1:
                if not batch[0].future.done():
                    batch[0].future.set_exception(error)
                return
            for one in batch:
                if not one.future.done():
                    await self._serve([one])
            return
        ends = np.cumsum([len(one.items) for one in batch])
        for one, end in zip(batch, ends, strict=True):
            if not one.future.done():
                one.future.set_result(values[end - len(one.items) : end])


class GatheringScorer(Scorer):
    """A scorer whose concurrent callers share calls."""

    def __init__(self, scorer: Scorer):
        self.name = scorer.name
        self._scorer = scorer
        self._gather: Gather[Rollout] = Gather(scorer.ascore)

    async def ascore(self, rollouts: Sequence[Rollout], /) -> FloatArray:
        """Return the scorer's own scores, computed together with what others ask for at the time."""
        return await self._gather(rollouts)

    def close(self) -> None:
        """Close the scorer."""
        self._scorer.close()
