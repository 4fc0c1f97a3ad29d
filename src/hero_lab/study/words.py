"""Put a study's numbers into words: sentences, and Markdown tables ready for the documentation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from hero_lab.compare import METRICS, UPDATE, Metric
from hero_lab.study.plan import MARGIN, Primary
from hero_lab.study.primary import Collapse, PooledRow
from hero_lab.study.tables import ArmRow, Cell, Forecast, ForecastRank, PairRow, Tabulated, forecast_ranks, mean_of
from hero_rl.measures.intervals import Estimate

HOW_INTERVALS = (
    "Accuracy is by the exact oracle on held-out prompts, sampled at temperature 1 unless it says greedy. ± is a 95% interval "
    "over seeds (Student's t) and problems together; differences are paired by seed, problem and sampling noise, and bold "
    "where the interval is clear of zero. Nothing is corrected for the number of intervals: of "
    "twenty true zeros one is clear by chance."
)


HOW_POOLED = (
    "The mean over tables, cells and seeds. p is two-sided, of no difference; those below the first are Holm's. "
    "Equivalent: the 90% interval lies inside the margin (two one-sided tests of 5%); not worse: its lower end does. Matched "
    "entropy: both policies at the lower of their two token entropies."
)
_MOST_CELLS = 6
"""Up to here each cell has a table of its own."""
_MOST_PAIRS = 3
_SIGNS = {"verifier_pass": ".3f", "rm_score": "+.2f", "rm_auroc_within": ".2f", "all_wrong_groups": ".2f"}
_BEST = {"holds": "ahead", "does not hold": "worse", "cannot be told": "cannot be told"}


class Grid(NamedTuple):
    """Cells of text under a header, with a heading."""

    heading: str
    header: list[str]
    rows: list[list[str]]


def sentences(table: Tabulated) -> list[str]:
    """Return everything that is said of a table in words."""
    said = (claim_sentence(table), best_sentence(table), forecast_sentence(table), missing_sentence(table))
    return [sentence for sentence in said if sentence]


def claim_sentence(table: Tabulated) -> str:
    """Say what the comparisons of a table mean for its claim; empty where it has none."""
    rows = table.deciding(table.pairs)
    if not rows:
        return ""
    counts = {word: sum(row.verdict == word for row in rows) for word in ("holds", "does not hold", "cannot be told")}
    words = ", ".join(f"{word} in {count}" for word, count in counts.items() if count)
    if len(rows) == 1:
        return f"{rows[0].verdict.capitalize()}: {_pair_words(rows[0], table)}."
    shown = rows if len(rows) <= _MOST_PAIRS else [row for row in rows if row.verdict == "does not hold"]
    more = f", and {len(shown) - _MOST_PAIRS} more" if len(shown) > _MOST_PAIRS else ""
    listed = "; ".join(_pair_words(row, table) for row in shown[:_MOST_PAIRS]) + more
    start = ": " if len(rows) <= _MOST_PAIRS else "; against it: "
    return f"{words.capitalize()} of {len(rows)} comparisons at step {rows[0].step}{start + listed if listed else ''}."


def best_sentence(table: Tabulated) -> str:
    """Whether the candidate is anywhere worse than the best of the others; empty where that is not asked."""
    best_of, rows = table.plan.best_of, table.deciding(table.best)
    if best_of is None or not rows:
        return ""
    worse = [row for row in rows if row.difference.high < 0]
    ahead = [row for row in rows if row.verdict == "holds"]
    worst = min(rows, key=lambda row: row.difference.value)
    lowest = min(rows, key=lambda row: row.difference.low)
    cells = f"{len(rows)} cell{'' if len(rows) == 1 else 's'}"
    others = ", ".join(best_of.others)
    than = f"worse in {len(worse)} of {cells} than the best of {others}"
    if not worse:
        than = f"nowhere worse than the best of {others} in {cells}"
    close = sum(row.difference.low > -MARGIN for row in rows)
    return (
        f"{best_of.candidate} is {than}, shown to be no more than {MARGIN} behind in {close}, and clearly ahead in "
        f"{len(ahead)}. Worst cell: {_pair_words(worst, table)}. "
        f"The lowest end of an interval is {lowest.difference.low:+.3f} ({lowest.cell.words(table.varying)})."
    )


def forecast_sentence(table: Tabulated) -> str:
    """Say whether the measures of the update at step 0 foretell the gain in accuracy; empty where they are not known."""
    ranks = {name: forecast_ranks(table.forecasts, name) for name in UPDATE}
    if all(math.isnan(found.of_means) for found in ranks.values()):
        return ""
    words = ", ".join(f"{name} {_rank_cell(found)}" for name, found in ranks.items())
    over = f"{ranks['alignment'].rules} rules and cells"
    return f"Spearman correlation of a measure at step 0 with the accuracy gained, over {over} (in each seed): {words}."


def primary_sentence(claim: Primary, rows: Sequence[PooledRow]) -> str:
    """Say what became of the primary claim."""
    if not rows:
        return f"Primary claim, {claim.claim}: no two seeds have all of its runs."
    row = rows[0]
    (value, low, high), p = row.difference, f"p = {row.p:.2g}"
    return (
        f"Primary claim, {claim.claim}: {row.verdict}. {row.candidate} minus {row.baseline} {value:+.3f} [{low:+.3f}, "
        f"{high:+.3f}], {p}, {row.seeds} seeds of {len(claim.tables)} tables; 90%: [{row.narrow.low:+.3f}, "
        f"{row.narrow.high:+.3f}], margin {claim.margin}."
    )


def primary_grids(rows: Sequence[PooledRow], collapsed: Sequence[Collapse]) -> list[Grid]:
    """The pooled differences, and the runs that collapsed."""
    lines = [[row.candidate, row.baseline, row.reading, with_half(row.difference, sign=True).replace("**", ""),
              f"[{row.narrow.low:+.3f}, {row.narrow.high:+.3f}]", f"{row.p:.2g}", row.verdict] for row in rows]  # fmt: skip
    header = ["rule", "minus", "read at", "difference", "90%", "p", "verdict"]
    counts = [[one.arm, f"{one.collapsed} of {one.runs}"] for one in collapsed]
    return [Grid("Pooled differences", header, lines), Grid("Ended below half of their start", ["rule", "runs"], counts)]


def missing_sentence(table: Tabulated) -> str:
    """How much there is not yet; empty where all is there."""
    return f"{table.missing} of {len(table.plan.runs)} runs have no result." if table.missing else ""


def markdown(title: str, tables: Sequence[Tabulated], *, command: str, primary: Sequence[str | Grid] = ()) -> str:
    """All tables of a study as one Markdown text; ``primary`` are the sentences and grids of its claim."""
    lines = [f"# {title}", "", f"    {command}", "", HOW_INTERVALS, ""]
    for part in primary:
        lines += [part, ""] if isinstance(part, str) else _grid(part)
    for table in tables:
        lines += _table(table)
    return "\n".join(lines)


def with_half(estimate: Estimate, *, sign: bool = False) -> str:
    """A value with the half-width of its interval; differences with their sign, bold where the interval is clear of zero."""
    value, low, high = estimate
    text = f"{value:{'+' if sign else ''}.3f}" + ("" if math.isnan(low) else f" ± {(high - low) / 2:.3f}")
    return f"**{text}**" if sign and (low > 0 or high < 0) else text


def number(value: float, form: str) -> str:
    """A number, or a dash for what is not known."""
    return "–" if math.isnan(value) else format(value, form)


def _pair_words(row: PairRow, table: Tabulated) -> str:
    estimate = row.difference
    where = row.cell.words(table.varying)
    return f"{row.candidate} minus {row.baseline} {estimate.value:+.3f} [{estimate.low:+.3f}, {estimate.high:+.3f}] ({where})"


def _table(table: Tabulated) -> list[str]:
    lines = [f"## {table.plan.name}", "", f"**Claim:** {table.plan.claim}", ""]
    for sentence in sentences(table):
        lines += [sentence, ""]
    return [*lines, *(line for grid in grids(table) for line in _grid(grid))]


def _grid(grid: Grid) -> list[str]:
    rows = [[cell.replace("|", "\\|") for cell in row] for row in [grid.header, *grid.rows]]
    first, *rest = [f"| {' | '.join(row)} |" for row in rows]
    return [f"### {grid.heading}", "", first, "|---" * len(grid.header) + "|", *rest, ""]


def grids(table: Tabulated) -> list[Grid]:
    """Everything that a table shows, in reading order."""
    name = table.plan.name
    cells = list(dict.fromkeys(row.cell for row in table.arms))
    if len(cells) > _MOST_CELLS:
        found = [_compact(table, cells, metric) for metric in METRICS]
    else:
        found = [_arms(table, cell) for cell in cells]
    if table.pairs:
        found.append(_differences(f"{name}: differences", "difference", table.pairs, table))
    if table.best:
        heading = f"{name}: against the best of the others"
        found.append(_differences(heading, "minus the best of the others", table.best, table))
    return [*found, *_forecasts(table)] if table.forecasts else found


def _forecasts(table: Tabulated) -> list[Grid]:
    """Return the measures at step 0 beside the gain, one line per rule and cell, and their rank correlations, one per cell."""
    name, end = f"{table.plan.name}: measures of the update at step 0", f"gain by step {max(table.plan.horizons)}"
    by_rule: dict[tuple[Cell, str], list[Forecast]] = {}
    for one in table.forecasts:
        by_rule.setdefault((one.cell, one.arm), []).append(one)
    rows = [[arm, cell.words(table.varying), *(number(mean_of(ones, of), ".3f") for of in UPDATE),
             number(mean_of(ones, "gain"), "+.3f")] for (cell, arm), ones in by_rule.items()]  # fmt: skip
    cells = {cell.words(table.varying): [one for one in table.forecasts if one.cell == cell]
             for cell in dict.fromkeys(one.cell for one in table.forecasts)}  # fmt: skip
    if len(cells) > 1:
        cells["all"] = table.forecasts
    ranks = [[where, str(len({(one.cell, one.arm) for one in ones})),
              *(_rank_cell(forecast_ranks(ones, of)) for of in UPDATE)] for where, ones in cells.items()]  # fmt: skip
    heading = f"{name}: Spearman correlation with the gain, of means over seeds (in each seed)"
    return [Grid(name, ["rule", "where", *UPDATE, end], rows), Grid(heading, ["where", "rules", *UPDATE], ranks)]


def _rank_cell(found: ForecastRank) -> str:
    low, high = found.over_seeds[1:]
    return number(found.of_means, "+.2f") + (
        "" if math.isnan(low) else f" ({found.over_seeds.value:+.2f} ± {(high - low) / 2:.2f})"
    )


def _compact(table: Tabulated, cells: Sequence[Cell], metric: Metric) -> Grid:
    """One line per cell and one column per rule, at the last horizon."""
    last = max(table.plan.horizons)
    arms = ["(start)", *table.plan.arms]
    at = {(row.cell, row.arm): with_half(getattr(row, metric)) for row in table.arms if row.step in (0, last)}
    rows = [[cell.words(table.varying), *(at.get((cell, arm), "") for arm in arms)] for cell in cells]
    return Grid(f"{table.plan.name}: {metric} at step {last}", ["where", *arms], rows)


def _arms(table: Tabulated, cell: Cell) -> Grid:
    """A line a rule: accuracy at every horizon, greedy at the last, and the signs of hacking."""
    horizons = table.plan.horizons
    last = max(horizons)
    found: dict[str, dict[int, ArmRow]] = {}
    for row in table.arms:
        if row.cell == cell:
            found.setdefault(row.arm, {})[row.step] = row
    lines: list[list[str]] = []
    for arm, by_step in found.items():
        end = by_step[max(by_step)]
        # the start stands under the last horizon
        steps = [with_half(by_step[step].accuracy) if step in by_step else "" for step in horizons]
        if arm == "(start)":
            steps[-1] = with_half(end.accuracy)
        signs = [number(end.means[name], form) for name, form in _SIGNS.items()]
        lines.append([arm, *steps, with_half(end.greedy), *signs])
    seeds = max(row.seeds for by_step in found.values() for row in by_step.values())
    header = ["rule", *(f"step {step}" for step in horizons), f"greedy, step {last}",
              "verifier pass", "RM score", "RM AUROC within", "all wrong"]  # fmt: skip
    return Grid(f"{table.plan.name}: {cell.words(table.varying)} ({seeds} seed{'s' * (seeds != 1)})", header, lines)


def _differences(heading: str, first: str, rows: Sequence[PairRow], table: Tabulated) -> Grid:
    """A line a comparison and cell: the difference at every horizon, greedy at the last, and the verdict.

    The best of others may be another rule at another step; each column has its own.
    """
    horizons, is_best = table.plan.horizons, rows is table.best
    last = max(horizons)
    lines: list[list[str]] = []
    for row in table.deciding(rows):
        beside = [other for other in rows if other.cell == row.cell and other.candidate == row.candidate]
        same = beside if is_best else [other for other in beside if other.baseline == row.baseline]
        at = {(other.step, other.metric): with_half(other.difference, sign=True) for other in same}
        steps = [at.get((step, "accuracy"), "") for step in horizons]
        said = _BEST[row.verdict] if is_best else row.verdict
        pair = f"{row.candidate} − {row.baseline}"
        lines.append([pair, row.cell.words(table.varying), *steps, at.get((last, "greedy"), ""), said])
    header = [first, "where", *(f"step {step}" for step in horizons), f"greedy, step {last}", "claim"]
    return Grid(heading, header, lines)
