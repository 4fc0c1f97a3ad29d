"""Places for a limited number at a time, given out in turns, so that nobody's many requests come before another's one."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager


class Turns:
    """A semaphore whose waiters take turns by key: those who wait under one key count as one."""

    def __init__(self, places: int, *, extra: int = 0):
        """Give out ``places`` at a time, and up to ``extra`` more to keys that hold none."""
        self.places, self.extra = places, extra
        self._held: Counter[Hashable] = Counter()
        self._waiting: OrderedDict[Hashable, deque[asyncio.Future[None]]] = OrderedDict()
        """In the order of turns; no entry is empty."""

    @property
    def held(self) -> int:
        """Places that are given out."""
        return self._held.total()

    @property
    def waiting(self) -> int:
        """Requests that wait."""
        return sum(map(len, self._waiting.values()))

    def waiting_of(self, key: Hashable) -> int:
        """Return how many requests wait under ``key``."""
        return len(self._waiting.get(key, ()))

    def free(self, key: Hashable) -> bool:
        """Return whether a request under ``key`` would get a place at once."""
        return key not in self._waiting and self._has_room(key)

    @asynccontextmanager
    async def place(self, key: Hashable) -> AsyncIterator[None]:
        """Wait for a place and hold it for the length of the block."""
        if self.free(key):
            self._held[key] += 1
        else:
            await self._turn(key)
        try:
            yield
        finally:
            self._give_back(key)

    def _has_room(self, key: Hashable) -> bool:
        return self.held < self.places + (0 if self._held[key] else self.extra)

    async def _turn(self, key: Hashable) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, deque()).append(future)
        try:
            await future  # its place is counted by whoever gives it
        except asyncio.CancelledError:
            if not future.cancelled():  # it was given a place in the same moment
                self._give_back(key)
            raise
        finally:
            self._forget(key, future)

    def _forget(self, key: Hashable, future: asyncio.Future[None]) -> None:
        waiting = self._waiting.get(key, deque())
        if future in waiting:
            waiting.remove(future)
            if not waiting:
                del self._waiting[key]

    def _give_back(self, key: Hashable) -> None:
        self._held[key] -= 1
        if not self._held[key]:
            del self._held[key]
        while self.held < self.places + self.extra:
            waiter = next(filter(self._has_room, self._waiting), None)
            if waiter is None:
                return
            future = self._waiting[waiter][0]
            self._forget(waiter, future)
            if waiter in self._waiting:
                self._waiting.move_to_end(waiter)
            if not future.done():  # else it was cancelled, and leaves by itself
                self._held[waiter] += 1
                future.set_result(None)
