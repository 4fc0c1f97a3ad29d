"""The service's answers: what HybridReward gives in this process, kept apart by run, counted once."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from helpers.service import COLUMNS, Server, group, serving
from hero_rl.pipeline import HybridReward
from hero_rl.rewards import group_advantages, hero
from hero_rl.scorers import ColumnScorer
from hero_rl.types import FloatArray, Rollout
from hero_rl.verifiers import ColumnVerifier


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving(*COLUMNS, "--alpha", "0.1") as one:
        yield one


MEAN = {"version": 1, "decay": 0.9, "total": 1.0, "weight": 1.0, "updates": 1}


def batch(seed: int, groups: int = 6) -> list[dict[str, Any]]:
    """Groups of different sizes, with an abstention, a missing score, and equal prompts."""
    rng = np.random.default_rng(seed)
    made = [
        group(*rng.normal(size=size).tolist(), correct=tuple(rng.integers(0, 2, size).tolist()))
        for size in rng.integers(1, 9, groups)
    ]
    made[0] = group(0.25, -1.5, None, 0.75, correct=(1, None, 0, 0), prompt_id="odd")
    return made


def in_process(reward: HybridReward, groups: list[dict[str, Any]], *, update: bool = True) -> tuple[FloatArray, ...]:
    rollouts = [
        Rollout(prompt_id=str(place), problem="", reference="", response=row["response"], extra=row)
        for place, one in enumerate(groups)
        for row in one["responses"]
    ]
    sizes = [len(one["responses"]) for one in groups]
    made = reward.batch(rollouts, update=update)
    advantages = group_advantages(made.rewards, np.repeat(np.arange(len(groups)), sizes), weights_B=made.weights)
    return made.rewards, made.weights, advantages, np.array([made.sigma_mean])


def column(answer: dict[str, Any], name: str) -> FloatArray:
    rows = [row for one in answer["groups"] for row in one["responses"]]
    return np.array([math.nan if row[name] is None else row[name] for row in rows])


def test_batches_give_what_hybrid_reward_gives_in_process(server: Server) -> None:
    with HybridReward(ColumnVerifier("correct"), ColumnScorer("rm_score"), hero(alpha=0.1)) as reward:
        for seed in range(4):
            groups = batch(seed)
            answer = server.post("/v1/score_groups", {"run_id": "equal", "groups": groups}).json()
            rewards, weights, advantages, sigma_mean = in_process(reward, groups)
            np.testing.assert_allclose(column(answer, "reward"), rewards, rtol=0, atol=1e-12)
            np.testing.assert_allclose(column(answer, "weight"), weights, rtol=0, atol=1e-12)
            np.testing.assert_allclose(column(answer, "advantage"), advantages, rtol=0, atol=1e-12)
            for row in (row for one in answer["groups"] for row in one["responses"]):
                parts = row["reward_components"] or {"verifier": None}
                assert parts["verifier"] == (None if row["reward"] is None else float(row["verdict"] == 1))
                assert row["reward"] is None or sum(parts.values()) == pytest.approx(row["reward"], abs=1e-12)
            assert answer["sigma_mean"] == pytest.approx(float(sigma_mean[0]), abs=1e-12)
            assert answer["running_mean"] == pytest.approx(reward.state.value, abs=1e-12)
            assert answer["updates"] == seed + 1
        assert server.http.get("/v1/runs/equal").json()["state"] == reward.state_dict()


def test_one_group_by_hand(server: Server) -> None:
    answer = server.post("/v1/score_group", group(2.0, 0.0, 1.0, 0.0, correct=(1, 1, 0, 0), run_id="by-hand")).json()
    rows = answer["responses"]
    # correct: 1 - 0.05 and 1 + 0.05; incorrect: -0.1 and 0.1
    assert [row["reward"] for row in rows] == pytest.approx([1.05, 0.95, 0.1, -0.1], abs=1e-6)
    assert [row["verdict"] for row in rows] == [1, 1, 0, 0]
    # the first batch is its own average: the weight is the middle of 0.4 and 3.0
    assert answer["weight"] == pytest.approx(1.7)
    assert [row["advantage"] for row in rows] == pytest.approx([1.7 * x for x in (0.55, 0.45, -0.4, -0.6)], abs=1e-5)
    assert answer["sigma_mean"] == pytest.approx(np.std([2.0, 0.0, 1.0, 0.0]))


def test_runs_have_states_of_their_own(server: Server) -> None:
    server.post("/v1/score_group", group(5.0, -5.0, run_id="wide"))
    narrow = server.post("/v1/score_group", group(0.1, -0.1, run_id="narrow")).json()
    assert narrow["running_mean"] == pytest.approx(0.1)
    assert server.http.get("/v1/runs/wide").json()["state"]["state"]["total"] == pytest.approx(5.0)


def test_evaluation_leaves_the_state_alone_and_creates_no_run(server: Server) -> None:
    server.post("/v1/score_group", group(1.0, -1.0, run_id="frozen"))
    before = server.http.get("/v1/runs/frozen").json()
    answer = server.post("/v1/score_group", group(9.0, -9.0, run_id="frozen", update=False)).json()
    assert (answer["updates"], answer["running_mean"]) == (1, pytest.approx(1.0))
    assert server.http.get("/v1/runs/frozen").json() == before
    server.post("/v1/score_group", group(9.0, -9.0, run_id="only-evaluated", update=False))
    assert server.http.get("/v1/runs/only-evaluated").status_code == 404


def test_a_retried_key_counts_once_and_gets_the_same_answer(server: Server) -> None:
    body = {"run_id": "retried", "groups": batch(7)}
    first = server.post("/v1/score_groups", body, Idempotency_Key="step-1")
    again = server.post("/v1/score_groups", {**body, "idempotency_key": "step-1", "deadline_s": 5})
    assert (first.status_code, first.content) == (200, again.content)
    assert ("idempotency-replayed" in first.headers, again.headers["idempotency-replayed"]) == (False, "true")
    assert server.http.get("/v1/runs/retried").json()["state"]["state"]["updates"] == 1
    other = server.post("/v1/score_groups", {**body, "groups": batch(8)}, Idempotency_Key="step-1")
    assert (other.status_code, other.json()["error"]["type"]) == (409, "key_reused")
    elsewhere = server.post("/v1/score_groups", {**body, "run_id": "retried-2"}, Idempotency_Key="step-1")
    assert (elsewhere.status_code, elsewhere.json()["run_id"]) == (200, "retried-2")


def test_a_state_moves_to_another_run_and_back_to_a_checkpoint(server: Server) -> None:
    keep = server.post("/v1/score_group", group(1.0, -1.0, run_id="source"), Idempotency_Key="k").json()
    state = server.http.get("/v1/runs/source").json()
    assert server.post("/v1/runs/target", state).json() == {"run_id": "target", "state": state["state"]}
    server.post("/v1/score_group", group(8.0, -8.0, run_id="source"))
    server.post("/v1/runs/source", state)
    # the answer kept under the key went with the state that it belonged to
    replay = server.post("/v1/score_group", group(1.0, -1.0, run_id="source"), Idempotency_Key="k").json()
    assert (keep["updates"], replay["updates"]) == (1, 2)
    assert server.http.delete("/v1/runs/source").status_code == 204
    assert server.http.get("/v1/runs/source").status_code == server.http.delete("/v1/runs/source").status_code == 404


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ({"version": 2, "rule": "gdpo", "state": MEAN}, 409),
        ({"version": 2, "rule": "hero", "state": {**MEAN, "decay": 0.5}}, 409),
        ({"version": 2, "rule": "hero", "state": {**MEAN, "weight": -1.0}}, 409),
        ({"version": 2, "rule": "hero"}, 422),
        ({"version": 1, "rule": "hero", "sigma_mean": MEAN}, 422),
        ({"version": 2, "rule": "hero", "state": [1]}, 422),
        (
            {"version": 2, "rule": "hero", "state": MEAN, "scale": {"version": 1, "signal": 0, "freedom": 0, "reliability": 5}},
            409,
        ),
    ],
)
def test_a_state_that_is_none_is_refused(server: Server, state: dict[str, Any], status: int) -> None:
    assert server.post("/v1/runs/none", {"state": state}).status_code == status
    assert server.http.get("/v1/runs/none").status_code == 404


def test_a_dead_reward_model_is_a_typed_failure_within_the_window_and_leaves_the_state(server: Server) -> None:
    dead = group(*[None] * 8, run_id="failing")
    server.post("/v1/score_group", group(1.0, -1.0, run_id="failing"))
    for _ in range(3):
        rows = server.post("/v1/score_group", dead).json()["responses"]
        assert [row["rm_score"] for row in rows] == [None] * 8
    before = server.http.get("/v1/runs/failing").json()
    failed = server.post("/v1/score_group", dead, Idempotency_Key="f")
    assert (failed.status_code, failed.json()["error"]["type"]) == (503, "too_many_failures")
    assert "32 of the last 34 rows" in failed.json()["error"]["message"]
    assert server.http.get("/v1/runs/failing").json() == before
    # what failed is not an answer to replay
    assert server.post("/v1/score_group", group(1.0, 1.5, run_id="failing"), Idempotency_Key="f").status_code == 200


def test_a_hundred_groups_without_one_answer_that_can_be_evaluated_are_abstentions_and_the_run_goes_on() -> None:
    hard = [f"\\boxed{{\\int_0^{{\\pi}} \\ln(\\sin(x)+{place})^3 dx}}" for place in range(2, 10)]
    rows = [{"response": response, "rm_score": float(place)} for place, response in enumerate(hard)]
    settings = ["--verifier", "math", "--set", "verifier.deadline_s=0.2", "--set", "verifier.workers=2"]
    with serving(*settings, "--reward-model", "column:rm_score") as server:
        for _ in range(100):
            answer = server.post("/v1/score_group", {"problem": "", "reference": "5", "responses": rows})
            assert answer.status_code == 200
            found = [(row["verdict"], row["reason"], row["failed"]) for row in answer.json()["responses"]]
            assert found == [(None, "too_hard", False)] * 8


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"responses": []}, "at least 1 item"),
        ({"responses": [{"response": "2"}]}, "'correct'"),
        ({"responses": [{"response": "2", "correct": 1, "rm_score": "high"}]}, "'high'"),
        ({"responses": [{"response": 2}]}, "string"),
        ({"surprise": 1}, "Extra inputs"),
        ({"run_id": "a b"}, "run_id"),
        ({"deadline_s": -1}, "deadline_s"),
    ],
)
def test_what_is_wrong_with_a_request_is_said(server: Server, change: dict[str, Any], says: str) -> None:
    answer = server.post("/v1/score_group", {**group(1.0, 2.0), **change})
    assert (answer.status_code, answer.json()["error"]["type"]) == (422, "bad_input")
    assert says in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "body", [b"{", b"[1, 2", b"null", b'{"problem": "\\ud800", "responses": ["1"]}', b"\xff\xfe", b"[" * 100_000]
)
def test_bodies_that_are_no_request_get_422_and_not_500(server: Server, body: bytes) -> None:
    answer = server.http.post("/v1/score_group", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    assert answer.json()["error"]["type"] == "bad_input"


def test_other_paths_and_methods_have_typed_errors(server: Server) -> None:
    assert server.http.get("/nowhere").json()["error"]["type"] == "not_found"
    wrong = server.http.get("/v1/score_group")
    assert (wrong.status_code, wrong.json()["error"]["type"], wrong.headers["allow"]) == (405, "not_allowed", "POST")


def test_health_and_metrics(server: Server) -> None:
    health = server.http.get("/healthz").json()
    assert (health["status"], health["rule"], health["settings"]["alpha"]) == ("ok", "hero", 0.1)
    assert (health["verifier"], health["reward_model"]) == ("column:correct", "column:rm_score")
    before = server.metric('hero_requests_total{path="/v1/score_group",status="200"}')
    server.post("/v1/score_group", group(4.0, 2.0, run_id="measured"))
    assert server.metric('hero_requests_total{path="/v1/score_group",status="200"}') == before + 1
    assert server.metric('hero_running_mean{run_id="measured"}') == pytest.approx(1.0)
    server.post("/v1/score_group", group(1.0, None, run_id="measured"))
    assert server.metric('hero_health{name="missing",run_id="measured"}') == 0.25
    assert server.metric("hero_queue_depth ") == server.metric("hero_running ") == 0
    assert server.metric('hero_verdicts_total{label="correct"}') > 0
    server.http.get("/some/" + "x" * 50)
    assert "xxx" not in server.http.get("/metrics").text


def test_column_signals_are_missing_in_the_per_sample_protocol_and_that_is_said(server: Server) -> None:
    answer = server.post("/get_reward", {"query": ["2"], "labels": ["2"]})
    assert (answer.status_code, "'correct'" in answer.json()["error"]["message"]) == (422, True)
