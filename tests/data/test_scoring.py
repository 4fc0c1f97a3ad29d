"""Scoring a file: one batch whatever its size and order, the paper's equations to the digit, nothing left behind."""

from __future__ import annotations

import json
import math
import random
import statistics
from pathlib import Path

import numpy as np
import pytest

from helpers.places import SHARED
from hero_rl.data import Columns, score_file, verify, verify_file
from hero_rl.errors import InputError, SignalError
from hero_rl.pipeline import HybridReward
from hero_rl.rewards import RewardRule, gdpo, group_advantages, hero, naive_sum, running_mean, verifier_only
from hero_rl.scorers import ColumnScorer
from hero_rl.types import Rollout, RowVerifier, Verdict
from hero_rl.verifiers import ColumnVerifier

REAL_FILE = SHARED / "math_rm_scores.jsonl"
COLUMNS = Columns(scores=("rm_score",), labels=("correct",))


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def row(prompt: str, correct: int | None, score: float | None, **more: object) -> dict[str, object]:
    texts = {"problem": "?", "reference": "1", "response": "1"}
    return {"prompt_id": prompt, **texts, "rm_score": score, "correct": correct, **more}


def reward(rule: RewardRule) -> HybridReward:
    return HybridReward(ColumnVerifier("correct"), ColumnScorer("rm_score"), rule, max_failure_rate=1.0)


def random_rows(prompts: int, seed: int) -> list[dict[str, object]]:
    generator = random.Random(seed)
    rows = []
    for prompt in range(prompts):
        spread = generator.uniform(0.1, 2.0)
        for _ in range(generator.randint(1, 9)):
            label = generator.choice([0, 0, 1, 1, None])
            score = None if generator.random() < 0.05 else generator.gauss(0.0, spread)
            rows.append(row(f"p{prompt}", label, score, number=len(rows)))
    return rows


def test_worked_example_of_equations_3_to_5(tmp_path: Path) -> None:
    # prompt a: sigma = std(2, 4, 1, 3) = 1.118034; prompt b: sigma = std(5, 7) = 1; sigma-bar = 1.059017
    # w_a = 0.4 + 2.6 / (1 + exp(-6 * 0.059017)) = 1.927787, w_b = 0.4 + 2.6 / (1 + exp(6 * 0.059017)) = 1.472213
    source = write(
        tmp_path / "in.jsonl",
        [row("a", 1, 2.0), row("a", 1, 4.0), row("a", 0, 1.0), row("a", 0, 3.0), row("b", 0, 5.0), row("b", 0, 7.0)],
    )
    summary = score_file(source, tmp_path / "out.jsonl", reward(hero(alpha=0.1, beta=0.2)), columns=COLUMNS)
    out = read(tmp_path / "out.jsonl")
    assert [r["verdict"] for r in out] == [1, 1, 0, 0, 0, 0]
    assert [r["reward"] for r in out] == pytest.approx([0.8, 1.2, -0.1, 0.1, -0.1, 0.1], abs=1e-6)
    assert [r["weight"] for r in out] == pytest.approx([1.927787] * 4 + [1.472213] * 2, abs=1e-5)
    # mean reward of a is 0.5, of b 0; the weight is already in the advantage
    expected = [1.927787 * x for x in (0.3, 0.7, -0.6, -0.4)] + [-0.1472213, 0.1472213]
    assert [r["advantage"] for r in out] == pytest.approx(expected, abs=1e-5)
    assert summary.sigma_mean == pytest.approx(1.059017, abs=1e-6)
    assert (summary.groups.mixed, summary.groups.all_wrong, summary.groups.zero_gradient_verifier) == (0.5, 0.5, 0.5)
    assert summary.mean_abs_advantage["all_wrong"] == pytest.approx(0.1472213, abs=1e-5)
    assert summary.mean_reward == {
        "correct": pytest.approx(1.0, abs=1e-6),
        "incorrect": pytest.approx(0.0, abs=1e-6),
        "abstain": None,
    }


def by_hand(rows: list[dict], alpha: float = 0.05, beta: float = 0.05) -> list[tuple[float, float]]:
    """r-hat and w of Eq. 3 and 4 for complete rows, in plain Python, written from the paper."""
    prompts: dict[str, list[dict]] = {}
    for r in rows:
        prompts.setdefault(r["prompt_id"], []).append(r)
    sigma = {name: statistics.pstdev([r["rm_score"] for r in group]) for name, group in prompts.items()}
    sigma_bar = sum(sigma.values()) / len(sigma)
    result = []
    for r in rows:
        stratum = [o["rm_score"] for o in prompts[r["prompt_id"]] if o["correct"] == r["correct"]]
        z = (r["rm_score"] - min(stratum)) / (max(stratum) - min(stratum) + 1e-6)
        shaped = (1 - beta) + 2 * beta * z if r["correct"] == 1 else -alpha + 2 * alpha * z
        weight = 0.4 + (3.0 - 0.4) / (1 + math.exp(-6.0 * (sigma[r["prompt_id"]] - sigma_bar)))
        result.append((shaped, weight))
    return result


@pytest.mark.skipif(not REAL_FILE.is_file(), reason="needs the measured scores in ../shared/data/math_rm_scores.jsonl")
def test_real_scores_come_out_as_computed_by_hand(tmp_path: Path) -> None:
    score_file(REAL_FILE, tmp_path / "out.jsonl", reward(hero()), columns=COLUMNS, keep_rm_score=True)
    source, out = read(REAL_FILE), read(tmp_path / "out.jsonl")
    assert [{name: r[name] for name in source[0]} for r in out] == source
    for r, (shaped, weight) in zip(out, by_hand(source), strict=True):
        assert r["reward"] == pytest.approx(shaped, abs=1e-9)
        assert r["weight"] == pytest.approx(weight, abs=1e-9)
        assert r["weight"] * r["reward"] == pytest.approx(weight * shaped, abs=1e-9)  # r_final of Eq. 5


@pytest.mark.parametrize("scale", ["none", "group", "batch"])
@pytest.mark.parametrize("rule", [hero(), gdpo(), naive_sum(normalize="zscore")], ids=lambda rule: rule.name)
def test_small_chunks_and_shuffled_rows_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rule: RewardRule, scale: str
) -> None:
    rows = random_rows(60, seed=1)
    verdicts = np.array([np.nan if r["correct"] is None else r["correct"] for r in rows], dtype=float)
    scores = np.array([np.nan if r["rm_score"] is None else r["rm_score"] for r in rows], dtype=float)
    groups = [r["prompt_id"] for r in rows]
    output = rule.apply(verdicts, scores, groups, running_mean(None))  # the whole file as the first and only batch
    advantages = group_advantages(output.rewards, groups, scale=scale, weights_B=output.weights)  # type: ignore[arg-type]
    shuffled = random.Random(2).sample(rows, len(rows))

    monkeypatch.setattr(verify, "CHUNK_ROWS", 7)
    for name, order in (("sorted", rows), ("shuffled", shuffled)):
        source, target = write(tmp_path / f"{name}.jsonl", order), tmp_path / f"{name}.out.jsonl"
        score_file(source, target, reward(rule), columns=COLUMNS, scale=scale)  # type: ignore[arg-type]
        out = read(target)
        assert [r["number"] for r in out] == [r["number"] for r in order]
        for r in out:
            here = r["number"]
            expected = output.rewards[here]
            assert (r["reward"] is None) == math.isnan(expected)
            assert r["reward"] is None or r["reward"] == pytest.approx(expected, abs=1e-9)
            assert r["weight"] == pytest.approx(output.weights[here], abs=1e-9)
            assert r["advantage"] == pytest.approx(advantages[here], abs=1e-9)
            assert r["rm_score"] == rows[here]["rm_score"]
            assert r["verdict"] == rows[here]["correct"]


def test_old_results_in_the_input_are_replaced(tmp_path: Path) -> None:
    rows = [row("a", 1, 1.0, reward="old", weight=None, note=1), row("a", 0, 2.0, reward="old", weight=None, note=2)]
    score_file(write(tmp_path / "in.jsonl", rows), tmp_path / "out.jsonl", reward(verifier_only()), columns=COLUMNS)
    out = read(tmp_path / "out.jsonl")
    assert [r["reward"] for r in out] == [1.0, 0.0]
    assert list(out[0]) == [
        "prompt_id", "problem", "reference", "response", "correct", "note",
        "verdict", "reason", "rm_score", "reward", "weight", "advantage",
    ]  # fmt: skip


class FlakyVerifier(RowVerifier):
    """Breaks on every response that says so; a verifier of a test's own, as a user may write one."""

    name = "flaky"

    def judge(self, rollout: Rollout, /) -> Verdict:
        return Verdict("abstain", "timeout", failed=True) if rollout.extra["breaks"] else Verdict("correct", "equal")


@pytest.mark.parametrize("broken", [10, 11])
def test_failures_are_counted_over_the_whole_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: int) -> None:
    monkeypatch.setattr(verify, "CHUNK_ROWS", 8)
    # all failures in the first rows: the share of the first chunks is 100%, the file's is 10% or 11%
    source = write(tmp_path / "in.jsonl", [row("a", 1, 1.0, breaks=number < broken) for number in range(100)])
    together = HybridReward(FlakyVerifier(), None, verifier_only(), max_failure_rate=0.1)
    for run in (
        lambda: score_file(source, tmp_path / "out.jsonl", together).verdicts,
        lambda: verify_file(source, tmp_path / "out.jsonl", FlakyVerifier(), max_failure_rate=0.1),
    ):
        if broken == 10:
            assert run().failures == 10
            (tmp_path / "out.jsonl").unlink()
        else:
            with pytest.raises(SignalError, match="11 of the first 16 rows failed in flaky; at most 10%"):
                run()
        assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_one_broken_row_of_a_small_file_costs_that_row_only(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", [row("a", 1, 1.0, breaks=number == 2) for number in range(5)])
    reward = HybridReward(FlakyVerifier(), None, verifier_only())
    assert score_file(source, tmp_path / "out.jsonl", reward).verdicts.failures == 1
    assert verify_file(source, tmp_path / "out.jsonl", FlakyVerifier()).failures == 1
    with pytest.raises(SignalError, match="at most 0%"):
        verify_file(source, tmp_path / "out.jsonl", FlakyVerifier(), max_failure_rate=0.0)


def test_a_file_that_changes_between_measuring_and_writing_is_refused(tmp_path: Path) -> None:
    rows = [row("a", 1, 1.0), row("a", 0, 2.0)]
    source = write(tmp_path / "in.jsonl", rows)

    def change(stage: str, done: int, total: int | None) -> None:
        if stage == "shape":  # the same prompts in another order: the numbers would land on the wrong rows
            write(source, rows[::-1])

    with pytest.raises(InputError, match="changed while it was being read"):
        score_file(source, tmp_path / "out.jsonl", reward(verifier_only()), progress=change)
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", [row("a", 1, 1.0), row("a", 0, 2.0)])

    def change_then_make() -> HybridReward:
        write(source, [row("a", 1, 1.0), row("b", 0, 2.0)])
        return reward(hero())

    with pytest.raises(InputError, match="changed while it was being read"):
        score_file(source, tmp_path / "out.jsonl", change_then_make, columns=COLUMNS)
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_rows_are_checked_before_the_reward_is_made(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", [row("a", 1, 1.0), row("a", 0, "high")])  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"in\.jsonl:2"):
        score_file(source, tmp_path / "out.jsonl", lambda: pytest.fail("made too early"), columns=COLUMNS)


def test_verify_needs_no_groups(tmp_path: Path) -> None:
    rows = [{"problem": "?", "reference": "1", "response": "1", "correct": label} for label in (1, 0, None, True)]
    source = write(tmp_path / "in.jsonl", rows)
    summary = verify_file(source, tmp_path / "out.jsonl", ColumnVerifier("correct"))
    assert [r["verdict"] for r in read(tmp_path / "out.jsonl")] == [1, 0, None, 1]
    assert (summary.correct, summary.incorrect, summary.abstained, summary.reasons) == (2, 1, 1, {"label": 3, "no_label": 1})
