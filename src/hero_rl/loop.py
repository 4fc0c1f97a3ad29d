"""The one event loop in the background, on which callers without a loop have coroutines run; and threads for work that blocks.

The loop and all threads are daemons: they hold up neither Ctrl-C nor the end of the program. A forked process starts its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import os
import queue
import threading
import weakref
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from typing import Any, Generic, ParamSpec, Protocol, TypeAlias, TypeVar, cast

T = TypeVar("T")
P = ParamSpec("P")
_Jobs: TypeAlias = "queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]]]"

MAX_IDLE_THREADS = 8
WAKE_S = 0.5

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None
_idle: list[_Jobs] = []
"""Of threads that wait for work; the one that finished last is used first, as it is the one whose caches are warm."""
_left_behind: list[object] = []


def background() -> asyncio.AbstractEventLoop:
    """Return the loop of this process, which the first call starts."""
    global _loop
    with _lock:
        if _loop is None:
            _loop = asyncio.new_event_loop()
            threading.Thread(target=_loop.run_forever, name="hero-loop", daemon=True).start()
        return _loop


def is_background(loop: asyncio.AbstractEventLoop | None) -> bool:
    """Return whether a loop is that of this process, and not another or that of the process it was forked from."""
    return loop is not None and loop is _loop


def in_background() -> bool:
    """Return whether the caller runs on that loop."""
    return is_background(asyncio._get_running_loop())


def run_sync(work: Coroutine[Any, Any, T]) -> T:
    """Return what a coroutine returns, or raise what it raises: it runs in the background, and this thread waits.

    Ctrl-C cancels the coroutine. Allowed in any thread, also where an event loop runs in it, as in a notebook.

    Raises:
        RuntimeError: called on the background loop itself, which would wait for itself.
    """
    if in_background():
        work.close()
        raise RuntimeError(
            "a synchronous method (verify, score, measure ...) was called by a coroutine that itself runs for one: await the "
            "asynchronous method (averify, ascore, ameasure ...) instead, or call it by hero_rl.loop.in_thread"
        )
    begun: list[asyncio.Task[Any]] = []
    given_up = threading.Event()

    async def noted() -> T:
        begun.append(cast("asyncio.Task[Any]", asyncio.current_task()))
        if given_up.is_set():
            work.close()
            raise asyncio.CancelledError
        return await work

    try:  # a Ctrl-C may come as soon as the coroutine can run, before there is a future to cancel
        future = asyncio.run_coroutine_threadsafe(noted(), background())
        while not future.done():  # a Ctrl-C that comes just before this thread waits does not wake it
            with contextlib.suppress(TimeoutError):
                future.result(WAKE_S)
        return future.result()
    except BaseException:
        given_up.set()
        if begun:
            background().call_soon_threadsafe(begun[0].cancel)
        raise


async def in_the_background(work: Coroutine[Any, Any, T]) -> T:
    """Await a coroutine that has to run on the background loop, from whatever loop the caller is on."""
    if in_background():
        return await work
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, background()))


class Closable(Protocol):
    """An object that is closed on the background loop."""

    async def close(self) -> None:
        """Release what it holds; safe to call twice."""
        ...


C = TypeVar("C", bound=Closable)


class OnLoop(Generic[C]):
    """An object that lives on the background loop: made at its first use, and anew after ``close`` and in a forked process."""

    def __init__(self, make: Callable[[], C]) -> None:
        self._make = make
        self._loop: asyncio.AbstractEventLoop | None = None
        self.value: C | None = None
        """None: not made yet, or closed."""

    def get(self) -> C:
        """Return the object; on the background loop only."""
        loop = asyncio.get_running_loop()
        if self.value is None or self._loop is not loop:
            if self.value is not None:
                _left_behind.append(self.value)  # the parent of a forked process still uses it: it is not ours to close
            self._loop, self.value = loop, self._make()
            self._end = weakref.finalize(self, _close_soon, loop, self.value)
            self._end.atexit = False
        return self.value

    def close(self, timeout_s: float) -> None:
        """Close it, and wait for at most ``timeout_s`` unless the caller is on the loop itself."""
        value, self.value = self.value, None
        if value is not None and is_background(self._loop):
            closed = asyncio.run_coroutine_threadsafe(value.close(), background())
            self._end.detach()  # or it would keep the closed object
            if not in_background():
                with contextlib.suppress(TimeoutError):
                    closed.result(timeout_s)


def _close_soon(loop: asyncio.AbstractEventLoop, value: Closable) -> None:
    if is_background(loop):
        asyncio.run_coroutine_threadsafe(value.close(), loop)


async def together(*works: Awaitable[Any]) -> list[Any]:
    """Await several at the same time; where one fails, the others are cancelled before its error is raised."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:  # gather would leave the others at work for nobody
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


async def in_thread(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Await a function that blocks, in a daemon thread. When the caller is cancelled, the thread goes on for nobody."""
    future: Future[T] = Future()
    job = functools.partial(contextvars.copy_context().run, function, *args, **kwargs)
    try:
        jobs = _idle.pop()
    except IndexError:
        jobs = queue.SimpleQueue()
        threading.Thread(target=_serve, args=(jobs,), name="hero-work", daemon=True).start()
    jobs.put((future, job))
    return await asyncio.wrap_future(future)


def _serve(jobs: _Jobs) -> None:
    stays = True
    while stays:
        future, job = jobs.get()
        result, error = None, None
        if future.set_running_or_notify_cancel():
            try:
                result = job()
            except StopIteration as raised:  # no future can hold one, and whoever asked would wait for ever
                error = RuntimeError("the function raised StopIteration")
                error.__cause__ = raised
            except BaseException as raised:  # noqa: BLE001  # handed to whoever asked
                error = raised
        stays = len(_idle) < MAX_IDLE_THREADS
        if stays:
            _idle.append(jobs)
        if not future.cancelled():
            future.set_result(result) if error is None else future.set_exception(error)
        del future, job, result, error  # or they would live until the next job


def _after_fork() -> None:
    """In a forked child, leave the parent's loop alone: only the parent's thread runs it, and its connections are there."""
    global _lock, _loop
    _left_behind.append(_loop)
    _lock, _loop = threading.Lock(), None
    _idle.clear()


os.register_at_fork(after_in_child=_after_fork)
