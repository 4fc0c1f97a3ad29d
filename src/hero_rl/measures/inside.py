"""Do scores rank the responses of one prompt better than chance? The verdict on a reward model or a learned verifier."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from hero_rl.measures.intervals import Estimate, clusters_missing, mean_of_clusters
from hero_rl.measures.ranking import auroc_of_groups
from hero_rl.types import BoolArray, FloatArray, IntArray

FEW_PROMPTS = 10
"""Fewest prompts with right and wrong responses for a verdict; intervals of fewer are not to be trusted."""
CLOSE = 0.02
"""An AUROC nearer to a half counts as this far from it: fewer prompts would not do for less."""

Ranks: TypeAlias = Literal["better than chance", "worse than chance", "no better than chance", "unknown"]


class InsidePrompts(NamedTuple):
    """The AUROC inside each prompt (the paper's B.1), and whether its mean differs from chance."""

    prompts: int
    """Prompts with right and wrong responses; the others have no AUROC."""
    mean: Estimate
    auroc_P: FloatArray
    """Shape (mixed prompts,)."""
    ranks: Ranks
    """By the interval of the mean; ``no better than chance``: not distinguishable from it."""
    missing: str
    """The evidence that would tell; empty where it is known."""

    def words(self) -> str:
        """Return the verdict as a sentence."""
        if self.ranks == "unknown":
            return f"Whether it ranks better than chance is not known: {self.missing}."
        evidence = f"AUROC {self.mean.value:.3f} [{self.mean.low:.3f}, {self.mean.high:.3f}] inside {self.prompts} prompts"
        if self.ranks == "no better than chance":
            return f"It is not distinguishable from chance: {evidence}; {self.missing}."
        return f"It ranks {self.ranks}: {evidence}."


def ranking_inside(scores_B: FloatArray, right_B: BoolArray, groups_B: IntArray, among_B: BoolArray) -> InsidePrompts:
    """Judge how scores rank inside prompts, among some rows (which must have a score)."""
    auroc_P = auroc_of_groups(scores_B, right_B, groups_B, among_B)
    auroc_P = auroc_P[~np.isnan(auroc_P)]
    mean, prompts = mean_of_clusters(auroc_P).within(0, 1), auroc_P.size
    if prompts < FEW_PROMPTS:
        few = f"prompts with right and wrong responses that have a score: {prompts}; at least {FEW_PROMPTS} are needed"
        return InsidePrompts(prompts, mean, auroc_P, "unknown", few)
    ranks: Ranks = (
        "better than chance" if mean.low > 0.5 else "worse than chance" if mean.high < 0.5 else "no better than chance"
    )
    missing = ""
    if ranks == "no better than chance":
        more = clusters_missing(mean, 0.5, prompts, close=CLOSE)
        missing = f"if it stays there, about {more:,} more prompts with right and wrong responses would tell it from chance"
    return InsidePrompts(prompts, mean, auroc_P, ranks, missing)
