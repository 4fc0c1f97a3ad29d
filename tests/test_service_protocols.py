"""Other people's protocols on a real reward model: raw parts, exactly those of the scorer and verifier in this process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers import tiny
from helpers.service import Server, save_reward_model, serving
from hero_rl.engines.service.compat import split_query
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


def probs(answer: Any) -> list[float]:
    return [row["probs"][0] for row in answer.json()["data"]]


def test_classify_gives_the_scorers_own_numbers(server: Server, scorer: LocalScorer) -> None:
    expected = scorer.score(rollouts())
    ids = [scorer.encode(rollout) for rollout in rollouts()]
    texts = [tiny.tokenizer().decode(row) for row in ids]
    assert np.ptp(expected) > 0.1
    by_ids = server.post("/classify", {"input": ids, "use_activation": False})
    np.testing.assert_allclose(probs(by_ids), expected, atol=1e-5)
    by_text = server.post("/classify", {"input": texts, "add_special_tokens": False})
    np.testing.assert_allclose(probs(by_text), expected, atol=1e-5)
    for text, row, score in zip(texts, ids, expected, strict=True):
        alone = server.post("/classify", {"input": text})
        np.testing.assert_allclose(probs(alone) + probs(server.post("/classify", {"input": row})), score, atol=1e-5)
        assert alone.json()["usage"]["prompt_tokens"] == len(row)
    turns = [{"role": "user", "content": "1+1=?"}, {"role": "assistant", "content": RESPONSES[0]}]
    assert probs(server.post("/classify", {"messages": turns})) == pytest.approx([expected[0]], abs=1e-5)


def test_classify_is_raw_and_says_so(server: Server) -> None:
    answer = server.post("/classify", {"input": ["1", "2"]}).json()
    assert (answer["use_activation"], answer["object"], [row["index"] for row in answer["data"]]) == (False, "list", [0, 1])
    for name in ("use_activation", "activation"):
        refused = server.post("/classify", {"input": "1", name: True})
        assert (refused.status_code, "raw rewards" in refused.json()["error"]["message"]) == (422, True)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"input": [1, 2, 9999]}, 422),
        ({"input": [[1], []]}, 422),
        ({"input": []}, 422),
        ({}, 422),
        ({"input": "1", "model": "another"}, 404),
    ],
)
def test_classify_refuses_what_it_cannot_score(server: Server, body: dict[str, Any], status: int) -> None:
    assert server.post("/classify", body).status_code == status


def test_a_text_beyond_the_models_length_has_no_score_and_harms_no_other(server: Server) -> None:
    answer = server.post("/classify", {"input": ["1", "1" * 3000]})
    assert answer.json()["data"][1]["probs"] == [None]
    assert probs(answer)[0] == pytest.approx(probs(server.post("/classify", {"input": "1"}))[0], abs=1e-5)


def test_remote_scorer_takes_the_service_for_a_vllm_server(server: Server, scorer: LocalScorer, reward_model: Path) -> None:
    remote = pytest.importorskip("hero_rl.scorers.remote")
    client = remote.RemoteScorer(server.url, dialect="vllm", tokenizer=str(reward_model))
    try:
        np.testing.assert_allclose(client.score(rollouts()), scorer.score(rollouts()), atol=1e-5)
    finally:
        client.close()


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


def test_nemo_gym_gets_a_reward_beside_what_it_sent(server: Server, scorer: LocalScorer) -> None:
    message = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": RESPONSES[0]}]}
    body = {
        "responses_create_params": {"input": [{"role": "user", "content": "1+1=?"}], "temperature": 0.5},
        "response": {"id": "r", "output": [{"type": "reasoning", "summary": []}, message]},
        "expected_answer": "2",
        "task_index": 7,
    }
    answer = server.post("/verify", body).json()
    assert {name: answer[name] for name in body} == body
    assert (answer["reward"], answer["verdict"], answer["reason"]) == (1.0, 1, "equal")
    assert answer["rm_score"] == pytest.approx(scorer.score(rollouts())[0], abs=1e-5)
    wrong = server.post("/verify", {**body, "expected_answer": "3"}).json()
    assert (wrong["reward"], wrong["verdict"]) == (0.0, 0)
    unknown = server.post("/verify", {**body, "expected_answer": ""}).json()
    assert (unknown["reward"], unknown["verdict"], unknown["reason"]) == (0.0, None, "reference_missing")
