"""The Python client against a real service, and every example of docs/service.md as it stands."""

from __future__ import annotations

import asyncio
import enum
import pickle
import re
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers import forks, tiny
from helpers.places import DOCS
from helpers.service import COLUMNS, Server, group, serving, sleepy
from hero_rl.engines.service.client import RewardClient, make_group
from hero_rl.errors import InputError
from hero_rl.http import EndpointError

PAGE = (DOCS / "service.md").read_text(encoding="utf-8")
PLAIN, SLIME, TRL = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving(*COLUMNS) as one:
        yield one


@pytest.fixture(scope="module")
def texts_only() -> Iterator[Server]:
    """A service that needs nothing but texts, and stops where their lengths show that a policy broke."""
    settings = ["--set", "rule.scale=none", "--set", "on_unhealthy=stop"]
    with serving("--verifier", "exact", "--rule", "verifier_only", *settings) as one:
        yield one


def test_sync_and_async_calls_give_the_same_and_count_once(server: Server) -> None:
    groups = [group(1.0, -1.0, 0.5), group(None, 2.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)]
    with RewardClient(server.url, run_id="sync") as client, RewardClient(server.url, run_id="async") as other:
        batch = client.score_groups(groups)

        async def run() -> Any:
            inside = client.score_groups(groups, update=False)  # a sync call where a loop runs
            return await other.ascore_groups(groups), inside

        again, _ = asyncio.run(run())
        np.testing.assert_array_equal(batch.advantages, again.advantages)
        assert (batch.updates, again.updates, batch.running_mean) == (1, 1, again.running_mean)
        assert [len(one.rewards) for one in batch.groups] == [3, 10]
        assert np.isnan(batch.groups[1].rm_scores[0])
        assert batch.groups[0].verdicts.tolist() == [0.0, 1.0, 0.0]
        assert batch.groups[0].reasons == ["label"] * 3
        assert client.state() == other.state()


def test_one_group_equals_a_batch_of_one(server: Server) -> None:
    rows = group(1.0, -1.0)["responses"]
    with RewardClient(server.url, run_id="one") as client, RewardClient(server.url, run_id="one-batch") as other:
        alone = client.score_group("1 + 1?", "2", rows, messages=[{"role": "user", "content": "1 + 1?"}])
        batch = other.score_groups([make_group("1 + 1?", "2", rows)])
        np.testing.assert_array_equal(alone.advantages, batch.groups[0].advantages)
        same = asyncio.run(client.ascore_group("1 + 1?", "2", rows, update=False))
        np.testing.assert_array_equal(alone.rewards, same.rewards)


def test_half_a_surrogate_pair_costs_no_run(texts_only: Server) -> None:
    with RewardClient(texts_only.url) as client:
        found = client.score_group("a\ud800", "2", ["2", "\ud800"], messages=[{"role": "user", "content": "\udfff"}])
    assert found.verdicts.tolist() == [1.0, 0.0]


def test_a_run_that_is_stopped_because_it_broke_is_not_asked_again(texts_only: Server) -> None:
    with RewardClient(texts_only.url, run_id="broken") as client:
        for _ in range(9):
            client.score_group("", "2", ["2" * 100])
        client.score_group("", "2", ["2"])
        with pytest.raises(EndpointError, match=r"became short.* goes on$") as caught:
            client.score_group("", "2", ["2"])
    assert (caught.value.kind, caught.value.status) == ("refused", 409)


def test_a_state_is_kept_beside_a_checkpoint_and_put_back(server: Server) -> None:
    with RewardClient(server.url, run_id="resumed") as client:
        client.score_groups([group(1.0, -1.0)])
        checkpoint = client.state()
        first = client.score_groups([group(3.0, -3.0)])
        client.restore(checkpoint)
        again = client.score_groups([group(3.0, -3.0)])
        assert (first.updates, first.running_mean, first.sigma_mean) == (again.updates, again.running_mean, again.sigma_mean)
        assert client.health()["rule"] == "hero"


def test_many_threads_may_share_a_client_and_a_pickled_one_works(server: Server) -> None:
    with RewardClient(server.url, run_id="threads") as client:
        with ThreadPoolExecutor(8) as pool:
            results = list(pool.map(lambda _: client.score_groups([group(1.0, 0.0)]), range(40)))
        assert sorted(one.updates for one in results) == list(range(1, 41))
        with pickle.loads(pickle.dumps(client)) as copy:
            assert copy.score_groups([group(1.0, 0.0)]).updates == 41


def test_an_answer_that_was_lost_on_the_way_is_not_counted_again(server: Server) -> None:
    """Between client and service stands a proxy that swallows the first answer."""
    swallowed: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))
    port = int(server.url.rsplit(":", 1)[1])

    def proxy() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=relay, args=(client,), daemon=True).start()

    def relay(client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", port)) as upstream:
            threading.Thread(target=pump, args=(client, upstream), daemon=True).start()
            while answer := upstream.recv(65536):
                if not swallowed:
                    swallowed.append(answer)
                    client.shutdown(socket.SHUT_RDWR)  # a mere close waits for the thread that reads
                    return
                client.sendall(answer)

    def pump(source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                target.sendall(data)
        except OSError:
            return

    threading.Thread(target=proxy, daemon=True).start()
    with listener, RewardClient(f"http://127.0.0.1:{listener.getsockname()[1]}", run_id="lost") as client:
        batch = client.score_groups([group(1.0, -1.0)])
    assert swallowed[0].startswith(b"HTTP/1.1 200")
    assert (batch.updates, server.http.get("/v1/runs/lost").json()["state"]["state"]["updates"]) == (1, 1)


def test_a_full_queue_is_waited_for() -> None:
    body = {"problem": "", "responses": [{"response": "sleep 0.2", "rm_score": 1.0}, {"response": "1", "rm_score": 0.0}]}
    with sleepy(max_running=1, max_queued=1) as server, RewardClient(server.url, attempts=20) as client:
        with ThreadPoolExecutor(5) as pool:
            results = list(pool.map(lambda _: client.score_groups([body]), range(5)))
        assert sorted(one.updates for one in results) == [1, 2, 3, 4, 5]
        assert server.metric('hero_requests_total{path="/v1/score_groups",status="429"}') >= 1


def test_errors_say_what_the_service_said(server: Server) -> None:
    with RewardClient(server.url, run_id="no-such-run", attempts=1) as client:
        with pytest.raises(EndpointError, match="no run 'no-such-run'") as missing:
            client.state()
        assert (missing.value.kind, missing.value.status) == ("refused", 404)
        with pytest.raises(EndpointError, match="column '(correct|rm_score)'"):
            client.score_group("", "", ["a text without its columns"])
        with pytest.raises(EndpointError, match="28 of the last 28 rows") as failed:
            client.score_groups([group(*[None] * 14)] * 2)
        assert failed.value.status == 503
    with pytest.raises(InputError):
        RewardClient("not an address")


def at(code: str, url: str) -> str:
    assert "http://localhost:8400" in code
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    return code.replace("http://localhost:8400", url)


def test_the_plain_example_runs(texts_only: Server) -> None:
    done = forks.run(["-c", at(PLAIN, texts_only.url)])
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("[1. 0. 1.] [1. 0. 1.] [ 0.33333333 -0.66666667  0.33333333]")


def test_the_slime_example_rewards_a_group(texts_only: Server) -> None:
    class Status(enum.Enum):
        COMPLETED = "completed"
        TRUNCATED = "truncated"

    @dataclass
    class Sample:
        metadata: dict[str, str]
        response: str
        label: str
        status: Status = Status.COMPLETED

    names: dict[str, Any] = {}
    exec(at(SLIME, texts_only.url), names)
    row = {"problem": "1+1=?"}
    samples = [Sample(row, "\\boxed{2}", "2"), Sample(row, "\\boxed{3}", "2", Status.TRUNCATED)]
    try:
        assert asyncio.run(names["group_reward"](None, samples)) == [0.5, -0.5]
    finally:
        names["client"].close()


def test_the_trl_example_trains_on_the_services_advantages(texts_only: Server, tmp_path: Path) -> None:
    trl = pytest.importorskip("trl")
    names: dict[str, Any] = {}
    exec(at(TRL, texts_only.url), names)
    reward, seen = names["hybrid_reward"], list[list[float]]()
    reward.num_generations = 8

    def watched(**columns: Any) -> list[float]:
        seen.append(reward(**columns))
        return seen[-1]

    trainer = trl.GRPOTrainer(
        tiny.model(), watched, args=tiny.config(tmp_path), train_dataset=tiny.problems(), processing_class=tiny.tokenizer()
    )
    with names["client"]:
        trainer.train()
    assert [len(one) for one in seen] == [16, 16]
    for one in seen:
        np.testing.assert_allclose(np.reshape(one, (2, 8)).mean(axis=1), 0.0, atol=1e-12)
    # TRL takes off a mean of 0 and leaves the numbers as they are
    np.testing.assert_allclose(list(trainer._logs["advantages"])[-16:], seen[-1], atol=1e-6)
    assert names["client"].health()["status"] == "ok"
    names["client"].close()
