"""``EndpointPool``: the servers behind one or more addresses.

What it is not: no streaming, no cookies, no redirects, no HTTP/2.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import urllib.parse
from collections.abc import Mapping, Sequence

from hero_rl.errors import InputError, require
from hero_rl.http.failures import EndpointError
from hero_rl.http.sender import JSON, Sender, Settings
from hero_rl.loop import OnLoop, in_the_background

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
            concurrency: most requests under way at once, over all replicas; the others wait for their caller's turn.
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
        self._sender = OnLoop(functools.partial(Sender, self._settings))

    @property
    def urls(self) -> tuple[str, ...]:
        """The addresses."""
        return self._settings.urls

    async def post(self, path: str, payload: Mapping[str, object]) -> JSON:
        """Return what the server answers to ``payload`` at ``path``.

        Raises:
            EndpointError: no usable answer.
        """
        return await in_the_background(self._send("POST", path, payload))

    async def get(self, path: str) -> JSON:
        """Return what the server answers at ``path``.

        Raises:
            EndpointError: no usable answer.
        """
        return await in_the_background(self._send("GET", path))

    async def post_all(self, path: str, payloads: Sequence[Mapping[str, object]]) -> list[JSON | EndpointError]:
        """Return one answer, or the error in its place, per payload, in order. Cancelling it cancels the requests."""
        caller = object()  # many payloads take turns with those of another caller

        async def one(payload: Mapping[str, object]) -> JSON | EndpointError:
            try:
                return await self._send("POST", path, payload, caller=caller)
            except EndpointError as error:
                return error

        async def all_of_them() -> list[JSON | EndpointError]:
            return await asyncio.gather(*(one(payload) for payload in payloads))

        return await in_the_background(all_of_them())

    def each(self) -> list[EndpointPool]:
        """Return one pool per replica, with the same settings: for questions that every replica has to answer."""
        return [EndpointPool(**{**dataclasses.asdict(self._settings), "urls": url}) for url in self.urls]

    def close(self) -> None:
        """Cancel what is under way and close the connections. Safe to call twice; a later request opens them again."""
        self._sender.close(CLOSE_TIMEOUT_S)

    def __repr__(self) -> str:
        """Addresses and limits; no headers."""
        return f"EndpointPool({list(self.urls)}, concurrency={self._settings.concurrency})"

    def __reduce__(self) -> tuple[object, ...]:
        """Return the settings; connections stay behind."""
        return functools.partial(EndpointPool, **dataclasses.asdict(self._settings)), ()

    async def _send(self, method: str, path: str, payload: object = None, *, caller: object = None) -> JSON:
        return await self._sender.get().send(method, path, payload, caller=caller)


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
