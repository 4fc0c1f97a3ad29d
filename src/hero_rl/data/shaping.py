"""Rewards, weights and advantages of a file's numbers, a block of whole groups at a time, as if the file were one batch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from hero_rl.data.numbers import NumberFile, group_numbers
from hero_rl.pipeline import Signals, assemble
from hero_rl.rewards import RewardRule, RuleState, Scale

SCALE_EPS = 1e-4
"""Added to the standard deviation of the batch, as ``assemble`` does."""

Progress: TypeAlias = Callable[[str, int, int | None], None]
"""Called with the stage, the rows done and the rows in all (None: not known yet)."""


def shape(
    numbers: NumberFile, rule: RewardRule, scale: Scale, *, contiguous: bool, progress: Progress
) -> tuple[float | None, RuleState]:
    """The sigma-bar (None: the rule has none) and the state that every block was shaped with; fills the other columns.

    Args:
        numbers: records with group, verdict and score.
        rule: what makes rewards of them.
        scale: normalisation of the advantages.
        contiguous: whether rows of one group stand together in the file.
        progress: told about every block.
    """
    # a z-score over the batch needs the batch at once: the numbers alone, in memory
    whole = rule.settings.get("normalize") == "zscore"
    state = _frozen_state(numbers, rule, contiguous)
    spread = _Spread()
    sigma_mean, done = math.nan, 0
    for block in numbers.blocks(contiguous=contiguous, whole=whole):
        made = assemble(
            rule, Signals.plain(block["verdict"], block["score"]), group_numbers(block["group"]), state,
            scale="group" if scale == "group" else "none",
        )  # fmt: skip
        block["reward"], block["weight"], block["advantage"] = made.rewards, made.weights, made.advantages
        spread.add(made.rewards)
        sigma_mean = made.sigma_mean
        done += block.size
        progress("shape", done, numbers.rows)
    if scale == "batch":
        for block in numbers.blocks(contiguous=contiguous):
            block["advantage"] /= spread.std + SCALE_EPS
    return None if math.isnan(sigma_mean) else sigma_mean, state


def _frozen_state(numbers: NumberFile, rule: RewardRule, contiguous: bool) -> RuleState:
    """What the rule remembers of the whole file, every block counting alike: the state that every block is shaped with."""
    state = rule.start_whole
    if rule.stateful:
        for block in numbers.blocks(contiguous=contiguous):
            state = rule.apply(block["verdict"], block["score"], group_numbers(block["group"]), state).state
    return state


class _Spread:
    """Standard deviation of values that come in blocks (the pairwise update of Chan et al.)."""

    def __init__(self) -> None:
        self._count, self._mean, self._squares = 0, 0.0, 0.0

    def add(self, values: np.ndarray) -> None:
        known = values[~np.isnan(values)]
        if not known.size:
            return
        mean = float(known.mean())
        count = self._count + known.size
        shift = mean - self._mean
        self._squares += float(((known - mean) ** 2).sum()) + shift * shift * self._count * known.size / count
        self._mean += shift * known.size / count
        self._count = count

    @property
    def std(self) -> float:
        """The unbiased one; 0 for fewer than two values."""
        return math.sqrt(self._squares / (self._count - 1)) if self._count > 1 else 0.0
