"""What comes out of the sandbox: every kind of outcome, in order, each at its own cost only."""

from __future__ import annotations

import asyncio
import os
import textwrap
import time
from collections import Counter
from pathlib import Path

import pytest

from hero_rl.errors import InputError, SignalError, TooHardError
from hero_rl.loop import run_sync
from hero_rl.sandbox import Sandbox, SandboxSettings
from hero_rl.sandbox.budget import cpu_budget

HELPERS = """
    import os, sys, time

    def hang_on(value, hanging):
        while value in hanging:
            pass
        return value

    def spin(seconds):
        end = time.process_time() + seconds
        while time.process_time() < end:
            pass

    def hold_the_interpreter(value):
        return (9 ** 9 ** 9) % value if value else 0

    def note(path, value, hanging):
        with open(path, "a") as file:
            file.write(f"{value}\\n")
        return hang_on(value, hanging)

    def chatter(value):
        print("[0, \\"value\\", 13]", flush=True)
        sys.stdout.buffer.write(b"\\xff\\n")
        return [value, sys.stdin.read()]

    def tell(times):
        print("x" * 100_000 * times)
        return times

    class Unspeakable(Exception):
        def __str__(self):
            raise RuntimeError("no text")

    def fail(how):
        if how == "unspeakable":
            raise Unspeakable
        raise {"value": ValueError("seven"), "exit": SystemExit(3), "depth": RecursionError("deep")}[how]

    kept = []

    def keep(size):
        kept.append(bytearray(size))
        return len(kept)

    def hold_later(text):
        import re, threading
        late = threading.Timer(0.2, re.match, ("(a+)+$", "a" * 60 + "b"))
        late.daemon = True
        late.start()
        return len(text)

    def thread_pins(name):
        return os.environ.get(name)
"""


@pytest.fixture
def helpers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "sandbox_helpers.py").write_text(textwrap.dedent(HELPERS))
    (tmp_path / "slow_import.py").write_text("import time\ntime.sleep(0.8)\ndef double(x): return 2 * x\n")
    (tmp_path / "broken_import.py").write_text("raise OSError('no such device')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def sandbox(**settings: object) -> Sandbox:
    return Sandbox(SandboxSettings(**({"workers": 2, "deadline_s": 10.0} | settings)))  # type: ignore[arg-type]


def test_results_keep_their_order_when_some_checks_hang(helpers: Path) -> None:
    hanging = [3, 17, 18]
    with sandbox(deadline_s=0.5) as box:
        outcomes = run_sync(box.run("sandbox_helpers:hang_on", [[value, hanging] for value in range(40)]))
        assert [outcome.value for outcome in outcomes] == [None if v in hanging else v for v in range(40)]
        assert [outcome.kind for outcome in outcomes] == ["too_hard" if v in hanging else "value" for v in range(40)]
        assert "0.5 s" in outcomes[3].detail
        assert (box.stats.checks, box.stats.too_hard, box.stats.respawns) == (40, 3, 3)


def test_a_worker_that_reads_nothing_is_killed_at_the_deadline_too(helpers: Path) -> None:
    with sandbox(workers=1, deadline_s=0.1) as box:
        assert run_sync(box.run("sandbox_helpers:hold_later", [["a"]]))[0].value == 1
        time.sleep(0.4)
        (outcome,) = run_sync(asyncio.wait_for(box.run("sandbox_helpers:hold_later", [["a" * 3_000_000]]), 5))
        assert outcome.kind == "timeout"
        assert run_sync(box.run("sandbox_helpers:hold_later", [["aa"]]))[0].value == 2


def test_a_hang_costs_its_own_check_only_and_nothing_runs_twice(helpers: Path) -> None:
    with sandbox(workers=1, deadline_s=0.5, chunk_size=30) as box:
        path = str(helpers / "notes")
        run_sync(box.run("sandbox_helpers:note", [[path, value, [4]] for value in range(60)]))
        runs = Counter(Path(path).read_text().split())
    assert runs == Counter(str(value) for value in range(60))


def test_what_was_too_hard_is_remembered_and_not_done_again(helpers: Path) -> None:
    with sandbox(workers=1, deadline_s=0.2) as box:
        first = run_sync(box.run("sandbox_helpers:hang_on", [[1, [1]], [2, []]]))
        lost = box.stats.respawns
        again = run_sync(box.run("sandbox_helpers:hang_on", [[1, [1]], [2, []]]))
        assert [outcome.kind for outcome in again] == [outcome.kind for outcome in first] == ["too_hard", "value"]
        assert (lost, box.stats.respawns) == (1, 1)
        (patient,) = run_sync(box.run("sandbox_helpers:hang_on", [[1, [1]]], deadline_s=0.3))  # with more time it may be easy
        assert (patient.kind, box.stats.respawns) == ("too_hard", 2)


def test_a_budget_refuses_a_batch_as_a_whole_and_changes_no_outcome(helpers: Path) -> None:
    with sandbox(workers=1, chunk_size=1) as box:
        with cpu_budget(0.5), pytest.raises(TooHardError, match=r"more than 0\.5 s of CPU time"):
            run_sync(box.run("sandbox_helpers:spin", [[0.3]] * 9))
        assert 2 <= box.stats.checks <= 3
        with cpu_budget(0.5):
            outcomes = run_sync(box.run("sandbox_helpers:spin", [[0.1]] * 3))
        assert outcomes == run_sync(box.run("sandbox_helpers:spin", [[0.1]] * 3))


def test_a_budget_counts_calls_that_end_well_and_is_shared_by_sandboxes(helpers: Path) -> None:
    with sandbox(workers=1, chunk_size=1) as one, sandbox(workers=1, chunk_size=1) as other, cpu_budget(0.5):
        run_sync(one.run("sandbox_helpers:spin", [[0.4]]))
        with pytest.raises(TooHardError):
            run_sync(other.run("sandbox_helpers:spin", [[0.2], [0.0]]))


def test_waiting_is_no_cpu_time_and_the_clock_starts_at_dispatch_not_at_submission() -> None:
    with sandbox(workers=1, deadline_s=0.12) as box:
        outcomes = run_sync(box.run("time:sleep", [[0.2]] * 6))  # the last one is submitted 1 s before it is begun
    assert [outcome.kind for outcome in outcomes] == ["value"] * 6


def test_a_function_with_shared_arguments_makes_what_is_called() -> None:
    with sandbox(workers=1) as box:
        found = run_sync(box.run("operator:itemgetter", [[["a", "b"]], [["c", "d"]]], shared=[1]))
        (other,) = run_sync(box.run("operator:itemgetter", [[["a", "b"]]], shared=[0]))
    assert [outcome.value for outcome in (*found, other)] == ["b", "d", "a"]


def test_imports_do_not_count_against_the_first_check(helpers: Path) -> None:
    with sandbox(workers=1, deadline_s=0.5) as box:
        assert [outcome.value for outcome in run_sync(box.run("slow_import:double", [[4]]))] == [8]


def test_a_check_that_holds_the_interpreter_lock_is_killed_in_time(helpers: Path) -> None:
    with sandbox(workers=1, deadline_s=0.3) as box:
        box.warm()
        started = time.monotonic()
        (outcome,) = run_sync(box.run("sandbox_helpers:hold_the_interpreter", [[7]]))
        assert outcome.kind == "too_hard"
        assert 0.27 <= time.monotonic() - started < 60  # alone it would take hours


def test_a_deadline_can_be_given_per_call() -> None:
    with sandbox() as box:
        (slow,) = run_sync(box.run("time:sleep", [[0.5]], deadline_s=2.0))
        (cut,) = run_sync(box.run("time:sleep", [[0.5]], deadline_s=0.02))
    assert (slow.kind, cut.kind) == ("value", "timeout")


def test_a_dead_process_is_a_crash_and_the_rest_of_its_batch_is_done() -> None:
    with sandbox(workers=1) as box:
        outcomes = (
            run_sync(box.run("os:_exit", [[3], [0]]))
            + run_sync(box.run("os:abort", [[]]))
            + run_sync(box.run("math:sqrt", [[4], [9]]))
        )
    assert [outcome.kind for outcome in outcomes] == ["crash", "crash", "crash", "value", "value"]
    assert "exit code 3" in outcomes[0].detail
    assert "exit code 0" in outcomes[1].detail
    assert "SIGABRT" in outcomes[2].detail


def test_too_much_memory_has_its_own_outcome_and_a_fresh_process_follows() -> None:
    with sandbox(workers=1, memory_bytes=512 << 20) as box:
        (before,) = run_sync(box.run("os:getpid", [[]]))
        (hungry,) = run_sync(box.run("builtins:bytearray", [[1 << 30]]))
        (after,) = run_sync(box.run("os:getpid", [[]]))
        assert hungry.kind == "memory"
        assert before.value != after.value
        assert box.stats.memory == 1


def test_memory_that_earlier_checks_have_kept_is_not_held_against_a_check(helpers: Path) -> None:
    with sandbox(workers=1, memory_bytes=512 << 20) as box:
        outcomes = [run_sync(box.run("sandbox_helpers:keep", [[300 << 20]]))[0] for _ in range(3)]
    assert [outcome.value for outcome in outcomes] == [1, 1, 1]


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("value", "ValueError: seven"),
        ("exit", "SystemExit: 3"),
        ("depth", "RecursionError: deep"),
        ("unspeakable", "Unspeakable"),
    ],
)
def test_an_exception_is_an_error_with_its_message(helpers: Path, how: str, expected: str) -> None:
    with sandbox(workers=1) as box:
        bad, good = run_sync(box.run("sandbox_helpers:fail", [[how]])) + run_sync(box.run("math:sqrt", [[4]]))
    assert (bad.kind, bad.detail) == ("error", expected)
    assert good.value == 2.0


def test_a_result_that_is_not_plain_data_is_an_error() -> None:
    with sandbox(workers=1) as box:
        (outcome,) = run_sync(box.run("builtins:object", [[]]))
    assert outcome.kind == "error"
    assert "JSON" in outcome.detail


def test_a_function_that_cannot_be_imported_is_an_error_that_names_it(helpers: Path) -> None:
    with sandbox(workers=1) as box:
        outcomes = [run_sync(box.run(name, [[1]]))[0] for name in ("no_such_module:f", "math:no_such_f", "broken_import:f")]
    assert [outcome.kind for outcome in outcomes] == ["error"] * 3
    for outcome, name in zip(outcomes, ("no_such_module", "no_such_f", "no such device"), strict=True):
        assert name in outcome.detail


def test_a_worker_that_cannot_warm_up_is_reported_by_warm_and_by_run() -> None:
    with sandbox(workers=1, warm_up=("no_such_module",)) as box:
        with pytest.raises(SignalError, match="no_such_module"):
            box.warm()
        (outcome,) = run_sync(box.run("math:sqrt", [[4]]))
    assert outcome.kind == "crash"
    assert "no_such_module" in outcome.detail


def test_what_a_check_prints_or_reads_cannot_disturb_the_channel(helpers: Path) -> None:
    with sandbox(workers=1) as box:
        assert [outcome.value for outcome in run_sync(box.run("sandbox_helpers:chatter", [[1], [2]]))] == [[1, ""], [2, ""]]


def test_odd_text_and_numbers_cross_unchanged() -> None:
    odd = ["", "\ud800", "\n\r\0", "ü€😀", "x" * 200_000, -0.0, 1e300, 10**30, True, None, [[], {}], {"a": [1]}]
    with sandbox(workers=1) as box:
        outcomes = run_sync(box.run("copy:copy", [[value] for value in odd]))
    assert [outcome.value for outcome in outcomes] == odd


def test_a_message_larger_than_a_pipe_survives_a_crash_in_front_of_it(helpers: Path) -> None:
    long = "x" * 300_000
    with sandbox(workers=1, deadline_s=0.5) as box:
        outcomes = run_sync(box.run("sandbox_helpers:hang_on", [[long, []], [long, [long]], [long, []]]))
        assert [outcome.kind for outcome in outcomes] == ["value", "too_hard", "value"]
        (crashed,) = run_sync(box.run("os:_exit", [[3]]))
        (good,) = run_sync(box.run("copy:copy", [[long]]))
    assert (crashed.kind, good.value) == ("crash", long)


def test_a_warm_up_is_done_once_however_many_checks_hang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notes = tmp_path / "notes"
    (tmp_path / "costly.py").write_text(f"def prepare():\n    open({str(notes)!r}, 'a').write('x')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with sandbox(workers=1, deadline_s=0.06, warm_up=("costly:prepare",)) as box:
        run_sync(box.run("time:sleep", [[30], [0], [30]]))
    assert notes.read_text() == "x"


def test_workers_are_recycled_after_so_many_checks() -> None:
    with sandbox(workers=1, recycle_after=5, chunk_size=3) as box:
        pids = Counter(outcome.value for outcome in run_sync(box.run("os:getpid", [[]] * 20)))
        assert sorted(pids.values()) == [5, 5, 5, 5]
        assert box.stats.recycled >= 3  # the fourth may still be under way


def test_workers_use_one_thread_each(helpers: Path) -> None:
    with sandbox(workers=1) as box:
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        assert [one.value for one in run_sync(box.run("sandbox_helpers:thread_pins", [[name] for name in names]))] == ["1"] * 3


def test_nothing_starts_before_the_first_check() -> None:
    with sandbox() as box:
        assert box.worker_pids == []
        assert run_sync(box.run("math:sqrt", [])) == []
        assert box.worker_pids == []
        run_sync(box.run("math:sqrt", [[4]]))
        assert len(box.worker_pids) == 2  # the warm process and its fork
        box.warm()
        assert len(box.worker_pids) == 3


def test_the_statistics_are_one_line() -> None:
    with sandbox(workers=1) as box:
        run_sync(box.run("math:sqrt", [[4], [-1]]))
        text = str(box.stats)
    assert "\n" not in text
    assert text.startswith("2 checks, 0 too hard, 0 out of memory, 0 timeouts, 0 crashes, 1 errors")
    assert "1 errors" in text


def test_a_check_that_prints_too_much_fails_no_other(helpers: Path) -> None:
    with sandbox(workers=1) as box:
        outcomes = run_sync(box.run("sandbox_helpers:tell", [[4], [4], [4], [4], [20], [4], [4]]))
    assert [outcome.value for outcome in outcomes] == [4, 4, 4, 4, None, 4, 4]
    assert "File too large" in outcomes[4].detail


@pytest.mark.parametrize("function", ["sqrt", "math:", ":sqrt", "__main__:f"])
def test_a_function_that_no_worker_could_import_is_refused(function: str) -> None:
    with sandbox() as box, pytest.raises(InputError, match="cannot be imported"):
        run_sync(box.run(function, [[1]]))


def test_arguments_that_are_not_plain_data_are_refused() -> None:
    with sandbox() as box, pytest.raises(InputError, match="plain data"):
        run_sync(box.run("math:sqrt", [[object()]]))


@pytest.mark.parametrize(
    "settings", [{"workers": 0}, {"deadline_s": 0}, {"deadline_s": float("nan")}, {"memory_bytes": -1}, {"chunk_size": 0}]
)
def test_settings_out_of_range_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(InputError, match=next(iter(settings))):
        sandbox(**settings)


@pytest.mark.parametrize("deadline_s", [0, -1.0, float("nan"), float("inf")])
def test_a_deadline_of_calls_out_of_range_is_refused(deadline_s: float) -> None:
    with sandbox() as box, pytest.raises(InputError, match="deadline_s"):
        run_sync(box.run("math:sqrt", [[4]], deadline_s=deadline_s))


def test_closing_twice_is_harmless_and_a_closed_sandbox_says_so() -> None:
    box = sandbox()
    run_sync(box.run("math:sqrt", [[4]]))
    pids = box.worker_pids
    box.close()
    box.close()
    assert box.worker_pids == []
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    with pytest.raises(InputError, match="closed"):
        run_sync(box.run("math:sqrt", [[4]]))
