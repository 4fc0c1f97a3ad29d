"""Bad input: one clear message, exit code 2, no output file, no traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from helpers import forks
from hero_rl.cli import main, show

ROW = {"prompt_id": "p", "problem": "1+1", "reference": "2", "response": "2", "rm_score": 0.5, "correct": 1}
COLUMNS = ["--verifier", "column:correct", "--reward-model", "column:rm_score"]


def dumps(*without: str, **changes: object) -> str:
    return json.dumps({name: value for name, value in {**ROW, **changes}.items() if name not in without}) + "\n"


FILES = {
    "broken JSON": (dumps() + '{"prompt_id": "p", "problem": \n', "in.jsonl:2: not JSON: Expecting value at column"),
    "missing column": (dumps() + dumps("response"), "in.jsonl:2: missing column 'response' (this row has: prompt_id"),
    "missing score column": (dumps("rm_score"), "in.jsonl:1: missing column 'rm_score'"),
    "missing label column": (dumps() + dumps() + dumps("correct"), "in.jsonl:3: missing column 'correct'"),
    "wrong type": (dumps(rm_score="high"), "in.jsonl:1: column 'rm_score' must be a finite number"),
    "wrong label": (dumps(correct=2), "in.jsonl:1: column 'correct' must be 0, 1, true, false or null, got the number 2"),
    "NaN": (dumps(rm_score=float("nan")), "in.jsonl:1: NaN is not JSON; write null where a number is missing"),
    "not an object": ("[1]\n", "in.jsonl:1: expected a JSON object, got a list"),
    "empty file": ("", "in.jsonl: has no rows"),
}
OPTIONS = {
    "overlapping bands": (["--alpha", "0.6", "--beta", "0.5"], "alpha=0.6 and beta=0.5 make the two bands overlap"),
    "unknown rule": (["--rule", "heroic"], "--rule: rule 'heroic' is unknown; did you mean 'hero'?"),
    "unknown verifier": (["--verifier", "maths"], "--verifier: maths: unknown; did you mean 'math'?"),
    "unknown verifier like none": (["--verifier", "quux"], "quux: unknown; choose one of math, choice, exact, hendrycks"),
    "unknown reward model": (["--reward-model", "my remote:x"], "unknown; choose one of column:NAME, local:PATH"),
    "bare id of a model": (
        ["--reward-model", "owner/name"],
        "owner/name: unknown; for a model, write local:owner/name",
    ),
    "bare id of a judge": (
        ["--verifier", "owner/name"],
        "owner/name: unknown; for a model, write judge:owner/name",
    ),
    "bare folder": (["--reward-model", "."], "unknown; for a model, write local:."),
    "bare server": (["--reward-model", "http://rm:8000"], "unknown; for a server, write vllm:http://rm:8000"),
    "column without a colon": (
        ["--reward-model", "column"],
        "needs an argument; write column:NAME, such as column:rm_score",
    ),
    "no such module": (["--reward-model", "remote:x"], "--reward-model: remote:x: cannot be imported"),
    "no such function": (["--verifier", "math:sqroot"], "'math' takes nothing after a colon"),
    "missing model": (["--reward-model", "local:./no-such-model"], "no such folder as './no-such-model'"),
    "column without a name": (
        ["--verifier", "column:"],
        "needs an argument; write column:NAME, such as column:correct",
    ),
    "argument too many": (["--verifier", "exact:please"], "'exact' takes nothing after a colon"),
    "unknown scale": (
        ["--set", "rule.scale=all"],
        "--set rule.scale=all: rule.scale = 'all': input should be 'none', 'group' or 'batch'",
    ),
    "setting of another rule": (
        ["--rule", "gdpo", "--set", "rule.alpha=0.1"],
        "--set rule.alpha=0.1: unknown key 'rule.alpha'; settings of gdpo: name, scale, verdict_weight, score_weight, eps",
    ),
    "flag of another rule": (["--rule", "gdpo", "--alpha", "0.1"], "--alpha: unknown key 'rule.alpha'; settings of gdpo"),
    "setting of another verifier": (
        ["--set", "verifier.deadline_s=3"],
        "unknown key 'verifier.deadline_s'; settings of column:correct",
    ),
    "misspelt setting": (["--set", "rule.wmax=3"], "--set rule.wmax=3: unknown key 'rule.wmax'; did you mean 'rule.w_max'?"),
    "unknown table": (["--set", "rules.alpha=3"], "--set rules.alpha=3: unknown key 'rules'; did you mean 'rule'?"),
    "no key": (["--set", "alpha"], "--set alpha: write KEY=VALUE with a dotted key, such as --set rule.alpha=0.1"),
    "no reward file": (["--reward", "no.toml"], "no.toml: cannot be read: No such file"),
    "rule weight out of range": (
        ["--rule", "naive_sum", "--set", "rule.rule_weight=2"],
        "--set rule.rule_weight=2: rule_weight=2 must lie in [0, 1]",
    ),
    "failure rate out of range": (["--max-failure-rate", "7"], "--max-failure-rate: max_failure_rate=7.0 must lie in [0, 1]"),
    "number that is none": (["--alpha", "much"], "Invalid value for '--alpha'"),
    "unknown option": (["--bogus"], "No such option: --bogus"),
    "verdicts needed": (["--verifier", "none"], "the rule 'hero' needs verdicts"),
    "group column absent": (["--group-by", "task"], "in.jsonl:1: missing column 'task'"),
}


def run(folder: Path, content: str, options: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    source = folder / "in.jsonl"
    source.write_text(content)
    code = main(["score", str(source), "-o", str(folder / "out.jsonl"), *COLUMNS, *options])
    captured = capsys.readouterr()
    assert code == 2, captured.err
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert [path.name for path in folder.iterdir()] == ["in.jsonl"]
    return captured.err


@pytest.mark.parametrize("name", list(FILES))
def test_a_bad_file_is_one_message_with_its_line(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content, message = FILES[name]
    assert message in run(tmp_path, content, [], capsys)


@pytest.mark.parametrize("name", list(OPTIONS))
def test_a_bad_option_is_one_message(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options, message = OPTIONS[name]
    assert message in run(tmp_path, dumps() + dumps(), options, capsys)


def test_a_rule_that_needs_scores_says_how_to_give_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text(dumps())
    assert main(["score", str(source), "-o", str(tmp_path / "out.jsonl"), "--verifier", "column:correct"]) == 2
    assert (
        "name one (reward_model.name, or --reward-model): column:rm_score for scores in the file, local:PATH"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize("command", ["score", "verify"])
def test_paths_that_cannot_work_are_refused_before_any_work(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text(dumps())
    link = tmp_path / "same.jsonl"
    link.symlink_to(source)
    (tmp_path / "folder.jsonl").mkdir()
    signals = COLUMNS if command == "score" else COLUMNS[:2]
    for target, message in (
        (source, "is the input itself"),
        (link, "is the input itself"),
        (tmp_path / "out.txt", "must end in .jsonl or .jsonl.gz or .parquet"),
        (tmp_path / "absent" / "out.jsonl", "does not exist; make it first"),
        (tmp_path / "folder.jsonl", "is a folder, a pipe or a device"),
    ):
        assert main([command, str(source), "-o", str(target), *signals]) == 2
        assert message in capsys.readouterr().err
    assert main([command, str(tmp_path / "no.jsonl"), "-o", str(tmp_path / "out.jsonl"), *signals]) == 2
    assert "no.jsonl: no such file" in capsys.readouterr().err
    assert source.read_text() == dumps()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.jsonl", "in.jsonl", "same.jsonl"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["score", "in.jsonl", "-o", "out.jsonl", *COLUMNS], "in.jsonl:2: not JSON"),
        (["score", "in.jsonl", "-o", "out.jsonl", *COLUMNS, "--alpha", "0.9", "--beta", "0.3"], "bands overlap"),
        (["verify", "in.jsonl", "-o", "out.jsonl", *COLUMNS[:2]], "in.jsonl:2: not JSON"),
        (["score", "in.jsonl"], "Missing option '-o' / '--output'. (see hero score --help)"),
        (["scroe"], "No such command 'scroe'. Did you mean 'score'? (see hero --help)"),
    ],
)
def test_the_real_process_exits_2_without_a_traceback(arguments: list[str], message: str, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text(dumps() + "{]\n")
    done = forks.run(["-m", "hero_rl.cli", *arguments], cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_text_that_the_terminal_cannot_show_does_not_break_the_message(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"prompt_id": 1, "caf\\u00e9 \\ud800 \\u001b[2J": 1}\n')
    done = subprocess.run(
        [sys.executable, "-m", "hero_rl.cli", "verify", "in.jsonl", "-o", "out.jsonl", "--verifier", "exact"],
        cwd=tmp_path, env={**os.environ, "PYTHONIOENCODING": "ascii:strict"}, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert b"caf\\xe9 \\ud800 \\x1b[2J" in done.stderr  # nor does it clear the screen


def test_warnings_and_notes_do_not_command_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    show.warn("\x1b[2J")
    show.note("\x9b")
    assert capsys.readouterr().err == "warning: \\x1b[2J\n\\x9b\n"


def test_debug_shows_where_an_error_came_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--debug", "score", str(tmp_path / "no.jsonl"), "-o", str(tmp_path / "out.jsonl"), *COLUMNS]) == 2
    assert "Traceback" in capsys.readouterr().err
