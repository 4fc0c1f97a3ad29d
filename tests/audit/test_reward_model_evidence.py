"""benchmarks/reward_models.py reads both forms of files, and its figures are those of its own data."""

from __future__ import annotations

import json

import numpy as np
import pytest

from helpers.places import load_benchmark

reward_models = load_benchmark("reward_models")


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_a_row_per_response_and_a_row_per_prompt_are_the_same_rollouts(tmp_path) -> None:
    rows = [
        {"prompt_id": "a", "sample": 0, "correct": 1, "one": 2.0, "steps": [0.9, 0.4], "response": "x"},
        {"prompt_id": "a", "sample": 1, "correct": 0, "one": 1.0, "steps": [0.3, 0.8], "response": "y"},
        {"prompt_id": "b", "sample": 0, "correct": 0, "one": -1.0, "steps": [0.2], "response": "z"},
    ]
    prompts = [
        {"prompt_id": "a", "correct": [1, 0], "scores": {"one": [2.0, 1.0], "steps": [[0.9, 0.4], [0.3, 0.8]]}},
        {"prompt_id": "b", "correct": [0], "scores": {"one": [-1.0], "steps": [[0.2]]}},
    ]
    flat, nested = (
        list(reward_models.read(write(tmp_path / name, of))) for name, of in (("f.jsonl", rows), ("n.jsonl", prompts))
    )
    assert [one.model for one in flat] == [one.model for one in nested] == ["one", "steps"]
    for one, other in zip(flat, nested, strict=True):
        assert one.groups.tolist() == other.groups.tolist() == [0, 0, 1]
        assert one.scores.tolist() == other.scores.tolist()
    assert flat[1].scores.tolist() == [0.4, 0.3, 0.2]  # the smallest step
    assert flat[1].lengths.tolist() == [2, 2, 1]
    future = list(reward_models.read(tmp_path / "f.jsonl", "future"))[1].scores
    assert future == pytest.approx([(1.3 + 0.4) / 2, (1.1 + 0.8) / 2, 0.2])


def test_a_file_without_labels_is_refused(tmp_path) -> None:
    with pytest.raises(SystemExit, match="trusted labels"):
        list(reward_models.read(write(tmp_path / "r.jsonl", [{"prompt_id": "a", "one": 1.0}])))


def test_a_perfect_reward_model_gains_and_a_useless_one_does_not() -> None:
    rng = np.random.default_rng(0)
    right = (rng.random(800) < 0.3).astype(float)
    groups = np.repeat(np.arange(100), 8)
    found = [
        reward_models.measure(reward_models.Scored("here", name, groups, right, scores, np.ones(800)), [0.4], size=8, draws=2)
        for name, scores in (("perfect", right + 0.01 * rng.random(800)), ("noise", rng.normal(size=800)))
    ]
    assert [one["auroc"] for one in found] == [1.0, pytest.approx(0.5, abs=0.05)]
    more = reward_models.over_models(found, [0.4])["hero_adaptive, recall known"]["0.4"]
    assert more["smallest_of"] == "noise"
    assert more["smallest"] > -0.02
    assert more["more_alignment"] > 0.1
    # of c = .4 accepted and m = .3 correct: the square is c (1 - m) / (1 - c m)
    assert found[0]["rules"]["verifier_only"]["0.4"]["alignment"] == pytest.approx((0.4 * 0.7 / 0.88) ** 0.5, abs=0.04)
