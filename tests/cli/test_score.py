"""`hero score` and `hero verify` through the real command: results, bounded memory, interruption, terminals."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from helpers import forks
from helpers.commands import hero
from hero_rl.cli import main
from hero_rl.rewards import RULES

HERO = [sys.executable, "-m", "hero_rl.cli"]
COLUMNS = ["--verifier", "column:correct", "--reward-model", "column:rm_score"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "COLUMNS": "100"}


def rollouts(path: Path, prompts: int, *, shuffled: bool = False, filler: str = "") -> Path:
    generator = random.Random(0)
    rows = [
        {
            "prompt_id": f"p{prompt}",
            "problem": f"What is {prompt} + 1?",
            "reference": str(prompt + 1),
            "response": f"{filler}The answer is \\boxed{{{prompt + 1 + (sample + prompt) % 3 % 2}}}.",
            "rm_score": generator.gauss(0.0, 1.0),
            "correct": int((sample + prompt) % 3 % 2 == 0),
        }
        for prompt in range(prompts)
        for sample in range(4)
    ]
    if shuffled:
        generator.shuffle(rows)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_json_is_the_only_thing_on_stdout_and_agrees_with_the_file(tmp_path: Path) -> None:
    source = rollouts(tmp_path / "in.jsonl", 6)
    command = ["-m", "hero_rl.cli", "score", source, "-o", tmp_path / "out.jsonl", *COLUMNS, "--json"]
    done = forks.run(command, env=ENVIRONMENT)
    assert (done.returncode, done.stderr) == (0, "")
    result = json.loads(done.stdout)
    out = read(tmp_path / "out.jsonl")
    assert (result["rows"], result["groups"], result["correct"]) == (24, 6, sum(row["verdict"] for row in out))
    right = [row["reward"] for row in out if row["verdict"] == 1]
    assert result["mean_reward"]["correct"] == pytest.approx(sum(right) / len(right))
    assert result["share_mixed"] + result["share_all_correct"] + result["share_all_wrong"] == pytest.approx(1.0)
    assert result["reward"]["rule"]["alpha"] == 0.05
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl"]


def test_python_m_hero_rl_scores_with_as_many_workers_as_asked_for(tmp_path: Path) -> None:
    source = rollouts(tmp_path / "in.jsonl", 6)
    options = ["--verifier", "math", "--workers", "1", *COLUMNS[2:], "--json"]
    done = forks.run(["-m", "hero_rl", "score", source, "-o", tmp_path / "out.jsonl", *options], env=ENVIRONMENT)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["reward"]["verifier"]["workers"] == 1


def test_a_score_that_is_the_verdict_is_warned_of(tmp_path: Path) -> None:
    source = rollouts(tmp_path / "in.jsonl", 6)
    done = hero("score", source, "-o", tmp_path / "out.jsonl", *COLUMNS[:2], "--reward-model", "column:correct")
    assert "verdict and score are the same column" in done.stderr


CONSTANT = {
    "the scores are the same for all responses of each group": {"rm_score": 1.0},
    "no response has an advantage: in every group all rewards are the same": {"rm_score": 1.0, "correct": 1},
    "every group has one response": {"prompt_id": None},
    "24 of 24 rows have an empty reference": {"reference": ""},
}


@pytest.mark.parametrize("warning", list(CONSTANT))
def test_a_signal_or_reward_that_is_the_same_for_all_rows_is_warned_of(tmp_path: Path, warning: str) -> None:
    rows = read(rollouts(tmp_path / "in.jsonl", 6))
    changed = [
        row | CONSTANT[warning] | ({"prompt_id": n} if "prompt_id" in CONSTANT[warning] else {}) for n, row in enumerate(rows)
    ]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in changed))
    verifier = ["--verifier", "math", *COLUMNS[2:]] if "reference" in CONSTANT[warning] else COLUMNS
    done = hero("score", tmp_path / "in.jsonl", "-o", tmp_path / "out.jsonl", *verifier, "--json")
    assert f"warning: {warning}" in done.stderr
    assert any(one.startswith(warning) for one in json.loads(done.stdout)["warnings"])


def test_the_table_for_people_names_the_numbers(tmp_path: Path) -> None:
    done = hero("score", rollouts(tmp_path / "in.jsonl", 6), "-o", tmp_path / "out.jsonl", *COLUMNS)
    assert done.returncode == 0
    for name in ("24 / 6", "groups mixed", "sigma-bar", "mean reward, correct", "groups without gradient, verifier alone"):
        assert name in done.stdout


def test_the_maths_verifier_needs_no_label(tmp_path: Path) -> None:
    pytest.importorskip("math_verify", reason="needs the extra 'math'")
    source = rollouts(tmp_path / "in.jsonl", 3)
    labels = [row["correct"] for row in read(source)]
    source.write_text("".join(json.dumps({k: v for k, v in row.items() if k != "correct"}) + "\n" for row in read(source)))
    done = hero("score", source, "-o", tmp_path / "out.jsonl", "--verifier", "math", "--reward-model", "column:rm_score")
    assert done.returncode == 0, done.stderr
    assert [row["verdict"] for row in read(tmp_path / "out.jsonl")] == labels
    done = hero("verify", source, "-o", tmp_path / "v.jsonl", "--verifier", "math", "--policy", "binary", "--json")
    assert json.loads(done.stdout)["correct"] == sum(labels)


@pytest.mark.parametrize("rule", list(RULES))
def test_every_rule_scores_a_file(tmp_path: Path, rule: str) -> None:
    source = rollouts(tmp_path / "in.jsonl", 4)
    assert main(["score", str(source), "-o", str(tmp_path / "out.jsonl"), "--rule", rule, *COLUMNS]) == 0
    assert all(isinstance(row["advantage"], float) for row in read(tmp_path / "out.jsonl"))


def test_the_file_flags_and_assignments_reach_the_rule_the_last_the_strongest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = str(rollouts(tmp_path / "in.jsonl", 4))
    (tmp_path / "reward.toml").write_text(
        '[rule]\nname = "hero"\nw_min = 0.5\nw_max = 2\nk = 5\nalpha = 0.2\nscale = "group"\n'
    )
    options = [
        "--reward",
        str(tmp_path / "reward.toml"),
        "--alpha",
        "0.1",
        "--set",
        "rule.k=2",
        "--set",
        "rule.weighting=false",
    ]
    assert main(["score", source, "-o", str(tmp_path / "out.jsonl"), *COLUMNS, *options, "--json"]) == 0
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    expected = {"w_min": 0.5, "w_max": 2.0, "k": 2.0, "alpha": 0.1, "beta": 0.05, "weighting": False}
    assert {name: result["reward"]["rule"][name] for name in expected} == expected
    assert result["scale"] == "group"
    assert "the reward model then speaks as loudly as the verifier" in captured.err
    assert len(result["warnings"]) == 1


def test_rule_only_runs_without_the_other_signal(tmp_path: Path) -> None:
    source = rollouts(tmp_path / "in.jsonl", 4)
    out = tmp_path / "out.jsonl"
    assert main(["score", str(source), "-o", str(out), "--rule", "verifier_only", "--verifier", "column:correct"]) == 0
    assert [row["rm_score"] for row in read(out)] == [row["rm_score"] for row in read(source)]
    rm_only = ["--rule", "rm_only", "--verifier", "none", "--reward-model", "column:rm_score"]
    assert main(["score", str(source), "-o", str(out), *rm_only]) == 0
    assert {(row["verdict"], row["reason"]) for row in read(out)} == {(None, "no_verifier")}


def test_gzip_and_parquet_give_the_same_numbers(tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet", reason="needs the extra 'train'")
    source = rollouts(tmp_path / "in.jsonl", 5)
    for name in ("out.jsonl", "out.parquet"):
        assert main(["score", str(source), "-o", str(tmp_path / name), *COLUMNS]) == 0
    again = ["score", str(tmp_path / "out.parquet"), "-o", str(tmp_path / "again.parquet"), *COLUMNS]
    assert main(again) == 0
    expected = [row["advantage"] for row in read(tmp_path / "out.jsonl")]
    for name in ("out.parquet", "again.parquet"):
        assert pq.read_table(tmp_path / name).column("advantage").to_pylist() == expected


def peak_mb(source: Path, target: Path) -> float:
    """Peak memory of one `hero score`, measured by the child itself."""
    code = (
        "import resource, sys; from hero_rl.cli import main; code = main(sys.argv[1:]); "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "score", str(source), "-o", str(target), *COLUMNS],
        capture_output=True, text=True, env=ENVIRONMENT, timeout=120, check=True,
    )  # fmt: skip
    return int(done.stdout.splitlines()[-1]) / (1024.0 if sys.platform == "linux" else 1024.0**2)


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    small = rollouts(tmp_path / "small.jsonl", 1_000, filler="word " * 400)
    large = rollouts(tmp_path / "large.jsonl", 6_000, filler="word " * 400)
    growth = peak_mb(large, tmp_path / "out.jsonl") - peak_mb(small, tmp_path / "out.jsonl")
    assert large.stat().st_size - small.stat().st_size > 40e6
    assert growth < 12.0


def test_shuffled_rows_keep_their_order(tmp_path: Path) -> None:
    source = rollouts(tmp_path / "in.jsonl", 20, shuffled=True)
    done = hero("score", source, "-o", tmp_path / "out.jsonl", *COLUMNS, "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["groups"] == 20
    assert [row["response"] for row in read(tmp_path / "out.jsonl")] == [row["response"] for row in read(source)]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_an_interrupted_run_leaves_nothing_and_keeps_the_old_output(tmp_path: Path, number: int, code: int) -> None:
    source = rollouts(tmp_path / "in.jsonl", 20_000, filler="word " * 200)
    target = tmp_path / "out.jsonl"
    target.write_text("old\n")
    process = forks.hero("score", source, "-o", target, *COLUMNS, env=ENVIRONMENT, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("out.jsonl.*.partial")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Traceback" not in errors
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl"]
    assert target.read_text() == "old\n"


def test_an_interrupt_does_not_wait_for_hanging_answers(tmp_path: Path) -> None:
    (tmp_path / "my_module.py").write_text("def hang(rollout):\n    while True:\n        pass\n")
    row = {"prompt_id": "p", "problem": "?", "reference": "1", "response": "1", "rm_score": 0.0}
    (tmp_path / "in.jsonl").write_text((json.dumps(row) + "\n") * 8)
    arguments = ["score", "in.jsonl", "-o", "out.jsonl", "--reward-model", "column:rm_score"]
    arguments += ["--verifier", "my_module:hang", "--set", "verifier.deadline_s=100"]
    process = forks.hero(*arguments, cwd=tmp_path, env=ENVIRONMENT, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("out.jsonl.*.partial")) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=50)
    assert (process.returncode, errors) == (130, "error: interrupted\n")
    assert {path.name for path in tmp_path.iterdir()} - {"__pycache__"} == {"in.jsonl", "my_module.py"}


def test_the_verifier_breaking_too_often_is_exit_code_1(tmp_path: Path) -> None:
    source = rollouts(tmp_path / "in.jsonl", 4)
    source.write_text(source.read_text().replace('"rm_score": ', '"rm_score": null, "was": '))
    done = hero("score", source, "-o", tmp_path / "out.jsonl", *COLUMNS)
    assert done.returncode == 1
    assert "16 of the first 16 rows failed in column:correct and column:rm_score; at most 10%" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]
    assert hero("score", source, "-o", tmp_path / "out.jsonl", *COLUMNS, "--max-failure-rate", "1").returncode == 0


def test_the_examples_in_the_help_texts_run(tmp_path: Path) -> None:
    rollouts(tmp_path / "rollouts.jsonl", 3)
    for command in ("score", "verify", "doctor"):
        text = hero(command, "--help").stdout
        lines = re.split(r"Examples?:\n", text)[1].split("\n\n")[0].replace("\\\n", " ").splitlines()
        example = lines[0].split()
        assert example[0] == "hero"
        done = hero(*example[1:], folder=tmp_path)
        assert done.returncode == 0, done.stderr


def test_stdout_may_be_closed_early(tmp_path: Path) -> None:
    source = rollouts(tmp_path / "in.jsonl", 3)
    line = " ".join([*HERO, "score", str(source), "-o", str(tmp_path / "out.jsonl"), *COLUMNS, "| true"])
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, env=ENVIRONMENT, check=False, timeout=60)
    assert done.stderr == ""
    assert len(read(tmp_path / "out.jsonl")) == 12
