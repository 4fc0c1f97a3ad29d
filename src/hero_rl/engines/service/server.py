"""Listen, and stop well: no new connections, what runs is finished within a limit, exit code 0."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import signal
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from hero_rl.engines.service.settings import ServiceSettings
from hero_rl.errors import InputError

KEEP_ALIVE_S = 75
BACKLOG = 128
"""Also the number of times that asyncio tries to accept before it pauses, each with an error when descriptors run out."""
SPARE_DESCRIPTORS = 64
"""Kept free of connections: sandbox, database, reward model's server."""
ACCEPT_ERRORS_S = 60.0
"""Time between two log lines on connections that could not be accepted."""
_logger = logging.getLogger(__name__)


class _Connection(H11Protocol):
    """A connection that must send its headers in time, and that makes room for another one while it is idle."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.limits: ServiceSettings = cast(Any, self.config.app).state.service.settings
        self.idle_since = self.loop.time()
        self._late: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None

    @property
    def idle(self) -> bool:
        """Whether no request is worked on."""
        return self.cycle is None or self.cycle.response_complete

    @property
    def waits(self) -> bool:
        """Whether the client is to do something: begin a request, send the rest of its body, or read its answer."""
        return self.idle or self.cycle.more_body or self._unread is not None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection in, in place of the one that has been idle longest where there are too many."""
        if len(self.connections) >= self.limits.max_connections:
            waiting = [one for one in self.connections if isinstance(one, _Connection) and one.waits]
            if not waiting:
                transport.abort()
                return
            min(waiting, key=lambda one: one.idle_since).drop()
        super().connection_made(transport)
        self._watch_headers()

    def data_received(self, data: bytes) -> None:
        """Read on, and stop the clock once the headers are there."""
        super().data_received(data)
        self._watch_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clocks."""
        self._late, self._unread = _stopped(self._late), _stopped(self._unread)
        if self.transport is not None:  # it was let in
            super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Be idle again."""
        self.idle_since = self.loop.time()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Give the client time to read its answer."""
        super().pause_writing()
        self._unread = self._unread or self.loop.call_later(self.limits.body_s, self.drop)

    def resume_writing(self) -> None:
        """Go on."""
        super().resume_writing()
        self._unread = _stopped(self._unread)

    def drop(self) -> None:
        """Close the connection."""
        self.connections.discard(self)
        self.transport.abort()

    def _give_up(self) -> None:
        if self.idle:
            self.drop()

    def _watch_headers(self) -> None:
        if not self.idle:
            self._late = _stopped(self._late)
        elif self._late is None:
            self._late = self.loop.call_later(self.limits.header_s, self._give_up)


def _stopped(clock: asyncio.TimerHandle | None) -> None:
    if clock is not None:
        clock.cancel()


class _Server(uvicorn.Server):
    """Uvicorn's server with our signal handlers and a callback when it is ready."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]):
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn's own would end the process by the signal once more, after everything has been closed
        yield


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket, for port 0 on any free one; raises InputError if the address cannot be had."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        both = family == socket.AF_INET6 and socket.has_dualstack_ipv6()  # "::" is every address, those of IPv4 too
        sock = socket.create_server(address, family=family, backlog=BACKLOG, dualstack_ipv6=both)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # connections inherit it; else a short answer waits 40 ms
        return sock
    except (OSError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(f"cannot listen on {host} port {port}: {reason}; choose another --host or --port") from error


def url_of(sock: socket.socket) -> str:
    """Return the URL for clients on this machine."""
    host, port = sock.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def serve(app: FastAPI, sock: socket.socket, *, on_ready: Callable[[], None], drain_s: float) -> None:
    """Answer until SIGTERM or SIGINT, then finish what runs within ``drain_s``; a second signal stops at once.

    Raises:
        InputError: the process may not open as many files as connections are allowed.
    """
    most, allowed = app.state.service.settings.max_connections, resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if most + SPARE_DESCRIPTORS > allowed:
        raise InputError(f"max_connections={most} needs {most + SPARE_DESCRIPTORS} open files and {allowed} are allowed; "
                         "raise ulimit -n")  # fmt: skip
    config = uvicorn.Config(
        app, http=_Connection, log_config=None, access_log=False, timeout_keep_alive=KEEP_ALIVE_S, backlog=BACKLOG,
        lifespan="on", timeout_graceful_shutdown=max(1, round(drain_s)), ws="none", server_header=False,
    )  # fmt: skip
    asyncio.run(_serve(_Server(config, on_ready), app, sock))


class _AcceptErrors:
    """Logs that connections cannot be accepted once a minute, not once per attempt."""

    def __init__(self) -> None:
        self._next = 0.0

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Handle an error of the event loop."""
        if "accept" not in context.get("message", ""):
            loop.default_exception_handler(context)
        elif time.monotonic() >= self._next:
            self._next = time.monotonic() + ACCEPT_ERRORS_S
            _logger.error("cannot accept connections: %s; trying again", context.get("exception"))


async def _serve(server: _Server, app: FastAPI, sock: socket.socket) -> None:
    def stop() -> None:
        server.force_exit = server.should_exit
        server.should_exit = True
        app.state.service.draining = True

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_AcceptErrors())
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    try:
        await server.serve(sockets=[sock])
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
        if server.force_exit:  # uvicorn then skips the application's own end
            await app.state.service.close()
