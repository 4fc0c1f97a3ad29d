"""``Memo``: compute each result once.

What a batch asks for is looked for in three places before it is computed: in the batch itself (rows with the same key), among
what another caller in this process is computing at the moment, and in the cache on disk. All of it runs on the background
loop, wherever the callers are: no lock, and no caller who holds up a loop of its own holds up the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

from hero_rl.cache.store import Cache
from hero_rl.loop import in_the_background, in_thread

V = TypeVar("V")


class Codec(NamedTuple, Generic[V]):
    """How a result is written into the cache and read from it."""

    encode: Callable[[V], bytes | None]
    """None: a result that must not be kept, such as a failure."""
    decode: Callable[[bytes], V | None]
    """None: bytes that cannot be read; the result is computed again."""


class MemoStats(NamedTuple):
    """Rows since the start, by where their results came from; ``str()`` gives one line.

    ``rows`` is the sum of ``stored``, ``repeated``, ``shared`` and ``computed``.
    """

    rows: int = 0
    stored: int = 0
    """Read from the cache on disk."""
    repeated: int = 0
    """The same as an earlier row of their batch."""
    shared: int = 0
    """Computed at that moment for another caller."""
    computed: int = 0
    not_kept: int = 0
    """Of those computed: failures, which are never stored."""

    @property
    def hit_rate(self) -> float:
        """Share of the distinct rows that were on disk, in [0, 1]."""
        asked = self.stored + self.computed
        return self.stored / asked if asked else 0.0

    @property
    def saved(self) -> float:
        """Share of all rows that needed no computation, in [0, 1]."""
        return 1.0 - self.computed / self.rows if self.rows else 0.0

    def since(self, earlier: MemoStats) -> MemoStats:
        """Return the difference to ``earlier``."""
        return MemoStats(*(now - then for now, then in zip(self, earlier, strict=True)))

    def use(self) -> dict[str, int | float]:
        """Return the counts and the hit rate by name."""
        return {**self._asdict(), "hit_rate": round(self.hit_rate, 4)}

    def __str__(self) -> str:
        """One line for a log."""
        return (
            f"{self.rows} rows: {self.stored} from the cache ({self.hit_rate:.0%} of those asked for), "
            f"{self.repeated} repeated, {self.shared} shared, {self.computed} computed, {self.not_kept} of them failed"
        )


class Memo(Generic[V]):
    """Results by key: from the batch, from other callers, from the cache, or computed."""

    def __init__(self, codec: Codec[V], cache: Cache | None) -> None:
        """Keep results in ``cache``; None: only do not compute the same thing twice at once."""
        self._codec, self._cache = codec, cache
        self._loop: asyncio.AbstractEventLoop | None = None
        self._under_way: dict[bytes, asyncio.Future[V | None]] = {}
        """Results being computed; None in the end where one was not, and whoever waited computes it himself."""
        self.stats = MemoStats()
        """Counts since the start."""

    async def run(self, keys: Sequence[bytes | None], compute: Callable[[list[int]], Awaitable[Sequence[V]]]) -> list[V]:
        """Return one result per row, in order.

        Args:
            keys: of each row; None: this row is like no other.
            compute: gives one result for each row number that it is given.
        """
        return await in_the_background(self._run(keys, compute))

    async def _run(self, keys: Sequence[bytes | None], compute: Callable[[list[int]], Awaitable[Sequence[V]]]) -> list[V]:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:  # at first, and in a forked process, where nobody computes what the parent began
            self._loop, self._under_way = loop, {}
        places: dict[bytes | int, int] = {}
        for row, key in enumerate(keys):
            places.setdefault(row if key is None else key, row)
        named = [key for key in places if isinstance(key, bytes)]
        others = {key: self._under_way[key] for key in named if key in self._under_way}
        own = {key: loop.create_future() for key in named if key not in others}
        self._under_way |= own
        found: dict[bytes | int, V] = {}
        try:
            found |= await self._look_up(list(own))
            found |= await self._compute([key for key in places if key not in found and key not in others], places, compute)
        finally:
            for key, future in own.items():
                del self._under_way[key]
                future.set_result(found.get(key))
        shared = {key: await asyncio.shield(future) for key, future in others.items()}
        known = {key: value for key, value in shared.items() if value is not None}
        self._count(rows=len(keys), repeated=len(keys) - len(places), shared=len(known))
        found |= known
        found |= await self._compute([key for key in others if key not in found], places, compute)
        return [found[row if key is None else key] for row, key in enumerate(keys)]

    async def _compute(
        self, keys: list[bytes | int], places: dict[bytes | int, int], compute: Callable[[list[int]], Awaitable[Sequence[V]]]
    ) -> dict[bytes | int, V]:
        if not keys:
            return {}
        new = dict(zip(keys, await compute([places[key] for key in keys]), strict=True))
        encoded = {key: self._codec.encode(value) for key, value in new.items()}
        self._count(computed=len(new), not_kept=sum(value is None for value in encoded.values()))
        if self._cache is not None:
            kept = {key: value for key, value in encoded.items() if value is not None and isinstance(key, bytes)}
            await in_thread(self._cache.put_many, kept)
        return new

    async def _look_up(self, keys: list[bytes]) -> dict[bytes, V]:
        if self._cache is None or not keys:
            return {}
        stored = await in_thread(self._cache.get_many, keys)
        values = {key: self._codec.decode(value) for key, value in stored.items()}
        found = {key: value for key, value in values.items() if value is not None}
        if len(found) < len(values):
            await in_thread(self._cache.delete_many, [key for key in values if key not in found])
        self._count(stored=len(found))
        return found

    def _count(self, **added: int) -> None:
        self.stats = self.stats._replace(**{name: getattr(self.stats, name) + count for name, count in added.items()})
