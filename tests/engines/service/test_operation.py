"""The service as its operator sees it: one file, named tokens, logs, request ids, the list of runs and the page for people."""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from helpers import forks
from helpers.commands import hero
from helpers.service import COLUMNS, group, serving, sleepy

REWARD = """\
[verifier]
name = "column:correct"

[reward_model]
name = "column:rm_score"
"""
TOKENS = """
[service]
log_format = "json"
max_queued = 7
port = 1

[service.tokens.trainer]
env = "HERO_TEST_TRAINER"
requests_per_minute = 4

[service.tokens.operator]
file = "operator.token"
"""


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("reward.toml").write_text(REWARD + TOKENS)
    Path("operator.token").write_text("op-s3cret\n")
    return Path("reward.toml")


def lines(stderr: str) -> list[dict[str, Any]]:
    """The log, every line of which is an object."""
    return [json.loads(line) for line in stderr.splitlines()]


def test_one_file_has_reward_and_service_and_flags_win(files: Path) -> None:
    with serving(files, HERO_TEST_TRAINER="tr-s3cret") as server:  # --port 0 wins over port = 1
        for given, status in (("tr-s3cret", 200), ("op-s3cret", 200), ("op-s3cretx", 401), ("wrong", 401)):
            answer = server.post("/v1/score_group", group(1.0, -1.0), Authorization=f"Bearer {given}")
            assert answer.status_code == status
        server.stop()
    scored = hero("score", "rows.jsonl", "-o", "out.jsonl", "--reward", files)
    assert "rows.jsonl" in scored.stderr  # the table of the service is no unknown key of a reward
    assert "service" not in scored.stderr


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("max_queued", "max_qeued"), "reward.toml:9: unknown key 'service.max_qeued'; did you mean 'service.max_queued'?"),
        (("max_queued = 7", "max_queued = true"), "reward.toml:9: service.max_queued = True: input should be a valid integer"),
        (("max_queued = 7", "max_queued = -1"), "reward.toml:9: the service's max_queued=-1 must be at least 0"),
        (('"json"', '"xml"'), "reward.toml:8: log_format='xml' is unknown; choose one of text, json"),
        (("requests_per_minute = 4", "rate = 4"), "reward.toml:14: unknown key 'service.tokens.trainer.rate'"),
        (
            ("requests_per_minute = 4", "requests_per_minute = 0"),
            "reward.toml:14: requests_per_minute=0.0 of the token 'trainer'",
        ),
        (('env = "HERO_TEST_TRAINER"', ""), "reward.toml:12: the token 'trainer' needs one of env"),
        (
            ('env = "HERO_TEST_TRAINER"', 'env = "NOT_SET_ANYWHERE"'),
            "reward.toml:12: the token 'trainer': env = NOT_SET_ANYWHERE: the environment variable",
        ),
        (('"operator.token"', '"no.token"'), "reward.toml:16: the token 'operator': no.token cannot be read"),
        (
            ('file = "operator.token"', 'env = "HERO_TEST_TRAINER"'),
            "the service's tokens 'trainer' and 'operator' have the same secret",
        ),
        (
            ("port = 1\n\n[service.tokens.trainer]", 'token_env = "HERO_TEST_TRAINER"\n\n[service.tokens.default]'),
            "reward.toml:10: token_env='HERO_TEST_TRAINER': the token in that variable is called 'default'",
        ),
    ],
)
def test_what_is_wrong_in_the_table_is_said_with_its_place(
    files: Path, change: tuple[str, str], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HERO_TEST_TRAINER", "tr-s3cret")
    files.write_text(files.read_text().replace(*change))
    done = hero("serve", files)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_empty_text_means_unset(files: Path) -> None:
    files.write_text(REWARD + '[service]\nstate = ""\ntoken_env = ""\n')
    with serving(files) as server:
        assert server.said["state"] is None


def test_faults_and_warnings_of_python_are_objects_in_the_log_too() -> None:
    program = """
import logging, warnings
from hero_rl.engines.service.logs import log_as_json
log_as_json()
warnings.warn("a warning")
try:
    1 / 0
except ZeroDivisionError:
    logging.getLogger("asyncio").exception("a fault\\nin two lines")
"""
    fault = lines(forks.run(["-c", program]).stderr)
    assert "a warning" in fault[0]["message"]
    assert (fault[1]["level"], fault[1]["message"]) == ("error", "a fault\nin two lines")
    assert fault[1]["exception"].endswith("ZeroDivisionError: division by zero")


def test_a_token_that_asks_too_often_is_told_when_to_come_back(files: Path) -> None:
    with serving(files, HERO_TEST_TRAINER="tr-s3cret") as server:
        trainer, operator = {"authorization": "Bearer tr-s3cret"}, {"authorization": "Bearer op-s3cret"}
        begun = time.monotonic()
        for _ in range(4):
            assert server.http.get("/v1/runs", headers=trainer).status_code == 200
        refused = server.http.get("/v1/runs", headers=trainer)
        assert refused.status_code == 429
        assert refused.json()["error"]["type"] == "rate_limited"
        assert 15 - (time.monotonic() - begun) <= int(refused.headers["retry-after"]) <= 15
        assert server.http.get("/healthz", headers=trainer).json()["verifier"] == "column:correct"  # health is free
        assert all(server.http.get("/v1/runs", headers=operator).status_code == 200 for _ in range(20))
        assert server.http.get("/metrics", headers=operator).text.count('hero_failures_total{kind="rate_limited"} 1.0') == 1


def test_a_browser_may_give_the_token_as_a_password_and_only_to_read(files: Path) -> None:
    with serving(files, HERO_TEST_TRAINER="tr-s3cret") as server:
        unknown = server.http.get("/")
        assert (unknown.status_code, unknown.headers["www-authenticate"][:12]) == (401, "Basic realm=")
        assert server.http.get("/metrics").headers["www-authenticate"] == "Bearer"
        for path in ("/", "/metrics", "/v1/runs", "/openapi.json"):
            assert server.http.get(path, auth=("anybody", "op-s3cret")).status_code == 200
            assert server.http.get(path, auth=("op-s3cret", "wrong")).status_code == 401
        assert server.http.post("/v1/score_group", json=group(1.0), auth=("anybody", "op-s3cret")).status_code == 401
        assert server.http.get("/", headers={"authorization": "Basic =====not base64"}).status_code == 401


def test_head_is_answered_as_get_without_a_body(files: Path) -> None:
    with serving(files, HERO_TEST_TRAINER="tr-s3cret") as server:
        bearer = {"authorization": "Bearer op-s3cret"}
        for path in ("/", "/healthz", "/metrics", "/v1/runs", "/openapi.json"):
            for answer in (server.http.head(path, headers=bearer), server.http.head(path, auth=("anybody", "op-s3cret"))):
                assert (answer.status_code, answer.content) == (200, b"")
        assert server.http.head("/").status_code == 401
        assert server.http.head("/v1/score_group", headers=bearer).status_code == 405


def test_one_of_two_tokens_is_not_chosen(files: Path) -> None:
    with serving(files, HERO_TEST_TRAINER="tr-s3cret") as server:
        for tokens in (("op-s3cret", "wrong"), ("wrong", "op-s3cret"), ("op-s3cret", "op-s3cret")):
            both = [("authorization", f"Bearer {token}") for token in tokens]
            assert server.http.get("/v1/runs", headers=both).status_code == 401
            assert server.http.get("/healthz", headers=both).json()["verifier"] is None


def test_the_log_has_a_line_per_request_and_neither_tokens_nor_bodies(files: Path) -> None:
    with serving(files, HERO_TEST_TRAINER="tr-s3cret") as server:
        rows = [{"response": f"hidden-{n}", "correct": n, "rm_score": float(n)} for n in range(2)]
        secret = {"problem": "hidden-problem", "responses": rows}
        known = {"Authorization": "Bearer tr-s3cret"}
        server.post("/v1/score_group", {**secret, "run_id": "run-7"}, **known, X_Request_Id="mine-1")
        server.post("/v1/score_group", {**secret, "hidden-key": 1}, **known, X_Request_Id="mine-2")
        server.post("/v1/score_group", secret, Authorization="Bearer hidden-guess", X_Request_Id="mine-3")
        server.post("/get_reward?run_id=run-8", {"query": ["hidden-query"]}, **known, X_Request_Id="mine-4")
        server.http.get("/v1/runs/run-7?hidden=1", headers={"authorization": "Bearer op-s3cret", "x-request-id": "mine-5"})
        server.stop()
    log = lines(server.stderr)
    assert any(line["level"] == "info" and line["message"].startswith("listening on http://127.0.0.1:") for line in log)
    assert [line["message"] for line in log if line["level"] == "warning"] == [
        "no --state: the states of runs live as long as this process"
    ]
    requests = {line["request_id"]: line for line in log if line["logger"] == "hero_rl.access"}
    assert [
        (one["method"], one["path"], one["status"], one["run"], one["token"])
        for one in (requests[f"mine-{n}"] for n in range(1, 6))
    ] == [
        ("POST", "/v1/score_group", 200, "run-7", "trainer"),
        ("POST", "/v1/score_group", 422, None, "trainer"),
        ("POST", "/v1/score_group", 401, None, None),
        ("POST", "/get_reward", 422, "run-8", "trainer"),
        ("GET", "/v1/runs/run-7", 200, "run-7", "operator"),
    ]
    assert all(0 < line["ms"] < 30_000 and datetime.fromisoformat(line["time"]).tzinfo == UTC for line in requests.values())
    assert not re.search("s3cret|hidden", server.stderr + json.dumps(server.said))


def test_a_fault_is_logged_with_the_id_that_the_client_was_told() -> None:
    with sleepy() as server:
        body = {"problem": "", "responses": [{"response": "crash", "rm_score": 1.0}]}
        answer = server.post("/v1/score_group", body)
        told = answer.json()["error"]["request_id"]
        assert (answer.status_code, answer.headers["x-request-id"]) == (500, told)
        assert re.fullmatch("[0-9a-f]{32}", told)
        server.stop()
    assert "ZeroDivisionError" in server.stderr


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("job-7/step:12", True),
        ("x" * 128, True),
        ("x" * 129, False),
        ("two words", False),
        ("", False),
        ("<b>", False),
    ],
)
def test_a_sane_request_id_is_kept_and_another_is_replaced(server: httpx.Client, given: str, kept: bool) -> None:
    for path, status in (("/healthz", 200), ("/nowhere", 404), ("/v1/runs/none", 404), ("/v1/runs?limit=0", 422)):
        answer = server.get(path, headers={"x-request-id": given.encode()})
        assert answer.status_code == status
        assert (answer.headers["x-request-id"] == given) is kept
        if status != 200:
            assert answer.json()["error"]["request_id"] == answer.headers["x-request-id"]
    refused = server.post("/v1/score_group", content=b"{", headers={"x-request-id": given.encode()})
    assert refused.json()["error"]["request_id"] == refused.headers["x-request-id"]


@pytest.fixture(scope="module")
def server() -> Any:
    with serving(*COLUMNS) as one:
        yield one.http


def test_the_list_of_runs_says_what_each_has_counted_and_when(tmp_path: Path) -> None:
    begun = datetime.now(UTC)
    with serving(*COLUMNS, "--state", tmp_path) as first:
        for run, often in (("a", 3), ("b", 1), ("c", 2)):
            for _ in range(often):
                first.post("/v1/score_group", group(1.0, -1.0, run_id=run))
        first.post("/v1/score_group", group(1.0, -1.0, run_id="a", update=False))
        found = first.http.get("/v1/runs").json()
        assert found["total"] == 3
        assert [(one["run_id"], one["rule"], one["updates"], one["requests"]) for one in found["runs"]] == [
            ("c", "hero", 2, 2), ("b", "hero", 1, 1), ("a", "hero", 3, 4),
        ]  # fmt: skip
        seen = {one["run_id"]: datetime.fromisoformat(one["last_seen"]) for one in found["runs"]}
        assert begun <= seen["b"] <= seen["c"] <= seen["a"] <= datetime.now(UTC)
        assert [one["run_id"] for one in first.http.get("/v1/runs?limit=1").json()["runs"]] == ["c"]
        first.http.delete("/v1/runs/c")
        assert [one["run_id"] for one in first.http.get("/v1/runs").json()["runs"]] == ["b", "a"]
    with serving(*COLUMNS, "--state", tmp_path) as second:
        again = {one["run_id"]: one for one in second.http.get("/v1/runs").json()["runs"]}
        assert {run: (one["updates"], one["requests"]) for run, one in again.items()} == {"a": (3, 0), "b": (1, 0)}
        assert begun <= datetime.fromisoformat(again["b"]["last_seen"]) <= seen["c"]


class Page(HTMLParser):
    """Cells of tables, and whatever a browser would fetch or follow."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.links: list[str] = []
        self.loads: list[tuple[str, str | None]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.links += [value or "" for name, value in attrs if name == "href"]
        self.loads += [one for one in attrs if one[0] in ("src", "srcset", "style", "onload", "action")]
        self.loads += [(tag, None)] * (tag in ("script", "link", "iframe", "object"))

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th") and data.strip():
            self.cells.append(data)


def test_the_page_for_people_shows_reward_and_runs_and_loads_nothing(tmp_path: Path) -> None:
    (tmp_path / "reward.toml").write_text(REWARD.replace("column:correct", "column:<script>alert(1)</script>"))
    with serving("--reward", tmp_path / "reward.toml") as server:
        rows = [{"response": "x", "rm_score": float(n), "<script>alert(1)</script>": n} for n in range(2)]
        assert "None yet." in server.http.get("/").text
        assert server.post("/v1/score_group", {"problem": "", "responses": rows, "run_id": "run-7"}).status_code == 200
        answer = server.http.get("/")
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert "<script" not in answer.text
        page = Page(answer.text)
        assert page.loads == []
        assert {"Rule", "hero", "column:<script>alert(1)</script>", "column:rm_score", "run-7"} <= set(page.cells)
        assert len(page.links) >= 4
        assert all(server.http.get("/" + link).status_code == 200 for link in page.links)
