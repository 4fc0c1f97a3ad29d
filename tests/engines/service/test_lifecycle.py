"""The service as a process: states over kill and restart, a good end on SIGTERM, and messages where it cannot start."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2 as httpx
import pytest

from helpers.commands import hero
from helpers.service import COLUMNS, group, serving, sleepy, wait_until
from hero_rl.engines.service.server import listen


def test_kill_9_and_restart_continues_the_running_mean_and_remembers_answers(place: str) -> None:
    spreads = (1.0, 3.0, 2.0, 0.5, 4.0)
    with serving(*COLUMNS) as undisturbed:
        expected = [undisturbed.post("/v1/score_group", group(s, -s)).json() for s in spreads]
    with serving(*COLUMNS, "--state", place) as first:
        answers = [first.post("/v1/score_group", group(s, -s), Idempotency_Key=f"step {s}").json() for s in spreads[:3]]
        first.stop(signal.SIGKILL)
    with serving(*COLUMNS, "--state", place) as second:
        again = second.post("/v1/score_group", group(2.0, -2.0), Idempotency_Key="step 2.0")
        assert (again.json(), again.headers["idempotency-replayed"]) == (answers[2], "true")
        answers += [second.post("/v1/score_group", group(s, -s)).json() for s in spreads[3:]]
    assert answers == expected


def test_a_killed_service_loses_no_answered_group_and_counts_no_retry_twice(tmp_path: Path) -> None:
    """Four clients send keyed groups while the service is killed in the middle; every one retries until it has an answer."""
    state = tmp_path / "state"
    urls: list[str] = []

    def client(number: int) -> int:
        replies = 0
        http = httpx.Client(timeout=10)
        for step in range(25):
            body = group(1.0 + number, -1.0, run_id=f"run-{number}", idempotency_key=f"{number}-{step}")
            for _ in range(200):
                try:
                    answer = http.post(f"{urls[-1]}/v1/score_group", json=body)
                except httpx.HTTPError:
                    time.sleep(0.05)
                    continue
                assert answer.status_code == 200
                assert answer.json()["updates"] == step + 1
                replies += 1
                break
        return replies

    with ThreadPoolExecutor(4) as pool:
        with serving(*COLUMNS, "--state", state) as first:
            urls.append(first.url)
            working = [pool.submit(client, number) for number in range(4)]
            wait_until(lambda: first.metric('hero_requests_total{path="/v1/score_group"') > 20)
            first.stop(signal.SIGKILL)
        with serving(*COLUMNS, "--state", state) as second:
            urls.append(second.url)
            assert [future.result() for future in working] == [25] * 4
            states = [second.http.get(f"/v1/runs/run-{number}").json()["state"] for number in range(4)]
    assert [one["state"]["updates"] for one in states] == [25] * 4


def test_sigterm_finishes_what_runs_refuses_the_rest_and_exits_with_0(tmp_path: Path) -> None:
    body = {"problem": "", "responses": [{"response": "sleep 1", "rm_score": 1.0}, {"response": "1", "rm_score": 3.0}]}
    with sleepy(state=str(tmp_path), max_running=1) as server:
        answers: list[httpx.Response] = []
        threads = [
            threading.Thread(target=lambda: answers.append(httpx.post(f"{server.url}/v1/score_group", json=body, timeout=30)))
            for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        wait_until(lambda: (server.metric("hero_running "), server.metric("hero_queue_depth ")) == (1, 1))
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{server.url}/healthz")
        for thread in threads:
            thread.join()
        assert server.stop() == 0
    assert sorted(answer.json()["updates"] for answer in answers) == [1, 2]
    with sleepy(state=str(tmp_path)) as again:
        assert again.http.get("/v1/runs/default").json()["state"]["state"]["updates"] == 2


def test_draining_ends_at_its_limit_and_at_a_second_signal(tmp_path: Path) -> None:
    body = {"problem": "", "responses": [{"response": "sleep 60", "rm_score": 1.0}]}
    for limit_s, signals in ((1.0, 1), (60.0, 2)):
        with sleepy(drain_s=limit_s) as server, ThreadPoolExecutor(1) as pool:
            lost = pool.submit(httpx.post, f"{server.url}/v1/score_group", json=body, timeout=30)
            wait_until(lambda server=server: server.metric("hero_running ") == 1)
            start = time.monotonic()
            for _ in range(signals):
                server.process.send_signal(signal.SIGTERM)
                time.sleep(0.2)
            assert server.process.wait(timeout=40) == 0
            assert time.monotonic() - start < 40
            assert (lost.result().status_code, lost.result().json()["error"]["type"]) == (503, "draining")


def test_the_verifiers_processes_end_with_the_service() -> None:
    def children(pid: int) -> list[int]:
        own = [int(word) for path in Path(f"/proc/{pid}/task").glob("*/children") for word in path.read_text().split()]
        return own + [one for child in own for one in children(child)]

    for number, code in ((signal.SIGTERM, 0), (signal.SIGKILL, -9)):
        with serving("--verifier", "math", "--set", "verifier.workers=1", "--reward-model", "column:rm_score") as server:
            row = {"response": "\\boxed{(x+1)^2}", "rm_score": 1.0}
            body = {"problem": "", "reference": "x^2+2x+1", "responses": [row]}
            assert server.post("/v1/score_group", body).json()["responses"][0]["verdict"] == 1
            workers = children(server.pid)
            assert workers
            assert server.stop(number) == code
        wait_until(lambda workers=workers: not any(os.path.exists(f"/proc/{pid}") for pid in workers))


def test_a_folder_has_one_owner_and_one_rule(tmp_path: Path) -> None:
    with serving(*COLUMNS, "--state", tmp_path) as server:
        server.post("/v1/score_group", group(1.0, -1.0))
        second = hero("serve", *COLUMNS, "--state", tmp_path, "--port", "0")
        assert (second.returncode, f"in use by process {server.pid} on" in second.stderr) == (2, True)
        (tmp_path.parent / f".{tmp_path.name}.lock").unlink()
        second = hero("serve", *COLUMNS, "--state", tmp_path, "--port", "0")
        assert (second.returncode, "another process uses service.sqlite3" in second.stderr) == (2, True)
    with serving(*COLUMNS, "--state", tmp_path, "--rule", "gdpo") as server:
        answer = server.post("/v1/score_group", group(1.0, -1.0))
        assert (answer.status_code, answer.json()["error"]["type"]) == (409, "state_mismatch")
        assert server.post("/v1/score_group", group(1.0, -1.0, run_id="new")).status_code == 200


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--verifier", "exact"], "needs reward-model scores"),
        ([*COLUMNS, "--set", "rule.alpha=2"], "--set rule.alpha=2: alpha=2"),
        ([*COLUMNS, "--reward", "nowhere.toml"], "nowhere.toml: cannot be read"),
        (["--verifier", "none", "--reward-model", "column:rm_score"], "needs verdicts"),
        ([*COLUMNS, "--token-env", "NOT_SET_ANYWHERE"], "--token-env NOT_SET_ANYWHERE"),
        ([*COLUMNS, "--host", "203.0.113.1"], "cannot listen on 203.0.113.1"),
        ([*COLUMNS, "--max-running", "0"], "max_running=0"),
        ([*COLUMNS, "--state", "/dev/null/x"], "cannot be written to"),
        (["--verifier", "exact", "--reward-model", "local:./nowhere"], "no such folder"),
    ],
)
def test_a_service_that_cannot_start_says_why_in_one_line(arguments: list[str], says: str) -> None:
    done = hero("serve", "--port", "0", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_file_that_is_no_state_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "service.sqlite3").write_text("not a database, but somebody's notes")
    done = hero("serve", *COLUMNS, "--port", "0", "--state", tmp_path)
    assert (done.returncode, "cannot be used" in done.stderr) == (2, True)
    assert (tmp_path / "service.sqlite3").read_text().startswith("not a database")


@pytest.mark.parametrize("left_kib", [0, 4, 24])
def test_a_full_disk_is_not_taken_for_a_foreign_file_or_a_missing_right(tmp_path: Path, left_kib: int) -> None:
    """On a file system of 64 KiB with nothing left, too little to open a database, and too little to make its tables."""
    mount = f"mount -t tmpfs -o size=64k tmpfs {tmp_path} && head -c {64 - left_kib}K /dev/zero > {tmp_path}/rest"
    alone = ["unshare", "--map-root-user", "--mount", "bash", "-c"]
    if subprocess.run([*alone, mount], capture_output=True).returncode:
        pytest.skip("needs unshare, and to be allowed to mount a tmpfs in a name space of its own")
    serve = shlex.join([sys.executable, "-m", "hero_rl", "serve", "--port", "0", *COLUMNS, "--state", f"{tmp_path}/state"])
    done = subprocess.run([*alone, f"{mount} && exec {serve}"], capture_output=True, text=True)
    says = f"error: --state {tmp_path}/state: the disk is full; free some space there, or give another place\n"
    assert (done.returncode, done.stderr) == (1, says)


def test_a_short_answer_is_sent_at_once_and_not_kept_for_more_to_send() -> None:
    with listen("127.0.0.1", 0) as server, socket.create_connection(server.getsockname()), server.accept()[0] as connection:
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="needs IPv6")
def test_every_address_includes_those_of_ipv4() -> None:
    with listen("::", 0) as server:
        socket.create_connection(("127.0.0.1", server.getsockname()[1]), 5).close()
