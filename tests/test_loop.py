"""The background loop: coroutines for callers without a loop, threads for what blocks, Ctrl-C, forks."""

from __future__ import annotations

import asyncio
import contextvars
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from hero_rl.loop import in_background, in_the_background, in_thread, run_sync, together


async def where() -> tuple[int, bool]:
    return threading.get_ident(), in_background()


def test_all_callers_share_one_loop_that_is_none_of_theirs() -> None:
    async def both() -> list[tuple[int, bool]]:
        return [run_sync(where()), await in_the_background(where())]

    found = {run_sync(where()), *asyncio.run(both())}
    assert len(found) == 1
    ((thread, there),) = found
    assert there
    assert thread != threading.get_ident()


def test_errors_and_context_cross() -> None:
    async def fail() -> None:
        raise KeyError("x")

    async def read() -> tuple[str, str]:
        return variable.get(), await in_thread(variable.get)

    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    variable.set("here")
    assert run_sync(read()) == ("here", "here")
    with pytest.raises(KeyError, match="x"):
        run_sync(fail())
    with pytest.raises(ZeroDivisionError):
        run_sync(in_thread(divmod, 1, 0))
    with pytest.raises(RuntimeError, match="raised StopIteration"):  # which no future can hold
        run_sync(in_thread(next, iter(())))


def test_waiting_for_the_loop_on_the_loop_is_an_error_that_says_what_to_do() -> None:
    async def outer() -> None:
        run_sync(where())

    with pytest.raises(RuntimeError, match="await the asynchronous method"):
        run_sync(outer())
    assert run_sync(in_thread(lambda: run_sync(where())))[1], "a thread of in_thread may wait for it"


def test_one_that_fails_takes_the_others_along_and_only_its_error_is_seen() -> None:
    ended: list[str] = []

    async def patient() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("patient")

    async def fail() -> None:
        await asyncio.sleep(0.01)
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        run_sync(together(patient(), fail()))
    assert ended == ["patient"]
    assert run_sync(together(in_thread(abs, -1), in_thread(abs, -2))) == [1, 2]
    assert run_sync(together()) == []


def test_threads_are_used_again_and_there_are_as_many_as_are_busy() -> None:
    async def one_by_one() -> set[int]:
        return {await in_thread(threading.get_ident) for _ in range(50)}

    async def at_once() -> None:
        barrier = threading.Barrier(30)
        await together(*(in_thread(barrier.wait, 60) for _ in range(30)))

    run_sync(at_once())
    assert len(run_sync(one_by_one())) == 1


def run_script(tmp_path: Path, text: str) -> subprocess.Popen[str]:
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(text))
    return subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_ctrl_c_cancels_the_coroutine_and_waits_for_no_thread(tmp_path: Path) -> None:
    program = run_script(
        tmp_path,
        """
        import asyncio, threading, time
        from hero_rl.loop import in_thread, run_sync, together

        async def patient():
            print("begun", flush=True)
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                cancelled.set()
                raise

        cancelled = threading.Event()
        try:
            run_sync(together(patient(), in_thread(time.sleep, 60)))
        except KeyboardInterrupt:
            print("interrupted", cancelled.wait(30), flush=True)
        """,
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "begun\n"
    started = time.monotonic()
    program.send_signal(signal.SIGINT)
    out, error = program.communicate(timeout=50)
    assert (out, error, program.returncode) == ("interrupted True\n", "", 0)
    assert time.monotonic() - started < 40


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_process_has_a_loop_of_its_own(tmp_path: Path) -> None:
    program = run_script(
        tmp_path,
        """
        import asyncio, os
        from hero_rl.loop import in_thread, run_sync

        async def work():
            await asyncio.sleep(0.01)
            return await in_thread(os.getpid)

        assert run_sync(work()) == os.getpid()
        child = os.fork()
        assert run_sync(work()) == os.getpid()
        if child:
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        """,
    )
    assert program.communicate(timeout=60) == ("0\n", "")
