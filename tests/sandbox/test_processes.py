"""The sandbox among real processes, threads and event loops: nothing is left behind, nothing blocks what it should not."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hero_rl.loop import run_sync
from hero_rl.sandbox import Outcome, Sandbox, SandboxSettings, worker

ON_LINUX = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")


def sandbox(**settings: object) -> Sandbox:
    return Sandbox(SandboxSettings(**({"workers": 2, "deadline_s": 10.0} | settings)))  # type: ignore[arg-type]


def descendants() -> list[tuple[int, str]]:
    """(pid, state) of every process below this one."""
    parents: dict[int, int] = {}
    states: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            except OSError:
                continue
            parents[int(entry.name)], states[int(entry.name)] = int(parent), state
    below = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in below} - below:
        below |= more
    return [(pid, states[pid]) for pid in below - {os.getpid()}]


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def wait_until(condition: Callable[[], bool], limit_s: float = 5.0) -> bool:
    end = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def run_script(tmp_path: Path, text: str) -> subprocess.CompletedProcess[str]:
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(text))
    return subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60)


@ON_LINUX
def test_a_hundred_hangs_leave_no_zombie_and_no_orphan() -> None:
    before = {pid for pid, _ in descendants()}
    box = sandbox(deadline_s=0.004)
    outcomes = run_sync(box.run("time:sleep", [[60]] * 100))
    assert [outcome.kind for outcome in outcomes] == ["timeout"] * 100
    during = {pid: state for pid, state in descendants() if pid not in before}
    assert len(during) <= 3  # the warm process and two workers
    assert "Z" not in during.values()
    box.close()
    assert {pid for pid, _ in descendants()} - before == set()
    assert box.stats.timeouts == 100


@ON_LINUX
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_no_worker_lives_a_second_after_its_parent(tmp_path: Path, how: signal.Signals) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            import signal
            from hero_rl.loop import run_sync
            from hero_rl.sandbox import Sandbox, SandboxSettings
            signal.signal(signal.SIGINT, signal.default_int_handler)
            box = Sandbox(SandboxSettings(workers=3, deadline_s=60))
            box.warm()
            print(*box.worker_pids, flush=True)
            # two hold their interpreter lock for ever, one is idle
            run_sync(box.run("builtins:pow", [[9, 9**9], [9, 9**9]]))
            """
        )
    )
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert parent.stdout is not None
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(pids) == 4
    time.sleep(0.3)
    assert not any(gone(pid) for pid in pids)
    parent.send_signal(how)
    parent.wait()
    parent.stdout.close()
    assert wait_until(lambda: all(gone(pid) for pid in pids), limit_s=1.0)


@ON_LINUX
def test_a_worker_kills_itself_soon_after_the_deadline_when_the_parent_cannot(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            from hero_rl.loop import run_sync
            from hero_rl.sandbox import Sandbox, SandboxSettings
            box = Sandbox(SandboxSettings(workers=1, deadline_s=0.3))
            box.warm()
            print(*box.worker_pids, flush=True)
            run_sync(box.run("builtins:pow", [[9, 9**9]], deadline_s=0.5))
            """
        )
    )
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    _, pid = (int(pid) for pid in parent.stdout.readline().split())
    time.sleep(0.1)
    parent.send_signal(signal.SIGSTOP)
    try:
        assert not gone(pid)
        assert wait_until(lambda: gone(pid), limit_s=10.0)
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()


def test_a_script_without_a_main_guard_runs_once(tmp_path: Path) -> None:
    done = run_script(
        tmp_path,
        """
        print("script")
        from hero_rl.loop import run_sync
        from hero_rl.sandbox import Sandbox, SandboxSettings
        box = Sandbox(SandboxSettings(workers=2))
        print([outcome.value for outcome in run_sync(box.run("math:sqrt", [[4], [9]]))])
        """,
    )
    assert done.stdout.splitlines() == ["script", "[2.0, 3.0]"]
    assert done.stderr == ""
    assert done.returncode == 0


def test_a_script_may_end_in_the_middle_of_a_hang(tmp_path: Path) -> None:
    started = time.monotonic()
    done = run_script(
        tmp_path,
        """
        import threading, time
        from hero_rl.loop import run_sync
        from hero_rl.sandbox import Sandbox, SandboxSettings
        box = Sandbox(SandboxSettings(workers=2, deadline_s=50))
        box.warm()
        threading.Thread(target=lambda: run_sync(box.run("builtins:pow", [[9, 9**9]] * 4)), daemon=True).start()
        time.sleep(0.2)
        """,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert time.monotonic() - started < 45


@ON_LINUX
def test_a_forked_child_gets_workers_of_its_own(tmp_path: Path) -> None:
    done = run_script(
        tmp_path,
        """
        import os
        from hero_rl.loop import run_sync
        from hero_rl.sandbox import Sandbox, SandboxSettings
        box = Sandbox(SandboxSettings(workers=1))
        (first,) = run_sync(box.run("os:getpid", [[]]))
        child = os.fork()
        (mine,) = run_sync(box.run("os:getpid", [[]]))
        same = mine.value == first.value
        if child == 0:
            raise SystemExit(10 + same)
        _, status = os.waitpid(child, 0)
        (last,) = run_sync(box.run("os:getpid", [[]]))
        print(os.waitstatus_to_exitcode(status), same, last.value == first.value)
        """,
    )
    assert done.stdout.split() == ["10", "True", "True"]
    assert done.returncode == 0


@ON_LINUX
def test_a_sandbox_that_is_dropped_without_close_ends_its_workers() -> None:
    box = sandbox()
    box.warm()
    pids = box.worker_pids
    assert len(pids) == 3
    del box
    gc.collect()
    assert wait_until(lambda: all(gone(pid) for pid in pids))


def test_several_threads_get_their_own_answers() -> None:
    answers: dict[int, list[Outcome]] = {}
    with sandbox() as box:

        def ask(start: int) -> None:
            answers[start] = run_sync(box.run("math:sqrt", [[value * value] for value in range(start, start + 50)]))

        threads = [threading.Thread(target=ask, args=(start,)) for start in range(0, 400, 50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for start in range(0, 400, 50):
        assert [outcome.value for outcome in answers[start]] == list(range(start, start + 50))


def test_the_event_loop_goes_on_while_checks_hang() -> None:
    async def main(box: Sandbox) -> tuple[list[list[Outcome]], int]:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.01)
                ticks += 1

        ticker = asyncio.create_task(tick())
        found = await asyncio.gather(box.run("time:sleep", [[30], [0]]), box.run("math:sqrt", [[4]]), box.run("math:sqrt", []))
        ticker.cancel()
        return list(found), ticks

    with sandbox(deadline_s=0.08) as box:
        box.warm()
        (slept, rooted, none), ticks = asyncio.run(main(box))
    assert [outcome.kind for outcome in slept] == ["timeout", "value"]
    assert [outcome.value for outcome in rooted] == [2.0]
    assert none == []
    assert ticks >= 10  # of about 30


def test_cancelling_drops_the_checks_that_have_not_begun() -> None:
    async def main(box: Sandbox) -> None:
        task = asyncio.create_task(box.run("time:sleep", [[0.2]] * 500))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with sandbox(workers=1, chunk_size=2) as box:
        box.warm()
        asyncio.run(main(box))
        started = time.monotonic()
        (outcome,) = run_sync(box.run("math:sqrt", [[4]]))
        assert outcome.value == 2.0
        assert time.monotonic() - started < 50  # all 500 take 100 s


def test_several_tasks_get_their_own_answers() -> None:
    async def main(box: Sandbox) -> list[list[Outcome]]:
        return await asyncio.gather(*(box.run("math:sqrt", [[value * value] for value in range(20)]) for _ in range(10)))

    with sandbox() as box:
        found = asyncio.run(main(box))
    assert all([outcome.value for outcome in one] == list(range(20)) for one in found)


def test_closing_wakes_those_who_wait() -> None:
    box = sandbox(deadline_s=30)
    box.warm()
    outcomes: list[Outcome] = []
    waiter = threading.Thread(target=lambda: outcomes.extend(run_sync(box.run("time:sleep", [[30]] * 5))))
    waiter.start()
    time.sleep(0.2)
    box.close()
    waiter.join(5)
    assert [outcome.kind for outcome in outcomes] == ["crash"] * 5
    assert all("closed" in outcome.detail or "SIGKILL" in outcome.detail for outcome in outcomes)


@ON_LINUX
@pytest.mark.parametrize("which", [0, 1], ids=["warm process", "child"])
def test_a_worker_killed_from_outside_while_idle_is_replaced_without_a_trace(which: int) -> None:
    with sandbox(workers=1) as box:
        run_sync(box.run("math:sqrt", [[4]]))
        os.kill(box.worker_pids[which], signal.SIGKILL)
        time.sleep(0.1)
        (outcome,) = run_sync(box.run("math:sqrt", [[9]]))
        assert outcome.value == 3.0
        assert box.stats.crashes == 0


@ON_LINUX
def test_idle_workers_that_died_with_the_warm_process_cost_no_outcome() -> None:
    with sandbox(workers=4) as box:
        box.warm()
        os.kill(box.worker_pids[0], signal.SIGKILL)
        time.sleep(0.1)
        for calls in (1, 1, 8):  # one worker is replaced, the others are met later, when there is another warm process
            outcomes = run_sync(box.run("time:sleep", [[0.05]] * calls))
            assert [outcome.kind for outcome in outcomes] == ["value"] * calls
        assert box.stats.respawns == 4


@ON_LINUX
def test_a_dead_worker_is_not_asked_of_another_warm_process() -> None:
    with sandbox(workers=2) as box:
        box.warm()
        pool = box._pool.value
        assert pool is not None
        lost, _ = pool._idle
        os.kill(box.worker_pids[0], signal.SIGKILL)
        time.sleep(0.1)
        pool._idle.remove(lost)
        run_sync(box.run("math:sqrt", [[4]]))
        warm_process = box.worker_pids[0]
        run_sync(pool._lose(lost))
        assert [outcome.value for outcome in run_sync(box.run("math:sqrt", [[4], [9]]))] == [2.0, 3.0]
        assert box.worker_pids[0] == warm_process


def test_a_system_without_room_for_a_worker_keeps_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room() -> int:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", no_room)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert b"temporarily unavailable" in worker._fork(theirs, [], os.getpid())


def test_a_quick_batch_does_not_wait_for_one_that_hangs() -> None:
    async def main(box: Sandbox) -> tuple[list[Outcome], bool]:
        hard = asyncio.create_task(box.run("time:sleep", [[60]] * 64))
        await asyncio.sleep(0.2)  # it has the only worker, for a minute per call
        easy = await box.run("math:sqrt", [[4], [9]])
        still = not hard.done()
        hard.cancel()
        await asyncio.gather(hard, return_exceptions=True)
        return easy, still

    with sandbox(workers=1, deadline_s=60.0) as box:
        easy, still = asyncio.run(main(box))
    assert ([outcome.value for outcome in easy], still) == ([2.0, 3.0], True)


def test_batches_take_turns_and_extra_workers_stay_until_all_is_quiet() -> None:
    async def main(box: Sandbox) -> list[int]:
        order: list[int] = []

        async def ask(number: int, calls: int) -> None:
            await box.run("time:sleep", [[0.01]] * calls)
            order.append(number)

        await asyncio.gather(ask(0, 300), ask(1, 5), ask(2, 5), ask(3, 5))
        return order

    with sandbox(workers=1, chunk_size=4) as box:
        assert asyncio.run(main(box))[-1] == 0
        assert (box.stats.started, box.stats.recycled) == (2, 0)
        assert wait_until(lambda: len(box.worker_pids) == 2)  # the process that forks, and one worker
