"""One thread a worker: it starts the worker, feeds it, kills it at a deadline and starts the next.

The thread takes a few checks, sends them in one message, and counts a deadline for each from the moment that the worker
could begin on it. It is the only one to touch its worker, and lives as long as it.
"""

from __future__ import annotations

import json
import logging
import signal
import time
from collections.abc import Sequence

from hero_rl.sandbox.dispatch import Dispatcher, Item
from hero_rl.sandbox.outcomes import Outcome
from hero_rl.sandbox.process import SMALL_MESSAGE_BYTES, DeadlinePassed, StartFailed, WorkerGone, WorkerProcess, describe_exit

log = logging.getLogger(__name__)

_START_ATTEMPTS = 2


def keep(dispatcher: Dispatcher) -> None:
    """Look after one worker until the sandbox closes; the body of one thread."""
    Keeper(dispatcher).live()


class Keeper:
    """A thread's worker, and what is done with it."""

    def __init__(self, dispatcher: Dispatcher):
        self._dispatcher = dispatcher
        self._settings = dispatcher.settings
        self._worker: WorkerProcess | None = None

    def live(self) -> None:
        """Serve checks until the sandbox closes."""
        try:
            self._prepare_worker()
            while items := self._dispatcher.take(self._checks_left()):
                try:
                    self._serve(items)
                except Exception as error:
                    log.exception("the sandbox failed on its own side")
                    self._lose_worker()
                    self._dispatcher.give_up(items, "crash", f"{type(error).__name__}: {error}")
                self._prepare_worker()
        finally:
            if self._worker is not None:
                self._worker.kill()
                self._dispatcher.forget(self._worker, "closed")

    def _checks_left(self) -> int:
        done = self._worker.checks if self._worker else 0
        return self._settings.recycle_after - done

    def _prepare_worker(self) -> None:
        """Start a worker before there is a check for it: none waits while it warms up. A failure is met again later."""
        if self._dispatcher.closing:
            return
        try:
            self._ensure_worker()
        except StartFailed as error:
            self._dispatcher.settle(str(error))
        else:
            self._dispatcher.settle("")

    def _ensure_worker(self) -> WorkerProcess:
        if self._worker is not None and self._worker.usable():
            return self._worker
        self._lose_worker()
        for attempt in range(1, _START_ATTEMPTS + 1):
            try:
                return self._start_worker()
            except StartFailed:
                if attempt == _START_ATTEMPTS or self._dispatcher.closing:
                    raise
        raise AssertionError("unreachable")

    def _start_worker(self) -> WorkerProcess:
        try:
            worker = WorkerProcess(memory_bytes=self._settings.memory_bytes)
        except OSError as error:
            raise StartFailed(str(error)) from error
        self._dispatcher.adopt(worker)
        if self._dispatcher.closing:
            worker.interrupt()  # close() may have looked before this worker was there
        try:
            worker.start(self._settings.warm_up, timeout_s=self._settings.start_timeout_s)
        except StartFailed:
            worker.kill()
            self._dispatcher.forget(worker, "start_failures")
            raise
        self._worker = worker
        return worker

    def _lose_worker(self) -> None:
        if self._worker is not None:
            self._worker.kill()
            self._dispatcher.forget(self._worker, "respawns")
            self._worker = None

    def _serve(self, items: list[Item]) -> None:
        function = items[0].batch.function
        try:
            worker = self._ensure_worker()
            failure = "" if function in worker.prepared else self._prepare(worker, function)
        except StartFailed as error:
            self._dispatcher.give_up(items, "crash", f"the worker did not start: {error}")
            return
        if failure:
            self._dispatcher.give_up(items, "error", failure)
            return
        self._run(worker, items)
        if self._worker is not None and self._checks_left() <= 0:
            if self._worker.end_child() is None:
                self._lose_worker()
            else:
                self._dispatcher.count("started", "recycled")

    def _prepare(self, worker: WorkerProcess, function: str) -> str:
        try:
            return worker.prepare([function], time.monotonic() + self._settings.start_timeout_s)
        except (DeadlinePassed, WorkerGone) as error:
            self._lose_worker()
            raise StartFailed(f"{function} could not be imported") from error

    def _run(self, worker: WorkerProcess, items: list[Item]) -> None:
        batch = items[0].batch
        line = _message(batch.function, batch.deadline_s, items)
        blame: str | None = None
        position, started = 0, time.monotonic()
        try:
            worker.send(line, started + batch.deadline_s)
            while position < len(items):
                outcome = _outcome(worker.receive(started + batch.deadline_s), position, started)
                self._dispatcher.resolve(items[position], outcome)
                position, started = position + 1, time.monotonic()
                worker.checks += 1
                if outcome.kind == "memory":
                    break
            else:
                return
        except DeadlinePassed:
            blame = "timeout"
        except WorkerGone:
            blame = "crash"
        self._bury(worker, line, items, position, started, blame)

    def _bury(
        self, worker: WorkerProcess, line: bytes, items: list[Item], position: int, started: float, blame: str | None
    ) -> None:
        """Kill the process; the check at fault gets its outcome, finished ones are kept, the rest go back."""
        death = worker.end_child() if len(line) <= SMALL_MESSAGE_BYTES else None
        if death is None:
            death = worker.kill()
            self._lose_worker()
        else:
            self._dispatcher.count("started", "respawns")
        for late in death.lines[: len(items) - position]:  # finished between the deadline and the kill
            try:
                self._dispatcher.resolve(items[position], _outcome(late, position, started))
            except WorkerGone:
                break
            position, blame = position + 1, None
        if blame is not None and position < len(items) and not self._dispatcher.closing:
            elapsed_s = time.monotonic() - started
            outcome = Outcome("crash", None, describe_exit(death), elapsed_s)
            if blame == "timeout" or death.exit_code == -signal.SIGALRM:
                limit_s = items[position].batch.deadline_s
                outcome = Outcome("timeout", None, f"no answer within {limit_s:g} s", elapsed_s)
            self._dispatcher.resolve(items[position], outcome)
            position += 1
        self._dispatcher.put_back(items[position:])


def _message(function: str, deadline_s: float, items: Sequence[Item]) -> bytes:
    checks = ",".join(item.payload for item in items)
    head = f'{{"function":{json.dumps(function)},"deadline_s":{deadline_s!r},"checks":['
    return f"{head}{checks}]}}\n".encode("ascii")


def _outcome(line: bytes, position: int, started: float) -> Outcome:
    """The outcome that a worker wrote.

    Raises:
        WorkerGone: the line is not what a worker writes; its process cannot be trusted.
    """
    elapsed_s = time.monotonic() - started
    try:
        index, kind, content = json.loads(line)
    except (ValueError, TypeError) as error:
        raise WorkerGone from error
    if index != position or kind not in ("value", "error", "memory"):
        raise WorkerGone
    return Outcome("value", content, "", elapsed_s) if kind == "value" else Outcome(kind, None, str(content), elapsed_s)
