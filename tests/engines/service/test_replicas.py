"""Several services on one PostgreSQL: nothing lost or counted twice, and a database that goes away or stands still."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import httpx2 as httpx
import pytest

from helpers.commands import hero
from helpers.postgres import PASSWORD, Postgres
from helpers.service import COLUMNS, Server, group, serving, sleepy, wait_until
from hero_rl.engines.service import postgres as postgres_module
from hero_rl.engines.service.client import RewardClient
from hero_rl.engines.service.errors import RequestError
from hero_rl.engines.service.settings import ServiceSettings
from hero_rl.engines.service.store import StateStore
from hero_rl.errors import InputError

STEPS = 40
KILLS = (0, 1)
SHARED = "shared"


def body_of(client: int, step: int) -> dict[str, Any]:
    """Clients 0 and 1 have a run of their own, the others share one."""
    spread = 0.5 + (7 * client + 3 * step) % 11
    run_id = f"run-{client}" if client < 2 else SHARED
    return group(spread, -spread, 0.1 * step, run_id=run_id, idempotency_key=f"{client}-{step}")


def ask(urls: list[str], first: int, body: dict[str, Any]) -> dict[str, Any]:
    """Try one replica after the other until one answers."""
    for place in itertools.count(first):
        try:
            answer = httpx.post(f"{urls[place % 2]}/v1/score_group", json=body, timeout=20)
        except httpx.HTTPError:
            time.sleep(0.02)
            continue
        if answer.status_code == 200:
            return answer.json()
        assert (answer.status_code, place < first + 2000) == (503, True), answer.text
        time.sleep(0.02)
    raise AssertionError


def test_replicas_killed_midway_count_every_group_once_as_a_single_service_does(postgres: Postgres) -> None:
    url, done = postgres.new(), [0] * 5
    with ExitStack() as stack:
        replicas = [stack.enter_context(serving(*COLUMNS, "--state", url)) for _ in range(2)]
        urls = [one.url for one in replicas]

        def client(number: int) -> list[tuple[dict[str, Any], dict[str, Any]]]:
            answers = []
            for step in range(STEPS):
                body = body_of(number, step)
                answers.append((body, ask(urls, number + step, body)))
                done[number] += 1
            return answers

        with ThreadPoolExecutor(len(done)) as pool:
            working = [pool.submit(client, number) for number in range(len(done))]
            for kill, victim in enumerate(KILLS):
                wait_until(lambda kill=kill: sum(done) > (kill + 0.5) / len(KILLS) * STEPS * len(done), seconds=60)
                replicas[victim].stop(signal.SIGKILL)
                replicas[victim] = stack.enter_context(serving(*COLUMNS, "--state", url))
                urls[victim] = replicas[victim].url
            answers = [pair for future in working for pair in future.result()]
        assert all(ask(urls, place, body) == answer for place, (body, answer) in enumerate(answers[::7]))
        names = ["run-0", "run-1", SHARED]
        states = [[one.http.get(f"/v1/runs/{name}").json() for name in names] for one in replicas]
        assert states[0] == states[1]
    # a single service that gets the same requests in the order in which they were counted gives the same answers
    answers.sort(key=lambda pair: (pair[1]["run_id"], pair[1]["updates"]))
    with serving(*COLUMNS) as single:
        assert [single.post("/v1/score_group", body).json() for body, _ in answers] == [answer for _, answer in answers]
        assert [single.http.get(f"/v1/runs/{name}").json() for name in names] == states[0]
    # both again: the same states, and a retry is still known
    with serving(*COLUMNS, "--state", url) as first, serving(*COLUMNS, "--state", url) as second:
        assert [second.http.get(f"/v1/runs/{name}").json() for name in names] == states[0]
        body, answer = answers[-1]
        assert [one.post("/v1/score_group", body).json() for one in (first, second)] == [answer] * 2


def test_a_client_of_several_replicas_turns_to_another_one_and_evaluations_read_the_shared_state(postgres: Postgres) -> None:
    url = postgres.new()
    with serving(*COLUMNS, "--state", url) as first, serving(*COLUMNS, "--state", url) as second:
        with RewardClient([first.url, second.url], run_id="r") as client:
            groups = [group(1.0, -1.0)]
            assert [client.score_groups(groups).updates for _ in range(3)] == [1, 2, 3]
            state = client.state()
            one, other = (
                server.post("/v1/score_group", group(3.0, 1.0, run_id="r", update=False)) for server in (first, second)
            )
            assert (one.json(), one.json()["updates"]) == (other.json(), 3)
            first.stop(signal.SIGKILL)
            assert [client.score_groups(groups).updates for _ in range(3)] == [4, 5, 6]
            client.restore(state)
            assert client.score_groups(groups).updates == 4
        second.http.delete("/v1/runs/r")
        assert second.post("/v1/score_group", group(1.0, -1.0, run_id="r")).json()["updates"] == 1


def test_the_same_request_at_both_replicas_at_once_counts_once(postgres: Postgres) -> None:
    url = postgres.new()
    rows = [{"response": "sleep 1", "rm_score": 1.0}, {"response": "1", "rm_score": 3.0}]
    body = {"problem": "", "responses": rows, "idempotency_key": "k"}
    with sleepy(state=url) as first, sleepy(state=url) as second, ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda server: server.post("/v1/score_group", body), (first, second)))
        assert answers[0].content == answers[1].content
        assert sorted(answer.headers.get("idempotency-replayed", "") for answer in answers) == ["", "true"]
        reused = second.post("/v1/score_group", {**body, "problem": "another"})
        assert (reused.status_code, reused.json()["error"]["type"]) == (409, "key_reused")
        assert first.http.get("/v1/runs/default").json()["state"]["state"]["updates"] == 1


def refused(server: Server, **more: Any) -> str:
    start = time.monotonic()
    answer = server.post("/v1/score_group", group(1.0, -1.0, **more))
    assert (answer.status_code, answer.json()["error"]["type"]) == (503, "state_not_saved")
    assert time.monotonic() - start < 20
    return answer.json()["error"]["message"]


def test_a_database_that_goes_away_is_503_until_it_is_back(postgres: Postgres) -> None:
    url = postgres.new()
    with serving(*COLUMNS, "--state", url) as server:
        assert server.said["state"] == url.replace(url.split(":")[2].split("@")[0], "").replace(":@", "@")
        assert server.post("/v1/score_group", group(1.0, -1.0)).json()["updates"] == 1
        for stop, start in (
            (lambda: postgres.stop("immediate"), postgres.start),
            (lambda: postgres.stop("fast"), postgres.start),
        ):
            stop()
            message = refused(server) + refused(server, idempotency_key="lost")
            assert ("connection" in message, "try again" in message) == (True, True)
            assert server.http.get("/healthz").status_code == 200
            assert PASSWORD not in message
            started = hero("serve", *COLUMNS, "--port", "0", "--state", url)
            assert (started.returncode, "refused" in started.stderr, started.stderr.count("\n")) == (2, True, 1)
            assert PASSWORD not in started.stderr
            start()
            wait_until(lambda: server.post("/v1/score_group", group(1.0, -1.0, idempotency_key="lost")).status_code == 200)
        # a server that was away for an instant is not noticed: the connection is opened again
        postgres.stop("fast")
        postgres.start()
        assert server.post("/v1/score_group", group(1.0, -1.0)).json()["updates"] == 3
        server.stop()
        assert PASSWORD not in server.stderr


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_module, "TURN_S", 1.0)
    begin = postgres_module._BEGIN.replace("= '5s'", "= '500ms'").replace("= '10s'", "= '1s'")
    monkeypatch.setattr(postgres_module, "_BEGIN", begin)


def test_a_server_that_stands_still_costs_a_limited_time(postgres: Postgres, impatient: None) -> None:
    store = StateStore(postgres.new(), ServiceSettings())
    with store.turn("run"):
        store.save("run", {"updates": 1})
    pid = store._db.execute("SELECT pg_backend_pid()").fetchone()[0]
    os.kill(pid, signal.SIGSTOP)
    try:
        start = time.monotonic()
        with pytest.raises(RequestError, match="state"):
            store.find("run")
        assert time.monotonic() - start < 5
    finally:
        os.kill(pid, signal.SIGCONT)
    assert store.find("run").state == '{"updates": 1}'
    store.close()


def test_a_replica_that_keeps_a_turn_holds_the_run_up_for_a_limited_time(postgres: Postgres, impatient: None) -> None:
    url = postgres.new()
    one, other = (StateStore(url, ServiceSettings()) for _ in range(2))
    with pytest.raises(RequestError) as late, one.turn("run"):  # noqa: PT012
        one.save("run", {"by": "one"})
        assert one.find("run").state == '{"by": "one"}'
        with pytest.raises(RequestError, match="timeout"), other.turn("run"):
            other.find("run")
        with other.turn("another run"):
            other.save("another run", {})
        time.sleep(1.5)
        with other.turn("run"):
            other.save("run", {"by": "other"})
    assert late.value.kind == "state_not_saved"
    assert one.find("run").state == '{"by": "other"}'
    for store in (one, other):
        store.close()


def test_turns_of_a_run_do_not_overlap(postgres: Postgres) -> None:
    url = postgres.new()
    stores = [StateStore(url, ServiceSettings()) for _ in range(4)]

    def count(store: StateStore) -> None:
        for _ in range(50):
            with store.turn("run"):
                before = int(store.find("run").state or 0)
                store.save("run", before + 1)  # type: ignore[arg-type]

    threads = [threading.Thread(target=count, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stores[0].find("run").state == "200"
    for store in stores:
        store.close()


def test_a_replica_with_another_reward_than_the_last_one_answers_no_more(postgres: Postgres) -> None:
    url = postgres.new()
    with serving(*COLUMNS, "--state", url) as first:
        assert first.post("/v1/score_group", group(1.0, -1.0)).status_code == 200
        with serving(*COLUMNS, "--set", "rule.alpha=0.2", "--state", url):
            answer = first.post("/v1/score_group", group(1.0, -1.0))
            assert (answer.status_code, answer.json()["error"]["type"]) == (503, "other_reward")
            assert first.post("/v1/score_group", group(1.0, -1.0, update=False)).status_code == 503


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://hero:se@cret@127.0.0.1:1/db", "postgresql://hero:se/cret@127.0.0.1:1/db",
        "postgresql://hero:se?cret@127.0.0.1:1/db", "postgresql://hero:cret@127.0.0.1:port/db",
        "postgres://hero:cret@127.0.0.1:1/db?nothing=1", "mysql://hero:cret@127.0.0.1/db", "postgresql://hero:cret%zz@h/db",
        "postgresql://hero:cret@127.0.0.1:1/db", "postgresql://hero:cret@nowhere.invalid/db",
    ],
)  # fmt: skip
def test_an_address_that_cannot_be_used_is_refused_and_its_password_not_told(url: str) -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(InputError, match=r"^--state \w+://\.\.\.: ") as refusal:
        StateStore(url, ServiceSettings())
    assert "cret" not in str(refusal.value)
    assert "se" not in str(refusal.value).split()


def test_the_password_may_come_from_the_environment(postgres: Postgres) -> None:
    url = postgres.new()
    plain = f"postgresql://hero@{url.split('@')[1]}"
    with serving(*COLUMNS, HERO_STATE=plain, PGPASSWORD=PASSWORD) as server:
        assert server.said["state"] == plain
    wrong = hero("serve", *COLUMNS, "--port", "0", "--state", plain.replace("//hero@", "//hero:wrong-one@"))
    assert (wrong.returncode, "password authentication failed" in wrong.stderr, "wrong-one" in wrong.stderr) == (2, True, False)
