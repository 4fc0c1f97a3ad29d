"""One request, from its slot to its answer: timeouts, retries with jitter, failover. Runs on the pool's loop."""

from __future__ import annotations

import asyncio
import json
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias, cast

from hero_rl.errors import InputError, first_line, require
from hero_rl.http.failures import EndpointError, Failure, of_status, shorten
from hero_rl.http.replicas import Replica, choose
from hero_rl.loop import in_thread
from hero_rl.turns import Turns
from hero_rl.types import valid_text

if TYPE_CHECKING:
    import httpx2

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"

CONNECT_TIMEOUT_S = 10.0
"""A host that swallows packets is told from one that computes for long: only the latter gets the whole timeout."""
KEEP_ALIVE_S = 4.0
"""Below the 5 s after which uvicorn, on which most of these servers run, closes an idle connection."""
FIRST_BACKOFF_S = 0.5
LONGEST_BACKOFF_S = 10.0
PAUSE_SPREAD_S = 0.25
"""Requests that wait for the same Retry-After do not all start in the same instant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How to send; shown without headers, which hold the key."""

    urls: tuple[str, ...] = field(repr=False)
    headers: dict[str, str] = field(repr=False)
    concurrency: int
    timeout_s: float
    total_timeout_s: float
    attempts: int


class Sender:
    """The connections to all replicas. Every method runs on one event loop."""

    def __init__(self, settings: Settings) -> None:
        """Open nothing yet: connections open with the first request."""
        self._settings = settings
        self._turns = Turns(settings.concurrency)
        self._replicas = [Replica(url) for url in settings.urls]
        # A generator of our own: the global one belongs to the user, who may have seeded it.
        self._random = random.Random()
        self._opening = asyncio.Lock()
        self._under_way: set[asyncio.Task[object]] = set()
        self._closed = False
        self._client: httpx2.AsyncClient | None = None
        self._answered_at = float("-inf")
        self._gave_up_at = float("-inf")
        self._last_error: EndpointError | None = None

    async def send(self, method: str, path: str, payload: object = None, *, caller: object = None) -> JSON:
        """Return the JSON that a replica answers; the requests of several callers take turns.

        Raises:
            EndpointError: no usable answer, or ``close`` came in between. A request that waits for its slot while another one
                gets no answer from any replica for its whole total timeout is given up with it, so that a dead server costs a
                batch one timeout and not one per row.
        """
        body = None if payload is None else _body(payload)
        task = cast("asyncio.Task[object]", asyncio.current_task())
        self._under_way.add(task)
        try:
            async with self._opening:  # a client takes a tenth of a second to make: in no request's time, and not the loop's
                self._client = self._client or await in_thread(self._open_client)
            submitted = time.monotonic()
            async with self._turns.place(caller):
                if self._last_error is not None and self._gave_up_at > max(submitted, self._answered_at):
                    error, words = self._last_error, "not sent, as an earlier request failed"
                    raise EndpointError(f"{words}: {error}", kind=error.kind, status=error.status)
                return await self._send_now(method, path, body)
        except asyncio.CancelledError:
            if not self._closed or task.uncancel():  # the caller has cancelled it, too
                raise
            message = "the connections were closed while the request was under way"
            raise EndpointError(message, kind="unreachable") from None
        finally:
            self._under_way.discard(task)

    async def close(self) -> None:
        """Cancel what is under way and close every connection."""
        self._closed = True
        for task in list(self._under_way):
            task.cancel()
        if self._client is not None:
            await self._client.aclose()

    async def _send_now(self, method: str, path: str, body: bytes | None) -> JSON:
        started = time.monotonic()
        tries: list[Failure] = []
        try:
            async with asyncio.timeout(self._settings.total_timeout_s):
                return await self._with_retries(method, path, body, tries)
        except TimeoutError:
            last = tries[-1] if tries else Failure("timeout", "no reply")
            error = self._error(path, last, len(tries), time.monotonic() - started)
        except EndpointError as raised:
            error = raised
        if error.kind in ("timeout", "unreachable", "rate_limited") and self._answered_at < started:
            self._gave_up_at, self._last_error = time.monotonic(), error
        raise error

    async def _with_retries(self, method: str, path: str, body: bytes | None, tries: list[Failure]) -> JSON:
        settings, started = self._settings, time.monotonic()
        failed_on: Replica | None = None
        counted = 0
        while True:
            replica = choose(self._replicas, time.monotonic(), avoid=failed_on)
            wait_s = replica.paused_until - time.monotonic()
            if wait_s > settings.total_timeout_s - (time.monotonic() - started):  # waiting would be in vain
                asked = Failure("rate_limited", f"{replica.url}: no requests for {wait_s:.0f} s, it says")
                raise self._error(path, tries[-1] if tries else asked, len(tries), time.monotonic() - started)
            if wait_s > 0:
                await asyncio.sleep(wait_s + self._random.uniform(0, PAUSE_SPREAD_S))
            reply = await self._try(replica, method, path, body)
            if not isinstance(reply, Failure):
                return reply
            tries.append(reply)
            failed_on = replica
            elsewhere = any(other.asides == 0 for other in self._replicas if other is not replica)
            counted += not (reply.no_connection and elsewhere)
            if not reply.retry or counted >= settings.attempts:
                raise self._error(path, reply, len(tries), time.monotonic() - started)
            await asyncio.sleep(self._backoff_s(failed_on, len(tries)))

    def _backoff_s(self, failed_on: Replica, tries: int) -> float:
        """Full jitter; nothing at all while there is another replica to turn to."""
        now = time.monotonic()
        if tries < len(self._replicas) and any(other.ready(now) for other in self._replicas if other is not failed_on):
            return 0.0
        return self._random.uniform(0, min(FIRST_BACKOFF_S * 2 ** (tries - 1), LONGEST_BACKOFF_S))

    async def _try(self, replica: Replica, method: str, path: str, body: bytes | None) -> JSON | Failure:
        replica.in_flight += 1
        replica.sent += 1
        try:
            outcome = await self._exchange(replica.url + path, method, body)
        finally:
            replica.in_flight -= 1
        if isinstance(outcome, Failure):
            outcome = outcome._replace(message=f"{replica.url}: {outcome.message}")
            replica.failed(outcome, time.monotonic())
        if not isinstance(outcome, Failure) or not outcome.retry:
            replica.answered()
            self._answered_at = time.monotonic()
        return outcome

    async def _exchange(self, url: str, method: str, body: bytes | None) -> JSON | Failure:
        import httpx2

        assert self._client is not None
        limit_s = self._settings.timeout_s
        headers = {"Content-Type": "application/json"} if body is not None else {}
        try:
            async with asyncio.timeout(limit_s):
                response = await self._client.request(method, url, content=body, headers=headers)
        except (TimeoutError, httpx2.TimeoutException) as error:
            connecting = isinstance(error, httpx2.ConnectTimeout)
            words = "no connection" if connecting else "no reply"
            return Failure("timeout", f"{words} within {limit_s:g} s", retry=True, no_connection=connecting)
        except httpx2.TransportError as error:
            refused = isinstance(error, httpx2.ConnectError)
            words = shorten(first_line(error), self._secrets())
            return Failure(
                "unreachable", f"no connection ({words})" if refused else f"the connection broke ({words})",
                retry=True, no_connection=refused,
            )  # fmt: skip
        except httpx2.RequestError as error:
            return Failure("bad_reply", f"unreadable reply ({shorten(first_line(error), self._secrets())})")
        return self._read(response)

    def _read(self, response: httpx2.Response) -> JSON | Failure:
        if not response.is_success:
            return of_status(response.status_code, response.text, response.headers, secrets=self._secrets())
        try:
            return cast("JSON", json.loads(response.content))
        except (ValueError, RecursionError):
            words = shorten(response.text, self._secrets()) or "an empty body"
            return Failure("bad_reply", f"the reply is no JSON: {words}", response.status_code)

    def _open_client(self) -> httpx2.AsyncClient:
        httpx = require("httpx2", extra="remote", purpose="a server behind HTTP")
        settings = self._settings
        return cast(
            "httpx2.AsyncClient",
            httpx.AsyncClient(
                headers=settings.headers,
                timeout=httpx.Timeout(settings.timeout_s, connect=min(settings.timeout_s, CONNECT_TIMEOUT_S)),
                limits=httpx.Limits(
                    max_connections=None, max_keepalive_connections=settings.concurrency, keepalive_expiry=KEEP_ALIVE_S
                ),
                # A proxy from the environment serves the outside world; this machine's own servers are not behind it.
                mounts={"all://localhost": None, "all://127.0.0.1": None, "all://[::1]": None},
            ),
        )

    def _secrets(self) -> list[str]:
        values = [value.removeprefix("Bearer ") for value in self._settings.headers.values()]
        return [value for value in values if len(value) > 3]

    def _error(self, path: str, failure: Failure, tries: int, spent_s: float) -> EndpointError:
        spent = f" (tries: {tries}, in {spent_s:.1f} s)" if tries > 1 else ""
        return EndpointError(f"{path} at {failure.message}{spent}", kind=failure.kind, status=failure.status)


def _body(payload: object) -> bytes:
    try:
        return valid_text(json.dumps(payload, allow_nan=False, ensure_ascii=False)).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"the payload cannot be sent as JSON: {first_line(error)}") from error
