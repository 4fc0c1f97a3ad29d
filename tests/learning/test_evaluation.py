"""Reports on scores and verdicts: hand-worked values, what is left out, and what cannot be measured."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from hero_rl.errors import InputError
from hero_rl.learning.evaluation import EvalSettings, evaluate_scores, evaluate_verdicts, plain, unseen
from hero_rl.learning.labelled import LabelledRow, merged, read_rows, write_rows
from hero_rl.learning.splits import SplitSettings, make_split
from hero_rl.types import Rollout, Verdict

QUICK = EvalSettings(draws=50)


def rows(*labels: tuple[str, int]) -> list[LabelledRow]:
    return [
        LabelledRow(Rollout(prompt_id=p, problem=p, reference="1", response=f"{i}" * (i + 1)), bool(label), "given")
        for i, (p, label) in enumerate(labels)
    ]


def test_a_report_on_scores_has_the_worked_values():
    data = rows(("a", 1), ("a", 0), ("b", 1), ("b", 0), ("c", 1), ("c", 1))
    report = evaluate_scores(data, np.array([2.0, 0.0, 1.0, 3.0, 5.0, math.nan]), QUICK)
    assert (report.rows, report.prompts, report.mixed_prompts, report.missing) == (5, 3, 2, 1)
    value = {name: one.value for name, one in report.estimates.items()}
    assert value["pair_accuracy"] == value["auroc_in_mixed_prompts"] == 0.5
    assert value["auroc"] == pytest.approx(4 / 6)  # of 2, 1, 5 against 0, 3: lost are 2 < 3 and 1 < 3
    assert value["recall_at_fpr_1%"] == pytest.approx(1 / 3)
    # both pairs differ by 2: sigmoid(2) = 0.881, and one in two is right
    assert value["pair_ece"] == pytest.approx(1 / (1 + math.exp(-2)) - 0.5)


def test_an_interval_holds_its_value_and_the_report_is_json():
    rng = np.random.default_rng(0)
    data = rows(*[(f"p{i // 4}", i % 2) for i in range(200)])
    scores = np.array([row.correct for row in data]) + rng.normal(size=200)
    report = evaluate_scores(data, scores, EvalSettings(draws=200))
    for name in ("pair_accuracy", "auroc", "auroc_in_mixed_prompts"):
        one = report.estimates[name]
        assert one.low < one.value < one.high
    assert json.loads(json.dumps(plain(report), allow_nan=False))["rows"] == 200
    assert plain(report) == plain(evaluate_scores(data, scores, EvalSettings(draws=200)))


def test_liking_length_shows_as_length_bias():
    data = rows(*[(f"p{i % 3}", (i // 3) % 2) for i in range(60)])
    long = evaluate_scores(data, np.array([float(len(row.rollout.response)) for row in data]), QUICK)
    assert long.estimates["length_bias_correct"].value == pytest.approx(1.0)
    assert long.estimates["length_bias_in_prompts"].value > 0.9


def test_a_report_on_verdicts_has_the_worked_values():
    data = rows(("a", 1), ("a", 1), ("a", 0), ("b", 0), ("b", 1))
    labels = ("correct", "incorrect", "correct", "incorrect", "abstain")
    report = evaluate_verdicts(data, [Verdict(label, "x") for label in labels], None, QUICK)  # type: ignore[arg-type]
    value = {name: one.value for name, one in report.estimates.items()}
    assert value == {
        "decided": 0.8, "accuracy_of_decided": 0.5, "precision": 0.5, "recall": pytest.approx(1 / 3),
        "false_positive_rate": 0.5, "false_negative_rate": pytest.approx(1 / 3),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([("a", 1), ("b", 0)], [1.0, 2.0], "none of 2 prompts has both"),
        ([("a", 1), ("a", 1)], [1.0, 2.0], "all 2 labelled rows are correct"),
        ([("a", 1), ("a", 0)], [math.nan, math.nan], "none of 2 rows has a score"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_line(labels, scores, message):
    with pytest.raises(InputError, match=message):
        evaluate_scores(rows(*labels), np.array(scores), QUICK)


def test_rows_of_seen_problems_are_left_out_whatever_their_prompt_id():
    data = rows(*[(f"problem {i}", i % 2) for i in range(100)])
    split = make_split([row.rollout for row in data[:80]], SplitSettings(p_held_out=0.5))
    found = unseen(data, [split])
    assert found.left_out == split.counts()["train"] + split.counts()["calibration"]
    assert found.new == 20
    renamed = [row._replace(rollout=Rollout(prompt_id="x", problem=row.rollout.problem.upper(), reference="1", response="1"))
               for row in data]  # fmt: skip
    assert unseen(renamed, [split]).left_out == found.left_out


def test_a_given_label_outranks_a_rule_and_rows_are_kept_once():
    (row,) = rows(("a", 1))
    by_rule = row._replace(correct=False, source="rule")
    assert merged([row], [by_rule]) == [row]
    assert merged([by_rule], [row]) == [row]
    assert merged([by_rule], [by_rule._replace(correct=True)]) == [by_rule._replace(correct=True)]


def test_rows_are_read_back_as_they_were_written(tmp_path):
    data = rows(("a", 1), ("b", 0))
    write_rows(tmp_path / "rows.jsonl.gz", data)
    first = (tmp_path / "rows.jsonl.gz").read_bytes()
    found = read_rows(tmp_path / "rows.jsonl.gz")
    assert [(r.rollout.problem, r.rollout.response, r.correct, r.source) for r in found] == [
        (r.rollout.problem, r.rollout.response, r.correct, r.source) for r in data
    ]
    write_rows(tmp_path / "rows.jsonl.gz", found)
    assert (tmp_path / "rows.jsonl.gz").read_bytes() == first
