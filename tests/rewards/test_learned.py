"""A learned "correct": marked, worth what the rule says, and never above a rule's own."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hero_rl.data import Columns, score_file, verify_file
from hero_rl.errors import BandOverlapError, InputError
from hero_rl.pipeline import HybridReward
from hero_rl.rewards import RULES, hero, make_rule, naive_sum, verifier_only
from hero_rl.scorers import ColumnScorer
from hero_rl.types import LEARNED_YES, Rollout, RowVerifier, StepScorer, StepScores, Verdict
from hero_rl.verifiers import ColumnVerifier

NAN = float("nan")
TEXTS = {"prompt_id": "p", "problem": "?", "reference": "1"}
SCORES = [0.0, 1.0, 0.0, 1.0, 0.0, 1.0]
VERDICTS = [0.0, 0.0, LEARNED_YES, LEARNED_YES, 1.0, 1.0]


def rewards_of(rule, verdicts=VERDICTS, scores=SCORES):
    return rule.apply(verdicts, scores, [0] * len(verdicts), rule.init()).rewards.round(4).tolist()


def test_by_default_a_learned_yes_is_a_yes():
    symbolic = [float(verdict > 0) for verdict in VERDICTS]
    for name in RULES:
        rule = make_rule(name, {})
        if rule.raw_verdicts:  # these place a learned yes by a probability of its own
            continue
        assert rewards_of(rule) == pytest.approx(rewards_of(rule, symbolic), nan_ok=True), name


def test_hero_gives_a_learned_yes_a_band_of_its_own():
    assert rewards_of(hero(alpha=0.1, beta=0.1, learned_credit=0.5, eps=0.0)) == [-0.1, 0.1, 0.4, 0.6, 0.9, 1.1]
    assert rewards_of(hero(alpha=0.1, beta=0.1, learned_credit=0.0, eps=0.0)) == [-0.1, 0.1, -0.1, 0.1, 0.9, 1.1]


def test_the_credit_is_the_reward_of_the_verifier_alone_and_the_verdict_of_the_sum():
    assert rewards_of(verifier_only(learned_credit=0.3)) == [0, 0, 0.3, 0.3, 1, 1]
    assert rewards_of(naive_sum(rule_weight=0.5, learned_credit=0.4)) == [0, 0.5, 0.2, 0.7, 0.5, 1.0]


@pytest.mark.parametrize("credit", [0.15, 0.2, 0.8, 0.95, 1.5, -0.1, NAN])
def test_a_learned_band_that_touches_another_one_is_refused(credit):
    with pytest.raises(BandOverlapError if 0 <= credit <= 1 else InputError, match="learned_credit"):
        hero(alpha=0.1, beta=0.1, learned_credit=credit)


@given(
    st.lists(st.tuples(st.sampled_from([0.0, LEARNED_YES, 1.0, NAN]), st.floats(-1e6, 1e6)), min_size=1, max_size=12),
    st.floats(0.21, 0.79),
)
def test_incorrect_below_learned_below_correct_whatever_the_scores(rows, credit):
    verdicts, scores = zip(*rows, strict=True)
    rule = hero(alpha=0.1, beta=0.1, learned_credit=credit)
    rewards = rule.apply(verdicts, scores, [0] * len(rows), rule.init()).rewards
    levels = np.nan_to_num(np.array(verdicts), nan=0.0)
    for low, high in ((0.0, LEARNED_YES), (LEARNED_YES, 1.0), (0.0, 1.0)):
        if (levels == low).any() and (levels == high).any():
            assert rewards[levels == low].max() < rewards[levels == high].min()


def test_the_mark_survives_a_file_and_its_rescoring(tmp_path: Path):
    source = tmp_path / "rollouts.jsonl"
    rows = [
        {
            "prompt_id": "p",
            "problem": "?",
            "reference": "1",
            "response": "1",
            "verdict": verdict,
            "learned": learned,
            "rm_score": 1.0,
        }
        for verdict, learned in ((1, True), (1, False), (0, False), (None, False))
    ]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    reward = HybridReward(ColumnVerifier("verdict"), ColumnScorer("rm_score"), verifier_only(learned_credit=0.25))
    summary = score_file(source, tmp_path / "out.jsonl", reward, columns=Columns(scores=("rm_score",), labels=("verdict",)))
    scored = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row["reward"] for row in scored] == [0.25, 1.0, 0.0, 0.0]
    assert [row["verdict"] for row in scored] == [1, 1, 0, None]
    assert [row["learned"] for row in scored] == [True, False, False, False]
    assert summary.verdicts.correct == 2


class Judge(RowVerifier):
    """A verifier with a model's opinion: whatever ends in a full stop is correct."""

    name, learned = "judge", True

    def judge(self, rollout):
        return Verdict("correct" if rollout.response.endswith(".") else "incorrect", "opinion", learned=True)


class Steps(StepScorer):
    """A process reward model: a step's score is its length, the response's the smallest of them."""

    name = "steps"

    async def ascore_steps(self, rollouts):
        steps = tuple(np.array([float(len(step)) for step in r.steps]) for r in rollouts)
        return StepScores(np.array([each.min() if each.size else NAN for each in steps]), steps)


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_learned_marks_and_step_scores_are_columns_of_the_scored_file(tmp_path: Path, suffix: str):
    source, target = tmp_path / "rollouts.jsonl", tmp_path / f"out{suffix}"
    texts = {"prompt_id": "p", "problem": "?", "reference": "1"}
    rows = [
        {**texts, "response": "a.", "steps": ["abc", "d"]},
        {**texts, "response": "b", "steps": ["ab"]},
        {**texts, "response": ""},
    ]
    source.write_text("".join(json.dumps(TEXTS | row) + "\n" for row in rows))
    score_file(source, target, HybridReward(Judge(), Steps(), hero(), max_failure_rate=1.0))
    if suffix == ".parquet":
        import pyarrow.parquet

        scored = pyarrow.parquet.read_table(target).to_pylist()
    else:
        scored = [json.loads(line) for line in target.read_text().splitlines()]
    assert [row["learned"] for row in scored] == [True, False, False]
    assert [row["step_scores"] for row in scored] == [[3.0, 1.0], [2.0], []]
    assert [row["rm_score"] for row in scored] == [1.0, 2.0, None]
    verify_file(source, tmp_path / "verdicts.jsonl", Judge())
    assert [json.loads(line)["learned"] for line in (tmp_path / "verdicts.jsonl").read_text().splitlines()] == [
        True,
        False,
        False,
    ]


def test_the_pipeline_hands_step_scores_on_in_both_ways():
    rollouts = [Rollout(prompt_id="p", problem="", reference="", response="x", steps=("abc", "de"))]
    reward = HybridReward(Judge(), Steps(), hero())
    for signals in (reward.measure(rollouts), asyncio.run(reward.ameasure(rollouts))):
        assert signals.step_scores is not None
        assert signals.step_scores[0].tolist() == [3.0, 2.0]
        assert signals.scores.tolist() == [2.0]
