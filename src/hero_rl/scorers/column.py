"""Scores that are already in the rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import numpy as np

from hero_rl.errors import InputError, clip, shown
from hero_rl.types import FloatArray, Rollout, Scorer, is_score, read_column


class ColumnScorer(Scorer):
    """The number that stands in a column of each row; null is a missing score (NaN).

    >>> ColumnScorer("rm").score([Rollout(prompt_id="p", problem="", reference="", response="", extra={"rm": 2})]).tolist()
    [2.0]
    """

    def __init__(self, column: str) -> None:
        """Read scores from ``column``."""
        self.column = column
        self.name = f"column:{column}"

    async def ascore(self, rollouts: Sequence[Rollout], /) -> FloatArray:
        """Return the column's values, shape (B,).

        Raises:
            InputError: the column is absent from a row, or its value is no finite number.
        """
        return np.array([self._value(rollout) for rollout in rollouts], dtype=np.float64)

    def _value(self, rollout: Rollout) -> float:
        value = read_column(rollout, self.column, f"reward model {self.name!r}")
        if value is None:
            return math.nan
        if not is_score(value):
            raise InputError(
                f"column {self.column!r} of prompt {clip(repr(rollout.prompt_id))} holds {shown(value)}; "
                "a score is a finite number, or null where missing"
            )
        return float(cast(float, value))
