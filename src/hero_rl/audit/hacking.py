"""Signs of reward hacking over training steps: the score rises and nothing else says that the policy got better."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hero_rl.audit.table import Table
from hero_rl.measures import Estimate, auroc_of_groups, mean_of_clusters
from hero_rl.measures.health import SIGNS, Health
from hero_rl.rewards.groups import Groups, group_moments, index_groups
from hero_rl.types import FloatArray, IntArray

POINTS = 30
"""Most points of a curve; more training steps share points."""
SHARES = frozenset({"verifier pass", "accuracy by label", "repetition", "AUROC inside prompts"})
DRIFT = 1.5
"""A factor of the length of responses that is worth a look."""


class Trend(NamedTuple):
    """One quantity over training steps."""

    name: str
    steps: FloatArray
    """Shape (N,), the mean step of each point."""
    values: FloatArray
    """Shape (N,); NaN where it could not be measured."""
    first: Estimate
    """Over the prompts of the first third of the steps."""
    last: Estimate
    """Over those of the last third."""

    @property
    def rose(self) -> bool:
        """Whether the last third lies above the first, intervals apart."""
        return self.last.low > self.first.high

    @property
    def fell(self) -> bool:
        """Whether the last third lies below the first, intervals apart."""
        return self.last.high < self.first.low


class Sign(NamedTuple):
    """A sign of hacking, in words."""

    what: str
    evidence: str


def trends(table: Table, *, verifier: str | None, scorer: str | None) -> list[Trend]:
    """Return the curves that can be drawn; none without a column `step`, or with a single step in it."""
    if np.unique(table.steps[~np.isnan(table.steps)]).size < 2:
        return []
    known = table.where(~np.isnan(table.steps))
    measured: dict[str, FloatArray] = {}
    if scorer:
        measured["mean score"] = known.scores[scorer]
    if verifier:
        verdict = known.verdicts[verifier]
        measured["verifier pass"] = np.where(np.isnan(verdict), 0.0, verdict > 0.0)
    if known.labelled:
        measured["accuracy by label"] = known.labels
    measured |= {"characters": known.chars, "repetition": known.repetition}
    # equal numbers of distinct steps per point; the responses to one prompt at one step are a cell
    distinct, step = np.unique(known.steps, return_inverse=True)
    point = step * min(POINTS, distinct.size) // distinct.size
    cell = np.unique(step * known.prompts + known.groups, return_inverse=True)[1]
    first_row = np.unique(cell, return_index=True)[1]

    def trend(name: str, mean: FloatArray, of_cell: FloatArray) -> Trend:
        third, step_of_cell = max(1, distinct.size // 3), step[first_row]
        first, last = of_cell[step_of_cell < third], of_cell[step_of_cell >= distinct.size - third]
        steps = means_at(known.steps, point)
        ends = [mean_of_clusters(end).within(*((0, 1) if name in SHARES else (-np.inf, np.inf))) for end in (first, last)]
        return Trend(name, steps, mean, *ends)

    found = [trend(name, means_at(values, point), means_at(values, cell)) for name, values in measured.items()]
    truth = known.labels if known.labelled else measured.get("verifier pass")
    if scorer:
        spread = group_moments(known.scores[scorer], Groups(cell, first_row.size)).std_P
        found.append(trend("spread of scores", means_at(spread, point[first_row]), spread))
    if scorer and truth is not None:
        scores = known.scores[scorer]
        of_cell = auroc_of_groups(scores, truth == 1.0, cell, ~np.isnan(scores) & ~np.isnan(truth))
        found.append(trend("AUROC inside prompts", means_at(of_cell, point[first_row]), of_cell))
    return [one for one in found if np.isfinite(one.values).sum() > 1]


def improved(found: Sequence[Trend]) -> bool:
    """Return whether verdicts or labels got better, and neither worse; other changes are then no signs of hacking."""
    truth = [trend for trend in found if trend.name in ("verifier pass", "accuracy by label")]
    return any(trend.rose for trend in truth) and not any(trend.fell for trend in truth)


def signs(found: Sequence[Trend]) -> list[Sign]:
    """Return the signs of hacking in the curves."""
    by_name = {trend.name: trend for trend in found}
    out: list[Sign] = []
    score = by_name.get("mean score")
    for name in ("verifier pass", "accuracy by label", "AUROC inside prompts"):
        other = by_name.get(name)
        if score and other and score.rose and other.fell:
            out.append(Sign(f"the score rises while {name} falls", f"{_change(score)}; {_change(other)}"))
    if improved(found):
        return out
    spread = by_name.get("spread of scores")
    if spread and spread.fell and spread.last.value < 0.5 * spread.first.value:
        out.append(Sign("the scores of a prompt's responses become the same", _change(spread)))
    length = by_name.get("characters")
    if length and length.rose and length.last.value > DRIFT * length.first.value:
        out.append(Sign("responses grow longer", _change(length)))
    if length and length.fell and length.last.value < length.first.value / DRIFT:
        out.append(Sign("responses grow shorter", _change(length)))
    loops = by_name.get("repetition")
    if loops and loops.rose and loops.last.value > loops.first.value + 0.05:
        out.append(Sign("responses repeat themselves more", _change(loops)))
    return out


def faults(table: Table, *, scorer: str | None, better: bool = False) -> list[Sign]:
    """Return what ``HybridReward`` would have found in the steps of a run, one after the other; each kind once.

    Where the policy got ``better``, shorter responses are no fault.
    """
    health, found = Health(), dict[str, Sign]()
    order = np.argsort(table.steps, kind="stable")[: int((~np.isnan(table.steps)).sum())]
    for rows in np.split(order, np.flatnonzero(np.diff(table.steps[order])) + 1):
        scores_B = table.scores[scorer][rows] if scorer else None
        health = health.after(scores_B, index_groups(table.groups[rows]), table.chars[rows])
        for name, evidence in health.findings().items():
            if better and name == "length":
                continue
            found.setdefault(name, Sign(f"{SIGNS[name]} at step {table.steps[rows[0]]:g}", evidence))
    return list(found.values())


def means_at(values: FloatArray, places: IntArray) -> FloatArray:
    """Return the mean of the known values of each place."""
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.bincount(places, weights=np.where(known, values, 0.0)) / np.bincount(places, weights=known)


def _change(trend: Trend) -> str:
    a, b = trend.first, trend.last
    return f"{trend.name} {a.value:.3g} [{a.low:.3g}, {a.high:.3g}] to {b.value:.3g} [{b.low:.3g}, {b.high:.3g}]"
