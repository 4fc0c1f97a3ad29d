"""Tasks of reasoning-gym: made offline, judged by its scorers, and trained on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from helpers import tiny_files
from hero_rl.cli import main
from hero_rl.errors import InputError
from hero_rl.types import Rollout, Verdict
from hero_rl.verifiers.gym import COLUMN, GymVerifier, find_answer

pytest.importorskip("reasoning_gym", reason="reasoning-gym needs a C compiler to install")


def prepared(folder: Path, names: str, *options: str) -> list[dict[str, Any]]:
    target = folder / "tasks.jsonl"
    assert main(["data", "prepare", f"reasoning-gym:{names}", "-o", str(target), "--json", *options]) == 0
    return [json.loads(line) for line in target.read_text().splitlines()]


@pytest.fixture(scope="module")
def verifier() -> Iterator[GymVerifier]:
    with GymVerifier(workers=1) as made:
        yield made


def judged(verifier: GymVerifier, rows: list[dict[str, Any]], response: Callable[[dict[str, Any]], str]) -> list[Verdict]:
    return verifier.verify([rollout(row, response(row)) for row in rows])


def rollout(row: dict[str, Any], response: str) -> Rollout:
    extra = {COLUMN: row[COLUMN]}
    return Rollout(prompt_id="p", problem=row["problem"], reference=row["reference"], response=response, extra=extra)


def test_tasks_are_the_same_for_a_seed_and_harder_at_a_higher_level(tmp_path: Path) -> None:
    rows = prepared(tmp_path, "chain_sum,leg_counting", "-n", "20", "--seed", "3", "--difficulty", "0")
    assert rows == prepared(tmp_path, "chain_sum,leg_counting", "-n", "20", "--seed", "3", "--difficulty", "0")
    assert {row["source"] for row in rows} == {"chain_sum", "leg_counting"}
    assert prepared(tmp_path, "chain_sum", "-n", "20", "--seed", "4") != prepared(
        tmp_path, "chain_sum", "-n", "20", "--seed", "3"
    )
    hard = prepared(tmp_path, "chain_sum", "-n", "20", "--difficulty", "4")
    digits = [max(len(row["reference"].lstrip("-")) for row in some if row["source"] == "chain_sum") for some in (rows, hard)]
    assert digits[0] < digits[1]
    manifest = json.loads((tmp_path / "tasks.manifest.json").read_text())
    assert manifest["source"] == {"generator": "reasoning-gym:chain_sum", "difficulty": 4, "several": "alternatives"}


def test_white_space_that_a_task_is_about_stays(tmp_path: Path) -> None:
    assert any("\n\n\n" in row["problem"] or "  " in row["problem"] for row in prepared(tmp_path, "figlet_font", "-n", "4"))


def test_tasks_that_their_own_scorer_would_not_accept_are_left_out_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # rearc compares tuples, which JSON does not have; rush_hour has no one answer
    rows = prepared(tmp_path, "chain_sum,rearc,rush_hour", "-n", "9")
    counts = json.loads(capsys.readouterr().out)["counts"]
    assert (counts["rows"], counts["not accepted by its own scorer"], counts["without a reference"]) == (9, 3, 3)
    assert {row["source"] for row in rows} == {"chain_sum"}


def test_what_cannot_be_made_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for arguments, message in (
        (["reasoning-gym:chain_summ"], "no such data set; did you mean 'chain_sum'?"),
        (["reasoning-gym:"], "names no data set"),
        (["reasoning-gym:chain_sum", "--split", "test"], "--split is for data sets, leave it out"),
        (["tasks.jsonl", "--difficulty", "1"], "--difficulty 1: for reasoning-gym:NAME alone"),
    ):
        assert main(["data", "prepare", *arguments, "-o", str(tmp_path / "out.jsonl")]) == 2
        assert message in capsys.readouterr().err


def test_full_marks_are_correct_and_a_part_of_them_is_not_unless_asked_for(tmp_path: Path, verifier: GymVerifier) -> None:
    rows = prepared(tmp_path, "letter_counting,prime_factorization", "-n", "6")
    assert {one.label for one in judged(verifier, rows, lambda row: f"So <answer>{row['reference']}</answer>, I think.")} == {
        "correct"
    }
    assert {one.label for one in judged(verifier, rows, lambda row: rf"\boxed{{{row['reference']}}}")} == {"correct"}
    assert {one.label for one in judged(verifier, rows, lambda row: "no idea")} == {"incorrect"}
    # letter_counting gives a number in a sentence its share of the sentence: 1 of 5 characters, 0.2
    (row,) = [row for row in rows if row["source"] == "letter_counting" and len(row["reference"]) == 1][:1]
    partly = f"about <answer>= {row['reference']} =</answer>"
    for limit, label in ((1.0, "incorrect"), (0.3, "incorrect"), (0.2, "correct")):
        with GymVerifier(workers=1, threshold=limit) if limit < 1 else nullcontext(verifier) as made:
            assert judged(made, [row], lambda row: partly) == [Verdict(label, "scored", detail="0.2")]
    with pytest.raises(InputError, match="threshold=0 must lie in"):
        GymVerifier(threshold=0)


def test_an_answer_that_the_scorer_stumbles_over_is_wrong_and_metadata_of_something_else_abstains(
    tmp_path: Path, verifier: GymVerifier
) -> None:
    """prime_factorization raises ValueError on words; a policy must not be able to make a verdict fail."""
    (row, *_) = prepared(tmp_path, "prime_factorization", "-n", "2")
    assert judged(verifier, [row], lambda row: "words") == [Verdict("incorrect", "scored", detail="0")]
    broken = [
        {**row, COLUMN: text} for text in ("no JSON", '{"source_dataset": "none"}', '{"source_dataset": "chain_sum"}', "3")
    ]
    found = judged(verifier, broken[:2] + broken[3:], lambda row: row["reference"])
    assert [(one.label, one.reason, one.failed) for one in found] == [("abstain", "no_scorer", False)] * 3
    with pytest.raises(InputError, match="no column 'reasoning_gym'"):
        verifier.verify([replace(rollout(row, "2"), extra={})])


def test_the_answer_is_what_the_last_tags_hold() -> None:
    assert find_answer("<answer>1</answer> no, <answer> 2 </answer>.") == "2"
    assert find_answer("<answer>3") == "3"
    assert find_answer(r"\boxed{4}") == "4"
    assert find_answer(" 5 ") == "5"


def test_prepared_tasks_train_a_policy_with_their_own_scorer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny_files.write(tmp_path)
    # of level 0, with short prompts: the tiny models read 128 characters
    assert len(prepared(tmp_path, "chain_sum", "-n", "40", "--difficulty", "0")) >= 30
    capsys.readouterr()
    values = {
        "data.path": "tasks.jsonl", "data.max_prompt_length": 90, "verifier.name": "reasoning-gym", "verifier.workers": 1,
        "sft": "false", "trl.max_steps": 5, "trl.num_generations": 8,
    }  # fmt: skip
    sets = [text for key, value in values.items() for text in ("--set", f"{key}={value}")]
    assert main(["train", "tiny-cpu", *sets, "--json", "--output", "run"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["step"] == 5
    assert result["train"]["hero/failure_rate"] == 0.0
    assert result["train"]["hero/abstained"] == 0.0
