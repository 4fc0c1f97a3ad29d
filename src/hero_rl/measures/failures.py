"""Failures among the last rows of a run: an immutable state that is saved with the rule's."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from hero_rl.errors import InputError
from hero_rl.rewards.groups import Groups
from hero_rl.types import BoolArray

WINDOW_ROWS = 256
"""Failures are counted over at least so many rows of a run, the last ones."""


class Failures(NamedTuple):
    """Failed rows and all rows of the last groups, oldest first."""

    groups: tuple[tuple[int, int], ...] = ()

    def after(self, failed_B: BoolArray, groups: Groups) -> Failures:
        """Return the state after one more batch: its groups, and earlier ones up to ``WINDOW_ROWS``."""
        failed_P = np.bincount(groups.index_B, failed_B, minlength=groups.size).astype(int)
        rows_P = np.bincount(groups.index_B, minlength=groups.size)
        seen = (*self.groups, *zip(failed_P.tolist(), rows_P.tolist(), strict=True))
        enough = int(np.searchsorted(np.cumsum([rows for _, rows in reversed(seen)]), WINDOW_ROWS)) + 1
        return Failures(seen[-max(groups.size, enough) :])

    def too_many(self, max_rate: float) -> tuple[int, int, int] | None:
        """Return how many failed of how many rows, and what ``max_rate`` is a share of; None if these are not too many.

        One group is never too many, unless ``max_rate`` is 0.
        """
        failed, rows = sum(count for count, _ in self.groups), sum(count for _, count in self.groups)
        several = sum(count > 0 for count, _ in self.groups) > 1 or max_rate == 0.0
        of = max(rows, WINDOW_ROWS)
        return (failed, rows, of) if several and failed > max_rate * of else None

    @classmethod
    def restore(cls, saved: Any) -> Failures:
        """Restore ``groups`` from JSON values (exact); raise ``InputError`` for others."""
        fits = isinstance(saved, list) and all(isinstance(one, list) and [type(n) for n in one] == [int, int] for one in saved)
        if not fits or not all(0 <= failed <= rows for failed, rows in saved):
            raise InputError(f"not the failures of a run's last groups: {saved!r:.200}; did another release write it?")
        return cls(tuple((failed, rows) for failed, rows in saved))


def too_many_failures(failures: int, rows: int, max_rate: float) -> bool:
    """Return True where more than the share ``max_rate`` of the rows failed.

    One bad row in a small batch can exceed the share; drop the row, don't fail the run.
    """
    return failures > max_rate * rows and not (failures == 1 < rows and max_rate > 0.0)
