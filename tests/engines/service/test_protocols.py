"""OpenRLHF's protocol on a real reward model: groups as `/v1/score_groups` shapes them, raw parts for a response alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from helpers.service import Server, save_reward_model, serving
from hero_rl.engines.service.openrlhf import split_query
from hero_rl.scorers import LocalScorer
from hero_rl.types import Rollout

RESPONSES = ("It is \\boxed{2}.", "3", "it is so: 1+1=2", "z")


@pytest.fixture(scope="module")
def reward_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_reward_model(tmp_path_factory.mktemp("service") / "reward-model")


@pytest.fixture(scope="module")
def scorer(reward_model: Path) -> LocalScorer:
    return LocalScorer(reward_model)


@pytest.fixture(scope="module")
def server(reward_model: Path) -> Iterator[Server]:
    with serving("--verifier", "exact", "--reward-model", f"local:{reward_model}") as one:
        yield one


def rollouts() -> list[Rollout]:
    return [Rollout(prompt_id="p", problem="1+1=?", reference="2", response=response) for response in RESPONSES]


def test_groups_are_scored_by_the_same_model(server: Server, scorer: LocalScorer) -> None:
    group = {"problem": "1+1=?", "reference": "2", "responses": list(RESPONSES)}
    rows = server.post("/v1/score_group", group).json()["responses"]
    np.testing.assert_allclose([row["rm_score"] for row in rows], scorer.score(rollouts()), atol=1e-5)
    assert [row["verdict"] for row in rows] == [1, 0, 0, 0]
    verdicts = server.post("/v1/verify", group).json()["verdicts"]
    assert [(one["verdict"], one["reason"]) for one in verdicts] == [(1, "equal"), *[(0, "different")] * 3]


def test_openrlhf_gets_the_advantages_of_responses_to_one_prompt_in_one_call(server: Server) -> None:
    others = ["4", "It is \\boxed{5}."]
    groups = [
        {"problem": "1+1=?", "reference": "2", "responses": list(RESPONSES)},
        {"problem": "2+2=?", "reference": "4", "responses": others},
    ]
    expected = server.post("/v1/score_groups", {"run_id": "groups", "groups": groups}).json()
    first, second = (group["responses"] for group in expected["groups"])
    # the two prompts mixed, and one response that has no company
    queries = [
        f"1+1=?{RESPONSES[0]}<eos>", "2+2=?4", f"1+1=?{RESPONSES[1]}", "3+3=?6", f"1+1=?{RESPONSES[2]}",
        f"2+2=?{others[1]}", f"1+1=?{RESPONSES[3]}",
    ]  # fmt: skip
    rows = [first[0], second[0], first[1], None, first[2], second[1], first[3]]
    body = {"query": queries, "prompts": [query[:5] for query in queries], "labels": ["2", "4", "2", "6", "2", "4", "2"]}
    answer = server.post("/get_reward?run_id=openrlhf", body).json()
    assert answer["rewards"] == pytest.approx([row["advantage"] if row else 1.0 for row in rows], abs=1e-6)
    assert answer["scores"] == [1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0]
    logs = answer["extra_logs"]
    assert logs["group_size"] == [4.0, 2.0, 4.0, 1.0, 4.0, 2.0, 4.0]
    assert logs["weight"] == pytest.approx([row["weight"] if row else 1.0 for row in rows])
    # the groups were one batch of the run, and OpenRLHF's retry of the same call is not another one
    assert server.post("/get_reward?run_id=openrlhf", body).json() == answer
    state, same = (server.http.get(f"/v1/runs/{run}").json()["state"] for run in ("openrlhf", "groups"))
    assert state["state"]["updates"] == 1
    assert state["state"]["total"] == pytest.approx(same["state"]["total"], abs=1e-6)


def test_evaluation_through_openrlhf_moves_no_state(server: Server) -> None:
    body = {"query": ["1+1=?2", "1+1=?3"], "prompts": ["1+1=?"] * 2, "labels": ["2"] * 2}
    answer = server.post("/get_reward?run_id=evaluated&update=false", body).json()
    assert answer["rewards"][0] > 0 > answer["rewards"][1]
    assert server.http.get("/v1/runs/evaluated").status_code == 404
    assert server.post("/get_reward?run_id=a+b", body).status_code == 422


def test_openrlhf_gets_raw_parts_of_a_response_alone(server: Server, scorer: LocalScorer) -> None:
    body = {
        "query": [f"1+1=?{response}<eos>" for response in RESPONSES] + ["unheard of"],
        "prompts": ["1+1=?"] * 5,
        "labels": ["2", "3", "4", None, "5"],
    }
    answer = server.post("/get_reward", body).json()
    assert answer["rewards"] == answer["scores"] == [1.0, 1.0, 0.0, 0.0, 0.0]
    assert answer["extra_logs"]["abstained"] == [0.0, 0.0, 0.0, 1.0, 0.0]
    assert answer["extra_logs"]["prompt_found"] == [1.0, 1.0, 1.0, 1.0, 0.0]
    np.testing.assert_allclose(answer["extra_logs"]["rm_score"][:4], scorer.score(rollouts()), atol=1e-5)
    assert answer["extra_logs"]["group_size"] == answer["extra_logs"]["weight"] == [1.0] * 5
    assert server.http.get("/v1/runs/default").json().get("state", {}).get("state", {}).get("updates", 0) <= 1
    assert server.post("/get_reward", {**body, "labels": ["2"]}).status_code == 422


@pytest.mark.parametrize(
    ("query", "prompt", "response", "found"),
    [
        ("<s>Q: A.</s>", "Q: ", "A.", True),
        ("Q<|im_end|>A <|im_end|>\n<|endoftext|>", "Q<|im_end|>", "A", True),
        ("Q a <| b |> c", "Q", " a <| b |> c", True),
        ("other", "Q", "other", False),
        ("whole", "", "whole", False),
        ("QQ", "Q", "Q", True),
        ("Q", "Q", "", True),
    ],
)
def test_a_query_is_split_at_its_prompt(query: str, prompt: str, response: str, found: bool) -> None:
    assert split_query(query, prompt) == (response, found)
