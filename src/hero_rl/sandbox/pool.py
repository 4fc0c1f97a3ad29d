"""The sandbox: runs functions in killable worker processes, and always comes back.

Not a security boundary: a worker runs with this user's rights. It is a boundary against what takes for ever, eats the
memory, holds the interpreter lock or crashes the interpreter.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
import weakref
from collections.abc import Sequence

from hero_rl.errors import InputError
from hero_rl.sandbox.dispatch import Batch, Dispatcher
from hero_rl.sandbox.keeper import keep
from hero_rl.sandbox.outcomes import Outcome, Plain, SandboxSettings, SandboxStats
from hero_rl.sandbox.worker import MAX_MESSAGE_BYTES

_WAIT_FOR_ROOM_S = 0.01


class Sandbox:
    """A pool of owned worker processes that run ``module:function`` on plain data under a hard deadline.

    Workers are started at the first call (or by ``warm``), by ``subprocess``: neither forked from this process nor
    importing its ``__main__``. Safe to use from several threads and event loops. In a forked child it starts workers of
    its own.

    >>> from hero_rl.loop import run_sync
    >>> with Sandbox(SandboxSettings(workers=1)) as sandbox:
    ...     [outcome.value for outcome in run_sync(sandbox.run("math:factorial", [[3], [5]]))]
    [6, 120]
    """

    def __init__(self, settings: SandboxSettings | None = None):
        self.settings = settings or SandboxSettings()
        self._lock = threading.Lock()
        self._closed = False
        self._dispatcher = self._new_dispatcher()

    async def run(
        self, function: str, arguments: Sequence[Sequence[Plain]], /, *, deadline_s: float | None = None
    ) -> list[Outcome]:
        """Return one outcome for each element of ``arguments``, in order; cancelling it drops the checks that have not begun.

        Args:
            function: what to call, as ``"package.module:function"``; imported in the worker before the clock starts.
            arguments: the positional arguments of each call: what JSON can say (a tuple arrives as a list).
            deadline_s: seconds of wall time for each call, from its dispatch; None: the sandbox's setting.

        Raises:
            InputError: ``function`` is not importable by a worker, ``arguments`` are not plain data, or the sandbox is
                closed. What happens *in* a call never raises: it is an outcome.
        """
        batch = self._batch(function, arguments, deadline_s)
        if not batch.payloads:
            return []
        dispatcher = self._live()
        try:
            while not dispatcher.submit(batch):
                await asyncio.sleep(_WAIT_FOR_ROOM_S)
            return await asyncio.wrap_future(batch.future)
        except BaseException:
            batch.abandoned = True
            raise

    def warm(self) -> None:
        """Start all workers now and wait until they are warmed up.

        Raises:
            SignalError: a worker did not start.
        """
        self._live().warm()

    @property
    def stats(self) -> SandboxStats:
        """Counts so far; ``str()`` of it is one line."""
        return self._dispatcher.stats()

    @property
    def worker_pids(self) -> list[int]:
        """Process ids of the workers alive now."""
        return self._dispatcher.worker_pids()

    def close(self) -> None:
        """Kill and reap all workers; safe to call twice. Checks still waiting get the outcome ``crash``."""
        self._closed = True
        self._dispatcher.close()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _live(self) -> Dispatcher:
        if self._closed:
            raise InputError("this sandbox is closed: make a new one")
        if self._dispatcher.owner_pid != os.getpid():  # the only path to the lock: a fork cannot inherit it taken
            with self._lock:
                if self._dispatcher.owner_pid != os.getpid():
                    self._dispatcher = self._new_dispatcher()
        return self._dispatcher

    def _new_dispatcher(self) -> Dispatcher:
        dispatcher = Dispatcher(self.settings, keep)
        weakref.finalize(self, _close_soon, dispatcher).atexit = False
        return dispatcher

    def _batch(self, function: str, arguments: Sequence[Sequence[Plain]], deadline_s: float | None) -> Batch:
        module, _, attribute = function.partition(":")
        if not module or not attribute or module == "__main__":
            raise InputError(
                f"sandbox: function={function!r} cannot be imported by a worker: "
                "give 'package.module:function' of an importable module (not __main__)"
            )
        if deadline_s is not None and not deadline_s > 0:
            raise InputError(f"sandbox: deadline_s={deadline_s!r} must be greater than 0")
        return Batch(function, [_payload(one) for one in arguments], deadline_s or self.settings.deadline_s)


def _close_soon(dispatcher: Dispatcher) -> None:
    """Close in a thread of its own: the garbage collector may call this inside a thread that holds the queue's lock."""
    if os.getpid() == dispatcher.owner_pid and not dispatcher.closing:
        threading.Thread(target=dispatcher.close, name="hero-sandbox-close", daemon=True).start()


def _payload(arguments: Sequence[Plain]) -> str:
    try:
        text = json.dumps(list(arguments), separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"sandbox: arguments must be plain data that JSON can say ({error})") from error
    if len(text) > MAX_MESSAGE_BYTES:
        raise InputError(f"sandbox: arguments of {len(text)} bytes; the limit is {MAX_MESSAGE_BYTES}")
    return text
