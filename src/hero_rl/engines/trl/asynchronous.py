"""HERO on TRL's experimental ``AsyncGRPOTrainer``: responses are judged while others are still being sampled.

    worker = HeroRolloutWorker(reward_funcs=[GroupReward(reward)], ...)   # in a process of its own
    AsyncGRPOTrainer(..., reward_funcs=[...], rollout_worker=worker)

TRL's rollout worker samples from a vLLM server and scores complete groups at the same time. It gives a reward function whole
groups, but always divides by the group's standard deviation, which cancels prompt weights and blows the bands up. So
``GroupReward`` returns finished advantages as "rewards", and ``HeroRolloutLoop`` restores them after TRL has normalised them.

One method is extended, ``_score_group``, and it calls ``super()``. Private to TRL, as are the two classes: a test runs them.
Sampling, queues, weight transfer, loss and checkpoints are TRL's own. The synchronous ``HeroTrainer`` cannot judge while it
samples: see docs/training-reference.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trl.experimental.async_grpo.async_rollout_worker import AsyncRolloutWorker, _AsyncRolloutLoop

from hero_rl.engines.completions import Prompt, to_rollouts
from hero_rl.engines.groups import GroupJudge
from hero_rl.pipeline import HybridReward


class GroupReward:
    """A TRL reward function for one whole group: advantages, mean 0, with the prompt's weight in them.

    Verifier and reward model work on the rollout worker's event loop, so they should be asynchronous (a ``RemoteScorer``, a
    sandbox): computing on that loop holds sampling up. The worker's process sees no GPU. Picklable if verifier and reward model
    are.
    """

    def __init__(self, reward: HybridReward, eos_token_ids: Sequence[int], *, state_file: Path | None = None) -> None:
        """Judge with ``reward``.

        Args:
            reward: verifier, reward model and rule.
            eos_token_ids: the tokens that end a completion.
            state_file: where the rule's state is kept, after every group, and read from at the start. TRL's checkpoints do
                not hold it: without a file a resumed run starts anew.

        Raises:
            InputError: a rule that shapes steps.
        """
        self.judge, self.eos_token_ids = GroupJudge(reward, state_file=state_file), frozenset(eos_token_ids)
        self.__name__ = f"hero_{reward.rule.name}"  # its name in TRL's logs

    async def __call__(
        self,
        prompts: Sequence[Prompt],
        completions: Sequence[Prompt],
        completion_ids: Sequence[Sequence[int]],
        **columns: Sequence[Any],
    ) -> list[float | None]:
        """Return one advantage per completion; None where the rule leaves it out.

        Raises:
            SignalError: verifier or reward model failed on too much of the group; TRL's worker stops, and its trainer with it.
        """
        rollouts = to_rollouts(
            prompts, completions, completion_ids, {**columns, "prompt_id": ["group"] * len(prompts)}, self.eos_token_ids,
            needs_reference=self.judge.needs_reference,
        )  # fmt: skip
        found = await self.judge(rollouts)
        return [None if math.isnan(reward) else a for reward, a in zip(found.rewards, found.advantages.tolist(), strict=True)]


class HeroRolloutLoop(_AsyncRolloutLoop):
    """TRL's loop, with the sum of the rewards as the advantage."""

    async def _score_group(self, group: Any) -> list[Any]:
        """Return TRL's training samples, without its division by the group's standard deviation."""
        samples = await super()._score_group(group)
        for sample in samples:
            advantage = sample.metrics["reward"]
            sample.advantage = 0.0 if math.isnan(advantage) else advantage
        return samples


class HeroRolloutWorker(AsyncRolloutWorker):
    """TRL's rollout worker with ``HeroRolloutLoop`` in its process; needs vLLM, as TRL's own."""

    _loop_cls = HeroRolloutLoop
