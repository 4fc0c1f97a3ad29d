"""TRL's own asynchronous rollout loop with HERO's group reward: what it trains on, and that judging overlaps sampling.

vLLM does not install on a CPU, so a small server stands in for it: it answers ``/v1/completions`` as vLLM does, after a while.
The loop, its queues and its scoring are TRL's.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import math
import multiprocessing
import pickle
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from accelerate.state import PartialState
from trl.chat_template_utils import qwen3_chat_template
from trl.experimental.async_grpo import async_rollout_worker

from helpers import tiny
from hero_rl.engines.trl.asynchronous import GroupReward, HeroRolloutLoop, HeroRolloutWorker
from hero_rl.errors import SignalError
from hero_rl.pipeline import HybridReward
from hero_rl.rewards import group_advantages, hero
from hero_rl.scorers import ColumnScorer
from hero_rl.types import FloatArray, Rollout, Verdict
from hero_rl.verifiers import ExactVerifier

GROUP, SAMPLING_S, JUDGING_S = 4, 0.1, 0.3
SPANS: dict[str, list[tuple[float, float]]] = {"sampling": [], "verifying": [], "scoring": []}


async def spend(what: str) -> None:
    started = time.monotonic()
    await asyncio.sleep(JUDGING_S)
    SPANS[what].append((started, time.monotonic()))


class SlowLetters(tiny.Letters):
    async def averify(self, rollouts: Sequence[Rollout]) -> list[Verdict]:
        await spend("verifying")
        return self.verify(rollouts)


class SlowCharacters(tiny.Characters):
    async def ascore(self, rollouts: Sequence[Rollout]) -> FloatArray:
        await spend("scoring")
        return await super().ascore(rollouts)


class StandIn(BaseHTTPRequestHandler):
    """Answers as vLLM's ``/v1/completions`` does: letters that follow from the seed, then the end of the sequence."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        started = time.monotonic()
        time.sleep(SAMPLING_S)
        SPANS["sampling"].append((started, time.monotonic()))
        letters = np.random.default_rng(asked["seed"]).integers(2, 38, 6).tolist()
        ids = [*letters, 1]
        body = json.dumps({"choices": [{"token_ids": ids, "logprobs": {"token_logprobs": [-3.0] * len(ids)}}]}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(OSError):  # the loop failed and has hung up
            self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), StandIn) as stand_in:
        threading.Thread(target=stand_in.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{stand_in.server_address[1]}"
        stand_in.shutdown()


class Ran(NamedTuple):
    groups: list[list[Any]]
    seconds: float
    failed: tuple[str, str, str] | None


def tokenizer() -> Any:
    """With a template whose answers TRL can parse."""
    made = tiny.tokenizer()
    made.chat_template = qwen3_chat_template
    return made


def run(url: str, reward: Any, groups: int, *, loop: type = HeroRolloutLoop) -> Ran:
    """TRL's loop until this many groups were scored, or it failed."""
    PartialState(cpu=True)
    context = multiprocessing.get_context("spawn")
    samples, failed, told = context.Queue(), context.Event(), context.Queue()
    running = loop(
        model_name="tiny", dataset=tiny.problems(chat=True), reward_funcs=[reward], processing_class=tokenizer(),
        eos_token_ids=[1], rollout_buffer=samples, model_version_value=context.Value("i", 0),
        heartbeat_value=context.Value("d", 0.0), failed_event=failed, exception_info_queue=told,
        metrics_queue=context.Queue(), num_generations=GROUP, max_inflight_tasks=GROUP, vllm_server_url=url,
    )  # fmt: skip

    def work(one: HeroRolloutLoop) -> None:
        with contextlib.suppress(SignalError):  # it is told to the parent
            one.run()

    thread = threading.Thread(target=work, args=(running,))
    started = time.monotonic()
    thread.start()
    got: dict[int, list[Any]] = {}
    while sum(map(len, got.values())) < groups * GROUP and not failed.is_set() and time.monotonic() - started < 60:
        try:
            sample = samples.get(timeout=0.2)
        except queue.Empty:
            continue
        got.setdefault(sample.group_id, []).append(sample)
    seconds = time.monotonic() - started
    with contextlib.suppress(RuntimeError):  # the loop is closed where it failed
        running._loop.call_soon_threadsafe(running._stop_event.set)
    thread.join(timeout=20)
    assert not thread.is_alive()
    del running
    gc.collect()  # where the loop failed, TRL leaves tasks behind, which complain when they are collected: here, not anywhere
    return Ran([got[key] for key in sorted(got)][:groups], seconds, told.get(timeout=5) if failed.is_set() else None)


def rollouts(texts: Sequence[str]) -> list[Rollout]:
    return [Rollout(prompt_id="p", problem="1+1=?", reference="2", response=text) for text in texts]


def expected(samples: list[Any], reward: HybridReward) -> FloatArray:
    rows = rollouts([sample.completion[0]["content"] for sample in samples])
    batch = reward.batch(rows)
    return group_advantages(batch.rewards, [0] * len(rows), weights_B=batch.weights)


def test_every_group_trains_on_weighted_advantages_and_moves_the_mean_once(server: str, tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    ran = run(server, GroupReward(HybridReward(tiny.Letters(), tiny.Characters(), hero()), [1], state_file=state), 4)
    again = HybridReward(tiny.Letters(), tiny.Characters(), hero())
    states = []
    for samples in ran.groups:  # in the order in which they were scored: one at a time
        found = [sample.advantage for sample in samples]
        np.testing.assert_allclose(found, expected(samples, again), rtol=0, atol=1e-9)
        states.append(again.state_dict())
    assert any(abs(sample.advantage) > 1e-3 for samples in ran.groups for sample in samples)
    assert json.loads(state.read_text())["state"]["updates"] >= 4


def test_trls_own_loop_would_divide_by_the_groups_standard_deviation(server: str) -> None:
    """Why ``_score_group`` is extended at all; should TRL learn ``scale_rewards`` here, this says so."""
    reward = HybridReward(tiny.Letters(), tiny.Characters(), hero())
    ran = run(server, GroupReward(reward, [1]), 1, loop=async_rollout_worker._AsyncRolloutLoop)
    assert np.std([sample.advantage for sample in ran.groups[0]]) == pytest.approx(1.0, abs=1e-3)


def test_judging_overlaps_sampling_and_itself(server: str) -> None:
    for spans in SPANS.values():
        spans.clear()
    ran = run(server, GroupReward(HybridReward(SlowLetters(), SlowCharacters(), hero()), [1]), 4)
    assert len(ran.groups) == 4
    verifying = SPANS["verifying"]
    while_judged = [s for s in SPANS["sampling"] if any(start < s[0] and s[1] < end for start, end in verifying)]
    assert len(while_judged) >= GROUP, "no response was sampled while a group was judged"
    for (start, end), (other_start, other_end) in zip(verifying, SPANS["scoring"], strict=False):
        assert max(start, other_start) < min(end, other_end), "verifier and reward model took turns"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_dead_reward_stops_the_worker_with_its_message(server: str) -> None:
    broken = tiny.Letters(fail=lambda rollout: True)
    ran = run(server, GroupReward(HybridReward(broken, tiny.Characters(), hero(), max_failure_rate=0.0), [1]), 1)
    assert ran.failed is not None
    assert ran.failed[0] == "SignalError"
    assert "4 of the last 4 rows failed in letters and characters" in ran.failed[1]


def test_the_mean_goes_on_where_the_state_file_says(tmp_path: Path) -> None:
    def make(name: str) -> GroupReward:
        return GroupReward(HybridReward(ExactVerifier(), ColumnScorer("rm"), hero()), [1], state_file=tmp_path / name)

    def judged(reward: GroupReward, scores: list[float]) -> list[float | None]:
        rows = {"reference": ["2"] * 4, "rm": scores}
        return asyncio.run(reward(["1+1=?"] * 4, ["2", "2", "3", "4"], [[1]] * 4, **rows))

    first, second = [4.0, 1.0, -2.0, 0.5], [0.1, 0.2, 0.0, 0.3]
    whole = make("whole.json")
    judged(whole, first)
    after = judged(whole, second)
    judged(make("parts.json"), first)
    sent = pickle.loads(pickle.dumps(make("parts.json")))  # as the worker's process gets it
    assert judged(sent, second) == after
    assert (tmp_path / "parts.json").read_text() == (tmp_path / "whole.json").read_text()
    assert judged(make("new.json"), second) != after  # or the mean would not matter here


def test_a_response_that_the_rule_leaves_out_has_no_reward() -> None:
    reward = GroupReward(HybridReward(tiny.Letters(), tiny.Characters(), tiny.leave_out_half), [1])
    texts = ["abc", "a", "xyx", "k"]
    values = asyncio.run(reward(["1+1=?"] * 4, texts, [[1]] * 4, reference=["2"] * 4))
    batch = HybridReward(tiny.Letters(), tiny.Characters(), tiny.leave_out_half).batch(rollouts(texts))
    assert [value is None for value in values] == [math.isnan(each) for each in batch.rewards]


def test_the_worker_runs_our_loop() -> None:
    assert HeroRolloutWorker._loop_cls is HeroRolloutLoop
