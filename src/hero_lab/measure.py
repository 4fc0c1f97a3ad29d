"""What the lab measures of a policy and of a reward model: accuracy with intervals, and AUROC within prompts."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from hero_rl.types import FloatArray


class Estimate(NamedTuple):
    """A mean and its interval."""

    mean: float
    low: float
    high: float


def clustered_mean(values_PG: ArrayLike, *, z: float = 1.96) -> Estimate:
    """The mean over prompts with a normal 95% interval whose unit is the prompt, not the response.

    Args:
        values_PG: shape (P, G), one row a prompt.
        z: half-width of the interval in standard errors.
    """
    mean_P = np.asarray(values_PG, dtype=np.float64).mean(axis=1)
    mean = float(mean_P.mean())
    half = z * float(mean_P.std(ddof=1)) / math.sqrt(len(mean_P)) if len(mean_P) > 1 else 0.0
    return Estimate(mean, max(0.0, mean - half), min(1.0, mean + half))


def auroc(scores_B: ArrayLike, labels_B: ArrayLike) -> float:
    """The probability that a correct response outscores an incorrect one, ties counting half; NaN with one class."""
    scores = np.asarray(scores_B, dtype=np.float64)
    labels = np.asarray(labels_B, dtype=bool)
    positives, negatives = int(labels.sum()), int((~labels).sum())
    if not positives or not negatives:
        return float("nan")
    _, place, count = np.unique(scores, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[place]
    return float((rank[labels].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def within_auroc(scores_PG: ArrayLike, labels_PG: ArrayLike) -> float:
    """The mean over prompts of the AUROC among a prompt's own responses; NaN where no prompt has both classes.

    The pooled AUROC also credits a reward model for knowing which prompts are easy, which no rule can use.
    """
    each: FloatArray = np.array(
        [
            auroc(own_scores, own_labels)
            for own_scores, own_labels in zip(np.asarray(scores_PG), np.asarray(labels_PG), strict=True)
        ],
        dtype=np.float64,
    )
    known = each[~np.isnan(each)]
    return float(known.mean()) if known.size else float("nan")
