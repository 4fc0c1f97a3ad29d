"""From results to what is reported: means, paired differences with a verdict, the best of others, and forecasts.

Every interval is that of ``hero_rl.measures.crossed_interval``: over seeds and over held-out problems.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

from hero_lab.compare import METRICS, UPDATE, Look, Metric, Result, correct_SP, means
from hero_lab.study.collect import Entry
from hero_lab.study.plan import Axis, TablePlan
from hero_lab.task import TAG_NAMES, TAGS
from hero_rl.measures import crossed_interval, mean_of_clusters, rank_correlation
from hero_rl.measures.intervals import Estimate
from hero_rl.types import FloatArray

Verdict: TypeAlias = Literal["holds", "does not hold", "cannot be told"]


class Cell(NamedTuple):
    """One combination of the crossed settings, on one kind of held-out prompts."""

    axes: tuple[Axis, ...]
    tag: str

    def words(self, varying: Sequence[str] = (), *, tag: bool = True) -> str:
        """Its name, of the settings that vary alone."""
        parts = [value if isinstance(value, str) else f"{name} {value}" for name, value in self.axes if name in varying]
        return ", ".join([*map(str, parts), *([TAG_NAMES[self.tag]] if tag else [])])


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


class Forecast(NamedTuple):
    """The update of a run at step 0 (``compare.UPDATE``), and the accuracy that the run gains by the last horizon."""

    cell: Cell
    arm: str
    seed: int
    alignment: float
    pressure: float
    scale: float
    gain: float


class ForecastRank(NamedTuple):
    """Spearman correlation of a measure at step 0 with the gain, over rules and cells."""

    rules: int
    of_means: float
    """Of the means over seeds."""
    over_seeds: Estimate
    """Mean of the correlations inside each seed."""


class Tabulated(NamedTuple):
    """A table in numbers."""

    plan: TablePlan
    arms: list[ArmRow]
    """With those of step 0 under the name ``(start)``."""
    pairs: list[PairRow]
    best: list[PairRow]
    """Candidate of ``best_of`` minus whichever other has the highest mean in the cell."""
    forecasts: list[Forecast]
    """Of the runs whose measures at step 0 are known."""
    missing: int
    """Runs without a result."""

    def deciding(self, rows: Sequence[PairRow]) -> list[PairRow]:
        """Those of the last horizon, sampled."""
        last = max(self.plan.horizons)
        return [row for row in rows if row.step == last and row.metric == "accuracy"]

    @property
    def varying(self) -> list[str]:
        """Names of the crossed settings with more than one value."""
        return [name for name, values in self.plan.axes if len(values) > 1]


def tabulate(plan: TablePlan, entries: Sequence[Entry]) -> Tabulated:
    """All numbers of a table, as far as there are results."""
    cells: dict[Cell, dict[str, dict[int, Result]]] = {}
    for entry in entries:
        for tag in TAGS[entry.result["settings"]["regime"]]:
            cells.setdefault(Cell(entry.cell, tag), {}).setdefault(entry.arm, {})[entry.seed] = entry.result
    found = Tabulated(plan, [], [], [], [], len(plan.runs) - len(entries))
    for cell, by_arm in cells.items():
        found.arms.extend(_arm_rows(plan, cell, by_arm))
        for step in plan.horizons:
            for metric in METRICS:
                for candidate, baseline in plan.pairs:
                    found.pairs.extend(_pair(cell, by_arm, candidate, baseline, step, metric))
                found.best.extend(_best(plan, cell, by_arm, step, metric))
        found.forecasts.extend(_forecasts(plan, cell, by_arm))
    return found


def values_SP(runs: Mapping[int, Result], seeds: Sequence[int], tag: str, step: int, metric: Metric) -> FloatArray | None:
    """Shape (seeds, problems), the share of right responses to each held-out problem; None where a run has no such look."""
    looks = [_look(runs[seed], tag, step) for seed in seeds]
    return None if None in looks else correct_SP([look for look in looks if look is not None], metric)


def _look(result: Result, tag: str, step: int) -> Look | None:
    return next((held.get(tag) for held in result["held_out"].values() if held["step"] == step), None)


def verdict(difference: Estimate, seeds: int) -> Verdict:
    """Judge the claim that the difference is above zero by its interval; one seed says nothing."""
    if seeds < 2 or not (difference.low > 0 or difference.high < 0):
        return "cannot be told"
    return "holds" if difference.low > 0 else "does not hold"


def _arm_rows(plan: TablePlan, cell: Cell, by_arm: Mapping[str, Mapping[int, Result]]) -> list[ArmRow]:
    start = {seed: result for runs in by_arm.values() for seed, result in runs.items()}
    wanted = [("(start)", start, 0), *((arm, by_arm.get(arm, {}), step) for arm in plan.arms for step in plan.horizons)]
    rows: list[ArmRow] = []
    for arm, runs, step in wanted:
        seeds = sorted(runs)
        looks = [look for seed in seeds if (look := _look(runs[seed], cell.tag, step)) is not None]
        if looks and len(looks) == len(seeds):
            accuracy, greedy = (crossed_interval(correct_SP(looks, metric)) for metric in METRICS)
            rows.append(ArmRow(cell, arm, step, len(seeds), accuracy, greedy, means(looks)))
    return rows


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


def _forecasts(plan: TablePlan, cell: Cell, by_arm: Mapping[str, Mapping[int, Result]]) -> list[Forecast]:
    found: list[Forecast] = []
    for arm, seed, result in ((arm, seed, runs[seed]) for arm, runs in by_arm.items() for seed in sorted(runs)):
        start, end = (_look(result, cell.tag, step) for step in (0, max(plan.horizons)))
        if start is not None and end is not None and start.get("alignment") is not None:
            measures = {name: math.nan if start[name] is None else float(start[name]) for name in UPDATE}
            before, after = (float(correct_SP([look], "accuracy").mean()) for look in (start, end))
            found.append(Forecast(cell, arm, seed, **measures, gain=after - before))
    return found


def forecast_ranks(forecasts: Sequence[Forecast], measure: str) -> ForecastRank:
    """Return how alike a measure at step 0 and the gain rank the rules; NaN with fewer than three."""
    known = [one for one in forecasts if not math.isnan(getattr(one, measure))]
    by_rule: dict[tuple[Cell, str], list[Forecast]] = {}
    for one in known:
        by_rule.setdefault((one.cell, one.arm), []).append(one)
    means_R2 = [(mean_of(ones, measure), mean_of(ones, "gain")) for ones in by_rule.values()]
    seeds = dict.fromkeys(one.seed for one in known)
    of_seeds = [_rank([(getattr(one, measure), one.gain) for one in known if one.seed == seed]) for seed in seeds]
    return ForecastRank(len(by_rule), _rank(means_R2), mean_of_clusters(of_seeds))


def _rank(pairs: Sequence[tuple[float, float]]) -> float:
    return rank_correlation(*zip(*pairs, strict=True)) if len(pairs) > 2 else math.nan


def mean_of(forecasts: Sequence[Forecast], name: str) -> float:
    """Return the mean of a number of some forecasts, NaN left out."""
    return mean_of_clusters([getattr(one, name) for one in forecasts]).value


def as_json(table: Tabulated) -> dict[str, Any]:
    """Return what ``report.json_values`` makes JSON of."""
    plan = table.plan
    return {
        "name": plan.name, "claim": plan.claim, "horizons": list(plan.horizons),
        "runs": len(plan.runs), "missing": table.missing,
        "arms": [_row_json(row) for row in table.arms],
        "pairs": [_row_json(row) for row in table.pairs],
        "best_of": [_row_json(row) for row in table.best],
        "measures_at_start": [_row_json(row) for row in table.forecasts],
        "rank_correlations": {name: forecast_ranks(table.forecasts, name)._asdict() for name in UPDATE if table.forecasts},
    }  # fmt: skip


def _row_json(row: ArmRow | PairRow | Forecast) -> dict[str, Any]:
    return row._asdict() | {"cell": {**dict(row.cell.axes), "tag": row.cell.tag}}
