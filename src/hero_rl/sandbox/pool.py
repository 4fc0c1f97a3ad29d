"""The batches of a sandbox's calls, and the workers that make them. Everything here runs on the background loop.

Batches take turns, and one that has no worker gets one beyond the usual number (up to twice as many), because a call of another
batch may take until its deadline; it stays until all are idle. What a call may take is counted in CPU time, so the crowd
changes no outcome.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import json
import logging
import signal
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from hero_rl.errors import SignalError, first_line
from hero_rl.sandbox.budget import current_budget
from hero_rl.sandbox.outcomes import WALL_PER_CPU, Kind, Outcome, SandboxSettings, default_workers
from hero_rl.sandbox.process import REPLY_TIMEOUT_S, StartFailed, WarmProcess, Worker

_log = logging.getLogger(__name__)
_CLOSED = "the sandbox was closed"
_REMEMBERED = 10_000
"""Calls that were too hard."""
_QUIET_S = 1.0
"""When no worker has anything to do, those beyond the usual number end so much later."""


class Batch:
    """Calls that one caller waits for together."""

    def __init__(self, function: tuple[str, str], calls: Sequence[str], deadline_s: float) -> None:
        self.function = function
        """Its name, and the arguments that all calls share."""
        self.calls = calls
        self.deadline_s = float(deadline_s)
        self.outcomes: list[Outcome | None] = [None] * len(calls)
        self.remaining = len(calls)
        self.budget = current_budget()
        self.done = asyncio.Event()
        """All calls are made, or the budget is spent."""
        self.abandoned = False
        self.waiting: deque[int] = deque()
        """Places of the calls that no worker has taken."""
        self.workers = 0
        """Those that make its calls now."""
        self._begin = hashlib.sha256(f"{function} {deadline_s} ".encode())

    def key(self, place: int) -> bytes:
        """Return the digest of a call, and of all that decides whether it is too hard."""
        digest = self._begin.copy()
        digest.update(self.calls[place].encode())
        return digest.digest()


class _Item(NamedTuple):
    """One call: its batch, and its place there."""

    batch: Batch
    place: int


class Pool:
    """Queue and workers of a sandbox in one process."""

    def __init__(self, settings: SandboxSettings, counts: Counter[str]) -> None:
        self.closed = False
        self._counts = counts
        self._clock = asyncio.get_running_loop().time
        self._settings = settings
        self._wanted = settings.workers or default_workers()
        self._batches: deque[Batch] = deque()
        """Those with calls that wait, in the order of their turns."""
        self._tasks: set[asyncio.Task[Any]] = set()
        """One per worker that is busy, or is being ended."""
        self._idle: list[Worker] = []
        """The one that finished last is used first."""
        self._alive: set[Worker] = set()
        self._warm_process: WarmProcess | None = None
        self._starting = asyncio.Lock()
        self._too_hard: dict[bytes, Outcome] = {}

    async def run(self, batch: Batch) -> list[Outcome]:
        """Return the outcomes of a batch; raises TooHardError where its budget does not suffice."""
        for place in range(len(batch.calls)):
            if known := self._too_hard.get(batch.key(place)):
                self._resolve(_Item(batch, place), known)
            else:
                batch.waiting.append(place)
        self._batches.append(batch)
        self._dispatch()
        try:
            await batch.done.wait()
        finally:
            batch.abandoned = True
        if batch.budget and batch.remaining:
            raise batch.budget.error()
        return [outcome for outcome in batch.outcomes if outcome is not None]

    async def warm(self) -> None:
        """Start the workers that are missing.

        Raises:
            SignalError: a worker did not start.
        """
        try:
            await asyncio.shield(self._start_missing())  # cut off, a fork would leave its reply to the next one
        except StartFailed as error:
            raise SignalError(f"the sandbox's worker did not start: {error}") from None

    async def _start_missing(self) -> None:
        async with self._starting:
            while len(self._alive) < self._wanted:
                self._idle.append(await self._fork())

    def pids(self) -> list[int]:
        """Return the process ids of the warm process and of the workers alive now."""
        warm_process = self._warm_process
        return [] if warm_process is None else [warm_process.pid, *(worker.pid for worker in list(self._alive))]

    async def close(self) -> None:
        """Kill and reap all; what waits gets the outcome ``crash``."""
        self.closed = True
        for batch in self._batches:
            self._give_up([_Item(batch, place) for place in batch.waiting], _CLOSED)
        self._batches.clear()
        for worker in self._alive:
            worker.kill()
        if self._warm_process is not None:
            await self._warm_process.close()
        await asyncio.gather(*self._tasks)
        for worker in self._idle:
            worker.bury(0)
        self._idle, self._alive, self._warm_process = [], set(), None

    def _dispatch(self) -> None:
        """Give calls that wait to workers that have nothing to do."""
        while (batch := self._next()) is not None:
            worker = self._idle.pop() if self._idle else None
            limit = self._settings.recycle_after - (worker.checks if worker else 0)
            # Half of an even share at most, so that the last calls of a batch spread over all workers.
            limit = max(1, min(limit, self._settings.chunk_size, len(batch.waiting) // (2 * self._wanted)))
            items = [_Item(batch, batch.waiting.popleft()) for _ in range(min(limit, len(batch.waiting)))]
            batch.workers += 1
            task = asyncio.ensure_future(self._serve(worker, items))
            self._tasks.add(task)
            task.add_done_callback(functools.partial(self._served, batch))

    def _next(self) -> Batch | None:
        """Return the batch whose turn it is, which then waits for all others; None where there is no worker for any."""
        self._batches = deque(one for one in self._batches if one.waiting and not one.abandoned)
        if len(self._tasks) >= 2 * self._wanted:
            return None
        for batch in self._batches:
            if len(self._tasks) < self._wanted or not batch.workers:
                self._batches.remove(batch)
                self._batches.append(batch)
                return batch
        return None

    def _served(self, batch: Batch, task: asyncio.Task[None]) -> None:
        batch.workers -= 1
        self._tasks.discard(task)
        self._dispatch()
        if not self._tasks and len(self._idle) > self._wanted:
            asyncio.get_running_loop().call_later(_QUIET_S, self._end_surplus)

    def _end_surplus(self) -> None:
        """End idle workers beyond the usual number, those not used for longest; when any is busy, later."""
        surplus = [] if self._tasks else self._idle[: -self._wanted]
        del self._idle[: len(surplus)]
        for worker in surplus:
            task = asyncio.ensure_future(self._lose(worker, "recycled"))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _serve(self, worker: Worker | None, items: list[_Item]) -> None:
        """Have a worker make some calls. It stays, or is lost."""
        try:
            while worker is None or not worker.alive:
                worker = await self._replaced(worker)
            failure = await self._load(worker, items[0].batch.function)
            if failure:
                self._give_up(items, failure, "error")
            elif not await self._run(worker, items):
                return
            if worker.checks < self._settings.recycle_after:
                self._idle.append(worker)
            else:
                await self._lose(worker, "recycled")
        except StartFailed as error:
            self._give_up(items, f"the worker did not start: {error}")
        except Exception as error:  # noqa: BLE001 - or the callers would wait for ever
            _log.exception("the sandbox failed on its own side")
            if worker in self._alive:
                await self._lose(worker)
            self._give_up(items, f"{type(error).__name__}: {error}")

    async def _replaced(self, dead: Worker | None) -> Worker:
        if dead is not None:
            await self._lose(dead)
        async with self._starting:
            return self._idle.pop() if self._idle else await self._fork()

    async def _fork(self) -> Worker:
        """Start a worker, and before the first one the process that it is a fork of."""
        if self.closed:
            raise StartFailed(_CLOSED)
        if self._warm_process is None or not self._warm_process.alive:
            if self._warm_process is not None:
                await self._warm_process.close()
            try:
                self._warm_process = WarmProcess(self._settings)
            except OSError as error:
                raise StartFailed(first_line(error)) from error
        worker = await self._warm_process.fork()
        self._alive.add(worker)
        self._counts["started"] += 1
        if self.closed:
            worker.kill()
            raise StartFailed(_CLOSED)
        return worker

    async def _load(self, worker: Worker, function: tuple[str, str]) -> str:
        """Have a worker import a function; return "" or why that failed."""
        if worker.loaded == function:
            return ""
        name, shared = function
        limit = self._clock() + self._settings.start_timeout_s
        await worker.send(f'{{"load":{json.dumps(name)},"shared":{shared}}}', limit)
        with suppress(TimeoutError):
            line = await worker.line(limit)
            if line:
                failure = json.loads(line)
                worker.loaded = None if failure else function
                return failure
        _, ended = await self._lose(worker)
        raise StartFailed(f"{name} could not be imported ({ended})")

    async def _run(self, worker: Worker, items: list[_Item]) -> bool:
        """Have a worker make calls, each until its deadline; return whether it can make more.

        Where it died or had to be killed, the call at fault gets its outcome, and those after it are queued again.
        """
        cpu_s = items[0].batch.deadline_s
        calls = ",".join(item.batch.calls[item.place] for item in items)
        message = f'{{"cpu_s":{cpu_s!r},"wall_s":{WALL_PER_CPU * cpu_s!r},"checks":[{calls}]}}'
        await worker.send(message, self._clock() + WALL_PER_CPU * cpu_s)
        done, at_fault = await self._collect(worker, items, WALL_PER_CPU * cpu_s)
        if done == len(items) and not worker.killed:
            return True
        timed_out = worker.killed
        exit_code, ended = await self._lose(worker)
        if self.closed:
            self._give_up(items[done:], _CLOSED)
            return False
        if at_fault and done < len(items):
            end = _end(exit_code, ended, cpu_s, timed_out=timed_out)
            self._resolve(items[done], end, cpu_s if end.kind == "too_hard" else 0.0)
            done += 1
        batch = items[0].batch
        batch.waiting.extendleft(item.place for item in reversed(items[done:]))
        if batch not in self._batches:
            self._batches.appendleft(batch)
        return False

    async def _collect(self, worker: Worker, items: list[_Item], wall_s: float) -> tuple[int, bool]:
        """Take the outcomes of calls; return how many are done, and if the worker is lost by the fault of the next one."""
        done, at_fault, limit = 0, True, self._clock() + wall_s
        while done < len(items):
            try:
                line = await worker.line(limit)
            except TimeoutError:
                if worker.killed:
                    break
                worker.kill()
                limit = self._clock() + REPLY_TIMEOUT_S
                continue
            reply = _read(line, done)
            if reply is None:
                break
            outcome, cpu_s = reply
            if worker.killed:
                at_fault = False  # this one was done before the kill, and the next one is not at fault
            elif outcome.kind == "memory":
                worker.kill()
                at_fault = False
                if worker.checks:  # earlier calls may have filled it: once more, in a new one
                    break
            else:
                limit = self._clock() + wall_s
            self._resolve(items[done], outcome, cpu_s)
            worker.checks += 1
            done += 1
        return done, at_fault

    async def _lose(self, worker: Worker, counted: str = "respawns") -> tuple[int, str]:
        """Kill a worker; return its exit code, and in words how it ended."""
        self._alive.discard(worker)
        self._counts[counted] += 1
        worker.kill()
        exit_code = await worker.origin.reap(worker.pid)
        return exit_code, worker.bury(exit_code)

    def _give_up(self, items: Iterable[_Item], detail: str, kind: Kind = "crash") -> None:
        for item in items:
            self._resolve(item, Outcome(kind, None, detail))

    def _resolve(self, item: _Item, outcome: Outcome, cpu_s: float = 0.0) -> None:
        """Record what became of one call; the batch's last one, or the last that its budget allows, wakes its caller."""
        batch = item.batch
        if batch.outcomes[item.place] is not None:
            return
        batch.outcomes[item.place] = outcome
        if outcome.kind in ("too_hard", "memory"):
            self._too_hard[batch.key(item.place)] = outcome
            if len(self._too_hard) > _REMEMBERED:
                del self._too_hard[next(iter(self._too_hard))]
        batch.remaining -= 1
        self._counts["checks"] += 1
        self._counts[outcome.kind] += 1
        if batch.budget:
            batch.budget.left_s -= cpu_s
        if not batch.remaining or (batch.budget and batch.budget.left_s < 0.0):
            batch.done.set()


def _read(line: bytes, place: int) -> tuple[Outcome, float] | None:
    """Return the outcome that a worker wrote, and its CPU time; None where the line is not what a worker writes."""
    try:
        index, kind, content, cpu_s = json.loads(line)
    except (ValueError, TypeError):
        return None
    if index != place or kind not in ("value", "error", "memory"):
        return None
    return Outcome("value", content) if kind == "value" else Outcome(kind, None, str(content)), cpu_s


def _end(exit_code: int, ended: str, cpu_s: float, *, timed_out: bool) -> Outcome:
    """Return the outcome of the call that cost a worker its life."""
    if exit_code == -signal.SIGPROF:
        return Outcome("too_hard", None, f"more than {cpu_s:g} s of CPU time")
    if timed_out or exit_code == -signal.SIGALRM:
        return Outcome("timeout", None, f"no answer within {WALL_PER_CPU * cpu_s:g} s, with less than {cpu_s:g} s of CPU time")
    return Outcome("crash", None, ended)
