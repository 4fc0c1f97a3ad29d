"""What the service refuses, drops and cancels: full queue, deadlines, sizes, tokens, clients that leave."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import httpx2 as httpx
import pytest

from helpers.service import COLUMNS, Server, group, serving, sleepy, wait_until
from hero_rl.engines.service.client import RewardClient
from hero_rl.http.failures import EndpointError


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with sleepy(
        max_running=1, max_queued=2, max_body_bytes=20_000, max_group_responses=10, max_responses=20, body_s=1.0
    ) as one:
        yield one


def sleeping(seconds: float, *, run_id: str = "default", **more: Any) -> dict[str, Any]:
    rows = [{"response": f"sleep {seconds}", "rm_score": 1.0}, {"response": "1", "rm_score": 3.0}]
    return {"problem": "", "responses": rows, "run_id": run_id, **more}


def send_only(server: Server, body: dict[str, Any]) -> socket.socket:
    """A connection on which a request was sent and the answer is not read."""
    address = urlsplit(server.url)
    connection = socket.create_connection((address.hostname, address.port), timeout=10)
    content = json.dumps(body).encode()
    head = (
        f"POST /v1/score_group HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
    )
    connection.sendall(head.encode() + content)
    return connection


def updates(server: Server, run_id: str) -> int:
    answer = server.http.get(f"/v1/runs/{run_id}")
    return answer.json()["state"]["state"]["updates"] if answer.status_code == 200 else 0


def idle(server: Server) -> bool:
    return server.metric("hero_running ") == server.metric("hero_queue_depth ") == 0


def test_a_full_queue_refuses_at_once_and_says_when_to_come_back(server: Server) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: httpx.post(f"{server.url}/v1/score_group", json=sleeping(0.3), timeout=30), range(8)))
    refused = [answer for answer in answers if answer.status_code == 429]
    assert (len(refused), sum(answer.status_code == 200 for answer in answers)) == (5, 3)
    for answer in refused:
        assert answer.json()["error"]["type"] == "busy"
        assert int(answer.headers["retry-after"]) == answer.json()["error"]["retry_after_s"] >= 1
    assert server.post("/v1/score_group", sleeping(0)).status_code == 200


def test_a_run_with_nothing_at_work_gets_a_place_beyond_the_usual_number(server: Server) -> None:
    with ThreadPoolExecutor(3) as pool:
        long = [pool.submit(server.post, "/v1/score_group", sleeping(2.0, run_id="busy")) for _ in range(2)]
        wait_until(lambda: (server.metric("hero_running "), server.metric("hero_queue_depth ")) == (1, 1))
        assert server.post("/v1/score_group", sleeping(0, run_id="quick")).status_code == 200
        assert not any(one.done() for one in long)


def test_a_deadline_that_passes_in_the_queue_or_at_work_is_504_and_has_no_effect(server: Server) -> None:
    with ThreadPoolExecutor(2) as pool:
        long = pool.submit(httpx.post, f"{server.url}/v1/score_group", json=sleeping(3.0, run_id="long"), timeout=30)
        wait_until(lambda: server.metric("hero_running ") == 1)
        start = time.monotonic()
        queued = server.post("/v1/score_group", sleeping(0, run_id="long"), X_Deadline_S="0.2")
        assert (queued.status_code, queued.json()["error"]["type"]) == (504, "deadline")
        assert time.monotonic() - start > 0.15
        assert not long.done(), "it waited for its turn and not for its deadline"
        assert long.result().status_code == 200
    at_work = server.post("/v1/score_group", sleeping(60, run_id="at-work", deadline_s=0.2))
    assert (at_work.status_code, at_work.elapsed.total_seconds() < 30) == (504, True)
    assert (updates(server, "at-work"), updates(server, "long")) == (0, 1)
    wait_until(lambda: idle(server), seconds=20)  # the work of a minute was given up, too
    assert server.post("/v1/verify", {"problem": "", "responses": ["sleep 3"], "deadline_s": 0.1}).status_code == 504


def test_what_runs_for_a_client_that_leaves_is_cancelled(server: Server) -> None:
    connection = send_only(server, sleeping(20, run_id="left"))
    waiting = send_only(server, sleeping(0, run_id="left"))
    wait_until(lambda: (server.metric("hero_running "), server.metric("hero_queue_depth ")) == (1, 1))
    waiting.close()
    wait_until(lambda: server.metric("hero_queue_depth ") == 0)
    connection.close()
    wait_until(lambda: idle(server))
    assert updates(server, "left") == 0
    assert server.metric('hero_failures_total{kind="client_left"}') >= 2
    assert server.post("/v1/score_group", sleeping(0, run_id="left")).json()["updates"] == 1


def test_a_retry_joins_the_first_try_and_survives_its_departure(server: Server) -> None:
    body = sleeping(1.0, run_id="joined", idempotency_key="once")
    first = send_only(server, body)
    wait_until(lambda: server.metric("hero_running ") == 1)
    with ThreadPoolExecutor(1) as pool:
        retry = pool.submit(httpx.post, f"{server.url}/v1/score_group", json=body, timeout=30)
        time.sleep(0.3)
        first.close()
        answer = retry.result()
    assert (answer.status_code, answer.json()["updates"]) == (200, 1)
    assert updates(server, "joined") == 1


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_too_large_is_413(server: Server, chunked: bool) -> None:
    content = json.dumps(sleeping(0, prompt_id="x" * 30_000)).encode()
    pieces: Any = iter([content[:9_000], content[9_000:]]) if chunked else content
    answer = server.http.post("/v1/score_group", content=pieces, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["type"]) == (413, "too_large")


def test_a_body_much_larger_than_allowed_is_not_read_to_its_end(server: Server) -> None:
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        connection.sendall(b"POST /v1/score_group HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 413")


def test_a_body_that_trickles_in_is_408(server: Server) -> None:
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        connection.sendall(b"POST /v1/score_group HTTP/1.1\r\nhost: x\r\ncontent-length: 50\r\n\r\n{")
        assert connection.recv(100).startswith(b"HTTP/1.1 408")


def test_counts_of_responses_are_limited(server: Server) -> None:
    many = {"problem": "", "responses": [{"response": "1", "rm_score": 0.0}] * 11}
    for path, body in (
        ("/v1/score_group", many),
        ("/v1/verify", many),
        ("/v1/score_groups", {"groups": [{**many, "responses": many["responses"][:10]}] * 3}),
        ("/get_reward", {"query": ["1"] * 11}),
    ):
        assert server.post(path, body).status_code == 413


def test_a_fault_is_a_typed_500_that_the_client_does_not_ask_for_again_and_the_service_lives_on(server: Server) -> None:
    body = {"problem": "", "responses": [{"response": "crash", "rm_score": 0.0}]}
    answer = server.post("/v1/score_group", body)
    assert (answer.status_code, answer.json()["error"]["type"]) == (500, "internal")
    assert "a fault of the verifier" not in answer.text
    with pytest.raises(EndpointError, match="HTTP 500"):
        RewardClient(server.url).score_group("", "", body["responses"])
    assert server.metric('hero_requests_total{path="/v1/score_groups",status="500"}') == 1
    assert server.post("/v1/score_group", sleeping(0)).status_code == 200


def test_a_request_whose_verification_takes_too_long_is_refused_as_a_whole() -> None:
    arguments = ("--verifier", "helpers.burning:judge", "--set", "verifier.workers=1", "--rule", "verifier_only")
    with serving(*arguments, "--max-verify-cpu", "0.1") as server:
        for path in ("/v1/verify", "/v1/score_group"):
            refused = server.post(path, {"problem": "", "responses": ["burn 2.2", "ok"]})
            assert (refused.status_code, refused.json()["error"]["type"]) == (503, "too_hard")
            assert "2.1 s of CPU time" in refused.json()["error"]["message"]
        answer = server.post("/v1/score_group", {"problem": "", "responses": ["burn 0.1", "ok"]}).json()
        assert [row["verdict"] for row in answer["responses"]] == [1, 1]


def test_all_bodies_together_are_limited() -> None:
    with sleepy(max_held_bytes=4_000) as server:
        small, large = sleeping(0.8, prompt_id="x" * 1_500), sleeping(0, prompt_id="x" * 2_800)
        thread = threading.Thread(target=lambda: httpx.post(f"{server.url}/v1/score_group", json=small, timeout=30))
        thread.start()
        wait_until(lambda: server.metric("hero_running ") == 1)
        assert server.post("/v1/score_group", large).status_code == 429
        thread.join()
        assert server.post("/v1/score_group", large).status_code == 200


def test_a_token_is_asked_for_everywhere_but_for_health() -> None:
    with serving(*COLUMNS, "--token-env", "HERO_TEST_TOKEN", HERO_TEST_TOKEN="s3cret") as server:
        body = group(1.0, 2.0)
        health = server.http.get("/healthz").json()
        assert (health["status"], health["verifier"], health["reward_model"], health["reward"]) == ("ok", None, None, None)
        for given in ("", "Bearer wrong", "Bearer s3cret2", "s3cret", "Basic s3cret"):
            answer = server.post("/v1/score_group", body, Authorization=given)
            assert (answer.status_code, answer.json()["error"]["type"]) == (401, "unauthorized")
            assert answer.headers["www-authenticate"] == "Bearer"
        assert server.http.get("/metrics").status_code == server.http.get("/openapi.json").status_code == 401
        server.http.headers["authorization"] = "Bearer s3cret"
        assert server.post("/v1/score_group", body).status_code == 200
        assert server.http.get("/healthz").json()["reward_model"] == "column:rm_score"
        document = server.http.get("/openapi.json").json()
        assert document["paths"]["/v1/score_group"]["post"]["security"] == [{"token": []}]
        assert document["paths"]["/healthz"]["get"]["security"] == []
        server.stop()
        assert "s3cret" not in server.stderr + json.dumps(server.said)
