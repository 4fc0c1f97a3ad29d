"""What a scored file looks like as a whole: a few sums over blocks of whole groups."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hero_rl.data.numbers import Records, group_numbers
from hero_rl.rewards.diagnostics import Strata, count_groups, group_shares, split_strata
from hero_rl.rewards.groups import Groups
from hero_rl.types import FloatArray, IntArray

VERDICTS = ("correct", "incorrect", "abstain")
Totals: TypeAlias = defaultdict[str, float]


class GroupSummary(NamedTuple):
    """Sums over a scored file, as shares and means. An abstention counts as incorrect, as it does in the rules."""

    groups: int
    mixed: float
    """Share of groups with correct and incorrect responses: the only ones a verifier alone learns from."""
    all_correct: float
    all_wrong: float
    zero_gradient_verifier: float
    """Share of groups whose advantages are all zero when the verdict alone is the reward."""
    zero_gradient_rule: float
    """Share of groups whose advantages are all zero under the rule used."""
    mean_reward: dict[str, float | None]
    """By verdict: correct, incorrect, abstain; None where there is no such row."""
    mean_abs_advantage: dict[str, float | None]
    """By stratum: rows of mixed groups by verdict, rows of uniform groups; None where there is no such row."""


def summarize(blocks: Iterable[Records]) -> GroupSummary:
    """The summary of a file, from blocks of whole groups."""
    totals: Totals = defaultdict(float)
    counts = np.zeros(5, dtype=np.intp)
    for block in blocks:
        counts += _add(totals, block)
    shares = group_shares(counts)
    return GroupSummary(
        groups=shares.prompts,
        mixed=shares.mixed,
        all_correct=shares.all_correct,
        all_wrong=shares.all_wrong,
        zero_gradient_verifier=shares.zero_gradient_verifier,
        zero_gradient_rule=shares.zero_gradient,
        mean_reward={name: _mean(totals, f"reward {name}") for name in VERDICTS},
        mean_abs_advantage={name: _mean(totals, f"advantage {name}") for name in Strata._fields},
    )


def _add(totals: Totals, block: Records) -> IntArray:
    index = group_numbers(block["group"])
    groups = Groups(index, int(index[-1]) + 1 if index.size else 0)
    verdict: FloatArray = block["verdict"]
    for name, rows in (("correct", verdict > 0.0), ("incorrect", verdict == 0.0), ("abstain", np.isnan(verdict))):
        _add_mean(totals, f"reward {name}", block["reward"], rows & ~np.isnan(block["reward"]))
    strata = split_strata(verdict, groups)
    for name, rows in strata._asdict().items():
        _add_mean(totals, f"advantage {name}", np.abs(block["advantage"]), rows)
    return count_groups(verdict, block["advantage"], groups)


def _add_mean(totals: Totals, name: str, values: FloatArray, rows: NDArray[np.bool_]) -> None:
    totals[f"{name} sum"] += float(values[rows].sum())
    totals[f"{name} rows"] += int(rows.sum())


def _mean(totals: Totals, name: str) -> float | None:
    rows = totals[f"{name} rows"]
    return float(totals[f"{name} sum"] / rows) if rows else None
