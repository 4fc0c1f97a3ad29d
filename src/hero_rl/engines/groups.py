"""HERO for trainers that hand over one whole group at a time: ART, OpenRLHF, tinker, TRL's asynchronous trainer.

A group is a batch of its own for the rule's state, so ``hero``'s ``decay`` counts prompts. No trainer is imported here.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Sequence
from pathlib import Path

from hero_rl.engines.service.client import GroupReward, RewardClient
from hero_rl.engines.wire import refuse_steps
from hero_rl.errors import InputError, SignalError
from hero_rl.files import write_text
from hero_rl.pipeline import HybridReward
from hero_rl.types import Rollout

logger = logging.getLogger(__name__)


class GroupJudge:
    """Judges the rollouts of one prompt: their advantages w (r - mean) are what a trainer takes as rewards.

    The trainer may subtract the group's mean, which is 0. It must not divide by the group's standard deviation, which cancels
    prompt weights and blows the bands up.
    """

    def __init__(self, reward: HybridReward | RewardClient, *, state_file: Path | str | None = None) -> None:
        """Judge with ``reward``.

        Args:
            reward: where several processes judge, the client of a reward service: it has one state for all of them, and
                normalises advantages by its own settings.
            state_file: where the state of a HybridReward is kept, after every group, and read from at the start.

        Raises:
            InputError: a rule that shapes steps, or a state file beside a service.
        """
        if isinstance(reward, HybridReward):
            refuse_steps(reward.rule)
        elif state_file is not None:
            raise InputError(f"state_file={str(state_file)!r} beside a reward service, which keeps the state; leave it out")
        self.reward, self.state_file = reward, Path(state_file) if state_file is not None else None
        self.needs_reference = isinstance(reward, RewardClient) or reward.verifier is not None
        self._loaded = False

    async def __call__(self, rollouts: Sequence[Rollout], *, update: bool = True) -> GroupReward:
        """Return the result of one group; with ``update`` False (evaluation) the state stays as it is.

        Raises:
            SignalError: verifier or reward model failed on too much of the group. Logged, too, as some trainers would go on.
            EndpointError: no answer from the service.
        """
        if isinstance(self.reward, RewardClient):
            return await _ask(self.reward, rollouts, update=update)
        if not self._loaded and self.state_file is not None and self.state_file.exists():
            # not before: another process may have moved it since this object was pickled
            self.reward.load_state_dict(json.loads(self.state_file.read_text(encoding="utf-8")))
        self._loaded = True
        try:
            signals = await self.reward.ameasure(rollouts)
            batch = self.reward.batch(signals, [0] * len(rollouts), scale="none", update=update)
        except SignalError as error:
            logger.error("hero-rl: %s", error)
            raise
        if update and self.state_file is not None:
            write_text(self.state_file, json.dumps(self.reward.state_dict()) + "\n")
        found = signals.verdicts, list(signals.reasons), signals.scores
        return GroupReward(*found, batch.rewards, batch.advantages, float(batch.weights[0]))


def for_trainer(found: GroupReward, *, training: bool) -> list[float]:
    """Return what a trainer takes as rewards: advantages; in evaluation the verdicts, 1 for correct and 0 for all else."""
    return found.advantages.tolist() if training else [float(verdict > 0.0) for verdict in found.verdicts]


def for_log(found: GroupReward, place: int) -> dict[str, float]:
    """Return the numbers of one response for a log, without those that are unknown."""
    verdict, score, reward = (float(values[place]) for values in (found.verdicts, found.rm_scores, found.rewards))
    numbers = {
        "correct": float(verdict > 0.0), "abstained": float(math.isnan(verdict)), "rm_ok": float(not math.isnan(score)),
        "rm_score": score, "reward": reward, "weight": found.weight,
    }  # fmt: skip
    return {f"hero/{name}": value for name, value in numbers.items() if not math.isnan(value)}


async def _ask(client: RewardClient, rollouts: Sequence[Rollout], *, update: bool) -> GroupReward:
    first = rollouts[0]
    if any((one.problem, one.reference) != (first.problem, first.reference) for one in rollouts):
        raise InputError("the rollouts of a group have different problems or references; the reward service takes one of each")
    rows = [{**one.extra, "response": one.response, "finished": one.finished, "steps": list(one.steps)} for one in rollouts]
    messages = first.messages if all(one.messages == first.messages for one in rollouts) else ()  # those of agents may differ
    return await client.ascore_group(first.problem, first.reference, rows, messages=messages, update=update)
