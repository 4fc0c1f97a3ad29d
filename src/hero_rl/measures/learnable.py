"""Whether batches teach a policy anything: a look at the first, before any update, and a warning where several teach nothing.

A batch in which no response has an advantage has no gradient, whatever the rule; one whose responses were all cut off is
likely to have none that is worth following.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hero_rl.measures.health import CHANCE
from hero_rl.types import FloatArray, IntArray, Rollout


class Look(NamedTuple):
    """A batch of whole groups, as a person would look at it."""

    responses: int
    prompts: int
    accepted: float
    """Share of the responses."""
    mixed: int
    """Prompts with accepted and other responses."""
    idle: int
    """Prompts in which no response has an advantage."""
    distinct: float
    """Mean number of different responses to a prompt; NaN: unknown, as ``cut_off``."""
    cut_off: float
    """Share of the responses that ran into the limit of tokens."""

    @classmethod
    def of(cls, verdicts_B: FloatArray, advantages_B: FloatArray, groups_B: IntArray, rollouts: Sequence[Rollout]) -> Look:
        """Return the look at a batch; ``rollouts`` are those of its first rows, or all, and come in whole groups."""
        accepted_B, prompts = verdicts_B > 0.0, int(groups_B.max()) + 1
        rows_P = np.bincount(groups_B)
        accepted_P = np.bincount(groups_B, accepted_B)
        groups = groups_B[: len(rollouts)].tolist()
        texts = {(group, one.response) for group, one in zip(groups, rollouts, strict=True)}
        ends = [one.finished is False for one in rollouts if one.finished is not None]
        return cls(
            len(verdicts_B), prompts, float(accepted_B.mean()), int(((accepted_P > 0) & (accepted_P < rows_P)).sum()),
            int((np.bincount(groups_B, advantages_B != 0.0) == 0.0).sum()),
            len(texts) / len(set(groups)) if groups else math.nan, sum(ends) / len(ends) if ends else math.nan,
        )  # fmt: skip

    def __str__(self) -> str:
        """Return the numbers in words."""
        parts = [
            f"{self.accepted:.0%} accepted",
            f"{self.mixed} of {self.prompts} prompts with both verdicts and {self.idle} without a gradient",
        ]
        if not math.isnan(self.distinct):
            parts.append(f"{self.distinct:.1f} of {self.responses / self.prompts:g} responses to a prompt distinct")
        if not math.isnan(self.cut_off):
            parts.append(f"{self.cut_off:.0%} cut off")
        return f"{self.responses} responses: {', '.join(parts)}"

    @property
    def teaches(self) -> bool:
        """Whether some response has an advantage, and not all were cut off."""
        return self.idle < self.prompts and self.cut_off != 1.0

    @property
    def advice(self) -> str:
        """The likely remedy for a batch that teaches nothing."""
        if self.cut_off == 1.0:
            return "Every response was cut off: allow more tokens (max_completion_length), or start from a model that ends"
        if self.accepted == 0.0:
            return "The verifier accepted none: read some; easier problems, a better start ([sft]) or a reward model would help"
        if self.accepted == 1.0:
            return "The verifier accepted all: take harder problems"
        return "No prompt has responses of different reward: sample more of them, or at a higher temperature"


class Watch:
    """Looks at one batch after the other."""

    def __init__(self) -> None:
        """Begin a run, or go on with one."""
        self._prompts = self._idle = 0  # of earlier batches that teach something
        self._streak: list[Look] = []
        self._said = False

    def after(self, look: Look) -> str:
        """Return a warning, once for batches in a row that teach nothing, or "".

        It comes with the second batch of a run, later once so many prompts in a row are improbable by those before.
        """
        if look.teaches:
            before = [*self._streak, look]
            self._prompts += sum(one.prompts for one in before)
            self._idle += sum(one.idle for one in before)
            self._streak, self._said = [], False
            return ""
        self._streak.append(look)
        prompts, count = sum(one.prompts for one in self._streak), len(self._streak)
        usual = (self._idle + 0.5) / (self._prompts + 1.0)
        if self._said or count < 2 or (self._prompts and usual**prompts >= CHANCE):
            return ""
        self._said = True
        what = "nothing can be learned: no response has an advantage" if look.idle == look.prompts else "little can be learned"
        return f"{what}, {count} batches in a row ({prompts} prompts). {look.advice}. The last: {look}"
