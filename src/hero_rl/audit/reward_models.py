"""Does a reward model rank well where a rule would listen to it: inside prompts, and inside the strata of the verifier?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hero_rl.audit.table import Table
from hero_rl.measures import (
    UNKNOWN,
    Estimate,
    InsidePrompts,
    auroc_interval,
    auroc_of_groups,
    mean_of_clusters,
    ranking_inside,
    within_correlation,
)
from hero_rl.rewards.groups import Groups, group_moments
from hero_rl.types import BoolArray, FloatArray, IntArray

LENGTH_ROWS = 200_000


class RewardModelReport(NamedTuple):
    """One reward model against labels, or against a verifier's verdicts if there are none."""

    name: str
    truth: str
    """``labels``, or the name of the verifier that stands in for them: its misses pull every AUROC towards 0.5."""
    missing: int
    overall: Estimate
    """AUROC over all rows; it also rewards knowing which prompts are easy."""
    within: InsidePrompts
    rejected: Estimate
    """AUROC inside prompts among the responses that the verifier rejects, by label: does the score find the right answers
    that the verifier missed?"""
    accepted: Estimate
    """The same among those the verifier accepts."""
    length_bias: float
    """Correlation of score and length among responses with the same prompt and label; 0: none."""
    sigma: FloatArray
    """Shape (P,), the spread of the scores inside each prompt (Eq. 4)."""
    p_squashed: float
    """Share of the scores inside [0, 1]; 1.0 suggests that a server applies a sigmoid."""


def reward_model_report(table: Table, name: str, *, verifier: str | None) -> RewardModelReport:
    """Measure one reward model; the verifier gives the strata, and the truth if there are no labels."""
    scores, groups = table.scores[name], table.groups
    truth, source = _truth(table, verifier)
    has_score = ~np.isnan(scores)
    known, right = has_score & ~np.isnan(truth), truth == 1.0

    def inside(accepted: bool) -> Estimate:
        if verifier is None or not table.labelled:
            return UNKNOWN
        return mean_of_clusters(
            auroc_of_groups(scores, right, groups, known & ((table.verdicts[verifier] > 0.0) == accepted))
        ).within(0, 1)

    moments = group_moments(scores, Groups(groups, table.prompts))
    return RewardModelReport(
        name=name,
        truth=source,
        missing=int((~has_score).sum()),
        overall=auroc_interval(scores[known], right[known], groups[known]) if known.any() else UNKNOWN,
        within=ranking_inside(scores, right, groups, known),
        rejected=inside(accepted=False),
        accepted=inside(accepted=True),
        length_bias=_length_bias(scores, table.chars, right, groups, known),
        sigma=moments.std_P[moments.count_P >= 2],
        p_squashed=float(((scores >= 0.0) & (scores <= 1.0))[has_score].mean()) if known.any() else float("nan"),
    )


def _truth(table: Table, verifier: str | None) -> tuple[FloatArray, str]:
    if table.labelled:
        return table.labels, "labels"
    if verifier is None:
        return np.full(table.rows, np.nan), "nothing"
    verdict = table.verdicts[verifier]
    return np.where(np.isnan(verdict), np.nan, verdict > 0.0), verifier


def _length_bias(scores: FloatArray, chars: FloatArray, right: BoolArray, groups: IntArray, known: BoolArray) -> float:
    rows = np.flatnonzero(known)[:LENGTH_ROWS]
    if not rows.size:
        return float("nan")
    return within_correlation(scores[rows], chars[rows], groups[rows] * 2 + right[rows])
