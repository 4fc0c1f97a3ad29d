"""The lab's reward models as process reward models: every step of a response is scored by the response up to its end.

The scalar ones were taught at each semicolon whether everything so far is right, and are asked there. The likelihood of a
beginning falls with every token: for that one (tier ``robust``) take ``process:signal=change``, which makes it the likelihood
of the step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from hero_rl.types import FloatArray, IntArray, Rollout, Scorer, StepScorer, StepScores

SEPARATOR = ";"


class PrefixScorer(StepScorer):
    """A StepScorer around a Scorer of the lab. A step ends behind each semicolon, and the last one at the end."""

    def __init__(self, scorer: Scorer) -> None:
        """Score with ``scorer``, which reads a rollout with ``finished=False`` as one that goes on."""
        self.name, self.scorer = scorer.name, scorer

    async def ascore(self, rollouts: Sequence[Rollout], /) -> FloatArray:
        """Return the scores of the whole responses, shape (B,)."""
        return await self.scorer.ascore(rollouts)

    async def ascore_steps(self, rollouts: Sequence[Rollout], /) -> StepScores:
        """The scores of the whole responses, which are those of their last steps, and of the steps before."""
        prefixes: list[Rollout] = []
        counts: list[int] = []
        for rollout in rollouts:
            *before, _ = self.step_ends(rollout).tolist()
            prefixes += [replace(rollout, response=rollout.response[:end], finished=False) for end in before]
            prefixes.append(rollout)
            counts.append(len(before) + 1)
        if not prefixes:
            return StepScores(np.zeros(0), ())
        steps = np.split(await self.scorer.ascore(prefixes), np.cumsum(counts)[:-1])
        return StepScores(np.array([scores[-1] for scores in steps]), tuple(steps))

    def step_ends(self, rollout: Rollout, /) -> IntArray:
        """Shape (steps,): where each step ends in the response, in characters; at least one."""
        response = rollout.response
        ends = [place + 1 for place, character in enumerate(response) if character == SEPARATOR]
        # Behind a last semicolon there is still the end token, unless the response was cut off there.
        if not (ends and ends[-1] == len(response) and rollout.finished is False):
            ends.append(len(response))
        return np.array(ends, dtype=np.intp)

    def close(self) -> None:
        """Close the scorer."""
        self.scorer.close()
