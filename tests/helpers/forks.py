"""Run `python ARGUMENTS` as a real process that has imported already what the tests import.

TRL, torch and transformers cost every process that imports them five seconds of CPU. So pytest, when the tests are collected
and before one of them runs, forks a process that waits for requests, and forks another for each, with a folder, environment and
streams of its own. What is claimed of imports, of the start, of memory or of the hash seed needs ``subprocess``.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import pickle
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from types import ModuleType
from typing import IO, Any, NamedTuple, NoReturn, TypeAlias

Stream: TypeAlias = int | IO[Any] | None
_NUMBER = struct.Struct("q")
_server: socket.socket | None = None


class _Request(NamedTuple):
    arguments: list[str]
    folder: str
    environment: dict[str, str]
    own_session: bool


class Process:
    """A ``subprocess.Popen`` in text mode, in so far as tests need one; ``arguments`` are those of `python`."""

    def __init__(
        self, arguments: Sequence[object], *, stdout: Stream = None, stderr: Stream = None, cwd: Path | str | None = None,
        env: Mapping[str, str] | None = None, start_new_session: bool = False,
    ) -> None:  # fmt: skip
        assert _server is not None, "tests/conftest.py makes it ready"
        self.returncode: int | None = None
        out, self.stdout = _open(stdout, 1)
        err, self.stderr = _open(stderr, 2, out)
        self._line, end = socket.socketpair()
        with open(os.devnull) as nothing, end:
            socket.send_fds(_server, [b"+"], [nothing.fileno(), out, err, end.fileno()])
        for number in (out, err):
            os.close(number)
        environment = dict(os.environ if env is None else env)
        request = _Request([*map(str, arguments)], str(cwd or Path.cwd()), environment, start_new_session)
        self._line.sendall(pickle.dumps(request))
        self._line.shutdown(socket.SHUT_WR)
        self.pid = self._receive()

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if not select.select([self._line], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("python", timeout or 0.0)
            self.returncode = self._receive()
            self._line.close()
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Return what it wrote to the streams that are pipes, once it has ended."""
        with ThreadPoolExecutor(2) as threads:
            texts = [threads.submit(stream.read) if stream else None for stream in (self.stdout, self.stderr)]
            try:
                self.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
                raise
        out, err = (text.result() if text else "" for text in texts)
        self.close()
        return out, err

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def close(self) -> None:
        for stream in (self.stdout, self.stderr):
            if stream:
                stream.close()

    def _receive(self) -> int:
        return _NUMBER.unpack(self._line.recv(_NUMBER.size, socket.MSG_WAITALL))[0]


def hero(*arguments: object, **options: Any) -> Process:
    """Start `hero ARGUMENTS`."""
    return Process(["-m", "hero_rl.cli", *arguments], **options)


def run(
    arguments: Sequence[object], *, timeout: float = 120, check: bool = False, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run `python ARGUMENTS` to its end, as ``subprocess.run`` would with its output captured."""
    process = Process(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
    out, err = process.communicate(timeout)
    done = subprocess.CompletedProcess(list(arguments), process.wait(), out, err)
    if check:
        done.check_returncode()
    return done


def ranks(count: int, *arguments: object, env: Mapping[str, str] | None = None, **options: Any) -> list[Process]:
    """Start the processes of one run as `torchrun --nproc_per_node COUNT ARGUMENTS` does: with its variables."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    size = {name: str(count) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE")}
    here = {**os.environ, **(env or {}), **size, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return [Process(arguments, env={**here, "RANK": str(rank), "LOCAL_RANK": str(rank)}, **options) for rank in range(count)]


def run_ranks(count: int, *arguments: object, env: Mapping[str, str] | None = None, timeout: float = 200) -> list[str]:
    """Run the processes of one run to their end and return what each wrote; one that fails stops the others, and the test."""
    processes = ranks(count, *arguments, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with ThreadPoolExecutor(count) as threads:
        waiting = {threads.submit(process.communicate, timeout): process for process in processes}
        for ended in as_completed(waiting):
            if waiting[ended].returncode:
                for process in processes:
                    process.kill()
                raise AssertionError(ended.result()[1][-3000:])
    return [ended.result()[0] for ended in waiting]


def _open(stream: Stream, standard: int, out: int = -1) -> tuple[int, IO[str] | None]:
    """Return the end of a stream for the process, and ours if it is a pipe."""
    if stream == subprocess.PIPE:
        ours, theirs = os.pipe()
        return theirs, open(ours, encoding="utf-8")
    if stream == subprocess.DEVNULL:
        return os.open(os.devnull, os.O_WRONLY), None
    if stream == subprocess.STDOUT:
        return os.dup(out), None
    return os.dup(standard if stream is None else stream if isinstance(stream, int) else stream.fileno()), None


# --- the process that waits -------------------------------------------------------------------------------------------


@contextlib.contextmanager
def ready() -> Iterator[None]:
    """Keep the process that waits, forked from this one, for as long as tests run."""
    global _server
    _server, theirs = socket.socketpair()
    pid = os.fork()
    if not pid:
        try:
            _let_go_of_files(theirs.fileno())
            _serve(theirs)
        finally:
            os._exit(0)
    theirs.close()
    with _server:
        yield
    _server = None
    os.waitpid(pid, 0)


def _let_go_of_files(but: int) -> None:
    """Point open files to nowhere, so that readers at the other end see an end; objects here may still close the numbers."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in map(int, os.listdir("/dev/fd")):
        if number not in (but, nowhere):
            with contextlib.suppress(OSError):
                os.dup2(nowhere, number)


def _serve(requests: socket.socket) -> None:
    ends: dict[int, socket.socket] = {}

    def reap(*_: object) -> None:
        with contextlib.suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                with ends.pop(found[0]) as end, contextlib.suppress(OSError):
                    end.sendall(_NUMBER.pack(os.waitstatus_to_exitcode(found[1])))

    signal.signal(signal.SIGCHLD, reap)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        _, files, _, _ = socket.recv_fds(requests, 1, 4)
        if not files:
            return
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
        end = socket.socket(fileno=files[3])
        pid = os.fork()
        if not pid:
            for other in (requests, *ends.values()):
                other.close()
            _become(files[:3], end)
        ends[pid] = end
        end.sendall(_NUMBER.pack(pid))
        for number in files[:3]:
            os.close(number)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])


# --- a process --------------------------------------------------------------------------------------------------------


def _become(streams: list[int], end: socket.socket) -> NoReturn:
    """Run what was asked for, and end as `python` does."""
    code = 1
    try:
        with end, end.makefile("rb") as file:
            request: _Request = pickle.load(file)
        _set_up(request, streams)
        code = _run(request.arguments)
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _set_up(request: _Request, streams: list[int]) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
    if request.own_session:
        os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout = sys.__stdout__ = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = sys.__stderr__ = os.fdopen(2, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)
    logging.root.handlers.clear()  # pytest's
    os.environ.clear()
    os.environ.update(request.environment)
    os.chdir(request.folder)


def _run(arguments: list[str]) -> int:
    """Return the exit code of `python ARGUMENTS`."""
    try:
        if arguments[0] == "-m":
            sys.argv, sys.path[:0] = arguments[1:], [str(Path.cwd())]
            runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        elif arguments[0] == "-c":
            sys.argv, sys.path[:0] = ["-c", *arguments[2:]], [""]
            main = sys.modules["__main__"] = ModuleType("__main__")
            exec(arguments[1], main.__dict__)
        else:
            sys.argv, sys.path[:0] = arguments, [str(Path(arguments[0]).parent)]
            runpy.run_path(arguments[0], run_name="__main__")
    except SystemExit as error:
        if isinstance(error.code, str):
            sys.stderr.write(f"{error.code}\n")
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    except KeyboardInterrupt:
        traceback.print_exc()
        sys.stderr.flush()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:  # noqa: BLE001  (python itself)
        traceback.print_exc()
        return 1
    return 0
