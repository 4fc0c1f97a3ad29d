"""``EndpointPool``: the servers behind one or more addresses.

What it is not: no streaming, no cookies, no redirects, no HTTP/2.
"""

from __future__ import annotations

import asyncio
import urllib.parse
import weakref
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from hero_rl.errors import InputError, require
from hero_rl.http.failures import EndpointError
from hero_rl.http.sender import JSON, Sender, Settings
from hero_rl.loop import in_background, in_the_background, is_background

_T = TypeVar("_T")
CLOSE_TIMEOUT_S = 5.0


class EndpointPool:
    """One logical server: replicas of equal content behind several addresses, or one.

    Requests go to the replica with the fewest under way. One that refuses connections, or fails three times in a row, is set
    aside for a second (doubling to 30 s) and then probed by a single request. Tried again are 429, 500, 502, 503, 504,
    timeouts, and refused or broken connections: on another replica at once, on the same one after a random wait that doubles in
    expectation, or the one the server asks for (Retry-After). Everything else is final.

    All connections live on the background loop. They are kept alive over callers, may be used from any loop (and any thread,
    by ``hero_rl.loop.run_sync``), and are opened again as needed after ``close``, unpickling or a fork.
    """

    def __init__(
        self,
        urls: str | Sequence[str],
        *,
        api_key: str | None = None,
        headers: Mapping[str, str] | None = None,
        concurrency: int = 32,
        timeout_s: float = 60.0,
        total_timeout_s: float = 180.0,
        attempts: int = 4,
    ) -> None:
        """Check the settings; nothing is opened yet.

        Args:
            urls: the address or addresses before the path, such as ``"http://host:8000"``.
            api_key: sent as ``Authorization: Bearer``; never in a log, an error or the representation.
            headers: further headers of every request.
            concurrency: most requests under way at once, over all replicas; the others wait their turn, in order.
            timeout_s: for one try.
            total_timeout_s: for one request with all its tries, from the moment its turn comes.
            attempts: most tries of one request. A refused connection does not count while there is another replica to turn to.

        Raises:
            InputError: an address that is none, or a setting out of range.
            MissingDependencyError: the HTTP library is not installed.
        """
        addresses = (urls,) if isinstance(urls, str) else tuple(urls)
        if not addresses:
            raise InputError("no address was given; give that of at least one server, such as 'http://localhost:8000'")
        _check_range(concurrency=concurrency, attempts=attempts, timeout_s=timeout_s, total_timeout_s=total_timeout_s)
        require("httpx2", extra="remote", purpose="a server behind HTTP")
        self._settings = Settings(
            urls=tuple(_checked_url(url) for url in addresses),
            headers=_checked_headers(api_key, headers or {}),
            concurrency=concurrency,
            timeout_s=timeout_s,
            total_timeout_s=total_timeout_s,
            attempts=attempts,
        )
        self._start_closed()

    @property
    def urls(self) -> tuple[str, ...]:
        """The addresses."""
        return self._settings.urls

    async def post(self, path: str, payload: Mapping[str, object]) -> JSON:
        """Return what the server answers to ``payload`` at ``path``.

        Raises:
            EndpointError: no usable answer.
        """
        return await in_the_background(self._run(lambda sender: sender.send("POST", path, payload)))

    async def get(self, path: str) -> JSON:
        """Return what the server answers at ``path``.

        Raises:
            EndpointError: no usable answer.
        """
        return await in_the_background(self._run(lambda sender: sender.send("GET", path)))

    async def post_all(self, path: str, payloads: Sequence[Mapping[str, object]]) -> list[JSON | EndpointError]:
        """One answer, or the error in its place, for every payload, in order. Cancelling the caller cancels the requests."""
        if not payloads:
            return []
        try:
            return await in_the_background(self._run(lambda sender: _gather(sender, path, payloads)))
        except EndpointError as error:
            return [error for _ in payloads]

    def each(self) -> list[EndpointPool]:
        """One pool a replica, with the same settings: for questions that every replica has to answer."""
        return [self._with_urls((url,)) for url in self._settings.urls]

    def close(self) -> None:
        """Cancel what is under way and close the connections. Safe to call twice; a later request opens them again."""
        if self._loop is None or not is_background(self._loop):
            return  # never opened, or opened by the process that this one was forked from
        closed = asyncio.run_coroutine_threadsafe(self._shut(), self._loop)
        if not in_background():
            with suppress(TimeoutError):
                closed.result(CLOSE_TIMEOUT_S)

    def __repr__(self) -> str:
        """Addresses and limits; no headers."""
        return f"EndpointPool({list(self.urls)}, concurrency={self._settings.concurrency})"

    def __getstate__(self) -> Settings:
        """The settings; connections stay behind."""
        return self._settings

    def __setstate__(self, state: Settings) -> None:
        """Start without connections."""
        self._settings = state
        self._start_closed()

    def _with_urls(self, urls: tuple[str, ...]) -> EndpointPool:
        pool = EndpointPool.__new__(EndpointPool)
        settings = self._settings
        pool.__setstate__(
            Settings(
                urls=urls, headers=settings.headers, concurrency=settings.concurrency, timeout_s=settings.timeout_s,
                total_timeout_s=settings.total_timeout_s, attempts=settings.attempts,
            )
        )  # fmt: skip
        return pool

    def _start_closed(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sender: Sender | None = None
        self._under_way: set[asyncio.Task[Any]] = set()

    async def _run(self, work: Callable[[Sender], Coroutine[Any, Any, _T]]) -> _T:
        """Send, on the background loop."""
        task = asyncio.ensure_future(work(self._open()))
        self._under_way.add(task)
        try:
            return await task
        except asyncio.CancelledError:
            asked = asyncio.current_task()
            if asked is not None and asked.cancelling():
                raise
            message = "the connections were closed while the request was under way"
            raise EndpointError(message, kind="unreachable") from None
        finally:
            self._under_way.discard(task)

    def _open(self) -> Sender:
        loop = asyncio.get_running_loop()
        if self._sender is None or self._loop is not loop:
            if self._sender is not None:
                _left_behind.append(self._sender)  # of the parent of a forked process: the connections are not ours to close
            self._loop, self._sender, self._under_way = loop, Sender(self._settings), set()
            weakref.finalize(self, _close_soon, loop, self._sender).atexit = False
        return self._sender

    async def _shut(self) -> None:
        sender, self._sender = self._sender, None
        tasks = list(self._under_way)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if sender is not None:
            await sender.close()


async def _gather(sender: Sender, path: str, payloads: Sequence[Mapping[str, object]]) -> list[JSON | EndpointError]:
    async def one(payload: Mapping[str, object]) -> JSON | EndpointError:
        try:
            return await sender.send("POST", path, payload)
        except EndpointError as error:
            return error

    return await asyncio.gather(*(one(payload) for payload in payloads))


def _check_range(*, concurrency: int, attempts: int, timeout_s: float, total_timeout_s: float) -> None:
    for name, count in (("concurrency", concurrency), ("attempts", attempts)):
        if count < 1:
            raise InputError(f"{name}={count} must be at least 1")
    for name, seconds in (("timeout_s", timeout_s), ("total_timeout_s", total_timeout_s)):
        if not 0 < seconds < float("inf"):
            raise InputError(f"{name}={seconds} must be a positive number of seconds")


def _checked_url(url: str) -> str:
    try:
        parts = urllib.parse.urlsplit(url)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        fits, parts = False, urllib.parse.urlsplit("")
    if "@" in parts.netloc:  # the HTTP library would log it
        raise InputError("a user name or password does not belong in the address; give api_key=... or an Authorization header")
    if not fits or parts.query or parts.fragment or any(char.isspace() for char in url):
        raise InputError(f"{url!r} is no address of a server; give one like 'http://localhost:8000', without a query")
    return url.rstrip("/")


def _checked_headers(api_key: str | None, headers: Mapping[str, str]) -> dict[str, str]:
    checked = dict(headers)
    if api_key is not None and api_key.strip():
        checked["Authorization"] = f"Bearer {api_key.strip()}"
    for name, value in checked.items():
        if not (name + value).isascii() or not (name + value).isprintable():
            raise InputError(f"the value of the header {name!r} (or the api_key) has characters that cannot be sent")
    return checked


_left_behind: list[Sender] = []


def _close_soon(loop: asyncio.AbstractEventLoop, sender: Sender) -> None:
    if is_background(loop):
        asyncio.run_coroutine_threadsafe(sender.close(), loop)
