"""One owned worker process, seen from the parent: start, send, receive with a deadline, kill, reap.

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
_RETIRE_S = 1.0
_STDERR_TAIL_BYTES = 2_000
_READ_BYTES = 1 << 16


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
    """A running worker. Not thread-safe, except for ``signal_kill``."""

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
        self._limits = json.dumps({"memory_bytes": memory_bytes}).encode() + b"\n"

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def alive(self) -> bool:
        """Whether the process is running (reaps it when it is not)."""
        return self._process.poll() is None

    def start(self, warm_up: Sequence[str], *, timeout_s: float) -> None:
        """Set the limits and warm up.

        Raises:
            StartFailed: the process died, a warm-up failed, or it took longer than ``timeout_s``.
        """
        calls = [name + "()" if ":" in name else name for name in warm_up]
        deadline = time.monotonic() + timeout_s
        try:
            self.send(self._limits, deadline)
            failure = self.prepare(calls, deadline)
        except DeadlinePassed:
            raise StartFailed(f"not ready after {timeout_s:g} s") from None
        except WorkerGone:
            death = self.kill()
            raise StartFailed(f"died ({describe_exit(death)})") from None
        if failure:
            raise StartFailed(failure)

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
        while (line := self._buffered_line()) is None:
            if not self._readable.poll(_milliseconds_until(deadline)):
                raise DeadlinePassed
            if not self._fill():
                raise WorkerGone
        return line

    def signal_kill(self) -> None:
        """SIGKILL the process and whatever it started, without waiting; safe from any thread and after its death."""
        if self._process.returncode is None:
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                self._process.kill()  # not yet the leader of its own group, or dead and reaped

    def kill(self) -> Death:
        """Kill, reap and clean up; a second call returns no lines."""
        self.signal_kill()
        exit_code = self._process.wait()
        lines: list[bytes] = []
        if self._process.stdout and not self._process.stdout.closed:
            while self._fill():
                pass
            while (line := self._buffered_line()) is not None:
                lines.append(line)
        tail = self._close()
        return Death(lines, exit_code, tail)

    def retire(self) -> None:
        """Let an idle worker end by itself, and kill it when it does not."""
        if self._process.stdin:
            self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_RETIRE_S)
        self.kill()

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
        size = self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, size - _STDERR_TAIL_BYTES))
        tail = self._stderr.read().decode("utf-8", "replace").strip()
        self._stderr.close()
        return tail


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
