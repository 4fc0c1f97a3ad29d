"""HERO in tinker-cookbook: a dataset of groups whose rewards come from a verifier and a reward model.

    judge = GroupJudge(HybridReward(MathVerifier(), reward_model, hero()), state_file=f"{log_path}/hero_rl.json")

    @chz.chz
    class HeroMath(MathDatasetBuilder):
        async def __call__(self):
            train, test = await super().__call__()
            return HeroDataset(train, judge), HeroDataset(test, judge, training=False)

tinker-cookbook trains with reward minus group mean, so it gets the advantages as rewards. It is not imported. Written against
tinker-cookbook 0.6.1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hero_rl.engines.groups import GroupJudge, for_log, for_trainer
from hero_rl.errors import InputError
from hero_rl.pipeline import HybridReward
from hero_rl.types import Rollout


def problem_rollout(trajectory: Any, env: Any) -> Rollout:
    """Return the rollout of a trajectory of a ``ProblemEnv``, which has one turn."""
    action = trajectory.transitions[-1].ac
    content = env.renderer.parse_response(action.tokens)[0]["content"]
    if not isinstance(content, str):  # parts; thinking is no answer
        content = "".join(part["text"] for part in content if part["type"] == "text")
    return Rollout(
        prompt_id="group", problem=env.get_question(), reference=env.get_reference_answer(), response=content,
        finished=action.stop_reason == "stop",
    )  # fmt: skip


@dataclass(frozen=True)
class HeroGroup:
    """An ``EnvGroupBuilder`` with the environments of another and the rewards of HERO; see ``HeroDataset``."""

    builder: Any
    judge: GroupJudge
    training: bool = True
    rollout: Callable[[Any, Any], Rollout] = problem_rollout

    async def make_envs(self) -> Sequence[Any]:
        """Return the environments."""
        return await self.builder.make_envs()

    async def compute_group_rewards(
        self, trajectory_group: Sequence[Any], env_group: Sequence[Any]
    ) -> list[tuple[float, dict[str, float]]]:
        """Return the reward of each trajectory, and numbers to log.

        tinker-cookbook adds the rewards of the environment's steps; they are subtracted here, so that the total is HERO's.
        """
        rollouts = [self.rollout(trajectory, env) for trajectory, env in zip(trajectory_group, env_group, strict=True)]
        found = await self.judge(rollouts, update=self.training)
        totals = for_trainer(found, training=self.training)
        steps = [sum(step.reward for step in trajectory.transitions) for trajectory in trajectory_group]
        return [(total - own, for_log(found, place)) for place, (total, own) in enumerate(zip(totals, steps, strict=True))]

    async def cleanup(self) -> None:
        """Clean up the environments."""
        await self.builder.cleanup()

    def logging_tags(self) -> list[str]:
        """Return the tags of the builder."""
        return self.builder.logging_tags()

    def __getstate__(self) -> dict[str, Any]:
        """Refuse to take a state into another process, from which it would not come back."""
        reward = self.judge.reward
        if self.training and isinstance(reward, HybridReward) and reward.rule.stateful:
            raise InputError(
                f"a rollout executor would copy the state of the rule {reward.rule.name!r} into several processes; let a "
                "reward service keep it: GroupJudge(RewardClient(url))"
            )
        return self.__dict__


@dataclass(frozen=True)
class HeroDataset:
    """An ``RLDataset`` whose groups HERO judges."""

    dataset: Any
    judge: GroupJudge
    training: bool = True
    """False (a test set): the reward is the bare verdict, and the state stays as it is."""
    rollout: Callable[[Any, Any], Rollout] = problem_rollout
    """From a ``Trajectory`` and its ``Env``."""

    def get_batch(self, index: int) -> list[HeroGroup]:
        """Return the groups of a batch."""
        return [HeroGroup(builder, self.judge, self.training, self.rollout) for builder in self.dataset.get_batch(index)]

    def __len__(self) -> int:
        return len(self.dataset)
