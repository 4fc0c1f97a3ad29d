"""tinker-cookbook's own rollouts, evaluation and data processing; a stand-in samples."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from helpers import tiny
from helpers.adapters import GROUP, Sampler, groups, packages, reward, wanted
from hero_rl.engines.groups import GroupJudge
from hero_rl.engines.service.client import RewardClient
from hero_rl.engines.tinker import HeroDataset, HeroGroup
from hero_rl.errors import InputError, SignalError
from hero_rl.pipeline import HybridReward
from hero_rl.rewards import hero, verifier_only
from hero_rl.scorers import ColumnScorer
from hero_rl.types import Rollout
from hero_rl.verifiers import ExactVerifier


@pytest.fixture(scope="module")
def tk() -> Iterator[Any]:
    with packages():
        import tinker
        from tinker_cookbook import completers, renderers
        from tinker_cookbook.rl import data_processing, metric_util, problem_env, rollout_strategy, rollouts, types

        yield SimpleNamespace(
            tinker=tinker, completers=completers, renderers=renderers, data=data_processing, metrics=metric_util,
            problem_env=problem_env, strategy=rollout_strategy, rollouts=rollouts, types=types,
        )  # fmt: skip


def policy(tk: Any, sampled: list[list[Rollout]]) -> Any:
    sampler = Sampler(sampled)

    class StandIn(tk.completers.TokenCompleter):
        async def __call__(self, model_input: Any, stop: Any, *, max_tokens: int | None = None) -> Any:
            tokens = await sampler.sample(sampler.tokenizer.decode(model_input.to_ints()))
            return tk.completers.TokensWithLogprobs(tokens=tokens, maybe_logprobs=[-1.0] * len(tokens))

    return StandIn()


def dataset(tk: Any, sampled: list[list[Rollout]]) -> Any:
    """One batch of problems whose own environments reward every step."""
    renderer = tk.renderers.get_renderer("role_colon", tiny.tokenizer())

    class Env(tk.problem_env.ProblemEnv):
        def __init__(self, problem: str, reference: str) -> None:
            super().__init__(renderer)
            self.problem, self.reference = problem, reference

        def get_question(self) -> str:
            return self.problem

        def check_answer(self, sample_str: str) -> bool:
            return "b" in sample_str

        def check_format(self, sample_str: str) -> bool:
            return False

        def get_reference_answer(self) -> str:
            return self.reference

    class Problems(tk.types.RLDataset):
        def get_batch(self, index: int) -> list[Any]:
            firsts = [group[0] for group in sampled]
            return [
                tk.problem_env.ProblemGroupBuilder(lambda one=one: Env(one.problem, one.reference), GROUP) for one in firsts
            ]

        def __len__(self) -> int:
            return 1

    return Problems()


async def roll_out(tk: Any, data: HeroDataset, sampled: list[list[Rollout]]) -> list[Any]:
    """One group after the other, so that the state moves in their order."""
    samples = policy(tk, sampled)
    return [await tk.rollouts.do_group_rollout(builder, samples) for builder in data.get_batch(0)]


def test_tinker_trains_with_heros_advantages(tk: Any, tmp_path: Path) -> None:
    sampled, state = groups(), tmp_path / "state.json"
    want = wanted(sampled)
    for part in (slice(0, 2), slice(2, 4)):  # the second run goes on from the file
        judge = GroupJudge(reward(), state_file=state)
        rolled = asyncio.run(roll_out(tk, HeroDataset(dataset(tk, sampled[part]), judge), sampled[part]))
        assert rolled[0].trajectories_G[0].transitions[0].reward != 0.0  # the environment has a reward of its own
        advantages = tk.data.compute_advantages(rolled)
        data, where = tk.data.assemble_training_data(rolled, advantages)
        for datum, place in zip(data, where, strict=True):
            values, mask = (datum.loss_fn_inputs[name].to_torch().numpy() for name in ("advantages", "mask"))
            expected = want[part][place["group_idx"]].advantages[place["traj_idx"]]
            np.testing.assert_allclose(values[mask > 0], expected, rtol=0, atol=1e-6)
        for group, batch in zip(rolled, want[part], strict=True):
            np.testing.assert_allclose([one["hero/reward"] for one in group.metrics_G], batch.rewards, rtol=0, atol=1e-12)
    assert judge.reward.state_dict()["state"]["updates"] == len(sampled)


def test_in_tinkers_evaluation_the_reward_is_the_verdict_and_the_state_stays(tk: Any) -> None:
    sampled, judge = groups(), GroupJudge(reward())
    before = judge.reward.state_dict()
    evaluator = tk.metrics.RLTestSetEvaluator(HeroDataset(dataset(tk, sampled), judge, training=False), max_tokens=8)
    metrics = asyncio.run(evaluator.eval_token_completer(policy(tk, sampled)))
    correct = np.mean([batch.signals.verdicts == 1.0 for batch in wanted(sampled)])
    assert metrics["test/env/all/reward/total"] == pytest.approx(correct)
    assert metrics["test/env/all/hero/correct"] == pytest.approx(correct)
    assert judge.reward.state_dict() == before


def test_a_dead_verifier_stops_tinker_or_is_logged_where_tinker_goes_on(tk: Any, caplog: pytest.LogCaptureFixture) -> None:
    sampled = groups(1)
    dead = HybridReward(tiny.Letters(fail=lambda rollout: True), tiny.Characters(), hero())
    data = HeroDataset(dataset(tk, sampled), GroupJudge(dead))
    with pytest.raises(SignalError, match="8 of 8 rows"):
        asyncio.run(roll_out(tk, data, sampled))
    assert "8 of 8 rows" in caplog.text


def test_groups_cross_processes_only_where_no_state_would_be_lost() -> None:
    with pytest.raises(InputError, match="reward service"):
        pickle.dumps(HeroGroup(None, GroupJudge(reward())))
    exact = ExactVerifier(), ColumnScorer("rm_score")
    for kept in (
        HeroGroup(None, GroupJudge(RewardClient("http://nowhere:1"))),
        HeroGroup(None, GroupJudge(HybridReward(*exact, hero())), training=False),
        HeroGroup(None, GroupJudge(HybridReward(*exact, verifier_only()))),
    ):
        assert pickle.loads(pickle.dumps(kept)).training == kept.training
