"""The commands on pretrained models: reward model, verifier, score, audit, training, kill -9 and resume, an adapter."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers import real
from helpers.commands import run_json
from hero_rl.scorers import LocalScorer

SETTINGS = {
    "trl.max_steps": 3, "trl.save_steps": 2, "trl.num_generations": 4, "trl.max_completion_length": 16,
    "trl.learning_rate": "1e-5", "trl.scale_rewards": "none", "trl.logging_steps": 1, "batch.prompts_per_generation": 2,
    "batch.prompts_per_step": 2, "batch.responses_per_device": 8, "verifier.name": "math", "rule.name": "hero", "seed": 3,
}  # fmt: skip
RECIPE = """
[policy]
model = {model}

[data]
path = {data}
max_prompt_length = 128

[reward_model]
name = {reward_model}

[rule]
name = "hero"

[batch]
"""


def test_a_reward_model_scores_rollouts_and_the_audit_reads_them(reward_model: Path, place: Path, capsys: Any) -> None:
    out = place / "scored.jsonl"
    part = ["--verifier", "math", "--reward-model", f"local:{reward_model}"]
    facts = run_json(capsys, "score", place / "rollouts.jsonl", "-o", out, *part)
    assert facts["missing_scores"] == 0
    rows = real.rollouts(out)
    with LocalScorer(reward_model, dtype="float32") as scorer:
        np.testing.assert_allclose([row.extra["rm_score"] for row in rows], scorer.score(rows), atol=1e-4)
    assert [row.extra["verdict"] for row in rows] == [1, 1, 0, 0] * (len(rows) // 4)  # math reads every boxed sum
    numbers = run_json(capsys, "audit", out, "-o", place / "audit")
    assert (place / "audit" / "report.html").is_file()
    assert numbers["rows"] == len(rows)


def test_a_learned_verifier_of_minilm_is_trained_and_asked(minilm: Path, place: Path, capsys: Any) -> None:
    folder = place / "verifier"
    base = ["--model", minilm, "--learning-rate", "1e-4", "--batch-size", "16"]
    facts = run_json(capsys, "verifier", "train", place / "rollouts.jsonl", "-o", folder, *base)
    assert facts
    verdicts = place / "verdicts.jsonl"
    counts = run_json(capsys, "verify", place / "rollouts.jsonl", "-o", verdicts, "--verifier", f"learned:{folder}")
    assert counts["failures"] == 0
    assert counts["rows"] == 64


def command(recipe: Path, folder: Path, **changes: object) -> list[str]:
    settings = [word for key, value in {**SETTINGS, **changes}.items() for word in ("--set", f"{key}={value}")]
    return [sys.executable, "-m", "hero_rl.cli", "train", str(recipe), "--output", str(folder), *settings]


def steps(folder: Path) -> list[dict[str, Any]]:
    """The logged numbers of every step, without times."""
    rows = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    timed = ("time", "_s", "runtime", "per_second", "memory")
    return [
        {key: value for key, value in row.items() if not any(word in key for word in timed)} for row in rows if "reward" in row
    ]


@pytest.fixture(scope="module")
def recipe(smollm2: Path, reward_model: Path, place: Path) -> Path:
    path = place / "recipe.toml"
    values = {"model": smollm2, "data": place / "problems.jsonl", "reward_model": f"local:{reward_model}"}
    path.write_text(RECIPE.format(**{key: json.dumps(str(value)) for key, value in values.items()}), encoding="utf-8")
    return path


def test_training_killed_and_resumed_prints_what_it_would_have(recipe: Path, place: Path) -> None:
    whole, killed = place / "whole", place / "killed"
    subprocess.run(command(recipe, whole), check=True, timeout=900)
    process = subprocess.Popen(command(recipe, killed), start_new_session=True)
    deadline = time.monotonic() + 900
    while not (killed / "checkpoint-2" / "trainer_state.json").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    subprocess.run([*command(recipe, killed), "--resume"], check=True, timeout=900)
    assert [row["step"] for row in steps(whole)] == [1, 2, 3]
    assert steps(killed) == steps(whole)
    assert all(row["grad_norm"] > 0 for row in steps(whole))  # the policy changes: there is something to compare


def test_an_adapter_is_trained_and_evaluated_as_a_policy(recipe: Path, place: Path, capsys: Any) -> None:
    folder = place / "adapter"
    subprocess.run(command(recipe, folder, **{"trl.max_steps": 1, "policy.lora.r": 4}), check=True, timeout=900)
    assert (folder / "final" / "adapter_model.safetensors").is_file()
    asked = ["--data", place / "problems.jsonl", "-o", place / "eval-adapter", "--limit", 2, "--samples", 1]
    facts = run_json(capsys, "eval", folder, *asked, "--temperature", 0, "--max-tokens", 8)
    assert facts["benchmarks"]["problems"]["counts"]["responses"] == 2
