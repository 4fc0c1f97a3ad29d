"""HERO in ART (openpipe-art): a function for ``after_each`` that rewards the trajectories of a group.

    hero_score = GroupScore(GroupJudge(HybridReward(MathVerifier(), reward_model, hero()), state_file="hero_rl.json"))
    groups = await art.gather_trajectory_groups(rollouts, after_each=hero_score)
    await backend.train(model, groups, scale_rewards=False)         # ART's default divides by the group's standard deviation

    groups = await art.gather_trajectory_groups(validation, after_each=hero_score.evaluate)

``metadata`` of the group or of its trajectories has the ``reference``, and the bare ``problem`` where it is not the last user
turn. ART trains with reward minus group mean, so it takes the advantages as rewards. ART is not imported. Written against
openpipe-art 0.5.18.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from hero_rl.engines.completions import to_rollout
from hero_rl.engines.groups import GroupJudge, for_log, for_trainer
from hero_rl.errors import InputError
from hero_rl.types import Rollout

T = TypeVar("T")


class GroupScore:
    """Rewards the trajectories of an ``art.TrajectoryGroup`` in place; their old reward becomes a metric."""

    def __init__(self, judge: GroupJudge) -> None:
        """Score with ``judge``."""
        self.judge = judge

    async def __call__(self, group: T) -> T:
        """Return the group with advantages as rewards.

        Raises:
            SignalError: too many failures; ART's gather stops.
            InputError: a trajectory without reference or without an answer.
        """
        return await self._score(group, training=True)

    async def evaluate(self, group: T) -> T:
        """Return the group with bare verdicts as rewards; the state stays as it is."""
        return await self._score(group, training=False)

    async def _score(self, group: Any, *, training: bool) -> Any:
        if not group.trajectories:  # all of them failed
            return group
        ask = self.judge.needs_reference
        rollouts = [_rollout(one, {**group.metadata, **one.metadata}, needs_reference=ask) for one in group.trajectories]
        found = await self.judge(rollouts, update=training)
        for place, (one, reward) in enumerate(zip(group.trajectories, for_trainer(found, training=training), strict=True)):
            one.metrics |= {"independent_reward": one.reward, **for_log(found, place)}
            one.reward = reward
        return group


def _rollout(trajectory: Any, metadata: Mapping[str, Any], *, needs_reference: bool) -> Rollout:
    messages = trajectory.messages()
    answers = [place for place, message in enumerate(messages) if message["role"] == "assistant"]
    if not answers:
        raise InputError(f"a trajectory of {len(messages)} messages has no assistant's message; nothing can be judged")
    reason = getattr(trajectory.messages_and_choices[answers[-1]], "finish_reason", None)  # of a Choice; a message has none
    prompt, answer = messages[: answers[-1]], messages[answers[-1]]
    finished = None if reason is None else reason != "length"
    row = {**metadata, "prompt_id": "group"}
    return to_rollout(prompt, [answer], row, finished=finished, needs_reference=needs_reference)
