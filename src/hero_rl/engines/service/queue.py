"""The bounded queue in front of the work: first come, first served, and a refusal when it is full."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from hero_rl.engines.service.errors import RequestError

MAX_RETRY_AFTER_S = 60
_MEMORY = 0.9
"""Decay of the running mean of request durations."""


class Queue:
    """Lets ``max_running`` requests work at a time and ``max_queued`` wait."""

    def __init__(self, max_running: int, max_queued: int):
        self.max_running, self.max_queued = max_running, max_queued
        self._slots = asyncio.Semaphore(max_running)
        self.running = self.queued = 0
        self._typical_s = 0.0

    def check(self) -> None:
        """Raise RequestError with a time to come back if one more request would find no place."""
        if self._slots.locked() and self.queued >= self.max_queued:
            wait_s = self._typical_s * (self.queued + self.running) / self.max_running
            retry_s = min(MAX_RETRY_AFTER_S, max(1, math.ceil(wait_s)))
            raise RequestError("busy", f"{self.running} requests run and {self.queued} wait; come back in {retry_s} s", retry_s)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait for a place and hold it for the length of the block; raises as ``check``."""
        self.check()
        self.queued += 1
        try:
            await self._slots.acquire()
        finally:
            self.queued -= 1
        self.running += 1
        start = time.monotonic()
        try:
            yield
        finally:
            self._typical_s = _MEMORY * self._typical_s + (1 - _MEMORY) * (time.monotonic() - start)
            self.running -= 1
            self._slots.release()
