"""One group at a time: the same result in this process and from the service."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs the extra 'serve'")

from helpers import tiny
from helpers.service import COLUMNS, serving
from hero_rl.engines.groups import GroupJudge, for_log, for_trainer
from hero_rl.engines.service.client import RewardClient
from hero_rl.errors import InputError, SignalError
from hero_rl.pipeline import HybridReward
from hero_rl.rewards import hero, process
from hero_rl.scorers import ColumnScorer
from hero_rl.types import Rollout
from hero_rl.verifiers import ColumnVerifier


def group(*rows: tuple[int | None, float | None], problem: str = "1+1?") -> list[Rollout]:
    return [
        Rollout(prompt_id=f"{place}", problem=problem, reference="2", response=f"answer {place}",
                extra={"correct": correct, "rm_score": score})
        for place, (correct, score) in enumerate(rows)
    ]  # fmt: skip


GROUPS = [
    group((1, 2.0), (0, 1.0), (0, -1.0), (None, 0.5)),
    group((0, 2.0), (0, 1.0), (0, -1.0), problem="2+2?"),
    group((1, 0.25), (1, 0.5), (1, 1.0), (0, 0.0), problem="3+3?"),
]


def test_a_group_has_the_same_result_here_and_from_the_service() -> None:
    here = GroupJudge(HybridReward(ColumnVerifier("correct"), ColumnScorer("rm_score"), hero()))
    with serving(*COLUMNS) as server:
        there = GroupJudge(RewardClient(server.url))
        for update in (True, False):
            for rollouts in GROUPS:
                mine = asyncio.run(here(rollouts, update=update))
                other = asyncio.run(there(rollouts, update=update))
                for name in ("verdicts", "rm_scores", "rewards", "advantages", "weight"):
                    np.testing.assert_allclose(getattr(mine, name), getattr(other, name), rtol=0, atol=1e-12, err_msg=name)
                assert mine.advantages.sum() == pytest.approx(0.0, abs=1e-12)
        assert isinstance(there.reward, RewardClient)
        assert there.reward.state()["state"]["updates"] == len(GROUPS)
        with pytest.raises(InputError, match="different problems"):
            asyncio.run(there([*GROUPS[0], *GROUPS[1]]))


def test_a_trainer_gets_advantages_and_an_evaluation_verdicts_and_a_log_only_what_is_known() -> None:
    judge = GroupJudge(HybridReward(ColumnVerifier("correct"), ColumnScorer("rm_score"), hero()))
    found = asyncio.run(judge(group((1, 2.0), (0, 1.0), (0, None), (None, 0.5))))
    assert for_trainer(found, training=True) == found.advantages.tolist()
    assert for_trainer(found, training=False) == [1.0, 0.0, 0.0, 0.0]
    assert "hero/rm_score" not in for_log(found, 2)
    assert [for_log(found, place)["hero/abstained"] for place in range(4)] == [0.0, 0.0, 0.0, 1.0]
    assert [for_log(found, place)["hero/rm_ok"] for place in range(4)] == [1.0, 1.0, 0.0, 1.0]


def test_a_judge_refuses_what_it_cannot_keep_and_logs_what_a_trainer_may_swallow(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(InputError, match="keeps the state"):
        GroupJudge(RewardClient("http://nowhere:1"), state_file=tmp_path / "state.json")
    with pytest.raises(InputError, match="advantages of tokens"):
        GroupJudge(HybridReward(tiny.Letters(), tiny.Pairs(), process()))
    dead = GroupJudge(
        HybridReward(tiny.Letters(fail=lambda one: True), None, hero(weighting=False, dense="none"), max_failure_rate=0.0)
    )
    with caplog.at_level(logging.ERROR), pytest.raises(SignalError):
        asyncio.run(dead(GROUPS[0]))
    assert "4 of the last 4 rows" in caplog.text
