"""A real vLLM and a real Infinity give what the same weights give in this process."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers import real
from hero_rl.cli import main
from hero_rl.errors import InputError
from hero_rl.scorers import LocalScorer
from hero_rl.scorers.remote import RemoteScorer
from hero_rl.types import Rollout
from hero_rl.verifiers.judge import JudgeVerifier, LocalJudge, RemoteJudge

TOLERANCE = 1e-4
"""Of scores of about 1 in float32, whose sums have another order there: 2e-5 was measured."""


def evaluated(model: object, place: Path, name: str) -> dict[str, str]:
    arguments = ["eval", model, "--data", place / "problems.jsonl", "-o", place / name, "--samples", 1, "--temperature", 0]
    assert main([*map(str, arguments), "--max-tokens", "24"]) == 0
    return {one.problem: one.response for one in real.rollouts(place / name / "rollouts.jsonl")}


def test_an_evaluation_over_vllm_is_that_of_the_folder(smollm2: Path, policy_server: str, place: Path) -> None:
    here = evaluated(smollm2, place, "eval-here")
    there = evaluated(f"smollm2@{policy_server}", place, "eval-there")
    assert there == here  # greedy, float32 on both sides
    accuracy = [json.loads((place / name / "results.json").read_text())["benchmarks"] for name in ("eval-here", "eval-there")]
    assert accuracy[0] == accuracy[1]


@pytest.mark.parametrize("dialect", ["vllm", "vllm-pooling"])
@pytest.mark.parametrize("formed", ["here", "by the server"])
def test_vllm_scores_as_the_folder(dialect: Any, formed: str, reward_model: Path, reward_server: str, place: Path) -> None:
    rows = real.rollouts(place / "rollouts.jsonl")[:24]
    with LocalScorer(reward_model, dtype="float32") as local:
        expected = local.score(rows)
    tokenizer = reward_model if formed == "here" else None
    with RemoteScorer(reward_server, dialect=dialect, tokenizer=tokenizer) as remote:
        np.testing.assert_allclose(remote.score(rows), expected, atol=TOLERANCE)
    assert np.ptp(expected) > 100 * TOLERANCE


def test_infinity_scores_as_the_folder_or_not_at_all(reward_model: Path, infinity_server: str, place: Path) -> None:
    rows = real.rollouts(place / "rollouts.jsonl")[:12]
    with LocalScorer(reward_model, dtype="float32", template="plain") as local:
        expected = local.score(rows)
    with RemoteScorer(infinity_server, dialect="infinity", tokenizer=reward_model, template="plain") as remote:
        np.testing.assert_allclose(remote.score(rows), expected, atol=TOLERANCE)
    chat = RemoteScorer(infinity_server, dialect="infinity", tokenizer=reward_model)  # its template ends in a line break
    with chat, pytest.raises(InputError, match="second of a pair"):
        chat.check()


@pytest.fixture(scope="module")
def asked() -> list[Rollout]:
    """Answers that reach a judge: no rule settles them, and the reference is a text."""
    facts = [("Which planet is closest to the Sun?", "Mercury"), ("What is the capital of France?", "Paris")]
    return [
        Rollout(prompt_id=problem, problem=problem, reference=reference, response=f"The answer is \\boxed{{{answer}}}.")
        for problem, reference in facts
        for answer in (reference, reference.lower() + " indeed", "Venus", "the Moon")
    ]


@pytest.fixture(scope="module")
def judged_here(smollm2: Path, asked: list[Rollout]) -> list[tuple[str, str, str]]:
    return judged(LocalJudge(smollm2, dtype="float32"), asked)


def judged(backend: Any, rows: list[Rollout]) -> list[tuple[str, str, str]]:
    with JudgeVerifier(backend, format="compass") as judge:
        return [(one.label, one.reason, one.detail) for one in judge.verify(rows)]


def test_a_judge_over_vllm_replies_as_the_folder(judged_here: Any, policy_server: str, asked: list[Rollout]) -> None:
    assert judged(RemoteJudge(policy_server, timeout_s=200, total_timeout_s=400), asked) == judged_here
    assert any("reply:" in detail for _, _, detail in judged_here)  # words of the model are compared, not only labels


def test_a_judge_over_transformers_serve_replies_as_the_folder(
    judged_here: Any, smollm2: Path, asked: list[Rollout], place: Path
) -> None:
    command = [Path(sys.executable).with_name("transformers"), "serve", smollm2, "--dtype", "float32", "--device", "cpu"]
    with real.serving(command, place / "transformers.log", alive="/health") as url:
        backend = RemoteJudge(url, model=str(smollm2), timeout_s=200, total_timeout_s=400, concurrency=1)
        assert judged(backend, asked) == judged_here
