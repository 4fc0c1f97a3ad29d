"""The server of `hero view` on real files: what it lists, what it recomputes, whom it answers."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.commands import fails, run_json
from helpers.view_rollouts import TABLE, rows, write
from hero_rl.rewards import hero, make_rule

pytest.importorskip("duckdb")
pytest.importorskip("fastapi")
from fastapi.testclient import TestClient

from hero_rl.errors import InputError
from hero_rl.pipeline import HybridReward
from hero_rl.scorers import ColumnScorer
from hero_rl.types import Rollout
from hero_rl.verifiers import ColumnVerifier
from hero_rl.view.app import create_app
from hero_rl.view.page import write_groups
from hero_rl.view.rules import Rules
from hero_rl.view.store import Query, Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    one = Store([write(tmp_path / "rollouts.jsonl", rows())])
    yield one
    one.close()


def client(store: Store, *, token: str | None = None, **given: Any) -> TestClient:
    return TestClient(create_app(store, Rules(store, given), title="t", token=token), base_url="http://127.0.0.1:8500")


def listed(store: Store, **query: Any) -> list[tuple[str, int, int]]:
    """Prompt, step and responses that pass."""
    found = client(store).get("/api/groups", params=query).json()
    assert found["total"] == len(found["groups"])
    return [(group["prompt_id"], group["step"], group["hits"]) for group in found["groups"]]


def test_rows_of_one_prompt_and_step_are_a_group(store: Store) -> None:
    assert listed(store) == [("a", 1, 4), ("b", 1, 3), ("a", 2, 4)]
    group = client(store).get("/api/groups/0", params={"rule": "hero"}).json()
    assert group["group"]["reference"] == "a, 2"
    assert [row["response"] for row in group["rows"]] == [row[4] for row in TABLE[:4]]
    assert [(one["step"], one["accepted"], one["n"]) for one in group["same"]] == [(1, 1, 4), (2, 2, 4)]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"kind": "rejected_high"}, [("a", 2, 1)]),  # 1.5 >= 1.25
        ({"kind": "accepted_low"}, [("a", 2, 1)]),  # -2 <= -0.5
        ({"kind": "abstained"}, [("a", 1, 1)]),
        ({"kind": "mixed"}, [("a", 1, 4), ("a", 2, 4)]),
        ({"kind": "no_gradient", "rule": "hero"}, [("b", 1, 3)]),
        ({"kind": "no_gradient", "rule": "rm_only"}, [("b", 1, 3)]),
        ({"step": 2}, [("a", 2, 4)]),
        ({"step": 2, "min_chars": -(10**30)}, [("a", 2, 4)]),
        ({"offset": 10**30}, []),
        ({"min_chars": 100}, [("a", 1, 1)]),
        ({"max_chars": 1}, [("a", 1, 1), ("b", 1, 3)]),
        ({"text": "two"}, [("a", 2, 2)]),  # in any case
        ({"text": "Two"}, [("a", 2, 1)]),
        ({"text": "50%"}, [("a", 1, 1)]),  # % is no wildcard
        ({"text": "is b?"}, [("b", 1, 3)]),
        ({"text": "two", "kind": "accepted_low"}, [("a", 2, 1)]),
        ({"sort": "suspect"}, [("a", 2, 4), ("a", 1, 4), ("b", 1, 3)]),
        ({"sort": "accepted"}, [("b", 1, 3), ("a", 1, 4), ("a", 2, 4)]),
        ({"sort": "length"}, [("a", 1, 4), ("a", 2, 4), ("b", 1, 3)]),
    ],
)
def test_filters_and_sorts(store: Store, query: dict[str, Any], expected: list[tuple[str, int, int]]) -> None:
    assert listed(store, **query) == expected


def test_generous_verdicts_are_found_by_their_reason(tmp_path: Path) -> None:
    """The reasons are those of the table in the manual."""
    said = Path("docs/math-reference.md").read_text().split("## Reasons")[1].split("\n## ")[0]
    reasons = [
        (reason, "generous" in cells[2])
        for line in said.splitlines()
        if len(cells := line.split("|")) > 3
        for reason in re.findall(r"`(\w+)`", cells[1])
    ]
    table = [{**rows()[0], "response": reason, "reason": reason, "prompt_id": reason} for reason, _ in reasons]
    store = Store([write(tmp_path / "reasons.jsonl", table)])
    try:
        found = {group["prompt_id"] for group in store.groups(Query(kind="generous", limit=500))["groups"]}
    finally:
        store.close()
    assert found == {reason for reason, generous in reasons if generous}
    assert len(found) > 20


def test_what_was_compared(store: Store) -> None:
    found = client(store).get("/api/explain/0").json()
    assert (found["verdict"], found["reason"]) == ("incorrect", "number_of_answers")  # the file says otherwise
    assert "2" in found["detail"]
    assert "response 11: there is none" in client(store).get("/api/explain/11").json()["error"]


def test_a_response_that_passes_is_marked(store: Store) -> None:
    group = client(store).get("/api/groups/2", params={"kind": "rejected_high", "rule": "hero"}).json()
    assert [row["hit"] for row in group["rows"]] == [False, False, True, False]


def test_alpha_by_hand(store: Store) -> None:
    """Rejected and abstained scores 1, -1, 0 span the band around 0; the one accepted is at its floor."""
    for alpha in (0.1, 0.3):
        made = client(store).get("/api/groups/0", params={"rule": f"hero@{alpha}"}).json()["made"][0]
        assert made["reward"] == pytest.approx([0.95, alpha, -alpha, 0.0], abs=1e-6)


@pytest.mark.parametrize("name", ["hero", "hero_adaptive", "naive_sum", "verifier_only", "gdpo"])
def test_recomputed_rewards_are_those_of_training(store: Store, name: str) -> None:
    reward = HybridReward(ColumnVerifier("verdict"), ColumnScorer("rm_score"), make_rule(name, {}))
    batches = [
        reward.batch([
            Rollout(prompt_id=row["prompt_id"], problem="", reference="", response="", extra=row)
            for row in rows() if row["step"] == step
        ])
        for step in (1, 2)
    ]  # fmt: skip
    rules = Rules(store)
    shown = [rules.columns(name, gid) for gid in range(3)]
    for column, made in (("reward", "rewards"), ("weight", "weights"), ("advantage", "advantages")):
        expected = np.concatenate([getattr(batch, made) for batch in batches])
        found = np.array([value for group in shown for value in group[column]], dtype=np.float64)
        np.testing.assert_array_equal(found, expected)


def test_a_run_folder_parquet_and_gzip_are_read_alike(tmp_path: Path, store: Store) -> None:
    without_step = [{name: row[name] for name in row if name != "step"} for row in rows()]
    run = tmp_path / "run"
    write(run / "rollouts" / "step_000001.parquet", without_step[:7])
    write(run / "rollouts" / "step_000002.parquet", without_step[7:])
    for path in (run, run / "rollouts", write(tmp_path / "more.jsonl.gz", rows())):
        other = Store([path])
        try:
            assert listed(other) == listed(store)
            assert Rules(other).columns("hero", 2) == Rules(store).columns("hero", 2)
        finally:
            other.close()


def test_of_a_very_large_group_the_first_responses_are_sent(tmp_path: Path) -> None:
    store = Store([write(tmp_path / "many.jsonl", [rows()[0]] * 700)])
    try:
        found = client(store).get("/api/groups/0?rule=hero").json()
        assert (found["group"]["n"], len(found["rows"]), len(found["made"][0]["reward"])) == (700, 500, 500)
    finally:
        store.close()


def test_two_runs_side_by_side(tmp_path: Path) -> None:
    paths = [write(tmp_path / name / "rollouts.jsonl", rows()[:7] if name == "old" else rows()) for name in ("old", "new")]
    store = Store(paths)
    try:
        assert store.runs == ["old", "new"]
        page = client(store)
        first = page.get("/api/groups/0", params={"rule": "hero"}).json()
        other = page.get(f"/api/groups/{first['other']}", params={"rule": "hero"}).json()
        assert (other["group"]["run"], other["group"]["step"]) == (1, 1)
        assert other["made"] == first["made"]  # a state of its own
        assert [group["run"] for group in page.get("/api/groups", params={"run": 1}).json()["groups"]] == [1, 1, 1]
    finally:
        store.close()


def test_recorded_rewards_come_first_and_a_given_rule_before_them(tmp_path: Path) -> None:
    table = [{**row, "reward": 0.25, "weight": 2.0, "advantage": 0.0} for row in rows()]
    store = Store([write(tmp_path / "scored.parquet", table)])
    try:
        assert client(store).get("/api/about").json()["rule"] == "recorded"
        assert client(store).get("/api/groups/0?rule=recorded").json()["made"][0]["reward"] == [0.25] * 4
        page = client(store, hero={"name": "hero", "alpha": 0.2})
        assert page.get("/api/about").json()["rule"] == "hero"
        assert page.get("/api/groups/0", params={"rule": "hero"}).json()["made"][0]["reward"][1] == pytest.approx(0.2)
    finally:
        store.close()


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/api/groups?kind=bad", "kind='bad' is unknown; choose one of rejected_high"),
        ("/api/groups?step=x", "step='x' is no number"),
        ("/api/groups?offset=1.5", "offset='1.5' is no whole number"),
        ("/api/groups/99?rule=hero", "group 99: there is none; groups are 0 to 2"),
        ("/api/groups?rule=os:system", "rule 'os:system' is unknown"),  # nothing is imported for a request
        ("/api/groups?rule=hero@0.99", "alpha"),
    ],
)
def test_a_wrong_request_is_refused_in_words(store: Store, path: str, said: str) -> None:
    response = client(store).get(path)
    assert response.status_code == 400
    assert said in response.json()["error"]


def test_who_is_answered(store: Store) -> None:
    page = client(store, token="secret")
    assert page.get("/").status_code == 200
    assert page.get("/api/about").status_code == 401
    assert page.get("/api/about", headers={"Authorization": "Bearer secret"}).status_code == 200
    assert client(store).get("/api/about", headers={"Host": "evil.example:8500"}).status_code == 403
    for host in ("LOCALHOST", "127.0.0.1", "[::1]:80"):
        assert client(store).get("/api/about", headers={"Host": host}).status_code == 200
    policy = page.get("/").headers["Content-Security-Policy"]
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy


def test_html_is_one_file_and_text_cannot_leave_its_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = rows()
    table[0]["response"] = "</script><script>alert(1)</script><!--"
    source, page = write(tmp_path / "in.jsonl", table), tmp_path / "page.html"
    made = run_json(capsys, "view", source, "--html", page, "--kind", "mixed", "--rule", "hero", "--set", "rule.alpha=0.3")
    assert made["responses"] == 11
    text = page.read_text()
    assert "<script>alert" not in text
    assert "static/" not in text
    nonces = set(re.findall(r'nonce[-="]+([\w-]{16,})', text))
    assert len(nonces) == 1
    data = json.loads(re.search(r'id="data"[^>]*>(.*?)</script>', text)[1])  # type: ignore[index]
    assert [group["kinds"] for group in data["groups"]] == [["abstained", "mixed"], ["rejected_high", "accepted_low", "mixed"]]
    assert data["details"]["0"]["made"][0]["reward"][1] == pytest.approx(0.3)


def test_bad_files_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert "no such file" in fails(capsys, "view", tmp_path / "no.jsonl")
    assert "without files to read" in fails(capsys, "view", tmp_path / "empty")
    with pytest.raises(InputError, match="this row has: a, b"):
        Store([write(tmp_path / "x.jsonl", [{"a": "1", "b": "2"}])])
    (tmp_path / "broken.parquet").write_bytes(b"no parquet")
    assert "broken.parquet" in fails(capsys, "view", tmp_path / "broken.parquet")
    table = [*rows()[:2], {**rows()[2], "rm_score": "high"}]
    assert "bad.jsonl:3: column 'rm_score'" in fails(capsys, "view", write(tmp_path / "bad.jsonl", table))


def test_values_that_duckdb_would_guess_otherwise_stay_as_they_are(tmp_path: Path) -> None:
    table = [
        {"problem": "When?", "response": "2024-01-01T00:00:00", "prompt_id": 7, "reference": 3, "correct": True, "verdict": 1},
        {"problem": "When?", "response": "12", "prompt_id": "7", "reference": ["3", 4.5], "rm_score": 0.5, "steps": ["1", "2"]},
    ]
    store = Store([write(tmp_path / "odd.jsonl", table)])
    try:
        (group,) = store.groups(Query())["groups"]  # 7 and "7" are one prompt
        found = store.group(group["gid"])["rows"]
        assert [row["response"] for row in found] == ["2024-01-01T00:00:00", "12"]
        assert [row["correct"] for row in found] == [1.0, None]
        assert found[1]["steps"] == ["1", "2"]
    finally:
        store.close()


@pytest.mark.parametrize("name", ["odd.jsonl", "odd.parquet"])
def test_a_value_of_another_type_is_none_and_steps_may_be_fractions(tmp_path: Path, name: str) -> None:
    odd = {"learned": "maybe", "step_scores": [0.5, None]}
    table = [{**row, **odd, "step": 0.4 if at % 2 else 0.2} for at, row in enumerate(rows()[:7])]
    if name == "odd.parquet":
        table[0]["step_scores"] = [0.5, float("nan")]
    else:
        table[0] |= {"reason": "half \ud83d", "step_scores": [0.5, "high"]}
    store = Store([write(tmp_path / name, table)])
    try:
        assert [(group["step"], group["n"]) for group in store.groups(Query(step=0.2))["groups"]] == [(0.2, 2), (0.2, 2)]
        row = client(store).get("/api/groups/0").json()["rows"][0]
        assert (row["learned"], row["step_scores"]) == (None, [0.5, None])
        assert row["reason"] == ("equal" if name == "odd.parquet" else "half \ufffd")
    finally:
        store.close()


@pytest.mark.parametrize("change", [Path.unlink, lambda path: write(path, rows()[::-1])], ids=["deleted", "rewritten"])
def test_a_file_that_changes_is_shown_no_more(tmp_path: Path, change: Callable[[Path], object]) -> None:
    path = write(tmp_path / "rollouts.parquet", [{**row, "reward": 0.5} for row in rows()])
    store = Store([path])
    try:
        change(path)
        answer = client(store).get("/api/groups")
        assert (answer.status_code, answer.json()) == (409, {"error": "the file changed; start hero view again"})
    finally:
        store.close()


def test_no_page_of_an_earlier_call_stays_where_no_group_is_left(tmp_path: Path) -> None:
    page = tmp_path / "view.html"
    page.write_text("earlier")
    assert write_groups(page, [], title="t") == []
    assert not page.exists()


def test_the_command_serves_and_ends_with_its_folder(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", rows())
    command = [sys.executable, "-m", "hero_rl.cli", "view", str(source), "--port", "0", "--json"]
    environment = {"TMPDIR": str(tmp_path), "PYTHONPATH": ":".join(sys.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            said = json.loads(process.stdout.readline())  # type: ignore[union-attr]
            assert said["groups"] == 3
            assert list(tmp_path.glob("hero-view-*"))
            from urllib.request import urlopen

            with urlopen(said["url"] + "api/groups?kind=mixed", timeout=20) as answer:
                assert json.load(answer)["total"] == 2
        finally:
            process.send_signal(signal.SIGHUP)
            said = process.communicate(timeout=20)[1]
    assert (process.returncode, said) == (129, "")
    assert not list(tmp_path.glob("hero-view-*"))


def test_hero_is_what_the_slider_starts_from(store: Store) -> None:
    offered = {rule["name"]: rule["alpha"] for rule in Rules(store).offered()}
    assert offered["hero"] == hero().settings["alpha"]
    assert offered["verifier_only"] is None
    assert store.groups(Query(limit=1))["total"] == 3
