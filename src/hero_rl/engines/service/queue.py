"""The bounded queue in front of the work: runs take turns, and a request is refused when it is full."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from hero_rl.engines.service.errors import RequestError
from hero_rl.turns import Turns

MAX_RETRY_AFTER_S = 60
_MEMORY = 0.9
"""Decay of the running mean of request durations."""


class Queue:
    """Lets ``max_running`` requests work at a time, as many more of runs with none, and ``max_queued`` of each run wait."""

    def __init__(self, max_running: int, max_queued: int):
        self.max_running, self.max_queued = max_running, max_queued
        self._turns = Turns(max_running, extra=max_running)
        self._typical_s = 0.0

    @property
    def running(self) -> int:
        """Requests at work."""
        return self._turns.held

    @property
    def queued(self) -> int:
        """Requests that wait."""
        return self._turns.waiting

    def check(self, run_id: str) -> None:
        """Raise RequestError with a time to come back if one more request of the run would find no place."""
        if not self._turns.free(run_id) and self._turns.waiting_of(run_id) >= self.max_queued:
            wait_s = self._typical_s * (self.queued + self.running) / self.max_running
            retry_s = min(MAX_RETRY_AFTER_S, max(1, math.ceil(wait_s)))
            raise RequestError("busy", f"{self.running} requests run and {self.queued} wait; come back in {retry_s} s", retry_s)

    @asynccontextmanager
    async def slot(self, run_id: str) -> AsyncIterator[None]:
        """Wait for a place and hold it for the length of the block; raises as ``check``."""
        self.check(run_id)
        async with self._turns.place(run_id):
            start = time.monotonic()
            try:
                yield
            finally:
                self._typical_s = _MEMORY * self._typical_s + (1 - _MEMORY) * (time.monotonic() - start)
