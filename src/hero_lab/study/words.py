"""Put a study's numbers into words: sentences, and Markdown tables ready for the documentation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from hero_lab.study.plan import Metric
from hero_lab.study.tables import METRICS, ArmRow, Cell, PairRow, ReachRow, Tabulated
from hero_lab.study.throughput import Throughput
from hero_rl.measures.intervals import Estimate

HOW_INTERVALS = (
    "Accuracy is by the exact oracle on held-out prompts, sampled at temperature 1 unless it says greedy. ± is a 95% interval "
    "over seeds (Student's t) and problems together; differences are paired by seed, problem and sampling noise, and bold "
    "where the interval is clear of zero. Nothing is corrected for the number of intervals: of "
    "twenty true zeros one is clear by chance."
)


_MOST_CELLS = 6
"""Up to here each cell has a table of its own."""
_MOST_PAIRS = 3
_BEST = {"holds": "ahead", "does not hold": "worse", "cannot be told": "level"}


class Grid(NamedTuple):
    """Cells of text under a header, with a heading."""

    heading: str
    header: list[str]
    rows: list[list[str]]


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
    cells = _count(len(rows), "cell")
    others = ", ".join(best_of.others)
    than = f"worse in {len(worse)} of {cells} than the best of {others}"
    if not worse:
        than = f"nowhere worse than the best of {others} in {cells}"
    return (
        f"{best_of.candidate} is {than}, and clearly ahead in {len(ahead)}. Worst cell: {_pair_words(worst, table)}. "
        f"The lowest end of an interval is {lowest.difference.low:+.3f} ({lowest.cell.words(table.varying)})."
    )


def missing_sentence(table: Tabulated) -> str:
    """How much there is not yet; empty where all is there."""
    return f"{table.missing} of {len(table.plan.runs)} runs have no result." if table.missing else ""


def markdown(title: str, tables: Sequence[Tabulated], throughput: Throughput | None, *, command: str) -> str:
    """All tables of a study as one Markdown text."""
    lines = [f"# {title}", "", f"    {command}", "", HOW_INTERVALS, ""]
    for table in tables:
        lines += _table(table)
    if throughput is not None:
        lines += ["## Throughput", "", *(f"- {line}" for line in throughput.lines()), ""]
    return "\n".join(lines)


def with_half(estimate: Estimate, *, sign: bool = False) -> str:
    """A value with the half-width of its interval; differences with their sign, bold where the interval is clear of zero."""
    value, low, high = estimate
    if math.isnan(low):
        return f"{value:+.3f}" if sign else f"{value:.3f}"
    text = f"{value:{'+' if sign else ''}.3f} ± {(high - low) / 2:.3f}"
    return f"**{text}**" if sign and (low > 0 or high < 0) else text


def number(value: float, form: str) -> str:
    """A number, or a dash for what is not known."""
    return "–" if math.isnan(value) else format(value, form)


def percent(share: float | None) -> str:
    """A share of rollouts; never, where there is none."""
    return "never" if share is None else f"{share:.0%}"


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _pair_words(row: PairRow, table: Tabulated) -> str:
    estimate = row.difference
    where = row.cell.words(table.varying)
    return f"{row.candidate} minus {row.baseline} {estimate.value:+.3f} [{estimate.low:+.3f}, {estimate.high:+.3f}] ({where})"


def _table(table: Tabulated) -> list[str]:
    lines = [f"## {table.plan.name}", "", f"**Claim:** {table.plan.claim}", ""]
    for sentence in filter(None, (claim_sentence(table), best_sentence(table), missing_sentence(table))):
        lines += [sentence, ""]
    for grid in grids(table):
        rows = [[cell.replace("|", "\\|") for cell in row] for row in [grid.header, *grid.rows]]
        first, *rest = [f"| {' | '.join(row)} |" for row in rows]
        lines += [f"### {grid.heading}", "", first, "|---" * len(grid.header) + "|", *rest, ""]
    return lines


def grids(table: Tabulated) -> list[Grid]:
    """Everything that a table shows, in reading order."""
    name, last = table.plan.name, max(table.plan.horizons)
    cells = list(dict.fromkeys(row.cell for row in table.arms))
    found: list[Grid] = []
    if len(cells) > _MOST_CELLS:
        found += [_compact(table, cells, metric) for metric in METRICS]
    else:
        for cell in cells:
            rows = [row for row in table.arms if row.cell == cell]
            heading = f"{name}: {cell.words(table.varying)} ({max(row.seeds for row in rows)} seeds)"
            found.append(Grid(heading, arm_header(table.plan.horizons), arm_cells(rows, table.plan.horizons)))
    if table.pairs:
        found.append(Grid(f"{name}: differences", pair_header(table, "difference"), pair_cells(table.pairs, table)))
    if table.best:
        header = pair_header(table, "minus the best of the others")
        found.append(Grid(f"{name}: against the best of the others", header, pair_cells(table.best, table)))
    if len(table.varying) > 1 and table.leaders:
        header = ["where", "best rule", "runner-up", f"lead at step {last}"]
        rows = [[row.cell.words(table.varying), row.candidate, row.baseline, with_half(row.difference, sign=True)]
                for row in table.leaders]  # fmt: skip
        found.append(Grid(f"{name}: the best rule in each cell", header, rows))
    if table.reach:
        found.append(Grid(f"{name}: rollouts", list(REACH_HEADER), reach_cells(table.reach, table)))
    return found


def _compact(table: Tabulated, cells: Sequence[Cell], metric: Metric) -> Grid:
    """One line per cell and one column per rule, at the last horizon."""
    last = max(table.plan.horizons)
    arms = ["(start)", *table.plan.arms]
    at = {(row.cell, row.arm): with_half(getattr(row, metric)) for row in table.arms if row.step in (0, last)}
    rows = [[cell.words(table.varying), *(at.get((cell, arm), "") for arm in arms)] for cell in cells]
    return Grid(f"{table.plan.name}: {metric} at step {last}", ["where", *arms], rows)


def arm_header(horizons: Sequence[int]) -> list[str]:
    """Names of the columns of ``arm_cells``."""
    last = max(horizons)
    steps = [f"step {step}" for step in horizons]
    return ["rule", *steps, f"greedy, step {last}", "verifier pass", "RM score", "RM AUROC within", "all wrong"]


def arm_cells(rows: Sequence[ArmRow], horizons: Sequence[int]) -> list[list[str]]:
    """A line a rule: accuracy at every horizon, greedy at the last, and the signs of hacking."""
    found: dict[str, dict[int, ArmRow]] = {}
    for row in rows:
        found.setdefault(row.arm, {})[row.step] = row
    lines: list[list[str]] = []
    for arm, by_step in found.items():
        end = by_step[max(by_step)]
        steps = [with_half(by_step[step].accuracy) if step in by_step else "" for step in horizons]
        if arm == "(start)":
            steps[-1] = with_half(end.accuracy)
        means = end.means
        forms = (("verifier_pass", ".3f"), ("rm_score", "+.2f"), ("rm_auroc_within", ".2f"), ("all_wrong_groups", ".2f"))
        lines.append([arm, *steps, with_half(end.greedy), *(number(means[name], form) for name, form in forms)])
    return lines


def pair_header(table: Tabulated, first: str) -> list[str]:
    """Names of the columns of ``pair_cells``."""
    steps = [f"step {step}" for step in table.plan.horizons]
    return [first, "where", *steps, f"greedy, step {max(table.plan.horizons)}", "claim"]


def pair_cells(rows: Sequence[PairRow], table: Tabulated) -> list[list[str]]:
    """A line a comparison and cell: the difference at every horizon, greedy at the last, and the verdict.

    The best of others may be another rule at another step; each column has its own.
    """
    last, is_best = max(table.plan.horizons), rows is table.best
    lines: list[list[str]] = []
    for row in table.deciding(rows):
        beside = [other for other in rows if other.cell == row.cell and other.candidate == row.candidate]
        same = beside if is_best else [other for other in beside if other.baseline == row.baseline]
        at = {(other.step, other.metric): with_half(other.difference, sign=True) for other in same}
        steps = [at.get((step, "accuracy"), "") for step in table.plan.horizons]
        pair = f"{row.candidate} − {row.baseline}"
        said = _BEST[row.verdict] if is_best else row.verdict
        lines.append([pair, row.cell.words(table.varying), *steps, at.get((last, "greedy"), ""), said])
    return lines


REACH_HEADER = ("rollouts to reach the end of", "where", "median of seeds", "range", "mean curve")


def reach_cells(rows: Sequence[ReachRow], table: Tabulated) -> list[list[str]]:
    """A line a comparison: the share of the baseline's rollouts that the candidate needs for the baseline's last accuracy."""
    lines: list[list[str]] = []
    for row in rows:
        known = [share for share in row.shares if share is not None]
        never = len(row.shares) - len(known)
        text = f"{percent(min(known))} to {percent(max(known))}" if known else ""
        text += (", " if known and never else "") + (f"never in {never} of {len(row.shares)}" if never else "")
        where = Cell(row.axes, "").words(table.varying, tag=False) or "–"
        lines.append([f"{row.baseline}: {row.candidate}", where, percent(row.median), text, percent(row.pooled)])
    return lines
