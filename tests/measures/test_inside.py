"""The verdict on how scores rank inside prompts."""

from __future__ import annotations

import numpy as np
import pytest

from hero_rl.measures import FEW_PROMPTS, ranking_inside


def judge(prompts: int, gain: float, seed: int = 0):
    rng = np.random.default_rng(seed)
    right, groups = np.tile([True, False, False, True], prompts), np.repeat(np.arange(prompts), 4)
    return ranking_inside(rng.normal(size=4 * prompts) + gain * right, right, groups, np.ones(4 * prompts, dtype=bool))


@pytest.mark.parametrize(
    ("prompts", "gain", "ranks"),
    [
        (60, 2.0, "better than chance"), (60, -2.0, "worse than chance"), (60, 0.0, "no better than chance"),
        (FEW_PROMPTS - 1, 9.0, "unknown"), (0, 0.0, "unknown"),
    ],
)  # fmt: skip
def test_the_interval_over_prompts_decides(prompts: int, gain: float, ranks: str) -> None:
    found = judge(prompts, gain)
    assert found.ranks == ranks
    assert bool(found.missing) == (ranks in ("unknown", "no better than chance"))
    assert found.missing in found.words()


def test_scores_of_chance_are_called_better_about_once_in_forty() -> None:
    assert sum(judge(30, 0.0, seed).ranks == "better than chance" for seed in range(400)) <= 20


def test_as_many_more_prompts_as_it_names_tell_a_weak_score_from_chance() -> None:
    found = judge(15, 0.3, seed=4)
    assert found.ranks == "no better than chance"
    more = int(found.missing.split("about ")[1].split(" more")[0].replace(",", ""))
    spread = found.auroc_P.std(ddof=1) / np.sqrt(15 + more)
    assert abs(found.mean.value - 0.5) / spread == pytest.approx(2.1, abs=0.15)  # Student's quantile of the 15
