"""The sandbox: runs functions in killable worker processes, and always comes back.

Not a security boundary: a worker runs with this user's rights. It is a boundary against what takes for ever, eats the
memory, holds the interpreter lock or crashes the interpreter.
"""

from __future__ import annotations

import functools
import json
import math
from collections import Counter
from collections.abc import Sequence

from hero_rl.errors import InputError
from hero_rl.loop import OnLoop, in_the_background, run_sync
from hero_rl.sandbox.outcomes import Outcome, Plain, SandboxSettings, SandboxStats
from hero_rl.sandbox.pool import Batch, Pool
from hero_rl.sandbox.worker import MAX_MESSAGE_BYTES

_CLOSE_TIMEOUT_S = 10.0


class Sandbox:
    """A pool of owned worker processes that run ``module:function`` on plain data under a hard deadline.

    A call that was ``too_hard`` is remembered and not made again.

    Workers start at the first call (or by ``warm``), neither forked from this process nor importing its ``__main__``. Safe to
    use from several threads and event loops. In a forked child it starts workers of its own.

    >>> from hero_rl.loop import run_sync
    >>> with Sandbox(SandboxSettings(workers=1)) as sandbox:
    ...     [outcome.value for outcome in run_sync(sandbox.run("math:factorial", [[3], [5]]))]
    [6, 120]
    """

    def __init__(self, settings: SandboxSettings | None = None):
        self.settings = settings or SandboxSettings()
        self._closed = False
        self._counts: Counter[str] = Counter()
        self._pool = OnLoop(functools.partial(Pool, self.settings, self._counts))

    async def run(
        self,
        function: str,
        arguments: Sequence[Sequence[Plain]],
        /,
        *,
        shared: Sequence[Plain] = (),
        deadline_s: float | None = None,
    ) -> list[Outcome]:
        """Return one outcome for each element of ``arguments``, in order; cancelling it drops the calls that have not begun.

        Args:
            function: what to call, as ``"package.module:function"``; imported in the worker before the clock starts.
            arguments: the positional arguments of each call: what JSON can say (a tuple arrives as a list).
            shared: where given, ``function`` is called with these once in each worker, before the clock starts, and the calls
                are of what it returns.
            deadline_s: seconds of CPU time for each call; None: the sandbox's setting.

        Raises:
            InputError: ``function`` is not importable by a worker, ``arguments`` are not plain data, ``deadline_s`` is not
                above 0, or the sandbox is closed. What happens *in* a call never raises: it is an outcome.
        """
        module, _, attribute = function.partition(":")
        if not module or not attribute or module == "__main__":
            raise InputError(
                f"sandbox: function={function!r} cannot be imported by a worker: "
                "give 'package.module:function' of an importable module (not __main__)"
            )
        if deadline_s is None:
            deadline_s = self.settings.deadline_s
        if not 0 < deadline_s < math.inf:
            raise InputError(f"sandbox: deadline_s={deadline_s!r} must be greater than 0 and finite")
        calls = [_as_json(one) for one in arguments]
        batch = Batch((function, _as_json(shared)), calls, deadline_s)
        self._check_open()
        return await in_the_background(self._run(batch)) if calls else []

    def warm(self) -> None:
        """Start all workers now and wait until they are warmed up.

        Raises:
            SignalError: a worker did not start.
        """
        self._check_open()
        run_sync(self._warm())

    @property
    def stats(self) -> SandboxStats:
        """Counts so far; ``str()`` of it is one line."""
        names = ("checks", "too_hard", "timeout", "crash", "memory", "error", "started", "respawns", "recycled")
        return SandboxStats(*(self._counts[name] for name in names))

    @property
    def worker_pids(self) -> list[int]:
        """Process ids of the process that workers are forked from, and of the workers alive now."""
        return self._pool.value.pids() if self._pool.value else []

    def close(self) -> None:
        """Kill and reap all workers; safe to call twice. Checks still waiting get the outcome ``crash``."""
        self._closed = True
        self._pool.close(_CLOSE_TIMEOUT_S)

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def _run(self, batch: Batch) -> list[Outcome]:
        self._check_open()
        return await self._pool.get().run(batch)

    async def _warm(self) -> None:
        await self._pool.get().warm()

    def _check_open(self) -> None:
        if self._closed:
            raise InputError("this sandbox is closed: make a new one")


def _as_json(arguments: Sequence[Plain]) -> str:
    if sum(len(one) for one in arguments if isinstance(one, str)) > MAX_MESSAGE_BYTES:
        raise InputError(f"sandbox: arguments of more than {MAX_MESSAGE_BYTES} bytes")
    try:
        text = json.dumps(list(arguments), separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"sandbox: arguments must be plain data that JSON can say ({error})") from error
    if len(text) > MAX_MESSAGE_BYTES:
        raise InputError(f"sandbox: arguments of {len(text)} bytes; the limit is {MAX_MESSAGE_BYTES}")
    return text
