"""From results to what is reported: means, paired differences with a verdict, the best of others, and rollouts saved.

Every interval is that of ``hero_rl.measures.crossed_interval``: over seeds and over held-out problems.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from hero_lab.compare import Result
from hero_lab.study.collect import Entry
from hero_lab.study.plan import Axis, Metric, TablePlan
from hero_rl.measures import crossed_interval
from hero_rl.measures.intervals import Estimate
from hero_rl.types import FloatArray

Verdict: TypeAlias = Literal["holds", "does not hold", "cannot be told"]
MEANS = ("verifier_pass", "rm_score", "rm_auroc_within", "all_wrong_groups", "pass_any", "entropy")
METRICS: tuple[Metric, ...] = ("accuracy", "greedy")
_TRAINED = {"hard": ("H",), "verifiable": ("V",), "mixed": ("V", "H")}


class Cell(NamedTuple):
    """One combination of the crossed settings, on one kind of held-out prompts."""

    axes: tuple[Axis, ...]
    tag: str

    def words(self, varying: Sequence[str] = (), *, tag: bool = True) -> str:
        """Its name, of the settings that vary alone."""
        parts = [value if isinstance(value, str) else f"{name} {value}" for name, value in self.axes if name in varying]
        return ", ".join([*map(str, parts), *([f"{self.tag} prompts"] if tag else [])])


class ArmRow(NamedTuple):
    """A rule in a cell at a step."""

    cell: Cell
    arm: str
    step: int
    seeds: int
    accuracy: Estimate
    greedy: Estimate
    means: dict[str, float]


class PairRow(NamedTuple):
    """Candidate minus baseline in a cell at a step, on shared seeds and problems."""

    cell: Cell
    candidate: str
    baseline: str
    step: int
    metric: Metric
    seeds: int
    difference: Estimate
    verdict: Verdict


class ReachRow(NamedTuple):
    """The share of the baseline's rollouts after which the candidate has the accuracy of the baseline's end."""

    axes: tuple[Axis, ...]
    candidate: str
    baseline: str
    shares: tuple[float | None, ...]
    """One a seed, on development prompts; None: never."""
    pooled: float | None
    """From the mean curves over seeds, which are less noisy."""

    @property
    def median(self) -> float | None:
        """Of the seeds, never counting as infinitely late; None where that is the median."""
        value = float(np.median([math.inf if share is None else share for share in self.shares]))
        return value if math.isfinite(value) else None


class Tabulated(NamedTuple):
    """A table in numbers."""

    plan: TablePlan
    arms: list[ArmRow]
    """With those of step 0 under the name ``(start)``."""
    pairs: list[PairRow]
    best: list[PairRow]
    """Candidate of ``best_of`` minus whichever other has the highest mean in the cell."""
    leaders: list[PairRow]
    """The rule of the highest mean minus the runner-up in each cell, at the last horizon, in the metric of the claim."""
    reach: list[ReachRow]
    missing: int

    def deciding(self, rows: Sequence[PairRow]) -> list[PairRow]:
        """Those of the last horizon and of the metric that the claim is about."""
        last = max(self.plan.horizons)
        return [row for row in rows if row.step == last and row.metric == self.plan.metric]

    @property
    def varying(self) -> list[str]:
        """Names of the crossed settings with more than one value."""
        return [name for name, values in self.plan.axes if len(values) > 1]


def tabulate(plan: TablePlan, entries: Sequence[Entry], *, missing: int = 0) -> Tabulated:
    """All numbers of a table, as far as there are results."""
    cells: dict[Cell, dict[str, dict[int, Result]]] = {}
    for entry in entries:
        for tag in plan.tags or _TRAINED[entry.result["settings"]["regime"]]:
            cells.setdefault(Cell(entry.cell, tag), {}).setdefault(entry.arm, {})[entry.seed] = entry.result
    found = Tabulated(plan, [], [], [], [], [], missing)
    for cell, by_arm in cells.items():
        found.arms.extend(_arm_rows(plan, cell, by_arm))
        for step in plan.horizons:
            for metric in METRICS:
                for candidate, baseline in plan.pairs:
                    found.pairs.extend(_pair(cell, by_arm, candidate, baseline, step, metric))
                found.best.extend(_best(plan, cell, by_arm, step, metric))
        found.leaders.extend(_leader(plan, cell, by_arm, [row for row in found.arms if row.cell == cell]))
    for axes in dict.fromkeys(cell.axes for cell in cells):
        by_arm = next(runs for cell, runs in cells.items() if cell.axes == axes)
        found.reach.extend(_reach(axes, by_arm, plan.pairs))
    return found


def values_SP(runs: Mapping[int, Result], seeds: Sequence[int], tag: str, step: int, metric: Metric) -> FloatArray | None:
    """Shape (seeds, problems), the share of right responses to each held-out problem; None where a run has no such look."""
    rows: list[FloatArray] = []
    for seed in seeds:
        held = next((held for held in runs[seed]["held_out"].values() if held["step"] == step), None)
        if held is None or tag not in held:
            return None
        correct = np.asarray(held[tag]["correct_P"], dtype=np.float64) / held[tag]["samples"]
        rows.append(correct if metric == "accuracy" else np.asarray(held[tag]["greedy_P"], dtype=np.float64))
    return np.stack(rows)


def verdict(difference: Estimate, seeds: int) -> Verdict:
    """Judge the claim that the difference is above zero by its interval; one seed says nothing."""
    if seeds < 2 or not (difference.low > 0 or difference.high < 0):
        return "cannot be told"
    return "holds" if difference.low > 0 else "does not hold"


def share_to_reach(candidate: Result, baseline: Result) -> float | None:
    """The share of the baseline's rollouts after which the candidate first has the baseline's last accuracy, interpolated."""
    steps, values = _curve([candidate])
    return _first_crossing(steps * _rollouts(candidate), values, *_goal([baseline]))


def _arm_rows(plan: TablePlan, cell: Cell, by_arm: Mapping[str, Mapping[int, Result]]) -> list[ArmRow]:
    start = {seed: result for runs in by_arm.values() for seed, result in runs.items()}
    wanted = [("(start)", start, 0), *((arm, by_arm.get(arm, {}), step) for arm in plan.arms for step in plan.horizons)]
    rows: list[ArmRow] = []
    for arm, runs, step in wanted:
        seeds = sorted(runs)
        both = [values_SP(runs, seeds, cell.tag, step, metric) for metric in METRICS] if seeds else [None]
        known = [values for values in both if values is not None]
        if len(known) == 2:
            accuracy, greedy = map(crossed_interval, known)
            rows.append(ArmRow(cell, arm, step, len(seeds), accuracy, greedy, _means(runs, cell.tag, step)))
    return rows


def _means(runs: Mapping[int, Result], tag: str, step: int) -> dict[str, float]:
    held = [next(h for h in result["held_out"].values() if h["step"] == step)[tag] for result in runs.values()]
    table = {name: [math.nan if (value := one.get(name)) is None else float(value) for one in held] for name in MEANS}
    return {name: float(np.mean(values)) for name, values in table.items()}


def _pair(
    cell: Cell, by_arm: Mapping[str, Mapping[int, Result]], candidate: str, baseline: str, step: int, metric: Metric
) -> list[PairRow]:
    ours, theirs = by_arm.get(candidate, {}), by_arm.get(baseline, {})
    seeds = sorted(ours.keys() & theirs.keys())
    if not seeds:
        return []
    first, second = (values_SP(runs, seeds, cell.tag, step, metric) for runs in (ours, theirs))
    if first is None or second is None:
        return []
    difference = crossed_interval(first - second)
    return [PairRow(cell, candidate, baseline, step, metric, len(seeds), difference, verdict(difference, len(seeds)))]


def _best(plan: TablePlan, cell: Cell, by_arm: Mapping[str, Mapping[int, Result]], step: int, metric: Metric) -> list[PairRow]:
    """Against the other of the highest mean: choosing it on the same numbers favours the others, never the candidate."""
    if plan.best_of is None:
        return []
    rows = [row for other in plan.best_of.others for row in _pair(cell, by_arm, plan.best_of.candidate, other, step, metric)]
    return [min(rows, key=lambda row: row.difference.value)] if len(rows) == len(plan.best_of.others) else []


def _leader(plan: TablePlan, cell: Cell, by_arm: Mapping[str, Mapping[int, Result]], rows: Sequence[ArmRow]) -> list[PairRow]:
    """Chosen on the numbers that it is judged by, so that its lead is too large rather than too small."""
    last = max(plan.horizons)
    means = {row.arm: getattr(row, plan.metric).value for row in rows if row.step == last}
    order = sorted(means, key=lambda arm: -means[arm])
    return _pair(cell, by_arm, order[0], order[1], last, plan.metric) if len(order) > 1 else []


def _reach(
    axes: tuple[Axis, ...], by_arm: Mapping[str, Mapping[int, Result]], pairs: Sequence[tuple[str, str]]
) -> list[ReachRow]:
    rows: list[ReachRow] = []
    for candidate, baseline in pairs:
        ours, theirs = by_arm.get(candidate, {}), by_arm.get(baseline, {})
        seeds = sorted(ours.keys() & theirs.keys())
        if seeds:
            steps, values = _curve([ours[seed] for seed in seeds])
            goal = _goal([theirs[seed] for seed in seeds])
            pooled = _first_crossing(steps * _rollouts(ours[seeds[0]]), values, *goal)
            shares = tuple(share_to_reach(ours[seed], theirs[seed]) for seed in seeds)
            rows.append(ReachRow(axes, candidate, baseline, shares, pooled))
    return rows


def _curve(results: Sequence[Result]) -> tuple[FloatArray, FloatArray]:
    """Steps and the mean accuracy on development prompts."""
    curves = [{point["step"]: point["accuracy"] for point in result["curve"]} for result in results]
    steps = sorted(set.intersection(*(set(curve) for curve in curves)))
    values = np.array([[curve[step] for step in steps] for curve in curves], dtype=np.float64)
    return np.array(steps, dtype=np.float64), np.asarray(values.mean(axis=0), dtype=np.float64)


def _goal(baselines: Sequence[Result]) -> tuple[float, float]:
    """Accuracy at the end of the baseline, and its rollouts until then."""
    steps, values = _curve(baselines)
    return float(values[-1]), float(steps[-1]) * _rollouts(baselines[0])


def _rollouts(result: Result) -> int:
    return result["settings"]["prompts_per_step"] * result["settings"]["group_size"]


def _first_crossing(rollouts: FloatArray, values: FloatArray, goal: float, end: float) -> float | None:
    reached = np.flatnonzero(values >= goal)
    if not reached.size:
        return None
    after = int(reached[0])
    if after == 0:
        return float(rollouts[0]) / end
    before = after - 1
    part = (goal - values[before]) / (values[after] - values[before])
    return float(rollouts[before] + part * (rollouts[after] - rollouts[before])) / end


def as_json(table: Tabulated) -> dict[str, Any]:
    """Return what ``report.json_values`` makes JSON of."""
    plan = table.plan
    return {
        "name": plan.name, "claim": plan.claim, "metric": plan.metric, "horizons": list(plan.horizons),
        "runs": len(plan.runs), "missing": table.missing,
        "arms": [_row_json(row) for row in table.arms],
        "pairs": [_row_json(row) for row in table.pairs],
        "leaders": [_row_json(row) for row in table.leaders],
        "best_of": [_row_json(row) for row in table.best],
        "rollouts_to_reach": [_row_json(row) | {"median": row.median} for row in table.reach],
    }  # fmt: skip


def _row_json(row: ArmRow | PairRow | ReachRow) -> dict[str, Any]:
    values = row._asdict()
    cell, axes = values.pop("cell", None), values.pop("axes", ())
    return {"cell": {**dict(cell.axes), "tag": cell.tag} if cell else dict(axes), **values}
