"""ART's own gather, trajectories and tokenized training data; the responses are given.

``art/__init__.py`` is not run: it imports the clients of hosted services. All of ART that is used here is its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from helpers import tiny
from helpers.adapters import groups, packages, reward, wanted
from hero_rl.engines.art import GroupScore
from hero_rl.engines.groups import GroupJudge
from hero_rl.errors import InputError, SignalError
from hero_rl.pipeline import HybridReward
from hero_rl.rewards import hero
from hero_rl.types import Rollout

OLD = 7.0


@pytest.fixture(scope="module")
def art() -> Iterator[Any]:
    with packages(bare=("art",)):
        import art.gather
        import art.preprocessing.tokenize
        import art.trajectories

        yield SimpleNamespace(
            gather=art.gather.gather_trajectory_groups, tokenize=art.preprocessing.tokenize.tokenize_trajectory_groups,
            Trajectory=art.trajectories.Trajectory, TrajectoryGroup=art.trajectories.TrajectoryGroup,
        )  # fmt: skip


def roll_out(art: Any, sampled: list[list[Rollout]], after_each: Any) -> list[Any]:
    """ART's gather, one group after the other, so that the state moves in their order."""

    async def trajectory(one: Rollout) -> Any:
        messages = [{"role": "user", "content": one.problem}, {"role": "assistant", "content": one.response}]
        return art.Trajectory(messages_and_choices=messages, reward=OLD, metadata={"place": one.prompt_id})

    async def gather() -> list[Any]:
        made = []
        for group in sampled:
            waiting = art.TrajectoryGroup((trajectory(one) for one in group), metadata={"reference": group[0].reference})
            made += await art.gather([waiting], after_each=after_each, pbar_desc=None)
        return made

    return asyncio.run(gather())


def test_art_trains_with_heros_advantages(art: Any, tmp_path: Path) -> None:
    sampled, state = groups(), tmp_path / "state.json"
    want = wanted(sampled)
    for part in (slice(0, 2), slice(2, 4)):  # the second run goes on from the file
        score = GroupScore(GroupJudge(reward(), state_file=state))
        rolled = roll_out(art, sampled[part], score)
        for group, batch, rollouts in zip(rolled, want[part], sampled[part], strict=True):
            expected = dict(zip((one.response for one in rollouts), batch.advantages, strict=True))
            trained = art.tokenize(
                tiny.tokenizer(), [group], allow_training_without_logprobs=True, scale_rewards=False,
                drop_zero_advantage_trajectories=False,
            )  # fmt: skip
            found = {one.trajectory.messages()[-1]["content"]: one.advantage for one in trained}
            assert found == pytest.approx(expected, rel=0, abs=1e-6)
            assert {one.metrics["independent_reward"] for one in group} == {OLD}
            shaped = {one.messages()[-1]["content"]: one.metrics["hero/reward"] for one in group}
            assert [shaped[one.response] for one in rollouts] == pytest.approx(batch.rewards.tolist())


def test_in_arts_validation_the_reward_is_the_verdict_and_the_state_stays(art: Any) -> None:
    sampled, score = groups(), GroupScore(GroupJudge(reward()))
    before = score.judge.reward.state_dict()
    rolled = roll_out(art, sampled, score.evaluate)
    correct = np.mean([batch.signals.verdicts == 1.0 for batch in wanted(sampled)])
    assert np.mean([one.reward for group in rolled for one in group]) == pytest.approx(correct)
    assert score.judge.reward.state_dict() == before


def test_a_dead_verifier_or_a_missing_reference_stops_arts_gather(art: Any) -> None:
    dead = HybridReward(tiny.Letters(fail=lambda rollout: True), tiny.Characters(), hero())
    with pytest.raises(SignalError, match="8 of 8 rows"):
        roll_out(art, groups(1), GroupScore(GroupJudge(dead)))

    async def forget(group: Any) -> Any:
        group.metadata.pop("reference")
        return await GroupScore(GroupJudge(reward()))(group)

    with pytest.raises(InputError, match="no column 'reference'"):
        roll_out(art, groups(1), forget)


def test_the_last_answer_of_an_agent_is_judged_and_a_choice_says_whether_it_is_whole(art: Any) -> None:
    from openai.types.chat.chat_completion import Choice
    from openai.types.chat.chat_completion_message import ChatCompletionMessage

    class Seen(tiny.Letters):
        pass

    verifier = Seen()
    score = GroupScore(GroupJudge(HybridReward(verifier, tiny.Characters(), hero())))
    turns: list[Any] = [
        {"role": "user", "content": "1+1=?"}, {"role": "assistant", "content": "let me see"},
        {"role": "tool", "content": "2", "tool_call_id": "a"},
    ]  # fmt: skip
    ends = [
        Choice(index=0, finish_reason=reason, message=ChatCompletionMessage(role="assistant", content=text))
        for reason, text in (("stop", "a2"), ("length", "b2"))
    ]
    group = art.TrajectoryGroup(
        [art.Trajectory(messages_and_choices=[*turns, end]) for end in ends], metadata={"reference": "2", "problem": "what?"}
    )
    asyncio.run(score(group))
    ((first, second),) = verifier.seen
    assert (first.response, first.finished, first.problem, len(first.messages)) == ("a2", True, "what?", 3)
    assert (second.response, second.finished) == ("b2", False)
    assert group.trajectories[0].reward > 0.0 > group.trajectories[1].reward
