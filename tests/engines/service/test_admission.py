"""Bodies, connections and answers stay bounded, whatever is sent and whether or not the sender has the token."""

from __future__ import annotations

import json
import random
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.service import COLUMNS, Server, group, serving, sleepy
from helpers.strategies import examples
from hero_rl.engines.service import bodies
from hero_rl.engines.service.bodies import check_values
from hero_rl.engines.service.errors import RequestError

MIB = 2**20
ENDPOINTS = ("/v1/score_group", "/v1/score_groups", "/v1/verify", "/get_reward", "/v1/runs/a")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with sleepy(max_connections=20, header_s=0.5) as one:
        yield one


def memory_kib(server: Server, name: str = "VmHWM") -> int:
    with open(f"/proc/{server.pid}/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(name))


def repeated(piece: str, size: int, *, key: str, **more: Any) -> bytes:
    """A body of ``size`` bytes whose member ``key`` is a list of the same piece."""
    around = json.dumps({"problem": "a", "reference": "2", **more, key: []})[:-2]
    return (around + ",".join([piece] * (size // (len(piece) + 1))) + "]}").encode()


HOSTILE = [
    ("/v1/score_group", {"key": "responses"}),
    ("/v1/score_groups", {"key": "groups"}),
    ("/v1/verify", {"key": "responses"}),
    ("/v1/verify", {"key": "messages", "responses": ["1"]}),
    ("/get_reward", {"key": "query"}),
    ("/get_reward", {"key": "labels", "query": ["1"]}),
    ("/v1/runs/a", {"key": "state"}),
]


@pytest.mark.parametrize("piece", ["1", '""', "{}", '{"response":1}', "[[]]", '{"response":"1","steps":[1]}'])
@pytest.mark.parametrize(("path", "more"), HOSTILE)
def test_two_megabytes_of_faults_cost_little_memory_and_one_short_answer(
    server: Server, path: str, more: dict[str, Any], piece: str
) -> None:
    server.post("/v1/score_group", group())
    before = memory_kib(server)
    content = repeated(piece, 2 * MIB, **more)
    answer = server.http.post(path, content=content, headers={"content-type": "application/json"})
    assert answer.status_code in (413, 422), answer.text
    assert len(answer.text) < 700
    assert memory_kib(server) - before < 120 * 1024  # 1.4 to 2.8 GiB where each element made its own errors


def test_no_answer_repeats_more_than_a_little_of_what_was_sent(server: Server) -> None:
    long = "z" * 100_000
    bodies_of = [
        {"problem": "a", "responses": [long], long: 1},
        {"problem": "a", "responses": [{"response": "1", "rm_score": long}]},
        {"problem": "a", "responses": [{"response": "1", "correct": long}]},
        {"problem": "a", "responses": ["1"], "run_id": long},
        {"problem": "a", "responses": ["1"], "idempotency_key": long},
        {"state": {"version": 2, "rule": long, "state": {long: 1}}},
        {"query": ["1"], "labels": [long], "prompts": [{long: long}]},
    ]
    for path in (*ENDPOINTS, "/" + "z" * 20_000):
        for body in bodies_of:
            answer = server.post(path, body)
            assert "z" * 201 not in answer.text, (path, answer.text[:300])


def test_values_are_counted_outside_of_strings_wherever_chunks_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    def count(value: Any) -> int:
        children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
        return 0 if children is None else 1 + max(0, len(value) - 1) + sum(map(count, children))

    def some(depth: int) -> Any:
        if not depth or draw.random() < 0.3:
            return draw.choice([1, None, text()])
        many = range(draw.randint(0, 3))
        return [some(depth - 1) for _ in many] if draw.random() < 0.5 else {text() + str(i): some(depth - 1) for i in many}

    def text() -> str:
        return "".join(draw.choice('a\\"[,{\n') for _ in range(draw.randint(0, 6)))

    draw = random.Random(0)
    for size in (1, 2, 3, 7):
        monkeypatch.setattr(bodies, "_CHUNK_BYTES", size)
        for _ in range(200):
            value = some(4)
            body, values = json.dumps(value).encode(), count(value)
            check_values(body, values)
            if values:
                with pytest.raises(RequestError, match="more than"):
                    check_values(body, values - 1)


def test_strings_are_charged_by_their_widest_character_wherever_chunks_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    def text() -> str:
        known = 'a\\"\n,[u/\x01\xe9\u2265'[: draw.randint(1, 11)] + "\U0001f600" * draw.randint(0, 1)
        return "".join(draw.choice(known) for _ in range(draw.randint(0, 30)))

    def bytes_of(text: str) -> int:
        return len(text) * (1 if max(text, default="") < "\u0100" else 2 if max(text) < "\U00010000" else 4)

    draw = random.Random(0)
    for size in (1, 2, 3, 5, 7, 64):
        monkeypatch.setattr(bodies, "_CHUNK_BYTES", size)
        for _ in range(300):
            value = {f"{text()}{place}": [text(), text()] for place in range(2)}
            strings = [*value, *(one for pair in value.values() for one in pair)]
            exact, halves = sum(map(bytes_of, strings)), sum(one.count("\U0001f600") for one in strings)
            assert check_values(json.dumps(value, ensure_ascii=False).encode(), 99) == exact
            assert check_values(json.dumps(value).encode(), 99) == exact + 4 * halves  # a pair counts as two characters


def test_what_is_too_large_in_memory_is_refused_and_what_fits_is_served() -> None:
    with sleepy(max_body_bytes=40_000) as server:
        plain, wide = "a" * 10_000, "a" * 10_000 + "\U0001f600"
        for responses, status in (([plain] * 3, 200), ([wide], 200), ([wide] * 2, 413)):
            assert server.post("/v1/verify", {"problem": "", "responses": responses}).status_code == status
        query = {"query": [plain] * 3, "prompts": ["a"] * 3, "labels": ["1"] * 3}
        assert server.post("/get_reward", query).status_code == 413, "a response is cut out of each, so all is there twice"


@pytest.mark.parametrize(
    "text", ['{"problem":"\\ud800","responses":["1"]}', "[" * 5000, "NaN", '{"problem":"a","responses":[NaN]}', "", "\xff", "{"]
)
def test_what_is_no_json_is_422_and_never_500(server: Server, text: str) -> None:
    for path in ENDPOINTS:
        answer = server.http.post(path, content=text.encode("latin-1"), headers={"content-type": "application/json"})
        assert answer.status_code == 422, (path, answer.text)


NAMES = st.sampled_from(["problem", "reference", "responses", "response", "steps", "groups", "run_id", "update", "messages",
                         "finished", "rm_score", "correct", "query", "prompts", "labels", "state", "rule", "version",
                         "idempotency_key", "deadline_s", "prompt_id"]) | st.text(max_size=3)  # fmt: skip
ATOMS = (
    st.none() | st.booleans() | st.text(st.characters(), max_size=4) | st.integers() | st.floats(allow_nan=False)
    | st.sampled_from(["\ud800", "\0", 10**400, -(10**30), 1e308, "a"])
)  # fmt: skip
ANY_JSON = st.recursive(ATOMS, lambda one: st.lists(one, max_size=3) | st.dictionaries(NAMES, one, max_size=4), max_leaves=12)
NEAR = st.fixed_dictionaries(
    {"problem": st.text(max_size=3), "responses": st.lists(ANY_JSON, min_size=1, max_size=3)},
    optional=dict.fromkeys(("reference", "run_id", "messages", "update", "deadline_s", "rm_score"), ANY_JSON),
)
BODIES = ANY_JSON | NEAR | st.fixed_dictionaries({"groups": st.lists(NEAR, max_size=2)}) | st.fixed_dictionaries(
    {"query": st.lists(ATOMS, min_size=1, max_size=3)}, optional={"prompts": ANY_JSON, "labels": ANY_JSON}
) | st.fixed_dictionaries({"state": ANY_JSON})  # fmt: skip


@examples(150)
@given(st.sampled_from(ENDPOINTS), BODIES)
def test_no_json_body_is_answered_with_500(server: Server, path: str, body: object) -> None:
    answer = server.http.post(path, content=json.dumps(body).encode(), headers={"content-type": "application/json"})
    assert answer.status_code < 500 or answer.json()["error"]["type"] == "deadline", answer.text


def connect(server: Server) -> socket.socket:
    address = urlsplit(server.url)
    return socket.create_connection((address.hostname, address.port), timeout=10)


def test_a_connection_that_sends_no_headers_is_closed_in_time(server: Server) -> None:
    for sent in (b"", b"GET /healthz HTTP/1.1\r\nhost: x\r\nx-slow: "):
        with connect(server) as connection:
            connection.sendall(sent)
            assert connection.recv(100) == b""


def test_idle_connections_lock_nobody_out(server: Server) -> None:
    with sleepy(max_connections=20, header_s=60.0) as one:
        idle = [connect(one) for _ in range(40)]
        answer = one.http.get("/healthz")
        assert answer.status_code == 200
        closed = 0
        for connection in idle:
            connection.setblocking(False)
            try:
                closed += connection.recv(1) == b""
            except BlockingIOError:
                continue
            except ConnectionResetError:
                closed += 1
        assert closed >= 20
        for connection in idle:
            connection.close()


def test_open_paths_and_wrong_methods_read_no_body() -> None:
    with sleepy(token="secret", max_held_bytes=MIB, body_s=60.0) as one, connect(one) as first, connect(one) as second:
        for connection, head in ((first, "POST /healthz"), (second, "PUT /v1/verify")):
            token = "authorization: bearer secret\r\n"
            connection.sendall(f"{head} HTTP/1.1\r\nhost: x\r\n{token}content-length: 90000000\r\n\r\n".encode())
            assert b" 405 " in connection.recv(100).split(b"\r\n")[0]


def test_health_answers_while_large_bodies_are_parsed(server: Server) -> None:
    """Claims an order: while one body of 48 MiB is read and parsed, health is asked and answered several times."""
    content = json.dumps({"problem": "a", "responses": ["\n" * MIB] * 24}).encode()
    during = 0
    done = threading.Event()

    def send() -> None:
        server.http.post("/v1/verify", content=content, headers={"content-type": "application/json"}, timeout=60)
        done.set()

    thread = threading.Thread(target=send)
    thread.start()
    while not done.is_set():
        during += server.http.get("/healthz", timeout=30).status_code == 200
        time.sleep(0.01)
    thread.join()
    assert during >= 3


def test_a_service_that_others_can_reach_without_a_token_says_so() -> None:
    with serving(*COLUMNS, "--host", "0.0.0.0") as one:
        assert one.stop() == 0
    assert "everybody there may use it: give --token-env" in one.stderr
