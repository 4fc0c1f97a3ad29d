"""HERO on TRL's experimental ``AsyncGRPOTrainer``: responses are judged while others are still being sampled.

    worker = HeroRolloutWorker(reward_funcs=[GroupReward(reward)], ...)   # in a process of its own
    AsyncGRPOTrainer(..., reward_funcs=[...], rollout_worker=worker)

TRL's rollout worker samples from a vLLM server and scores every group that is complete, at the same time. It hands a reward
function whole groups, which is all that HERO needs, but divides by the group's standard deviation whatever the settings, which
takes prompt weights out again and blows the bands up. So ``GroupReward`` returns finished advantages as "rewards", and
``HeroRolloutLoop`` puts them back where TRL has normalised them.

One method is extended, ``_score_group``, and it calls ``super()``. Private to TRL, as are the two classes: a test runs them.
What this is not: a trainer. Sampling, queues, weight transfer, loss and checkpoints are TRL's own. The synchronous
``HeroTrainer`` cannot judge while it samples: see docs/training.md.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trl.experimental.async_grpo.async_rollout_worker import AsyncRolloutWorker, _AsyncRolloutLoop

from hero_rl.engines.steps import refuse_steps
from hero_rl.engines.trl.signals import Prompt, to_rollout
from hero_rl.files import write_text
from hero_rl.pipeline import HybridReward


class GroupReward:
    """A TRL reward function for one whole group: advantages, mean 0, with the prompt's weight in them.

    Verifier and reward model work side by side, on the rollout worker's event loop, so they should be asynchronous by
    nature (a ``RemoteScorer``, a sandbox): what computes on that loop holds sampling up. The worker's process sees no GPU.
    Picklable, as the worker wants it, if verifier and reward model are.
    """

    def __init__(self, reward: HybridReward, eos_token_ids: Sequence[int], *, state_file: Path | None = None) -> None:
        """Judge with ``reward``.

        Args:
            reward: verifier, reward model and rule.
            eos_token_ids: the tokens that end a completion.
            state_file: where the rule's state is kept, after every group, and read from at the start. TRL's own
                checkpoints know nothing of it, so without a file a resumed run starts it anew.

        Raises:
            InputError: a rule that shapes steps.
        """
        refuse_steps(reward.rule)
        self.reward, self.eos_token_ids, self.state_file = reward, frozenset(eos_token_ids), state_file
        self.__name__ = f"hero_{reward.rule.name}"  # what TRL logs it as
        self._loaded = state_file is None

    async def __call__(
        self,
        prompts: Sequence[Prompt],
        completions: Sequence[Prompt],
        completion_ids: Sequence[Sequence[int]],
        **columns: Sequence[Any],
    ) -> list[float | None]:
        """One advantage a completion; None where the rule leaves it out.

        Raises:
            SignalError: verifier or reward model failed on too much of the group; TRL's worker stops, and its trainer with it.
        """
        self._load()
        rollouts = [
            to_rollout(prompt, completion, {name: values[row] for name, values in columns.items()} | {"prompt_id": "group"},
                       finished=bool(ids) and ids[-1] in self.eos_token_ids, needs_reference=self.reward.verifier is not None)
            for row, (prompt, completion, ids) in enumerate(zip(prompts, completions, completion_ids, strict=True))
        ]  # fmt: skip
        batch = await self.reward.abatch(rollouts, scale="none")
        if self.state_file is not None:
            write_text(self.state_file, json.dumps(self.reward.state_dict()) + "\n")
        return [None if math.isnan(reward) else a for reward, a in zip(batch.rewards, batch.advantages.tolist(), strict=True)]

    def _load(self) -> None:
        """Once, in the worker's process: the state may have moved since this object was made and pickled."""
        if not self._loaded and self.state_file is not None and self.state_file.exists():
            self.reward.load_state_dict(json.loads(self.state_file.read_text(encoding="utf-8")))
        self._loaded = True


class HeroRolloutLoop(_AsyncRolloutLoop):
    """TRL's loop, which takes the sum of its rewards for the advantage, as ``GroupReward`` means it."""

    async def _score_group(self, group: Any) -> list[Any]:
        """TRL's training samples, without its division by the group's standard deviation."""
        samples = await super()._score_group(group)
        for sample in samples:
            advantage = sample.metrics["reward"]
            sample.advantage = 0.0 if math.isnan(advantage) else advantage
        return samples


class HeroRolloutWorker(AsyncRolloutWorker):
    """TRL's rollout worker with ``HeroRolloutLoop`` in its process; needs vLLM, as TRL's own."""

    _loop_cls = HeroRolloutLoop
