"""The rules that HERO is compared with: one signal alone, sums of both, and later methods that use both."""

from __future__ import annotations

from functools import partial
from typing import Literal, TypeAlias, get_args

import numpy as np

from hero_rl.errors import InputError, check_choice
from hero_rl.rewards.groups import Groups, group_min_max, group_moments
from hero_rl.rewards.rules import RewardRule, RuleOutput, RuleState, check_learned_credit, unweighted
from hero_rl.types import FloatArray

Normalize: TypeAlias = Literal["none", "zscore", "minmax"]


def verifier_only(*, learned_credit: float = 1.0) -> RewardRule:
    """Return the rule whose reward is the 0/1 verdict; an abstention counts as 0.

    Args:
        learned_credit: the reward of a response that only a model calls correct, in [0, 1].

    Raises:
        InputError: learned_credit outside [0, 1].

    Reference: RLVR, the verifier-only baseline of HERO (arXiv 2510.07242), section 4.
    """
    check_learned_credit(learned_credit)
    return RewardRule(
        name="verifier_only", settings={"learned_credit": learned_credit}, scale="group", needs_scores=False,
        apply_checked=_apply_verifier_only, learned_credit=learned_credit,
    )  # fmt: skip


def _apply_verifier_only(verdicts_B: FloatArray, scores_B: FloatArray, groups: Groups, state: RuleState) -> RuleOutput:
    return unweighted(verdicts_B.copy(), state)  # a copy: the verdicts may be the caller's array


def rm_only(*, normalize: Normalize = "none") -> RewardRule:
    """Return the rule whose reward is the reward model's score; a missing score leaves the response out.

    Args:
        normalize: ``"none"`` raw, ``"zscore"`` over the batch, ``"minmax"`` to [0, 1] within each prompt.

    Reference: the RM-only baseline of HERO (arXiv 2510.07242), section 4.
    """
    check_choice("normalize", normalize, get_args(Normalize))
    return RewardRule(
        name="rm_only", settings={"normalize": normalize}, scale="group", needs_verdicts=False,
        apply_checked=partial(_apply_naive_sum, rule_weight=0.0, normalize=normalize),
    )  # fmt: skip


def naive_sum(*, rule_weight: float = 0.5, normalize: Normalize = "none", learned_credit: float = 1.0) -> RewardRule:
    """Return the rule rule_weight * verdict + (1 - rule_weight) * score: the blend that HERO is meant to beat.

    Args:
        rule_weight: in [0, 1]. The paper tries 0.1, 0.5 and 0.9.
        normalize: of the score before the sum, see ``rm_only``; whether the paper normalises it is not stated.
        learned_credit: the verdict of a response that only a model calls correct, in [0, 1].

    Raises:
        InputError: rule_weight or learned_credit outside [0, 1], unknown normalisation.

    Reference: HERO (arXiv 2510.07242), Table 9.
    """
    check_choice("normalize", normalize, get_args(Normalize))
    if not 0.0 <= rule_weight <= 1.0:
        raise InputError(f"rule_weight={rule_weight:g} must lie in [0, 1]: it is the share of the verdict in the sum")
    check_learned_credit(learned_credit)
    apply = partial(_apply_naive_sum, rule_weight=rule_weight, normalize=normalize)
    settings = {**apply.keywords, "learned_credit": learned_credit}
    return RewardRule(
        name="naive_sum", settings=settings, scale="group", apply_checked=apply, learned_credit=learned_credit
    )  # fmt: skip


def _apply_naive_sum(
    verdicts_B: FloatArray, scores_B: FloatArray, groups: Groups, state: RuleState, *, rule_weight: float, normalize: Normalize
) -> RuleOutput:
    return unweighted(rule_weight * verdicts_B + (1.0 - rule_weight) * _normalized(scores_B, groups, normalize), state)


def gdpo(*, verdict_weight: float = 1.0, score_weight: float = 1.0, eps: float = 1e-4) -> RewardRule:
    """Return the rule that standardises verdict and score within the prompt and sums; engines standardise over the batch.

    Args:
        verdict_weight: of the standardised verdict.
        score_weight: of the standardised score; a missing score adds 0.
        eps: added to the group's standard deviation; 1e-4 as in TRL's ``normalize_then_sum``.

    Reference: GDPO (arXiv 2601.05242).
    """
    apply = partial(_apply_gdpo, verdict_weight=verdict_weight, score_weight=score_weight, eps=eps)
    return RewardRule(name="gdpo", settings=apply.keywords, scale="batch", apply_checked=apply)


def _apply_gdpo(
    verdicts_B: FloatArray,
    scores_B: FloatArray,
    groups: Groups,
    state: RuleState,
    *,
    verdict_weight: float,
    score_weight: float,
    eps: float,
) -> RuleOutput:
    total_B = np.zeros_like(scores_B)
    for weight, signal_B in ((verdict_weight, verdicts_B), (score_weight, scores_B)):
        moments = group_moments(signal_B, groups, ddof=1)
        spread_P = np.nan_to_num(moments.std_P, nan=0.0) + eps
        total_B += weight * np.nan_to_num((signal_B - moments.mean_P[groups.index_B]) / spread_P[groups.index_B], nan=0.0)
    return unweighted(total_B, state)


def _normalized(scores_B: FloatArray, groups: Groups, normalize: Normalize) -> FloatArray:
    """Return scores raw, standardised over the batch, or stretched to [0, 1] within each prompt (tied: 1/2)."""
    if normalize == "none":
        return scores_B
    known = scores_B[~np.isnan(scores_B)]
    if normalize == "zscore":
        spread = float(known.std()) if known.size else 0.0
        return (scores_B - (known.mean() if known.size else 0.0)) / (spread if spread > 0.0 else 1.0)
    low_P, high_P = group_min_max(scores_B, groups)
    with np.errstate(invalid="ignore"):
        range_B = (high_P - low_P)[groups.index_B]
    stretched_B = (scores_B - low_P[groups.index_B]) / np.where(range_B > 0.0, range_B, 1.0)
    return np.where((range_B > 0.0) | np.isnan(scores_B), stretched_B, 0.5)
