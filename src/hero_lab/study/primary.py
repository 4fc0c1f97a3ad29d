"""Judge a study's primary claim: one difference, named in the plan before a run, pooled over its tables.

Every other difference of the candidate is secondary, and its p-value is Holm's. A verdict needs a margin: intervals that hold
zero do not show that two rules are equivalent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from hero_lab.compare import Look, Result, correct_SP
from hero_lab.study.collect import Entry
from hero_lab.study.plan import Axis, Plan, Primary
from hero_lab.task import TAGS
from hero_rl.measures.intervals import Estimate, crossed_interval, p_value
from hero_rl.measures.paired import holm
from hero_rl.types import FloatArray

Reading: TypeAlias = Literal["T = 1", "T = .6", "greedy", "matched entropy"]
READINGS: tuple[Reading, ...] = ("T = 1", "T = .6", "greedy", "matched entropy")
Pooled: TypeAlias = Literal["ahead", "behind", "equivalent", "not worse", "cannot be told"]
_SURE = 0.05
_Runs: TypeAlias = Mapping[tuple[tuple[Axis, ...], str], Mapping[int, Result]]
"""Of one table: by cell and arm, then by seed."""


class PooledRow(NamedTuple):
    """Candidate minus baseline, the mean over the tables; the first row of a study is its primary claim."""

    candidate: str
    baseline: str
    reading: Reading
    seeds: int
    """Of all tables together."""
    difference: Estimate
    narrow: Estimate
    """The interval of 90%, which is what two one-sided tests of 5% look at."""
    p: float
    """Of no difference, two-sided; that of a secondary claim is Holm's."""
    verdict: Pooled = "cannot be told"


class Collapse(NamedTuple):
    """The runs of an arm that end below half of the accuracy that they started from."""

    arm: str
    collapsed: int
    runs: int


def judge(plan: Plan, entries: Sequence[Entry]) -> list[PooledRow]:
    """Return the primary claim and below it the secondary ones; empty where the plan names none or a table has no result."""
    if (claim := plan.primary) is None:
        return []
    tables = [_by_place(name, entries) for name in claim.tables]
    arms = [arm for arm in next(table for table in plan.tables if table.name == claim.tables[0]).arms if arm != claim.candidate]
    arms.sort(key=lambda arm: arm != claim.baseline)
    rows = [row for arm in arms for reading in READINGS if (row := _pooled(claim, arm, reading, tables)) is not None]
    if not rows or rows[0].baseline != claim.baseline:
        return []
    corrected = [rows[0].p, *holm([row.p for row in rows[1:]])]
    return [row._replace(p=p, verdict=pooled_verdict(row.difference.value, row.narrow, p, claim.margin))
            for row, p in zip(rows, corrected, strict=True)]  # fmt: skip


def collapses(plan: Plan, entries: Sequence[Entry]) -> list[Collapse]:
    """Count for every arm of the primary claim's tables the runs that collapsed."""
    if plan.primary is None:
        return []
    found: dict[str, list[bool]] = {}
    for entry in entries:
        if entry.table in plan.primary.tables:
            start, end = (correct_SP([_look(entry.result, when)], "accuracy").mean() for when in ("start", "end"))
            found.setdefault(entry.arm, []).append(bool(end < start / 2))
    return [Collapse(arm, sum(flags), len(flags)) for arm, flags in found.items()]


def pooled_verdict(difference: float, narrow: Estimate, p: float, margin: float) -> Pooled:
    """Return the verdict of a pooled difference.

    Ahead or behind: p, corrected where it is secondary, is below .05. Equivalent: the 90% interval lies inside the margin
    (two one-sided tests). Not worse: its lower end does.
    """
    if p < _SURE:
        return "ahead" if difference > 0 else "behind"
    if narrow.low > -margin:
        return "equivalent" if narrow.high < margin else "not worse"
    return "cannot be told"


def at_entropy(look: Look, entropy: float) -> FloatArray:
    """Return the shares of right responses at a token entropy, between those at T = 1 and at T = .6; shape (problems,).

    Departs from sampling at that entropy: accuracy is taken as linear in entropy between the two. Outside them it is the
    nearer one's.
    """
    warm, cool = np.asarray(look["correct_P"]) / look["samples"], np.asarray(look["cool_P"]) / look["samples"]
    width = look["entropy"] - look["cool_entropy"]
    share = min(1.0, max(0.0, (look["entropy"] - entropy) / width)) if width > 0 else 0.0
    return (1.0 - share) * warm + share * cool


def _pooled(claim: Primary, baseline: str, reading: Reading, tables: Sequence[_Runs]) -> PooledRow | None:
    try:
        parts = [_differences_SP(runs, claim.candidate, baseline, reading) for runs in tables]
    except KeyError:  # results of an earlier release have no T = .6
        return None
    values = [part for part in parts if part is not None]
    if len(values) < len(parts):
        return None

    def interval(level: float) -> Estimate:
        each = [crossed_interval(part_SP, level=level) for part_SP in values]
        mean = float(np.mean([one.value for one in each]))
        half = math.sqrt(sum((one.high - one.value) ** 2 for one in each)) / len(each)
        return Estimate(mean, mean - half, mean + half)

    seeds = sum(len(part_SP) for part_SP in values)
    return PooledRow(claim.candidate, baseline, reading, seeds, interval(0.95), interval(0.9), p_value(interval))


def _differences_SP(runs: _Runs, candidate: str, baseline: str, reading: Reading) -> FloatArray | None:
    """Return the mean over a table's cells, for the seeds that both arms have in all of them; None of fewer than two."""
    cells = {cell for cell, _ in runs}
    pairs = [(runs.get((cell, candidate), {}), runs.get((cell, baseline), {})) for cell in cells]
    seeds = sorted(set.intersection(*(set(ours) & set(theirs) for ours, theirs in pairs))) if pairs else []
    if len(seeds) < 2:
        return None
    return np.mean([[_difference_P(ours[seed], theirs[seed], reading) for seed in seeds] for ours, theirs in pairs], axis=0)


def _difference_P(ours: Result, theirs: Result, reading: Reading) -> FloatArray:
    first, second = _look(ours, "end"), _look(theirs, "end")
    if reading == "matched entropy":
        entropy = min(first["entropy"], second["entropy"])
        return at_entropy(first, entropy) - at_entropy(second, entropy)
    if reading == "T = .6":
        return (np.asarray(first["cool_P"]) - np.asarray(second["cool_P"])) / first["samples"]
    one, other = correct_SP([first, second], "greedy" if reading == "greedy" else "accuracy")
    return one - other


def _look(result: Result, when: str) -> Look:
    return result["held_out"][when][TAGS[result["settings"]["regime"]][-1]]


def _by_place(table: str, entries: Sequence[Entry]) -> _Runs:
    found: dict[tuple[tuple[Axis, ...], str], dict[int, Result]] = {}
    for entry in entries:
        if entry.table == table:
            found.setdefault((entry.cell, entry.arm), {})[entry.seed] = entry.result
    return found
