"""The worker: a process that warms up once, and its child that runs the checks.

The first process imports what the checks need and never runs one. Its child, a fork of it, runs them one after another and
writes each outcome as soon as it is known; when it dies, the next one is there in milliseconds, already warm. (Forking is
safe here, where there is one thread and no accelerator; the user's process is never forked.)

Started by ``process.WorkerProcess``, never by hand, and loaded by its path: it imports nothing but the standard library,
and never the user's ``__main__``. Messages are JSON, one a line, in both directions: whatever a hostile answer manages
to do in here, the user's process only ever reads plain data.

Three things end a worker that nobody looks after any longer: the kernel, when its parent dies (``PR_SET_PDEATHSIG``,
Linux); the end of its input; and a timer of its own, a little after each check's deadline, whose default action ends the
process even while a C loop holds the interpreter lock.
"""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import importlib
import json
import os
import resource
import select
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

MAX_MESSAGE_BYTES = 16 << 20
MAX_DETAIL_CHARS = 500
MAX_STDERR_BYTES = 1 << 20
SELF_DESTRUCT_GRACE_S = 2.0
_PR_SET_PDEATHSIG = 1


def main(parent_pid: int) -> None:
    """Warm up, then keep one child that serves checks, until the parent's end of the pipe closes."""
    _die_with(parent_pid)
    requests, replies = _claim_channel()
    setup = json.loads(_first_line(requests))
    _limit(setup["memory_bytes"])
    functions: dict[str, Callable[..., Any]] = {}
    news = _prepare(setup["warm_up"], functions)
    if "failed" in news:
        _write(replies, _encode(news))
        return
    supervisor = os.getpid()
    gc.freeze()  # the collector of a child need not touch, and so copy, what it shares with its siblings
    while True:
        child = os.fork()
        if child == 0:
            _serve(requests, replies, functions, supervisor)
        # A dead child may have left half a line behind: end it, so that this one stands alone.
        _write(replies, b"\n" + _encode(news | {"child": child}))
        _, status = os.waitpid(child, 0)
        if status == 0:
            return
        _drain(requests)
        news = {"ended": os.waitstatus_to_exitcode(status)}


def _serve(requests: int, replies: int, functions: dict[str, Callable[..., Any]], supervisor: int) -> NoReturn:
    _die_with(supervisor)
    try:
        with os.fdopen(requests, "rb") as lines:
            for line in lines:
                message = json.loads(line)
                if "prepare" in message:
                    _write(replies, _encode(_prepare(message["prepare"], functions)))
                else:
                    _run_checks(message, functions, replies)
    except BaseException:  # noqa: BLE001 - the child ends here, whatever happens
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def _die_with(parent_pid: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # an ignored SIGCHLD is inherited, and would make waiting for a child fail
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:
        os._exit(0)  # the parent died before the line above took effect


def _claim_channel() -> tuple[int, int]:
    """The two pipes, moved away from file descriptors 0 and 1 so that a stray ``print`` cannot corrupt them."""
    requests, replies = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)
    os.close(null)
    return requests, replies


def _first_line(requests: int) -> bytes:
    """The parent's first message; it sends nothing else before the answer, so nothing is read too far."""
    line = b""
    while not line.endswith(b"\n"):
        data = os.read(requests, 1 << 16)
        if not data:
            os._exit(0)
        line += data
    return line


def _drain(requests: int) -> None:
    """Forget what a dead child had not read."""
    waiting = select.poll()
    waiting.register(requests, select.POLLIN)
    while any(events & select.POLLIN for _, events in waiting.poll(0)):
        if not os.read(requests, 1 << 16):
            return


def _limit(memory_bytes: int | None) -> None:
    faulthandler.enable()
    _set_limit(resource.RLIMIT_CORE, 0)
    _set_limit(resource.RLIMIT_FSIZE, MAX_STDERR_BYTES)
    if memory_bytes is not None:
        _set_limit(resource.RLIMIT_AS, memory_bytes)


def _set_limit(which: int, amount: int) -> None:
    _, hard = resource.getrlimit(which)
    if hard != resource.RLIM_INFINITY:
        amount = min(amount, hard)
    try:
        resource.setrlimit(which, (amount, amount))
    except (ValueError, OSError) as error:  # macOS refuses RLIMIT_AS
        sys.stderr.write(f"limit {which} not set: {error}\n")


def _prepare(names: list[str], functions: dict[str, Callable[..., Any]]) -> dict[str, str]:
    """Import modules and look functions up; those marked with ``()`` are called."""
    for name in names:
        try:
            module_name, _, attribute = name.removesuffix("()").partition(":")
            module = importlib.import_module(module_name)
            if not attribute:
                continue
            function = getattr(module, attribute)
            if name.endswith("()"):
                function()
            else:
                functions[name] = function
        except Exception as error:  # noqa: BLE001 - becomes a typed outcome in the parent
            return {"failed": f"{name.removesuffix('()')}: {_describe(error)}"}
    return {"ready": ""}


def _run_checks(message: dict[str, Any], functions: dict[str, Callable[..., Any]], replies: int) -> None:
    function, fuse_s = functions[message["function"]], message["deadline_s"] + SELF_DESTRUCT_GRACE_S
    for index, arguments in enumerate(message["checks"]):
        signal.setitimer(signal.ITIMER_REAL, fuse_s)
        line, out_of_memory = _run_check(index, function, arguments)
        signal.setitimer(signal.ITIMER_REAL, 0)
        _write(replies, line)
        if out_of_memory:
            os._exit(1)  # what is left of this process is not to be trusted


def _run_check(index: int, function: Callable[..., Any], arguments: list[Any]) -> tuple[bytes, bool]:
    try:
        line = _encode([index, "value", function(*arguments)])
        if len(line) <= MAX_MESSAGE_BYTES:
            return line, False
        return _encode([index, "error", f"the result has {len(line)} bytes, the limit is {MAX_MESSAGE_BYTES}"]), False
    except MemoryError:
        return _encode([index, "memory", "the check asked for more memory than its limit"]), True
    except BaseException as error:  # noqa: BLE001 - becomes a typed outcome; SystemExit is one more way to fail
        return _encode([index, "error", _describe(error)]), False


def _describe(error: BaseException) -> str:
    try:
        text = f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 - an exception whose own text cannot be made still has a type
        text = type(error).__name__
    return text[:MAX_DETAIL_CHARS]


def _encode(reply: Any) -> bytes:
    return json.dumps(reply, separators=(",", ":")).encode("ascii") + b"\n"


def _write(replies: int, line: bytes) -> None:
    view = memoryview(line)
    while view:
        view = view[os.write(replies, view) :]
