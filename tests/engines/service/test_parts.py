"""The parts of the service by themselves: what is kept and forgotten, who waits for whom, joint calls of a reward model."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import pickle
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.strategies import examples
from hero_rl.data import read_rollouts
from hero_rl.engines.service.batching import Batching
from hero_rl.engines.service.errors import PROBLEMS, RequestError
from hero_rl.engines.service.queue import Queue
from hero_rl.engines.service.rollouts import RolloutFolder
from hero_rl.engines.service.service import RewardService
from hero_rl.engines.service.settings import ServiceSettings
from hero_rl.engines.service.sqlite import FILE
from hero_rl.engines.service.store import RequestKey, StateStore
from hero_rl.engines.service.tokens import Guard, Token
from hero_rl.errors import InputError
from hero_rl.loop import in_thread
from hero_rl.pipeline import HybridReward
from hero_rl.rewards import hero, verifier_only
from hero_rl.scorers import ColumnScorer
from hero_rl.types import FloatArray, Rollout
from hero_rl.verifiers import ColumnVerifier

STATE: dict[str, Any] = {"version": 1, "rule": "hero", "sigma_mean": {"updates": 3}}


def open_store(place: str | Path | None = None, *, reward: str = "", **limits: Any) -> StateStore:
    defaults = {"max_answers": 100, "max_answer_bytes": 10**6}
    return StateStore(place, ServiceSettings(**{**defaults, **limits}), reward=reward)


def commit(store: StateStore, run_id: str, state: dict[str, Any] = STATE, **more: Any) -> None:
    with store.turn(run_id):
        store.save(run_id, state, **more)
        store.count()


def kept(store: StateStore, request: RequestKey) -> bytes | None:
    found = store.find(request.run_id, request)
    return found.body if found.digest is not None else None


def test_state_and_answer_are_there_after_reopening_or_neither_is(place: str) -> None:
    request = RequestKey("run", "a key with \0 and \ud800")
    store = open_store(place)
    commit(store, "run", request=request, digest="d", body=b"answer")
    with pytest.raises(RequestError) as failure:  # a second row of the same key, after the state was written
        commit(store, "run", {**STATE, "rule": "other"}, request=request, digest="d2", body=b"b2")
    assert failure.value.kind == "state_not_saved"
    with contextlib.suppress(ZeroDivisionError), store.turn("run"):
        store.save("run", {**STATE, "rule": "other"})
        raise ZeroDivisionError
    store.close()
    again = open_store(place)
    found = again.find("run", request)
    assert (json.loads(found.state or ""), found.digest, found.body) == (STATE, "d", b"answer")
    assert (again.runs, again.find("other"), again.find("run", RequestKey("run", "other")).digest) == (1, (None,) * 3, None)
    again.close()
    again.close()


@examples(40)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 400)), max_size=25),
    st.integers(1, 5),
    st.integers(50, 900),
)
def test_kept_answers_stay_within_count_and_bytes(steps: list[tuple[int, int]], max_answers: int, max_bytes: int) -> None:
    store = open_store(max_answers=max_answers, max_answer_bytes=max_bytes)
    rng, bodies, order = np.random.default_rng(0), dict[RequestKey, bytes](), list[RequestKey]()
    for key, size in steps:
        request = RequestKey("run", str(key))
        if store.find("run", request).digest is not None:
            assert kept(store, request) == bodies[request]
            continue
        body = rng.bytes(size)
        commit(store, "run", request=request, digest=f"{key}", body=body)
        bodies[request] = body
        order.append(request)
        sizes = [len(row[0]) for row in store._db.execute("SELECT body FROM hero_answers")]
        assert len(sizes) <= max_answers
        assert sum(sizes) <= max_bytes + max_bytes / 64 or len(sizes) == 1
        assert [kept(store, one) for one in order[-len(sizes) :]] == [bodies[one] for one in order[-len(sizes) :]]
    store.close()


def test_of_ten_thousand_answers_the_oldest_make_room_now_and_then(place: str) -> None:
    store = open_store(place, max_answers=128, max_answer_bytes=10**6)
    for number in range(200):
        commit(store, "run", request=RequestKey("run", str(number)), digest="d", body=b"x" * number)
        assert store._db.execute("SELECT count(*) FROM hero_answers").fetchone()[0] <= 130
    assert [kept(store, RequestKey("run", str(number))) for number in (60, 199)] == [None, b"x" * 199]
    store.close()


def test_a_run_is_deleted_with_its_answers(place: str) -> None:
    store = open_store(place)
    for run in ("a", "b"):
        commit(store, run, request=RequestKey(run, "k"), digest="d", body=b"x" * 100)
    with store.turn("a"):
        store.delete("a")
        store.count()
    assert (store.runs, store.find("a", RequestKey("a", "k"))) == (1, (None, None, None))
    assert kept(store, RequestKey("b", "k")) == b"x" * 100
    store.close()


def test_a_deleted_or_replaced_file_is_said_and_not_written_to(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    commit(store, "run")
    for change in (lambda: (tmp_path / FILE).unlink(), lambda: (tmp_path / FILE).write_bytes(b"")):
        change()
        with pytest.raises(RequestError, match=f"{FILE} was deleted or replaced") as failure:
            commit(store, "run")
        assert failure.value.kind == "state_not_saved"
    store.close()


def test_states_of_another_version_are_refused(place: str, tmp_path: Path) -> None:
    store = open_store(place)
    store._db.execute("UPDATE hero_store SET version = 7")
    store.close()
    with pytest.raises(InputError, match="another release"):
        open_store(place)
    (tmp_path / "earlier").mkdir()
    with contextlib.closing(sqlite3.connect(tmp_path / "earlier" / FILE, isolation_level=None)) as db:
        db.execute("PRAGMA user_version = 2")
    with pytest.raises(InputError, match="an earlier release"):
        open_store(tmp_path / "earlier")


def test_the_queue_lets_so_many_work_so_many_wait_and_forgets_who_leaves() -> None:
    async def run() -> None:
        queue, inside, order = Queue(2, 3), asyncio.Event(), list[int]()

        async def work(number: int) -> None:
            async with queue.slot("run"):
                order.append(number)
                await inside.wait()

        tasks = [asyncio.create_task(work(number)) for number in range(5)]
        await asyncio.sleep(0.01)
        assert (queue.running, queue.queued, order) == (2, 3, [0, 1])
        with pytest.raises(RequestError) as refusal:
            await work(5)
        assert (refusal.value.kind, refusal.value.retry_after_s) == ("busy", 1)
        tasks[2].cancel()
        tasks[0].cancel()
        await asyncio.sleep(0.01)
        assert (queue.running, queue.queued, order) == (2, 1, [0, 1, 3])
        inside.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert (queue.running, queue.queued, order) == (0, 0, [0, 1, 3, 4])
        queue.check("run")

    asyncio.run(run())


class Slow:
    """Doubles numbers; waits, so that callers gather; refuses negative ones."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.go = threading.Event()

    async def __call__(self, items: Sequence[int]) -> FloatArray:
        self.batches.append(list(items))
        if len(self.batches) == 1:
            await in_thread(self.go.wait, 5)
        if any(item < 0 for item in items):
            raise InputError("negative")
        return np.array([2.0 * item for item in items])


def test_callers_share_a_call_and_each_gets_its_own_or_its_own_error() -> None:
    async def run() -> None:
        slow = Slow()
        batching: Batching[int] = Batching(slow)
        first = asyncio.create_task(batching([1]))
        await asyncio.sleep(0.05)
        others = [asyncio.create_task(batching(items)) for items in ([2, 3], [], [-1], [4], [5])]
        await asyncio.sleep(0.01)
        others[4].cancel()
        await asyncio.sleep(0.5)  # to reach the loop in the background, on which callers wait
        slow.go.set()
        results = await asyncio.gather(first, *others, return_exceptions=True)
        assert [list(one) if isinstance(one, np.ndarray) else type(one) for one in results] == [
            [2.0], [4.0, 6.0], [], InputError, [8.0], asyncio.CancelledError,
        ]  # fmt: skip
        # one joint call, and each part alone after it had failed; who had left was left out
        assert slow.batches == [[1], [2, 3, -1, 4], [2, 3], [], [-1], [4]]
        assert list(await batching([7])) == [14.0]

    asyncio.run(run())


def test_problems_are_documented_picklable_and_say_what_they_are() -> None:
    error = RequestError("busy", "full", retry_after_s=3)
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.kind, copy.message, copy.status, copy.headers) == ("busy", "full", 429, {"Retry-After": "3"})
    assert copy.body("a-1") == b'{"error": {"type": "busy", "message": "full", "request_id": "a-1", "retry_after_s": 3}}'
    assert all(400 <= problem.status < 600 and problem.meaning.endswith(".") for problem in PROBLEMS.values())


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_running": 0}, {"deadline_s": 0.0}, {"drain_s": float("nan")}, {"tokens": (Token("a", "x"), Token("a", "y"))},
        {"tokens": (Token("a", "x"), Token("b", "x"))},
    ],
)  # fmt: skip
def test_limits_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"the service's"):
        ServiceSettings(**wrong)
    assert "hidden" not in repr(ServiceSettings(tokens=(Token("a", "hidden"),)))


@pytest.mark.parametrize("wrong", [("a", " "), ("a", "ü"), ("a", "x\ny"), ("a", "x", 0.0), ("a", "x", float("nan"))])
def test_tokens_that_cannot_be_sent_are_refused(wrong: tuple[Any, ...]) -> None:
    with pytest.raises(InputError, match="token 'a'"):
        Token(*wrong)


def test_a_token_sends_a_minutes_worth_at_once_and_then_as_many_as_become_due() -> None:
    now = 0.0
    fast, slow, free = Token("fast", "a", 3.0), Token("slow", "b", 0.5), Token("free", "c")
    guard = Guard([fast, slow, free], clock=lambda: now)
    for token, often, wait_s in ((fast, 3, 20), (slow, 1, 120)):
        for _ in range(often):
            guard.count(token)
        with pytest.raises(RequestError, match="requests per minute") as caught:
            guard.count(token)
        assert (caught.value.kind, caught.value.retry_after_s) == ("rate_limited", wait_s)
    for _ in range(1000):
        guard.count(free)
    now = 20.0  # what was refused is not counted
    guard.count(fast)
    with pytest.raises(RequestError):
        guard.count(fast)
    now = 1e6
    for _ in range(3):
        guard.count(fast)


def test_rollouts_of_runs_are_kept_apart_and_a_later_process_goes_on_with_their_steps(tmp_path: Path) -> None:
    reward = HybridReward(ColumnVerifier("correct"), ColumnScorer("rm_score"), hero())
    rows = [
        Rollout(
            prompt_id=str(at // 2), problem="p", reference="1", response=f"r{at}", extra={"correct": at % 2, "rm_score": 0.5}
        )
        for at in range(20)
    ]
    made = reward.batch(rows)
    for _ in range(2):
        kept = RolloutFolder(tmp_path)
        kept.keep("../a", rows, made)
        kept.keep("../a", rows[:4], reward.batch(rows[:4]))
        kept.keep(".._a", rows, made)
        kept.close()
    folders = {len(list(run.glob("rollouts/step_00000[1-4].parquet"))): run for run in tmp_path.iterdir()}
    assert [run.name.rpartition("-")[0] for run in folders.values()] == ["___a"] * 2
    found = [row.rollout.extra for row in read_rollouts(folders[4])]
    assert [[row["step"] for row in found].count(step) for step in (1, 2, 3, 4)] == [16, 4] * 2  # eight prompts of ten
    assert [row["advantage"] for row in found[:16]] == pytest.approx(made.advantages[:16].tolist())
    # names of files count as numbers, and one that holds none is another's
    for name in ("step_999999", "step_1000000", "step_old"):
        (folders[4] / "rollouts" / f"{name}.parquet").touch()
    kept = RolloutFolder(tmp_path)
    kept.keep("../a", rows, made)
    kept.close()
    assert (folders[4] / "rollouts/step_1000001.parquet").stat().st_size


def test_that_the_rollouts_of_one_run_too_many_are_not_kept_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("hero_rl.engines.service.rollouts.MOST_RUNS", 0)
    reward = HybridReward(ColumnVerifier("correct"), None, verifier_only())
    rows = [Rollout(prompt_id="p", problem="p", reference="1", response="r", extra={"correct": 1})]
    kept = RolloutFolder(tmp_path)
    for run in ("a", "b"):
        kept.keep(run, rows, reward.batch(rows))
    kept.close()
    assert [record.getMessage() for record in caplog.records if "not kept" in record.getMessage()] == [
        "hero-rl: rollouts of run a and later ones are not kept: 0 are, the most"
    ]


class Inverse(NamedTuple):
    """A state whose metrics fail at 0."""

    updates: int = 0

    def state_dict(self) -> dict[str, Any]:
        return {"updates": self.updates}

    def restore(self, state: Mapping[str, Any], /) -> Inverse:
        return Inverse(state["updates"])

    def metrics(self) -> dict[str, float]:
        return {"inverse": 1.0 / self.updates}


def test_a_run_whose_metrics_fail_is_left_out_of_the_metrics(caplog: pytest.LogCaptureFixture) -> None:
    async def text() -> str:
        rule = dataclasses.replace(hero(), start=Inverse())
        reward = HybridReward(ColumnVerifier("correct"), ColumnScorer("rm_score"), rule)
        service = RewardService(reward, open_store(), ServiceSettings())
        for run_id, updates in (("good", 4), ("bad", 0), ("better", 2)):
            await service.put_run(run_id, {**reward.state_dict(), "state": {"updates": updates}})
        found = service.metrics.text().decode()
        await service.close()
        return found

    found = [line for line in asyncio.run(text()).splitlines() if line.startswith("hero_rule_state{")]
    assert found == [
        f'hero_rule_state{{name="inverse",run_id="{run_id}"}} {value}' for run_id, value in (("good", 0.25), ("better", 0.5))
    ]
    assert "leaves out the run bad: ZeroDivisionError" in caplog.text
