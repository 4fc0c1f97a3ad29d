"""OpenRLHF's protocol on a real reward model: raw parts, exactly those of the scorer and verifier in this process."""

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


def test_openrlhf_gets_raw_parts_of_each_sample(server: Server, scorer: LocalScorer) -> None:
    body = {
        "query": [f"1+1=?{response}<eos>" for response in RESPONSES] + ["unheard of"],
        "prompts": ["1+1=?"] * 5,
        "labels": ["2", "3", "2", None, "2"],
    }
    answer = server.post("/get_reward", body).json()
    assert answer["rewards"] == answer["scores"] == [1.0, 1.0, 0.0, 0.0, 0.0]
    assert answer["extra_logs"]["abstained"] == [0.0, 0.0, 0.0, 1.0, 0.0]
    assert answer["extra_logs"]["prompt_found"] == [1.0, 1.0, 1.0, 1.0, 0.0]
    np.testing.assert_allclose(answer["extra_logs"]["rm_score"][:4], scorer.score(rollouts()), atol=1e-5)
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
