"""One owned worker, seen from the user's process: start, send, receive with a deadline, kill, reap.

A worker is two processes (``worker``): one that is warm, and its child that runs the checks. ``end_child`` kills the child
only, and the next is there at once; ``kill`` ends both.

POSIX only. A ``WorkerProcess`` belongs to the thread that made it: on Linux the kernel kills a worker when *that thread*
ends, so it must live as long as its worker.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import NamedTuple

from hero_rl.sandbox import worker
from hero_rl.sandbox.worker import MAX_MESSAGE_BYTES

# The worker's module is loaded by its path: importing its package would triple the time that a respawn takes.
_BOOTSTRAP = (
    "import importlib.util, json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "spec = importlib.util.spec_from_file_location('hero_rl_sandbox_worker', sys.argv[2]); "
    "module = importlib.util.module_from_spec(spec); spec.loader.exec_module(module); module.main(int(sys.argv[3]))"
)
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
SMALL_MESSAGE_BYTES = 1 << 15
"""A message of this size fits into an empty pipe: no half of it can be on its way when a child dies."""

_END_CHILD_S = 2.0
_END_WORKER_S = 2.0
_STDERR_TAIL_BYTES = 2_000
_READ_BYTES = 1 << 16
_ENDED = b'{"ended":'


class DeadlinePassed(Exception):
    """The worker did not answer in time."""


class WorkerGone(Exception):
    """The worker died, or said something that no worker says."""


class StartFailed(Exception):
    """The worker did not start, or its warm-up failed."""


class Death(NamedTuple):
    """What was left when a worker was buried."""

    lines: list[bytes]
    """Complete replies that had been written and not been read yet."""
    exit_code: int
    """As ``subprocess``: negative for a signal."""
    stderr_tail: str


class WorkerProcess:
    """A running worker. Not thread-safe, except for ``interrupt``."""

    def __init__(self, *, memory_bytes: int | None):
        self.checks = 0
        self.prepared: set[str] = set()
        self._buffer = bytearray()
        self._searched = 0
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the worker
        search_path = [path or os.getcwd() for path in sys.path]
        self._process = subprocess.Popen(
            [sys.executable, "-c", _BOOTSTRAP, json.dumps(search_path), worker.__file__, str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            bufsize=0,
            env=os.environ | _ENVIRONMENT,
            start_new_session=True,  # a group of its own: killed with whatever it started, deaf to the terminal
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin.fileno(), self._process.stdout.fileno()
        self._readable, self._writable = select.poll(), select.poll()
        self._readable.register(self._stdout, select.POLLIN)
        self._writable.register(self._stdin, select.POLLOUT)
        os.set_blocking(self._stdin, False)
        os.set_blocking(self._stdout, False)
        self._memory_bytes = memory_bytes
        self._child: int | None = None
        self._ended: int | None = None
        """Exit code of the last child, between the news of its death and ``end_child``."""
        self._stderr_seen = 0

    @property
    def pids(self) -> list[int]:
        """Process ids: the warm process, and its child once there is one."""
        return [self._process.pid, *([] if self._child is None else [self._child])]

    def usable(self) -> bool:
        """Whether the worker can be sent checks: it lives, and no child has died unnoticed (killed from outside)."""
        if self._process.poll() is not None:
            return False
        if self._ended is None and self._readable.poll(0):
            try:
                self.receive(time.monotonic())
            except DeadlinePassed:
                pass
            except WorkerGone:
                return self._ended is not None and self.end_child() is not None
        return True

    def start(self, warm_up: Sequence[str], *, timeout_s: float) -> None:
        """Set the limits and warm up.

        Raises:
            StartFailed: the process died, a warm-up failed, or it took longer than ``timeout_s``.
        """
        calls = [name + "()" if ":" in name else name for name in warm_up]
        deadline = time.monotonic() + timeout_s
        try:
            self.send(json.dumps({"memory_bytes": self._memory_bytes, "warm_up": calls}).encode() + b"\n", deadline)
            reply = json.loads(self.receive(deadline))
        except DeadlinePassed:
            raise StartFailed(f"not ready after {timeout_s:g} s") from None
        except WorkerGone:
            death = self.kill()
            raise StartFailed(f"died ({describe_exit(death)})") from None
        if "failed" in reply:
            raise StartFailed(str(reply["failed"]))
        self._child = reply["child"]

    def prepare(self, names: Sequence[str], deadline: float) -> str:
        """Have modules imported and functions looked up; "" or why that failed."""
        self.send(json.dumps({"prepare": list(names)}).encode() + b"\n", deadline)
        reply = json.loads(self.receive(deadline))
        if "failed" in reply:
            return str(reply["failed"])
        self.prepared.update(names)
        return ""

    def send(self, line: bytes, deadline: float) -> None:
        """Write one line.

        Raises:
            DeadlinePassed: the worker did not take it in time.
            WorkerGone: its end of the pipe is closed.
        """
        view = memoryview(line)
        while view:
            if not self._writable.poll(_milliseconds_until(deadline)):
                raise DeadlinePassed
            try:
                view = view[os.write(self._stdin, view) :]
            except BlockingIOError:
                continue
            except OSError as error:
                raise WorkerGone from error

    def receive(self, deadline: float) -> bytes:
        """The next line, without its end.

        Raises:
            DeadlinePassed: none came in time.
            WorkerGone: the worker died, or the line is longer than a worker may write.
        """
        while True:
            line = self._buffered_line()
            if line is None:
                if not self._readable.poll(_milliseconds_until(deadline)):
                    raise DeadlinePassed
                if not self._fill():
                    raise WorkerGone
            elif line.startswith(_ENDED):
                news = json.loads(line)
                self._ended, self._child = news["ended"], news["child"]
                self.prepared.clear()
                raise WorkerGone
            elif line:
                return line

    def end_child(self) -> Death | None:
        """Kill the child that runs the checks; its successor is ready. None: that did not work, ``kill`` is needed."""
        if self._ended is None and self._child is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._child, signal.SIGKILL)
        lines: list[bytes] = []
        deadline = time.monotonic() + _END_CHILD_S
        while self._ended is None:
            try:
                lines.append(self.receive(deadline))
            except DeadlinePassed:
                return None
            except WorkerGone:
                if self._ended is None:
                    return None
        exit_code, self._ended, self.checks = self._ended, None, 0
        return Death(lines, exit_code, self._stderr_news())

    def interrupt(self) -> None:
        """Kill what runs now, without waiting; safe from any thread, and after the worker's death."""
        if self._process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            if self._child is None:
                os.killpg(self._process.pid, signal.SIGKILL)
            else:
                os.kill(self._child, signal.SIGKILL)

    def kill(self) -> Death:
        """End both processes, reap and clean up; a second call returns no lines."""
        # With its input closed the warm process reaps its child and ends. Killing both at once would leave the child to
        # process 1, which in many containers reaps nobody.
        if self._process.stdin:
            self._process.stdin.close()
        self.interrupt()
        try:
            exit_code = self._process.wait(_END_WORKER_S)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            exit_code = self._process.wait()
        lines: list[bytes] = []
        if self._process.stdout and not self._process.stdout.closed:
            while self._fill():
                pass
            while (line := self._buffered_line()) is not None:
                if line and not line.startswith(_ENDED):
                    lines.append(line)
        return Death(lines, exit_code, self._close())

    def _buffered_line(self) -> bytes | None:
        end = self._buffer.find(b"\n", self._searched)
        if end < 0:
            self._searched = len(self._buffer)
            if self._searched > MAX_MESSAGE_BYTES:
                raise WorkerGone
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        self._searched = 0
        return line

    def _fill(self) -> bool:
        try:
            data = os.read(self._stdout, _READ_BYTES)
        except BlockingIOError:
            return self._process.returncode is None
        self._buffer += data
        return bool(data)

    def _close(self) -> str:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()
        if self._stderr.closed:
            return ""
        tail = self._stderr_news()
        self._stderr.close()
        return tail

    def _stderr_news(self) -> str:
        """The end of what was written to stderr since the last call, read without moving the writers' place."""
        size = os.fstat(self._stderr.fileno()).st_size
        begin = max(self._stderr_seen, size - _STDERR_TAIL_BYTES)
        self._stderr_seen = size
        return os.pread(self._stderr.fileno(), size - begin, begin).decode("utf-8", "replace").strip()


def describe_exit(death: Death) -> str:
    """How a process ended, in words, with the end of what it wrote to stderr."""
    if death.exit_code < 0:
        try:
            how = f"killed by {signal.Signals(-death.exit_code).name}"
        except ValueError:
            how = f"killed by signal {-death.exit_code}"
    else:
        how = f"exit code {death.exit_code}"
    return f"{how}: {death.stderr_tail}" if death.stderr_tail else how


def _milliseconds_until(deadline: float) -> int:
    return max(0, math.ceil((deadline - time.monotonic()) * 1000))
