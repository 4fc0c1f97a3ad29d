"""The worlds of benchmarks/worlds.py are what their settings say, and the table's arithmetic against figures by hand."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.places import load_benchmark
from hero_rl.measures import auroc
from hero_rl.rewards import rm_only, verifier_only

worlds = load_benchmark("worlds")


def seen(world):
    """Verdicts, scores and truth of forty batches."""
    run = list(worlds.batches(world, 40, 0))
    return [np.concatenate([getattr(batch, name) for batch in run]) for name in ("verdicts", "scores", "right")]


def test_recall_false_positives_accuracy_and_auroc_are_those_of_the_world() -> None:
    world = worlds.World(recall=0.4, false_positives=0.05, auroc=(0.8, 0.8), accuracy=(0.3, 0.3), offset=0.0)
    verdicts, scores, right = seen(world)
    assert verdicts[right == 1].mean() == pytest.approx(0.4, abs=0.03)
    assert verdicts[right == 0].mean() == pytest.approx(0.05, abs=0.01)
    assert right.mean() == pytest.approx(0.3, abs=0.03)
    assert auroc(scores, right) == pytest.approx(0.8, abs=0.01)


def test_readable_prompts_share_the_recall_and_scores_decide_misses_where_they_should() -> None:
    verdicts, _, right = seen(worlds.World(recall=0.3, readable=0.5))
    assert verdicts[right == 1].mean() == pytest.approx(0.3, abs=0.03)
    verdicts, scores, right = seen(worlds.World(misses_follow_score=2.0, offset=0.0))
    found = scores[(right == 1) & (verdicts == 1)].mean() - scores[(right == 1) & (verdicts == 0)].mean()
    assert found > 0.5


def test_a_jump_and_hacking_come_when_the_world_says() -> None:
    run = list(worlds.batches(worlds.World(jump=5.0, accuracy=(0.5, 0.5), hacked=1.0), 11, 0))
    assert run[-1].scores.std() > 3 * run[0].scores.std()
    assert run[0].right.mean() == pytest.approx(0.5, abs=0.1)
    assert run[-1].right.sum() == 0


def test_there_are_32_worlds_and_the_verifier_alone_is_the_unit() -> None:
    assert len(worlds.WORLDS) == len(set(worlds.WORLDS.values())) == 32
    found = worlds.measure(["base"], {"one": lambda _: verifier_only(), "two": lambda _: rm_only()}, steps=5, seeds=[0])
    assert found["one"]["base"] == (1.0, pytest.approx(0.0, abs=0.05))
    assert found["two"]["base"].pressure > 0.8


def test_the_summary_by_hand() -> None:
    figures = {"a": worlds.Figures(2.0, 0.1), "b": worlds.Figures(0.5, 0.3)}
    assert worlds.summary(figures) == {"geometric_mean": 1.0, "worst": 0.5, "below_.96": 1, "pressure": 0.2}
