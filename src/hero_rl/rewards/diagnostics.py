"""A shaped batch in a few numbers: the same for every engine, command and report."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from hero_rl.rewards.groups import Groups, check_signals
from hero_rl.types import LEARNED_YES, BoolArray, FloatArray

TIED = 1e-9
"""The largest advantage that counts as none."""


class GroupShares(NamedTuple):
    """Shares of the prompts by their verdicts, an abstention counting as incorrect."""

    prompts: int
    mixed: float
    """With correct and incorrect responses: the only prompts with a gradient under the verifier alone."""
    all_correct: float
    all_wrong: float
    zero_gradient: float
    """Without any advantage under the rule used."""

    @property
    def zero_gradient_verifier(self) -> float:
        """Share of the prompts without a gradient under the verifier alone."""
        return self.all_correct + self.all_wrong


class Strata(NamedTuple):
    """Masks of shape (B,): responses by the verdicts of their prompt, and by their own."""

    mixed_correct: BoolArray
    mixed_incorrect: BoolArray
    all_correct: BoolArray
    all_wrong: BoolArray


def split_strata(verdicts_B: FloatArray, groups: Groups) -> Strata:
    """Return the strata of some responses."""
    correct = verdicts_B > 0.0
    correct_P = np.bincount(groups.index_B, weights=correct, minlength=groups.size)
    size_P = np.bincount(groups.index_B, minlength=groups.size)
    mixed = ((correct_P > 0.0) & (correct_P < size_P))[groups.index_B]
    return Strata(mixed & correct, mixed & ~correct, ~mixed & correct, ~mixed & ~correct)


def group_shares(verdicts_B: FloatArray, advantages_B: FloatArray, groups: Groups) -> GroupShares:
    """Return the shares of the prompts of some responses; 0 where there is no prompt."""
    correct_P, moved_P = (
        np.bincount(groups.index_B, weights=rows, minlength=groups.size)
        for rows in (verdicts_B > 0.0, np.abs(advantages_B) > TIED)
    )
    size_P = np.bincount(groups.index_B, minlength=groups.size)
    right, wrong = int((correct_P == size_P).sum()), int((correct_P == 0.0).sum())
    counts = (groups.size - right - wrong, right, wrong, int((moved_P == 0.0).sum()))
    return GroupShares(groups.size, *(count / max(1, groups.size) for count in counts))


def batch_summary(
    verdicts_B: ArrayLike, scores_B: ArrayLike, groups_B: ArrayLike, advantages_B: ArrayLike, weights_B: ArrayLike
) -> dict[str, float]:
    """Return shares, means and signal strengths of one shaped batch; NaN for a mean of nothing.

    ``advantages_B`` include the weights; an abstention is incorrect in the strata.

    Returns:
        ``groups_mixed``, ``groups_all_correct``, ``groups_all_incorrect``: shares of the prompts, summing to 1. The last two
            give no gradient under the verifier alone. ``groups_zero_gradient``: under the rule.
        ``correct``, ``correct_learned``, ``abstained``, ``score_missing``: shares of the responses. The first includes the
            second, the responses that only a model calls correct.
        ``score_correct``, ``score_incorrect``: mean score per stratum.
        ``advantage_correct``, ``advantage_incorrect``: mean |advantage| per stratum.
        ``advantage_uniform``, ``advantage_mixed``: mean |advantage| in prompts with one verdict (from the reward model alone)
            and with both.
        ``advantage_share_uniform``: share of the summed |advantage| that comes from prompts with one verdict.
        ``weight_mean``, ``weight_min``, ``weight_max``: of the prompt weights.
    """
    verdicts, scores, groups = check_signals(verdicts_B, scores_B, groups_B)
    size_A = np.abs(np.asarray(advantages_B, dtype=np.float64))
    weights = np.asarray(weights_B, dtype=np.float64)
    correct = verdicts > 0.0
    strata = split_strata(verdicts, groups)
    shares = group_shares(verdicts, size_A, groups)
    uniform = strata.all_correct | strata.all_wrong
    total = float(size_A.sum())
    some = 1.0 if groups.size else float("nan")
    return {
        "groups_mixed": some * shares.mixed,
        "groups_all_correct": some * shares.all_correct,
        "groups_all_incorrect": some * shares.all_wrong,
        "groups_zero_gradient": some * shares.zero_gradient,
        "correct": _mean(correct),
        "correct_learned": _mean(verdicts == LEARNED_YES),
        "abstained": _mean(np.isnan(verdicts)),
        "score_missing": _mean(np.isnan(scores)),
        "score_correct": _mean(scores[correct & ~np.isnan(scores)]),
        "score_incorrect": _mean(scores[~correct & ~np.isnan(scores)]),
        "advantage_correct": _mean(size_A[correct]),
        "advantage_incorrect": _mean(size_A[~correct]),
        "advantage_uniform": _mean(size_A[uniform]),
        "advantage_mixed": _mean(size_A[~uniform]),
        "advantage_share_uniform": float(size_A[uniform].sum()) / total if total > 0.0 else float("nan"),
        "weight_mean": _mean(weights),
        "weight_min": float(weights.min()) if weights.size else float("nan"),
        "weight_max": float(weights.max()) if weights.size else float("nan"),
    }


def _mean(values: FloatArray | BoolArray) -> float:
    return float(values.mean()) if values.size else float("nan")
