"""`hero verifier train` and `hero verifier eval`: a real training on toy rollouts, refresh, and bad input."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from helpers import toy_rollouts
from helpers.commands import fails, run_json
from hero_rl.cli import main
from hero_rl.learning.splits import load_split
from hero_rl.types import Rollout
from hero_rl.verifiers.learned import LearnedVerifier

FAST = [
    "--learning-rate",
    "2e-3",
    "--epochs",
    "10",
    "--batch-size",
    "16",
    "--fpr",
    "0.05",
    "--rewrites",
    "3",
    "--corruptions",
    "2",
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("verifier")
    toy_rollouts.write_base(folder / "base", hidden=64)
    toy_rollouts.write(folder / "rollouts.jsonl", toy_rollouts.rollouts(200))
    return folder


@pytest.fixture(scope="module")
def trained(place: Path) -> Path:
    arguments = ["verifier", "train", place / "rollouts.jsonl", "-o", place / "v", "--model", place / "base", *FAST]
    assert main([*map(str, arguments)]) == 0
    return place / "v"


def test_it_accepts_unseen_forms_of_right_answers_and_few_wrong_ones(trained):
    held_out = json.loads((trained / "training.json").read_text())["held_out"]
    assert held_out["auroc"]["value"] > 0.85
    assert held_out["ranks"] == "better than chance"
    counts = held_out["accepted"]
    accepted = {
        kind: np.sum([pair for name, pair in counts.items() if name.startswith(kind)], axis=0) for kind in ("same:", "wrong:")
    }
    assert accepted["same:"][0] / accepted["same:"][1] > 0.5
    assert accepted["wrong:"][0] / accepted["wrong:"][1] < 0.2


def test_eval_grades_on_held_out_problems_alone(trained, place, capsys):
    report = run_json(capsys, "verifier", "eval", trained, place / "rollouts.jsonl", "--draws", 100)
    counts = load_split(trained).counts()
    assert report["prompts"] == counts["held_out"]
    assert report["rows_trained_on"] == 4 * (counts["train"] + counts["calibration"])
    assert report["measures"]["auroc"]["value"] > 0.8
    assert report["measures"]["auroc"]["low"] > 0.6
    assert sum(one["rows"] for one in report["calibration_curve"]) == report["rows"] - report["missing"]


def test_the_reward_model_of_the_same_file_has_the_same_held_out_problems(trained, place):
    arguments = [
        "rm",
        "train",
        place / "rollouts.jsonl",
        "-o",
        place / "rm",
        "--model",
        place / "base",
        "--epochs",
        "0.2",
        "--seed",
        "5",
    ]
    assert main([*map(str, arguments)]) == 0
    assert load_split(place / "rm") == load_split(trained)


def test_the_limits_in_the_folder_are_those_that_are_used(trained):
    settings = json.loads((trained / "verifier.json").read_text())
    verifier = LearnedVerifier(trained)
    assert verifier.thresholds == (settings["accept_above"], settings["reject_below"])
    assert settings["p_fpr"] == 0.05
    names = ("prompt_id", "problem", "reference", "response")
    rows = [Rollout(**{name: row[name] for name in names}) for row in toy_rollouts.rollouts(20)]
    labels = [
        "correct" if logit >= settings["accept_above"] else "incorrect" if logit < settings["reject_below"] else "abstain"
        for logit in verifier.logits(rows)
    ]
    assert [verdict.label for verdict in verifier.verify(rows)] == labels
    assert len(set(labels)) > 1


def test_hero_verify_uses_the_trained_verifier(trained, place, tmp_path, capsys):
    arguments = ["verify", place / "rollouts.jsonl", "-o", tmp_path / "verdicts.jsonl", "--verifier", f"learned:{trained}"]
    result = run_json(capsys, *arguments)
    assert result["rows"] == 800
    assert set(result["reasons"]) <= {"learned_equal", "learned_different", "learned_unsure"}


def test_a_rule_is_measured_with_the_same_command(place, capsys):
    report = run_json(capsys, "verifier", "eval", "math", place / "rollouts.jsonl", "--draws", 20)
    assert report["rows"] == 800
    assert report["measures"]["accuracy_of_decided"]["value"] == 1.0
    assert "auroc" not in report["measures"]


def test_refresh_learns_from_what_the_rules_decided(trained, place, tmp_path, capsys):
    new = [{name: value for name, value in row.items() if name != "correct"} for row in toy_rollouts.rollouts(210)[4 * 200 :]]
    path = toy_rollouts.write(tmp_path / "new.jsonl", new)
    result = run_json(capsys, "verifier", "train", path, "-o", tmp_path / "v2", "--refresh", trained, "--epochs", 0.1)
    assert (result["undecided"], result["base"]) == (0, str(trained))
    before, after = load_split(trained), load_split(tmp_path / "v2")
    assert len(after.parts) == 210
    assert all(after.parts[key] == part for key, part in before.parts.items())
    assert main(["verifier", "eval", str(tmp_path / "v2"), str(place / "rollouts.jsonl"), "--draws", "20"]) == 0


def test_bad_input_gives_one_clear_line_and_leaves_nothing(place, tmp_path, capsys):
    rows = toy_rollouts.rollouts(12)
    plain = [{name: value for name, value in row.items() if name != "correct"} for row in rows]
    unlabelled = toy_rollouts.write(tmp_path / "unlabelled.jsonl", plain)
    few = toy_rollouts.write(tmp_path / "few.jsonl", rows)
    one_class = toy_rollouts.write(tmp_path / "one.jsonl", [row | {"correct": 1} for row in rows])
    base, out = ["--model", place / "base"], tmp_path / "out"
    assert "no label column 'correct'" in fails(capsys, "verifier", "train", unlabelled, "-o", out, *base)
    assert "larger --calibration-share" in fails(capsys, "verifier", "train", few, "-o", out, *base, "--calibration-share", 0.0)
    assert "--fpr 2" in fails(capsys, "verifier", "train", few, "-o", out, *base, "--fpr", 2)
    assert "exists already" in fails(capsys, "verifier", "train", few, "-o", place, *base)
    assert "all 48 labelled rows are correct" in fails(capsys, "verifier", "eval", "math", one_class)
    assert "no such folder and no verifier" in fails(capsys, "verifier", "eval", "nothing", few)
    assert "verifier.json" in fails(capsys, "verifier", "eval", place / "base", few)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["few.jsonl", "one.jsonl", "unlabelled.jsonl"]
