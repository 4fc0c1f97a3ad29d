"""The verifier ``column:NAME``: labels that are already in the rows."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from hero_rl.errors import InputError, clip, shown
from hero_rl.types import Rollout, RowVerifier, Verdict, read_column

_NUMBERS = (int, float, np.bool_, np.integer, np.floating)


class ColumnVerifier(RowVerifier):
    """Reads the verdict from a column: 1 or true is correct, 0 or false incorrect, null abstains (``no_label``)."""

    def __init__(self, column: str):
        if not column:
            raise InputError("verifier 'column:' names no column: write column:NAME, such as column:correct")
        self.column = column
        self.name = f"column:{column}"

    async def averify(self, rollouts: Sequence[Rollout], /) -> list[Verdict]:
        """Return one verdict per rollout, in the order given, without a thread: reading a column takes no time."""
        return self.verify(rollouts)

    def judge(self, rollout: Rollout, /) -> Verdict:
        """Return the verdict of one rollout.

        Raises:
            InputError: the row lacks the column, or its value is no label. Unlike a bad response, a bad label is a mistake
                in the file or in the column's name, and every verdict would be in doubt.
        """
        value = read_column(rollout, self.column, f"verifier {self.name!r}")
        if value is None or (isinstance(value, (float, np.floating)) and math.isnan(value)):
            return Verdict("abstain", "no_label")
        if isinstance(value, _NUMBERS) and value in (0, 1):
            if not value:
                return Verdict("incorrect", "label")
            # `hero verify` and `hero score` mark in `learned` which of their verdicts a model gave
            return Verdict("correct", "label", learned=self.column == "verdict" and rollout.extra.get("learned") is True)
        raise InputError(
            f"verifier {self.name!r}: the row of prompt_id {clip(repr(rollout.prompt_id))} holds {shown(value)}, which is "
            "no label: use 0, 1, true, false or null"
        )
