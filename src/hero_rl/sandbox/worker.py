"""The processes of a sandbox: one that warms up and never runs a check, and its forks, which run them.

A fork is warm and ready within milliseconds, and shares its memory with its siblings until it writes to it. (Forking is safe
here, where there is one thread and no accelerator; the user's process is never forked.)

``process.WarmProcess`` runs this file as a program. It imports nothing but the standard library, and never the user's
``__main__``. Checks and outcomes are JSON, one per line: whatever a hostile answer does in here, the user's process only ever
reads plain data.

Three things end a process that nobody looks after any longer: the kernel, when its parent dies (``PR_SET_PDEATHSIG``, Linux);
the end of its input; and timers of its own, of CPU time and, a little after each check's deadline, of the wall clock, whose
default action ends the process even while a C loop holds the interpreter lock.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import gc
import importlib
import json
import os
import resource
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

MAX_MESSAGE_BYTES = 16 << 20
MAX_DETAIL_CHARS = 500
MAX_STDERR_BYTES = 1 << 20
SELF_DESTRUCT_GRACE_S = 2.0
_PR_SET_PDEATHSIG = 1


def main(setup: dict[str, Any]) -> None:
    """Warm up, then fork and reap as asked, until the parent closes the connection, which is this process's stdin."""
    _die_with(setup["parent"])
    sys.path[:] = setup["sys_path"]
    control = socket.socket(fileno=os.dup(0))
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    _limit(setup["memory_bytes"])
    failure = _warm_up(setup["warm_up"])
    control.send(json.dumps(failure).encode())
    if failure:
        return
    gc.freeze()  # the collector of a fork need not touch, and so copy, what it shares with its siblings
    warm_process = os.getpid()
    while True:
        request, descriptors, _, _ = socket.recv_fds(control, 32, 2)
        if descriptors:
            reply = _fork(control, descriptors, warm_process)
            for descriptor in descriptors:
                os.close(descriptor)
            control.send(reply)
        elif request:
            _, status = os.waitpid(int(request), 0)
            control.send(b"%d" % os.waitstatus_to_exitcode(status))
        else:
            break
    _reap_all()


def _fork(control: socket.socket, descriptors: Sequence[int], warm_process: int) -> bytes:
    """Start a worker; return its process id, or why there is none."""
    try:
        child = os.fork()
    except OSError as error:  # no room for another: the workers that there are go on
        return str(error).encode()
    if child == 0:
        control.close()
        _serve(descriptors[0], descriptors[1], warm_process)
    return b"%d" % child


def _reap_all() -> None:
    try:
        while True:
            os.wait()
    except ChildProcessError:
        return


def _serve(connection: int, stderr: int, warm_process: int) -> NoReturn:
    """Run checks until the connection closes; what they print goes to ``stderr``."""
    os.setsid()  # killed with whatever it started
    _die_with(warm_process)
    for output in (1, 2):
        os.dup2(stderr, output)
    os.close(stderr)
    parent = socket.socket(fileno=connection)
    function = None
    try:
        for line in parent.makefile("rb"):
            message = json.loads(line)
            if "load" in message:
                function, failure = _load(message["load"], message["shared"])
                parent.sendall(_encode(failure))
            elif function is not None:
                _run_checks(message, function, parent)
    except BaseException:  # noqa: BLE001 - the process ends here, whatever happens
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def end_with_parent() -> None:
    """Have the kernel kill this process when the one that started it dies in whatever way (Linux; elsewhere nothing)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _die_with(parent_pid: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    for timer in (signal.SIGALRM, signal.SIGPROF):
        signal.signal(timer, signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # an ignored SIGCHLD is inherited, and would make waiting for a child fail
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    end_with_parent()
    if os.getppid() != parent_pid:
        os._exit(0)  # the parent died before the line above took effect


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


def _warm_up(names: Sequence[str]) -> str:
    """Import modules and call functions; return "" or why that failed."""
    for name in names:
        module, _, function = name.partition(":")
        try:
            imported = importlib.import_module(module)
            if function:
                getattr(imported, function)()
        except Exception as error:  # noqa: BLE001 - reported by the parent
            return f"{name}: {_describe(error)}"
    return ""


def _load(name: str, shared: list[Any]) -> tuple[Any, str]:
    """Import a function, or have it make one from ``shared``; return it and "", or None and why that failed."""
    module, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
        return (found(*shared) if shared else found), ""
    except Exception as error:  # noqa: BLE001 - becomes a typed outcome in the parent
        return None, f"{name}: {_describe(error)}"


def _run_checks(message: dict[str, Any], function: Callable[..., Any], parent: socket.socket) -> None:
    for index, arguments in enumerate(message["checks"]):
        _make_room()
        signal.setitimer(signal.ITIMER_REAL, message["wall_s"] + SELF_DESTRUCT_GRACE_S)
        signal.setitimer(signal.ITIMER_PROF, message["cpu_s"])
        line, out_of_memory = _run_check(index, function, arguments)
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        parent.sendall(line)
        if out_of_memory:
            os._exit(1)  # what is left of this process is not to be trusted


def _make_room() -> None:
    """Forget what earlier checks have printed before it fills the file, which would fail this one."""
    with contextlib.suppress(OSError):  # a check may have closed it
        if os.fstat(2).st_size > MAX_STDERR_BYTES // 2:
            os.ftruncate(2, 0)
            os.lseek(2, 0, os.SEEK_SET)


def _run_check(index: int, function: Callable[..., Any], arguments: list[Any]) -> tuple[bytes, bool]:
    began = time.process_time()

    def encode(kind: str, content: Any) -> bytes:
        return _encode([index, kind, content, round(time.process_time() - began, 4)])

    try:
        line = encode("value", function(*arguments))
        if len(line) <= MAX_MESSAGE_BYTES:
            return line, False
        return encode("error", f"the result has {len(line)} bytes, the limit is {MAX_MESSAGE_BYTES}"), False
    except MemoryError:
        return encode("memory", "the check asked for more memory than its limit"), True
    except BaseException as error:  # noqa: BLE001 - becomes a typed outcome; SystemExit is one more way to fail
        return encode("error", _describe(error)), False


def _describe(error: BaseException) -> str:
    try:
        text = f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 - an exception whose own text cannot be made still has a type
        text = type(error).__name__
    return text[:MAX_DETAIL_CHARS]


def _encode(reply: Any) -> bytes:
    return json.dumps(reply, separators=(",", ":")).encode("ascii") + b"\n"


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
