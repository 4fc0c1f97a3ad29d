"""`hero data` as people meet it: what is printed, exit codes, bad input with file and line, nothing half-written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from helpers import forks
from hero_rl.cli import main

PROBLEM = {"problem": "What is two and two?", "reference": "4"}
ROLLOUT = {"prompt_id": "p", **PROBLEM, "response": "We add the two numbers: \\boxed{4}.", "correct": 1}
COLUMN = ["--verifier", "column:correct"]


def dumps(row: dict[str, Any], *without: str, **changes: object) -> str:
    return json.dumps({name: value for name, value in {**row, **changes}.items() if name not in without}) + "\n"


def problem(*without: str, **changes: object) -> str:
    return dumps(PROBLEM, *without, **changes)


def rollout(*without: str, **changes: object) -> str:
    return dumps(ROLLOUT, *without, **changes)


PROBLEM_FILES = {
    "broken JSON": (problem() + '{"problem": \n', "in.jsonl:2: not JSON"),
    "no problem column": (
        problem("problem"),
        "in.jsonl:1: no column for a problem: looked for problem, question (this row has:",
    ),
    "no reference column": (
        problem("reference"),
        "in.jsonl:1: no column for a reference: looked for reference, answer, answers",
    ),
    "column goes missing": (problem() + problem("reference"), "in.jsonl:2: missing column 'reference' (this row has: problem)"),
    "problem of another type": (problem() + problem(problem=3), "in.jsonl:2: the problem must be a text, got 3"),
    "reference of another type": (problem(reference={"a": 1}), "in.jsonl:1: the reference must be a text, a number or a list"),
    "mixed list": (
        problem(reference=["4", ["5"]]),
        "in.jsonl:1: the reference must be a text, a number or a list of them, got",
    ),
    "not an object": ("[1]\n", "in.jsonl:1: expected a JSON object, got a list"),
    "NaN": (problem(reference=float("nan")), "in.jsonl:1: NaN is not JSON"),
    "empty file": ("", "in.jsonl: has no rows; expected one JSON object per line"),
    "nothing usable": (problem(reference=None) + problem(problem="  "), "no problem is left (rows: 2, without a reference: 1"),
}
PREPARE_OPTIONS = {
    "limit": (["--limit", "0"], "--limit 0: must be at least 1"),
    "near": (["--near", "1.5"], "--near 1.5: must lie in [0, 1]"),
    "overlap": (["--overlap", "0"], "--overlap 0: must lie in (0, 1]"),
    "ngram": (["--ngram", "1"], "--ngram 1: must be at least 2"),
    "several": (["--several", "both"], "--several both: unknown; choose one of alternatives, together"),
    "like": (["--like", "mathe"], "--like mathe: unknown; choose one of openmathreasoning, bigmath, deepscaler, math, gsm8k"),
    "columns": (["--columns", "problem"], "--columns problem: expected NAME=VALUE"),
    "unknown column": (
        ["--columns", "problem=q,reference=r"],
        "in.jsonl:1: missing column 'q' (this row has: problem, reference)",
    ),
    "column of no use": (["--columns", "answer=q"], "--columns answer=...: unknown; map problem=COLUMN and reference=COLUMN"),
    "where": (["--where", "level=5"], "in.jsonl:1: missing column 'level'"),
    "split of a file": (["--split", "test"], "in.jsonl: is a file; --split test is for data sets"),
    "no such benchmark": (["--against", "no.jsonl"], "no.jsonl: no such file"),
    "benchmark is the source's folder": (["--against", ".."], "--against ..: is a folder"),
}


def refused(folder: Path, arguments: list[str], capsys: pytest.CaptureFixture[str], *, code: int = 2) -> str:
    before = sorted(path.name for path in folder.iterdir())
    assert main(["data", *arguments]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert sorted(path.name for path in folder.iterdir()) == before
    return captured.err


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", list(PROBLEM_FILES))
def test_a_bad_file_of_problems_is_one_message_with_its_line(name: str, tmp_path: Path, capsys: Any) -> None:
    content, message = PROBLEM_FILES[name]
    Path("in.jsonl").write_text(content)
    assert message in refused(tmp_path, ["prepare", "in.jsonl", "-o", "out.jsonl"], capsys)


@pytest.mark.parametrize("name", list(PREPARE_OPTIONS))
def test_a_bad_option_of_prepare_is_one_message(name: str, tmp_path: Path, capsys: Any) -> None:
    options, message = PREPARE_OPTIONS[name]
    Path("in.jsonl").write_text(problem())
    assert message in refused(tmp_path, ["prepare", "in.jsonl", "-o", "out.jsonl", *options], capsys)


@pytest.mark.parametrize("command", ["split", "cold-start"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (rollout() + "{", "in.jsonl:2: not JSON"),
        (rollout() + rollout("response"), "in.jsonl:2: missing column 'response'"),
        (rollout("correct"), "in.jsonl:1: missing column 'correct'"),
        (rollout(reference={}), "in.jsonl:1: column 'reference' must be a string, got an object {}"),
        (rollout(finished="yes"), "in.jsonl:1: column 'finished' must be true, false or null"),
        ("", "in.jsonl: has no rows"),
    ],
)
def test_bad_rollouts_are_one_message_with_their_line(
    command: str, content: str, message: str, tmp_path: Path, capsys: Any
) -> None:
    Path("in.jsonl").write_text(content)
    target = "sets" if command == "split" else "out.jsonl"
    assert message in refused(tmp_path, [command, "in.jsonl", "-o", target, *COLUMN], capsys)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["split", "in.jsonl", "-o", "sets", "--by", "luck"], "--by luck: unknown; choose one of paper, cause"),
        (
            ["split", "in.jsonl", "-o", "sets", "--by", "cause", "--easy", "3"],
            "--by cause writes every problem, and has no option --easy",
        ),
        (["split", "in.jsonl", "-o", "sets", "--hard", "-1"], "--hard -1: must be at least 0"),
        (["split", "in.jsonl", "-o", "in.jsonl"], "in.jsonl: is a file; give the name of a folder"),
        (["split", "no.jsonl", "-o", "sets"], "no.jsonl: no such file"),
        (["split", "in.jsonl", "-o", "sets", "--group-by", "task"], "in.jsonl:1: missing column 'task'"),
        (["split", "in.jsonl", "-o", "sets", "--verifier", "none"], "--verifier: a verifier is needed here"),
        (["split", "in.jsonl", "-o", "sets", "--verifier", "maths"], "--verifier: maths: unknown; did you mean 'math'?"),
        (["split", "in.jsonl", "-o", "sets", "--max-failure-rate", "2"], "must lie in [0, 1]"),
        (["cold-start", "in.jsonl", "-o", "out.jsonl", "--limit", "0"], "--limit 0: must be at least 1"),
        (["cold-start", "in.jsonl", "-o", "in.jsonl"], "in.jsonl: is the input itself"),
        (["cold-start", "in.jsonl", "-o", "out.parquet"], "the name of the output must end in .jsonl or .jsonl.gz"),
        (["cold-start", "in.jsonl", "-o", "no/out.jsonl"], "the folder 'no' does not exist; make it first"),
        (["prepare", "in.jsonl", "-o", "in.jsonl"], "in.jsonl: is the input itself"),
        (["prepare", "x.dropped.jsonl", "-o", "x.jsonl"], "x.dropped.jsonl: is the input itself"),
        (["prepare", "in.txt", "-o", "out.jsonl"], "in.txt: unknown kind of file"),
        (["prepare", "no.jsonl", "-o", "out.jsonl"], "no.jsonl: no such file"),
        (["bake", "in.jsonl"], "No such command 'bake'"),
    ],
)
def test_what_cannot_work_is_refused_before_any_work(arguments: list[str], message: str, tmp_path: Path, capsys: Any) -> None:
    for name in ("in.jsonl", "in.txt", "x.dropped.jsonl"):
        Path(name).write_text(rollout())
    extra = COLUMN if arguments[0] in ("split", "cold-start") and "--verifier" not in arguments else []
    assert message in refused(tmp_path, [*arguments, *extra], capsys)


def test_a_set_that_is_the_input_is_not_overwritten(tmp_path: Path, capsys: Any) -> None:
    Path("sets").mkdir()
    Path("sets/mixed.jsonl").write_text(rollout())
    assert "is the input itself" in refused(tmp_path, ["split", "sets/mixed.jsonl", "-o", "sets", *COLUMN], capsys)
    assert Path("sets/mixed.jsonl").read_text() == rollout()


def test_an_earlier_output_stays_when_a_later_run_fails(tmp_path: Path, capsys: Any) -> None:
    Path("in.jsonl").write_text(problem())
    assert main(["data", "prepare", "in.jsonl", "-o", "out.jsonl"]) == 0
    capsys.readouterr()
    earlier = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.name != "in.jsonl"}
    Path("in.jsonl").write_text(problem() + "{")
    refused(tmp_path, ["prepare", "in.jsonl", "-o", "out.jsonl"], capsys)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.name != "in.jsonl"} == earlier
    assert set(earlier) == {"out.jsonl", "out.dropped.jsonl", "out.manifest.json"}


def test_prepare_tells_what_was_left_out_and_why(capsys: Any) -> None:
    other = "How many legs do three dogs and five chickens have together, if none of them lost one?"
    Path("in.jsonl").write_text(problem() * 2 + problem(problem=other, reference="22"))
    Path("bench.jsonl").write_text(json.dumps({"id": "legs-1", "problem": other.upper()}) + "\n")
    assert main(["data", "prepare", "in.jsonl", "-o", "out.jsonl", "--against", "bench.jsonl"]) == 0
    out = capsys.readouterr().out
    assert "legs-1" in out
    assert "out.dropped.jsonl" in out
    counts = {line.split("│")[1].strip(): line.split("│")[2].strip() for line in out.splitlines() if line.count("│") == 3}
    assert counts["equal to another"] == counts["overlap with a benchmark"] == counts["left out for bench.jsonl"] == "1"
    assert counts["written"] == "1"


def test_prepare_warns_where_nothing_was_checked(capsys: Any) -> None:
    Path("in.jsonl").write_text(problem())
    assert main(["data", "prepare", "in.jsonl", "-o", "out.jsonl", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["counts"]["written"], found["manifest"]) == (1, "out.manifest.json")
    assert main(["data", "prepare", "in.jsonl", "-o", "out.jsonl"]) == 0
    assert "nothing was checked against benchmarks" in capsys.readouterr().err


def test_split_says_what_the_hard_problems_are(capsys: Any) -> None:
    rows = [rollout(prompt_id=f"p{number}", problem=f"problem {number}", correct=number % 2) for number in range(6)]
    Path("in.jsonl").write_text("".join(rows))
    assert main(["data", "split", "in.jsonl", "-o", "sets", *COLUMN]) == 0
    captured = capsys.readouterr()
    line = next(line for line in captured.out.splitlines() if "never solved" in line)
    assert [cell.strip() for cell in line.split("│")[2:7]] == ["3", "0", "3", "3", "100.0%"]
    assert "hard_to_verify: 3 problems, fewer than the 2000 asked for" in captured.err
    assert sorted(path.name for path in Path("sets").iterdir()) == [
        "hard_to_verify.jsonl", "manifest.json", "mixed.jsonl", "verifiable.jsonl",
    ]  # fmt: skip
    assert main(["data", "split", "in.jsonl", "-o", "sets", *COLUMN, "--by", "cause", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["sets"]["never_solved"] == 3


def test_cold_start_says_what_was_left_out(capsys: Any) -> None:
    Path("in.jsonl").write_text(rollout() + rollout(correct=0) + rollout(problem="x", response="答案是 \\boxed{4}."))
    assert main(["data", "cold-start", "in.jsonl", "-o", "sft.jsonl.gz", *COLUMN]) == 0
    captured = capsys.readouterr()
    assert "not English" in captured.out
    assert "1 examples, fewer than the 2000 asked for" in captured.err
    assert main(["data", "cold-start", "in.jsonl", "-o", "sft.jsonl", *COLUMN, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["dropped"]["not English"] == 1


def test_the_three_commands_fit_together_in_real_processes(tmp_path: Path) -> None:
    """Problems, their solutions by the maths verifier, and the sets that a training recipe names."""

    def hero(*arguments: str, code: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        command = ["-m", "hero_rl.cli", "data", *arguments]
        if environment:
            command, env = [sys.executable, *command], {**os.environ, **environment}
            done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=env, check=False)
        else:
            done = forks.run(command)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done

    words = ("plums", "chairs", "stamps", "wheels", "stones", "kites")
    Path("in.jsonl").write_text(
        "".join(
            problem(problem=f"Anna buys {word} worth {number} coins and pays another {number} coins for the way. How many?",
                    reference=str(2 * number))
            for number, word in enumerate(words, start=3)
        )
    )  # fmt: skip
    hero("prepare", "in.jsonl", "-o", "problems.jsonl", "--seed", "1")
    problems = [json.loads(line) for line in Path("problems.jsonl").read_text().splitlines()]
    solutions = [
        {**row, "response": f"So we have that it is \\boxed{{{int(row['reference']) + number % 2}}}."}
        for number, row in enumerate(problems)
    ]
    Path("rollouts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in solutions))
    hero("split", "rollouts.jsonl", "-o", "sets")
    assert len(Path("sets/verifiable.jsonl").read_text().splitlines()) == 3
    assert len(Path("sets/hard_to_verify.jsonl").read_text().splitlines()) == 3
    hero("cold-start", "rollouts.jsonl", "-o", "sft.jsonl", PYTHONHASHSEED="1")
    first = Path("sft.jsonl").read_bytes()
    hero("cold-start", "rollouts.jsonl", "-o", "sft.jsonl", PYTHONHASHSEED="2")
    assert Path("sft.jsonl").read_bytes() == first
    assert len(first.splitlines()) == 3
    assert "cannot be read" in hero("prepare", "someone/nothing", "-o", "x.jsonl", code=2).stderr
