"""The processes of a sandbox, seen from the user's process. Everything here runs on the background loop. POSIX only.

The loop's thread starts the warm process: on Linux the kernel kills it when *that thread* ends, which it does with the program.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from typing import IO

from hero_rl.errors import first_line
from hero_rl.loop import in_thread
from hero_rl.sandbox import worker
from hero_rl.sandbox.outcomes import SandboxSettings

_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
    "RAYON_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "CUDA_VISIBLE_DEVICES": "",
}
REPLY_TIMEOUT_S = 5.0
"""For what takes milliseconds: to fork, to reap, to end."""
_STDERR_TAIL_BYTES = 2_000
_READ_BYTES = 1 << 16
_MAX_REPLY_BYTES = 8 * worker.MAX_DETAIL_CHARS


class StartFailed(Exception):
    """A process could not be started, or its warm-up failed."""


class WarmProcess:
    """The process that warms up once, and is forked for each worker."""

    def __init__(self, settings: SandboxSettings) -> None:
        """Start it.

        Raises:
            OSError: the system has no room for it.
        """
        setup = {
            "parent": os.getpid(), "sys_path": [path or os.getcwd() for path in sys.path],
            "memory_bytes": settings.memory_bytes, "warm_up": settings.warm_up,
        }  # fmt: skip
        self._turn = asyncio.Lock()
        self._start_timeout_s = settings.start_timeout_s
        self._warm = self._killed = False
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        self._control, theirs = socket.socketpair()
        self._control.setblocking(False)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", worker.__file__, json.dumps(setup)],
                stdin=theirs.fileno(),
                stdout=self._stderr,
                stderr=self._stderr,
                env=os.environ | _ENVIRONMENT,
                start_new_session=True,  # deaf to the terminal
            )
        self.pid = self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it can be forked."""
        return not self._killed and self._process.poll() is None

    async def fork(self) -> Worker:
        """Return a new worker, once the warm-up is done.

        Raises:
            StartFailed: this process died, its warm-up failed or took too long, or the system has no room for another.
        """
        async with self._turn:
            if not self._warm:
                failure = json.loads(await self._reply(self._start_timeout_s))
                if failure:
                    self.kill()
                    raise StartFailed(failure)
                self._warm = True
            with contextlib.ExitStack() as opened:
                try:
                    stderr = opened.enter_context(tempfile.TemporaryFile())
                    ours, theirs = map(opened.enter_context, socket.socketpair())
                    ours.setblocking(False)
                    socket.send_fds(self._control, [b"fork"], [theirs.fileno(), stderr.fileno()])
                    reply = await self._reply(REPLY_TIMEOUT_S)
                except OSError as error:
                    raise StartFailed(first_line(error)) from error
                if not reply.isdigit():
                    raise StartFailed(reply.decode())
                opened.pop_all()
                theirs.close()
                return Worker(self, int(reply), ours, stderr)

    async def reap(self, pid: int) -> int:
        """Return how a worker that is dead or dying ended, as ``subprocess`` does: negative for a signal."""
        async with self._turn:
            try:
                self._control.send(b"%d" % pid)
                return int(await self._reply(REPLY_TIMEOUT_S))
            except (StartFailed, OSError):  # this process is dead, and its workers with it
                return -signal.SIGKILL

    def kill(self) -> None:
        """End it at once; ``close`` has to follow."""
        self._killed = True
        self._process.kill()

    async def close(self) -> None:
        """End it. It reaps its workers, which must be dead or dying: process 1 in many containers reaps nobody."""
        if not self._warm:
            self.kill()
        async with self._turn:
            self._control.close()
        try:
            await in_thread(self._process.wait, REPLY_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            await in_thread(self._process.wait)
        self._stderr.close()

    async def _reply(self, timeout_s: float) -> bytes:
        try:
            async with asyncio.timeout(timeout_s):
                reply = await asyncio.get_running_loop().sock_recv(self._control, _MAX_REPLY_BYTES)
        except TimeoutError:
            self.kill()  # or a late reply would be taken for the next one
            raise StartFailed(f"not ready after {timeout_s:g} s") from None
        except OSError:
            reply = b""
        if not reply:
            self.kill()
            raise StartFailed(f"died ({describe_exit(await in_thread(self._process.wait), self._stderr)})")
        return reply


class Worker:
    """A fork of the warm process, which runs checks."""

    def __init__(self, origin: WarmProcess, pid: int, connection: socket.socket, stderr: IO[bytes]) -> None:
        self.origin = origin
        """The process that it is a fork of, and the only one that can reap it."""
        self.pid = pid
        self.checks = 0
        self.killed = False
        self.loaded: tuple[str, str] | None = None
        """The function, and the arguments that all calls share, as JSON."""
        self._connection, self._stderr = connection, stderr
        self._loop = asyncio.get_running_loop()
        self._received = bytearray()
        self._searched = 0
        self._news = self._loop.create_future()
        self.alive = True
        """False once it has closed its end: even an idle one may be killed from outside."""
        self._loop.add_reader(connection, self._receive)

    async def send(self, text: str, deadline: float) -> None:
        """Send one line, or what goes until ``deadline``; if the worker is dead or reads nothing, ``line`` will say so."""
        with contextlib.suppress(OSError):  # a TimeoutError is one
            async with asyncio.timeout_at(deadline):
                await self._loop.sock_sendall(self._connection, text.encode("ascii") + b"\n")

    async def line(self, deadline: float) -> bytes:
        """Return the next line; b"" where there is none, as the worker is dead.

        Raises:
            TimeoutError: none came before ``deadline``, by the loop's clock.
        """
        while (end := self._received.find(b"\n", self._searched)) < 0:
            self._searched = len(self._received)
            if not self.alive:
                return b""
            self._news = self._loop.create_future()
            async with asyncio.timeout_at(deadline):
                await self._news
        line = bytes(self._received[:end])
        del self._received[: end + 1]
        self._searched = 0
        return line

    def _receive(self) -> None:
        try:
            data = self._connection.recv(_READ_BYTES)
        except OSError:
            data = b""
        self._received += data
        if not data or len(self._received) > 2 * worker.MAX_MESSAGE_BYTES:
            self._loop.remove_reader(self._connection)
            self.alive = False
        if not self._news.done():
            self._news.set_result(None)

    def kill(self) -> None:
        """Kill it and what it started."""
        self.killed = True
        for kill in (os.killpg, os.kill):  # the second for one that has only just been forked
            with contextlib.suppress(ProcessLookupError):
                kill(self.pid, signal.SIGKILL)

    def bury(self, exit_code: int) -> str:
        """Close what belongs to it, and return how it ended, in words."""
        self._loop.remove_reader(self._connection)
        with self._connection, self._stderr:
            return describe_exit(exit_code, self._stderr)


def describe_exit(exit_code: int, stderr: IO[bytes]) -> str:
    """Return how a process ended, in words, with the end of what it wrote to stderr."""
    how = f"exit code {exit_code}"
    if exit_code < 0:
        try:
            how = f"killed by {signal.Signals(-exit_code).name}"
        except ValueError:
            how = f"killed by signal {-exit_code}"
    size = os.fstat(stderr.fileno()).st_size
    tail = os.pread(stderr.fileno(), _STDERR_TAIL_BYTES, max(0, size - _STDERR_TAIL_BYTES)).decode("utf-8", "replace").strip()
    return f"{how}: {tail}" if tail else how
