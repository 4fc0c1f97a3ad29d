"""Served reward models, judges, fallbacks and caches from the command line, against real servers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from helpers import forks, servers
from hero_rl.cli import main

KEY = "not-to-be-printed"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "100"}
YES = "Final Decision: Yes"
SCORES = ["--reward-model", "column:rm_score"]


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four prompts with a right answer, a wrong one, and two on which the maths verifier abstains."""
    monkeypatch.setenv("HERO_API_KEY", KEY)
    monkeypatch.setenv("COLUMNS", "100")
    rows = [
        {
            "prompt_id": str(i),
            "problem": f"{i}+{i}=?",
            "reference": str(2 * i),
            "response": response,
            "rm_score": 0.1 * i + place,
        }
        for i in range(4)
        for place, response in enumerate(
            [f"\\boxed{{{2 * i}}}", f"\\boxed{{{2 * i + 1}}}", f"\\boxed{{about {2 * i} minutes or so}}", "no idea"]
        )
    ]
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def rows_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def refused(capsys: pytest.CaptureFixture[str], folder: Path, *arguments: str | Path, code: int = 2) -> str:
    """The one line of an error, which left nothing behind."""
    before = sorted(folder.iterdir())
    assert main([*map(str, arguments)]) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error: ")
    assert shown.err.count("\n") == 1
    assert KEY not in shown.err
    assert sorted(folder.iterdir()) == before
    return shown.err


def test_a_served_reward_model_is_asked_once_and_then_read_from_the_cache(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with servers.running("vllm") as server:
        command = ["score", str(source), "-o", str(tmp_path / "out.jsonl"), "--reward-model", f"vllm:{server.url}"]
        command += ["--set", f"reward_model.cache={tmp_path / 'kept.sqlite'}"]
        assert main([*command, "--json"]) == 0
        first, scored = json.loads(capsys.readouterr().out), len(server.posted("/classify"))
        scores = [row["rm_score"] for row in rows_of(tmp_path / "out.jsonl")]
        assert main(command) == 0
        shown = capsys.readouterr()
        assert len(server.posted("/classify")) == scored
        assert {headers["authorization"] for headers in server.headers} == {f"Bearer {KEY}"}
    assert (first["cache"]["reward model"]["computed"], first["cache"]["reward model"]["stored"]) == (16, 0)
    assert "cache hits, reward model" in shown.out
    assert "16 of 16" in shown.out
    assert [row["rm_score"] for row in rows_of(tmp_path / "out.jsonl")] == scores
    assert len(set(scores)) == 16
    assert KEY not in shown.out + shown.err


def test_a_dead_replica_loses_no_score(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with servers.running("vllm") as server:
        model = f"vllm:tiny-rm@{servers.unused_url()},{server.url}"
        assert main(["score", str(source), "-o", str(tmp_path / "out.jsonl"), "--reward-model", model, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["missing_scores"] == 0


def test_reward_model_servers_at_fault_end_in_one_line(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["score", source, "-o", tmp_path / "out.jsonl", "--reward-model"]
    assert "unreachable" in refused(capsys, tmp_path, *command, f"vllm:{servers.unused_url()}", code=1)
    with servers.running("vllm") as server:
        assert "does not serve 'other' but 'tiny-rm'" in refused(capsys, tmp_path, *command, f"vllm:other@{server.url}")
        server.faults.reply = "squashed"
        assert "lies in [0, 1]" in refused(capsys, tmp_path, *command, f"vllm:{server.url}")
        server.faults.refuse_status, server.faults.message = 401, "bad key {authorization}"
        assert "wants a key" in refused(capsys, tmp_path, *command, f"vllm:{server.url}")


def test_a_judge_that_refuses_is_quoted_and_the_key_is_named(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with servers.running("chat", servers.Faults(refuse_status=401, message="this account is closed")) as server:
        judge = ["--verifier", f"compass:{server.url}"]
        verify = ["verify", source, "-o", tmp_path / "out.jsonl", *judge]
        for command in (verify, ["score", *verify[1:], *SCORES, "--set", "rule.learned_credit=0.5"]):
            said = refused(capsys, tmp_path, *command, code=1)
            assert "rows failed in" in said
            assert "The first error: " in said
            assert "HTTP 401: this account is closed; it wants a key" in said
            assert "HERO_API_KEY" in said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--reward-model", "tei:http://localhost:1"], "add reward_model.tokenizer = PATH"),
        (
            ["--reward-model", "vllm:http://localhost:1", "--set", "reward_model.template=plain"],
            "add reward_model.tokenizer = PATH",
        ),
        (
            ["--reward-model", "vllm:http://localhost:1", "--set", "reward_model.template=fancy"],
            "--set reward_model.template=fancy: reward_model.template = 'fancy': input should be 'chat', 'messages' or 'plain'",
        ),
        (["--reward-model", "vllm:localhost:1"], "is no URL; write vllm:[MODEL@]URL"),
        (
            ["--reward-model", "vllm:http://localhost:1", "--set", "reward_model.aggregate=min"],
            "unknown key 'reward_model.aggregate'",
        ),
        (
            [*SCORES, "--set", "verifier.fallback=compas:http://x"],
            "verifier.fallback=compas:http://x: compas:http://x: unknown",
        ),
        ([*SCORES, "--set", "verifier.fallback=none"], "both must be able to answer"),
        (
            [*SCORES, "--set", "verifier.fallback=exact", "--set", "verifier.ask=never"],
            "--set verifier.ask=never: verifier.ask = 'never': input should be 'abstain'",
        ),
        ([*SCORES, "--set", "verifier.ask=both"], "--set verifier.ask=both: ask without a fallback"),
        ([*SCORES, "--set", "verifier.policy=lax"], "--set verifier.policy=lax: "),
        ([*SCORES, "--set", "verifier.deadline_s=-1"], "--set verifier.deadline_s=-1: "),
        ([*SCORES, "--set", "verifier.workers=many"], "--set verifier.workers=many: "),
        ([*SCORES, "--set", "rule.alpha=much"], "--set rule.alpha=much: rule.alpha = 'much': input should be a valid number"),
        ([*SCORES, "--verifier", "any_of:math,maths"], "--verifier: maths: unknown; did you mean 'math'?"),
        ([*SCORES, "--verifier", "any_of:math"], "one voter is no vote"),
    ],
)
def test_a_wrong_option_is_named_before_anything_is_loaded(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    assert said in refused(capsys, tmp_path, "score", source, "-o", tmp_path / "out.jsonl", *options)


def test_verify_says_who_decided_and_what_the_cache_knew(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with servers.running("chat", reply=lambda messages: YES) as server:
        command = ["verify", str(source), "-o", str(tmp_path / "out.jsonl"), "--set", f"verifier.fallback=judge:{server.url}"]
        command += ["--set", f"verifier.cache={tmp_path / 'kept.sqlite'}"]
        assert main([*command, "--json"]) == 0
        first, asked = json.loads(capsys.readouterr().out), len(server.posted("/v1/chat/completions"))
        assert main(command) == 0
        table = capsys.readouterr().out
        assert len(server.posted("/v1/chat/completions")) == asked > 0
    decided = first["decided"]
    assert decided["symbolic_correct"] + decided["learned_correct"] == first["correct"]
    assert decided["learned_correct"] > 0
    computed = first["cache"]["fallback"]["computed"]
    assert computed >= asked  # answers that hold no value are settled without a request
    assert "cache hits, fallback" in table
    assert f"{computed} of {computed}" in table
    learned = [row for row in rows_of(tmp_path / "out.jsonl") if row["learned"]]
    assert len(learned) == decided["learned_correct"]


def test_a_learned_yes_earns_its_credit(source: Path, tmp_path: Path) -> None:
    with servers.running("chat", reply=lambda messages: YES) as server:
        for rule, limit in (("hero", 0.9), ("verifier_only", 0.5), ("naive_sum", None)):
            out = tmp_path / f"{rule}.jsonl"
            command = ["score", str(source), "-o", str(out), "--rule", rule, "--set", f"verifier.fallback=judge:{server.url}"]
            command += ["--reward-model", "column:rm_score", "--set", "rule.learned_credit=0.5"]
            assert main(command) == 0, rule
            learned = [row["reward"] for row in rows_of(out) if row["learned"]]
            assert learned
            if limit is not None:
                assert max(learned) <= limit


def test_replicas_of_a_judge_may_stand_in_a_vote(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with servers.running("chat", reply=lambda messages: "A") as server:
        verifier = f"majority:math,compass:tiny-rm@{servers.unused_url()},{server.url},exact"
        command = ["verify", str(source), "-o", str(tmp_path / "out.jsonl"), "--verifier", verifier, "--json"]
        assert main(command) == 0
    assert json.loads(capsys.readouterr().out)["verifier"].count(",") == 2


def test_a_table_shows_names_as_they_are(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with servers.running("chat", reply=lambda messages: "A") as server:
        command = ["verify", str(source), "-o", str(tmp_path / "o.jsonl"), "--set", f"verifier.fallback=compass:{server.url}"]
        assert main(command) == 0
    assert "math+judge:compass:" in capsys.readouterr().out


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("part", ["reward model", "judge"])
def test_a_signal_ends_a_run_whose_server_hangs(source: Path, tmp_path: Path, part: str, number: int, code: int) -> None:
    protocol, command, option = (
        ("vllm", "score", "--reward-model=vllm:")
        if part == "reward model"
        else ("chat", "verify", "--set=verifier.fallback=judge:")
    )
    with servers.running(protocol, servers.Faults(slow_s=60.0)) as server:
        child = forks.hero(
            command, source, "-o", tmp_path / "out.jsonl", option + server.url, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=ENVIRONMENT,
        )  # fmt: skip
        end = time.monotonic() + 60
        while not server.in_flight:
            assert child.poll() is None
            assert time.monotonic() < end
            time.sleep(0.02)
        child.send_signal(number)
        start = time.monotonic()
        try:
            out, err = child.communicate(timeout=50)
        finally:
            child.kill()
    assert (child.returncode, out) == (code, "")
    assert time.monotonic() - start < 50
    assert "Traceback" not in err
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]
