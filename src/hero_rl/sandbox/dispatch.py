"""The queue of checks, shared by the callers and by the threads that look after the workers (``keeper``)."""

from __future__ import annotations

import atexit
import os
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import NamedTuple

from hero_rl.errors import InputError, SignalError
from hero_rl.sandbox.outcomes import Kind, Outcome, SandboxSettings, SandboxStats, default_workers
from hero_rl.sandbox.process import WorkerProcess

_JOIN_S = 10.0
_CLOSED = "the sandbox was closed"


class Batch:
    """Checks that one caller waits for together."""

    def __init__(self, function: str, payloads: Sequence[str], deadline_s: float):
        self.function = function
        self.payloads = payloads
        self.deadline_s = deadline_s
        self.outcomes: list[Outcome | None] = [None] * len(payloads)
        self.remaining = len(payloads)
        self.abandoned = False
        """True once nobody waits for it any more: its queued checks are dropped."""
        self.future: Future[list[Outcome]] = Future()
        self.future.set_running_or_notify_cancel()


class Item(NamedTuple):
    """One check: its batch, and its place there."""

    batch: Batch
    place: int

    @property
    def payload(self) -> str:
        """The arguments as JSON."""
        return self.batch.payloads[self.place]


class Dispatcher:
    """Queue, threads and counters of one sandbox in one process; ``keep`` is what each thread runs."""

    def __init__(self, settings: SandboxSettings, keep: Callable[[Dispatcher], None]):
        self.settings = settings
        self._keep = keep
        self.owner_pid = os.getpid()
        self.workers_wanted = settings.workers or default_workers()
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._ready = threading.Condition(self._lock)
        self._queue: deque[Item] = deque()
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._settled: dict[int, str] = {}
        """Per thread that has tried to start its first worker: "" or why that failed."""
        self._living: set[WorkerProcess] = set()
        self._closing = False
        self._counts: Counter[str] = Counter()
        atexit.register(self.close)

    def submit(self, batch: Batch) -> bool:
        """Queue a batch; False when there is no room for it now.

        Raises:
            InputError: the sandbox is closed.
        """
        with self._lock:
            if self._closing:
                raise InputError("this sandbox is closed: make a new one")
            if self._queue and len(self._queue) + batch.remaining > self.settings.max_queued:
                return False
            self._queue.extend(Item(batch, index) for index in range(batch.remaining))
            self._start_threads(min(self.workers_wanted, len(self._threads) - self._idle + len(self._queue)))
            self._work.notify(len(self._queue))
        return True

    def warm(self) -> None:
        """Start every worker and wait until all are ready.

        Raises:
            SignalError: a worker did not start.
        """
        with self._lock:
            self._start_threads(self.workers_wanted)
            while not self._closing and len(self._settled) < len(self._threads):
                self._ready.wait()
            failures = [failure for failure in self._settled.values() if failure]
        if failures:
            raise SignalError(f"the sandbox's worker did not start: {failures[0]}")

    def take(self, limit: int) -> list[Item]:
        """The next checks for one worker, at most ``limit``, all of one function and deadline; [] at the end."""
        with self._lock:
            while True:
                while self._queue and self._queue[0].batch.abandoned:
                    self._queue.popleft()
                if self._closing:
                    return []
                if self._queue:
                    break
                self._idle += 1
                self._work.wait()
                self._idle -= 1
            # Half of an even share at most, so that the last checks of a batch spread over all workers.
            share = len(self._queue) // (2 * self.workers_wanted)
            limit = max(1, min(limit, share, self.settings.chunk_size))
            first = self._queue.popleft()
            items, key = [first], (first.batch.function, first.batch.deadline_s)
            while len(items) < limit and self._queue:
                batch = self._queue[0].batch
                if batch.abandoned or (batch.function, batch.deadline_s) != key:
                    break
                items.append(self._queue.popleft())
            return items

    def put_back(self, items: Sequence[Item]) -> None:
        """Queue unfinished checks again, before all others."""
        with self._lock:
            if not self._closing:
                self._queue.extendleft(reversed(items))
                self._work.notify(len(items))
                return
        self.give_up(items, "crash", _CLOSED)

    def give_up(self, items: Iterable[Item], kind: Kind, detail: str) -> None:
        """Record one outcome for several checks that cannot be run."""
        for item in items:
            self.resolve(item, Outcome(kind, None, detail))

    def resolve(self, item: Item, outcome: Outcome) -> None:
        """Record what became of one check; the batch's last one wakes its caller."""
        batch = item.batch
        with self._lock:
            if batch.outcomes[item.place] is not None:
                return
            batch.outcomes[item.place] = outcome
            batch.remaining -= 1
            finished = batch.remaining == 0
            self._counts["checks"] += 1
            self._counts[outcome.kind] += 1
        if finished:
            batch.future.set_result([outcome for outcome in batch.outcomes if outcome is not None])

    def settle(self, failure: str) -> None:
        """Note that the calling thread's worker is ready, or why it is not."""
        with self._lock:
            self._settled[threading.get_ident()] = failure
            self._ready.notify_all()

    def adopt(self, worker: WorkerProcess) -> None:
        """Note a worker that has been started."""
        with self._lock:
            self._living.add(worker)
            self._counts["started"] += 1

    def forget(self, worker: WorkerProcess, why: str) -> None:
        """Note a worker that is gone; ``why`` is the counter to raise."""
        with self._lock:
            self._living.discard(worker)
            self._counts[why] += 1

    def count(self, *names: str) -> None:
        """Raise counters by one."""
        with self._lock:
            self._counts.update(names)

    @property
    def closing(self) -> bool:
        """Whether the end has begun."""
        return self._closing

    def stats(self) -> SandboxStats:
        """Counts so far."""
        with self._lock:
            counts = Counter(self._counts)
        names = ("checks", "timeout", "crash", "memory", "error", "started", "respawns", "recycled")
        return SandboxStats(*(counts[name] for name in names))

    def worker_pids(self) -> list[int]:
        """Process ids of the living workers."""
        with self._lock:
            return [pid for worker in self._living for pid in worker.pids]

    def close(self) -> None:
        """Kill and reap every worker, end the threads, and give what still waits a ``crash`` outcome."""
        if os.getpid() != self.owner_pid:
            return  # a forked copy: the workers are the original's
        atexit.unregister(self.close)
        with self._lock:
            self._closing = True
            left, workers = list(self._queue), list(self._living)
            self._queue.clear()
            for condition in (self._work, self._ready):
                condition.notify_all()
        for worker in workers:
            worker.interrupt()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(_JOIN_S)
        self.give_up(left, "crash", _CLOSED)

    def _start_threads(self, wanted: int) -> None:
        while len(self._threads) < wanted:
            thread = threading.Thread(target=self._keep, args=(self,), name=f"hero-sandbox-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()
