"""Listen, and stop well: no new connections, what runs is finished within a limit, exit code 0."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable, Iterator

import uvicorn
from fastapi import FastAPI

from hero_rl.errors import InputError

KEEP_ALIVE_S = 75
BACKLOG = 2048
_logger = logging.getLogger(__name__)


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
    """Answer until SIGTERM or SIGINT, then finish what runs within ``drain_s``; a second signal stops at once."""
    config = uvicorn.Config(
        app, log_config=None, access_log=False, timeout_keep_alive=KEEP_ALIVE_S, backlog=BACKLOG, lifespan="on",
        timeout_graceful_shutdown=max(1, round(drain_s)), ws="none", server_header=False,
    )  # fmt: skip
    asyncio.run(_serve(_Server(config, on_ready), app, sock))


async def _serve(server: _Server, app: FastAPI, sock: socket.socket) -> None:
    def stop() -> None:
        server.force_exit = server.should_exit
        server.should_exit = True
        app.state.service.draining = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    try:
        await server.serve(sockets=[sock])
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
        if server.force_exit:  # uvicorn then skips the application's own end
            await app.state.service.close()
