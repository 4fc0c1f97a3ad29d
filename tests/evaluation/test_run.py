"""Whole evaluations through inspect_ai, against a chat server: grading, files, failures, resuming."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("inspect_ai")
pytest.importorskip("httpx2")

from helpers import servers
from hero_rl.data.rollouts import read_rollouts
from hero_rl.errors import InputError, SignalError
from hero_rl.evaluation import policies
from hero_rl.evaluation.benchmarks import load_problems
from hero_rl.evaluation.evaluate import Collected, evaluate
from hero_rl.evaluation.plan import Plan, Planned, Sampling
from hero_rl.evaluation.results import read_results
from hero_rl.evaluation.tasks import response_seed
from hero_rl.types import Verifier
from hero_rl.verifiers import ExactVerifier
from hero_rl.verifiers.judge import JudgeVerifier

Reply = Callable[[list[dict[str, Any]]], str]


def number(messages: list[dict[str, Any]]) -> int:
    found = re.search(r"(\d+)\+1", messages[-1]["content"])
    assert found
    return int(found.group(1))


def right_below(limit: int) -> Reply:
    """Right on the problems below ``limit``, wrong on the others; long, as real responses are."""
    return lambda messages: "Let us think. " * 30 + f"\\boxed{{{number(messages) + 1 + (number(messages) >= limit)}}}"


@pytest.fixture
def problems(tmp_path: Path) -> Path:
    rows = [{"id": f"q{i}", "problem": f"What is {i}+1?", "reference": str(i + 1)} for i in range(5)]
    return write(tmp_path / "sums.jsonl", rows)


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def run(
    server: servers.Server, file: Path, folder: Path, *, samples: int = 2, verifier: Verifier | None = None,
    seed: int = 0, resume: bool = False, max_failure_rate: float = 0.0, retries: int = 0, concurrency: int = 4,
) -> Collected:  # fmt: skip
    policy = policies.find_policy(server.url)
    served = policies.find_served_model(policy)
    prompt = policies.choose_prompt(policy, format=None, system=None, template=None, has_template=True)
    planned = Planned(problems=load_problems("sums", file), samples=samples, grader="x", verifier=verifier or ExactVerifier())
    plan = Plan(
        model="policy", fingerprint=served, prompt=prompt, sampling=Sampling(max_tokens=50, seed=seed), benchmarks=[planned],
        concurrency=concurrency, retries=retries,
    )  # fmt: skip
    model = policies.inspect_model(policy, prompt, None, served)
    return evaluate(
        folder, plan, model, resume=resume, max_failure_rate=max_failure_rate, progress=lambda *_: None, command="test"
    )


def test_an_evaluation_from_server_to_files(problems: Path, tmp_path: Path) -> None:
    folder, level = tmp_path / "out", logging.getLogger().level
    with servers.running("chat", reply=right_below(3)) as server:
        found = run(server, problems, folder)
        asked = server.posted("/v1/chat/completions")
    assert logging.getLogger().level == level  # the caller's warnings are not silenced by an evaluation
    # sampled as asked: the paper's settings, and every response under a seed of its own
    assert {(one["temperature"], one["top_p"], one["max_tokens"]) for one in asked} == {(0.6, 0.95, 50)}
    expected = {response_seed(0, f"q{i}", epoch) for i in range(5) for epoch in (1, 2)}
    assert {one["seed"] for one in asked} == expected
    assert len(expected) == 10
    # three problems of five are right
    result = found.results.benchmarks["sums"]
    assert result.metrics["pass@1"].value == pytest.approx(0.6)
    assert (result.counts.responses, result.counts.failed, result.counts.cut_off) == (10, 0, 0)
    # every response is kept, whole, in the format of rollouts
    rows = [row.rollout for row in read_rollouts(folder / "rollouts.jsonl")]
    assert len(rows) == 10
    assert all(rollout.response.startswith("Let us think. " * 30) and rollout.finished for rollout in rows)
    assert [rollout.extra["verdict"] for rollout in rows] == [1] * 6 + [0] * 4
    assert rows[0].prompt_id == "sums/q0"
    # what is read back is what was found, and the page and inspect_ai's own number agree with it
    assert read_results(folder).benchmarks == found.results.benchmarks
    assert "60.0% correct" in (folder / "report.html").read_text()
    assert "view.html#group=" in (folder / "report.html").read_text()
    from inspect_ai.log import list_eval_logs, read_eval_log

    log = read_eval_log(list_eval_logs(str(folder / "logs"))[0])
    assert log.results is not None
    assert log.results.scores[0].metrics["accuracy"].value == pytest.approx(0.6)
    assert log.samples is not None
    assert log.samples[0].scores["verdict"].metadata["reason"] == "equal"  # type: ignore[index]


def test_only_what_failed_is_sampled_again(problems: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    with servers.running("chat", reply=right_below(5)) as server:
        server.faults.poison, server.faults.poison_status = "What is 2+1?", 422
        with pytest.raises(SignalError, match=r"sums: 2 of 10 responses failed \(.*--resume"):
            run(server, problems, folder)
        assert len(list(read_rollouts(folder / "rollouts.jsonl"))) == 8  # what was had is kept
        assert not (folder / "results.json").exists()
        with pytest.raises(InputError, match="not finished; go on with"):
            read_results(folder)
        server.faults.poison = ""
        before = len(server.posted("/v1/chat/completions"))
        found = run(server, problems, folder, resume=True, concurrency=40)
        again = server.posted("/v1/chat/completions")[before:]
    assert {number(one["messages"]) for one in again} == {2}
    assert len(again) == 2
    assert found.results.benchmarks["sums"].metrics["pass@1"].value == 1.0


def test_some_failures_can_be_accepted_and_are_counted(problems: Path, tmp_path: Path) -> None:
    with servers.running("chat", reply=right_below(3)) as server:
        server.faults.poison, server.faults.poison_status = "What is 2+1?", 422
        found = run(server, problems, tmp_path / "out", max_failure_rate=0.25)
    result = found.results.benchmarks["sums"]
    assert result.counts.failed == 2
    assert result.metrics["pass@1"].value == pytest.approx(0.5)  # two of the four problems that have responses
    assert "responses failed and are left out" in (tmp_path / "out" / "report.html").read_text()


def test_all_failed_is_one_line(problems: Path, tmp_path: Path) -> None:
    with servers.running("chat") as server:
        server.faults.refuse_status = 403
        with pytest.raises(SignalError, match="all 10 responses failed: ") as found:
            run(server, problems, tmp_path / "out")
    assert "\n" not in str(found.value)


def test_an_evaluation_goes_on_only_with_what_it_was_started_with(problems: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    with servers.running("chat", reply=right_below(5)) as server:
        run(server, problems, folder)
        before = len(server.posted("/v1/chat/completions"))
        with pytest.raises(InputError, match=r"not empty, and .*; go on with --resume"):
            run(server, problems, folder)
        with pytest.raises(InputError, match=r"differs .* in sampling\.seed, benchmarks\.sums\.samples; take these back"):
            run(server, problems, folder, samples=3, seed=1, resume=True)
        with pytest.raises(InputError, match="no evaluation to resume"):
            run(server, problems, tmp_path / "absent", resume=True)
        # complete: nothing is sampled again, and the results are the same
        assert run(server, problems, folder, resume=True).results.benchmarks["sums"].counts.responses == 10
        assert len(server.posted("/v1/chat/completions")) == before


def test_any_of_several_references_will_do(tmp_path: Path) -> None:
    file = write(tmp_path / "p.jsonl", [{"id": "a", "problem": "What is 1+1?", "answers": ["two", "2"]}])
    with servers.running("chat", reply=right_below(5)) as server:
        found = run(server, file, tmp_path / "out")
    assert found.results.benchmarks["sums"].metrics["pass@1"].value == 1.0
    row = next(read_rollouts(tmp_path / "out" / "rollouts.jsonl")).rollout
    assert (row.reference, row.extra["answers"]) == ("2", ["two", "2"])


def test_a_judge_grades_and_its_silence_is_no_verdict(problems: Path, tmp_path: Path) -> None:
    def judged(messages: list[dict[str, Any]]) -> str:
        text = messages[-1]["content"]
        return "Final Decision: Yes" if "0+1" in text else "I cannot say." if "1+1" in text else "Final Decision: No"

    with servers.running("chat", reply=right_below(5)) as server, servers.running("chat", reply=judged) as judge:
        found = run(server, problems, tmp_path / "out", samples=1, verifier=JudgeVerifier(judge.url, format="generic"))
    result = found.results.benchmarks["sums"]
    assert [problem.verdicts[0] for problem in result.problems] == [1, None, 0, 0, 0]
    assert (result.counts.abstained, result.counts.grader_failed) == (1, 0)
    assert result.metrics["pass@1"].value == pytest.approx(0.2)
    rows = [row.rollout for row in read_rollouts(tmp_path / "out" / "rollouts.jsonl")]
    assert [(row.extra["reason"], row.extra["learned"]) for row in rows[:2]] == [
        ("judge_yes", True),
        ("unparseable_reply", False),
    ]


def test_a_judge_that_is_down_is_no_result(problems: Path, tmp_path: Path) -> None:
    with servers.running("chat", reply=right_below(5)) as server, servers.running("chat") as judge:
        judge.faults.refuse_status = 403
        with pytest.raises(SignalError, match=r"the grader x broke on 5 of 5 responses; the responses are in rollouts\.jsonl"):
            run(server, problems, tmp_path / "out", samples=1, verifier=JudgeVerifier(judge.url, format="generic"))
    assert len(list(read_rollouts(tmp_path / "out" / "rollouts.jsonl"))) == 5


def test_an_overloaded_server_is_asked_again(problems: Path, tmp_path: Path) -> None:
    with servers.running("chat", reply=right_below(5)) as server:
        server.faults.rate_limit_times = 1
        found = run(server, problems, tmp_path / "out", samples=1, retries=2)
    assert found.results.benchmarks["sums"].counts.responses == 5


def test_a_server_that_is_down_is_found_out_before_anything_is_sampled() -> None:
    url = servers.unused_url()
    with pytest.raises(SignalError, match=f"the server at {url} does not answer"):
        policies.find_served_model(policies.find_policy(url))
    with servers.running("chat", servers.Faults(refuse_status=401)) as server:
        for policy in (server.url, f"m@{server.url}"):
            with pytest.raises(SignalError, match="gives no list of its models: .*401.*HERO_API_KEY"):
                policies.find_served_model(policies.find_policy(policy))
    with servers.running("chat", model="this") as server, pytest.raises(InputError, match="has no model 'that'; it has this"):
        policies.find_served_model(policies.find_policy(f"that@{server.url}"))


def test_a_server_that_dies_does_not_cost_every_response_its_tries(tmp_path: Path) -> None:
    file = write(
        tmp_path / "p.jsonl", [{"id": f"q{i}", "problem": f"What is {i}+1?", "reference": str(i + 1)} for i in range(60)]
    )
    with servers.running("chat", reply=right_below(60)) as server:
        server.faults.poison, server.faults.poison_status = "+1?", 403  # every request
        with pytest.raises(SignalError, match="all 60 responses failed: (?!not tried)"):
            run(server, file, tmp_path / "out", samples=1)
        assert 16 <= len(server.posted("/v1/chat/completions")) <= 16 + 4


def test_thinking_is_kept_and_not_graded(problems: Path, tmp_path: Path) -> None:
    reply = lambda messages: f"<think>perhaps \\boxed{{7}}</think>\\boxed{{{number(messages) + 1}}}"  # noqa: E731
    with servers.running("chat", reply=reply) as server:
        found = run(server, problems, tmp_path / "out", samples=1)
    assert found.results.benchmarks["sums"].metrics["pass@1"].value == 1.0
    rows = [row.rollout for row in read_rollouts(tmp_path / "out" / "rollouts.jsonl")]
    assert rows[0].response == "<think>perhaps \\boxed{7}</think>\\boxed{1}"
