"""Checks before a request reaches its handler (token, room in the queue, size), and cancellation when its client leaves."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Collection, Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hero_rl.engines.service.bodies import check_values, off_loop
from hero_rl.engines.service.errors import RequestError
from hero_rl.engines.service.logs import log_request, request_id
from hero_rl.engines.service.service import RewardService
from hero_rl.engines.service.settings import MIB
from hero_rl.engines.service.tokens import Guard
from hero_rl.errors import clip

OPEN_PATHS = frozenset({"/healthz"})
"""Need no token."""
CUT_PATHS = frozenset({"/get_reward"})
"""Cut responses out of longer texts, so that both are in memory."""
MAX_DISCARDED_BYTES = 4 * MIB
"""Bytes of a refused body that are still read, so that the client sees why."""
DISCARD_S = 2.0
DISCARD_IDLE_S = 0.2
_logger = logging.getLogger(__name__)


class _ClientLeft(Exception):  # no error
    """The client has hung up."""


class _Body:
    """The part of a request's body that has been read."""

    def __init__(self, receive: Receive):
        self.receive = receive
        self.content = bytearray()
        self.held_bytes = 0
        self.more = True

    async def next(self) -> bytes:
        """Return the next piece without keeping it."""
        message = await self.receive()
        if message["type"] == "http.disconnect":
            raise _ClientLeft
        self.more = message.get("more_body", False)
        return message.get("body", b"")

    async def discard(self) -> None:
        """Read on for a while: a client that is cut off inside its body seldom sees the answer."""
        size = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DISCARD_S):
                while self.more and size < MAX_DISCARDED_BYTES:
                    size += len(await asyncio.wait_for(self.next(), DISCARD_IDLE_S))


class Limits:
    """ASGI middleware around everything else; ``paths`` are the labels of metrics."""

    def __init__(self, app: ASGIApp, *, service: RewardService, paths: Collection[str]):
        self.app, self.service, self.paths = app, service, frozenset(paths)
        self.guard = Guard(service.settings.tokens)
        self.held_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start = time.perf_counter()
        headers = dict(scope["headers"])
        state = scope.setdefault("state", {})
        state["arrived"] = asyncio.get_running_loop().time()
        state["request_id"] = name = request_id(headers.get(b"x-request-id", b""))
        status = 0

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message["headers"], (b"x-request-id", name.encode())]}
            await send(message)

        body = _Body(receive)
        try:
            await self._admit(scope, headers, noting, body)
        except _ClientLeft:
            status = 499  # as in nginx's log
            self._failed("client_left")
        except asyncio.CancelledError:
            if status or not self.service.draining:
                raise
            await send_error(scope, noting, RequestError("draining", "the service has stopped before the work was done"))
        except Exception as error:  # raised, it would cost the client its connection
            fields = {"request_id": name}
            _logger.error("a fault in %s %s", scope["method"], scope["path"], exc_info=error, extra={"fields": fields})
            self._failed("internal")
            if status:
                raise
            fault = RequestError("internal", f"{type(error).__name__}; the service's log has the details")
            await send_error(scope, noting, fault)
        finally:
            self.held_bytes -= body.held_bytes
            seconds, path, runs = time.perf_counter() - start, scope["path"], "/v1/runs/"
            if path.startswith(runs):
                state["run"], path = clip(path.removeprefix(runs), 128), runs + "{run_id}"
            path = path if path in self.paths else "other"
            self.service.metrics.requests.labels(path, str(status)).inc()
            self.service.metrics.seconds.labels(path).observe(seconds)
            log_request(scope, status, seconds)

    def _failed(self, kind: str) -> None:
        self.service.metrics.failures.labels(kind).inc()

    async def _admit(self, scope: Scope, headers: Mapping[bytes, bytes], send: Send, body: _Body) -> None:
        try:
            if self._let_in(scope) and scope["method"] == "POST":
                await self._read(headers.get(b"content-length", b"0"), body, copies=1 + (scope["path"] in CUT_PATHS))
        except RequestError as error:
            self._failed(error.kind)
            if error.kind != "too_slow_upload":
                await body.discard()
            await send_error(scope, send, error, close=True)
            return
        content, body.content = bytes(body.content), bytearray()
        await self._watch(scope, content, body.receive, send)

    def _let_in(self, scope: Scope) -> bool:
        """Return whether the path needs a token; raises RequestError without one, or for one request too many."""
        token = self.guard.token_of(scope["headers"], scope["method"])
        state, closed = scope["state"], scope["path"] not in OPEN_PATHS
        state["token"], state["known"] = token.name if token else None, token is not None or not self.guard.tokens
        if closed and not state["known"]:
            raise RequestError("unauthorized", "send a token of the service as the one header Authorization: Bearer TOKEN")
        if closed and token is not None:
            self.guard.count(token)
        return closed

    async def _read(self, length: bytes, body: _Body, *, copies: int) -> None:
        if self.service.draining:
            raise RequestError("draining", "the service is stopping", 1)
        self._check_size(int(length) if length.isdigit() else 0, 0)
        limit_s = self.service.settings.body_s
        try:
            async with asyncio.timeout(limit_s):
                while body.more:
                    piece = await body.next()
                    self._check_size(len(body.content) + len(piece), len(piece))
                    body.content += piece
                    body.held_bytes += len(piece)
                    self.held_bytes += len(piece)
        except TimeoutError:
            raise RequestError("too_slow_upload", f"the body did not arrive within {limit_s:g} s") from None
        size = len(body.content)
        texts = await off_loop(size, check_values, body.content, self.service.settings.max_values)
        # the body and its strings are in memory together, for which twice its size is allowed
        more = max(0, (copies * texts - size + 1) // 2)
        self._check_size(size + more, more)
        body.held_bytes += more
        self.held_bytes += more

    def _check_size(self, size: int, more: int) -> None:
        most = self.service.settings.max_body_bytes
        if size > most:
            raise RequestError(
                "too_large",
                f"the body is larger than {most} bytes, or is so in memory (with an emoji in it, a text has four bytes per "
                "character); send fewer groups at once",
            )
        if self.held_bytes + more > self.service.settings.max_held_bytes:
            raise RequestError("busy", "the requests under way are as large as is allowed", 1)

    async def _watch(self, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
        """Answer, or cancel the work if the client leaves first."""
        left = asyncio.ensure_future(_until_left(receive))
        given = False

        async def replay() -> Message:
            nonlocal given
            if given:
                await asyncio.shield(left)
                return {"type": "http.disconnect"}
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        if scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}  # a copy: the server looks at its own, and sends no body
        work = asyncio.ensure_future(self.app(scope, replay, send))
        try:
            await asyncio.wait({work, left}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                work.cancel()
                await asyncio.wait({work})
                raise _ClientLeft
            await work
        finally:
            left.cancel()
            work.cancel()


async def send_error(scope: Scope, send: Send, error: RequestError, *, close: bool = False) -> None:
    """Answer with an error outside of the framework."""
    body = error.body(scope["state"]["request_id"])
    headers = {"content-type": "application/json", "content-length": str(len(body)), **error.headers}
    if error.kind == "unauthorized" and scope["path"] == "/":  # a browser asks for the token
        headers["WWW-Authenticate"] = 'Basic realm="hero serve: any name, and a token as the password"'
    if close:
        headers["connection"] = "close"
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": error.status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


async def _until_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
